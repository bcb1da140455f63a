"""The proof of the samplers as one request among others: it has places, and its tokens count."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

import anyio
from fastapi import Request, Response

from playground.api.services import Services
from playground.api.turns import in_turn
from playground.auth.middleware import principal_of
from playground.auth.responses import json_answer
from playground.domain.errors import ShuttingDown
from playground.domain.principal import Principal
from playground.engines.base import EngineAddress, EngineInfo
from playground.engines.conformance import ANSWERS, Prover, at_once
from playground.engines.streams import closing
from playground.generation.bridge.provable import with_emulation
from playground.generation.comparison import Stop
from playground.telemetry.usage import AnswerUsage


class Proofs:
    """Makes the proof for whoever asks first, in as many places as it has generations at a time.

    Those who ask meanwhile wait for it without such a place. When the one it is made for leaves, it
    ends, and the next one's begins.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        engines = services.engines
        self._provers = {
            each.id: Prover(
                # A proof is not given up half-way, however often the engine is asked anew.
                with_emulation(engines.get(each.id), replace(services.emulation, restarts=math.inf))
            )
            for each in engines.addresses
        }
        self._answers: dict[str, int] = {}  # of proofs that are being made, by their engines' ids

    def progress(self, address: EngineAddress) -> Response:
        """How many answers the proof has that is being made, as JSON; 0 where none is."""
        return json_answer({"answers": self._answers.get(address.id, 0), "about": ANSWERS})

    async def answer(
        self, request: Request, info: EngineInfo, address: EngineAddress, *, again: bool
    ) -> Response:
        """The proof of one engine as JSON; a new one where that is asked for.

        Raises:
            EngineError: The engine does not do its part.
            PlaygroundError: What `open_stream` raises, for a proof that is still to be made, and
                `in_turn`.
        """
        settings = self._services.settings
        places = min(at_once(info), settings.max_streams, settings.max_streams_per_user)
        async with in_turn(request, self._services.proving):
            making = self._admitted(principal_of(request.scope), places, address)
            proof = await self._provers[address.id].proof(
                info,
                places,
                making,
                lambda answers: self._answers.update({address.id: answers}),
                again=again,
            )
        return json_answer(asdict(proof))

    @asynccontextmanager
    async def _admitted(
        self, asker: Principal, places: int, address: EngineAddress
    ) -> AsyncIterator[AnswerUsage]:
        admission, daily_tokens = self._services.admission, self._services.daily_tokens
        await daily_tokens.check(asker.account)
        stops, usage = [Stop() for _ in range(places)], AnswerUsage()
        ticket = admission.enter(asker, stops)
        stop = stops[0]  # all of them are asked together, when this server stops
        stop.watch()
        try:
            async with closing(ticket.waits(math.inf)) as turns:
                async for _ in turns:
                    pass
            yield usage
        except asyncio.CancelledError:
            if not stop.caught():
                raise
            raise ShuttingDown(
                "This server is stopping, and the proof is not complete. Try again."
            ) from None
        finally:
            self._answers.pop(address.id, None)
            stop.unwatch()
            admission.leave(ticket)
            with anyio.CancelScope(shield=True):
                await daily_tokens.count(asker.account, [usage])
