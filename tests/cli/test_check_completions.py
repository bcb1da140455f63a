"""`playground check` of servers of OpenAI's completions, and of what is no engine at all."""

import json
from typing import Any

import orjson
import pytest

from playground.domain.prompt_formats import TULU2
from tests import completions
from tests.cli.test_check import alone, examined
from tests.completions import CARD, refusing, writing
from tests.faults import Peer, serving

__all__ = ["alone"]

LONG = {**CARD, "max_model_len": 8192}
WRITTEN = "<s><|user|>\nIs it warm?\n<|assistant|>\nIt is.\n<|user|>\nThanks!\n<|assistant|>\n"


def detokenizing(text: str) -> dict[str, Any]:
    """The routes by which vLLM shows what its chat template writes."""

    async def tokenize(peer: Peer) -> None:
        asked = peer.request.json()
        if "messages" in asked:
            assert [each["role"] for each in asked["messages"]] == ["user", "assistant", "user"]
            await peer.answer(orjson.dumps({"tokens": [1, 2, 3]}))
        else:
            await completions.tokenize(peer)

    async def detokenize(peer: Peer) -> None:
        assert peer.request.json() == {"tokens": [1, 2, 3]}
        await peer.answer(orjson.dumps({"prompt": text}))

    return {"/tokenize": tokenize, "/detokenize": detokenize}


@pytest.mark.parametrize("kind", ["vllm", "auto"])
async def test_vllm(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    routes = {**detokenizing(WRITTEN), "/v1/models": {"data": [LONG]}}
    async with completions.completions(writing("You"), routes=routes) as server:
        report = await examined(capsys, server.url, engine=kind)
    assert report.status == 0, report.document
    assert report.document["info"]["kind"] == "vllm"
    assert report.document["info"]["probabilities"] == {"kind": "raw", "most": 20}
    assert [each["name"] for each in report.findings if each["verdict"] != "ok"] == ["model"]
    assert "PLAYGROUND_ENGINE_MODEL" in report.of("model")["fix"]
    assert report.of("template")["says"] == f"{TULU2.label}, as the playground writes it"


async def test_vllm_with_another_template_and_a_short_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    routes = detokenizing("<s>[INST] Is it warm? [/INST]")
    async with completions.completions(writing("You"), routes=routes) as server:
        report = await examined(capsys, server.url, engine="vllm")
    assert report.status == 0
    assert "--chat-template" in report.of("template", "note")["fix"]
    assert "--max-model-len" in report.of("limits", "note")["fix"]
    assert "docker" not in json.dumps(report.document).lower()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "PLAYGROUND_ENGINE_API_KEY"), (500, "vLLM's log")]
)
async def test_vllm_that_writes_nothing(
    capsys: pytest.CaptureFixture[str], status: int, words: str
) -> None:
    body = orjson.dumps({"error": {"message": "no", "type": "x", "param": None, "code": status}})
    routes = detokenizing(WRITTEN)
    async with completions.completions(refusing(status, body), routes=routes) as server:
        report = await examined(capsys, server.url, engine="vllm")
    assert report.faults == ["answer"]
    assert words in report.of("answer")["fix"]


async def test_a_model_that_a_service_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    async with completions.completions(writing("You")) as server:
        report = await examined(capsys, server.url, engine="openai", engine_model="an/other")
    assert report.faults == ["health"]
    assert "PLAYGROUND_ENGINE_MODEL" in report.of("health")["fix"]
    assert f"curl {server.url}/v1/models" in report.of("health")["fix"]
    assert "some/model" in report.of("health")["says"]


async def test_a_service_that_wants_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    async with completions.completions(routes={"/v1/models": refusing(401, b"{}")}) as server:
        report = await examined(capsys, f"{server.url}/v1", engine="openai")
    assert report.faults == ["health"]
    assert "a key of the service" in report.of("health")["fix"]


async def test_a_service_that_tells_neither_tokens_nor_template(
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = {**LONG, "owned_by": "somebody"}
    routes: dict[str, Any] = {"/v1/models": {"data": [card]}, "/tokenize": None, "/version": None}
    async with completions.completions(writing("You"), routes=routes) as server:
        report = await examined(capsys, server.url, engine="openai")
    assert report.status == 0
    assert report.of("template")["verdict"] == "skipped"
    assert any("estimates" in each["says"] for each in report.findings)


async def test_what_is_no_engine(capsys: pytest.CaptureFixture[str]) -> None:
    async def page(peer: Peer) -> None:
        await peer.answer(b"<html>Hello</html>", 200, "text/html")

    async with serving(page) as server:
        report = await examined(capsys, server.url)
    assert report.status == 1
    assert "health" in report.faults
    found = report.of("health")
    for words in ("TGI", "llama.cpp", "vLLM", "SGLang"):
        assert words in found["says"]
    assert "PLAYGROUND_ENGINE_URL" in found["fix"]
    assert "PLAYGROUND_ENGINE says what it is" in found["fix"]
