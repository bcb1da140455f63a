"""Snapshots: records that a link shows, to whoever has it."""

import time
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update

from playground.domain.digest import digest
from playground.domain.errors import NotFound
from playground.domain.names import plain_name
from playground.sharing.record import Record
from playground.store.database import Database
from playground.store.tables import shares
from playground.store.tokens import new_token

# One and the same for what never was, is over, was withdrawn, or is another's.
GONE: Final = "There is nothing here: the link is wrong, has expired, or was withdrawn."


@dataclass(frozen=True, slots=True)
class Share:
    """A snapshot, without its record. Times are seconds since 1970, ``None`` without an end.

    Attributes:
        kind: "chat" or "comparison".
        private: Only for who is logged in, where people log in.
        views: How often others than its owner opened its page.
    """

    token: str
    owner: str
    title: str
    kind: str
    private: bool
    views: int
    created: int
    expires: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A share with its record, the JSON exactly as it was stored."""

    share: Share
    record: str


# All but the record, which may be long.
_SHOWN: Final = tuple(shares.c[field.name] for field in fields(Share))


class Shares:
    """All snapshots. Every method raises StoreError when the database does not do its part.

    Args:
        retention_s: A snapshot ends so many seconds after it was made, whatever its own end is.
    """

    def __init__(self, database: Database, retention_s: int | None = None) -> None:
        self._database = database
        self._retention_s = retention_s

    async def create(
        self, owner: str, record: Record, *, title: str, expires_in_s: int | None, private: bool
    ) -> Share:
        """A snapshot that its link shows from now on."""
        now = int(time.time())
        values: dict[str, Any] = {
            "token": new_token(),
            "owner": owner,
            "title": title,
            "kind": record.kind,
            "private": private,
            "views": 0,
            "created": now,
            "expires": None if expires_in_s is None else now + expires_in_s,
        }
        async with self._database.begin() as connection:
            await connection.execute(
                insert(shares).values(id=digest(values["token"]), record=record.text, **values)
            )
        return self._shown(Share(**values))

    async def get(self, token: str) -> Snapshot:
        """A snapshot that its link shows.

        Raises:
            NotFound: For any other.
        """
        query = select(shares).where(shares.c.id == digest(token), self._works())
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound(GONE)
        return Snapshot(self._share(row), row.record)

    async def of(self, owner: str | None = None) -> list[Share]:
        """The snapshots of an owner, or of everybody, the newest first.

        Also those that have expired lately.
        """
        query = select(*_SHOWN).order_by(shares.c.created.desc(), shares.c.id)
        if owner is not None:
            query = query.where(shares.c.owner == owner)
        async with self._database.read() as connection:
            return [self._share(row) for row in await connection.execute(query)]

    async def seen(self, token: str) -> None:
        """Somebody else than the owner opened the page."""
        change = update(shares).where(shares.c.id == digest(token))
        async with self._database.begin() as connection:
            await connection.execute(change.values(views=shares.c.views + 1))

    async def delete(self, token: str, owner: str | None = None) -> None:
        """Withdraw a snapshot, which must be this owner's if one is named.

        Its link shows nothing from now on.

        Raises:
            NotFound: There is no such link, or it is another owner's.
        """
        which = shares.c.id == digest(token)
        if owner is not None:
            which = and_(which, shares.c.owner == owner)
        async with self._database.begin() as connection:
            found = await connection.execute(delete(shares).where(which))
        if not found.rowcount:
            raise NotFound(GONE)

    def _works(self) -> ColumnElement[bool]:
        now = int(time.time())
        works = or_(shares.c.expires.is_(None), shares.c.expires > now)
        if self._retention_s is not None:
            works = and_(works, shares.c.created > now - self._retention_s)
        return works

    def _share(self, row: Row[Any]) -> Share:
        share = Share(*(getattr(row, field.name) for field in fields(Share)))
        return self._shown(replace(share, title=plain_name(share.title)))

    def _shown(self, share: Share) -> Share:
        """With the end that it has by the retention, too."""
        if self._retention_s is None:
            return share
        end = share.created + self._retention_s
        return replace(share, expires=end if share.expires is None else min(end, share.expires))
