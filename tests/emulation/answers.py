"""Answers of an engine over HTTP, with what the emulation adds and without it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import aiohttp

from playground.domain.messages import Emulation
from playground.domain.samplers import Sampler
from playground.engines.base import EngineInfo, Finish, GenerationRequest, Piece, Step
from playground.engines.streams import closing
from playground.engines.tgi import TGIEngine
from playground.generation.bridge.plan import EmulationPolicy, plan_generation
from playground.generation.bridge.writing import Bridge
from tests.emulation.exact import Begun, Ids

# What is tested is the choice of a token: no answer is to be given up.
UNBOUNDED: Final = EmulationPolicy(restarts=1e9)
AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of one, what its emulation took, and the streams it was written by."""

    ids: Ids
    emulation: Emulation | None = None
    begun: tuple[Begun, ...] = ()


class Watched:
    """An engine of which is kept what it was asked for, for one answer.

    first_seed: whether a stream has the answer's own seed at each new place: a fault, made on
    purpose. At the same place it would write the same again for ever, so there it has another one.
    """

    def __init__(self, engine: TGIEngine, first: GenerationRequest, *, first_seed: bool) -> None:
        self._engine, self._first, self._first_seed = engine, first, first_seed
        self._prompts: list[str] = []
        self.bridge: Bridge | None = None
        self.begun: list[Begun] = []

    def steps(self, request: GenerationRequest) -> AsyncGenerator[Sequence[Step] | Finish, None]:
        assert self.bridge is not None
        known = self._first.prompt + self.bridge._text
        written = len(self.bridge.ids) + (len(request.prompt) > len(known))
        self.begun.append((written, request.prompt))
        if self._first_seed and request.prompt not in self._prompts:
            request = replace(request, seed=self._first.seed)
        self._prompts.append(request.prompt)
        return self._engine.steps(request)

    async def tokens(self, text: str) -> list[Piece]:
        return await self._engine.tokens(text)


class Writer:
    """Writes answers on one server.

    policy: what the emulation may take. first_seed: as in `Watched`.
    """

    def __init__(
        self,
        url: str,
        engine: TGIEngine,
        info: EngineInfo,
        policy: EmulationPolicy,
        *,
        first_seed: bool,
    ) -> None:
        self._url, self._engine, self._info, self._policy = url, engine, info, policy
        self._first_seed = first_seed
        self._http = aiohttp.ClientSession()

    async def aclose(self) -> None:
        await self._http.close()
        await self._engine.aclose()

    async def emulated(self, request: GenerationRequest) -> list[Answer]:
        """One, as a reader has it."""
        plan = plan_generation(request, self._info)
        assert plan.target is not None, "nothing is emulated here"
        engine = Watched(self._engine, request, first_seed=self._first_seed)
        read = await self._engine.count_tokens(request.prompt)
        bridge = Bridge(engine, self._info, plan, read, self._policy)  # type: ignore[arg-type]
        engine.bridge = bridge
        async with closing(bridge.write()) as items:
            async for _ in items:
                pass
        return [Answer(bridge.ids, bridge.emulation, tuple(engine.begun))]

    async def streamed(self, request: GenerationRequest) -> list[Answer]:
        """One, as the engine itself streams it."""
        ids: list[int] = []
        async with closing(self._engine.steps(request)) as items:
            async for item in items:
                if not isinstance(item, Finish):
                    ids += [step.id for step in item]
        return [Answer(tuple(ids))]

    async def both(self, request: GenerationRequest) -> list[Answer]:
        """Two, as the engine itself writes them at a time, with seeds of its own."""
        parameters = {**self._engine.parameters(request), "best_of": 2}
        del parameters["seed"]
        asked = {"inputs": request.prompt, "parameters": parameters}
        async with self._http.post(f"{self._url}/generate", json=asked) as response:
            details: Any = (await response.json())["details"]
        return [
            Answer(tuple(token["id"] for token in each["tokens"]))
            for each in (details, *details["best_of_sequences"])
        ]


@asynccontextmanager
async def opened(
    url: str,
    policy: EmulationPolicy = UNBOUNDED,
    *,
    first_seed: bool = False,
    remember: bool = True,
) -> AsyncIterator[Writer]:
    """A writer on the server at this address.

    remember: whether a text is asked for its tokens once only.
    """
    engine = TGIEngine(url)
    if remember:
        _ask_once(engine)
    writer = Writer(url, engine, await _ready(engine), policy, first_seed=first_seed)
    try:
        yield writer
    finally:
        await writer.aclose()


async def _ready(engine: TGIEngine) -> EngineInfo:
    """What an engine says of itself, once it is known what it can be made to do."""
    async with asyncio.timeout(120):
        while True:
            info = (await engine.state()).info
            if info and info.applied["min_p"].how != "unsupported":
                return info
            await asyncio.sleep(0.5)


def _ask_once(engine: TGIEngine) -> None:
    ask = engine.tokens

    @lru_cache(maxsize=2000)
    def asked(text: str) -> asyncio.Future[list[Piece]]:
        return asyncio.ensure_future(ask(text))

    async def tokens(text: str) -> list[Piece]:
        return await asyncio.shield(asked(text))

    engine.tokens = tokens  # type: ignore[method-assign]


async def write(
    way: Callable[[GenerationRequest], Awaitable[list[Answer]]],
    prompt: str,
    sampler: Sampler,
    length: int,
    seeds: Sequence[int],
    at_once: int = AT_ONCE,
) -> list[Answer]:
    """The answers to a request for each seed."""
    answers: dict[int, list[Answer]] = {}
    left = iter(seeds)

    async def work() -> None:
        for seed in left:
            answers[seed] = await way(GenerationRequest(prompt, sampler, length, seed, ()))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return [answer for seed in seeds for answer in answers[seed]]
