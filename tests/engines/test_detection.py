"""An engine that asks what it is: every kind, what is none, and servers that are swapped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest

from playground.domain.errors import EngineError
from playground.domain.samplers import Sampler
from playground.engines.base import (
    Chunk,
    EngineAddress,
    Finish,
    GenerationRequest,
    ProvableEngine,
)
from playground.engines.detection import DetectedEngine
from playground.engines.factory import make_engine
from playground.engines.llamacpp import LlamaCppEngine
from playground.settings import EngineChoice, SettingsError, load_settings
from tests.completions import CARD, completions, refusing, writing
from tests.engines.test_llamacpp_faults import RECORDED, sse
from tests.engines.test_llamacpp_faults import event as part
from tests.faults import FaultServer, Peer, Script, serving
from tests.servers import Server
from tests.stock import calls, tgi, until
from tests.stock import writing as writing_tgi

REQUEST = GenerationRequest("<|user|>\nHi\n<|assistant|>\n", Sampler(), 16, 7, ("<|user|>",))


@asynccontextmanager
async def engine(
    url: str, kind: EngineChoice = "auto", *, patient: bool = True
) -> AsyncIterator[ProvableEngine]:
    made = make_engine(EngineAddress("one", kind, url), patient=patient)
    try:
        yield made
    finally:
        await made.aclose()


async def is_ready(made: ProvableEngine, name: str) -> bool:
    state = await made.state()
    return state.info is not None and state.info.name.startswith(name)


def owned(owner: str, **more: object) -> Mapping[str, object]:
    return {"/v1/models": {"data": [{**CARD, "owned_by": owner}]}, "/version": None, **more}


async def llamacpp_loads(peer: Peer) -> None:
    error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
    await peer.answer(orjson.dumps({"error": error}), 503)


SERVERS: Mapping[str, Callable[[], AbstractAsyncContextManager[FaultServer]]] = {
    "TGI 3.3.7": lambda: tgi(writing_tgi(["Hi"])),
    "vLLM 0.32.0": lambda: completions(writing("Hi")),
    "SGLang 0.5.23": lambda: completions(
        writing("Hi"), routes=owned("sglang", **{"/server_info": {"version": "0.5.23"}})
    ),
    "127.0.0.1": lambda: completions(writing("Hi"), routes=owned("somebody")),
}


@pytest.mark.parametrize("name", SERVERS)
async def test_is_what_it_finds(name: str) -> None:
    async with SERVERS[name]() as server, engine(server.url) as made:
        state = await made.state()
        assert state.info is not None, state.reason
        assert state.info.name == name
        items = [item async for item in made.stream(REQUEST)]
        assert items[0] == Chunk("Hi")
        assert isinstance(items[-1], Finish)
        assert made.parameters(REQUEST)
        assert await made.count_tokens("one two") >= 3
        async with engine(server.url, state.info.kind) as same:
            known = (await same.state()).info
        assert known is not None
        assert (known.name, known.raw) == (state.info.name, state.info.raw)


async def test_an_address_of_openais_api_may_be_anythings() -> None:
    async with tgi(writing_tgi(["Hi"])) as server, engine(f"{server.url}/v1") as made:
        assert await is_ready(made, "TGI")


async def test_finds_the_real_stand_in_for_tgi(stand_in_url: str) -> None:
    async with engine(stand_in_url) as made:
        await until(lambda: is_ready(made, "TGI stand-in"))
        assert "".join(await made.pieces("Hello there")) == "Hello there"


async def test_finds_a_real_llamacpp(llamacpp: Server) -> None:
    async with engine(llamacpp.url) as made:
        assert await is_ready(made, "llama.cpp")
        assert "".join(await made.pieces("Hello there")) == "Hello there"
        assert (await made.write(REQUEST)).generated_tokens > 0


async def test_a_real_llamacpp_completes_as_a_server_of_openais_api(llamacpp: Server) -> None:
    async with engine(llamacpp.url, "openai") as made:
        state = await made.state()
        assert state.info is not None, state.reason
        assert (state.info.kind, state.info.max_total_tokens) == ("openai", 2048)
        one, two = [[item async for item in made.stream(REQUEST)] for _ in range(2)]
    for items in (one, two):
        assert items[-1] == Finish("length", 16, one[-1].input_tokens, 7)  # type: ignore[union-attr]
        assert "".join(item.text for item in items if isinstance(item, Chunk))


async def test_an_estimate_of_a_real_tokenizers_count_is_not_too_low(llamacpp: Server) -> None:
    texts = (
        "The quick brown fox jumps over the lazy dog, and nobody minds at all.",
        "def add(a: int, b: int) -> int:\n    return a + b  # 1234567890\n",
        "Donaudampfschifffahrtsgesellschaftskapitän, Überraschung, çà et là",
        "Привет, как дела? 漢字かな交じり文。 🎉👩‍👩‍👧",
        '<|im_start|>user\n{"key": [1, 2.5, null]}<|im_end|>\n',
    )
    async with engine(llamacpp.url) as real, engine(llamacpp.url, "openai") as guessing:
        for text in texts:
            assert await real.count_tokens(text) <= await guessing.count_tokens(text), text


async def test_asks_no_more_once_it_knows() -> None:
    async with completions(writing("Hi")) as server, engine(server.url) as made:
        await made.state()
        assert len(calls(server, "/info")) == len(calls(server, "/props")) == 1
        for _ in range(3):
            await asyncio.sleep(0.5)  # a state holds for a second
            await made.state()
        assert len(calls(server, "/info")) == 1
        assert len(calls(server, "/v1/models")) > 2


async def test_callers_at_the_same_time_share_one_question() -> None:
    async with completions(writing("Hi")) as server, engine(server.url) as made:
        states = await asyncio.gather(*(made.state() for _ in range(20)))
        assert {state.state for state in states} == {"ready"}
        assert len(calls(server, "/info")) == 1


async def test_a_refused_connection_is_loading_for_a_while_only(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"
    async with engine(url) as made:
        state = await made.state()
        assert state.state == "loading"
        assert "still loading" in state.reason
        for failing in (made.count_tokens("x"), anext(made.stream(REQUEST))):
            with pytest.raises(EngineError) as caught:
                await failing
            assert caught.value.kind == "loading"
        with pytest.raises(EngineError):
            made.parameters(REQUEST)
    async with engine(url, patient=False) as made:
        assert (await made.state()).state == "offline"


async def test_a_llamacpp_that_loads_is_loading() -> None:
    async with serving(llamacpp_loads) as server, engine(server.url) as made:
        state = await made.state()
    assert state.state == "loading"
    assert "Loading model" in state.reason


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (refusing(404, b"Not Found", "text/plain"), "no such route"),
        (refusing(200, b"<html></html>", "text/html"), "no JSON"),
        (refusing(200, b'{"error":"Unexpected endpoint"}'), "no list of models"),
        (refusing(308), "redirects"),
    ],
)
async def test_what_is_no_engine_is_offline_with_what_was_found(script: Script, words: str) -> None:
    async with serving(script) as server, engine(server.url) as made:
        state = await made.state()
    assert state.state == "offline"
    for word in (words, server.url, "PLAYGROUND_ENGINE", "llama.cpp"):
        assert word in state.reason


async def test_a_key_that_is_asked_for_is_said() -> None:
    script = refusing(401, b'{"error":"Unauthorized"}')
    async with serving(script) as server, engine(server.url) as made:
        state = await made.state()
    assert state.state == "offline"
    assert "PLAYGROUND_ENGINE_API_KEY" in state.reason


async def test_what_does_not_answer_in_time_is_offline() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with serving(silent) as server:
        made = DetectedEngine(
            EngineAddress("one", "auto", server.url), make_engine, probe_timeout=0.1
        )
        state = await made.state()
        await made.aclose()
    assert state.state == "offline"
    assert "does not answer within 0.1 s" in state.reason


async def test_another_server_at_the_same_address_is_found(free_tcp_port: int) -> None:
    """Each of them after each other, as one is stopped and the next started."""
    url = f"http://127.0.0.1:{free_tcp_port}"
    port = free_tcp_port
    order: list[tuple[str, AbstractAsyncContextManager[FaultServer]]] = [
        ("TGI", tgi(writing_tgi(["Hi"]), port=port)),
        ("vLLM", completions(writing("Hi"), port=port)),
        ("SGLang", completions(writing("Hi"), routes=owned("sglang"), port=port)),
        ("127.0.0.1", completions(writing("Hi"), routes=owned("me"), port=port)),
        ("vLLM", completions(writing("Hi"), routes=other_model(), port=port)),
        ("TGI", tgi(writing_tgi(["Hi"]), port=port)),
    ]
    async with engine(url) as made:
        for name, server in order:
            async with server:
                await until(partial(is_ready, made, name))
                items = [item async for item in made.stream(REQUEST)]
                assert items[0] == Chunk("Hi")


async def test_who_waits_while_another_server_comes_can_try_again() -> None:
    """The one for the only slot of a llama.cpp that is no more, while its answer is written."""
    swapped, begun = asyncio.Event(), asyncio.Event()
    recorded = RECORDED["props"]["answer"]

    async def script(peer: Peer) -> None:
        match peer.request.path:
            case "/completion":
                await peer.head()
                await peer.send(sse(part("Hi")))
                begun.set()
                await peer.gone()
            case "/props" if not swapped.is_set():
                await peer.answer(orjson.dumps({**recorded, "total_slots": 1}))
            case "/tokenize":
                await peer.answer(b'{"tokens":[]}')
            case "/v1/models" if swapped.is_set():
                await peer.answer(orjson.dumps({"data": [CARD]}))
            case "/v1/models":
                await peer.answer(orjson.dumps(RECORDED["models"]["answer"]))
            case _:
                await peer.answer(b"", 404)

    async def read() -> None:
        async for _ in made.stream(REQUEST):
            pass

    async with serving(script) as server, engine(server.url) as made:
        assert await is_ready(made, "llama.cpp")
        first = asyncio.create_task(read())
        await begun.wait()
        second = asyncio.create_task(read())
        await until(partial(has_waiting, made))
        swapped.set()
        await until(partial(is_ready, made, "vLLM"))
        errors = await asyncio.gather(first, second, return_exceptions=True)
    for error, kind in zip(errors, ("incomplete", "offline"), strict=True):
        assert isinstance(error, EngineError), repr(error)
        assert (error.kind, error.retryable) == (kind, True)


async def has_waiting(made: ProvableEngine) -> bool:
    assert isinstance(made, DetectedEngine)
    found = made._found
    return isinstance(found, LlamaCppEngine) and found.waiting == 1


def other_model() -> dict[str, Any]:
    return {"/v1/models": {"data": [{**CARD, "id": "other", "root": "other"}]}}


async def test_a_server_that_is_gone_is_offline_until_it_is_back(free_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}"

    async def is_state(state: str) -> bool:
        return (await made.state()).state == state

    async with engine(url) as made:
        async with completions(writing("Hi"), port=free_tcp_port):
            assert await is_state("ready")
        await until(lambda: is_state("offline"))
        assert "notices when it answers again" in (await made.state()).reason
        async with completions(writing("Hi"), port=free_tcp_port):
            await until(lambda: is_state("ready"))


def test_a_kind_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(engine="ollama")
    for word in ("PLAYGROUND_ENGINE is 'ollama'", "auto, tgi, llamacpp, vllm, sglang or openai"):
        assert word in str(caught.value)
