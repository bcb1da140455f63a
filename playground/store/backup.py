"""A backup: every row of the database, and texts that are kept beside it, in one file.

The file is compressed lines of JSON, of no particular database. The first line says what it is, of
which version the tables are, and has the texts; then a row on each line; the last one says how many
there were, so that a file that was cut is known for one.
"""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Any, BinaryIO, Final, Self

from sqlalchemy import Column, Connection, MetaData, Table, exists, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from playground.domain.errors import PlaygroundError
from playground.store.database import Database
from playground.store.errors import NewerSchema
from playground.store.migration import revision, take_turn, upgrade
from playground.store.tables import REVISION, metadata

_KIND: Final = "kto-mistral-playground backup"
_VERSION: Final = 1  # of what stands on the lines
_AT_ONCE: Final = 100  # rows; one may have a megabyte
_LONGEST_LINE: Final = 64_000_000  # bytes; a file of nothing but one line may unpack to any number

_LARGEST: Final = 2**63 - 1  # number of a database


class BackupError(PlaygroundError):
    """A backup cannot be made or restored; the text says why, and nothing was changed."""

    kind = "backup"


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself.

    Attributes:
        revision: The version of its tables; None where there were none yet.
        made: When, as people write it.
        texts: What was kept beside the database, by name.
    """

    revision: str | None
    made: str
    texts: Mapping[str, str]


class _Packed:
    """Writes lines. What goes wrong with the file is told from what does with the database."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=file, mode="wb", filename="")

    def write(self, line: Mapping[str, object]) -> None:
        with _writing():
            self._file.write(json.dumps(line, default=date.isoformat).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # or it would look like one that is whole
            with _writing():
                self._file.close()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"The backup cannot be written: {error.strerror}.") from error


async def write_backup(
    database: Database, texts: Mapping[str, str], file: BinaryIO
) -> Mapping[str, int]:
    """Write everything as it is at one moment; others may write to the database meanwhile.

    Args:
        texts: What is kept beside the database, by name.

    Returns:
        How many rows of each table.

    Raises:
        StoreError: The database does not do its part, or is of a newer version.
        BackupError: The file cannot be written.
    """
    rows = Counter[str]()
    with _Packed(file) as packed:
        write = packed.write

        head = {
            "kind": _KIND,
            "version": _VERSION,
            "playground": version("kto-mistral-playground"),
            "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "texts": texts,
        }
        if not database.exists():
            write({**head, "revision": None})
        else:
            async with database.untended() as connection:
                now = await connection.run_sync(revision)
                if now is not None and now > REVISION:
                    raise NewerSchema
                write({**head, "revision": now})
                async for table, row in _rows(connection):
                    rows[table] += 1
                    write({"table": table, "row": row})
        write({"rows": rows})
    return rows


async def _rows(connection: AsyncConnection) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    for table in (await connection.run_sync(_tables)).values():
        found = await connection.stream(select(table), execution_options={"yield_per": _AT_ONCE})
        async for row in found.mappings():
            yield table.name, dict(row)


def _tables(connection: Connection) -> Mapping[str, Table]:
    """Our tables, as they are there; others' may stand beside them."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in metadata.tables)
    return found.tables


class Backup:
    """A backup that is read.

    Args:
        file: Is read to its end, once.

    Raises:
        BackupError: It is none, or of a newer version.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._lines = _lines(file)
        head = next(self._lines, {})
        if head.get("kind") != _KIND:
            raise BackupError("This is no backup of a playground.")
        of = f"a newer playground ({head.get('playground')}), and this one cannot read"
        if head.get("version") != _VERSION:
            raise BackupError(f"This backup was made by {of} it: restore it with that one.")
        self.head = _head(head)
        if self.head.revision is not None and self.head.revision > REVISION:
            raise BackupError(
                f"This backup was made by {of} its tables ({self.head.revision}; the last that it "
                f"knows are {REVISION}): restore it with that one."
            )

    async def restore(self, connection: AsyncConnection) -> Mapping[str, int]:
        """Put its rows in the place of all that are there, and bring them up to date.

        Args:
            connection: A transaction of `Database.untended` that writes.

        Returns:
            How many rows of each table.

        Raises:
            BackupError: It is damaged.
        """
        await take_turn(connection)
        await connection.run_sync(_drop)
        rows = Counter[str]()
        if self.head.revision is not None:
            await connection.run_sync(upgrade, self.head.revision)
        tables = await connection.run_sync(_tables)
        waiting: list[Mapping[str, Any]] = []
        into: Table | None = None
        for line in self._lines:
            table = tables.get(str(line.get("table", "")))
            if waiting and (table is not into or len(waiting) == _AT_ONCE):
                assert into is not None
                await connection.execute(insert(into), waiting)
                waiting = []
            if table is None:
                if line.get("rows") != rows or next(self._lines, None) is not None:
                    raise _damaged()
                break
            waiting.append(_typed(line.get("row"), table))
            rows[table.name] += 1
            into = table
        else:
            raise BackupError("This backup was cut: its end is missing. Nothing was changed.")
        if self.head.revision is not None:
            await connection.run_sync(upgrade)
        return rows


def _head(line: Mapping[str, Any]) -> Head:
    """What stands on the first line. Raises BackupError for what no backup says of itself."""
    revision, made, texts = line.get("revision", 0), line.get("made"), line.get("texts")
    if not (revision is None or (isinstance(revision, str) and revision)):
        raise _damaged()
    if not isinstance(made, str) or not isinstance(texts, dict):
        raise _damaged()
    if not all(isinstance(each, str) and _writable(each) for each in texts.values()):
        raise _damaged()
    return Head(revision, made, texts)


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON may name
        return False
    return True


def _typed(row: Any, table: Table) -> Mapping[str, Any]:
    """A row of a backup with its days as days."""
    if not isinstance(row, dict) or row.keys() != set(table.columns.keys()):
        raise _damaged()
    return {each.name: _value(row[each.name], each) for each in table.columns}


def _value(value: Any, column: Column[Any]) -> Any:
    """What a column may hold. Raises BackupError for what it may not."""
    kind = column.type.python_type
    if value is None and column.nullable:
        return None
    if kind is date and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise _damaged() from error
    if type(value) is not kind or (kind is int and abs(value) > _LARGEST):
        raise _damaged()
    if kind is str and ("\0" in value or not _writable(value)):  # which PostgreSQL takes neither
        raise _damaged()
    return value


async def filled(connection: AsyncConnection) -> bool:
    """Whether there is any row of ours.

    Raises:
        NewerSchema: In tables that this program does not know.
    """
    now = await connection.run_sync(revision)
    if now is not None and now > REVISION:
        raise NewerSchema
    tables = (await connection.run_sync(_tables)).values()
    return any([await connection.scalar(select(exists(select(each)))) for each in tables])


def _drop(connection: Connection) -> None:
    found = _tables(connection)
    for table in found.values():
        table.drop(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def _lines(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The objects of a backup. Raises BackupError when it is none, or damaged."""
    with gzip.GzipFile(fileobj=file, mode="rb") as packed:
        try:
            while line := packed.readline(_LONGEST_LINE):
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise _damaged()
                yield found
        except gzip.BadGzipFile as error:
            raise BackupError("This is no backup of a playground.") from error
        except EOFError as error:
            raise BackupError(
                "This backup was cut: its end is missing. Nothing was changed."
            ) from error
        except (ValueError, RecursionError, zlib.error) as error:
            raise _damaged() from error
        except OSError as error:
            raise BackupError(f"The backup cannot be read: {error.strerror}.") from error


def _damaged() -> BackupError:
    return BackupError("This backup is damaged. Nothing was changed.")
