"""All that is kept, by kind; one database behind them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from sqlalchemy import delete, or_, select

from playground.domain.errors import StoreError
from playground.settings import Settings
from playground.store.database import Database
from playground.store.demos import Demos
from playground.store.shares import Shares
from playground.store.tables import demos, ended_sessions, reservations, shares, usage

# Between two rounds of deleting what is over, and after one that failed.
_ROUND_S: Final = 6 * 3600.0
_SOON_S: Final = 60.0
_DAY_S: Final = 86_400
# So long an owner still sees in the list that a link has expired, or how much a user has used.
_SHOWN_DAYS: Final = 30

_log: Final = logging.getLogger(__name__)


class Store:
    """What the routes ask for what is kept. Every method of its parts may raise StoreError."""

    def __init__(self, database: Database, *, retention_days: int | None = None) -> None:
        self.database = database
        self._retention_s = None if retention_days is None else retention_days * _DAY_S
        self.shares = Shares(database, self._retention_s)
        self.demos = Demos(database, self._retention_s)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Nothing is opened yet: that the database is away is the concern of who needs it."""
        database = Database.from_settings(settings)
        return cls(database, retention_days=settings.retention_days)

    async def answers(self) -> bool:
        """Whether the database does what it is asked."""
        try:
            async with self.database.read() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except StoreError:
            return False
        return True

    async def aclose(self) -> None:
        """Close the database."""
        await self.database.aclose()

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """While this lasts, what is over is deleted from time to time; closed at the end."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.aclose)
            closing.push_async_callback(_ended, asyncio.create_task(self._tend()))
            yield

    async def _tend(self) -> None:
        """Any number of replicas may do this at once: what is deleted twice is gone."""
        while True:
            pause = _SOON_S
            try:
                await self.sweep()
                pause = _ROUND_S
            except StoreError:  # the log says why
                pass
            except Exception:  # or nothing would be deleted any more
                _log.exception("What is over could not be deleted; the next round is in a minute.")
            await asyncio.sleep(pause)

    async def sweep(self) -> None:
        """Delete what is over.

        Raises:
            StoreError: The database does not do its part.
        """
        now, today = int(time.time()), datetime.now(UTC).date()
        async with self.database.begin() as connection:
            for links in (shares, demos):
                over = links.c.expires < now - _SHOWN_DAYS * _DAY_S
                if self._retention_s is not None:
                    over = or_(over, links.c.created < now - self._retention_s)
                await connection.execute(delete(links).where(over))
            orphaned = reservations.c.demo.not_in(select(demos.c.id))
            await connection.execute(delete(reservations).where(orphaned))
            await connection.execute(delete(ended_sessions).where(ended_sessions.c.expires < now))
            first = today - timedelta(days=_SHOWN_DAYS)
            await connection.execute(delete(usage).where(usage.c.day < first))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
