"""Servers of OpenAI's completions as engines: what is sent, what they say, streams, and errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.domain.errors import EngineError
from playground.domain.prompt_formats import CHATML, TULU2
from playground.domain.samplers import BY_NAME, Sampler
from playground.engines.base import Chunk, EngineInfo, EngineState, Finish, GenerationRequest
from playground.engines.dialects import (
    FEATHERLESS,
    OPENAI,
    OPENAI_ITSELF,
    SGLANG,
    SGLANG_DETERMINISTIC,
    VLLM,
    Dialect,
)
from playground.engines.openai import OpenAIEngine
from playground.generation.receipt import left_out
from tests.completions import (
    CARD,
    DONE,
    broken,
    completions,
    event,
    refusing,
    sending,
    tokenize,
    transcripts,
    usage,
    writing,
)
from tests.engines.test_tgi import samplers
from tests.faults import FaultServer, Peer, Script, serving
from tests.stock import calls, until

WIRE = transcripts()
NEUTRAL = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def request(**changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "prompt": "<|user|>\nHi\n<|assistant|>\n",
        "sampler": Sampler(),
        "max_new_tokens": 16,
        "seed": 7,
        "stop": ("<|user|>",),
    }
    return GenerationRequest(**values | changes)


@asynccontextmanager
async def engine(url: str, kind: str = "vllm", **options: Any) -> AsyncIterator[OpenAIEngine]:
    made = OpenAIEngine(url, kind=kind, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def ready(made: OpenAIEngine) -> EngineInfo:
    state = await made.state()
    assert state.info is not None, state.reason
    return state.info


def models(*cards: Mapping[str, Any]) -> dict[str, object]:
    return {"/v1/models": {"object": "list", "data": [{**CARD, **card} for card in cards]}}


def text_of(items: Sequence[Chunk | Finish]) -> str:
    return "".join(item.text for item in items if isinstance(item, Chunk))


def asked(server: FaultServer) -> list[Any]:
    """The bodies of the generations that came in."""
    return [each.json() for each in calls(server, "/v1/completions")]


# What is sent.


def sent(dialect: Dialect, **values: float) -> dict[str, object]:
    """The sampler as it is sent, without what is neutral of OpenAI's own."""
    values_sent = dialect.parameters(request(sampler=Sampler(**values)))  # type: ignore[arg-type]
    return {
        name: value
        for name, value in values_sent.items()
        if name in BY_NAME and NEUTRAL.get(name) != value
    }


@pytest.mark.parametrize(
    ("dialect", "unset"),
    [
        (VLLM, {"top_k": 0, "repetition_penalty": 1, "min_p": 0}),
        (SGLANG, {"top_k": -1, "repetition_penalty": 1, "min_p": 0}),
        (SGLANG_DETERMINISTIC, {"top_k": -1, "repetition_penalty": 1}),
        (FEATHERLESS, {"top_k": -1, "repetition_penalty": 1, "min_p": 0}),
        (OPENAI, {}),
        (OPENAI_ITSELF, {}),
    ],
)
def test_what_is_unset_is_sent_where_a_default_may_not_be_neutral(
    dialect: Dialect, unset: dict[str, object]
) -> None:
    values = dialect.parameters(request())
    assert sent(dialect) == unset
    assert {name: values[name] for name in NEUTRAL} == NEUTRAL


def test_each_writes_in_its_own_way_that_a_top_k_is_off() -> None:
    assert sent(VLLM, top_k=0)["top_k"] == 0
    assert sent(SGLANG, top_k=0)["top_k"] == -1
    assert "top_k" not in sent(OPENAI, top_k=0)
    assert [sent(each, top_k=40)["top_k"] for each in (VLLM, SGLANG, OPENAI)] == [40, 40, 40]


def test_a_server_of_which_nothing_is_known_gets_what_is_set() -> None:
    assert sent(OPENAI, min_p=0.1, repetition_penalty=1.2) == {
        "min_p": 0.1,
        "repetition_penalty": 1.2,
    }
    assert sent(OPENAI_ITSELF, min_p=0.1, top_k=3) == {}


def test_a_receipt_says_why_what_is_set_was_not_sent() -> None:
    asked = request(sampler=Sampler(temperature=0, top_k=0, min_p=0.1))
    reasons = left_out(asked.sampler, OPENAI_ITSELF.parameters(asked), OPENAI_ITSELF.applied)
    assert reasons == {
        name: f"OpenAI has no {name}; it is not sent." for name in ("top_k", "min_p")
    }
    assert left_out(asked.sampler, OPENAI.parameters(asked), OPENAI.applied) == {
        "top_k": "0 has no effect."
    }


@given(sampler=samplers(), seed=st.integers(0, 2**64 - 1), dialect=st.sampled_from([VLLM, SGLANG]))
def test_all_that_is_sent_is_in_the_ranges_of_vllm_and_sglang(
    sampler: Sampler, seed: int, dialect: Dialect
) -> None:
    values: dict[str, Any] = dialect.parameters(request(sampler=sampler, seed=seed))
    assert 0 <= values["temperature"] <= 2
    assert 0 < values["top_p"] <= 1
    assert values["top_k"] >= 1 or values["top_k"] == dialect.top_k_off
    assert isinstance(values["top_k"], int)
    assert 0 <= values["min_p"] <= 1
    assert all(-2 <= values[f"{name}_penalty"] <= 2 for name in ("frequency", "presence"))
    assert 0 < values["repetition_penalty"] <= 2
    assert 0 <= values.get("seed", 0) < 2**63


def test_a_seed_is_sent_only_where_it_has_an_effect() -> None:
    assert VLLM.parameters(request())["seed"] == 7
    assert "seed" not in SGLANG.parameters(request())
    assert SGLANG_DETERMINISTIC.parameters(request())["seed"] == 7


async def test_sends_the_request_as_it_says() -> None:
    async with completions(writing("Hi")) as server, engine(server.url) as made:
        asking = request(sampler=Sampler(temperature=0.5, min_p=0.1))
        await ready(made)
        assert [item async for item in made.stream(asking)][-1] == Finish("eos_token", 1, 11, 7)
        [body] = asked(server)
    assert body == {"model": "some/model", "prompt": asking.prompt, **made.parameters(asking)}
    assert body["stop"] == ["<|user|>"]
    assert (body["max_tokens"], body["stream"]) == (16, True)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_in_v1(end: str) -> None:
    async with completions(writing("Hi")) as server, engine(server.url + end) as made:
        await ready(made)
        assert [item async for item in made.stream(request())]
        assert {each.path for each in server.requests} == {
            "/v1/models",
            "/version",
            "/tokenize",
            "/v1/completions",
        }


async def test_the_key_is_sent_with_everything() -> None:
    async with completions(writing("Hi")) as server, engine(server.url, api_key="k") as made:
        await ready(made)
        assert [item async for item in made.stream(request())]
        assert {each.headers["authorization"] for each in server.requests} == {"Bearer k"}


# What they say of themselves.


async def test_says_what_vllm_is() -> None:
    async with completions() as server, engine(server.url) as made:
        info = await ready(made)
    assert (info.kind, info.name, info.model_id) == ("vllm", "vLLM 0.32.0", "some/model")
    assert (info.max_input_tokens, info.max_total_tokens, info.max_stop_sequences) == (79, 80, 4)
    assert {applied.how for applied in info.applied.values()} == {"native"}
    assert "before top_k and top_p" in info.applied["min_p"].reason
    assert info.seeds.repeat == "alone"
    assert (info.probabilities.kind, info.probabilities.most) == ("raw", 20)
    assert info.exact_counts


SGLANG_ROUTES = {
    **models({"owned_by": "sglang"}),
    "/version": None,
    "/server_info": {
        "version": "0.5.23",
        "quantization": "fp8",
        "max_running_requests": 48,
        "api_key": "a secret",
    },
}


async def test_says_what_sglang_is() -> None:
    async with completions(routes=SGLANG_ROUTES) as server, engine(server.url, "sglang") as made:
        info = await ready(made)
    assert (info.kind, info.name, info.quantisation) == ("sglang", "SGLang 0.5.23", "FP8")
    assert (info.slots, info.max_stop_sequences) == (48, 32)
    assert "answer alone" in info.applied["repetition_penalty"].reason
    assert info.seeds.repeat == "never"
    assert "a secret" not in str(info.raw)


async def test_sglang_that_is_deterministic_heeds_seeds_and_takes_no_min_p() -> None:
    server_info = {"version": "0.5.23", "enable_deterministic_inference": True}
    routes = {**SGLANG_ROUTES, "/server_info": None, "/get_server_info": server_info}
    async with (
        completions(writing("Hi"), routes=routes) as server,
        engine(server.url, "sglang") as made,
    ):
        info = await ready(made)
        assert info.seeds.repeat == "always"
        assert info.applied["min_p"].how == "unsupported"
        assert [item async for item in made.stream(request(sampler=Sampler(min_p=0.1)))]
        [body] = asked(server)
    assert body["seed"] == 7
    assert "min_p" not in body


async def test_a_server_of_which_nothing_is_known_says_so_at_each_parameter() -> None:
    card = {"owned_by": "me", "max_model_len": None}
    async with completions(routes=models(card)) as server, engine(server.url, "openai") as made:
        info = await ready(made)
        assert await made.pieces("one  two\n") == ["one", "  two", "\n"]
        assert await made.count_tokens("one two") >= 3
        assert calls(server, "/tokenize") == []
    assert (info.kind, info.name) == ("openai", "127.0.0.1")
    for name in ("top_k", "min_p", "repetition_penalty"):
        assert "only the proof shows" in info.applied[name].reason
    assert not info.exact_counts
    assert info.max_total_tokens >= 131_072, "the settings' limit holds where none is known"


@pytest.mark.parametrize("owner", ["vllm", "sglang"])
async def test_a_server_behind_a_proxy_is_known_by_whose_its_model_is(owner: str) -> None:
    routes = {**models({"owned_by": owner}), "/version": None, "/tokenize": None}
    async with completions(routes=routes) as server, engine(server.url, "openai") as made:
        info = await ready(made)
        assert info.kind == owner
        assert not info.exact_counts
        assert await made.count_tokens("one two") >= 3


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("https://api.featherless.ai/v1", FEATHERLESS),
        ("https://api.openai.com/v1", OPENAI_ITSELF),
        ("https://example.com/v1", OPENAI),
    ],
)
async def test_services_are_known_by_their_host(url: str, dialect: Dialect) -> None:
    async with engine(url, "openai") as made:
        assert made.parameters(request()) == dialect.parameters(request())


@pytest.mark.parametrize(
    "field", [{"context_length": 4096}, {"meta": {"n_ctx": 4096}}, {"max_model_len": 4096}]
)
async def test_a_context_is_found_under_each_of_its_names(field: dict[str, object]) -> None:
    card = {**CARD, "max_model_len": None, "owned_by": "me", **field}
    routes = {"/v1/models": {"data": [card]}}
    async with completions(routes=routes) as server, engine(server.url, "openai") as made:
        assert (await ready(made)).max_total_tokens == 4096


@pytest.mark.parametrize(
    "path",
    [
        "/srv/secret/some-model",
        "/srv/secret/some-model/",
        "\\\\secret\\share\\some-model",
        "C:\\Users\\secret\\some-model",
        "c:/Users/secret/some-model",
        "~secret/some-model",
        "file:///srv/secret/some-model",
    ],
)
async def test_a_folder_of_the_server_is_not_shown(path: str) -> None:
    card = {"id": path, "root": path, "parent": path}
    async with (
        completions(writing("Hi"), routes=models(card)) as server,
        engine(server.url, model=path) as made,
    ):
        info = await ready(made)
        assert [item async for item in made.stream(request())]
        [body] = asked(server)
    assert info.model_id == "some-model"
    assert "secret" not in str(info)
    assert body["model"] == path


@pytest.mark.parametrize("model", [None, "c"])
async def test_a_folder_of_the_server_is_not_in_the_list_of_its_models(model: str | None) -> None:
    cards = [{"id": f"/srv/secret/{each}", "root": each} for each in "ab"]
    async with (
        completions(routes=models(*cards)) as server,
        engine(server.url, model=model) as made,
    ):
        reason = (await made.state()).reason
    assert "PLAYGROUND_ENGINE_MODEL has to name one of a, b." in reason


async def test_a_name_is_cut_to_what_can_be_shown() -> None:
    async with (
        completions(writing("Hi"), routes=models({"id": "x" * 5000})) as server,
        engine(server.url) as made,
    ):
        assert (await ready(made)).model_id == "x" * 200
        assert [item async for item in made.stream(request())]
        assert asked(server)[0]["model"] == "x" * 5000


async def test_the_format_is_the_models_own_unless_the_address_says_otherwise() -> None:
    card = {"id": "chat", "root": "Qwen/Qwen2.5-7B-Instruct"}
    async with completions(routes=models(card)) as server:
        async with engine(server.url) as made:
            assert (await ready(made)).prompt_format is CHATML
        async with engine(server.url, prompt_format=TULU2) as made:
            assert (await ready(made)).prompt_format is TULU2


@pytest.mark.parametrize(
    ("cards", "model", "served"),
    [
        ([{"id": "a", "root": "a"}, {"id": "b", "root": "b"}], "b", "b"),
        ([{"id": "a", "root": "x"}, {"id": "b", "root": "x"}], None, "a"),
        ([{"id": "/srv/a", "root": "a"}, {"id": "/srv/b", "root": "b"}], "b", "/srv/b"),
        ([{"id": "a", "root": "a"}, {"id": "lora", "root": "l", "parent": "a"}], None, "a"),
        ([{"id": "a", "root": "a"}, {"id": "lora", "root": "l", "parent": "a"}], "lora", "lora"),
    ],
)
async def test_asks_for_the_model_that_is_named_or_the_only_one(
    cards: list[dict[str, Any]], model: str | None, served: str
) -> None:
    async with (
        completions(writing("Hi"), routes=models(*cards)) as server,
        engine(server.url, model=model) as made,
    ):
        assert [item async for item in made.stream(request())]
        assert asked(server)[0]["model"] == served


@pytest.mark.parametrize(
    ("cards", "model", "words"),
    [
        ([{"id": f"m{n}", "root": f"m{n}"} for n in range(7)], None, ["7 models", "m4 and 2 more"]),
        ([{"id": "a"}], "b", ["no model b", "one of a."]),
        ([], None, ["no model", "load one"]),
    ],
)
async def test_says_which_models_there_are_where_none_can_be_chosen(
    cards: list[dict[str, Any]], model: str | None, words: list[str]
) -> None:
    async with completions(routes=models(*cards)) as server, engine(server.url, model=model) as one:
        state = await one.state()
    assert state.state == "offline"
    for word in words:
        assert word in state.reason
    assert not cards or "PLAYGROUND_ENGINE_MODEL" in state.reason


async def test_a_server_that_lists_no_models_is_asked_for_the_one_that_is_named() -> None:
    routes: dict[str, object] = {"/v1/models": None}
    async with completions(writing("Hi"), routes=routes) as server:
        async with engine(server.url, "openai", model="some/model") as made:
            assert (await ready(made)).model_id == "some/model"
        async with engine(server.url, "openai") as made:
            state = await made.state()
    assert state.state == "offline"
    assert "no such route" in state.reason


async def test_a_long_list_of_models_is_not_asked_for_each_second() -> None:
    cards = [{"id": f"m{n}", "root": f"m{n}"} for n in range(200)]
    async with completions(routes=models(*cards)) as server, engine(server.url, model="m7") as made:
        await ready(made)
        await asyncio.sleep(1.1)  # a state holds for a second
        await ready(made)
        assert len(calls(server, "/v1/models")) == 1


async def test_a_model_that_is_swapped_is_noticed_and_counted_anew() -> None:
    card = {**CARD, "created": 1}
    routes = {"/v1/models": {"data": [card]}}
    async with completions(writing("Hi"), routes=routes) as server, engine(server.url) as made:
        await ready(made)
        assert await made.count_tokens("one two") == 3
        card |= {"created": 2}  # vLLM's is the time of the answer

        async def asked_again() -> bool:
            await made.state()
            return len(calls(server, "/v1/models")) > 1

        await until(asked_again)
        assert await made.count_tokens("one two") == 3
        counted = [each for each in calls(server, "/tokenize") if b"one two" in each.body]
        assert len(counted) == 1
        card |= {"id": "another", "max_model_len": 60}

        async def swapped() -> bool:
            return (await ready(made)).model_id == "another"

        await until(swapped)
        assert (await ready(made)).max_total_tokens == 60
        await made.count_tokens("one two")
        assert [item async for item in made.stream(request())]
        assert asked(server)[-1]["model"] == "another"
        counted = [each for each in calls(server, "/tokenize") if b"one two" in each.body]
        assert len(counted) == 2


@pytest.mark.parametrize(
    ("kind", "owner"), [("vllm", "sglang"), ("sglang", "vllm"), ("vllm", "llamacpp")]
)
async def test_a_server_of_another_kind_is_offline_with_the_reason(kind: str, owner: str) -> None:
    routes = models({"owned_by": owner})
    async with completions(routes=routes) as server, engine(server.url, kind) as made:
        state = await made.state()
    assert state.state == "offline"
    assert owner in state.reason
    assert "PLAYGROUND_ENGINE=auto" in state.reason


# Tokens.


async def test_counts_tokens_as_the_engine_does_and_asks_once() -> None:
    async with completions() as server, engine(server.url) as made:
        await ready(made)
        before = len(calls(server, "/tokenize"))
        assert await made.count_tokens("one two three") == 4
        assert await made.count_tokens("one two three") == 4
        assert len(calls(server, "/tokenize")) == before + 1
        assert await made.pieces("one two three") == ["one", " two", " three"]


async def test_sglang_spells_no_tokens_and_decodes_each() -> None:
    async def plain(peer: Peer) -> None:
        ids = list(range(len(peer.request.json()["prompt"].split())))
        await peer.answer(orjson.dumps({"count": len(ids), "max_model_len": 1, "tokens": ids}))

    async def decode(peer: Peer) -> None:
        assert peer.request.json()["tokens"] in ([[0], [1]], [[0]])
        texts = ["one", " two"][: len(peer.request.json()["tokens"])]
        await peer.answer(orjson.dumps({"text": texts}))

    routes = {**SGLANG_ROUTES, "/tokenize": plain, "/detokenize": decode}
    async with completions(routes=routes) as server, engine(server.url, "sglang") as made:
        assert await made.pieces("one two") == ["one", " two"]


async def test_a_bos_that_the_format_has_too_is_sent_once() -> None:
    async with completions(writing("Hi")) as server, engine(server.url) as made:
        assert await made.count_tokens("<s>one two") == 3
        assert [item async for item in made.stream(request(prompt="<s>one two"))]
        assert asked(server)[0]["prompt"] == "one two"


# Streams.


@pytest.mark.parametrize(
    ("name", "texts", "finish"),
    [
        ("stream", "1. Bananas\n2", Finish("length", 6, 5, 7)),
        ("usage", "1. Bananas\n2", Finish("length", 6, 13, 7)),
        ("several_tokens_in_a_chunk", "1. Bananas\n2", Finish("length", 6, 13, 7)),
        ("end_of_text", "Yes, I can.", Finish("eos_token", 6, 5, 7)),
        ("stop_sequence", ", the ", Finish("stop_sequence", 4, 5, 7)),
        ("withheld_for_a_stop_sequence", "1. 1\n2. 2\n3. 3\n4. 4\n", Finish("length", 20, 5, 7)),
        (
            "characters_of_several_tokens",
            " 漢字 🎉\n\n🎉\n\n🎉\n\n🎉\n\n",
            Finish("length", 24, 5, 7),
        ),
    ],
)
async def test_reads_what_vllm_wrote(name: str, texts: str, finish: Finish) -> None:
    async with completions(WIRE[name].play) as server, engine(server.url) as made:
        items = [item async for item in made.stream(request(prompt="a b c d"))]
    assert text_of(items) == texts
    assert sum(item.tokens for item in items if isinstance(item, Chunk)) == finish.generated_tokens
    assert items[-1] == finish


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("temperature_refused", "refused", "temperature must be non-negative"),
        ("top_p_refused", "refused", "top_p must be in (0, 1]"),
        ("five_stop_sequences", "refused", "body.stop"),
        ("model_unknown", "refused", "`nope` does not exist"),
        ("no_json", "refused", "JSON decode error"),
        ("key_missing", "unauthorized", "PLAYGROUND_ENGINE_API_KEY"),
        ("method_wrong", "protocol", "no such route"),
    ],
)
async def test_says_what_vllm_said(name: str, kind: str, words: str) -> None:
    async with completions(WIRE[name].play) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            assert [item async for item in made.stream(request())]
    assert (caught.value.kind, caught.value.retryable) == (kind, False)
    assert words in str(caught.value)


async def test_knows_vllm_by_what_it_answered() -> None:
    routes = {"/v1/models": WIRE["models"].play, "/version": WIRE["version"].play}
    async with completions(routes=routes) as server, engine(server.url) as made:
        info = await ready(made)
    assert (info.name, info.model_id, info.max_total_tokens) == ("vLLM 0.32.0", "smol", 2048)


ANSWER = (
    event("Hé") + event("", token_ids=[1]) + event(" 🎉!", token_ids=[1, 2]) + event("", "stop")
)
WHOLE = ANSWER + usage(11, 5) + DONE


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_events_may_be_split_anywhere(data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(1, len(WHOLE) - 1), max_size=6).map(sorted))
    edges = [0, *cuts, len(WHOLE)]

    async def script(peer: Peer) -> None:
        await peer.head()
        for start, stop in pairwise(edges):
            if start < stop:
                await peer.send(WHOLE[start:stop])

    async def read() -> list[Chunk | Finish]:
        async with completions(script) as server, engine(server.url) as made:
            return [item async for item in made.stream(request())]

    items = asyncio.run(read())
    assert text_of(items) == "Hé 🎉!"
    assert items[-1] == Finish("eos_token", 5, 11, 7)


@pytest.mark.parametrize("told", [-1, True, 1.0, 1e308, "1", "9" * 5000, [1], 2**31])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", None])
async def test_counts_that_are_none_are_an_error(field: str | None, told: object) -> None:
    """A field of the usage, or all of it."""
    usage = told if field is None else {"prompt_tokens": 1, "completion_tokens": 1, field: told}
    wrong = b"data: " + orjson.dumps({"choices": [], "usage": usage}) + b"\n\n"
    data = event("Hi", "stop") + wrong + DONE
    async with completions(sending(data)) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            _ = [item async for item in made.stream(request())]
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    ("data", "finish"),
    [
        (WHOLE, Finish("eos_token", 5, 11, 7)),
        (WHOLE.replace(b"\n", b"\r\n"), Finish("eos_token", 5, 11, 7)),
        (b": keep-alive\n\n" + WHOLE, Finish("eos_token", 5, 11, 7)),
        (ANSWER + DONE, Finish("eos_token", 5, 4, 7)),
        (ANSWER + usage(11, 5), Finish("eos_token", 5, 11, 7)),  # no [DONE]
        (ANSWER, Finish("eos_token", 5, 4, 7)),
        (event("a", "stop", stop_reason="<|user|>") + DONE, Finish("stop_sequence", 1, 4, 7)),
        (event("a", "stop", stop_reason=2) + DONE, Finish("eos_token", 1, 4, 7)),
        (event("a", "length") + DONE, Finish("length", 1, 4, 7)),
    ],
)
async def test_ends_as_the_server_says(data: bytes, finish: Finish) -> None:
    async with completions(sending(data)) as server, engine(server.url) as made:
        assert [item async for item in made.stream(request())][-1] == finish


async def test_sglang_says_what_stopped_it_in_its_own_word() -> None:
    last = event("a", "stop", matched_stop="<|user|>").replace(b'"stop_reason":null,', b"")
    async with (
        completions(sending(last + DONE), routes=SGLANG_ROUTES) as server,
        engine(server.url, "sglang") as made,
    ):
        items = [item async for item in made.stream(request())]
    assert items[-1] == Finish("stop_sequence", 1, 4, None)


async def test_a_piece_counts_as_a_token_where_tokens_are_not_told() -> None:
    data = event("a", token_ids=None) + event("", "stop", token_ids=None) + DONE
    async with (
        completions(sending(data), routes=models({"owned_by": "me"})) as server,
        engine(server.url, "openai") as made,
    ):
        items = [item async for item in made.stream(request())]
    assert items[0] == Chunk("a")
    assert isinstance(items[-1], Finish)
    assert items[-1].generated_tokens == 1


async def reset(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("a"))
    await asyncio.sleep(0.05)  # lets the token out before the reset overtakes it
    peer.reset()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("a"))
    await peer.gone()


def message(text: str, code: int) -> dict[str, object]:
    return {"message": text, "type": "x", "param": None, "code": code}


LOADING = b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'
TOO_LONG = b'{"object":"error","message":"longer than the context","type":"Bad","code":400}'


@pytest.mark.parametrize(
    ("script", "kind", "retryable", "words"),
    [
        (sending(event("a")), "incomplete", True, "not complete"),
        (sending(event("a") + DONE), "incomplete", True, "without saying why"),
        (sending(event("a") + event("b", "abort")), "incomplete", True, "aborted"),
        (sending(event("a") + event("b", "error")), "generation", True, "says “error”."),
        (sending(event("b", finish_reason=["x", None])), "generation", True, '“["x",null]”'),
        (reset, "incomplete", True, "not complete"),
        (reset_at_once, "offline", True, ""),
        (silent, "timeout", True, ""),
        (sending(event("a") + broken(message("CUDA", 500)) + DONE), "generation", True, "CUDA"),
        (sending(broken(message("too hot", 400)) + DONE), "refused", False, "too hot"),
        (sending(event("a") + broken("out of memory") + DONE), "generation", True, "of memory"),
        (
            sending(b"data: " + TOO_LONG + b"\n\n"),
            "refused",
            False,
            "longer than the context",
        ),
        (sending(b"data: {nonsense}\n\n"), "protocol", False, "no JSON"),
        (sending(b'data: {"choices":3}\n\n'), "protocol", False, "none of OpenAI's"),
        (sending(b"data: [1]\n\n"), "protocol", False, "none of OpenAI's"),
        (sending(b"data: {}\n\n"), "protocol", False, "(choices is missing)"),
        (
            sending(b'data: {"choices":[{"text":5}]}\n\n'),
            "protocol",
            False,
            "(its text is no string)",
        ),
        (refusing(200, b"<html>", "text/html"), "protocol", False, "text/html"),
        (refusing(503, LOADING), "loading", True, "Loading model"),
        (refusing(429, b'{"error":{"message":"slow down"}}'), "overloaded", True, "slow down"),
        (refusing(401), "unauthorized", False, "API key"),
        (refusing(402, b'{"error":{"message":"pay"}}'), "refused", False, "pay"),
        (refusing(400, TOO_LONG), "refused", False, "longer than the context"),
        (refusing(500, b"Internal Server Error", "text/plain"), "generation", True, "Internal"),
        (refusing(307), "protocol", False, "redirects"),
    ],
)
async def test_every_fault_is_an_error_in_words(
    script: Script, kind: str, retryable: bool, words: str
) -> None:
    async with completions(script) as server, engine(server.url, read_timeout=0.3) as made:
        await ready(made)
        with pytest.raises(EngineError) as caught:
            async for _ in made.stream(request()):
                pass
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (event("a") + 'data: {"choices":[{"text":"é'.encode()[:-1], "incomplete"),
        (event("a") + b'data: {"choices":[{"text":"\xff"}]\n\n', "protocol"),
    ],
)
async def test_what_was_written_before_a_fault_has_come(data: bytes, kind: str) -> None:
    async with completions(sending(data)) as server, engine(server.url) as made:
        stream = made.stream(request())
        assert await anext(stream) == Chunk("a")
        with pytest.raises(EngineError) as caught:
            await anext(stream)
    assert caught.value.kind == kind


async def test_a_refused_connection_is_loading_for_a_while_only(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"
    async with engine(url) as made:
        state = await made.state()
        assert state.state == "loading"
        assert "vLLM is still loading" in state.reason
        with pytest.raises(EngineError) as caught:
            await anext(made.stream(request()))
        assert caught.value.kind == "loading"
        async with completions(port=free_tcp_port):
            await until(lambda: is_state(made, "ready"))
        await until(lambda: is_state(made, "offline"))
    async with engine(url, loading_for=0.0) as made:
        assert (await made.state()).state == "offline"


async def is_state(made: OpenAIEngine, state: str) -> bool:
    now: EngineState = await made.state()
    return now.state == state


async def test_closing_closes_the_connection_of_a_silent_engine() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await silent(peer)
        left.set()

    async with completions(script) as server, engine(server.url) as made:
        async with aclosing(made.stream(request())) as stream:
            assert await anext(stream) == Chunk("a")
        async with asyncio.timeout(5):
            await left.wait()


# Whole answers.


async def test_writes_a_whole_answer_with_its_tokens() -> None:
    choice = {
        "text": " Paris",
        "finish_reason": "length",
        "token_ids": [9],
        "prompt_token_ids": [1, 4],
        "logprobs": {"top_logprobs": [{"token_id:9": -0.25, "token_id:11": -2.5}]},
    }
    answer = {"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
    script = refusing(200, orjson.dumps(answer))
    async with completions(script) as server, engine(server.url) as made:
        written = await made.write(request(), likeliest=2, extra={"unknown": 1})
        [body] = asked(server)
    assert (written.text, written.generated_tokens) == (" Paris", 1)
    assert (written.tokens, written.prompt) == ((9,), (1, 4))
    assert written.likeliest == ({9: -0.25, 11: -2.5},)
    assert (body["stream"], body["logprobs"], body["unknown"]) == (False, 2, 1)
    assert body["return_tokens_as_token_ids"] is True
    assert "stream_options" not in body


async def test_what_is_no_whole_answer_is_an_error() -> None:
    async with completions(refusing(200, b'{"choices":[]}')) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.write(request())
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": None},
        {"text": 5},
        {"token_ids": [[1]]},
        {"token_ids": "x"},
        {"prompt_token_ids": [{}]},
        {"logprobs": 5},
        {"logprobs": {"top_logprobs": [{"token_id:1": "x"}]}},
        {"logprobs": {"top_logprobs": [{"token_id:x": -1.0}]}},
    ],
)
async def test_a_whole_answer_of_wrong_values_is_an_error(wrong: Mapping[str, object]) -> None:
    choice = {"text": "Hi", "token_ids": [1], "prompt_token_ids": [1], **wrong}
    body = orjson.dumps({"choices": [choice], "usage": {"completion_tokens": 1}})
    async with completions(refusing(200, body)) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.write(request(), likeliest=1)
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("body", [b"[]", b'{"data":3}', b'{"data":[{}]}', b"<html>"])
async def test_what_lists_no_models_is_offline_with_the_reason(body: bytes) -> None:
    async with serving(refusing(200, body)) as server, engine(server.url) as made:
        state = await made.state()
    assert state.state == "offline"
    assert state.reason


async def test_a_server_without_tokenize_is_estimated_and_one_that_fails_is_not() -> None:
    async with completions(routes={"/tokenize": None}) as server, engine(server.url) as made:
        assert not (await ready(made)).exact_counts

    async def fail(peer: Peer) -> None:
        await (tokenize(peer) if b'"a"' in peer.request.body else peer.answer(b"", 500))

    async with completions(routes={"/tokenize": fail}) as server, engine(server.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.count_tokens("one")
    assert caught.value.kind == "generation"
