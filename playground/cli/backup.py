"""`playground backup` and `playground restore`: all that is kept, in one file."""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from playground.auth.secret import known_secret, secret_file
from playground.auth.users import read, users_file
from playground.cli.terminal import printable
from playground.settings import Settings
from playground.store.backup import Backup, BackupError, filled, write_backup
from playground.store.database import Database

_STANDARD: Final = Path("-")  # output or input
# What is kept beside the database.
_USERS: Final = "users"
_SECRET: Final = "secret"


def backup(options: argparse.Namespace, settings: Settings) -> int:
    """Write a backup, whether the playground runs or not.

    Returns:
        The exit status.

    Raises:
        PlaygroundError: It cannot be done; the text says why, and no file was begun.
    """
    file: Path = options.file
    secret = _secret(settings)
    texts = {_USERS: users_file(settings).text(), **({_SECRET: secret} if secret else {})}
    database = Database.from_settings(settings)
    if file == _STANDARD:
        if sys.stdout.isatty():
            raise BackupError("A backup is nothing for a terminal: name a file.")
        rows = asyncio.run(write_backup(database, texts, sys.stdout.buffer))
    else:
        if file.exists() and not options.force:
            raise _occupied(file)
        if not file.name or (file.exists() and not file.is_file()):
            raise BackupError(f"{file} is no file: name one that a backup can be.")
        with _Draft(file) as draft:
            rows = asyncio.run(write_backup(database, texts, draft.file))
            draft.keep(replacing=options.force)
    print(f"Backed up: {_contents(rows, texts)}.", file=sys.stderr)
    return 0


def restore(options: argparse.Namespace, settings: Settings) -> int:
    """Put back what a backup holds, all of it or nothing.

    Returns:
        The exit status.

    Raises:
        PlaygroundError: It cannot be done; the text says why, and nothing was changed.
    """
    database = Database.from_settings(settings)
    with _opened(options.file) as file:
        kept = Backup(file)
        rows = asyncio.run(_restored(kept, database, settings, force=options.force))
    texts = kept.head.texts
    made = printable(kept.head.made)  # by whoever wrote the file
    print(f"Restored, of {made}: {_contents(rows, texts)}.", file=sys.stderr)
    if _SECRET in texts and texts[_SECRET] != _secret(settings):
        print(
            "PLAYGROUND_SECRET or its file has another secret than the backup: whoever was logged "
            "in must log in again.",
            file=sys.stderr,
        )
    print("If the page runs, start it again: it reads the secret at its start.", file=sys.stderr)
    return 0


async def _restored(
    kept: Backup, database: Database, settings: Settings, *, force: bool
) -> Mapping[str, int]:
    """Restore in one transaction, the files with its last step; how many rows of each table."""
    users, texts = users_file(settings), kept.head.texts
    files = {}
    if _USERS in texts and texts[_USERS] != users.text():
        files[users.path] = texts[_USERS]
    if _SECRET in texts and settings.sealing_secret() is None:
        files[secret_file(settings)] = texts[_SECRET]
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupError(f"{settings.data_dir} cannot be made: {error.strerror}.") from error
    async with database.untended(writing=True) as connection:
        if not force:
            _is_free(kept, settings, filled=await filled(connection))
        with ExitStack() as stack:
            drafts = [stack.enter_context(_Draft(path.resolve())) for path in files]
            for draft, text in zip(drafts, files.values(), strict=True):
                draft.write(text)
            rows = await kept.restore(connection)
            for draft in drafts:
                draft.keep(replacing=True)
    return rows


def _is_free(kept: Backup, settings: Settings, *, filled: bool) -> None:
    """Look for what a restore would overwrite.

    Args:
        filled: Whether there are rows in the database.

    Raises:
        BackupError: There is something.
    """
    texts, found = kept.head.texts, []
    users, secret = users_file(settings), _secret(settings)
    there = users.text()
    if filled:
        found.append("links or counts in the database")
    if read(there).hashes and there != texts.get(_USERS):
        found.append(f"users in {users.path}")
    if secret not in (None, texts.get(_SECRET)):
        if settings.sealing_secret() is not None:
            found.append(
                "in PLAYGROUND_SECRET or its file another secret than the backup's (unset, the "
                "backup's is kept in the data folder; with --force the one that is set remains)"
            )
        elif found:  # one that was drawn for nobody yet is in nobody's way
            found.append(f"another secret in {secret_file(settings)}")
    if found:
        raise BackupError(
            f"There is something here already: {'; '.join(found)}. With --force what the backup "
            "holds takes the place of all of it. Nothing was changed."
        )


def _secret(settings: Settings) -> str | None:
    try:
        return known_secret(settings)
    except OSError as error:
        raise BackupError(f"{secret_file(settings)} cannot be read: {error.strerror}.") from error


def _contents(rows: Mapping[str, int], texts: Mapping[str, str]) -> str:
    """What a backup holds, in words."""
    counts = (
        (rows.get("shares", 0), "snapshot"),
        (rows.get("demos", 0), "demo"),
        (len(read(texts.get(_USERS, "")).hashes), "user"),
    )
    words = [f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in counts]
    return ", ".join([*words, "the secret" if _SECRET in texts else "no secret (none is kept yet)"])


def _occupied(path: Path) -> BackupError:
    return BackupError(f"{path} is there already; --force writes over it.")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        yield file


class _Draft:
    """A file for its owner alone that gets its name when it is whole.

    Raises:
        BackupError: In each of its methods, when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with self._said():
            number = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.file: BinaryIO = os.fdopen(number, "wb")

    def write(self, text: str) -> None:
        """All that is to stand in it."""
        with self._said():
            self.file.write(text.encode())

    def keep(self, *, replacing: bool) -> None:
        """Give it its name.

        Args:
            replacing: Also where another file has that name.
        """
        with self._said():
            self.file.flush()
            os.fsync(self.file.fileno())
            if replacing:
                os.replace(self._new, self._path)
                return
            try:
                os.link(self._new, self._path)
            except FileExistsError as error:
                raise _occupied(self._path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._new.unlink(missing_ok=True)
        with suppress(OSError):  # of what could not be written, which was said
            self.file.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupError(f"{self._path} cannot be written: {error.strerror}.") from error
