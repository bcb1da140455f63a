"""Does an engine apply a parameter? Asked of its answers, not of its word.

Exact where it can be: a top_k of 1 leaves one token, so the answer is the greedy one at any
temperature, and so do a tiny top_p and a min_p of 1; a parameter that is ignored leaves the answer
of a seed as it is, token for token, or letter for letter where an engine does not tell its tokens.
The three penalties are tested as what people use them for: whether fewer words come again, in pairs
of answers with the same seed, by a sign-flipping permutation test (Fisher, The Design of
Experiments, 1935). How strong frequency_penalty and presence_penalty are beside OpenAI's is read
off the log-probabilities, where an engine gives those that it draws from: with OpenAI's meaning,
two tokens at the same place move apart by penalty × (difference of their counts in the answer).
Which tokens are counted, the answer's alone or the prompt's too, is told by what fits better.

The seeds are fixed, so the same engine gives the same proof again. One whose seeds repeat only
while it is alone is asked for one answer at a time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal

from playground.domain.errors import EngineError
from playground.domain.messages import Applied
from playground.domain.samplers import PARAMETERS
from playground.engines.answers import PAIR_TOKENS, Answer, Answers, answer_of, same
from playground.engines.base import Engine, EngineInfo, ProvableEngine, Written
from playground.engines.statistics import Shift, permutation_test, repeated_shares, shift
from playground.telemetry.usage import AnswerUsage

Verdict = Literal["proven", "weaker", "none", "unclear"]

ANSWERS: Final = 260  # that a proof takes, or some more or fewer
HOT: Final = 1.5  # a temperature at which hardly an answer is the greedy one
COLD: Final = 0.001  # and one at which only a tie within a thousandth of a nat is not
SIGNIFICANT: Final = 0.01
# Of the narrowed answers so many are the greedy one at least: in 16 bits two tokens can be equally
# likely, and then the draw decides.
_MOST: Final = 2 / 3
# A confident model is hardly moved by a repetition_penalty of 2, and some engines take no more.
_PENALTIES: Final[Mapping[str, tuple[float, ...]]] = {
    "frequency_penalty": (2.0,),
    "presence_penalty": (2.0,),
    "repetition_penalty": (20.0, 2.0),
}
_MEASURED: Final = (0.3, 2.0)
# Greedy answers would be alike for longest, but some engines then give one token's probability, 1.
# So cold, words come again early too, and probabilities are far apart, as much as the inverse.
_COOL: Final = 0.25
_CONCURRENT: Final = 8
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
    """The findings in the table's order, and what was seen beside them.

    Attributes:
        made: When, in seconds since 1970.
    """

    findings: tuple[Finding, ...]
    seeds_repeat: bool
    unknown_field: Literal["ignored", "refused", "changes the answer"]
    generations: int
    tokens: int
    seconds: float
    made: int


def contradictions(proof: Proof, applied: Mapping[str, Applied]) -> list[str]:
    """Parameters that the engine is said to apply and that change nothing."""
    return [
        found.parameter
        for found in proof.findings
        if found.verdict == "none" and applied[found.parameter].how != "unsupported"
    ]


def at_once(info: EngineInfo) -> int:
    """How many answers a proof may ask of an engine at the same time."""
    if info.seeds.repeat == "alone":
        return 1
    return min(_CONCURRENT, info.slots or _CONCURRENT)


class Prover:
    """Proves an engine once, and keeps the proof while engine and model stay the same."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._proof: tuple[tuple[str, str, str | None], Proof] | None = None
        self._alone = asyncio.Lock()

    async def proof(
        self,
        info: EngineInfo,
        places: int,
        making: AbstractAsyncContextManager[AnswerUsage] | None = None,
        told: Callable[[int], None] = lambda answers: None,
        *,
        again: bool = False,
    ) -> Proof:
        """The proof; whoever asks while it is being made waits for the same one.

        What `making` raises is passed on.

        Args:
            info: Of the engine that is to be proven.
            places: Answers at the same time, `at_once` at most.
            making: Surrounds the making of one that is not there yet, and gives what counts its
                tokens.
            told: Hears after each of its answers how many there are.
            again: Whether one that is there already does not count.

        Raises:
            EngineError: The engine does not do its part.
        """
        identity = (info.name, info.model_id, info.model_sha)
        before = self._proof if again else None
        async with self._alone:
            if self._proof is None or self._proof is before or self._proof[0] != identity:
                if not isinstance(self._engine, ProvableEngine):
                    raise EngineError(
                        f"{info.name} cannot be asked for a proof.", kind="refused", retryable=False
                    )
                async with making or nullcontext(AnswerUsage()) as usage:
                    self._proof = (identity, await prove(self._engine, info, usage, places, told))
            return self._proof[1]


async def prove(
    engine: ProvableEngine,
    info: EngineInfo,
    usage: AnswerUsage,
    places: int,
    told: Callable[[int], None] = lambda answers: None,
) -> Proof:
    """Test the seven parameters on a running engine: about 260 short generations.

    Args:
        usage: Says at any time what they have used.
        places: How many run at the same time.
        told: Hears after each how many there are.

    Raises:
        EngineError: When the engine does not answer.
    """
    began = time.monotonic()
    asked = Answers(engine, info, usage, places, told)
    await asked.prepare()
    greedy = await asked.exact({"temperature": 0.0})
    hot = await asked.exact({"temperature": HOT})
    again = await asked.exact({"temperature": HOT})
    unknown = await _unknown_field(asked, hot)
    found = {
        "temperature": await _temperature(asked, greedy, hot),
        "top_p": await _narrowed(asked, "top_p", 0.001, greedy, hot),
        "top_k": await _narrowed(asked, "top_k", 1, greedy, hot),
        "min_p": await _narrowed(asked, "min_p", 1.0, greedy, hot),
    }
    without = await asked.long({})
    for name in _PENALTIES:
        found[name] = await _penalty(asked, name, without)
    return Proof(
        findings=tuple(found[parameter.name] for parameter in PARAMETERS),
        seeds_repeat=hot == again,
        unknown_field=unknown,
        generations=asked.generations,
        tokens=usage.generated_tokens,
        seconds=time.monotonic() - began,
        made=int(time.time()),
    )


async def _unknown_field(
    asked: Answers, hot: Sequence[Answer]
) -> Literal["ignored", "refused", "changes the answer"]:
    """What becomes of a parameter that exists nowhere: accepting one proves nothing."""
    try:
        answers = await asked.exact({"temperature": HOT}, extra={"no_such_parameter": 1})
    except EngineError as error:
        if error.kind != "refused":
            raise
        return "refused"
    return "ignored" if answers == hot else "changes the answer"


def _refused(name: str, error: EngineError) -> Finding:
    """The finding of an engine that does not take a parameter; any other error is raised again."""
    if error.kind != "refused":
        raise error
    return Finding(name, "none", f"The engine refuses it: {error}", {})


async def _temperature(asked: Answers, greedy: Sequence[Answer], hot: Sequence[Answer]) -> Finding:
    name = "temperature"
    try:
        cold = await asked.exact({"temperature": COLD})
    except EngineError as error:
        return _refused(name, error)
    total, frozen, free = len(greedy), same(cold, greedy), same(hot, greedy)
    verdict: Verdict = "unclear"
    if _freezes(frozen, free, total):
        verdict = "proven"
    elif cold == hot:
        verdict = "none"
    return Finding(
        name,
        verdict,
        f"At {COLD:g}, {frozen} of {total} test answers were the model's likeliest words; at "
        f"{HOT:g}, {free} of {total}.",
        {"answers": total, "greedy_when_cold": frozen, "greedy_at_hot": free},
    )


async def _narrowed(
    asked: Answers, name: str, value: float, greedy: Sequence[Answer], hot: Sequence[Answer]
) -> Finding:
    """A filter so narrow that one token is left: the answer must be the greedy one."""
    try:
        narrow = await asked.exact({"temperature": HOT, name: value})
    except EngineError as error:
        return _refused(name, error)
    alone, free, unchanged = same(narrow, greedy), same(hot, greedy), same(narrow, hot)
    total = len(greedy)
    verdict: Verdict = "unclear"
    evidence = (
        f"With {value:g}, {alone} of {total} test answers at temperature {HOT:g} were the model's "
        f"likeliest words; without it, {free} of {total}."
    )
    if _freezes(alone, free, total):
        verdict = "proven"
    elif unchanged == total:
        verdict = "none"
        evidence = _ignored(value, total, asked)
    return Finding(
        name,
        verdict,
        evidence,
        {"answers": total, "greedy": alone, "greedy_without": free, "unchanged": unchanged},
    )


def _freezes(greedy: int, without: int, total: int) -> bool:
    """Whether so many greedy answers are no accident, beside so many without the parameter."""
    return greedy >= _MOST * total and without <= greedy / 2


async def _penalty(asked: Answers, name: str, without: Sequence[Written]) -> Finding:
    refused = None
    for value in _PENALTIES[name]:
        try:
            within = await asked.long({name: value})
        except EngineError as error:
            refused = _refused(name, error)
        else:
            return await _judged(asked, name, value, without, within)
    assert refused is not None, "there are values"
    return refused


async def _judged(
    asked: Answers,
    name: str,
    value: float,
    without: Sequence[Written],
    within: Sequence[Written],
) -> Finding:
    pairs = [repeated_shares(a.text, b.text) for a, b in zip(without, within, strict=True)]
    p = permutation_test([a - b for a, b in pairs])
    before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    total = len(pairs)
    unchanged = same([answer_of(each) for each in without], [answer_of(each) for each in within])
    strength, deviation = None, ""
    if name != "repetition_penalty":
        strength, deviation = await _strength(asked, name, unchanged == total)
    evidence = (
        f"With {value:g}, {after:.1%} of the words had come before, without it {before:.1%} (in "
        f"{total} pairs of test answers; p = {p:.4f})."
    )
    verdict: Verdict = "unclear"
    if unchanged == total and not strength:
        verdict = "none"
        evidence = _ignored(value, total, asked)
    elif strength is not None and strength < _WEAK:
        verdict = "weaker"
        evidence += f" Its strength is {strength:.1%} of OpenAI's{deviation}."
    else:
        if p < SIGNIFICANT or strength is not None:
            verdict = "proven"
        if strength is None:
            evidence += deviation
        else:
            evidence += f" Its strength is {strength:.0%} of OpenAI's{deviation}."
    counts = {"pairs": total, "before": before, "after": after, "unchanged": unchanged}
    return Finding(name, verdict, evidence, counts, p, strength)


async def _strength(asked: Answers, name: str, ignored: bool) -> tuple[float | None, str]:
    """The shift of log-probabilities as a share of OpenAI's, and what deviates, in words.

    ``None`` where it cannot be measured.

    Args:
        ignored: Whether the parameter changed no answer.
    """
    kind = asked.info.probabilities.kind
    if kind != "final":
        tells = "no probabilities" if kind == "none" else "the model's own probabilities alone"
        return None, f" How strong it is beside OpenAI's cannot be told: the engine gives {tells}."
    most = 1 if name == "presence_penalty" else PAIR_TOKENS
    plain = await asked.told({"temperature": _COOL})
    answer, both = Shift(), Shift()
    for value in _MEASURED:
        shifted = await asked.told({"temperature": _COOL, name: value})
        for a, b in zip(plain, shifted, strict=True):
            answer += shift(a, b, value / _COOL, most)
            both += shift(a, b, value / _COOL, most, a.prompt)
    if not answer.squares and not both.squares:
        return None, " Its strength is not known: no token came again among the likeliest."
    if not answer.measured and not ignored:
        # A server that is said to give final ones, and gives the model's own.
        return None, (
            " How strong it is beside OpenAI's cannot be told: the probabilities that the engine "
            "gives are the same with it and without."
        )
    if both.fit > answer.fit:
        return both.slope, ", with the prompt's tokens counted, too"
    return answer.slope, ""


def _ignored(value: float, total: int, asked: Answers) -> str:
    exactly = "token for token" if asked.tells_tokens else "letter for letter"
    return f"With {value:g}, all {total} test answers stayed as they were, {exactly}."
