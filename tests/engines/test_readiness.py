"""Whoever asks for an engine's state gets one, whatever the engine answers."""

import asyncio
import logging
from collections.abc import Sequence

import orjson
import pytest

from playground.engines.base import EngineAddress, EngineInfo
from playground.engines.factory import make_engine
from playground.engines.readiness import Readiness
from playground.settings import EngineChoice
from tests.completions import CARD, completions
from tests.engines.test_llamacpp_faults import answering
from tests.engines.test_llamacpp_faults import server as llamacpp


async def test_what_nobody_thought_of_is_logged_and_offline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask() -> EngineInfo:
        raise RecursionError("words of the engine")

    readiness = Readiness("http://engine", ask, lambda: None, starting="")
    with caplog.at_level(logging.ERROR):
        state = await readiness.state()
    assert state.state == "offline"
    assert "http://engine says of itself what the playground does not" in state.reason
    assert "words of the engine" not in state.reason
    assert "RecursionError" in caplog.text


async def reason_of(url: str, kind: EngineChoice, caplog: pytest.LogCaptureFixture) -> str:
    """Why an engine is offline, said by its own kind and not by the last resort."""
    made = make_engine(EngineAddress("one", kind, url))
    try:
        state = await made.state()
    finally:
        await made.aclose()
    assert state.state == "offline"
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    return state.reason


SCALARS: Sequence[object] = (5, True, 1.5, "x", [[]])


@pytest.mark.parametrize("kind", ["auto", "openai"])
@pytest.mark.parametrize("data", SCALARS[:4])
async def test_a_list_of_models_that_is_none(
    data: object, kind: EngineChoice, caplog: pytest.LogCaptureFixture
) -> None:
    async with completions(routes={"/v1/models": {"data": data}, "/info": None}) as server:
        assert await reason_of(server.url, kind, caplog)


@pytest.mark.parametrize("meta", SCALARS)
async def test_what_is_said_of_a_model_and_is_nothing(
    meta: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with completions(routes={"/v1/models": {"data": [{**CARD, "meta": meta}]}}) as server:
        assert "is none of OpenAI's API" in await reason_of(server.url, "openai", caplog)


@pytest.mark.parametrize("models", [{"data": []}, {"data": [{"meta": 5}]}, {"data": {}}, []])
async def test_a_llamacpp_without_a_model(models: object, caplog: pytest.LogCaptureFixture) -> None:
    async with llamacpp(v1_models=answering(200, orjson.dumps(models))) as server:
        assert "is not llama.cpp" in await reason_of(server.url, "llamacpp", caplog)


@pytest.mark.parametrize("told", [{"tokens": []}, {"tokens": [], "token_strs": []}])
async def test_a_server_that_tells_no_token_of_a_text_is_estimated(told: object) -> None:
    async with completions(routes={"/tokenize": told}) as server:
        made = make_engine(EngineAddress("one", "openai", server.url))
        try:
            state = await made.state()
        finally:
            await made.aclose()
    assert state.info is not None
    assert not state.info.exact_counts


async def test_who_waits_for_a_state_is_not_cancelled_when_nobody_asks_any_more() -> None:
    asking = asyncio.Event()

    async def ask() -> EngineInfo:
        asking.set()
        await asyncio.Event().wait()
        raise AssertionError("it is not waited for to its end")

    readiness = Readiness("http://engine", ask, lambda: None, starting="")
    waiting = asyncio.create_task(readiness.state())
    await asking.wait()
    readiness.close()
    assert (await waiting).state == "offline"
