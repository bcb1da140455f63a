"""The connection to the database: SQLite in the data folder, or PostgreSQL.

It is opened by the first who needs it, and anew after it failed: a playground whose database is
away starts and chats. Nobody waits for it longer than `PATIENCE` seconds a step. Whoever adds a
kind of thing to keep writes a table (tables.py), a migration, and a module with a class that takes
a Database and works inside ``async with database.begin() as connection``.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, Connection, NullPool, PoolProxiedConnection, event, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from playground.settings import Settings
from playground.store.errors import Unmade, translated
from playground.store.migration import migrate, revision

PATIENCE: Final = 5.0  # seconds
_MIGRATION_PATIENCE: Final = 30.0
_CONNECTIONS: Final = 5
FILE: Final = "playground.sqlite"


class Database:
    """Transactions on one database.

    Args:
        path: The SQLite file; made with its folder, for its owner alone, where it is not there.
        url: PostgreSQL's address instead.
        patience: Seconds that each step may take: a connection, another writer's end, a
            transaction.
    """

    def __init__(
        self, path: Path | None = None, url: URL | None = None, *, patience: float = PATIENCE
    ) -> None:
        assert (path is None) != (url is None)
        self._patience = patience
        self._path = path
        self.url = url or URL.create("sqlite+aiosqlite", database=str(path))
        self._engine: AsyncEngine | None = None
        self._opening: asyncio.Task[AsyncEngine] | None = None
        self._file: tuple[int, int] | None = None
        self._writing = asyncio.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The database that the settings name, not opened yet."""
        if (address := settings.database_address()) is None:
            return cls(path=settings.data_dir / FILE)
        url = make_url(address).set(drivername="postgresql+asyncpg")
        if password := settings.database_key():
            url = url.set(password=password)
        if mode := url.query.get("sslmode"):  # libpq's name for what asyncpg calls ssl
            url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
        return cls(url=url)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: all of it is kept at the end of the block, or nothing.

        It sees no other writer's half-done work: on SQLite one writes at a time, on PostgreSQL use
        one conditional UPDATE where two could meet.

        Raises:
            StoreError: The database does not do its part.
        """
        async with self._transaction(writing=True) as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, also while another program writes.

        Raises:
            StoreError: The database does not do its part.
        """
        async with self._transaction(writing=False) as connection:
            yield connection

    async def revision(self) -> str | None:
        """Which tables it has, ``None`` for none yet; nothing is made or changed by asking.

        Raises:
            StoreError: The database does not do its part.
        """
        if not self.exists():
            return None
        async with self.untended(PATIENCE) as connection:
            return await connection.run_sync(revision)

    def exists(self) -> bool:
        """Whether there is a file; PostgreSQL's is always somewhere."""
        return self._path is None or self._path.exists()

    @asynccontextmanager
    async def untended(
        self, patience: float = _MIGRATION_PATIENCE, *, writing: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction on the tables as they are, of whichever version, or on none.

        What it reads is all of one moment, whoever writes meanwhile.

        Args:
            patience: Seconds that a statement may take.

        Raises:
            StoreError: The database does not do its part.
        """
        with translated():
            if writing and self._path is not None:
                await asyncio.to_thread(_make, self._path)
            engine = self._connecting(patience, poolclass=NullPool)
            options: dict[str, Any] = {"writing": writing}
            if self._path is None:
                options["isolation_level"] = "REPEATABLE READ"
            try:
                async with engine.execution_options(**options).begin() as connection:
                    yield connection
            finally:
                await engine.dispose()

    async def aclose(self) -> None:
        """Close all connections; the next transaction would open it again."""
        if self._opening is not None:
            self._opening.cancel()
        engine, self._engine = self._engine, None
        if engine is not None:
            # A server that hangs does not say goodbye either.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await engine.dispose()

    @asynccontextmanager
    async def _transaction(self, *, writing: bool) -> AsyncIterator[AsyncConnection]:
        with translated():
            engine = await self._opened()
            async with (
                self._turn(writing),
                engine.execution_options(writing=writing).begin() as connection,
            ):
                with self._watched(await connection.get_raw_connection()):
                    yield connection

    @asynccontextmanager
    async def _turn(self, writing: bool) -> AsyncIterator[None]:
        """This process's turn to write to SQLite.

        SQLite's own wait for a writer is a lottery: of fifty at once, some lose it for seconds. So
        those of this process write in the order in which they came.
        """
        if self._path is None or not writing:
            yield
            return
        async with asyncio.timeout(self._patience):
            await self._writing.acquire()
        try:
            yield
        finally:
            self._writing.release()

    async def _opened(self) -> AsyncEngine:
        if self._engine is not None and self._path and self._file != _identity(self._path):
            # Deleted or replaced while it was open: what is written to it would be lost.
            await self.aclose()
        if self._engine is not None:
            return self._engine
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._open_ended)
        async with asyncio.timeout(2 * self._patience):
            return await asyncio.shield(self._opening)

    def _open_ended(self, opening: "asyncio.Task[AsyncEngine]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._engine = opening.result()

    async def _open(self) -> AsyncEngine:
        if self._path is not None:
            await asyncio.to_thread(_make, self._path)
        await migrate(self._migrating)
        if self._path is not None:
            self._file = _identity(self._path)
        remote = self._path is None
        return self._connecting(
            self._patience,
            pool_size=_CONNECTIONS,
            pool_timeout=self._patience,
            pool_pre_ping=remote,
        )

    def _migrating(self) -> AsyncEngine:
        engine = self._connecting(_MIGRATION_PATIENCE, poolclass=NullPool)
        return engine.execution_options(writing=True)

    def _connecting(self, patience: float, **options: Any) -> AsyncEngine:
        """An engine. patience: seconds that a statement may take."""
        if self._path is not None:
            arguments: dict[str, Any] = {"timeout": patience}  # for another writer's end
        else:
            arguments = {
                "timeout": self._patience,  # for the connection
                "command_timeout": patience,
                "server_settings": {"application_name": "playground"},
            }
        engine = create_async_engine(
            self.url, connect_args=arguments, hide_parameters=True, **options
        )
        if self._path is not None:
            event.listen(engine.sync_engine, "connect", _set_pragmas)
            event.listen(engine.sync_engine, "begin", _begin)
        return engine

    @contextmanager
    def _watched(self, connection: PoolProxiedConnection) -> Iterator[None]:
        """Ends a PostgreSQL connection under a transaction that takes too long.

        To cancel its task would not do: asyncpg would wait for the hung server to confirm that.
        """
        end = getattr(connection.driver_connection, "terminate", None)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._patience, end) if end is not None else None
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()


def _make(path: Path) -> None:
    """The folder and the file, for their owner alone; those that are there stay as they are.

    A file that is there is not even opened: to close it would take away the locks that other
    connections of this process have on it, and so damage it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise OSError(errno.EROFS, "not writable")  # SQLite would only say: cannot open
    except OSError as error:
        raise Unmade from error


def _identity(path: Path) -> tuple[int, int] | None:
    """By which a file is known again under its name; ``None`` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_pragmas(connection: Any, _: object) -> None:
    try:
        connection.isolation_level = None  # transactions begin when we say so, in _begin
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
    except BaseException:
        connection.close()  # the pool does not know it yet, and would leave it and its thread
        raise


def _begin(connection: Connection) -> None:
    """Begin a transaction, with the right to write where it will.

    That avoids a wait that cannot end: two that have read, and now both want to write.
    """
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
