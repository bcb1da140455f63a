"""How many tokens accounts have used, by day."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from playground.store.database import Database
from playground.store.tables import usage

# Both have ON CONFLICT in the same words, and SQLAlchemy no common name for it.
_INSERT: Final[Mapping[str, Callable[..., Any]]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


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
            added = _INSERT[connection.dialect.name](usage).values(
                account=account, day=day, tokens=tokens
            )
            await connection.execute(
                added.on_conflict_do_update(
                    index_elements=[usage.c.account, usage.c.day],
                    set_={"tokens": usage.c.tokens + added.excluded.tokens},
                )
            )
