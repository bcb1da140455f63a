"""The rhythm in which streams are read."""

import asyncio
from collections.abc import Callable
from math import floor
from typing import Final

# So many reads a second cost a core some third of its time: with more streams than these bear a
# stream is read less often, up to the pace …
_READS_A_SECOND: Final = 2600
# … and from where all of them take so many, less often again, which leaves the loop time to spare.
_MOST_READS_A_SECOND: Final = 4400
# Nobody sees more than 120 changes a second. An engine that writes slower is read at each token.
_QUICKEST_S: Final = 1 / 120
# How much slower a beat may become, and when and by how much it does: it slows down as soon as the
# loop is late by half the pace, and is back a second or so after the loop is in time.
_SLOWEST: Final = 3.0
_LATE, _SLOWER = 1 / 2, 1.5
_IN_TIME, _FASTER = 1 / 8, 1 / 1.1
# The streams fall into so many groups, each read in a turn of the loop of its own, so that nobody
# waits for all others.
_GROUPS: Final = 8


class Beat:
    """The rhythm that streams are read in: one for all, so that a turn of the loop reads many.

    Each read costs more than the tokens it brings, so the beat is as quick as the streams are few,
    and a loop that does not keep up has it up to three times as slow.

    Args:
        pace: Seconds between two reads of a stream where there are many; 0 for no beat at all.
            With very many it is more.

    Attributes:
        streams: How many are read.
    """

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._slowness = 1.0
        self._judged = 0.0
        self._waiting: dict[float, list[asyncio.Future[None]]] = {}  # by when they are woken
        self.streams = 0

    @property
    def length(self) -> float:
        """Seconds at present."""
        needed = max(self.streams / _READS_A_SECOND, _QUICKEST_S)
        most = max(self.streams / _MOST_READS_A_SECOND, self._pace)
        return min(needed, most) * self._slowness

    async def wait(self, silence: float, hold: Callable[[], None]) -> None:
        """Until a stream may be read again; those who begin to wait together are woken together.

        Args:
            silence: Seconds for which its last read had to wait. What comes more seldom than the
                beat is read when it comes.
            hold: Called before a wait.
        """
        length = self.length
        if self._pace <= 0 or silence >= length:
            return
        hold()
        loop = asyncio.get_running_loop()
        part = length / _GROUPS
        # A timer may wake a little before its time: that part is over, too.
        due = floor(loop.time() / part + 0.01) * part + length
        woken = self._waiting.get(due)
        if woken is None:
            woken = self._waiting[due] = []
            loop.call_at(due, self._wake, due)
        waiter = loop.create_future()
        woken.append(waiter)
        await waiter

    def _wake(self, due: float) -> None:
        for waiter in self._waiting.pop(due):
            if not waiter.done():  # its reader may have left
                waiter.set_result(None)
        if due > self._judged:
            self._judged = due + 0.99 * self.length
            self.judge(asyncio.get_running_loop().time() - due)

    def judge(self, late: float) -> None:
        """Adapt the length to how late a beat was, in seconds."""
        if late > _LATE * self._pace:
            self._slowness = min(self._slowness * _SLOWER, _SLOWEST)
        elif late < _IN_TIME * self._pace:
            self._slowness = max(self._slowness * _FASTER, 1.0)
