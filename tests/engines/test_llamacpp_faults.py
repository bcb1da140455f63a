"""llama.cpp as an engine in front of recorded answers, and of answers wrong in every known way."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import orjson
import pytest

from playground.domain.errors import EngineError
from playground.engines.base import Chunk, Finish
from playground.engines.llamacpp import LlamaCppEngine
from playground.telemetry.logging import request_id
from tests.engines.test_llamacpp import answered, engine, ready, request, text_of
from tests.faults import FaultServer, Peer, Script, serving
from tests.stock import calls, until

RECORDED: Mapping[str, Any] = orjson.loads(
    (Path(__file__).parent.parent / "data" / "llamacpp.json").read_bytes()
)


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in events)


def event(text: str, tokens: int = 1, **more: object) -> dict[str, object]:
    """A part of an answer, as llama.cpp writes it."""
    fields = {"index": 0, "content": text, "tokens": [7], "stop": False, "id_slot": -1}
    return {**fields, "tokens_predicted": tokens, "tokens_evaluated": 5, **more}


def end(tokens: int = 1, **more: object) -> dict[str, object]:
    settings = {"seed": 7}
    ending = {"stop": True, "stop_type": "eos", "generation_settings": settings, "id_slot": 0}
    return event("", tokens, **{**ending, **more})


def sending(*pieces: bytes) -> Script:
    """A stream of these pieces, which then ends."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for piece in pieces:
            await peer.send(piece)

    return script


def recorded(name: str) -> Script:
    """An answer of a real server."""
    found = RECORDED[name]
    if "events" in found:
        return sending(sse(*found["events"]))
    return answering(found["status"], orjson.dumps(found["answer"]))


def answering(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Script:
    async def script(peer: Peer) -> None:
        await peer.answer(body, status, headers=headers)

    return script


def server(
    *completions: Script, port: int = 0, **others: Script
) -> AbstractAsyncContextManager[FaultServer]:
    """A llama.cpp: its answers to /completion one after the other, the last one again and again.

    A token is a word, and there is no BOS. `others` replace routes, such as props.
    """
    begun = 0

    async def answer(peer: Peer) -> None:
        nonlocal begun
        path = peer.request.path.removeprefix("/").replace("/", "_")
        if path in others:
            await others[path](peer)
        elif path == "completion":
            begun += 1
            await completions[min(begun, len(completions)) - 1](peer)
        elif path == "tokenize":
            words = peer.request.json()["content"].split()
            await peer.answer(orjson.dumps({"tokens": list(range(len(words)))}))
        else:
            await recorded(path.removeprefix("v1_"))(peer)

    return serving(answer, port=port)


async def items_of(*completions: Script) -> list[Chunk | Finish]:
    async with server(*completions) as running, engine(running.url) as made:
        return await answered(made, request())


async def failure(*completions: Script) -> tuple[str, EngineError]:
    """What a stream brings before it fails, and the error."""
    async with server(*completions) as running, engine(running.url) as made:
        return await failed(made)


async def failed(made: LlamaCppEngine) -> tuple[str, EngineError]:
    came: list[str] = []
    try:
        async for item in made.stream(request()):
            assert isinstance(item, Chunk)
            came.append(item.text)
    except EngineError as error:
        return "".join(came), error
    raise AssertionError(f"the stream ended well, with {came}")


# What a real server answered


@pytest.mark.parametrize(
    ("name", "text", "finish"),
    [
        ("eos", "Yes.", ("eos_token", 3, 15)),
        ("utf8", " 漢字 🎉\n\n🎉\n\n🎉\n\n🎉\n\n", ("length", 24, 39)),
        ("cut_character", "", ("length", 2, 1)),
        ("stop", ", the ", ("stop_sequence", 4, 4)),
        ("progress", " Paris.\n", ("length", 3, 5)),
    ],
)
async def test_reads_a_real_answer(name: str, text: str, finish: tuple[str, int, int]) -> None:
    items = await items_of(recorded(name))
    assert text_of(items) == text
    last = items[-1]
    assert isinstance(last, Finish)
    assert (last.reason, last.generated_tokens, last.input_tokens) == finish
    assert sum(item.tokens for item in items if isinstance(item, Chunk)) == finish[1]
    assert all(item.text or item.tokens for item in items if isinstance(item, Chunk))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("too_long", "refused", "3001 tokens, and llama.cpp takes 2047"),
        ("no_penalty", "refused", "penalty_repeat must be finite"),
        ("wrong_type", "refused", "Field 'temperature'"),
        ("no_key", "unauthorized", "API key"),
    ],
)
async def test_says_why_a_real_server_refuses(name: str, kind: str, words: str) -> None:
    async with server(recorded(name)) as running, engine(running.url) as made:
        came, error = await failed(made)
        assert len(calls(running, "/completion")) == 1
    assert (came, error.kind, error.retryable) == ("", kind, False)
    assert words in str(error)


async def test_a_full_context_keeps_what_was_written() -> None:
    came, error = await failure(recorded("context_full"))
    assert (came, error.kind, error.retryable) == (" slope", "incomplete", True)
    assert "full" in str(error)


# The state


@pytest.mark.parametrize("route", ["props", "v1_models", "tokenize"])
async def test_a_server_that_loads_says_so(route: str) -> None:
    others: dict[str, Any] = {route: recorded("loading")}
    async with server(**others) as running, engine(running.url) as made:
        state = await made.state()
    assert (state.state, state.info) == ("loading", None)
    assert "Loading model" in state.reason


async def test_a_server_that_is_not_there_yet_is_loading(free_tcp_port: int) -> None:
    async with engine(f"http://127.0.0.1:{free_tcp_port}") as made:
        assert (await made.state()).state == "loading"
        async with server(port=free_tcp_port):

            async def found() -> bool:
                return (await made.state()).state == "ready"

            await until(found)
    async with engine(f"http://127.0.0.1:{free_tcp_port}", loading_for=0.0) as made:
        assert (await made.state()).state == "offline"


async def test_a_key_that_is_missing_is_no_loading() -> None:
    async with server(props=recorded("no_key")) as running, engine(running.url) as made:
        state = await made.state()
    assert state.state == "offline"
    assert "API key" in state.reason


def props(**changes: object) -> Script:
    return answering(200, orjson.dumps({**RECORDED["props"]["answer"], **changes}))


@pytest.mark.parametrize(
    "other",
    [
        answering(404),
        answering(200, b"[]"),
        answering(200, b"{}"),
        answering(200, b"<html>"),
        props(total_slots="many"),
        props(default_generation_settings=[]),
    ],
)
async def test_what_is_not_llamacpp_is_offline_with_the_reason(other: Script) -> None:
    async with server(props=other) as running, engine(running.url) as made:
        state = await made.state()
    assert state.state == "offline"
    assert "address" in state.reason or "JSON" in state.reason


async def test_a_server_that_does_not_answer_is_offline() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with server(props=silent) as running, engine(running.url, probe_timeout=0.1) as made:
        assert "within 0.1 s" in (await made.state()).reason


@pytest.mark.parametrize(
    ("told", "meta", "operators", "quantisation"),
    [
        ("Q4_K - Medium", "", "FP8", "Q4_K_M"),
        ("Q3_K - Small (guessed)", "", "", "Q3_K_S"),
        ("(guessed) Q5_K - Large", "", "", "Q5_K_L"),
        ("all F32", "", "", "F32"),
        ("IQ3_S mix - 3.66 bpw", "", "", "IQ3_S"),
        ("IQ4_XS - 4.25 bpw", "", "", "IQ4_XS"),
        ("", "Q8_0", "", "Q8_0"),
        ("", "", "mine", "mine"),
        ("", "", "", "Q6_K"),
    ],
)
async def test_says_how_the_model_was_quantised(
    told: str, meta: str, operators: str, quantisation: str
) -> None:
    models = copy.deepcopy(RECORDED["models"]["answer"])
    models["data"][0]["meta"]["ftype"] = meta
    said = props(model_ftype=told, model_path="C:\\models\\Some.Q6_K.gguf", build_info="b11549-abc")
    async with (
        server(props=said, v1_models=answering(200, orjson.dumps(models))) as running,
        engine(running.url, quantisation=operators) as made,
    ):
        info = await ready(made)
    assert (info.quantisation, info.name) == (quantisation, "llama.cpp b11549")
    assert info.raw["model_path"] == "Some.Q6_K.gguf"


@pytest.mark.parametrize(
    ("alias", "model_id"),
    [
        ("ContextualAI/Contextual_KTO", "ContextualAI/Contextual_KTO"),
        ("/models/kto.Q4_K_M.gguf", "kto.Q4_K_M"),
        ("C:\\models\\kto.GGUF", "kto"),
        ("", "SmolLM2-135M-Instruct.Q4_1"),
        ("/home/anna/.ollama/models/blobs/sha256-abc", "sha256-abc"),
        ("~/models/kto", "kto"),
        ("file:///home/anna/kto", "kto"),
        ("x" * 100_000, "x" * 200),
    ],
)
async def test_a_model_has_no_folder_in_its_name(alias: str, model_id: str) -> None:
    async with server(props=props(model_alias=alias)) as running, engine(running.url) as made:
        info = await ready(made)
    assert info.model_id == model_id
    assert len(str(info.raw["model_alias"])) <= 200
    assert "anna" not in str(info.raw)


async def test_what_is_too_long_to_be_shown_is_not_kept_and_still_known_again() -> None:
    async with server(props=props(more="x" * 100_000)) as running, engine(running.url) as made:
        assert (await ready(made)).raw == {}

        async def asked_again() -> bool:
            await made.state()
            return len(calls(running, "/props")) > 1

        await until(asked_again)
        assert len(calls(running, "/v1/models")) == 1


async def test_a_restart_with_more_slots_is_noticed() -> None:
    slots = 1

    async def now(peer: Peer) -> None:
        await props(total_slots=slots)(peer)

    async with server(props=now) as running, engine(running.url) as made:
        assert (await ready(made)).slots == 1
        slots = 3

        async def noticed() -> bool:
            return (await ready(made)).slots == 3

        await until(noticed)


# Streams that go wrong


ONE = sse(event("Hé"))
WHOLE = ONE + sse(event("llo", 2), end(2))


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE.replace(b"\n", b"\r\n"),
        b":\n\n" + WHOLE.replace(b"\n\n", b"\n\n:\n\n"),
        WHOLE + sse(event("more", 3)),
        sse(event("", 0, prompt_progress={"total": 5, "processed": 0})) + WHOLE,
    ],
)
async def test_the_ways_to_write_a_stream(data: bytes) -> None:
    items = await items_of(sending(data))
    assert text_of(items) == "Héllo"
    assert items[-1] == Finish("eos_token", 2, 5, 7)


async def test_an_event_may_be_split_anywhere() -> None:
    """Inside a character, too."""
    data = sse(event("é\u2028🙂")) + sse(end())
    scripts = [sending(data[:at], data[at:]) for at in range(1, len(data))]
    async with server(*scripts) as running, engine(running.url) as made:
        for _ in scripts:
            assert text_of(await answered(made, request())) == "é\u2028🙂"


async def test_bytes_one_by_one() -> None:
    items = await items_of(sending(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))))
    assert text_of(items) == "Héllo"


async def reset(peer: Peer) -> None:
    await peer.head()
    await peer.send(ONE)
    await asyncio.sleep(0.05)  # lets the event out before the reset overtakes it
    peer.reset()


def error(code: int, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "type": "server_error"}}


@pytest.mark.parametrize(
    ("script", "kind", "retryable"),
    [
        (reset, "incomplete", True),
        (sending(ONE), "incomplete", True),
        (sending(ONE, WHOLE[len(ONE) : -40]), "incomplete", True),
        (sending(ONE, b"data: {nonsense\n\n"), "protocol", False),
        (sending(ONE, b"data: [DONE]\n\n"), "protocol", False),
        (sending(ONE, b"data: 3\n\n"), "protocol", False),
        (
            sending(ONE, sse({"content": 5, "stop": False, "tokens_predicted": 2})),
            "protocol",
            False,
        ),
        (sending(ONE, sse(end(stop_type="whim"))), "protocol", False),
        (sending(ONE, sse(event("x", 2, tokens_predicted=None))), "protocol", False),
        (sending(ONE, sse(error(500, "failed to decode"))), "generation", True),
        (sending(ONE, sse(error(400, "no such thing"))), "refused", False),
        (sending(ONE, sse({"error": "short"})), "protocol", False),
        (sending(ONE, b"data: " + b"x" * 5_000_000), "protocol", False),
        (sending(ONE, b": " + b"x" * 5_000_000), "protocol", False),
    ],
)
async def test_what_was_written_stays_and_the_error_says_why(
    script: Script, kind: str, retryable: bool
) -> None:
    async with server(script) as running, engine(running.url) as made:
        came, error = await failed(made)
        assert len(calls(running, "/completion")) == 1, "nothing is sent again after a token"
    assert came.startswith("Hé")
    assert (error.kind, error.retryable) == (kind, retryable)


NO_COUNTS: Sequence[object] = (None, -1, True, 1.0, 1e308, "1", "9" * 5000, [], {}, 2**31)


@pytest.mark.parametrize("told", NO_COUNTS)
@pytest.mark.parametrize("field", ["tokens_predicted", "tokens_evaluated"])
async def test_a_count_that_is_none_is_an_error(field: str, told: object) -> None:
    _, error = await failure(sending(sse({**end(), field: told})))
    assert error.kind == "protocol"
    assert len(str(error)) < 200


@pytest.mark.parametrize("told", [None, "7", {"a": 1}])
async def test_a_seed_that_is_none_is_an_error(told: object) -> None:
    _, error = await failure(sending(sse(end(generation_settings={"seed": told}))))
    assert error.kind == "protocol"


async def test_what_is_not_understood_is_quoted_in_short() -> None:
    _, error = await failure(sending(sse(end(stop_type="x" * 5000))))
    assert error.kind == "protocol"
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": None},
        {"content": 5},
        {"tokens": [[1]]},
        {"tokens": "x"},
        {"tokens": None},
        {"tokens_predicted": "x"},
        {"completion_probabilities": [5]},
        {"completion_probabilities": [{"id": 1, "top_probs": [{"id": [], "prob": 0.5}]}]},
        {"completion_probabilities": [{"id": 1, "top_probs": [{"id": 1, "prob": "x"}]}]},
    ],
)
async def test_a_whole_answer_of_wrong_values_is_an_error(wrong: Mapping[str, object]) -> None:
    whole = {"content": "Hi", "tokens": [1], "tokens_predicted": 1, **wrong}
    script = answering(200, orjson.dumps(whole))
    async with server(script) as running, engine(running.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.write(request(), likeliest=1)
    assert caught.value.kind == "protocol"


async def test_no_part_of_an_answer_takes_tokens_back() -> None:
    items = await items_of(sending(sse(event("a", 5)), sse(event("b", 2)), sse(end(6))))
    assert sum(item.tokens for item in items if isinstance(item, Chunk)) == 6
    assert all(item.tokens >= 0 for item in items if isinstance(item, Chunk))


async def test_silence_ends_in_a_timeout() -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.send(ONE)
        await peer.gone()

    async with server(silent) as running, engine(running.url, read_timeout=0.2) as made:
        came, error = await failed(made)
    assert (came, error.kind, error.retryable) == ("Hé", "timeout", True)


@pytest.mark.parametrize(
    "refusal",
    [
        recorded("loading"),
        answering(429),
        answering(503, b"", {"retry-after": "0"}),
        sending(sse(error(503, "Loading model"))),
        sending(sse(RECORDED["progress"]["events"][0], error(503, "Loading model"))),
    ],
)
async def test_a_refusal_before_the_first_token_is_tried_again(refusal: Script) -> None:
    async with server(refusal, sending(WHOLE)) as running, engine(running.url) as made:
        assert text_of(await answered(made, request())) == "Héllo"
        assert len(calls(running, "/completion")) == 2


async def test_a_page_in_place_of_a_stream() -> None:
    async def page(peer: Peer) -> None:
        await peer.answer(b"<html>" + b"x" * 10_000_000, content_type="text/html")

    came, error = await failure(page)
    assert (came, error.kind) == ("", "protocol")
    assert len(str(error)) < 500


async def test_a_refusal_without_end_is_read_to_a_limit() -> None:
    async def endless(peer: Peer) -> None:
        await peer.head(status=400, content_type="text/plain")
        while True:
            await peer.send(b"no " * 100_000)

    came, error = await failure(endless)
    assert (came, error.kind) == ("", "refused")


async def test_an_answer_without_end_is_no_answer() -> None:
    async def endless(peer: Peer) -> None:
        await peer.head(content_type="application/json")
        while True:
            await peer.send(b" " * 1_000_000)

    async with server(tokenize=endless) as running, engine(running.url) as made:
        with pytest.raises(EngineError, match="longer than") as caught:
            await made.pieces("Hi")
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [{"id": 1, "piece": "Ho"}],
        [{"id": 1, "piece": "xHi"}],
        [{"id": 1, "piece": [300]}],
        [{"id": 1, "piece": ["H", "i"]}],
        [{"id": 1, "piece": {"72": 1}}],
        [{"id": 1}],
        [3],
        "Hi",
    ],
)
async def test_pieces_that_are_not_the_texts(pieces: object) -> None:
    said = answering(200, orjson.dumps({"tokens": pieces}))
    async with server(tokenize=said) as running, engine(running.url) as made:
        with pytest.raises(EngineError) as caught:
            await made.pieces("Hi")
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("piece", [0, 3, 2**40, True, None])
async def test_a_piece_that_is_a_number_takes_no_memory(piece: object) -> None:
    said = answering(200, orjson.dumps({"tokens": [{"id": 1, "piece": piece}, {"piece": "Hi"}]}))
    async with server(tokenize=said) as running, engine(running.url) as made:
        with pytest.raises(EngineError, match="neither a string nor bytes") as caught:
            await made.pieces("Hi")
    assert caught.value.kind == "protocol"


async def test_a_space_that_the_vocabulary_puts_in_front_is_no_piece() -> None:
    tokens = [{"id": 1, "piece": " "}, {"id": 2, "piece": "Hi"}, {"id": 3, "piece": " you"}]
    said = answering(200, orjson.dumps({"tokens": tokens}))
    async with server(tokenize=said) as running, engine(running.url) as made:
        assert await made.pieces("Hi you") == ["Hi", " you"]


# What is sent, and how it is left


async def test_a_stream_has_a_connection_and_its_number_of_its_own() -> None:
    async with server(sending(WHOLE)) as running, engine(running.url) as made:
        await ready(made)
        mark = request_id.set("abc123")
        await answered(made, request())
        request_id.reset(mark)
        [sent] = calls(running, "/completion")
    assert (sent.headers["connection"], sent.headers["x-request-id"]) == ("close", "abc123")
    assert sent.json() == {
        "prompt": request().prompt,
        **made.parameters(request()),
        "stream": True,
        "return_progress": True,
        "sse_ping_interval": 10,
    }


async def test_the_key_is_sent() -> None:
    async with server(sending(WHOLE)) as running, engine(running.url, api_key="secret") as made:
        await ready(made)
        await answered(made, request())
        assert {each.headers["authorization"] for each in running.requests} == {"Bearer secret"}


@pytest.mark.parametrize("begun", [False, True])
async def test_leaving_closes_the_connection(begun: bool) -> None:
    there, left = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        if begun:
            await peer.head()
            await peer.send(ONE)
        there.set()
        await peer.gone()
        left.set()

    async with server(silent) as running, engine(running.url) as made:
        reading = asyncio.create_task(answered(made, request()))
        await there.wait()
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        async with asyncio.timeout(10):
            await left.wait()


async def test_who_came_first_is_first_and_who_leaves_is_never_sent() -> None:
    """One slot: the others wait here, and not in the server."""
    go = asyncio.Event()

    async def held(peer: Peer) -> None:
        await go.wait()
        await sending(WHOLE)(peer)

    order: list[int] = []
    async with server(held, props=props(total_slots=1)) as running, engine(running.url) as made:
        await ready(made)

        async def ask(number: int) -> None:
            await answered(made, request(seed=number))
            order.append(number)

        asked = [asyncio.create_task(ask(number)) for number in range(4)]

        async def wait() -> bool:
            return made.waiting == 3 and len(calls(running, "/completion")) == 1

        await until(wait)
        asked[1].cancel()
        await asyncio.wait([asked[1]])
        go.set()
        await asyncio.gather(*asked, return_exceptions=True)
        sent = [each.json()["seed"] for each in calls(running, "/completion")]
    assert order == sent == [0, 2, 3]
