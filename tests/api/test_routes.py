"""The HTTP API on a real port: over the stand-in, and over scripted ones for faults."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from playground.domain.presets import load_presets
from playground.domain.samplers import PARAMETERS
from playground.engines.base import EngineState, Progress
from playground.engines.tgi import TGIEngine
from playground.settings import MAX_BODY_BYTES
from tests.application import NOWHERE
from tests.faults import FaultServer, Peer, Script, event, serving
from tests.stock import INFO, generations, opened, playground, tgi, until, writing

HI: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}


@contextlib.asynccontextmanager
async def browser(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        yield client


@contextlib.asynccontextmanager
async def over(
    *generations: Script, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, FaultServer]]:
    """A client of the API in front of a scripted TGI, and that TGI."""
    async with (
        tgi(*generations) as server,
        playground(server.url, **settings) as url,
        browser(url) as client,
    ):
        yield client, server


async def events(client: httpx.AsyncClient, body: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All events of a stream, by name."""
    async with aconnect_sse(client, "POST", "/api/stream", json=body) as source:
        assert source.response.status_code == 200, await source.response.aread()
        return [(each.event, each.json()) async for each in source.aiter_sse()]


def text_of(named: list[tuple[str, Any]], pane: int = 0) -> str:
    return "".join(d["text"] for name, d in named if name == "delta" and d["pane"] == pane)


async def test_streams_a_conversation_with_the_stand_in(stand_in_url: str) -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello!"},
        ],
        "panes": [{"preset": "min-p", "max_new_tokens": 32, "seed": 3}],
    }
    said = playground(stand_in_url, engine_quantisation="FP8")
    async with said as url, browser(url) as client:
        first, second = [await events(client, body) for _ in range(2)]
    (name, receipt), *middle, (last, done) = first
    assert (name, last) == ("receipt", "done")
    assert set(receipt) == {
        *(
            "pane",
            "engine",
            "engine_id",
            "model_id",
            "model_sha",
            "preset",
            "edited",
            "sent",
            "applied",
        ),
        *("prompt_tokens", "dropped_turns", "edits", "left_out", "prompt", "prompt_sha256"),
        *("system", "continued", "prompt_format", "note", "quantisation"),
        *("emulate", "emulated", "asked", "max_new_tokens"),
    }
    assert receipt["prompt"] == "<|user|>\nBe brief.\n\nHello!\n<|assistant|>\n"
    assert receipt["prompt_sha256"] == hashlib.sha256(receipt["prompt"].encode()).hexdigest()
    assert receipt["prompt_format"]["label"] == "TuluV2"
    assert (receipt["system"], receipt["continued"]) == ("Be brief.", 0)
    assert receipt["quantisation"] == "FP8"
    assert list(receipt["left_out"]) == ["temperature"]
    assert (receipt["pane"], receipt["preset"]) == (0, "Creative")
    assert receipt["edited"] == ["max_new_tokens"]
    assert receipt["sent"]["min_p"] == 0.1
    assert receipt["sent"]["seed"] == 3
    assert receipt["applied"]["min_p"] == {"how": "native", "reason": ""}
    assert {name for name, _ in middle} == {"delta", "block"}
    blocks = [data for name, data in middle if name == "block"]
    assert [block["index"] for block in blocks] == list(range(len(blocks)))
    assert all(block["html"].startswith("<") for block in blocks)
    assert done["seed"] == 3
    assert done["input_tokens"] == receipt["prompt_tokens"]
    assert 0 < done["generated_tokens"] <= 32
    assert done["finish_reason"] in ("eos_token", "stop_sequence", "length")
    assert done["tokens_per_second"] is None or done["tokens_per_second"] > 0
    assert text_of(first) == text_of(second) != ""


async def test_streams_four_panes_at_once(stand_in_url: str) -> None:
    panes: list[dict[str, Any]] = [
        {"preset": "alpacaeval", "seed": 1},
        {"sampler": {"temperature": 0}},
        {"preset": "min-p", "sampler": {"temperature": 1.6, "min_p": 0.1}, "stop": ["."]},
        {"messages": [{"role": "user", "content": "Name ten animals."}], "seed": 2},
    ]
    body = {**HI, "panes": [{**pane, "max_new_tokens": 16} for pane in panes]}
    async with playground(stand_in_url) as url, browser(url) as client:
        by_pane: defaultdict[int, list[str]] = defaultdict(list)
        named = await events(client, body)
    for name, data in named:
        by_pane[data["pane"]].append(name)
    assert sorted(by_pane) == [0, 1, 2, 3]
    for names in by_pane.values():
        assert names[0] == "receipt"
        assert names[-1] == "done"
        assert sum(name in ("done", "error") for name in names) == 1
    receipts = [
        data for name, data in sorted(named, key=lambda n: n[1]["pane"]) if name == "receipt"
    ]
    assert [r["preset"] for r in receipts] == ["Balanced", None, "Creative", None]
    assert receipts[2]["edited"] == ["temperature", "max_new_tokens"]
    assert receipts[1]["sent"]["do_sample"] is False
    assert "." not in text_of(named, 2)


async def test_a_sampler_beside_a_preset_is_the_whole_set_of_values() -> None:
    pane = {"preset": "huggingchat", "sampler": {"top_k": 9, "top_p": 0.95}}
    async with (
        tgi(writing(["Hi"])) as server,
        playground(server.url) as url,
        browser(url) as client,
    ):
        [(_, receipt), *_] = await events(client, {**HI, "panes": [pane]})
        [sent] = generations(server)
    assert receipt["edited"] == ["temperature", "top_k", "repetition_penalty"]
    assert receipt["edits"]["top_k"] == {"from": 50, "to": 9}
    assert receipt["edits"]["repetition_penalty"] == {"from": 1.2, "to": None}
    assert sent["parameters"] == receipt["sent"]
    assert {"temperature", "repetition_penalty"}.isdisjoint(sent["parameters"])
    assert sent["parameters"]["top_k"] == 9
    assert sent["parameters"]["max_new_tokens"] == 76, "the preset's own, cut to what fits"


async def test_the_answer_is_an_event_stream_that_nothing_keeps() -> None:
    async with over(writing(["a\u2028b", "\n"])) as (client, _):
        response = await client.post("/api/stream", json=HI)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers
    names = [line for line in response.text.split("\n") if line.startswith("event: ")]
    assert names == ["event: receipt", "event: delta", "event: block", "event: done"]
    assert '"text":"a\u2028b"' in response.text


async def test_the_continued_answer_begins_with_what_it_continues() -> None:
    messages = [
        {"role": "user", "content": "Count."},
        {"role": "assistant", "content": "One, two,"},
    ]
    async with over(writing([" three"])) as (client, _):
        assert text_of(await events(client, {**HI, "messages": messages})) == "One, two, three"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"panes": []}, "panes"),
    ({"panes": [{}] * 5}, "panes"),
    ({"panes": {}}, "panes"),
    ({"pane": [{}]}, "pane"),
    ({"panes": [3]}, "panes[0]"),
    ({"panes": [{}, {"preset": "none"}]}, "panes[1].preset"),
    ({"panes": [{"preset": ["min-p"]}]}, "panes[0].preset"),
    ({"panes": [{"sampler": {"temperature": 3}}]}, "panes[0].sampler.temperature"),
    ({"panes": [{"sampler": {"temprature": 1}}]}, "panes[0].sampler.temprature"),
    ({"panes": [{"sampler": 1}]}, "panes[0].sampler"),
    ({"panes": [{"max_tokens": 1}]}, "panes[0].max_tokens"),
    ({"panes": [{"max_new_tokens": 0}]}, "panes[0].max_new_tokens"),
    ({"panes": [{"max_new_tokens": 1.5}]}, "panes[0].max_new_tokens"),
    ({"panes": [{"seed": -1}]}, "panes[0].seed"),
    ({"panes": [{"seed": 2**64}]}, "panes[0].seed"),
    ({"panes": [{"seed": True}]}, "panes[0].seed"),
    ({"panes": [{"stop": "x"}]}, "panes[0].stop"),
    ({"panes": [{"stop": ["a", "b", "c", "d"]}]}, "panes[0].stop"),
    ({"panes": [{"stop": [""]}]}, "panes[0].stop[0]"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "text": "x"}]}, "messages[0].text"),
    ({"messages": [{"role": "user", "content": " \n"}]}, "messages[0]"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    (
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]},
        "messages[1].role",
    ),
    ({"panes": [{"messages": []}]}, "panes[0].messages"),
]


@pytest.fixture(scope="module")
async def idle_api() -> AsyncIterator[tuple[httpx.AsyncClient, list[Any]]]:
    """A client of the API, and the requests that reached its engine."""
    async with over() as (client, server):
        yield client, server.requests


async def test_what_is_wrong_as_a_whole_starts_nothing(
    idle_api: tuple[httpx.AsyncClient, list[Any]],
) -> None:
    client, reached = idle_api
    for wrong, field in WRONG:
        response = await client.post("/api/stream", json={**HI, **wrong})
        answer = response.json()
        assert response.status_code == 422, wrong
        assert set(answer) == {"error", "kind", "field"}
        assert (answer["kind"], answer["field"]) == ("invalid", field), answer
        assert answer["error"].endswith(".")
    assert not reached


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"", 400),
        ("application/json; charset=utf-8", b"[]", 422),
        ("text/plain", json.dumps(HI).encode(), 415),
        ("application/x-www-form-urlencoded", b"messages=", 415),
        ("", json.dumps(HI).encode(), 415),
        ("application/json", b'"' + b"x" * MAX_BODY_BYTES + b'"', 413),
    ],
)
@pytest.mark.parametrize("route", ["stream", "tokenize", "render"])
async def test_a_body_that_is_no_json_object_is_refused(
    idle_api: tuple[httpx.AsyncClient, list[Any]],
    content_type: str,
    body: bytes,
    status: int,
    route: str,
) -> None:
    client, reached = idle_api
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post(f"/api/{route}", content=body, headers=headers)
    assert response.status_code == status
    assert response.json()["kind"] == "invalid"
    assert response.json()["field"] == "body"
    assert not reached


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("Some"))
    await peer.gone()


async def test_more_answers_than_allowed_are_refused_for_a_moment() -> None:
    async with over(silent, max_streams=2, max_waiting=0) as (client, _):
        two = {**HI, "panes": [{}, {}]}
        async with aconnect_sse(client, "POST", "/api/stream", json=two) as source:
            await anext(source.aiter_sse())
            refused = await client.post("/api/stream", json=HI)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["kind"] == "busy"

        async def has_room() -> bool:
            return await stream_status(client) == 200

        await until(has_room)


async def stream_status(client: httpx.AsyncClient) -> int:
    """The status of a stream that is left at once."""
    async with client.stream("POST", "/api/stream", json=HI) as response:
        return response.status_code


@pytest.mark.parametrize("panes", [1, 4])
@pytest.mark.parametrize("leave", ["abort", "half-close"])
async def test_a_reader_who_leaves_closes_silent_engines(panes: int, leave: str) -> None:
    gone = 0
    all_gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal gone
        await peer.head()
        await peer.send(event("Some"))
        await peer.gone()
        gone += 1
        if gone == panes:
            all_gone.set()

    body = json.dumps({**HI, "panes": [{}] * panes}).encode()
    async with tgi(script) as server, playground(server.url) as url:
        address = httpx.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            b"POST /api/stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        async with asyncio.timeout(10):
            for _ in range(panes):
                await reader.readuntil(b'"Some"')
            if leave == "abort":
                writer.transport.abort()
            else:
                writer.close()
            await all_gone.wait()


async def test_a_fetch_that_is_aborted_closes_the_silent_engine() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        asked.set()
        await silent(peer)
        left.set()

    async with over(script) as (client, _), asyncio.timeout(10):
        reading = asyncio.create_task(events(client, HI))
        await asked.wait()
        reading.cancel()
        await left.wait()


async def test_an_engine_that_dies_in_mid_answer_is_the_panes_error_and_comes_back(
    free_tcp_port: int,
) -> None:
    async def dying(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("Some *text*"))
        await asyncio.sleep(0.05)  # lets the token out before the reset overtakes it
        peer.reset()

    async with playground(f"http://127.0.0.1:{free_tcp_port}") as url, browser(url) as client:
        async with tgi(dying, port=free_tcp_port):
            named = await events(client, HI)
        assert [name for name, _ in named] == ["receipt", "delta", "block", "error"]
        assert text_of(named) == "Some *text*"
        error = named[-1][1]
        assert set(error) == {"pane", "kind", "message", "retryable", "figures"}
        assert (error["kind"], error["retryable"]) == ("incomplete", True)
        state = (await client.get("/api/engine")).json()
        assert state["state"] == "offline"
        assert state["reason"]
        assert (await events(client, HI))[-1][1]["kind"] == "offline"
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200

        async def is_ready() -> bool:
            return bool((await client.get("/api/engine")).json()["state"] == "ready")

        async with tgi(writing(["Back"]), port=free_tcp_port):
            await until(is_ready)
            assert (await client.get("/readyz")).status_code == 200
            assert text_of(await events(client, HI)) == "Back"


async def test_says_what_the_engine_is() -> None:
    async with (
        tgi(writing(["Hi"])) as server,
        playground(server.url, engine_quantisation="FP8", prompt_format="chatml") as url,
        browser(url) as client,
    ):
        state = (await client.get("/api/engine")).json()
    assert (state["state"], state["reason"]) == ("ready", "")
    assert state["elapsed_s"] >= 0
    assert state["progress"] is None
    assert state["engine"] == {
        "kind": "tgi",
        "name": "TGI 3.3.7",
        "label": {"title": "model", "badge": "FP8 · TGI", "score": "", "is_default": False},
        "model_id": "some/model",
        "model_sha": "0123abc",
        "quantisation": "FP8",
        "prompt_format": "ChatML",
        "system_role": True,
        "default_system": "",
        "seeds": {
            "repeat": "alone",
            "condition": "The same seed repeats only if nothing else is being generated at the "
            "same time, for anybody.",
        },
        "slots": None,
        "max_input_tokens": 60,
        "max_total_tokens": 80,
        "max_stop_sequences": 4,
    }
    assert state["applied"]["min_p"]["how"] == "unsupported"
    assert state["applied"]["min_p"]["reason"]
    assert state["raw"] == INFO


class Downloading(TGIEngine):
    """An engine that says how far it is."""

    async def state(self) -> EngineState:
        progress = Progress("Downloading model.gguf", 1_200_000, 4_400_000, 25_000.0, 128.0)
        return EngineState("loading", time.time(), "The model is on its way.", progress=progress)


async def test_says_how_far_an_engine_is_that_is_loading() -> None:
    engine = Downloading(NOWHERE)
    async with opened(NOWHERE, made=engine) as (url, _), browser(url) as client:
        state = (await client.get("/api/engine")).json()
    assert (state["state"], state["reason"]) == ("loading", "The model is on its way.")
    assert state["engine"] is None
    assert state["progress"] == {
        "what": "Downloading model.gguf",
        "done": 1_200_000,
        "total": 4_400_000,
        "rate": 25_000.0,
        "left_s": 128.0,
    }


async def test_says_that_the_engine_is_loading(free_tcp_port: int) -> None:
    async with playground(f"http://127.0.0.1:{free_tcp_port}") as url, browser(url) as client:
        state = (await client.get("/api/engine")).json()
        ready = await client.get("/readyz")
        assert (await client.head("/readyz")).status_code == 503, "as programs ask that watch pages"
        assert (await client.head("/livez")).status_code == 200
    assert ready.json() == {"state": "loading"}, "and no address of the engine's"
    assert state["state"] == ready.json()["state"] == "loading"
    assert (state["engine"], state["applied"], state["raw"]) == (None, {}, None)
    assert state["reason"]
    assert ready.status_code == 503


async def test_lists_parameters_and_presets(
    idle_api: tuple[httpx.AsyncClient, list[Any]],
) -> None:
    client, _ = idle_api
    listed = (await client.get("/api/presets")).json()
    assert listed["parameters"] == [asdict(parameter) for parameter in PARAMETERS]
    assert [preset["id"] for preset in listed["presets"]] == [p.id for p in load_presets()]
    assert listed["presets"][0] == {
        "id": "alpacaeval",
        "name": "Balanced",
        "description": "The values behind the model's published score.",
        "source": load_presets()[0].source,
        "sampler": {"temperature": 0.7, "top_p": 0.95},
        "max_new_tokens": 2048,
        "default": False,
    }


async def test_measures_a_conversation_as_it_would_be_sent() -> None:
    turns = ["old " * 60, "b", "c <s>"]
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)
    ]
    async with over() as (client, _):
        measured = await client.post("/api/tokenize", json={"messages": messages})
        too_long = await client.post(
            "/api/tokenize", json={"messages": [{"role": "user", "content": "word " * 80}]}
        )
        wrong = await client.post("/api/tokenize", json={"messages": []})
    assert measured.json() == {
        "prompt_tokens": 5,
        "max_total_tokens": 80,
        "dropped_turns": 1,
        "prompt": "<|user|>\nc ‹s›\n<|assistant|>\n",
        "prompt_sha256": hashlib.sha256("<|user|>\nc ‹s›\n<|assistant|>\n".encode()).hexdigest(),
    }
    assert (too_long.status_code, too_long.json()["kind"]) == (422, "too_long")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "messages")


async def test_measuring_without_an_engine_says_so(free_tcp_port: int) -> None:
    async with playground(f"http://127.0.0.1:{free_tcp_port}") as url, browser(url) as client:
        response = await client.post("/api/tokenize", json={"messages": HI["messages"]})
    assert response.status_code == 503
    assert response.json()["kind"] == "loading"


async def test_renders_markdown(idle_api: tuple[httpx.AsyncClient, list[Any]]) -> None:
    client, _ = idle_api
    response = await client.post("/api/render", json={"text": "# Hi\n\n<b>*you*</b>"})
    assert response.json() == {
        "blocks": [
            '<h3 dir="auto">Hi</h3>\n',
            '<p dir="auto">&lt;b&gt;<em>you</em>&lt;/b&gt;</p>\n',
        ]
    }
    for wrong in (3, None, "x" * 50_001):
        refused = await client.post("/api/render", json={"text": wrong})
        assert (refused.status_code, refused.json()["field"]) == (422, "text")


async def test_keeps_a_silent_stream_alive_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.api.streaming.KEEP_ALIVE_S", 0.05)
    received = b""
    async with over(silent) as (client, _), client.stream("POST", "/api/stream", json=HI) as answer:
        async for part in answer.aiter_bytes():
            received += part
            if b": keep-alive\n\n" in received.partition(b"event: delta")[2]:
                break
    assert received.endswith(b"\n\n: keep-alive\n\n")


def point_the_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Make huggingface_hub take this for the Hub, as HF_ENDPOINT does when it is imported."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


async def test_the_card_is_ours_when_the_hub_is_away(
    monkeypatch: pytest.MonkeyPatch, free_tcp_port: int
) -> None:
    point_the_hub(monkeypatch, f"http://127.0.0.1:{free_tcp_port}")
    async with over(model_id="a/b") as (client, _):
        card = (await client.get("/api/card")).json()
    assert card["source"] == "bundled"
    assert card["url"] == f"http://127.0.0.1:{free_tcp_port}/a/b"
    assert "33.23" in card["html"]
    assert "<table>" in card["html"]


async def test_the_card_is_the_hubs_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = b"---\nlicense: apache-2.0\n---\n# The card\n<b>x</b> ![x](http://h/x.png)\n"

    async def hub(peer: Peer) -> None:
        await peer.answer(readme, content_type="text/plain; charset=utf-8")

    async with serving(hub) as files, over(model_id="a/b") as (client, server):
        point_the_hub(monkeypatch, files.url)
        first, second = [(await client.get("/api/card")).json() for _ in range(2)]
        assert [request.path for request in files.requests] == ["/a/b/resolve/main/README.md"]
    assert first == second
    assert (first["source"], first["url"]) == ("hub", f"{files.url}/a/b")
    assert first["html"].startswith('<h3 dir="auto">The card</h3>')
    assert "<img" not in first["html"]
    assert "<b>" not in first["html"]
    assert "license" not in first["html"]
    assert not server.requests, "the card does not wait for the engine"


async def test_half_a_character_is_named(stand_in_url: str) -> None:
    one = r'{"messages": [{"role": "user", "content": "a \ud83d"}]}'
    stop = r'{"messages": [{"role": "user", "content": "a"}], "panes": [{"stop": ["x", "\udc00"]}]}'
    bodies = (
        ("stream", one, "messages[0].content"),
        ("stream", stop, "panes[0].stop[1]"),
        ("tokenize", one, "messages[0].content"),
        ("render", r'{"text": "\ud800"}', "text"),
        ("render", r'"\ud800"', "body"),
        ("render", r'{"\ud800": "\ud800"}', "?"),
    )
    async with playground(stand_in_url) as url, browser(url) as client:
        for route, body, field in bodies:
            headers = {"content-type": "application/json"}
            answer = await client.post(f"/api/{route}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["field"]) == (422, field)
            assert "half of a character" in answer.json()["error"]


async def test_texts_to_be_cut_have_a_length_that_answers_have(stand_in_url: str) -> None:
    async with playground(stand_in_url) as url, browser(url) as client:
        answer = await client.post("/api/pieces", json={"texts": ["a", "b" * 50_001]})
    assert (answer.status_code, answer.json()["field"]) == (422, "texts[1]")
