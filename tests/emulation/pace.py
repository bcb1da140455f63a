"""What emulation costs: restarts, time, and what another reader of the same engine feels of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from playground.domain.samplers import Sampler
from playground.engines.base import Finish, GenerationRequest
from playground.engines.streams import closing
from playground.engines.tgi import TGIEngine
from playground.generation.bridge.plan import EmulationPolicy
from tests.emulation.answers import Answer, opened, write
from tests.emulation.cases import STORY, Case

LENGTH: Final = 300
# Those of one case write at a time, at the server's pace.
ANSWERS: Final = 8
NEIGHBOURS: Final = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """Answers of up to 300 tokens that are written at the same time, by the policy that is usual.

    Attributes:
        restarts: For 300 tokens.
        accepted: The share of the engine's tokens that were taken.
        added_ms: For 300 tokens, as the emulation says it.
        rate: Tokens a second of one answer.
        native: The same where the engine applies all of it.
        bound: The average of what is said.
        reread: Of all restarts, the share behind a text that was read in other tokens.
        given_up: Answers that were ended without.
        cpu_us: Of this process for a token.
        plain_us: The same where the engine applies all of it.
    """

    restarts: float
    accepted: float
    added_ms: float
    rate: float
    native: float
    bound: float
    reread: float
    given_up: int
    cpu_us: float
    plain_us: float


async def pace(case: Case, stock: str, native: str) -> Pace:
    """A case on a server that lacks its parameters, and on one that has them."""
    async with opened(stock, EmulationPolicy(), remember=False) as writer:
        ours, rate, cpu = await _measure(writer.emulated, case.sampler)
    async with opened(native) as writer:
        _, plain, plain_cpu = await _measure(writer.streamed, case.sampler)
    said = [answer.emulation for answer in ours if answer.emulation]
    tokens = sum(len(answer.ids) for answer in ours)
    restarts = sum(each.restarts for each in said)
    return Pace(
        LENGTH * restarts / tokens,
        sum(each.accepted for each in said) / sum(each.proposed for each in said),
        LENGTH * sum(each.added_ms for each in said) / tokens,
        rate,
        plain,
        sum(each.bound for each in said) / len(said),
        sum(each.reread for each in said) / max(1, restarts),
        sum(each.given_up_at is not None for each in said),
        cpu,
        plain_cpu,
    )


async def _measure(
    way: Callable[[GenerationRequest], Awaitable[list[Answer]]], sampler: Sampler
) -> tuple[list[Answer], float, float]:
    """Answers, the tokens a second of one, and the microseconds of CPU for a token."""
    rates: list[float] = []

    async def timed(request: GenerationRequest) -> list[Answer]:
        begun = time.monotonic()
        answers = await way(request)
        rates.append(sum(len(each.ids) for each in answers) / (time.monotonic() - begun))
        return answers

    used = time.process_time()
    answers = await write(timed, STORY, sampler, LENGTH, range(ANSWERS), ANSWERS)
    used = time.process_time() - used
    tokens = sum(len(answer.ids) for answer in answers)
    return answers, float(np.median(rates)), 1e6 * used / tokens


@dataclass(frozen=True, slots=True)
class Felt:
    """The gaps between the tokens of a reader who asks for nothing special, in milliseconds.

    Attributes:
        restarts: Of the neighbours, a second.
        tokens: Of all, a second.
    """

    middle: float
    late: float
    worst: float
    restarts: float
    tokens: float


async def beside(url: str, sampler: Sampler | None, seconds: float, *, emulated: bool) -> Felt:
    """What a plain reader feels beside eight others.

    sampler: theirs; there are none of them without.
    """
    engine = TGIEngine(url)
    gaps: list[float] = []
    restarts = tokens = 0
    async with opened(url, EmulationPolicy(), remember=False) as writer:

        async def go_on(first: int) -> None:
            nonlocal restarts, tokens
            assert sampler is not None
            way = writer.emulated if emulated else writer.streamed
            for seed in range(first, first + 10**6):
                for answer in await way(GenerationRequest(STORY, sampler, LENGTH, seed, ())):
                    tokens += len(answer.ids)
                    restarts += answer.emulation.restarts if answer.emulation else 0

        others = [asyncio.create_task(go_on(each * 10**6)) for each in range(NEIGHBOURS)]
        if sampler is None:
            for other in others:
                other.cancel()
        begun = last = time.monotonic()
        seed = 1
        while last - begun < seconds:
            gaps += await _gaps(engine, seed)
            seed, last = seed + 1, time.monotonic()
        for other in others:
            other.cancel()
        await asyncio.wait(others)
    await engine.aclose()
    found = 1000 * np.array(gaps)
    middle, late, worst = np.quantile(found, [0.5, 0.95, 1.0]).tolist()
    return Felt(
        middle,
        late,
        worst,
        restarts / (last - begun),
        (tokens + len(gaps)) / (last - begun),
    )


async def _gaps(engine: TGIEngine, seed: int) -> Sequence[float]:
    """The seconds between the tokens of an answer."""
    times: list[float] = []
    request = GenerationRequest(STORY, Sampler(temperature=1.0), LENGTH, seed, ())
    async with closing(engine.steps(request)) as items:
        async for item in items:
            if not isinstance(item, Finish):
                times += [time.monotonic()] * len(item)
    return np.diff(times).tolist()
