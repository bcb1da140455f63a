"""The proof by itself, of an engine that a test makes: what it applies, how strongly, what it
refuses. The verdicts over HTTP, of the real engines, are in test_conformance.py."""

import asyncio
import math
import random
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

import pytest
from huggingface_hub import (
    TextGenerationOutput,
    TextGenerationOutputDetails,
    TextGenerationOutputToken,
)

from playground.domain.messages import Applied
from playground.domain.samplers import BY_NAME
from playground.engines import conformance
from playground.engines.conformance import (
    CONCURRENT,
    QUESTIONS,
    Finding,
    Proof,
    contradictions,
    prove,
)
from playground.telemetry.usage import AnswerUsage
from tgi.client import TGIClient
from tgi.errors import GenerationFailed, ValidationFailed

ALL = frozenset(BY_NAME)
WORDS = ("a", "bee", "sea", "deer", "east", "fox", "goose", "hill", "ice", "jay")
PERIOD = 7  # places after which the model would say the same again


@lru_cache(maxsize=1000)
def model(prompt: str, place: int) -> tuple[float, ...]:
    """The logits of all words."""
    draw = random.Random(f"{prompt} {place % PERIOD}")
    return tuple(draw.gauss(0, 1.5) for _ in WORDS)


class Maker:
    """In place of a client: an engine of ten words.

    applies: the parameters that take effect, the others being ignored. strength: of the frequency
    penalty. refuses: parameters that are errors. seeds: whether a seed repeats its answer.
    unknown: whether a parameter that nobody knows changes the answer.
    """

    def __init__(
        self,
        applies: Collection[str] = ALL,
        *,
        strength: float = 1.0,
        refuses: Collection[str] = (),
        seeds: bool = True,
        unknown: bool = False,
    ) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.prompts: list[str] = []
        self.running = self.most_running = 0
        self.fails_after: int | None = None
        self._applies = applies
        self._strength = strength
        self._refuses = refuses
        self._seeds = seeds
        self._unknown = unknown

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def generate(self, prompt: str, parameters: Mapping[str, Any]) -> TextGenerationOutput:
        self.asked.append(parameters)
        self.prompts.append(prompt)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self.fails_after is not None and len(self.asked) > self.fails_after:
                raise GenerationFailed("It broke.")
            if refused := [name for name in self._refuses if name in parameters]:
                raise ValidationFailed(f"{refused[0]} is not known here.")
            return self._answer(prompt, parameters)
        finally:
            self.running -= 1

    def _answer(self, prompt: str, sent: Mapping[str, Any]) -> TextGenerationOutput:
        used = {name: value for name, value in sent.items() if name in self._applies}
        seed = sent.get("seed", 0) if self._seeds else len(self.asked)
        if self._unknown and "no_such_parameter" in sent:
            seed += 1000
        draw = random.Random(f"{prompt} {seed}")
        counts = [0] * len(WORDS)
        tokens, tops = [], []
        sampled = sent.get("do_sample") or "temperature" in sent
        for place in range(sent["max_new_tokens"]):
            logits = self._penalised(model(prompt, place), counts, used)
            chosen = _drawn(logits, used, draw) if sampled else _likeliest(logits)[0]
            counts[chosen] += 1
            total = math.log(sum(map(math.exp, logits)))
            tokens.append(
                TextGenerationOutputToken(chosen, logits[chosen] - total, False, WORDS[chosen])
            )
            likeliest = _likeliest(logits)[: sent.get("top_n_tokens", 0)]
            tops.append([{"id": each, "logprob": logits[each] - total} for each in likeliest])
        details = TextGenerationOutputDetails(
            finish_reason="length",
            generated_tokens=len(tokens),
            prefill=[],
            tokens=tokens,
            seed=seed,
            top_tokens=cast(Any, tops),  # lists of lists are left as they came
        )
        return TextGenerationOutput(" ".join(token.text for token in tokens), details)

    def _penalised(
        self, logits: tuple[float, ...], counts: list[int], used: Mapping[str, Any]
    ) -> list[float]:
        often = used.get("frequency_penalty", 0) * self._strength
        once, times = used.get("presence_penalty", 0), used.get("repetition_penalty", 1)
        return [
            (logit if not count else logit / times if logit > 0 else logit * times)
            - often * count
            - once * bool(count)
            for logit, count in zip(logits, counts, strict=True)
        ]


def _likeliest(logits: list[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda each: -logits[each])


def _drawn(logits: list[float], used: Mapping[str, Any], draw: random.Random) -> int:
    heat = used.get("temperature", 1)
    best = max(logits)
    weights = {each: math.exp((logits[each] - best) / heat) for each in _likeliest(logits)}
    total, kept, share = sum(weights.values()), dict[int, float](), 0.0
    for each, weight in weights.items():
        if len(kept) >= used.get("top_k", len(WORDS)) or (kept and share >= used.get("top_p", 1)):
            break
        if weight < used.get("min_p", 0):
            break
        kept[each] = weight
        share += weight / total
    return draw.choices(list(kept), list(kept.values()))[0]


async def proven(maker: Maker, usage: AnswerUsage | None = None, at_once: int = 4) -> Proof:
    return await prove(cast(TGIClient, maker), usage or AnswerUsage(), at_once)


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
    assert proof.generations == len(maker.asked) == 280
    lengths = [sent["max_new_tokens"] for sent in maker.asked]
    assert proof.tokens == usage.generated_tokens == sum(lengths)
    assert usage.prompt_tokens == sum(len(prompt.split()) for prompt in maker.prompts)
    assert maker.most_running == 4
    assert proof.seconds > 0
    for name in ("temperature", "top_p", "top_k", "min_p"):
        found = named(proof, name)
        assert (found.p, found.strength) == (None, None)
        assert found.counts["answers"] == 9
    counts = named(proof, "temperature").counts
    assert counts == {"answers": 9, "greedy_when_cold": 9, "greedy_at_hot": 0}
    assert named(proof, "temperature").evidence == (
        "at 0.001 9 of 9 answers are the greedy one, at 1.5 0"
    )
    assert named(proof, "top_k").counts == {
        "answers": 9,
        "greedy": 9,
        "greedy_without": 0,
        "unchanged": 0,
    }
    assert named(proof, "top_k").evidence == (
        "1 makes 9 of 9 answers the greedy one at temperature 1.5; without it 0 are"
    )
    for name in ("frequency_penalty", "presence_penalty"):
        found = named(proof, name)
        assert found.strength == pytest.approx(1)
        assert found.p is not None
        assert found.p < 0.01
        assert (found.counts["pairs"], found.counts["unchanged"]) == (40, 0)
        assert found.counts["before"] > found.counts["after"] > 0
        assert found.evidence == (
            f"2 lowers the share of words that come again from {found.counts['before']:.1%} to "
            f"{found.counts['after']:.1%} in 40 pairs (p = {found.p:.4f}); 100% of OpenAI's "
            "strength"
        )
    found = named(proof, "repetition_penalty")
    assert found.strength is None
    assert found.evidence.startswith("20 lowers the share of words that come again from ")
    assert found.evidence.endswith(f"in 40 pairs (p = {found.p:.4f})")


async def test_every_question_is_asked_as_a_chat_would_and_with_its_details() -> None:
    maker = Maker()
    await proven(maker)
    assert {prompt.split("\n")[1] for prompt in maker.prompts} == set(QUESTIONS)
    for prompt, sent in zip(maker.prompts, maker.asked, strict=True):
        assert prompt.startswith("<|user|>\n")
        assert prompt.endswith("\n<|assistant|>\n")
        assert (sent["details"], sent["return_full_text"]) == (True, False)
        assert sent["stop"] == ["<|user|>"]
    seeds = {sent["seed"] for sent in maker.asked if sent["max_new_tokens"] == 24}
    assert seeds == {1, 2, 3}
    assert {sent["top_n_tokens"] for sent in maker.asked if "top_n_tokens" in sent} == {5}
    # The penalties' answers are drawn with the same seeds, with the penalty and without.
    drawn = [sent for sent in maker.asked if sent["max_new_tokens"] == 64 and "seed" in sent]
    assert len(drawn) == 160
    assert {sent["seed"] for sent in drawn} == set(range(1, 11))
    assert all(sent["do_sample"] for sent in drawn)
    values = {
        (name, value) for sent in maker.asked for name, value in sent.items() if "penalty" in name
    }
    assert values == {
        ("frequency_penalty", 2.0),
        ("frequency_penalty", 0.3),
        ("presence_penalty", 2.0),
        ("presence_penalty", 0.3),
        ("repetition_penalty", 20.0),
    }


async def test_what_an_engine_ignores_changes_nothing_token_for_token() -> None:
    proof = await proven(Maker(applies=()))
    assert verdicts(proof) == dict.fromkeys(BY_NAME, "none")
    assert named(proof, "temperature").counts["greedy_when_cold"] == 0
    assert named(proof, "top_p").evidence == (
        "0.001 leaves 9 of 9 answers as they are, token for token"
    )
    assert named(proof, "top_p").counts["unchanged"] == 9
    for name in ("frequency_penalty", "presence_penalty", "repetition_penalty"):
        found = named(proof, name)
        assert found.evidence == "2 leaves 40 of 40 answers as they are, token for token".replace(
            "2 ", f"{2 if name != 'repetition_penalty' else 20} "
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
        f"shifts log-probabilities by {strength:.1%} of what OpenAI's does; words that come again: "
        f"{found.counts['before']:.1%} without, {found.counts['after']:.1%} with 2 "
        f"(p = {found.p:.4f})"
    )
    assert named(proof, "presence_penalty").verdict == "proven"


async def test_half_of_the_strength_is_enough() -> None:
    found = named(await proven(Maker(strength=0.51)), "frequency_penalty")
    assert found.verdict == "proven"
    assert found.strength == pytest.approx(0.51)


async def test_a_parameter_that_is_refused_has_no_effect() -> None:
    proof = await proven(Maker(refuses=("min_p", "no_such_parameter")))
    assert named(proof, "min_p") == Finding(
        "min_p", "none", "the engine refuses it: min_p is not known here.", {}
    )
    assert proof.unknown_field == "refused"
    assert set(verdicts(proof).values()) == {"proven", "none"}


async def test_an_engine_without_seeds_proves_less() -> None:
    proof = await proven(Maker(applies=(), seeds=False))
    assert not proof.seeds_repeat
    assert proof.unknown_field == "changes the answer"
    assert verdicts(proof) == {
        **dict.fromkeys(BY_NAME, "unclear"),
        # Log-probabilities need no seed.
        "frequency_penalty": "weaker",
        "presence_penalty": "weaker",
    }
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


@pytest.mark.parametrize("at_once", [1, CONCURRENT])
async def test_so_many_are_written_at_a_time(at_once: int) -> None:
    maker = Maker()
    await proven(maker, at_once=at_once)
    assert maker.most_running == at_once


@pytest.mark.parametrize("after", [0, 30, 100, 200, 270])
async def test_with_one_that_fails_the_others_end(after: int) -> None:
    maker, usage = Maker(), AnswerUsage()
    maker.fails_after = after
    with pytest.raises(GenerationFailed):
        await proven(maker, usage)
    assert maker.running == 0
    begun = len(maker.asked)
    assert begun <= after + 2 * 4
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(maker.asked) == begun
    complete = sum(sent["max_new_tokens"] for sent in maker.asked[:after])
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
    assert usage.prompt_tokens == sum(len(prompt.split()) for prompt in maker.prompts)


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
    )
    applied = {
        "min_p": Applied("unsupported"),
        "top_k": Applied("native"),
        "top_p": Applied("native"),
        "temperature": Applied("emulated"),
    }
    assert contradictions(found, applied) == ["top_k", "temperature"]
