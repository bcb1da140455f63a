"""Counters of what happens within some time, by the monotonic clock, in this process's memory.

The clock of the day may be set back; nobody waits longer for that.
"""

import time
from collections import deque
from typing import Final

_SWEPT: Final = 1024  # keys, before those whose time is over are looked for


class Window:
    """So many hits of a key within so many seconds.

    Args:
        most: Hits that a key has room for.
        seconds: The window's length.
        moving: Whether each hit has its own end; else all of a key end so long after the first.
    """

    def __init__(self, most: int, seconds: float, *, moving: bool) -> None:
        self._most = most
        self._seconds = seconds
        self._moving = moving
        self._hits: dict[str, deque[float]] = {}
        self._room = _SWEPT

    def full(self, key: str) -> bool:
        """Whether there is no room for another hit."""
        return len(self._of(key)) >= self._most

    def hit(self, key: str) -> None:
        """Count one."""
        if len(self._hits) >= self._room:
            for each in list(self._hits):
                self._of(each)
            # Room for as many again: those that stay are not gone through for each new one.
            self._room = max(_SWEPT, 2 * len(self._hits))
        hits = self._of(key)
        hits.append(time.monotonic() if self._moving or not hits else hits[0])
        self._hits[key] = hits

    def take_back(self, key: str) -> None:
        """Take back one hit, if its window is not over meanwhile."""
        hits = self._of(key)
        if hits:
            hits.pop()

    def seconds_left(self, key: str) -> float:
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
