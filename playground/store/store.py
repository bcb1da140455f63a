"""All that is kept, by kind; one database behind them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

from playground.errors import StoreError
from playground.settings import Settings
from playground.store.database import Database
from playground.store.demos import Demos

_log: Final = logging.getLogger(__name__)
# Between two rounds of deleting what is over, and after one that failed.
_ROUND_S: Final = 6 * 3600.0
_SOON_S: Final = 60.0


class Store:
    """What the routes ask for what is kept. Every method of its parts may raise StoreError."""

    def __init__(self, database: Database, *, retention_days: int | None = None) -> None:
        self.database = database
        self.demos = Demos(database)
        self._retention_days = retention_days

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Nothing is opened yet: that the database is away is the trouble of who needs it."""
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
        await self.database.aclose()

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """While this lasts, what is over is deleted from time to time; closed at the end."""
        tending = asyncio.create_task(self._tend())
        try:
            yield
        finally:
            tending.cancel()
            with suppress(asyncio.CancelledError):
                await tending
            await self.aclose()

    async def _tend(self) -> None:
        """Any number of replicas may do this at once: what is deleted twice is gone."""
        while True:
            try:
                await self.sweep()
                pause = _ROUND_S
            except StoreError:
                pause = _SOON_S
            await asyncio.sleep(pause)

    async def sweep(self) -> None:
        """Delete what is over. Raises StoreError."""
        async with self.database.begin():
            pass
