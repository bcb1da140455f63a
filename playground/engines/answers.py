"""The answers that a proof asks an engine for: counted, so many at a time, with every parameter."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final, TypeVar

import anyio

from playground.domain.errors import EngineError
from playground.domain.messages import Message
from playground.domain.prompt import render
from playground.domain.samplers import PARAMETERS, Sampler
from playground.engines.base import EngineInfo, GenerationRequest, ProvableEngine, Written
from playground.telemetry.usage import AnswerUsage

T = TypeVar("T")

QUESTIONS: Final = (
    "Tell me a story about a lighthouse.",
    "Tell me a story about a fox and a river.",
    "How do I choose a temperature?",
    "What does min_p do that top_p doesn't?",
    "Name ten animals.",
    "Give me five tips for a good night's sleep.",
)
# Every parameter is said, so that no default of the server's counts.
_NEUTRAL: Final = Sampler(**{each.name: each.neutral for each in PARAMETERS})  # type: ignore[arg-type]
_EXACT_SEEDS: Final = tuple(range(1, 4))
_EXACT_TOKENS: Final = 24
_PAIR_SEEDS: Final = tuple(range(1, 11))
PAIR_TOKENS: Final = 64
# How many of the likeliest tokens are asked for, where the engine tells so many.
_TOP: Final = 20

# An answer to be compared with another: its tokens' numbers, or its text where they are not told.
Answer = tuple[int, ...] | str


class Answers:
    """Answers of one engine, counted.

    Args:
        usage: Says at any time what they have used.
        at_once: How many are written at the same time.
        told: Hears after each how many there are.
    """

    def __init__(
        self,
        engine: ProvableEngine,
        info: EngineInfo,
        usage: AnswerUsage,
        at_once: int,
        told: Callable[[int], None] = lambda answers: None,
    ) -> None:
        self.info = info
        self.generations = 0
        self.tells_tokens = True
        self._engine = engine
        self._usage = usage
        self._heard = told
        self._places = asyncio.Semaphore(at_once)
        self._prompts: dict[str, tuple[str, int]] = {}
        self._told: dict[tuple[tuple[str, float], ...], list[Written]] = {}

    async def prepare(self) -> None:
        """Have the questions' prompts counted, before there are answers to them."""
        for question in QUESTIONS:
            prompt = render([Message("user", question)], self.info.prompt_format).text
            self._prompts[question] = (prompt, await self._engine.count_tokens(prompt))

    async def exact(
        self, values: Mapping[str, float], *, extra: Mapping[str, object] | None = None
    ) -> list[Answer]:
        """Short answers to three questions with three seeds each."""
        written = await _all(
            self._write(question, _EXACT_TOKENS, seed, values, extra=extra)
            for question, seed in product(QUESTIONS[:3], _EXACT_SEEDS)
        )
        self.tells_tokens = all(each.tokens or not each.text for each in written)
        return [answer_of(each) for each in written]

    async def long(self, values: Mapping[str, float]) -> list[Written]:
        """Longer ones to four questions with ten seeds each."""
        return await _all(
            self._write(question, PAIR_TOKENS, seed, values)
            for question, seed in product(QUESTIONS[:4], _PAIR_SEEDS)
        )

    async def told(self, values: Mapping[str, float]) -> list[Written]:
        """One to each question, with the likeliest tokens. The same ones are asked for once."""
        key = tuple(values.items())
        if key not in self._told:
            most = min(_TOP, self.info.probabilities.most)
            self._told[key] = await _all(
                self._write(question, PAIR_TOKENS, 1, values, likeliest=most)
                for question in QUESTIONS
            )
        return self._told[key]

    async def _write(
        self,
        question: str,
        tokens: int,
        seed: int,
        values: Mapping[str, float],
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        form, applied = self.info.prompt_format, self.info.applied
        prompt, length = self._prompts[question]
        sampler = replace(_NEUTRAL, **values)  # type: ignore[arg-type]  # a top_k is whole
        request = GenerationRequest(prompt, sampler, tokens, seed, form.stop)
        # What the engine is said not to take is sent all the same: the answer tells.
        untold = {
            name: value for name, value in values.items() if applied[name].how == "unsupported"
        }
        async with self._places:
            # As much as it may take, until it is known: one that is cut off tells nothing.
            self._count(length, tokens)
            try:
                written = await self._engine.write(
                    request, likeliest=likeliest, extra={**untold, **(extra or {})}
                )
            except EngineError:
                self._count(-length, -tokens)
                raise
        self._count(0, written.generated_tokens - tokens)
        self.generations += 1
        self._heard(self.generations)
        return written

    def _count(self, read: int, written: int) -> None:
        self._usage.prompt_tokens += read
        self._usage.generated_tokens += written


def answer_of(written: Written) -> Answer:
    """What of an answer is compared."""
    return written.tokens or written.text


def same(answers: Sequence[Answer], others: Sequence[Answer]) -> int:
    """How many are the same, pair by pair."""
    return sum(a == b for a, b in zip(answers, others, strict=True))


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What they all give. With one that fails the others end, too."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait(tasks)
