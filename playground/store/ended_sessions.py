"""Logins that were ended before their time, so that every replica knows."""

from sqlalchemy import Select, insert, select

from playground.domain.digest import digest
from playground.store.database import Database
from playground.store.tables import ended_sessions


class EndedSessions:
    """By the session's id, of which only the digest is kept. Both methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def end(self, session: str, expires: int) -> None:
        """Keep that it is over; after `expires`, seconds since 1970, that need not be known."""
        async with self._database.begin() as connection:
            if await connection.scalar(_of(session)) is None:
                await connection.execute(
                    insert(ended_sessions).values(id=digest(session), expires=expires)
                )

    async def ended(self, session: str) -> bool:
        """Whether it was ended, by this replica or another one."""
        async with self._database.read() as connection:
            return await connection.scalar(_of(session)) is not None


def _of(session: str) -> Select[str]:
    return select(ended_sessions.c.id).where(ended_sessions.c.id == digest(session))
