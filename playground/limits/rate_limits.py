"""How often somebody may make a link, try links out, or try to log in, and ask at a time.

Links and tries are counted in windows that processes may share (`limits/shared.py`). The requests
under way are counted by each process: they are what that one has to carry.
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from playground.domain.amounts import amount
from playground.domain.errors import Busy, NotFound
from playground.domain.principal import network_of
from playground.limits.windows import Window, Windows, own_windows

LINKS_AN_HOUR: Final = 60
MISSES_A_MINUTE: Final = 30
LOGIN_TRIES: Final = 10
_LOGIN_MINUTES: Final = 5


class NewLinks:
    """Counts an account's new links in a moving window: what is kept takes room on the disk."""

    def __init__(self, windows: Windows = own_windows) -> None:
        self._window = windows("links", LINKS_AN_HOUR, 3600, moving=True)

    async def take(self, account: str) -> None:
        """One more link.

        Raises:
            Busy: With the time after which there is room for another.
        """
        if not await self._window.hit(account):
            raise await self._refusal(account)

    async def check(self, account: str) -> None:
        """Whether there is room for another link.

        Raises:
            Busy: With the time after which there is.
        """
        if await self._window.full(account):
            raise await self._refusal(account)

    async def _refusal(self, account: str) -> Busy:
        seconds = await _seconds_left(self._window, account)
        return Busy(
            f"{LINKS_AN_HOUR} links in an hour is as many as one user makes here, or one address "
            f"where nobody logs in. Try again in {amount(math.ceil(seconds / 60), 'minute')}.",
            retry_after=seconds,
        )


class LinkGuesses:
    """Counts an address's links that lead nowhere, in a moving window."""

    def __init__(self, windows: Windows = own_windows) -> None:
        self._window = windows("misses", MISSES_A_MINUTE, 60, moving=True)

    @asynccontextmanager
    async def counted(self, address: str) -> AsyncIterator[None]:
        """Opens a link inside: NotFound is a miss.

        Raises:
            Busy: When the address has missed too often, also for a link that is right: otherwise
                who goes on guessing would still see which one that is.
        """
        whose = network_of(address)
        if await self._window.full(whose):
            raise Busy(
                "Too many links that lead nowhere were opened from your network. Links open again "
                "in a minute.",
                retry_after=await _seconds_left(self._window, whose),
            )
        try:
            yield
        except NotFound:
            await self._window.hit(whose)
            raise


class Visitors:
    """Counts the requests that an address has under way, of those that a proxy brings.

    Over the few connections of a proxy each of its visitors could have as many as they like.

    Args:
        most: Of one address (of IPv6, its network of /64).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def counted(self, address: str) -> Iterator[None]:
        """A request is under way inside.

        Raises:
            Busy: The address has as many as it may.
        """
        whose = network_of(address)
        if self._under_way[whose] >= self._most:
            raise Busy("Your address has as many requests under way as it may. Try again.")
        self._under_way[whose] += 1
        try:
            yield
        finally:
            self._under_way[whose] -= 1
            if not self._under_way[whose]:
                del self._under_way[whose]


class LoginTries:
    """Three counters, each of LOGIN_TRIES in five minutes.

    - of an address (of IPv6, its network of /64), so that one machine cannot try many names;
    - of a name, so that many machines cannot try one;
    - of a browser in which this name has logged in before, which is then the only one that counts.

    The third keeps a name's owner from being locked out by whoever tries it: a cookie proves the
    browser, and its tries are counted apart. Somebody new to a browser may have to wait while the
    name is under attack, five minutes at most after it ended.

    Tries are counted before they are made, so that many at once are counted, too. A login that
    succeeds takes its own try back, so that an office behind one address is not kept out, and
    nobody with a name of their own gets more tries at those of others.
    """

    def __init__(self, windows: Windows = own_windows) -> None:
        self._window = windows("logins", LOGIN_TRIES, 60 * _LOGIN_MINUTES, moving=False)

    async def count(self, name: str, address: str, device: str | None) -> tuple[str, ...]:
        """Count a try, and give the counters that it counts on.

        Args:
            name: Whose password is tried.
            address: Where the try comes from.
            device: The id of a browser in which this name has logged in before.

        Raises:
            Busy: One of the counters is full.
        """
        keys = (f"device {device}",) if device else (f"from {network_of(address)}", f"for {name}")
        for i, key in enumerate(keys):
            if not await self._window.hit(key):
                await self.take_back(keys[:i])
                wait = await _seconds_left(self._window, key)
                raise Busy("Too many tries to log in.", retry_after=wait)
        return keys

    async def take_back(self, keys: tuple[str, ...]) -> None:
        """Take back the one try that `count` counted on these."""
        for key in keys:
            await self._window.take_back(key)


async def _seconds_left(window: Window, key: str) -> int:
    """Until there is room for another on a counter that is full; at least 1."""
    return max(1, math.ceil(await window.seconds_left(key)))
