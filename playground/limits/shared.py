"""What several processes count together, in a Valkey or Redis that all of them reach.

While that does not answer, or what it says is no answer, each process counts by itself, as it does
where none is set: nobody is let off and nobody is shut out. The names of what is counted are
digests: no address and no name of a user is kept there.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from redis._parsers import _AsyncRESP3Parser
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse

from playground.domain.principal import pseudonyms
from playground.limits.windows import OwnWindow
from playground.settings import Settings

PREFIX: Final = "playground"
# A server that does not answer is left alone for so long, so that nobody waits for it each time.
AWAY_S: Final = 5.0
_PATIENCE_S: Final = 1.0
_QUESTION_S: Final = 2.0  # for all that has to be said for one question
_CONNECTIONS: Final = 32
# Bytes of one answer, and those that each line in it counts for, since to read a line takes as long
# as they do. What is asked here has a few numbers for an answer.
_MOST_ANSWERED: Final = 1_000_000
_LINE_BYTES: Final = 100

_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


class _Parser(_AsyncRESP3Parser):
    """Reads answers of so many bytes, where the library's own reads whatever comes."""

    _left = _MOST_ANSWERED

    async def read_response(self, *args: Any, **options: Any) -> Any:
        self._left = _MOST_ANSWERED
        return await super().read_response(*args, **options)

    async def _read(self, length: int) -> bytes:
        self._take(length)
        return await super()._read(length)

    async def _readline(self) -> bytes:
        line = await super()._readline()
        self._take(len(line) + _LINE_BYTES)
        return line

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidResponse("An answer is larger than any that is asked for.")


class Shared:
    """The server in which processes count together.

    Args:
        url: ``redis://`` or ``rediss://``.
        pseudonym: What is counted under another name.
    """

    def __init__(self, url: str, pseudonym: Callable[[str], str]) -> None:
        self.pseudonym = pseudonym
        pool = BlockingConnectionPool.from_url(
            url,
            parser_class=_Parser,
            max_connections=_CONNECTIONS,
            timeout=_PATIENCE_S,
            socket_timeout=_PATIENCE_S,
            socket_connect_timeout=_PATIENCE_S,
            retry=Retry(NoBackoff(), 1),  # a connection that the server has closed meanwhile
        )
        self.client = Redis.from_pool(pool)
        self.storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=PREFIX,
            connection_pool=pool,  # type: ignore[arg-type]  # which its annotation leaves out
        )
        self._away = False
        self._again = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """The one that the settings name; ``None`` where each process counts by itself.

        Args:
            settings: With a secret, which every process has that counts there.
        """
        secret = settings.sealing_secret()
        url = settings.limits_address()
        if url is None:
            return None
        assert secret is not None
        return cls(url, pseudonyms(secret.encode()))

    def window(self, name: str, most: int, seconds: int, *, moving: bool) -> "SharedWindow":
        """A window in which all processes count."""
        return SharedWindow(self, name, most, seconds, moving=moving)

    async def ask(
        self,
        question: Callable[[], Awaitable[_Answer]],
        alone: Callable[[], Awaitable[_Answer]],
    ) -> _Answer:
        """What the server answers; while it is away, what this process answers alone."""
        if time.monotonic() < self._again:
            return await alone()
        try:
            async with asyncio.timeout(_QUESTION_S):
                answer = await question()
        except Exception as error:  # of any kind: what is no answer fails where it is read as one
            self._again = time.monotonic() + AWAY_S
            if not self._away:
                self._away = True
                _log.warning(
                    "The server of PLAYGROUND_LIMITS_URL is away (%s): until it is back, each "
                    "process counts by itself",
                    type(error).__name__,
                )
            return await alone()
        if self._away:
            self._away = False
            _log.warning("The server of PLAYGROUND_LIMITS_URL is back: processes count together")
        return answer

    async def answers(self) -> None:
        """Whether it does.

        Raises:
            Exception: Why it does not.
        """
        await self.client.ping()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose(close_connection_pool=True)


class SharedWindow:
    """A window in which all processes count, by the clock of the day of each."""

    def __init__(self, shared: Shared, name: str, most: int, seconds: int, *, moving: bool) -> None:
        self._shared = shared
        self._item = RateLimitItemPerSecond(most, seconds, namespace=name)
        strategy = MovingWindowRateLimiter if moving else FixedWindowRateLimiter
        self._limiter = strategy(shared.storage)
        self._own = OwnWindow(most, seconds, moving=moving)

    async def full(self, key: str) -> bool:
        """Whether there is no room for another hit."""
        counted = self._shared.pseudonym(key)

        async def full() -> bool:
            return not await self._limiter.test(self._item, counted)

        return await self._shared.ask(full, lambda: self._own.full(key))

    async def hit(self, key: str) -> bool:
        """Count one where there is room for it, in one step; whether there was."""
        counted = self._shared.pseudonym(key)

        async def hit() -> bool:
            if await self._limiter.hit(self._item, counted):
                return True
            # A window that does not move has counted it all the same.
            if isinstance(self._limiter, FixedWindowRateLimiter):
                await self._take_back(counted)
            return False

        return await self._shared.ask(hit, lambda: self._own.hit(key))

    async def take_back(self, key: str) -> None:
        """Take back one hit of a window that does not move, if it is not over meanwhile."""
        counted = self._shared.pseudonym(key)
        await self._shared.ask(lambda: self._take_back(counted), lambda: self._own.take_back(key))

    async def seconds_left(self, key: str) -> float:
        """Until the first hit is over; 0 where there is none."""
        counted = self._shared.pseudonym(key)

        async def left() -> float:
            stats = await self._limiter.get_window_stats(self._item, counted)
            return min(max(0.0, stats.reset_time - time.time()), self._item.get_expiry())

        return await self._shared.ask(left, lambda: self._own.seconds_left(key))

    async def _take_back(self, counted: str) -> None:
        key = self._item.key_for(counted)
        if await self._shared.storage.get(key) > 0:
            await self._shared.storage.incr(key, self._item.get_expiry(), -1)
