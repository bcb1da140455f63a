"""Does an engine apply a parameter? Asked of its answers, not of its word.

Exact where it can be: a top_k of 1 leaves one token, so the answer is the greedy one at any
temperature, and so do a tiny top_p and a min_p of 1; a parameter that is ignored leaves the answer
of a seed as it is, token for token. The three penalties are tested as what people use them for:
whether fewer words come again, in pairs of answers with the same seed, by a sign-flipping
permutation test (Fisher, The Design of Experiments, 1935). How strong frequency_penalty and
presence_penalty are beside OpenAI's is read off the log-probabilities: with OpenAI's meaning, two
tokens at the same place move apart by penalty × (difference of their counts).

The seeds are fixed, so the same engine gives the same proof again.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal, TypeVar

import anyio
from huggingface_hub import TextGenerationOutput

from playground.domain.messages import Applied, Message
from playground.domain.prompt import render
from playground.domain.prompt_formats import TULU2
from playground.domain.samplers import PARAMETERS
from playground.engines.base import EngineInfo
from playground.engines.http import translate
from playground.engines.statistics import permutation_test, repeated_shares, shift
from playground.telemetry.usage import AnswerUsage
from tgi.client import TGIClient
from tgi.errors import TGIError, ValidationFailed

T = TypeVar("T")
Verdict = Literal["proven", "weaker", "none", "unclear"]

QUESTIONS: Final = (
    "Tell me a story about a lighthouse.",
    "Tell me a story about a fox and a river.",
    "How do I choose a temperature?",
    "What does min_p do that top_p doesn't?",
    "Name ten animals.",
    "Give me five tips for a good night's sleep.",
)
HOT: Final = 1.5  # a temperature at which hardly an answer is the greedy one
COLD: Final = 0.001  # and one at which only a tie within a thousandth of a nat is not
_EXACT_SEEDS: Final = tuple(range(1, 4))
_EXACT_TOKENS: Final = 24
_PAIR_SEEDS: Final = tuple(range(1, 11))
_PAIR_TOKENS: Final = 64
SIGNIFICANT: Final = 0.01
_PENALTIES: Final = {
    "frequency_penalty": 2.0,
    "presence_penalty": 2.0,
    "repetition_penalty": 20.0,  # a confident model is hardly moved by 2
}
CONCURRENT: Final = 8
_TOP: Final = 5  # TGI's limit of top_n_tokens
# Below this share of OpenAI's shift a penalty counts as weaker; a correct one measures 1.
_WEAK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one parameter.

    Attributes:
        verdict: Proven, weaker (than OpenAI's of the same value), none (it changes nothing),
            unclear.
        p: Of the permutation test, where there is one.
        strength: The shift of log-probabilities as a share of OpenAI's, where it was measured.
        counts: The figures behind the words.
    """

    parameter: str
    verdict: Verdict
    evidence: str
    counts: dict[str, float]
    p: float | None = None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """The findings in the table's order, and what was seen beside them."""

    findings: tuple[Finding, ...]
    seeds_repeat: bool
    unknown_field: Literal["ignored", "refused", "changes the answer"]
    generations: int
    tokens: int
    seconds: float


Answer = tuple[int, ...]


def contradictions(proof: Proof, applied: Mapping[str, Applied]) -> list[str]:
    """Parameters that the engine is said to apply and that change nothing."""
    return [
        found.parameter
        for found in proof.findings
        if found.verdict == "none" and applied[found.parameter].how != "unsupported"
    ]


class Prover:
    """Proves an engine once, and keeps the proof while engine and model stay the same.

    Args:
        at_once: Generations at the same time.
    """

    def __init__(self, url: str, api_key: str | None, *, at_once: int = CONCURRENT) -> None:
        self._url = url
        self._key = api_key
        self._at_once = at_once
        self._proof: tuple[tuple[str, str, str | None], Proof] | None = None
        self._alone = asyncio.Lock()

    async def proof(
        self, info: EngineInfo, making: AbstractAsyncContextManager[AnswerUsage] | None = None
    ) -> Proof:
        """The proof; whoever asks while it is being made waits for the same one.

        What `making` raises is passed on.

        Args:
            info: Of the engine that is to be proven.
            making: Surrounds the making of one that is not there yet, and gives what counts its
                tokens.

        Raises:
            EngineError: The engine does not do its part.
        """
        identity = (info.name, info.model_id, info.model_sha)
        async with self._alone:
            if self._proof is None or self._proof[0] != identity:
                async with making or nullcontext(AnswerUsage()) as usage:
                    self._proof = (identity, await self._made(usage))
            return self._proof[1]

    async def _made(self, usage: AnswerUsage) -> Proof:
        try:
            async with TGIClient(self._url, api_key=self._key) as client:
                return await prove(client, usage, self._at_once)
        except TGIError as error:
            raise translate(error) from error


class _Engine:
    """Generations of one engine, some at a time, counted."""

    def __init__(self, client: TGIClient, usage: AnswerUsage, at_once: int) -> None:
        self._client = client
        self._usage = usage
        self._places = asyncio.Semaphore(at_once)
        self._prompts: dict[str, tuple[str, int]] = {}
        self.generations = 0

    async def ask(self, questions: Sequence[str]) -> None:
        """Have the questions' prompts counted, before there are answers to them."""
        for question in questions:
            prompt = render([Message("user", question)], TULU2).text
            self._prompts[question] = (prompt, await self._client.count_tokens(prompt))

    async def write(self, question: str, tokens: int, **parameters: Any) -> TextGenerationOutput:
        """An answer to a question, with its details."""
        sent = {
            "max_new_tokens": tokens,
            "details": True,
            "return_full_text": False,
            "stop": list(TULU2.stop),
            **parameters,
        }
        prompt, length = self._prompts[question]
        async with self._places:
            # As much as it may take, until it is known: one that is cut off tells nothing.
            self._count(length, tokens)
            try:
                output = await self._client.generate(prompt, sent)
            except TGIError:
                self._count(-length, -tokens)
                raise
        assert output.details is not None, "details were asked for"
        self._count(0, output.details.generated_tokens - tokens)
        self.generations += 1
        return output

    def _count(self, read: int, written: int) -> None:
        self._usage.prompt_tokens += read
        self._usage.generated_tokens += written

    async def answers(self, **parameters: Any) -> list[Answer]:
        """Short answers to three questions with three seeds each, as token numbers."""
        outputs = await _all(
            self.write(question, _EXACT_TOKENS, seed=seed, **parameters)
            for question, seed in product(QUESTIONS[:3], _EXACT_SEEDS)
        )
        return [_numbers(output) for output in outputs]


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


async def prove(client: TGIClient, usage: AnswerUsage, at_once: int) -> Proof:
    """Test the seven parameters on a running engine: about 280 short generations.

    Args:
        usage: Says at any time what they have used.
        at_once: How many run at the same time.

    Raises:
        tgi.errors.TGIError: When the engine does not answer.
    """
    began = time.monotonic()
    engine = _Engine(client, usage, at_once)
    await engine.ask(QUESTIONS)
    greedy = await engine.answers(do_sample=False)
    hot = await engine.answers(temperature=HOT)
    again = await engine.answers(temperature=HOT)
    unknown = await _unknown_field(engine, hot)
    found = {
        "temperature": await _temperature(engine, greedy, hot),
        "top_p": await _narrowed(engine, "top_p", 0.001, greedy, hot),
        "top_k": await _narrowed(engine, "top_k", 1, greedy, hot),
        "min_p": await _narrowed(engine, "min_p", 1.0, greedy, hot),
    }
    without = await _long_answers(engine)
    for name in _PENALTIES:
        found[name] = await _penalty(engine, name, without)
    return Proof(
        findings=tuple(found[parameter.name] for parameter in PARAMETERS),
        seeds_repeat=hot == again,
        unknown_field=unknown,
        generations=engine.generations,
        tokens=usage.generated_tokens,
        seconds=time.monotonic() - began,
    )


async def _unknown_field(
    engine: _Engine, hot: Sequence[Answer]
) -> Literal["ignored", "refused", "changes the answer"]:
    """What becomes of a parameter that exists nowhere: accepting one proves nothing."""
    try:
        same = await engine.answers(temperature=HOT, no_such_parameter=1)
    except ValidationFailed:
        return "refused"
    return "ignored" if same == hot else "changes the answer"


async def _temperature(engine: _Engine, greedy: Sequence[Answer], hot: Sequence[Answer]) -> Finding:
    cold = await engine.answers(temperature=COLD)
    frozen, free = _same(cold, greedy), _same(hot, greedy)
    verdict: Verdict = "unclear"
    if frozen == len(greedy) > free:
        verdict = "proven"
    elif cold == hot:
        verdict = "none"
    return Finding(
        "temperature",
        verdict,
        f"at {COLD:g} {frozen} of {len(greedy)} answers are the greedy one, at {HOT:g} {free}",
        {"answers": len(greedy), "greedy_when_cold": frozen, "greedy_at_hot": free},
    )


async def _narrowed(
    engine: _Engine, name: str, value: float, greedy: Sequence[Answer], hot: Sequence[Answer]
) -> Finding:
    """A filter so narrow that one token is left: the answer must be the greedy one."""
    try:
        narrow = await engine.answers(temperature=HOT, **{name: value})
    except ValidationFailed as error:
        return Finding(name, "none", f"the engine refuses it: {error}", {})
    alone, free, unchanged = _same(narrow, greedy), _same(hot, greedy), _same(narrow, hot)
    total = len(greedy)
    verdict: Verdict = "unclear"
    evidence = (
        f"{value:g} makes {alone} of {total} answers the greedy one at temperature {HOT:g}; "
        f"without it {free} are"
    )
    if alone == total > free:
        verdict = "proven"
    elif unchanged == total:
        verdict = "none"
        evidence = f"{value:g} leaves {unchanged} of {total} answers as they are, token for token"
    return Finding(
        name,
        verdict,
        evidence,
        {"answers": total, "greedy": alone, "greedy_without": free, "unchanged": unchanged},
    )


async def _long_answers(engine: _Engine, **parameters: Any) -> list[TextGenerationOutput]:
    return await _all(
        engine.write(question, _PAIR_TOKENS, seed=seed, do_sample=True, **parameters)
        for question, seed in product(QUESTIONS[:4], _PAIR_SEEDS)
    )


async def _penalty(engine: _Engine, name: str, without: Sequence[TextGenerationOutput]) -> Finding:
    value = _PENALTIES[name]
    within = await _long_answers(engine, **{name: value})
    pairs = [
        repeated_shares(a.generated_text, b.generated_text)
        for a, b in zip(without, within, strict=True)
    ]
    p = permutation_test([a - b for a, b in pairs])
    before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    unchanged = sum(_numbers(a) == _numbers(b) for a, b in zip(without, within, strict=True))
    strength = None if name == "repetition_penalty" else await _strength(engine, name)
    total = len(pairs)
    evidence = (
        f"{value:g} lowers the share of words that come again from {before:.1%} to {after:.1%} in "
        f"{total} pairs (p = {p:.4f})"
    )
    verdict: Verdict = "unclear"
    if unchanged == total and not strength:
        verdict = "none"
        evidence = f"{value:g} leaves {total} of {total} answers as they are, token for token"
    elif strength is not None and strength < _WEAK:
        verdict = "weaker"
        evidence = (
            f"shifts log-probabilities by {strength:.1%} of what OpenAI's does; words that come "
            f"again: {before:.1%} without, {after:.1%} with {value:g} (p = {p:.4f})"
        )
    elif p < SIGNIFICANT or (strength is not None and strength >= _WEAK):
        verdict = "proven"
        if strength is not None:
            evidence += f"; {strength:.0%} of OpenAI's strength"
    counts = {"pairs": total, "before": before, "after": after, "unchanged": unchanged}
    return Finding(name, verdict, evidence, counts, p, strength)


async def _strength(engine: _Engine, name: str) -> float | None:
    """The shift of log-probabilities as a share of OpenAI's: the slope of a line through zero.

    ``None`` when no token came again among the likeliest.
    """

    async def pair(question: str, value: float) -> tuple[float, float]:
        plain, shifted = await _all(
            engine.write(question, _PAIR_TOKENS, do_sample=False, top_n_tokens=_TOP, **extra)
            for extra in ({}, {name: value})
        )
        most = 1 if name == "presence_penalty" else _PAIR_TOKENS
        return shift(plain, shifted, value, most)

    sums = await _all(pair(question, value) for question, value in product(QUESTIONS, (0.3, 2.0)))
    squares = sum(square for _, square in sums)
    return sum(cross for cross, _ in sums) / squares if squares else None


def _numbers(output: TextGenerationOutput) -> Answer:
    assert output.details is not None, "details were asked for"
    return tuple(token.id for token in output.details.tokens)


def _same(answers: Sequence[Answer], others: Sequence[Answer]) -> int:
    return sum(a == b for a, b in zip(answers, others, strict=True))
