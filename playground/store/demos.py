"""Demo links: what is fixed, what may be spent, and what is. No request can spend more.

`spent_tokens` of a link counts what its answers took and what the running ones have reserved. A
reservation is one UPDATE that holds only where the budget has room for it, so two replicas cannot
both take the last tokens; a row beside it says how much and since when. When the answers have
ended, what they did not take is given back and the row goes. A process that is killed gives nothing
back: after `HOLD_S` whoever next finds too little left deletes the row, and its tokens return to
the budget. What the killed process had written until then is not known, and not counted.
"""

import json
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from playground.domain.digest import digest
from playground.domain.errors import Busy, NotFound
from playground.sharing.demo import Demo, Terms, UsedUp, read_demo, write_demo
from playground.store.database import Database
from playground.store.tables import demos, reservations
from playground.store.tokens import new_token

# Answers end before that (`ANSWERS_END_S`), so a row that is older belongs to nobody any more.
HOLD_S: Final = 900
ANSWERS_END_S: Final = 600

GONE: Final = "There is no such demo: the link is wrong, or it is not open any more."


@dataclass(frozen=True, slots=True)
class DemoLink:
    """A demo and its account, in tokens. Times are seconds since 1970, ``None`` without an end.

    Attributes:
        spent: What answers that have ended took.
        held: What running ones have reserved.
    """

    token: str
    owner: str
    demo: Demo
    budget: int
    spent: int
    held: int
    enabled: bool
    created: int
    expires: int | None

    @property
    def left(self) -> int:
        """Tokens of the budget that nobody has spent; running answers' are still in it."""
        return self.budget - self.spent

    @property
    def expired(self) -> bool:
        """Whether its end has come."""
        return self.expires is not None and self.expires <= time.time()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens that the answers of one request may take, to be settled once."""

    id: str
    token: str
    tokens: int


class Demos:
    """All demo links. Every method raises StoreError when the database does not do its part.

    Args:
        retention_s: A link ends so many seconds after it was made, whatever its own end is.
    """

    def __init__(self, database: Database, retention_s: int | None = None) -> None:
        self._database = database
        self._retention_s = retention_s

    async def create(self, owner: str, terms: Terms) -> DemoLink:
        """A link that works from now on."""
        token, now = new_token(), int(time.time())
        lives = [each for each in (terms.expires_in_s, self._retention_s) if each is not None]
        expires = now + min(lives) if lives else None
        async with self._database.begin() as connection:
            await connection.execute(
                insert(demos).values(
                    id=digest(token),
                    token=token,
                    owner=owner,
                    title=terms.demo.title,
                    document=json.dumps(write_demo(terms.demo)),
                    budget_tokens=terms.budget_tokens,
                    spent_tokens=0,
                    enabled=True,
                    created=now,
                    expires=expires,
                )
            )
        return DemoLink(token, owner, terms.demo, terms.budget_tokens, 0, 0, True, now, expires)

    async def all(self, owner: str | None = None) -> list[DemoLink]:
        """The links of an owner, or of everybody, the newest first."""
        query = _links().order_by(demos.c.created.desc(), demos.c.id)
        if owner is not None:
            query = query.where(demos.c.owner == owner)
        async with self._database.read() as connection:
            return [_link(row) for row in await connection.execute(query)]

    async def get(self, token: str) -> DemoLink:
        """A link that works.

        Raises:
            NotFound: For any other.
        """
        async with self._database.read() as connection:
            return await _open_link(connection, token)

    async def working(self, tokens: Collection[str]) -> set[str]:
        """Those of some links that still work."""
        query = select(demos.c.token).where(
            demos.c.id.in_([digest(token) for token in tokens]), _works()
        )
        async with self._database.read() as connection:
            return set(await connection.scalars(query))

    async def enable(self, token: str, enabled: bool, *, owner: str | None = None) -> DemoLink:
        """Switch a link on or off.

        Raises:
            NotFound: There is no such link, or it is another owner's.
        """
        async with self._database.begin() as connection:
            found = await connection.execute(
                update(demos).where(_own(token, owner)).values(enabled=enabled)
            )
            if not found.rowcount:
                raise NotFound(GONE)
            return _link((await connection.execute(_links().where(_is(token)))).one())

    async def delete(self, token: str, *, owner: str | None = None) -> None:
        """Delete a link, with what its running answers have reserved.

        Raises:
            NotFound: There is no such link, or it is another owner's.
        """
        async with self._database.begin() as connection:
            found = await connection.execute(delete(demos).where(_own(token, owner)))
            if not found.rowcount:
                raise NotFound(GONE)
            await connection.execute(
                delete(reservations).where(reservations.c.demo == digest(token))
            )

    async def reserve(self, token: str, most: int, least: int) -> Reservation:
        """Tokens for the answers of one request: `most`, or what is left, but at least `least`.

        Raises:
            UsedUp: The budget has no room for another answer.
            Busy: While others hold what is left.
            NotFound: For a link that does not work.
        """
        reservation = secrets.token_hex(16)
        while True:
            async with self._database.begin() as connection:
                link = await _open_link(connection, token)
                free = link.left - link.held
                if free < least:
                    free += await _reclaim(connection, token)
                if free < least:
                    raise _refusal(link, least)
                tokens = min(most, free)
                if await _take(connection, token, tokens):
                    await connection.execute(
                        insert(reservations).values(
                            id=reservation, demo=digest(token), tokens=tokens, at=int(time.time())
                        )
                    )
                    return Reservation(reservation, token, tokens)
            # Another request took some of what was free: look again at what is left of it.

    async def settle(self, reservation: Reservation, used: int) -> None:
        """Give back what the answers did not take.

        Args:
            used: Tokens, counted as at most as many as reserved.
        """
        used = max(0, min(used, reservation.tokens))
        async with self._database.begin() as connection:
            found = await connection.execute(
                delete(reservations).where(reservations.c.id == reservation.id)
            )
            # Without the row, all of it has already been given back.
            rest = reservation.tokens - used if found.rowcount else -used
            await connection.execute(
                update(demos)
                .where(_is(reservation.token))
                .values(spent_tokens=demos.c.spent_tokens - rest)
            )


def _links() -> Select[Any]:
    """All links, each with what is reserved of it."""
    held = select(func.coalesce(func.sum(reservations.c.tokens), 0)).where(
        reservations.c.demo == demos.c.id
    )
    return select(demos, held.scalar_subquery().label("held"))


def _link(row: Row[Any]) -> DemoLink:
    held = int(row.held)  # PostgreSQL's sum of integers is a Decimal
    return DemoLink(
        token=row.token,
        owner=row.owner,
        demo=read_demo(row.title, json.loads(row.document)),
        budget=row.budget_tokens,
        spent=row.spent_tokens - held,
        held=held,
        enabled=row.enabled,
        created=row.created,
        expires=row.expires,
    )


def _is(token: str) -> ColumnElement[bool]:
    return demos.c.id == digest(token)


def _own(token: str, owner: str | None) -> ColumnElement[bool]:
    return _is(token) if owner is None else and_(_is(token), demos.c.owner == owner)


def _works() -> ColumnElement[bool]:
    return and_(demos.c.enabled, or_(demos.c.expires.is_(None), demos.c.expires > int(time.time())))


async def _open_link(connection: AsyncConnection, token: str) -> DemoLink:
    row = (await connection.execute(_links().where(_is(token), _works()))).one_or_none()
    if row is None:
        raise NotFound(GONE)
    return _link(row)


async def _take(connection: AsyncConnection, token: str, tokens: int) -> bool:
    """Whether the tokens were free, and now are reserved."""
    taken = await connection.execute(
        update(demos)
        .where(_is(token), _works(), demos.c.budget_tokens - demos.c.spent_tokens >= tokens)
        .values(spent_tokens=demos.c.spent_tokens + tokens)
    )
    return bool(taken.rowcount)


async def _reclaim(connection: AsyncConnection, token: str) -> int:
    """Give back what processes had reserved that are no more; how many tokens.

    What was reserved in the future is of a clock that was set back since, and is lost, too.
    """
    now, at = time.time(), reservations.c.at
    lost = await connection.scalars(
        delete(reservations)
        .where(
            reservations.c.demo == digest(token),
            or_(at < now - HOLD_S, at > now + HOLD_S),
        )
        .returning(reservations.c.tokens)
    )
    tokens: int = sum(lost)
    if tokens:
        await connection.execute(
            update(demos).where(_is(token)).values(spent_tokens=demos.c.spent_tokens - tokens)
        )
    return tokens


def _refusal(link: DemoLink, least: int) -> UsedUp | Busy:
    if link.left < least:
        return UsedUp("This demo's budget is used up. What has been written stays on your page.")
    return Busy(
        "What is left of this demo's budget is held by answers that are being written. Try again "
        "when they have ended.",
        retry_after=5,
    )
