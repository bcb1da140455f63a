"""TGI as an engine: the sampler in TGI's words, its state, its streams, its errors."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Mapping
from contextlib import aclosing
from struct import pack, unpack
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain.errors import EngineError
from playground.domain.messages import Applied
from playground.domain.samplers import BY_NAME, PARAMETERS, Sampler
from playground.engines.base import Chunk, EngineState, Finish, GenerationRequest
from playground.engines.tgi import TGIEngine, map_sampler
from tests.faults import Peer, Script, error_event, event, serving
from tests.stock import INFO, calls, engine, generations, tgi, tokens, until, writing

STOCK = {
    name: Applied("unsupported" if name in ("presence_penalty", "min_p") else "native")
    for name in BY_NAME
}
ALL = {name: Applied("native") for name in BY_NAME}


def request(**changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "prompt": "<|user|>\nHi\n<|assistant|>\n",
        "sampler": Sampler(),
        "max_new_tokens": 16,
        "seed": 7,
        "stop": ("<|user|>",),
    }
    return GenerationRequest(**values | changes)


async def settled(made: TGIEngine, state: str, *, seconds: float = 15.0) -> EngineState:
    """Ask, as the page does, until the engine is in this state."""
    deadline = time.monotonic() + seconds
    while (now := await made.state()).state != state:
        assert time.monotonic() < deadline, f"still {now}"
        await asyncio.sleep(0.05)
    return now


@pytest.mark.parametrize(
    ("sampler", "sent"),
    [
        (Sampler(), {"do_sample": False}),
        (Sampler(temperature=0), {"do_sample": False}),
        (Sampler(temperature=0, top_p=0.9, top_k=5, min_p=0.1), {"do_sample": False}),
        (Sampler(temperature=0.01), {"temperature": 0.01}),
        (Sampler(temperature=1), {"do_sample": True}),
        (Sampler(temperature=0.7, top_p=0.99999999), {"temperature": 0.7}),
        (Sampler(top_p=1 - 2**-25), {"do_sample": False}),
        (Sampler(top_p=1 - 2**-24), {"top_p": 1 - 2**-24}),
        (Sampler(temperature=0.7, top_p=0.95), {"temperature": 0.7, "top_p": 0.95}),
        (Sampler(top_p=0.9), {"top_p": 0.9, "do_sample": True}),
        (Sampler(top_k=40), {"top_k": 40, "do_sample": True}),
        (Sampler(temperature=1, top_p=1, top_k=0), {"do_sample": True}),
        (Sampler(top_p=1, top_k=0, min_p=0), {"do_sample": False}),
        (Sampler(repetition_penalty=1, frequency_penalty=0), {"do_sample": False}),
        (
            Sampler(temperature=0, repetition_penalty=1.2, frequency_penalty=-0.5),
            {"repetition_penalty": 1.2, "frequency_penalty": -0.5, "do_sample": False},
        ),
        (Sampler(temperature=1, min_p=0.1, presence_penalty=1.5), {"do_sample": True}),
        (Sampler(min_p=0.1), {"do_sample": False}),
    ],
)
def test_says_a_sampler_in_the_words_of_stock_tgi(
    sampler: Sampler, sent: dict[str, object]
) -> None:
    assert map_sampler(sampler, STOCK) == {"do_sample": True, **sent}


def test_sends_everything_to_an_engine_that_takes_everything() -> None:
    assert map_sampler(Sampler(min_p=0.1, presence_penalty=1.5), ALL) == {
        "min_p": 0.1,
        "presence_penalty": 1.5,
        "do_sample": True,
    }


@st.composite
def samplers(draw: st.DrawFn) -> Sampler:
    values: dict[str, Any] = {}
    for parameter in PARAMETERS:
        low, high = parameter.smallest or parameter.minimum, parameter.maximum
        number = st.integers(int(low), int(high)) if parameter.integer else st.floats(low, high)
        ends = st.sampled_from([None, parameter.neutral, parameter.minimum])
        values[parameter.name] = draw(ends | number)
    return Sampler(**values)


@given(sampler=samplers(), applied=st.sampled_from([STOCK, ALL]))
def test_sends_only_what_tgi_accepts_and_what_has_an_effect(
    sampler: Sampler, applied: dict[str, Applied]
) -> None:
    sent = map_sampler(sampler, applied)
    values: dict[str, Any] = {**sent}
    sampling = values.pop("do_sample")
    for name, value in values.items():
        assert applied[name].how == "native"
        assert value == getattr(sampler, name)
        assert value != BY_NAME[name].neutral
    # The ranges of TGI's router/src/validation.rs.
    assert values.get("temperature", 1) > 0
    assert values.get("top_k", 1) >= 1
    assert 0 < unpack("f", pack("f", values.get("top_p", 0.5)))[0] < 1
    assert values.get("repetition_penalty", 1) > 0
    # With a warper TGI samples, whatever do_sample says.
    assert sampling or not {"temperature", "top_k", "top_p"} & set(values)
    if sampler.temperature is not None:
        assert sampling == (sampler.temperature > 0)
    assert 60 / values.get("temperature", 1) < 2 * 65504  # float16, with logits as large as any


async def test_sends_the_request_as_it_says() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        asked = request(sampler=Sampler(temperature=0.5, min_p=0.1), stop=("<|user|>", "x"))
        assert [item async for item in made.stream(asked)][-1] == Finish("eos_token", 1, 11, 7)
        [body] = generations(server)
        assert body == {"inputs": asked.prompt, "parameters": dict(made.parameters(asked))}
        assert body["parameters"] == {
            "temperature": 0.5,
            "do_sample": True,
            "max_new_tokens": 16,
            "seed": 7,
            "stop": ["<|user|>", "x"],
            "return_full_text": False,
            "details": True,
        }


async def test_says_what_stock_tgi_is_and_does_not_apply() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        state = await made.state()
    assert (state.state, state.reason) == ("ready", "")
    info = state.info
    assert info is not None
    assert (info.name, info.model_id, info.model_sha) == ("TGI 3.3.7", "some/model", "0123abc")
    assert (info.max_input_tokens, info.max_total_tokens, info.max_stop_sequences) == (60, 80, 4)
    assert info.raw == INFO
    assert set(info.applied) == set(BY_NAME)
    for name in ("presence_penalty", "min_p"):
        assert info.applied[name].how == "unsupported"
        assert "not sent" in info.applied[name].reason
    assert "weaker" in info.applied["frequency_penalty"].reason


async def test_takes_what_an_extended_tgi_says_it_applies() -> None:
    extension = {"frequency_penalty": "openai", "presence_penalty": "openai", "min_p": "native"}
    info = {**INFO, "samplers": extension}
    async with tgi(writing(["Hi"]), info=info) as server, engine(server.url) as made:
        state = await made.state()
        assert state.info is not None
        assert set(state.info.applied.values()) == {Applied("native")}
        sent = made.parameters(request(sampler=Sampler(min_p=0.1, presence_penalty=1.0)))
        assert (sent["min_p"], sent["presence_penalty"]) == (0.1, 1.0)


async def test_the_stand_in_applies_all_seven(stand_in_url: str) -> None:
    async with engine(stand_in_url) as made:
        info = (await settled(made, "ready")).info
        assert info is not None
        assert info.name.startswith("TGI stand-in ")
        assert {name for name, a in info.applied.items() if a.how == "native"} == set(BY_NAME)
        asked = request(sampler=Sampler(temperature=1.0, min_p=0.1, presence_penalty=0.5))
        one, two = [[item async for item in made.stream(asked)] for _ in range(2)]
        assert text_of(one) == text_of(two) != ""
        assert isinstance(one[-1], Finish)
        assert one[-1].generated_tokens == sum(i.tokens for i in one if isinstance(i, Chunk))


def text_of(items: list[Chunk | Finish]) -> str:
    return "".join(item.text for item in items if isinstance(item, Chunk))


async def test_callers_at_the_same_time_share_one_question() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        states = await asyncio.gather(*(made.state() for _ in range(20)))
        assert {state.state for state in states} == {"ready"}
        await made.state()
        assert len(calls(server, "/health")) == len(calls(server, "/info")) == 1


async def test_a_caller_that_leaves_does_not_take_the_question_from_the_others() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        asked.set()
        await go.wait()
        await peer.answer()

    async with tgi(health=slow) as server, engine(server.url) as made:
        leaving, staying = [asyncio.create_task(made.state()) for _ in range(2)]
        await asked.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        go.set()
        assert leaving.cancelled()
        assert (await staying).state == "ready"
        assert len(calls(server, "/health")) == 1


async def unhealthy(peer: Peer) -> None:
    body = {"error": "unhealthy", "error_type": "healthcheck"}
    await peer.answer(orjson.dumps(body), status=503)


async def test_a_count_keeps_no_text() -> None:
    """A draft is counted while it is written; what is kept of each is a few bytes."""
    async with tgi(writing(["x"])) as server, engine(server.url) as made:
        await made.state()
        tracemalloc.start()
        try:
            for number in range(50):
                assert await made.count_tokens(f"{number} " + "x" * 500_000) == 3
            server.requests.clear()
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert kept < 12_000_000
        assert await made.count_tokens("49 " + "x" * 500_000) == 3
    assert calls(server, "/tokenize") == [], "what was counted is known again"


async def test_a_name_that_nobody_knows_is_offline_at_once() -> None:
    async with engine("http://no-such-host.invalid:80") as made:
        state = await made.state()
    assert state.state == "offline"
    assert "no-such-host.invalid" in state.reason


async def test_a_refused_connection_is_loading_for_a_while_only(free_tcp_port: int) -> None:
    async with engine(f"http://127.0.0.1:{free_tcp_port}", loading_for=2.0) as made:
        state = await made.state()
        assert state.state == "loading"
        for word in ("address", "loading", "refused"):
            assert word in state.reason
        state = await settled(made, "offline")
    assert "refused" in state.reason


async def test_a_tgi_that_answers_503_is_loading() -> None:
    async with tgi(writing(["Hi"]), health=unhealthy) as server, engine(server.url) as made:
        before = time.time()
        state = await made.state()
        assert (state.state, state.info) == ("loading", None)
        assert "loading" in state.reason
        assert before <= state.since <= time.time()


async def test_the_quantisation_is_what_the_operator_says_since_tgi_does_not() -> None:
    for said in ("FP8", ""):
        async with tgi() as server, engine(server.url, quantisation=said) as made:
            info = (await made.state()).info
        assert info is not None
        assert info.quantisation == said


async def test_a_state_is_left_and_found_again_by_itself(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"
    async with engine(url) as made:
        first = await made.state()
        assert first.state == "loading", "TGI opens its port only when the model is loaded"
        assert url in first.reason
        async with tgi(writing(["Hi"]), port=free_tcp_port):
            assert (await settled(made, "ready")).since > first.since
        gone = await settled(made, "offline")
        assert "Nothing answers" in gone.reason
        async with tgi(writing(["Hi"]), port=free_tcp_port):
            assert (await settled(made, "ready")).info is not None


async def test_what_is_not_tgi_is_offline_with_the_reason() -> None:
    async with tgi(info={"hello": "world"}) as server, engine(server.url) as made:
        state = await made.state()
    assert state.state == "offline"
    assert "not TGI" in state.reason


async def test_what_does_not_answer_in_time_is_offline() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with tgi(health=silent) as server, engine(server.url, probe_timeout=0.1) as made:
        state = await made.state()
    assert state.state == "offline"
    assert "does not answer within 0.1 s" in state.reason


async def test_counts_tokens_as_the_engine_does_and_asks_once() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        assert await made.count_tokens("one two three") == 4
        assert await made.count_tokens("one two three") == 4
        assert len(calls(server, "/tokenize")) == 1


async def test_the_counts_of_long_ago_are_forgotten() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        for number in range(400):
            assert await made.count_tokens(f"text {number}") == 3
            assert await made.count_tokens("asked again and again") == 5
        assert len(calls(server, "/tokenize")) == 401, "what is used stays"
        await made.count_tokens("text 399")
        assert len(calls(server, "/tokenize")) == 401
        await made.count_tokens("text 0")
        assert len(calls(server, "/tokenize")) == 402


@pytest.mark.parametrize("changes", [False, True])
async def test_counts_hold_as_long_as_the_model_does(changes: bool) -> None:
    info = {**INFO}
    async with tgi(writing(["Hi"]), info=info) as server, engine(server.url) as made:

        async def said(name: str, value: object) -> bool:
            info[name] = value
            now = (await made.state()).info
            return now is not None and now.raw[name] == value

        await made.state()
        assert await made.count_tokens("one two") == 3
        changed = ("model_id", "another/model") if changes else ("sha", "restarted")
        await until(lambda: said(*changed))
        assert await made.count_tokens("one two") == 3
        assert len(calls(server, "/tokenize")) == (2 if changes else 1)


async def test_leaves_out_the_text_of_special_tokens_but_counts_them() -> None:
    async def script(peer: Peer) -> None:
        *_, last = tokens(["a", "</s>"], "eos_token")
        await peer.head()
        await peer.send(event("a") + last.replace(b'"special":false', b'"special":true'))

    async with tgi(script) as server, engine(server.url) as made:
        items = [item async for item in made.stream(request())]
    assert text_of(items) == "a"
    assert sum(item.tokens for item in items if isinstance(item, Chunk)) == 2
    assert items[-1] == Finish("eos_token", 2, 11, 7)


def failing(error: str, error_type: str, *, after: str = "") -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        if after:
            await peer.send(event(after))
        await peer.send(error_event(error, error_type))

    return script


def refusing(status: int, body: bytes = b"") -> Script:
    async def script(peer: Peer) -> None:
        await peer.answer(body, status=status)

    return script


async def cut(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("a"))


async def reset(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("a"))
    await asyncio.sleep(0.05)  # lets the token out before the reset overtakes it
    peer.reset()


async def nonsense(peer: Peer) -> None:
    await peer.head()
    await peer.send(b"data: {nonsense}\n\n")


@pytest.mark.parametrize("told", [None, -1, True, 1.0, 1e308, "1", [], {}, 2**31])
@pytest.mark.parametrize("field", ["generated_tokens", "input_length"])
async def test_a_count_that_is_none_is_an_error(field: str, told: object) -> None:
    details = {"finish_reason": "length", "generated_tokens": 1, "input_length": 4, "seed": 7}

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a", index=1, generated_text="a", details={**details, field: told}))

    async with tgi(script) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            _ = [item async for item in made.stream(request())]
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        "x",
        [],
        ["a"],
        {"generated_tokens": None},
        {"tokens": None},
        {"tokens": 5},
        {"tokens": [5]},
        {"tokens": [{"id": "x"}]},
        {"tokens": [{}]},
        {"top_tokens": [5]},
        {"top_tokens": [[{"id": [], "logprob": -1}]]},
        {"top_tokens": [[{"id": 1, "logprob": "x"}]]},
    ],
)
async def test_a_whole_answer_of_wrong_values_is_an_error(wrong: object) -> None:
    details: Mapping[str, object] = {
        "finish_reason": "length",
        "generated_tokens": 1,
        "prefill": [],
        "tokens": [{"id": 1, "text": "a", "logprob": -1, "special": False}],
    }
    told = {**details, **wrong} if isinstance(wrong, dict) else wrong
    body = orjson.dumps({"generated_text": "a", "details": told})
    async with serving(refusing(200, body)) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.write(request(), likeliest=1)
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("start", [None, "x", [], {}, 1.5, True])
async def test_a_place_that_is_no_number_is_an_error(start: object) -> None:
    body = orjson.dumps([{"id": 1, "text": "a", "start": start, "stop": 1}])
    async with serving(refusing(200, body)) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.pieces("a")
    assert caught.value.kind == "protocol"


async def test_writes_a_whole_answer_with_its_tokens_and_the_likeliest(stand_in_url: str) -> None:
    asked = request(sampler=Sampler(temperature=0), max_new_tokens=12, stop=())
    async with engine(stand_in_url) as made:
        async with aclosing(made.stream(asked)) as stream:
            text = "".join([item.text async for item in stream if isinstance(item, Chunk)])
        written = await made.write(asked, likeliest=3)
        plain = await made.write(asked)
        unknown = await made.write(asked, extra={"no_such_parameter": 1})
        cut = await made.write(asked, extra={"max_new_tokens": 2})
    assert written.text == plain.text == unknown.text == text != ""
    assert len(written.tokens) == len(written.likeliest) == written.generated_tokens > 2
    for token, likeliest in zip(written.tokens, written.likeliest, strict=True):
        assert len(likeliest) >= 3
        assert max(likeliest, key=lambda each: likeliest[each]) == token
    assert (plain.tokens, plain.likeliest) == (written.tokens, ())
    assert cut.tokens == written.tokens[:2]


@pytest.mark.parametrize(
    ("script", "kind", "retryable"),
    [
        (failing("`top_p` must be", "validation"), "refused", False),
        (failing("CUDA", "generation"), "generation", True),
        (failing("CUDA", "generation", after="a"), "generation", True),
        (failing("cut", "incomplete_generation", after="a"), "incomplete", True),
        (failing("full", "overloaded", after="a"), "overloaded", True),
        (refusing(401), "unauthorized", False),
        (refusing(422, b'{"error":"x","error_type":"validation"}'), "refused", False),
        (cut, "incomplete", True),
        (reset, "incomplete", True),
        (nonsense, "protocol", False),
    ],
)
async def test_translates_every_error_once(script: Script, kind: str, retryable: bool) -> None:
    async with tgi(script) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            async for _ in made.stream(request()):
                pass
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)


async def test_an_engine_that_is_away_is_an_error_of_each_method(free_tcp_port: int) -> None:
    async with engine(f"http://127.0.0.1:{free_tcp_port}") as made:
        with pytest.raises(EngineError) as counting:
            await made.count_tokens("x")
        with pytest.raises(EngineError) as streaming:
            await anext(made.stream(request()))
        with pytest.raises(EngineError) as whole:
            await made.write(request())
    assert {each.value.kind for each in (counting, streaming, whole)} == {"offline"}


async def test_closing_closes_the_connection_of_a_silent_engine() -> None:
    left = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await peer.gone()
        left.set()

    async with tgi(silent) as server, engine(server.url) as made:
        async with aclosing(made.stream(request())) as stream:
            assert await anext(stream) == Chunk("a")
        async with asyncio.timeout(5):
            await left.wait()
