"""The proof by itself, of an engine that a test makes: what it applies, how strongly, what it
refuses. The verdicts over HTTP, of the real engines, are in test_conformance.py."""

import asyncio
import math
import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import pytest

from playground.domain.errors import EngineError
from playground.domain.messages import Applied
from playground.domain.prompt_formats import CHATML
from playground.domain.samplers import BY_NAME, PARAMETERS
from playground.engines import conformance
from playground.engines.answers import QUESTIONS
from playground.engines.base import (
    EngineInfo,
    GenerationRequest,
    Probabilities,
    ProvableEngine,
    Seeds,
    Written,
)
from playground.engines.conformance import Finding, Proof, at_once, contradictions, prove
from playground.telemetry.usage import AnswerUsage
from tests.stock import engine_info

ALL = frozenset(BY_NAME)
WORDS = ("a", "bee", "sea", "deer", "east", "fox", "goose", "hill", "ice", "jay")
PERIOD = 7  # places after which the model would say the same again
PROMPT = (0, 3, 3, 5)
FINAL = Probabilities("final", 5)
NOTHING: Mapping[str, float] = {}
NEUTRAL = {parameter.name: parameter.neutral for parameter in PARAMETERS}


@lru_cache(maxsize=1000)
def model(prompt: str, place: int) -> tuple[float, ...]:
    """The logits of all words."""
    draw = random.Random(f"{prompt} {place % PERIOD}")
    return tuple(draw.gauss(0, 1.5) for _ in WORDS)


def info(
    *, unsupported: Collection[str] = (), probabilities: Probabilities = FINAL, **changes: Any
) -> EngineInfo:
    return replace(
        engine_info(1000, 2000),
        applied={
            name: Applied("unsupported" if name in unsupported else "native") for name in BY_NAME
        },
        probabilities=probabilities,
        **changes,
    )


class Maker:
    """An engine of ten words, as far as a proof asks it.

    applies: the parameters that take effect, the others being ignored. strength: of the frequency
    penalty. refuses: parameters that are errors, from a value on. seeds: whether a seed repeats
    its answer. unknown: whether a parameter that nobody knows changes the answer. numbers: whether
    it tells the tokens. final: whether the probabilities that it tells are those it draws from.
    counts_prompt: whether its penalties count the prompt's tokens, too.
    """

    def __init__(
        self,
        applies: Collection[str] = ALL,
        *,
        strength: float = 1.0,
        refuses: Mapping[str, float] = NOTHING,
        seeds: bool = True,
        unknown: bool = False,
        numbers: bool = True,
        final: bool = True,
        counts_prompt: bool = False,
    ) -> None:
        self.asked: list[GenerationRequest] = []
        self.extra: list[Mapping[str, object]] = []
        self.likeliest: list[int] = []
        self.running = self.most_running = 0
        self.fails_after: int | None = None
        self._applies = applies
        self._strength = strength
        self._refuses = refuses
        self._seeds = seeds
        self._unknown = unknown
        self._numbers = numbers
        self._final = final
        self._counts_prompt = counts_prompt

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        self.asked.append(request)
        self.extra.append(extra or {})
        self.likeliest.append(likeliest)
        number = len(self.asked)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self.fails_after is not None and number > self.fails_after:
                raise EngineError("It broke.", kind="generation", retryable=False)
            for name, value in cast(
                Mapping[str, float], {**request.sampler.set_values(), **(extra or {})}
            ).items():
                if value != NEUTRAL.get(name) and value >= self._refuses.get(name, math.inf):
                    raise EngineError(f"{name} is too much.", kind="refused", retryable=False)
            return self._answer(request, likeliest, extra or {})
        finally:
            self.running -= 1

    def _answer(
        self, request: GenerationRequest, likeliest: int, extra: Mapping[str, object]
    ) -> Written:
        sent = request.sampler.set_values()
        used = {name: value for name, value in sent.items() if name in self._applies}
        seed = request.seed if self._seeds else len(self.asked)
        if self._unknown and "no_such_parameter" in extra:
            seed += 1000
        draw = random.Random(f"{request.prompt} {seed}")
        prompt = PROMPT if self._counts_prompt else ()
        counts = [prompt.count(each) for each in range(len(WORDS))]
        tokens: list[int] = []
        tops: list[Mapping[int, float]] = []
        for place in range(request.max_new_tokens):
            own = list(model(request.prompt, place))
            logits = self._penalised(own, counts, used)
            chosen = _drawn(logits, used, draw) if sent["temperature"] else _likeliest(logits)[0]
            counts[chosen] += 1
            tokens.append(chosen)
            if likeliest and self._final:
                tops.append(_told(logits, sent["temperature"], likeliest))
            elif likeliest:
                tops.append(_told(own, 1, likeliest))
        return Written(
            " ".join(WORDS[token] for token in tokens),
            len(tokens),
            tuple(tokens) if self._numbers else (),
            tuple(tops),
            prompt,
        )

    def _penalised(
        self, logits: list[float], counts: list[int], used: Mapping[str, Any]
    ) -> list[float]:
        often = used.get("frequency_penalty", 0) * self._strength
        once, times = used.get("presence_penalty", 0), used.get("repetition_penalty", 1)
        return [
            (logit if not count else logit / times if logit > 0 else logit * times)
            - often * count
            - once * bool(count)
            for logit, count in zip(logits, counts, strict=True)
        ]


def _told(logits: list[float], heat: float, most: int) -> Mapping[int, float]:
    """The log-probabilities of the likeliest."""
    scaled = [logit / heat for logit in logits]
    total = math.log(sum(map(math.exp, scaled)))
    return {each: scaled[each] - total for each in _likeliest(logits)[:most]}


def _likeliest(logits: list[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda each: -logits[each])


def _drawn(logits: list[float], used: Mapping[str, Any], draw: random.Random) -> int:
    heat = used.get("temperature", 1)
    best = max(logits)
    weights = {each: math.exp((logits[each] - best) / heat) for each in _likeliest(logits)}
    total, kept, share = sum(weights.values()), dict[int, float](), 0.0
    for each, weight in weights.items():
        if len(kept) >= (used.get("top_k") or len(WORDS)):
            break
        if kept and share >= used.get("top_p", 1):
            break
        if weight < used.get("min_p", 0):
            break
        kept[each] = weight
        share += weight / total
    return draw.choices(list(kept), list(kept.values()))[0]


async def proven(
    maker: Maker,
    usage: AnswerUsage | None = None,
    places: int = 4,
    of: EngineInfo | None = None,
) -> Proof:
    return await prove(cast(ProvableEngine, maker), of or info(), usage or AnswerUsage(), places)


def verdicts(proof: Proof) -> dict[str, str]:
    return {found.parameter: found.verdict for found in proof.findings}


def named(proof: Proof, name: str) -> Finding:
    [found] = [each for each in proof.findings if each.parameter == name]
    return found


async def test_an_engine_that_applies_all_of_them_is_proven() -> None:
    maker, usage = Maker(), AnswerUsage()
    proof = await proven(maker, usage)
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "proven")
    assert [found.parameter for found in proof.findings] == list(BY_NAME)
    assert (proof.seeds_repeat, proof.unknown_field) == (True, "ignored")
    assert proof.generations == len(maker.asked) == 262
    lengths = [request.max_new_tokens for request in maker.asked]
    assert proof.tokens == usage.generated_tokens == sum(lengths)
    assert usage.prompt_tokens == sum(len(request.prompt.split()) for request in maker.asked)
    assert maker.most_running == 4
    assert proof.seconds > 0
    for name in ("temperature", "top_p", "top_k", "min_p"):
        found = named(proof, name)
        assert (found.p, found.strength) == (None, None)
        assert found.counts["answers"] == 9
    counts = named(proof, "temperature").counts
    assert counts == {"answers": 9, "greedy_when_cold": 9, "greedy_at_hot": 0}
    assert named(proof, "temperature").evidence == (
        "At 0.001, 9 of 9 test answers were the model's likeliest words; at 1.5, 0 of 9."
    )
    assert named(proof, "top_k").counts == {
        "answers": 9,
        "greedy": 9,
        "greedy_without": 0,
        "unchanged": 0,
    }
    assert named(proof, "top_k").evidence == (
        "With 1, 9 of 9 test answers at temperature 1.5 were the model's likeliest words; without "
        "it, 0 of 9."
    )
    for name in ("frequency_penalty", "presence_penalty"):
        found = named(proof, name)
        assert found.strength == pytest.approx(1)
        assert found.p is not None
        assert found.p < 0.01
        assert (found.counts["pairs"], found.counts["unchanged"]) == (40, 0)
        assert found.counts["before"] > found.counts["after"] > 0
        assert found.evidence == (
            f"With 2, {found.counts['after']:.1%} of the words had come before, without it "
            f"{found.counts['before']:.1%} (in 40 pairs of test answers; p = {found.p:.4f}). Its "
            "strength is 100% of OpenAI's."
        )
    found = named(proof, "repetition_penalty")
    assert found.strength is None
    assert found.evidence.startswith("With 20, ")
    assert found.evidence.endswith(f"(in 40 pairs of test answers; p = {found.p:.4f}).")


async def test_every_question_is_asked_as_a_chat_would_and_with_every_parameter() -> None:
    maker = Maker()
    await proven(maker, of=info(prompt_format=CHATML))
    start, end = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    assert {each.prompt for each in maker.asked} == {f"{start}{each}{end}" for each in QUESTIONS}
    for request in maker.asked:
        assert request.stop == CHATML.stop
        assert set(request.sampler.set_values()) == set(BY_NAME)
    short = [each for each in maker.asked if each.max_new_tokens == 24]
    assert {each.seed for each in short} == {1, 2, 3}
    assert set(maker.likeliest) == {0, 5}
    # The penalties' answers are drawn with the same seeds, with the penalty and without.
    told = zip(maker.asked, maker.likeliest, strict=True)
    drawn = [each for each, likeliest in told if each.max_new_tokens == 64 and not likeliest]
    assert len(drawn) == 160
    assert {each.seed for each in drawn} == set(range(1, 11))
    assert {each.sampler.temperature for each in drawn} == {1}
    values = {
        (name, value)
        for each in maker.asked
        for name, value in each.sampler.set_values().items()
        if "penalty" in name and value != NEUTRAL[name]
    }
    assert values == {
        ("frequency_penalty", 2.0),
        ("frequency_penalty", 0.3),
        ("presence_penalty", 2.0),
        ("presence_penalty", 0.3),
        ("repetition_penalty", 20.0),
    }


async def test_what_an_engine_is_said_not_to_take_is_sent_all_the_same() -> None:
    maker = Maker()
    await proven(maker, of=info(unsupported=("min_p", "presence_penalty")))
    assert {tuple(each.items()) for each in maker.extra} == {
        (),
        (("no_such_parameter", 1),),
        (("min_p", 1.0),),
        (("presence_penalty", 2.0),),
        (("presence_penalty", 0.3),),
    }


async def test_what_an_engine_ignores_changes_nothing_token_for_token() -> None:
    proof = await proven(Maker(applies=()))
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "none")
    assert named(proof, "temperature").counts["greedy_when_cold"] == 0
    assert named(proof, "top_p").evidence == (
        "With 0.001, all 9 test answers stayed as they were, token for token."
    )
    assert named(proof, "top_p").counts["unchanged"] == 9
    for name in ("frequency_penalty", "presence_penalty", "repetition_penalty"):
        found = named(proof, name)
        value = 2 if name != "repetition_penalty" else 20
        assert found.evidence == (
            f"With {value}, all 40 test answers stayed as they were, token for token."
        )
        assert found.counts["unchanged"] == 40
        assert found.counts["before"] == found.counts["after"]
        assert found.p == 1
        assert found.strength == (None if name == "repetition_penalty" else 0)


@pytest.mark.parametrize("strength", [0.1, 0.4])
async def test_a_weak_penalty_is_said_to_be_one(strength: float) -> None:
    proof = await proven(Maker(strength=strength))
    found = named(proof, "frequency_penalty")
    assert found.verdict == "weaker"
    assert found.strength == pytest.approx(strength)
    assert found.evidence == (
        f"With 2, {found.counts['after']:.1%} of the words had come before, without it "
        f"{found.counts['before']:.1%} (in 40 pairs of test answers; p = {found.p:.4f}). Its "
        f"strength is {strength:.1%} of OpenAI's."
    )
    assert named(proof, "presence_penalty").verdict == "proven"


async def test_half_of_the_strength_is_enough() -> None:
    found = named(await proven(Maker(strength=0.51)), "frequency_penalty")
    assert found.verdict == "proven"
    assert found.strength == pytest.approx(0.51)


async def test_a_parameter_that_is_refused_has_no_effect() -> None:
    proof = await proven(Maker(refuses={"min_p": 0.1, "no_such_parameter": 1}))
    assert named(proof, "min_p") == Finding(
        "min_p", "none", "The engine refuses it: min_p is too much.", {}
    )
    assert proof.unknown_field == "refused"
    assert set(verdicts(proof).values()) == {"proven", "none"}


async def test_an_engine_without_seeds_proves_less() -> None:
    proof = await proven(Maker(applies=(), seeds=False))
    assert not proof.seeds_repeat
    assert proof.unknown_field == "changes the answer"
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "unclear")
    assert named(proof, "top_k").counts["unchanged"] == 0


async def test_an_unknown_field_that_changes_the_answer_is_told() -> None:
    proof = await proven(Maker(unknown=True))
    assert (proof.unknown_field, proof.seeds_repeat) == ("changes the answer", True)


async def test_an_engine_that_is_always_greedy_proves_no_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing can be told of a filter, either, where one token is left without it."""
    monkeypatch.setattr(conformance, "HOT", 0.0001)
    proof = await proven(Maker())
    assert {verdicts(proof)[name] for name in ("top_p", "top_k", "min_p", "temperature")} <= {
        "none",
        "unclear",
    }
    assert named(proof, "top_k").counts["greedy_without"] == 9


@pytest.mark.parametrize("places", [1, 8])
async def test_so_many_are_written_at_a_time(places: int) -> None:
    maker = Maker()
    await proven(maker, places=places)
    assert maker.most_running == places


@pytest.mark.parametrize(
    ("seeds", "slots", "places"),
    [("alone", 16, 1), ("always", 4, 4), ("never", 100, 8), ("always", None, 8)],
)
def test_seeds_and_slots_say_how_many(seeds: Any, slots: int | None, places: int) -> None:
    assert at_once(info(seeds=Seeds(seeds), slots=slots)) == places


async def test_texts_are_compared_where_tokens_are_not_told() -> None:
    none = Probabilities("none")
    proof = await proven(Maker(numbers=False), of=info(probabilities=none))
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "proven")
    for name in ("frequency_penalty", "presence_penalty"):
        found = named(proof, name)
        assert found.strength is None
        assert found.evidence.endswith(
            " How strong it is beside OpenAI's cannot be told: the engine gives no probabilities."
        )
    proof = await proven(Maker(applies=(), numbers=False), of=info(probabilities=none))
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "none")
    assert named(proof, "top_k").evidence == (
        "With 1, all 9 test answers stayed as they were, letter for letter."
    )


async def test_raw_probabilities_tell_no_strength() -> None:
    maker = Maker()
    proof = await proven(maker, of=info(probabilities=Probabilities("raw", 5)))
    assert set(maker.likeliest) == {0}, "it is not asked for what tells nothing"
    found = named(proof, "presence_penalty")
    assert (found.verdict, found.strength) == ("proven", None)
    assert found.evidence.endswith("the engine gives the model's own probabilities alone.")


async def test_probabilities_that_are_said_to_be_final_and_are_not() -> None:
    found = named(await proven(Maker(final=False)), "frequency_penalty")
    assert (found.verdict, found.strength) == ("proven", None)
    assert found.evidence.endswith("are the same with it and without.")


@pytest.mark.parametrize("strength", [1.0, 0.7])
async def test_penalties_that_count_the_prompt_too_are_said_to(strength: float) -> None:
    found = named(await proven(Maker(strength=strength, counts_prompt=True)), "frequency_penalty")
    assert found.verdict == "proven"
    assert found.strength == pytest.approx(strength)
    assert found.evidence.endswith(
        f" Its strength is {strength:.0%} of OpenAI's, with the prompt's tokens counted, too."
    )


async def test_where_much_is_refused_less_is_asked_for() -> None:
    found = named(await proven(Maker(refuses={"repetition_penalty": 3})), "repetition_penalty")
    assert found.evidence.startswith("With 2, ")
    found = named(await proven(Maker(refuses={"repetition_penalty": 2})), "repetition_penalty")
    assert found == Finding(
        "repetition_penalty", "none", "The engine refuses it: repetition_penalty is too much.", {}
    )


@pytest.mark.parametrize("after", [0, 30, 100, 200, 260])
async def test_with_one_that_fails_the_others_end(after: int) -> None:
    maker, usage = Maker(), AnswerUsage()
    maker.fails_after = after
    with pytest.raises(EngineError, match="It broke"):
        await proven(maker, usage)
    assert maker.running == 0
    begun = len(maker.asked)
    assert begun <= after + 2 * 4
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(maker.asked) == begun
    complete = sum(request.max_new_tokens for request in maker.asked[:after])
    assert complete <= usage.generated_tokens <= complete + 2 * 4 * 64


async def test_what_was_cut_off_counts_as_much_as_it_may_have_taken() -> None:
    maker, usage = Maker(), AnswerUsage()
    proving = asyncio.create_task(proven(maker, usage))
    while len(maker.asked) < 20:  # noqa: ASYNC110
        await asyncio.sleep(0)
    begun = len(maker.asked)
    proving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proving
    assert maker.running == 0
    assert len(maker.asked) == begun
    assert usage.generated_tokens == 24 * begun
    assert usage.prompt_tokens == sum(len(request.prompt.split()) for request in maker.asked)


def test_a_claim_without_effect_is_a_contradiction() -> None:
    def finding(name: str, verdict: Any) -> Finding:
        return Finding(name, verdict, "", {})

    found = Proof(
        (
            finding("min_p", "none"),
            finding("top_k", "none"),
            finding("top_p", "proven"),
            finding("temperature", "none"),
        ),
        seeds_repeat=True,
        unknown_field="ignored",
        generations=1,
        tokens=1,
        seconds=1.0,
        made=1,
    )
    applied = {
        "min_p": Applied("unsupported"),
        "top_k": Applied("native"),
        "top_p": Applied("native"),
        "temperature": Applied("emulated"),
    }
    assert contradictions(found, applied) == ["top_k", "temperature"]
