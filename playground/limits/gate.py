"""Work that others wait for, beside answers: how much of it is done at a time, and who is next.

Markdown of a long text, the tokens of one: what one asks for takes from all others. So there is a
line for each kind, of bounded length. As in the queue of answers, an account's second request
stands behind the first ones of all others, and no account has more than its share.
"""

import asyncio
from bisect import insort
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playground.domain.errors import Busy, ShuttingDown
from playground.domain.principal import kind_of


@dataclass(slots=True)
class _Own:
    count: int = 0
    turn: int = -1


@dataclass(slots=True)
class _Place:
    account: str
    turn: int
    working: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)


class Gate:
    """One kind of work.

    Args:
        at_once: How much of it is done at a time.
        limit_each: Of one account, what waits included.
        limit: Of all together, what waits included.
    """

    def __init__(self, *, at_once: int, limit_each: int = 16, limit: int = 256) -> None:
        self._at_once = at_once
        self._limit_each = limit_each
        self._limit = limit
        self._working = 0
        self._line: list[_Place] = []
        # Of each account how much it has under way or in line, and the turn of the last of it.
        self._own: dict[str, _Own] = {}
        self._turn = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait in the line."""
        return len(self._line)

    def close(self) -> None:
        """Begin nothing more: who waits is told now, and what is being done may end."""
        self._closed = True
        for place in self._line:
            place.told.set()

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        """The work is to be done inside; who is cancelled leaves the line.

        Raises:
            Busy: The account has its share of the line, or the line is full.
            ShuttingDown: This server begins nothing more.
        """
        if self._closed:
            raise ShuttingDown("This server is stopping. Try again.")
        place = self._enter(account)
        try:
            await place.told.wait()
            if not place.working:
                raise ShuttingDown("This server is stopping. Try again.")
            yield
        finally:
            self._leave(place)

    def _enter(self, account: str) -> _Place:
        own = self._own.get(account, _Own())
        if own.count >= self._limit_each:
            raise Busy(
                f"{own.count} requests of this kind by this {kind_of(account)} are under way or in "
                "line, as many as it may have. Try again when one has ended."
            )
        if self._working + len(self._line) >= self._limit:
            raise Busy("The line of those who wait for this is full. Try again in a moment.")
        own.turn = max(self._turn, own.turn + 1)
        own.count += 1
        self._own[account] = own
        place = _Place(account, own.turn)
        insort(self._line, place, key=lambda each: each.turn)
        self._move()
        return place

    def _leave(self, place: _Place) -> None:
        if place.working:
            self._working -= 1
        else:
            self._line.remove(place)
        own = self._own[place.account]
        own.count -= 1
        if not own.count:
            del self._own[place.account]
        self._move()

    def _move(self) -> None:
        while self._line and self._working < self._at_once and not self._closed:
            place = self._line.pop(0)
            self._turn = place.turn
            self._working += 1
            place.working = True
            place.told.set()
