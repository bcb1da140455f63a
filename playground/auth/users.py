"""The users' file: a name and its argon2id hash on each line, ``name:hash``.

Empty lines and those that begin with # are kept as they are. It is read again whenever it changes.
"""

import logging
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError

from playground.domain.errors import PlaygroundError
from playground.settings import Settings

_log: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
NAME_RULE: Final = (
    "a name has 1 to 64 of the characters a to z, 0 to 9, . _ @ + and -, and begins with a letter "
    "or a digit"
)
_PATIENCE_S: Final = 5.0


class UsersError(PlaygroundError):
    """The file cannot be read or changed as it was asked for."""

    kind = "users"


class Overtaken(UsersError):
    """The user was changed by somebody else meanwhile. The words name the user."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What stands in the file: hashes by name, and a sentence for each line that is broken."""

    hashes: Mapping[str, str]
    problems: tuple[str, ...]


def proper(name: str) -> str | None:
    """A name as it is kept: in small letters; None for what can be nobody's name."""
    small = name.strip().lower()
    return small if _NAME.fullmatch(small) else None


def read(text: str) -> Listed:
    """The users of a file's text.

    A line that is broken lets nobody in, and harms no other; what is said of it names nobody, since
    it stands in the log.
    """
    hashes: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.partition(":")
        if problem := _problem(name, stored.strip(), hashes):
            problems.append(f"line {number}: {problem}")
        else:
            hashes[name] = stored.strip()
    return Listed(hashes, tuple(problems))


def _problem(name: str, stored: str, before: Mapping[str, str]) -> str | None:
    if proper(name) != name:
        return f"it does not begin with a name and a colon ({NAME_RULE})."
    if name in before:
        return "its name stands in a line above already."
    try:
        kind = extract_parameters(stored).type
    except (InvalidHashError, ValueError):
        return "what follows the name is no hash of argon2."
    return None if kind is Type.ID else "its hash is not of the kind argon2id."


class UsersFile:
    """The file of the users, read anew when it has changed.

    Args:
        path: Where it is; it need not be there yet, and then nobody can log in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._listed = Listed({}, ())

    def hashes(self) -> Mapping[str, str]:
        """The hashes by name as the file is now; none while it cannot be read."""
        try:
            now = os.stat(self.path)
            seen = (now.st_ino, now.st_mtime_ns, now.st_size)
            if seen != self._seen:
                self._listed = read(self.path.read_text(encoding="utf-8"))
                self._seen = seen
                for problem in self._listed.problems:
                    _log.warning("%s, %s", self.path, problem)
        except FileNotFoundError:
            self._seen, self._listed = None, Listed({}, ())
        except (OSError, UnicodeDecodeError) as error:
            if self._listed.hashes or self._seen is None:
                _log.warning("%s cannot be read: %s", self.path, error)
            self._seen, self._listed = (), Listed({}, ())
        return self._listed.hashes

    def listed(self) -> Listed:
        """All that stands in it.

        Raises:
            UsersError: When it cannot be read.
        """
        return read(self.text())

    def put(self, name: str, stored: str | None, *, instead_of: str | None) -> None:
        """Set a user's hash, None takes the user out; all at once or not at all.

        Args:
            name: The user's.
            stored: The new hash.
            instead_of: The hash that the user has now, None for a new one.

        Raises:
            Overtaken: The user has another hash than that.
            UsersError: The file cannot be written.
        """
        path = self.path.resolve()
        draft = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _only_one(draft) as file:
                try:
                    text = self.text()
                    if read(text).hashes.get(name) != instead_of:
                        raise Overtaken(f"{name} was changed by somebody else just now.")
                    file.write(_with(text, name, stored).encode())
                    file.flush()
                    os.fsync(file.fileno())
                    if path.exists():  # whom it belongs to, and who else may read it
                        before = path.stat()
                        os.chmod(draft, stat.S_IMODE(before.st_mode))
                        if (before.st_uid, before.st_gid) != _own():
                            os.chown(draft, before.st_uid, before.st_gid)
                    os.replace(draft, path)
                except BaseException:
                    draft.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise UsersError(f"{path} cannot be written: {error.strerror}.") from error

    def text(self) -> str:
        """The file as it is; empty where there is none.

        Raises:
            UsersError: When it cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise UsersError(f"{self.path} cannot be read: {error}.") from error


def users_file(settings: Settings) -> UsersFile:
    """The file that the settings name, or the one in the data folder."""
    return UsersFile(settings.users_file or settings.data_dir / "users")


def _own() -> tuple[int, int]:
    return (os.geteuid(), os.getegid()) if hasattr(os, "geteuid") else (0, 0)


def _only_one(draft: Path) -> BinaryIO:
    """The draft of a new file, which is also the lock: who makes it writes, and others wait."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError:
            if time.monotonic() > deadline:
                raise UsersError(
                    f"Another program is changing the users. If none is, delete {draft}."
                ) from None
            time.sleep(0.02)


def _with(text: str, name: str, stored: str | None) -> str:
    """The text with a user's line set, or without it; all other lines stay as they are."""
    lines = text.splitlines()
    here = [i for i, line in enumerate(lines) if line.partition(":")[0] == name]
    new = [] if stored is None else [f"{name}:{stored}"]
    if here:
        lines[here[0] : here[0] + 1] = new
    else:
        lines += new
    return "".join(f"{line}\n" for line in lines)
