"""View code: every program is run, and writes the answer of the receipt again."""

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson
import pytest
from httpx_sse import aconnect_sse

from playground.auth.passwords import Passwords
from playground.engines.snippets import Snippet, playground_snippet, snippets
from tests import llamacpp as llamacpp_server
from tests.application import Application
from tests.servers import Server, stand_in
from tests.stock import playground

# What a shell, a Python string or a line-wise reader could trip over.
HARD = "Tell me a story about Zoë's \"lighthouse\"\\ $HOME `id` 'x' ''' \u2028 JSON\nJSON\n!! 🦊"


HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    with stand_in("--max-top-n-tokens", "20") as server:
        yield server.url


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
        answer = orjson.loads(text)
        if "choices" in answer:
            [answer] = answer["choices"]
        text = next(
            answer[name] for name in ("generated_text", "content", "text") if name in answer
        )
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


@pytest.mark.parametrize(
    "pane",
    [
        {"preset": "min-p"},
        {"sampler": {"temperature": 0}},
        {"sampler": {"temperature": 1.3, "presence_penalty": 1.5}, "stop": ["'\"\n", "\\"]},
    ],
    ids=lambda pane: pane.get("preset", "own"),
)
async def test_llamacpp_writes_it_again(llamacpp: Server, pane: dict[str, Any]) -> None:
    async with (
        playground(llamacpp.url, engine="llamacpp") as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        receipt, text, tokens = await answered(client, {**pane, "seed": 5, "max_new_tokens": 24})
        body = {"prompt": receipt["prompt"], "sent": receipt["sent"]}
        made = (await client.post("/api/code", json=body)).json()["snippets"]
    programs = [Snippet(**each) for each in made]
    assert [each.id for each in programs] == ["curl", "httpx"]
    assert text
    assert tokens > 3
    # One after the other: its seeds repeat only alone.
    assert [await written(each, {}) for each in programs] == [text.strip()] * 2


async def test_a_server_of_openais_completions_writes_it_again(llamacpp: Server) -> None:
    """llama.cpp's, with what its own /completion was not asked for."""
    prompt = f"<|im_start|>user\n{HARD}<|im_end|>\n<|im_start|>assistant\n"
    sent: dict[str, Any] = {
        "temperature": 1.1,
        "top_p": 0.9,
        "top_k": 30,
        "min_p": 0.02,
        "seed": 5,
        "frequency_penalty": 0.5,
        "max_tokens": 24,
        "stop": ["<|im_end|>"],
        "cache_prompt": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with httpx.AsyncClient(timeout=60) as client:
        whole = {**sent, "prompt": prompt, "stream": False}
        answer = await client.post(f"{llamacpp.url}/v1/completions", json=whole)
        text = answer.json()["choices"][0]["text"]
    async with (
        playground(f"{llamacpp.url}/v1", engine="openai", engine_model="a/b") as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        made = await client.post("/api/code", json={"prompt": prompt, "sent": sent})
    programs = [Snippet(**each) for each in made.json()["snippets"]]
    assert [each.id for each in programs] == ["curl", "httpx", "openai"]
    assert all('"a/b"' in each.code and "stream" not in each.code for each in programs)
    assert text
    assert [await written(each, {}) for each in programs] == [text.strip()] * 3


async def test_what_is_no_tgi_has_a_key_of_another_name() -> None:
    with llamacpp_server.llamacpp(1, 512, "--key", "s3cret") as server:
        for sent in ({"n_predict": 4}, {"max_tokens": 4, "seed": 1}):
            programs = snippets(server.url, "Once", {**sent, "cache_prompt": False}, key="given")
            for each in programs:
                assert "s3cret" not in each.code
                assert await written(each, {"ENGINE_API_KEY": "s3cret"})


async def test_says_where_huggingface_hub_lacks_an_argument() -> None:
    def hub(sent: dict[str, Any]) -> Snippet:
        return snippets("http://x", "p", sent)[2]

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
        assert each["note"].startswith("It needs the engine's key in TGI_API_KEY. Whoever runs")
        assert await written(Snippet(**each), {"TGI_API_KEY": "s3cret"})


@pytest.mark.parametrize("key", [None, "s3cret"])
async def test_what_runs_without_a_key_is_offered_first(stand_in_url: str, key: str | None) -> None:
    async with (
        playground(stand_in_url, engine_api_key=key) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        again = {"messages": HI, "sampler": {"min_p": 0.1, "presence_penalty": 1.0}}
        body = {"prompt": "p", "sent": {"max_new_tokens": 4, "min_p": 0.1}, "again": again}
        made = (await client.post("/api/code", json=body)).json()["snippets"]
    engines = ["curl", "httpx", "huggingface_hub", "client"]
    ids = [each["id"] for each in made]
    assert ids == (["playground", *engines] if key else [*engines, "playground"])
    notes = {each["id"]: each["note"] for each in made}
    assert {each for each in ids if "TGI_API_KEY" in notes[each]} == ({*engines} if key else set())
    assert "min_p is not among the arguments" in notes["huggingface_hub"]


@pytest.mark.parametrize(
    ("auth", "words"),
    [("none", ""), ("users", "PLAYGROUND_PASSWORD"), ("proxy", "A proxy in front of this")],
)
def test_the_program_that_asks_the_playground_says_who_is_to_ask(
    auth: Literal["none", "users", "proxy"], words: str
) -> None:
    note = playground_snippet("http://here", {"messages": HI}, auth=auth).note
    assert words in note
    assert note.startswith("It asks this playground") == (auth == "none")


@pytest.mark.parametrize("most", [None, 600, 1030])
async def test_a_receipt_that_is_older_than_tgis_limit_asks_for_no_more(most: int | None) -> None:
    sent = {} if most is None else {"max_new_tokens": most}
    for each in snippets("http://x", "p", sent):
        assert ("1030" in each.code, "1024" in each.code) == (False, most == 1030)
        assert ("max_new_tokens" in each.code) == (most is not None)


@pytest.mark.parametrize(
    ("pane", "login"),
    [
        ({"sampler": {"temperature": 1.3, "min_p": 0.2, "presence_penalty": 0.5}}, False),
        (
            {"sampler": {"temperature": 1.3, "min_p": 0.2}, "emulate": False, "stop": ["'\"\n"]},
            True,
        ),
    ],
    ids=["emulated", "not emulated"],
)
async def test_a_program_that_asks_the_playground_writes_an_emulated_answer_again(
    stock: str, tmp_path: Path, pane: dict[str, Any], login: bool
) -> None:
    name, word = "anna", "a long pass phrase"
    settings: dict[str, Any] = {}
    if login:
        users = tmp_path / "users"
        users.write_text(f"{name}:{Passwords().hashed(word)}\n")
        settings = {"auth": "users", "users_file": users}
    pane = {**pane, "seed": 5, "max_new_tokens": 40}
    keys = {"PLAYGROUND_USER": name, "PLAYGROUND_PASSWORD": word}
    messages = [{"role": "user", "content": HARD}]
    with Application(stock, **settings) as site:
        async with httpx.AsyncClient(base_url=site.url, timeout=60) as client:
            if login:
                await client.post("/login", data={"name": name, "password": word})
            receipt, text, _ = await answered(client, pane)
            body = {
                "prompt": receipt["prompt"],
                "sent": receipt["sent"],
                "again": {"messages": messages, **pane},
            }
            *_, program = (await client.post("/api/code", json=body)).json()["snippets"]
        assert bool(receipt["emulated"]) == pane.get("emulate", True)
        assert program["id"] == "playground"
        assert word not in program["code"]
        assert ("PLAYGROUND_PASSWORD" in program["note"]) == login
        assert await written(Snippet(**program), keys) == text.strip() != ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "p", "sent": {}, "again": {"messages": []}}, "again.messages"),
        ({"prompt": "p", "sent": {}, "again": {"messages": HI}}, "again.sampler"),
        (
            {"prompt": "p", "sent": {}, "again": {"messages": HI, "sampler": {}, "preset": "x"}},
            "again.preset",
        ),
        ({"prompt": "", "sent": {}}, "prompt"),
        ({"prompt": "p", "sent": []}, "sent"),
        ({"prompt": "p", "sent": {"a b": 1}}, "sent.a b"),
        ({"prompt": "p", "sent": {"x": {"y": [1]}}}, "sent.x"),
        ({"prompt": "p", "sent": {"x": {"y z": 1}}}, "sent.x"),
        ({"prompt": "p", "sent": {"x": [[1]]}}, "sent.x"),
        ({"prompt": "p", "sent": {}, "url": "http://evil"}, "url"),
    ],
)
async def test_refuses_what_is_no_receipt(stand_in_url: str, body: object, field: str) -> None:
    async with playground(stand_in_url) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/code", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("text", ["", "\n", "a", "a\nb", "a\n", "\n" * 9_000, "a\n" * 5_000 + "b"])
def test_a_prompt_of_any_number_of_lines_is_written_in_few_strings(text: str) -> None:
    programs = snippets("http://here", text, {"max_new_tokens": 1})
    for program in programs[1:]:
        [written] = [
            each.value
            for each in ast.walk(ast.parse(program.code))
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "prompt"
        ]
        assert ast.literal_eval(written) == text
        assert program.code.count("\n") <= 2_050
        if text.count("\n") < 2_000:
            assert program.code.count("\\n'") == text.count("\n"), "a line each"
