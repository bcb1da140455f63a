"""Who tries links out: too many that lead nowhere, and none is opened for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from playground.errors import Busy, NotFound
from playground.visitor import network_of
from playground.waits import seconds_left

MISSES_A_MINUTE: Final = 30


class Guesses:
    """Counts an address's misses in a moving window. Each process counts by itself."""

    def __init__(self) -> None:
        self._limit = RateLimitItemPerMinute(MISSES_A_MINUTE)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    @contextmanager
    def counted(self, address: str) -> Iterator[None]:
        """Opens a link inside: NotFound is a miss.

        Raises Busy when the address has missed too often, also for a link that is right: otherwise
        who goes on guessing would still see which one that is.
        """
        whose = network_of(address)
        if not self._window.test(self._limit, whose):
            raise Busy(
                "Too many links that lead nowhere were opened from your network. Links open again "
                "in a minute.",
                retry_after=seconds_left(self._window, self._limit, whose),
            )
        try:
            yield
        except NotFound:
            self._window.hit(self._limit, whose)
            raise
