"""How one task hands what it reads to another: by the read, not by the token."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio

T = TypeVar("T")

# So many reads a second cost a core some third of its time, measured at some 100 µs each: with more
# streams than these bear a stream is read less often.
_READS_A_SECOND: Final = 2750
# Nobody sees more than 120 changes a second. An engine that writes slower is read at each token.
_QUICKEST_S: Final = 1 / 120
# How much slower a beat may become, and when and by how much it does: it slows down as soon as the
# loop is late by half the pace, and is back a second or so after the loop is in time.
_SLOWEST: Final = 3.0
_LATE, _SLOWER = 1 / 2, 1.5
_IN_TIME, _FASTER = 1 / 8, 1 / 1.1


class Beat:
    """The rhythm that streams are read in: one for all, so that one turn of the loop reads them.

    Each read costs more than the tokens it brings, so the beat is as quick as the streams are few,
    and a loop that does not keep up has it up to three times as slow.

    Args:
        pace: Seconds between two reads of a stream where there are many; 0 for no beat at all.

    Attributes:
        streams: How many are read.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._slowness = 1.0
        self._judged = 0.0
        self.streams = 0

    @property
    def length(self) -> float:
        """Seconds at present."""
        needed = max(self.streams / _READS_A_SECOND, _QUICKEST_S)
        return min(needed, self._pace) * self._slowness

    async def wait(self) -> None:
        """Until the next beat, on the loop's clock."""
        if self._pace <= 0:
            return
        loop = asyncio.get_running_loop()
        now, length = loop.time(), self.length
        # A timer may wake a little before its time: that beat is over, too.
        due = (now // length + 1 + (now % length > 0.99 * length)) * length
        await asyncio.sleep(due - now)
        if due > self._judged:  # the first one who wakes judges for all
            self._judged = due
            self.judge(loop.time() - due)

    def judge(self, late: float) -> None:
        """Adapt the length to how late a beat was, in seconds."""
        if late > _LATE * self._pace:
            self._slowness = min(self._slowness * _SLOWER, _SLOWEST)
        elif late < _IN_TIME * self._pace:
            self._slowness = max(self._slowness * _FASTER, 1.0)


class Feed(Generic[T]):
    """A hand-over of items between one reader, in a task of its own, and one taker.

    The reader puts item after item, and awaits `gate` before it reads more bytes: there everything
    put since the last time is handed over as one list. It waits until the taker has taken that, so
    a slow taker slows the reader, and then for the next beat. Knows nothing of HTTP.
    """

    def __init__(self, beat: Beat) -> None:
        self._beat = beat
        self._items: list[T] = []
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self.used = False
        self.ended = False
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """An item for the taker, handed over at the next gate."""
        self.used = True
        self._items.append(item)

    def end(self, error: Exception | None = None) -> None:
        """No more items; `error` is raised to the taker behind those that were put."""
        self.ended = True
        self._error = error
        self._ready.set()

    async def gate(self) -> None:
        """Hand over what was put, and wait until more may be read."""
        if not self._items:
            return
        self._taken.clear()
        self._ready.set()
        await self._taken.wait()
        await self._beat.wait()

    async def take(self) -> list[T]:
        """The items of the next hand-over, at least one; an empty list when there are no more."""
        if not self.ended:
            await self._ready.wait()
            self._ready.clear()
        items, self._items = self._items, []
        self._taken.set()
        if not items and self._error is not None:
            raise self._error
        return items


async def hand_over(
    beat: Beat, fill: Callable[[Feed[T]], Awaitable[None]]
) -> AsyncGenerator[list[T], None]:
    """What a reader puts into a feed, in the lists that it hands over.

    Closing the generator ends the reader, and waits until it has ended.

    Args:
        fill: The reader; what it raises is raised here behind what it has put.
    """
    feed: Feed[T] = Feed(beat)

    async def read() -> None:
        try:
            await fill(feed)
        except Exception as error:
            feed.end(error)

    reader = asyncio.create_task(read())
    beat.streams += 1
    try:
        while batch := await feed.take():
            yield batch
    finally:
        beat.streams -= 1
        if not feed.ended:
            reader.cancel()
        # The scopes of anyio cancel again at every await: unshielded, the wait would end at once
        # and leave the closing to itself.
        with anyio.CancelScope(shield=True):
            await asyncio.wait([reader])
