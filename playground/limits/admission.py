"""Whose answers are written now, who waits for that, and how all of it is stopped.

There is a limit of answers written at a time. A request that comes when there is no room waits in a
queue of bounded length: who came first is first, but an account's second request stands behind the
first ones of all others, its third behind their second ones, and so on, so that nobody fills the
queue for the others. And each account has a limit of its own, waiting answers included.

An id is known to the process that writes the stream and to its reader, and to nobody else. Whoever
comes by it all the same, in a proxy's log say, can do nothing with it, unless nobody logs in and
they share its reader's address.
"""

import asyncio
import math
import secrets
import time
from bisect import insort
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Final, Self

import anyio

from playground.domain.amounts import amount
from playground.domain.errors import Busy, InvalidRequest, NotFound, ShuttingDown
from playground.domain.messages import Failed
from playground.domain.principal import Principal, kind_of
from playground.generation.comparison import Stop
from playground.settings import Settings

_ID_BYTES: Final = 16  # 128 bits: an id cannot be guessed
# How long a request is taken to last before one has ended, and how much the latest one weighs.
_USUAL_S: Final = 15.0
_LATEST: Final = 0.1
_LONGEST_RETRY_S: Final = 120
# How long the readers' last events may take to be written when the grace is over.
_LAST_WORDS_S: Final = 2.0

_NOT_BEGUN: Final = Failed(
    "shutdown", "This server is stopping, and the answer was not begun. Try again.", True
)
_CUT_OFF: Final = Failed(
    "shutdown",
    "This server is stopping, and the answer is not complete. What was written stays; Continue "
    "goes on with it once the server is back.",
    True,
)


class Ticket:
    """One request's claim, on a place for each of its panes.

    Args:
        asker: Whose it is.
        stops: One for each pane.

    Attributes:
        number: The stream's id.
        owner: Whose it is, as a principal's owner.
        account: Whose answers are counted.
        size: Places that it takes.
        place: From 1 in the queue, 0 once it is being answered.
        turn: By which the queue is sorted.
        since: When it came or was let in, in seconds on the monotonic clock.
        waited_s: Seconds in the queue.
    """

    def __init__(self, asker: Principal, stops: Sequence[Stop]) -> None:
        self.number = secrets.token_hex(_ID_BYTES)
        self.owner = asker.owner
        self.account = asker.account
        self.stops = stops
        self.size = len(stops)
        self.place = 0
        self.turn: int  # once it stands in line: what it is sorted by there
        self.since = time.monotonic()
        self.waited_s = 0.0
        self._changed = asyncio.Event()

    def is_of(self, asker: Principal) -> bool:
        """Whether it is this one's.

        A browser keeps its cookie where its address changes, and a script without cookies its
        address.
        """
        return asker.owner == self.owner or asker.account == self.account

    def tell(self) -> None:
        """Wake whoever waits with it: its place has changed, or a stop was asked."""
        self._changed.set()

    async def waits(self, idle: float) -> AsyncGenerator[int | None, None]:
        """Its place, now and after every change of it or of a stop, until it is being answered.

        ``None`` when nothing has changed for `idle` seconds.
        """
        while self.place:
            self._changed.clear()
            yield self.place
            while self.place and not self._changed.is_set():
                with anyio.move_on_after(idle):
                    await self._changed.wait()
                if not self._changed.is_set():
                    yield None


class Admission:
    """Who is answered, who waits, and how all of it is stopped.

    Args:
        limit: Of answers written at a time; an engine may write fewer, see `fit`.
        limit_each: Of answers of one account, waiting ones included.
        queue_limit: Of requests that wait in the queue.

    Attributes:
        limit: Of answers written at a time now.
        writing: Answers being written.
        closing: Whether this server is stopping.
    """

    def __init__(self, *, limit: int, limit_each: int, queue_limit: int) -> None:
        self.limit = self._most = limit
        self.limit_each = limit_each
        self.queue_limit = queue_limit
        self.writing = 0
        self.closing = False
        self._queue: list[Ticket] = []
        self._running: dict[str, Ticket] = {}
        self._own: Counter[str] = Counter()
        self._turn = 0
        self._usual_s = _USUAL_S
        self._empty = asyncio.Event()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """With the limits of the settings."""
        return cls(
            limit=settings.max_streams,
            limit_each=settings.max_streams_per_user,
            queue_limit=settings.max_waiting,
        )

    @property
    def waiting(self) -> int:
        """How many requests wait in the queue."""
        return len(self._queue)

    def fit(self, slots: int) -> None:
        """Let no more be written at a time than the engine does, and no more than the limit.

        The others would wait in the engine, where nobody sees the line.
        """
        limit = min(self._most, slots)
        if limit != self.limit:
            self.limit = limit
            self._move()

    def enter(self, asker: Principal, stops: Sequence[Stop]) -> Ticket:
        """A place for each pane, or one in the queue; to be given back with `leave`.

        Raises:
            Busy: When the account has too many answers or the queue is full.
            ShuttingDown: This server begins no more answers.
            InvalidRequest: For more panes than could ever be answered at once.
        """
        ticket, account = Ticket(asker, stops), asker.account
        size, own = ticket.size, self._own[account]
        if self.closing:
            raise ShuttingDown("This server is stopping and begins no more answers.")
        most = min(self._most, self.limit_each)
        if size > most:
            raise InvalidRequest(
                f"This server writes {most} answers at a time for one "
                f"user; {size} side by side are too many for it.",
                field="panes",
            )
        if own + size > self.limit_each:
            who = kind_of(account)
            raise Busy(
                f"This server takes {self.limit_each} answers at a time for one {who}, those in "
                f"line included, and has {own} already. Try again when one has ended.",
                retry_after=self._seconds(size / own),
            )
        if not self._queue and self._has_room(size):
            self._admit(ticket)
        elif len(self._queue) < self.queue_limit:
            own_turns = [each.turn for each in self._queue if each.account == account]
            ticket.turn = max([self._turn, *own_turns]) + 1
            insort(self._queue, ticket, key=lambda each: each.turn)
            self._move()
        else:
            ahead = sum(each.size for each in self._queue) + size
            seconds = self._seconds(ahead / self.limit)
            room = "the line behind them is full" if self.queue_limit else "all are under way"
            raise Busy(
                f"This server writes {self.limit} answers at a time, and {room}. Try again in "
                f"{amount(seconds, 'second')}.",
                retry_after=seconds,
            )
        self._own[account] += size
        return ticket

    def leave(self, ticket: Ticket, *, begun: bool = True) -> None:
        """Give the places back, or leave the queue.

        Args:
            begun: Whether its time says how long requests take.
        """
        if self._running.pop(ticket.number, None):
            self.writing -= ticket.size
            if begun:
                lasted = time.monotonic() - ticket.since
                self._usual_s += _LATEST * (lasted - self._usual_s)
        else:
            self._queue.remove(ticket)
        self._release(ticket, ticket.size)
        self._move()
        if not self._running and not self._queue:
            self._empty.set()
            self._empty = asyncio.Event()

    def stop(self, number: str, pane: int, asker: Principal) -> None:
        """Stop one pane; the engine's connection closes at once, and the others go on.

        A pane that has ended is left as it is.

        Args:
            number: The stream's id.
            pane: From 0.
            asker: Who wants it stopped; only its reader may.

        Raises:
            NotFound: Such a stream or pane is not being written here for who asks: it has ended, or
                another process writes it, which `SharedStops` tells where processes share a server.
                Its reader can always stop it by leaving.
        """
        ticket = self._ticket(number)
        if ticket is None or not ticket.is_of(asker) or not 0 <= pane < len(ticket.stops):
            raise NotFound("This server is writing no such answer; it may have ended already.")
        stop = ticket.stops[pane]
        if ticket.place and not stop.asked:
            ticket.size -= 1
            self._release(ticket, 1)
        stop.ask()
        if ticket.place:
            ticket.tell()
            self._move()

    def cut_off(self, number: str, ending: Failed) -> None:
        """End all panes of a stream with these words, if it is still being written or waiting."""
        if ticket := self._ticket(number):
            for stop in ticket.stops:
                stop.ask(ending)
            ticket.tell()

    async def drain(self, grace: float) -> None:
        """Begin nothing more.

        Args:
            grace: Seconds within which what is being written may end; what has not is cut off then,
                and says so.
        """
        self.closing = True
        for ticket in self._queue:
            for stop in ticket.stops:
                stop.ask(_NOT_BEGUN)
            ticket.tell()
        await self._emptied(grace)
        for ticket in self._running.values():
            for stop in ticket.stops:
                stop.ask(_CUT_OFF)
        await self._emptied(_LAST_WORDS_S)

    async def _emptied(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            while self._running or self._queue:
                await self._empty.wait()

    def _ticket(self, number: str) -> Ticket | None:
        """That of a stream that is being written or waits."""
        waiting = (each for each in self._queue if each.number == number)
        return self._running.get(number) or next(waiting, None)

    def _admit(self, ticket: Ticket) -> None:
        now = time.monotonic()
        ticket.waited_s, ticket.since, ticket.place = now - ticket.since, now, 0
        self.writing += ticket.size
        self._running[ticket.number] = ticket

    def _move(self) -> None:
        """Let in whoever has room now, and tell the others their places."""
        while self._queue and not self.closing and self._has_room(self._queue[0].size):
            ticket = self._queue.pop(0)
            self._turn = ticket.turn
            self._admit(ticket)
            ticket.tell()
        for place, ticket in enumerate(self._queue, 1):
            if ticket.place != place:
                ticket.place = place
                ticket.tell()

    def _has_room(self, size: int) -> bool:
        """Whether so many places are free; a request of more panes than there are takes them all.

        An engine that writes fewer answers at a time writes them one after the other.
        """
        return self.writing + size <= self.limit or not self.writing

    def _release(self, ticket: Ticket, size: int) -> None:
        self._own[ticket.account] -= size
        if not self._own[ticket.account]:
            del self._own[ticket.account]

    def _seconds(self, share: float) -> int:
        """How long so much of what is being written takes, by how long requests took so far."""
        return min(max(math.ceil(self._usual_s * share), 1), _LONGEST_RETRY_S)
