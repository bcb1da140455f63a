"""The tables brought to what this program expects, by Alembic, before anything else is asked.

Alembic is synchronous and keeps its context in a module, so it works in a thread of its own with an
event loop of its own: no stream waits for it, and two databases of one process take turns.
"""

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from playground.store.errors import NewerSchema
from playground.store.tables import REVISION

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_TURN: Final = threading.Lock()
# Any number that no other program takes for its lock in the same database.
_LOCK: Final = 0x6B746F


async def migrate(connect: Callable[[], AsyncEngine]) -> None:
    """Bring the tables of a database up to date; whoever comes second finds them so.

    All of it is one transaction. What SQLAlchemy and the drivers raise is passed on.

    Args:
        connect: Makes an engine that begins its transactions for writing. On PostgreSQL a lock that
            the transaction holds makes several replicas take turns, on SQLite the transaction
            itself.

    Raises:
        NewerSchema: The tables are those of a version that this program does not know.
    """
    await asyncio.to_thread(_migrate, connect)


def _migrate(connect: Callable[[], AsyncEngine]) -> None:
    async def run() -> None:
        engine = connect()
        try:
            async with engine.begin() as connection:
                await take_turn(connection)
                await connection.run_sync(upgrade)
        finally:
            await engine.dispose()

    with _TURN:
        try:
            asyncio.run(run())
        except BaseException as error:
            _forget(error)
            raise


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until nobody else changes the tables; on SQLite a transaction that writes is alone."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _forget(error: BaseException | None) -> None:
    """Drop what the frames of an error hold: cursors among it, which keep a closed file open."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def revision(connection: Connection) -> str | None:
    """Which tables are there; ``None`` for none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(connection: Connection, to: str = REVISION) -> None:
    """Bring the tables to a version, this program's own or one before it.

    Raises:
        NewerSchema: The tables are those of a version that this program does not know.
    """
    if revision(connection) == to:
        return
    # Here, since most starts have nothing to migrate, and it takes 10 MB and a tenth of a second.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, script, fn=lambda at, _: script._upgrade_revs(to, at)
    ) as environment:
        environment.configure(connection=connection, render_as_batch=True)
        try:
            environment.run_migrations()
        except CommandError as error:  # a revision that this program does not know
            raise NewerSchema from error
