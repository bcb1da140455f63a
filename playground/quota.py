"""How many links an account may make: what is kept takes room on the server's disk."""

import math
from typing import Final

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from playground.errors import Busy
from playground.waits import seconds_left

LINKS_AN_HOUR: Final = 60


class Quota:
    """Counts an account's new links in a moving window. Each process counts by itself."""

    def __init__(self) -> None:
        self._limit = RateLimitItemPerHour(LINKS_AN_HOUR)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def take(self, account: str) -> None:
        """One more link. Raises Busy, with the time after which there is room for another."""
        if self._window.hit(self._limit, account):
            return
        seconds = seconds_left(self._window, self._limit, account)
        minutes = math.ceil(seconds / 60)
        raise Busy(
            f"{LINKS_AN_HOUR} links in an hour is as many as one user makes here, or one address "
            f"where nobody logs in. Try again in {minutes} "
            f"{'minute' if minutes == 1 else 'minutes'}.",
            retry_after=seconds,
        )
