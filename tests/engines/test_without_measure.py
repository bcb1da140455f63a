"""Engines that keep no measure: they write on for ever, or say of themselves what cannot be."""

from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest

from playground.domain.errors import EngineError
from playground.domain.samplers import Sampler
from playground.engines.base import Chunk, GenerationRequest, ProvableEngine
from playground.engines.llamacpp import LlamaCppEngine
from playground.engines.openai import OpenAIEngine
from playground.engines.tgi import TGIEngine
from tests import completions, faults, stock
from tests.engines import test_llamacpp_faults as llamacpp
from tests.faults import Peer, Script

ASKED = 40
REQUEST = GenerationRequest("Hi", Sampler(), ASKED, 7, ())


def endless(one: bytes) -> Script:
    """A stream of the same event for as long as somebody reads."""

    async def script(peer: Peer) -> None:
        await peer.head()
        with suppress(ConnectionError, RuntimeError):
            while True:
                await peer.send(one)

    return script


def of(kind: str, text: str) -> tuple[Any, type[ProvableEngine]]:
    """A server whose answer has no end, and the engine for it."""
    match kind:
        case "tgi":
            return stock.tgi(endless(faults.event(text))), TGIEngine
        case "llamacpp":
            one = llamacpp.sse(llamacpp.event(text, 0))
            return llamacpp.server(endless(one)), LlamaCppEngine
        case _:
            return completions.completions(endless(completions.event(text))), OpenAIEngine


async def read(engine: ProvableEngine, request: GenerationRequest, came: list[Chunk]) -> None:
    async for item in engine.stream(request):
        assert isinstance(item, Chunk)
        came.append(item)


@pytest.mark.parametrize("text", ["a", "", "x" * 100_000], ids=["a letter", "nothing", "a lot"])
@pytest.mark.parametrize("kind", ["tgi", "llamacpp", "openai"])
async def test_an_answer_that_goes_on_for_ever_is_cut_off(kind: str, text: str) -> None:
    made_server, make = of(kind, text)
    came: list[Chunk] = []
    async with made_server as server:
        engine = make(server.url)  # type: ignore[call-arg]
        try:
            with pytest.raises(EngineError) as caught:
                await read(engine, REQUEST, came)
        finally:
            await engine.aclose()
    assert caught.value.kind == "protocol"
    assert sum(each.tokens for each in came) <= ASKED + 16
    assert sum(len(each.text) for each in came) <= 256 * (ASKED + 16)


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_total_tokens": 1e308},
        {"max_total_tokens": -1},
        {"max_total_tokens": 0},
        {"max_input_tokens": 0},
        {"max_input_tokens": 2**40},
        {"max_stop_sequences": -4},
        {"deep": nested(240)},
        {"version": nested(200)},
        {"samplers": nested(200)},
        {"long": "x" * 5_000_000},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_what_a_server_cannot_be_is_no_server(wrong: dict[str, object]) -> None:
    async with (
        stock.tgi(info={**stock.INFO, **wrong}) as server,
        stock.playground(server.url, engine="tgi") as url,
        httpx.AsyncClient() as client,
    ):
        answered = await client.get(f"{url}/api/engine")
        assert (await client.get(f"{url}/api/engines")).status_code == 200
    assert answered.status_code == 200
    assert answered.json()["state"] == "offline"
    assert len(answered.content) < 5_000


@pytest.mark.parametrize(
    "strange",
    [
        {"version": "9" * 100_000},
        {"version": ["x" * 10_000]},
        {"model_sha": {"a": 1}},
        {"model_id": "x" * 100_000},
        {"router": ["a"]},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_what_is_said_strangely_is_cut(strange: dict[str, object]) -> None:
    async with (
        stock.tgi(info={**stock.INFO, **strange}) as server,
        stock.engine(server.url) as made,
        stock.playground(server.url, engine="tgi") as url,
        httpx.AsyncClient() as client,
    ):
        info = (await made.state()).info
        shown = await client.get(f"{url}/api/engine")
        listed = await client.get(f"{url}/api/engines")
    assert shown.json()["state"] == "ready"
    assert len(shown.content) < 70_000
    assert len(listed.content) < 2_000
    assert info is not None
    assert len(info.name) < 60
    assert len(info.model_id) <= 200
    assert isinstance(info.model_sha, str | None)
    assert len(orjson.dumps(info.raw)) <= 65_536
