"""Counters of what happens within some time.

Those of this process go by the monotonic clock: the clock of the day may be set back, and nobody
waits longer for that. Those that several processes share are in `limits/shared.py`.
"""

import time
from collections import deque
from typing import Final, Protocol

_SWEPT: Final = 1024  # keys, before those whose time is over are looked for


class Window(Protocol):
    """So many hits of a key within so many seconds."""

    async def full(self, key: str) -> bool:
        """Whether there is no room for another hit."""
        ...

    async def hit(self, key: str) -> bool:
        """Count one where there is room for it, in one step; whether there was."""
        ...

    async def take_back(self, key: str) -> None:
        """Take back one hit, if its window is not over meanwhile."""
        ...

    async def seconds_left(self, key: str) -> float:
        """Until the first hit is over; 0 where there is none."""
        ...


class Windows(Protocol):
    """Makes windows."""

    def __call__(self, name: str, most: int, seconds: int, *, moving: bool) -> Window:
        """A new one.

        Args:
            name: What it counts, another than that of every other window.
            most: Hits that a key has room for.
            seconds: The window's length.
            moving: Whether each hit has its own end; else all of a key end so long after the first.
        """
        ...


def own_windows(name: str, most: int, seconds: int, *, moving: bool) -> "OwnWindow":
    """A window in which this process counts by itself."""
    return OwnWindow(most, seconds, moving=moving)


class OwnWindow:
    """A window in this process's memory."""

    def __init__(self, most: int, seconds: float, *, moving: bool) -> None:
        self._most = most
        self._seconds = seconds
        self._moving = moving
        self._hits: dict[str, deque[float]] = {}
        self._room = _SWEPT

    async def full(self, key: str) -> bool:
        """Whether there is no room for another hit."""
        return len(self._of(key)) >= self._most

    async def hit(self, key: str) -> bool:
        """Count one where there is room for it, in one step; whether there was."""
        if len(self._hits) >= self._room:
            for each in list(self._hits):
                self._of(each)
            # Room for as many again: those that stay are not gone through for each new one.
            self._room = max(_SWEPT, 2 * len(self._hits))
        hits = self._of(key)
        if len(hits) >= self._most:
            return False
        hits.append(time.monotonic() if self._moving or not hits else hits[0])
        self._hits[key] = hits
        return True

    async def take_back(self, key: str) -> None:
        """Take back one hit, if its window is not over meanwhile."""
        hits = self._of(key)
        if hits:
            hits.pop()

    async def seconds_left(self, key: str) -> float:
        """Until the first hit is over; 0 where there is none."""
        hits = self._of(key)
        return hits[0] + self._seconds - time.monotonic() if hits else 0.0

    def _of(self, key: str) -> deque[float]:
        """The hits that count, in their order."""
        hits = self._hits.get(key)
        if hits is None:
            return deque()
        begin = time.monotonic() - self._seconds
        while hits and hits[0] <= begin:
            hits.popleft()
        if not hits:
            del self._hits[key]
        return hits
