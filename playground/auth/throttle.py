"""How often somebody may try to log in.

Three counters, each of TRIES in five minutes:

- of an address (of IPv6, its network of /64), so that one machine cannot try many names;
- of a name, so that many machines cannot try one;
- of a browser in which this name has logged in before, which is then the only one that counts.

The third keeps a name's owner from being locked out by whoever tries it: a cookie proves the
browser, and its tries are counted apart. Somebody new to a browser may have to wait while the name
is under attack, five minutes at most after it ended. Counters are in the memory of this process: of
several replicas, each counts its own.
"""

from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from playground.errors import Busy
from playground.visitor import network_of
from playground.waits import seconds_left

TRIES: Final = 10
_LIMIT: Final = RateLimitItemPerMinute(TRIES, 5)


class Throttle:
    """Counts tries before they are made, so that many at once are counted, too; a login that
    succeeds takes its own try back, so that an office behind one address is not kept out, and
    nobody with a name of their own gets more tries at those of others."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, name: str, address: str, device: str | None) -> tuple[str, ...]:
        """Count a try, and give the counters that it counts on. Raises Busy.

        device: the id of a browser in which this name has logged in before.
        """
        keys = (f"device {device}",) if device else (f"from {network_of(address)}", f"for {name}")
        for key in keys:
            if not self._limiter.test(_LIMIT, key):
                wait = seconds_left(self._limiter, _LIMIT, key)
                raise Busy("Too many tries to log in.", retry_after=wait)
        for key in keys:
            self._limiter.hit(_LIMIT, key)
        return keys

    def take_back(self, keys: tuple[str, ...]) -> None:
        """Take back the one try that `count` counted on these."""
        for key in keys:
            if self._limiter.get_window_stats(_LIMIT, key).remaining < TRIES:  # not over meanwhile
                self._limiter.hit(_LIMIT, key, cost=-1)
