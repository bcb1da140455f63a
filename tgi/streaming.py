"""How one task hands what it reads to another: by the read, not by the token."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """A hand-over of items between one reader, in a task of its own, and one taker.

    The reader puts item after item, and awaits `gate` before it reads more bytes: there everything
    put since the last time is handed over as one list. It waits until the taker has taken that, so
    a slow taker slows the reader, and then for the next beat of `pace` seconds (0: for none).
    Knows nothing of HTTP.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._items: list[T] = []
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self.used = False
        self.ended = False
        self._error: Exception | None = None

    def put(self, item: T) -> None:
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
        if self._pace > 0:
            # To the next beat of the loop's clock, not a time from now: all streams of a pace are
            # read in one turn of the loop, which costs a quarter less for each token.
            await asyncio.sleep(self._pace - asyncio.get_running_loop().time() % self._pace)

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
