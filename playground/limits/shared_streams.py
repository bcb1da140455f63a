"""Streams of which several processes know: how many an account has, and who wants one stopped."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import orjson
from pydantic import TypeAdapter
from redis_semaphore import AcquireMode, Semaphore, SemaphoreConfig

from playground.domain.errors import Busy, NotFound
from playground.domain.principal import Principal, kind_of
from playground.limits.admission import Admission
from playground.limits.shared import AWAY_S, PREFIX, Shared

_STOPS: Final = f"{PREFIX}:stops"
# An answer's stream and its pane, and the owner and the account of who wants it stopped.
_STOP: Final = TypeAdapter(tuple[str, int, str, str])
# So long nothing need come by a connection that listens, before it is asked whether it is one yet.
_SILENCE_S: Final = 30.0
# A process that is killed holds its places for so long; one that lives holds them by saying so.
_LEASE_S: Final = 30.0
_COUNTED_S: Final = 3600  # how long the number of an account's places so far is kept
_RELEASE_S: Final = 0.25  # how long the end of a stream waits until its places are given back

# It would say of every place, each second, that the server is away, which `Shared` says once.
logging.getLogger("redis_semaphore").setLevel(logging.CRITICAL + 1)


class SharedPlaces:
    """The answers of an account that all processes write together.

    Args:
        limit: Of one account, waiting ones included.
    """

    def __init__(self, shared: Shared, limit: int) -> None:
        self._shared = shared
        self._limit = limit
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def held(self, account: str, size: int) -> AsyncIterator[None]:
        """So many places of the account are taken inside. While the server is away, none are.

        Raises:
            Busy: The account has too many.
        """
        name = self._shared.pseudonym(account)
        config = SemaphoreConfig(
            name=name,
            limit=self._limit,
            lock_timeout=_LEASE_S,
            namespace=f"{PREFIX}:places",
            acquire_mode=AcquireMode.POLLING,
        )
        places: list[Semaphore] = []
        try:
            for _ in range(size):
                places.append(Semaphore(self._shared.client, config))
                if not await self._taken(places[-1]):
                    raise Busy(
                        f"This server takes {self._limit} answers at a time for one "
                        f"{kind_of(account)}, those in line included. Try again when one has ended."
                    )
            yield
        finally:
            ending = asyncio.create_task(_given_back(places))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            with anyio.CancelScope(shield=True):
                await asyncio.wait([ending], timeout=_RELEASE_S)

    async def _taken(self, place: Semaphore) -> bool:
        async def taken() -> bool:
            result = await place.aacquire(blocking=False)
            await self._shared.client.expire(place.fencing_key, _COUNTED_S)  # else it never ends
            return result.success

        async def alone() -> bool:
            return True  # by the limit of this process

        return await self._shared.ask(taken, alone)


async def _given_back(places: Sequence[Semaphore]) -> None:
    """Some may not be taken, or be lost; without the server they end by themselves."""
    for place in places:
        with suppress(Exception):
            await place.arelease()


class SharedStops:
    """Stops that came to another process than the one that writes the answer.

    They are told to all processes, and the one that has the answer stops it.
    """

    def __init__(self, shared: Shared, admission: Admission) -> None:
        self._shared = shared
        self._admission = admission

    async def tell(self, number: str, pane: int, asker: Principal) -> bool:
        """Tell all processes; whether that could be done.

        Args:
            number: The stream's id.
            pane: From 0.
            asker: Who wants it stopped.
        """
        stop = orjson.dumps([number, pane, asker.owner, asker.account])

        async def told() -> bool:
            await self._shared.client.publish(_STOPS, stop)
            return True

        async def alone() -> bool:
            return False

        return await self._shared.ask(told, alone)

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Listens inside to what others tell."""
        listening = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        while True:
            with suppress(Exception):  # whatever it answers, it is listened to again
                async with self._shared.client.pubsub() as channel:
                    await channel.subscribe(_STOPS)
                    while True:
                        message = await channel.get_message(timeout=_SILENCE_S)
                        if message is None:
                            await channel.ping()
                        elif message["type"] == "message":
                            self._stop(message["data"])
            await asyncio.sleep(AWAY_S)

    def _stop(self, told: Any) -> None:
        # It may be no stop, may be another's to carry out, or its answer may be over.
        with suppress(NotFound, ValueError, TypeError):
            number, pane, owner, account = _STOP.validate_json(told)
            self._admission.stop(number, pane, Principal(None, owner, account, ""))
