"""How many tokens accounts have used, by day."""

from datetime import date
from typing import Final

from sqlalchemy import Date, bindparam, select, text

from playground.store.database import Database
from playground.store.tables import usage

# SQLite and PostgreSQL have the same words for it; SQLAlchemy's would need a dialect of each.
_ADD: Final = text(
    "INSERT INTO usage (account, day, tokens) VALUES (:account, :day, :tokens) "
    "ON CONFLICT (account, day) DO UPDATE SET tokens = usage.tokens + excluded.tokens"
).bindparams(bindparam("day", type_=Date()))


class Usage:
    """Every method raises StoreError when the database does not do its part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(self, account: str, day: date) -> int:
        """Tokens that an account has used on a day."""
        query = select(usage.c.tokens).where(usage.c.account == account, usage.c.day == day)
        async with self._database.read() as connection:
            return await connection.scalar(query) or 0

    async def add(self, account: str, day: date, tokens: int) -> None:
        """Count more of them; replicas may do so at the same time."""
        async with self._database.begin() as connection:
            await connection.execute(_ADD, {"account": account, "day": day, "tokens": tokens})
