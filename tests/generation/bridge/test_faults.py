"""Faults of an engine in the middle of an emulated answer, and what it tells in odd ways.

The server follows stock TGI, and each of its streams is what a test says. A token is a word with
the space in front of it, which a likely token's text does not have, as with Mistral's tokenizer.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from playground.domain.messages import (
    Delta,
    Done,
    Event,
    Failed,
    Message,
    Notice,
    PaneRequest,
    Receipt,
)
from playground.domain.samplers import Sampler
from playground.engines.tgi import TGIEngine
from playground.generation.answer import answer
from playground.generation.bridge.plan import EmulationPolicy
from playground.generation.comparison import Stop, compare
from playground.telemetry.usage import AnswerUsage
from tests.faults import FaultServer, Peer, Script, error_event, event, serving
from tests.stock import INFO, engine, generations

END = "</s>"
MIN_P = Sampler(temperature=1.0, min_p=0.1)
PRESENCE = Sampler(temperature=1.0, presence_penalty=2.0)
HI = PaneRequest((Message("user", "Hi"),), MIN_P, max_new_tokens=20, seed=1)
ROOM = {**INFO, "max_input_tokens": 400, "max_total_tokens": 500}
_ids: dict[str, int] = {END: 2}


def number(word: str) -> int:
    return _ids.setdefault(word, 10 + len(_ids))


def step(*words: tuple[str, float], told: int = 20) -> bytes:
    """The event of the first word, drawn among these, which have these probabilities."""
    top = [
        {
            "id": number(word),
            "text": word.strip(),
            "logprob": math.log(likely),
            "special": word == END,
        }
        for word, likely in sorted(words, key=lambda each: -each[1])
    ]
    word, likely = words[0]
    token = {"id": number(word), "text": word, "logprob": math.log(likely), "special": word == END}
    last = {"finish_reason": "eos_token", "generated_tokens": 1, "input_length": 9, "seed": 1}
    if word == END:
        return event("", generated_text="", token=token, top_tokens=top[:told], details=last)
    return event("", token=token, top_tokens=top[:told])


def writing(*steps: bytes) -> Script:
    """A stream of these; without an end of its own it waits until it is left."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for each in steps:
            await peer.send(each)
        await peer.gone()

    return script


def failing(*steps: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"".join(steps) + error_event("It broke.", "generation"))

    return script


@asynccontextmanager
async def tgi(*streams: Script, raw: bool = False) -> AsyncIterator[tuple[FaultServer, TGIEngine]]:
    """A TGI whose n-th stream runs the n-th script, and an engine in front of it."""
    begun = 0

    async def serve(peer: Peer) -> None:
        nonlocal begun
        asked = peer.request.json() if peer.request.body else {}
        match peer.request.path:
            case "/health":
                await peer.answer()
            case "/info":
                await peer.answer(orjson.dumps(ROOM))
            case "/generate":
                await peer.answer(orjson.dumps(likely(raw=raw)))
            case "/tokenize":
                pieces = list(re.finditer(r" ?[^ \n]+|\s", asked["inputs"]))
                tokens = [{"id": 1, "text": "<s>", "start": 0, "stop": 0}] + [
                    {"id": number(m[0]), "text": m[0], "start": m.start(), "stop": m.end()}
                    for m in pieces
                ]
                await peer.answer(orjson.dumps(tokens))
            case "/generate_stream":
                begun += 1
                await streams[begun - 1](peer)
            case path:
                raise AssertionError(path)

    async with serving(serve) as server, engine(server.url) as made:
        yield server, made


def likely(*, raw: bool) -> Any:
    """What tells whether probabilities are those that are drawn from."""
    told = [{"id": each, "text": "a", "logprob": math.log(0.05)} for each in range(20)]
    first = {**told[0], "logprob": math.log(0.3 if raw else 0.05), "special": False}
    details = {"finish_reason": "length", "generated_tokens": 1, "seed": 1, "prefill": []}
    return {"generated_text": "a", "details": {**details, "tokens": [first], "top_tokens": [told]}}


@dataclass
class Told:
    """The events of an answer."""

    text: str
    receipt: Receipt
    end: Done | Failed


async def answered(made: TGIEngine, request: PaneRequest, usage: AnswerUsage | None = None) -> Told:
    events = [
        each
        async for each in answer(
            made,
            request,
            context_tokens=500,
            usage=usage,
            emulation=EmulationPolicy(restarts=9.0),
        )
    ]
    return told(events)


def told(events: Sequence[Event]) -> Told:
    receipt, *rest, end = events
    assert isinstance(receipt, Receipt)
    assert isinstance(end, Done | Failed)
    return Told("".join(each.text for each in rest if isinstance(each, Delta)), receipt, end)


SURE = step((" One", 0.9), (" two", 0.1))
BELOW = step((" two", 0.01), (" One", 0.9), (" three", 0.09))
ENDING = step((END, 0.9), (" two", 0.1))


async def test_an_error_in_a_restart_keeps_what_was_accepted() -> None:
    usage = AnswerUsage()
    async with tgi(writing(SURE, SURE, BELOW), failing(SURE)) as (server, made):
        took = await answered(made, HI, usage)
        first, second = generations(server)
    assert took.text == "One One One"
    assert isinstance(took.end, Failed)
    assert took.end.kind == "generation"
    assert "It broke." in took.end.message
    emulation = took.end.emulation
    assert emulation is not None
    assert (emulation.restarts, emulation.proposed, emulation.accepted) == (1, 4, 3)
    assert usage.emulation == emulation
    assert usage.generated_tokens == 3
    assert second["inputs"] == first["inputs"] + " One One"
    assert second["parameters"]["seed"] != first["parameters"]["seed"]
    assert second["parameters"]["max_new_tokens"] == first["parameters"]["max_new_tokens"] - 2


async def test_a_restart_that_is_refused_is_a_failure_as_well() -> None:
    async def full(peer: Peer) -> None:
        body = {"error": "Model is overloaded", "error_type": "overloaded"}
        await peer.answer(orjson.dumps(body), 429)

    async with tgi(writing(SURE, BELOW), *[full] * 9) as (_, made):
        took = await answered(made, HI)
    assert took.text == "One"
    assert isinstance(took.end, Failed)
    assert (took.end.kind, took.end.retryable) == ("overloaded", True)
    assert took.end.emulation is not None


@pytest.mark.parametrize("how", ["left", "stopped"])
async def test_a_cancelled_restart_closes_its_stream(how: str) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.head()
        begun.set()
        await peer.gone()
        gone.set()

    stop, usage = Stop(), AnswerUsage()
    events: list[Event] = []

    async def read() -> None:
        batches = compare(
            [made],
            [HI],
            context_tokens=500,
            stops=[stop],
            usages=[usage],
            emulation=EmulationPolicy(restarts=9.0),
        )
        async with aclosing(batches) as stream:
            async for batch in stream:
                events.extend(each for _, each in batch)

    async with tgi(writing(SURE, BELOW), silent) as (_, made):
        reading = asyncio.create_task(read())
        async with asyncio.timeout(10):
            await begun.wait()
            if how == "left":
                reading.cancel()
                await asyncio.wait([reading])
            else:
                stop.ask()
                await reading
            await gone.wait()
    assert usage.emulation is not None
    assert usage.emulation.restarts == 1
    if how == "stopped":
        end = told(events).end
        assert end == Failed("stopped", "Stopped.", True, usage.emulation, usage.figures)


async def test_an_end_comes_right_after_a_correction() -> None:
    async with tgi(writing(SURE, BELOW), writing(ENDING)) as (_, made):
        took = await answered(made, HI)
    assert took.text == "One"
    assert isinstance(took.end, Done)
    assert (took.end.finish_reason, took.end.generated_tokens) == ("eos_token", 2)


# The first word is there already: with a presence penalty the other may be written in its place.
AGAIN = step((" One", 0.9), (" two", 0.1))


async def test_a_word_is_never_glued_to_the_last_one() -> None:
    for seed in range(1, 9):
        streams = writing(SURE, AGAIN, ENDING), writing(SURE), writing(ENDING)
        async with tgi(*streams) as (server, made):
            took = await answered(made, replace(HI, sampler=PRESENCE, seed=seed))
            prompts = [each["inputs"] for each in generations(server)]
        if len(prompts) > 1:
            break
        assert took.text == "One One"
    assert took.text == "One two"
    assert isinstance(took.end, Done)
    assert took.end.emulation is not None
    assert took.end.emulation.reread == 0
    behind = [each.removeprefix(prompts[0]) for each in prompts]
    assert behind == ["", " Onetwo", " One two"], "the second one is left at once"
    assert (took.end.finish_reason, took.end.generated_tokens) == ("eos_token", 3)


async def test_the_end_may_be_what_is_written_in_the_place_of_a_token() -> None:
    ends = step((" One", 0.9), (END, 0.1))
    for seed in range(1, 9):
        async with tgi(writing(SURE, ends, ENDING)) as (server, made):
            took = await answered(made, replace(HI, sampler=PRESENCE, seed=seed))
            assert len(generations(server)) == 1, "nothing comes behind it"
        assert isinstance(took.end, Done)
        assert took.end.finish_reason == "eos_token"
        if took.text == "One":
            break
        assert took.text == "One One"
    assert took.text == "One"
    assert isinstance(took.end, Done)
    assert took.end.generated_tokens == 2


async def test_a_stop_sequence_over_a_restart_stops() -> None:
    begins = step((" EN", 0.9), (" two", 0.1))
    goes_on = step(("D", 0.9), (" two", 0.1))
    async with tgi(writing(SURE, begins, BELOW), writing(goes_on, SURE, ENDING)) as (_, made):
        took = await answered(made, replace(HI, stop=("END",)))
    assert took.text == "One"
    assert isinstance(took.end, Done)
    assert took.end.finish_reason == "stop_sequence"


async def test_more_or_fewer_likely_tokens_than_were_asked_for() -> None:
    tied = step((" One", 0.05), *[(f" w{each}", 0.95 / 24) for each in range(24)], told=25)
    alone = step((" One", 0.9), told=1)
    none = step((" One", 0.9), told=0)
    async with tgi(writing(tied), writing(tied, alone, none, ENDING)) as (server, made):
        took = await answered(made, HI)
        narrow, wide = [each["parameters"] for each in generations(server)]
    assert narrow["top_n_tokens"] == wide["top_n_tokens"] == 50
    assert narrow["top_k"] == 20, "of which min_p would leave more"
    assert "top_k" not in wide
    assert took.text == "One One One"
    assert isinstance(took.end, Done)
    assert took.end.emulation is not None
    assert (took.end.emulation.accepted, took.end.emulation.bound) == (4, 0)


async def test_raw_probabilities_refuse_emulation_with_the_reason() -> None:
    async with tgi(writing(SURE, BELOW, ENDING), raw=True) as (server, made):
        took = await answered(made, HI)
        [asked] = generations(server)
    assert took.text == "One two"
    assert not {"min_p", "top_n_tokens"} & set(asked["parameters"])
    assert "other probabilities than those that it draws from" in took.receipt.left_out["min_p"]
    assert took.receipt.emulated == {}
    assert isinstance(took.end, Done)
    assert took.end.emulation is None


@pytest.mark.parametrize("by", ["reader", "operator"])
async def test_switched_off_nothing_is_sent_and_it_is_said(by: str) -> None:
    sampler = Sampler(temperature=1.0, min_p=0.1, frequency_penalty=1.0, presence_penalty=1.0)
    request = replace(HI, sampler=sampler, emulate=by == "operator")
    policy = EmulationPolicy(allowed=by == "reader")
    async with tgi(writing(SURE, BELOW, ENDING)) as (server, made):
        answers = answer(made, request, context_tokens=500, emulation=policy)
        took = told([each async for each in answers])
        [asked] = generations(server)
    assert took.text == "One two"
    names = {"min_p", "frequency_penalty", "presence_penalty"}
    assert not (names | {"top_n_tokens"}) & set(asked["parameters"])
    assert set(took.receipt.left_out) == names | {"temperature"}
    assert not took.receipt.emulate
    none = "Emulation is off, and the engine has no such parameter: it is not sent."
    assert took.receipt.left_out["min_p"] == took.receipt.left_out["presence_penalty"] == none
    assert took.receipt.left_out["frequency_penalty"] == (
        "Emulation is off. The engine's own is far weaker than OpenAI's, and is not sent either."
    )
    for name in names:
        assert took.receipt.applied[name].how == "unsupported"


def lying(token: object, *logprobs: object) -> bytes:
    """The event of a token with likely ones of these logarithms."""
    top = [
        {"id": number(f" w{i}"), "text": f"w{i}", "logprob": each, "special": False}
        for i, each in enumerate(logprobs)
    ]
    drawn = {"id": token, "text": " a", "logprob": -0.5, "special": False}
    return event("", token=drawn, top_tokens=top)


@pytest.mark.parametrize(
    "lie",
    [
        lying(1, 1e308, -1e308),
        lying(1, -1e308),
        lying(1, 5, 4, 3),
        lying(1, -0.1, -0.1, -0.1),
        lying(1, None),
        lying("x", -0.5),
        lying(1.5, -0.5),
    ],
    ids=["beyond all numbers", "none", "above 1", "above 1 in all", "no number", "text", "half"],
)
@pytest.mark.parametrize("sampler", [MIN_P, PRESENCE, Sampler(temperature=0, presence_penalty=1)])
async def test_probabilities_that_are_none_end_an_answer_as_the_engines_fault(
    lie: bytes, sampler: Sampler
) -> None:
    async with tgi(writing(SURE, lie)) as (_, made):
        took = await answered(made, replace(HI, sampler=sampler))
    assert isinstance(took.end, Failed)
    assert took.end.kind == "protocol"


async def test_an_engine_that_never_writes_what_it_says_is_likely_is_given_up() -> None:
    """Its streams are bounded by what was accepted, and so is what they may write."""
    lie = lying(9, -0.1, -3)
    policy = EmulationPolicy(restarts=2.0)
    async with tgi(*[writing(lie)] * 100) as (server, made):
        items = answer(made, HI, context_tokens=500, emulation=policy)
        async with aclosing(items) as events:
            async for each in events:
                if isinstance(each, Notice):
                    break
        assert len(generations(server)) <= 2.0 * 20 + 2
