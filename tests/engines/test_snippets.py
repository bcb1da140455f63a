"""View code: every program is run, and writes the answer of the receipt again."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import httpx
import orjson
import pytest
from httpx_sse import aconnect_sse

from playground.engines.snippets import Snippet, snippets
from tests.stock import playground

# What a shell, a Python string or a line-wise reader could trip over.
HARD = "Tell me a story about Zoë's \"lighthouse\"\\ $HOME `id` 'x' ''' \u2028 JSON\nJSON\n!! 🦊"


async def written(program: Snippet, env: dict[str, str]) -> str:
    """What a program prints."""
    command = ["bash", "-c", program.code]
    if program.language == "python":
        command = [sys.executable, "-W", "error", "-c", program.code]
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **env}, capture_output=True, timeout=60
    )
    assert done.returncode == 0, f"{program.id}: {done.stderr.decode()}\n{program.code}"
    text = done.stdout.decode()
    if program.id == "curl":
        text = orjson.loads(text)["generated_text"]
    return text.strip().removesuffix("<|user|>").strip()


async def answered(client: httpx.AsyncClient, pane: dict[str, Any]) -> tuple[Any, str, int]:
    """The receipt of an answer, its text, and how many tokens it has."""
    text, receipt, tokens = "", None, 0
    body = {"messages": [{"role": "user", "content": HARD}], "panes": [pane]}
    async with aconnect_sse(client, "POST", "/api/stream", json=body) as source:
        async for event in source.aiter_sse():
            if event.event == "receipt":
                receipt = event.json()
            elif event.event == "delta":
                text += event.json()["text"]
            elif event.event == "done":
                tokens = event.json()["generated_tokens"]
    return receipt, text, tokens


@pytest.mark.parametrize(
    "pane",
    [
        {"preset": "alpacaeval"},
        {"preset": "huggingchat"},
        {"preset": "min-p"},
        {"sampler": {"temperature": 0}},
        {"sampler": {"temperature": 1.3, "presence_penalty": 1.5}, "stop": ["'\"\n", "\\"]},
    ],
    ids=lambda pane: pane.get("preset", "own"),
)
async def test_every_program_writes_the_answer_again(
    stand_in_url: str, pane: dict[str, Any]
) -> None:
    async with playground(stand_in_url) as url, httpx.AsyncClient(base_url=url) as client:
        receipt, text, tokens = await answered(client, {**pane, "seed": 5, "max_new_tokens": 48})
        body = {"prompt": receipt["prompt"], "sent": receipt["sent"]}
        made = (await client.post("/api/code", json=body)).json()["snippets"]
    programs = [Snippet(**each) for each in made]
    assert [each.id for each in programs] == ["curl", "httpx", "huggingface_hub", "client"]
    assert text
    outputs = await asyncio.gather(*(written(each, {}) for each in programs))
    assert outputs == [text.strip()] * 4
    # The tokens themselves, of the one program that prints all that the engine says.
    again = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", programs[0].code], capture_output=True, timeout=60
    )
    details = orjson.loads(again.stdout)["details"]
    assert len(details["tokens"]) == details["generated_tokens"] == tokens
    joined = "".join(each["text"] for each in details["tokens"] if not each["special"])
    assert joined.strip().removesuffix("<|user|>").strip() == text.strip()


async def test_says_where_huggingface_hub_lacks_an_argument() -> None:
    def hub(sent: dict[str, Any]) -> Snippet:
        return snippets("http://x", "p", sent, keyed=False)[2]

    assert "InferenceClient(" in hub({"temperature": 0.7}).code
    assert hub({"temperature": 0.7}).note == ""
    note = hub({"min_p": 0.1, "presence_penalty": 1.0}).note
    assert note.startswith("min_p and presence_penalty are not among the arguments")


async def test_a_key_is_read_and_never_written(stand_in_url: str) -> None:
    async with (
        playground(stand_in_url, engine_api_key="s3cret") as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        body = {"prompt": "<|user|>\nHi\n<|assistant|>\n", "sent": {"max_new_tokens": 4}}
        answer = await client.post("/api/code", json=body)
    assert "s3cret" not in answer.text
    for each in answer.json()["snippets"]:
        assert "TGI_API_KEY" in each["code"]
        assert await written(Snippet(**each), {"TGI_API_KEY": "s3cret"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "", "sent": {}}, "prompt"),
        ({"prompt": "p", "sent": []}, "sent"),
        ({"prompt": "p", "sent": {"a b": 1}}, "sent.a b"),
        ({"prompt": "p", "sent": {"x": {"y": 1}}}, "sent.x"),
        ({"prompt": "p", "sent": {}, "url": "http://evil"}, "url"),
    ],
)
async def test_refuses_what_is_no_receipt(stand_in_url: str, body: object, field: str) -> None:
    async with playground(stand_in_url) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/code", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
