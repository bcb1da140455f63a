"""Several engines behind one server: who answers, and what is left when one is away."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.application import NOWHERE, Application
from tests.engines_file import engines_file
from tests.servers import Server, stand_in
from tests.stock import until

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def stock() -> Iterator[Server]:
    """A second engine, which takes less than the first."""
    with stand_in("--max-total-tokens", "600") as server:
        yield server


@pytest.fixture(scope="module")
def site(
    stand_in_url: str, stock: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A playground with three engines, the last of them away."""
    file = engines_file(
        tmp_path_factory.mktemp("engines"), full=stand_in_url, stock=stock.url, gone=NOWHERE
    )
    with Application(engines_file=file) as server:
        yield server.url


@pytest.fixture
async def client(site: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site, timeout=30, trust_env=False) as client:
        yield client


async def answers(
    client: httpx.AsyncClient,
    body: Mapping[str, Any],
    *,
    at: str = "/api/stream",
    seen: Callable[[str, int], None] = lambda name, pane: None,
) -> list[dict[str, Any]]:
    """Of each pane its events by name, the joined deltas as `text`. seen: told of each event."""
    panes: dict[int, dict[str, Any]] = {}
    async with aconnect_sse(client, "POST", at, json=body) as source:
        assert source.response.status_code == 200, await source.response.aread()
        async for sent in source.aiter_sse():
            data = json.loads(sent.data)
            pane = panes.setdefault(data["pane"], {"text": ""})
            if sent.event == "delta":
                pane["text"] += data["text"]
            else:
                pane[sent.event] = data
            seen(sent.event, data["pane"])
    return [panes[i] for i in sorted(panes)]


async def test_each_pane_is_answered_by_its_engine(client: httpx.AsyncClient) -> None:
    settings = {"sampler": {"min_p": 0.2, "temperature": 0.8}, "max_new_tokens": 12, "seed": 5}
    chosen = [{}, {"engine": "full"}, {"engine": "stock"}, {"engine": "default"}]
    body = {"messages": HI, "panes": [{**settings, **each} for each in chosen]}
    panes = await answers(client, body)
    assert [pane["receipt"]["engine_id"] for pane in panes] == ["full", "full", "stock", "full"]
    assert [pane["receipt"]["applied"]["min_p"]["how"] for pane in panes] == [
        *("native", "native", "emulated", "native")
    ]
    assert [pane["receipt"]["emulated"] for pane in panes] == [{}, {}, {"min_p": 0.2}, {}]
    assert all(pane["receipt"]["left_out"] == {} for pane in panes)
    assert all(pane["done"]["generated_tokens"] for pane in panes)


async def test_an_engine_that_is_away_fails_its_own_panes_alone(client: httpx.AsyncClient) -> None:
    pane = {"max_new_tokens": 12, "seed": 5}
    body = {"messages": HI, "panes": [{**pane, "engine": "gone"}, pane, {**pane, "engine": "gone"}]}
    first, second, third = await answers(client, body)
    for each in (first, third):
        assert each["error"]["kind"] in ("offline", "loading")
        assert urlsplit(NOWHERE).netloc in each["error"]["message"]
        assert "receipt" not in each
    assert second["done"]["generated_tokens"]


async def test_an_engine_that_is_not_there_is_refused_with_those_that_are(
    client: httpx.AsyncClient,
) -> None:
    words = "There is no engine nobody on this server; there are full, stock, gone."
    bodies: list[tuple[str, dict[str, Any], str]] = [
        ("/api/stream", {"messages": HI, "panes": [{}, {"engine": "nobody"}]}, "panes[1].engine"),
        ("/api/tokenize", {"messages": HI, "engine": "nobody"}, "engine"),
        ("/api/pieces", {"texts": ["Hi"], "engine": "nobody"}, "engine"),
        ("/api/code", {"prompt": "Hi", "sent": {}, "engine": "nobody"}, "engine"),
        ("/api/proof", {"engine": "nobody"}, "engine"),
        (
            "/api/demos",
            {"title": "x", "panes": [{"engine": "nobody"}], "budget_tokens": 99},
            "panes[0].engine",
        ),
    ]
    for path, body, field in bodies:
        refusal = await client.post(path, json=body)
        assert refusal.status_code == 422, path
        assert refusal.json() == {"error": words, "kind": "invalid", "field": field}
    refusal = await client.get("/api/engine?engine=nobody")
    assert refusal.json() == {"error": words, "kind": "invalid", "field": "engine"}


async def test_what_is_asked_about_a_text_is_asked_of_the_engine_that_is_named(
    client: httpx.AsyncClient, stock: Server
) -> None:
    full, lean = [
        (await client.post("/api/tokenize", json={"messages": HI, "engine": engine})).json()
        for engine in (None, "stock")
    ]
    assert (full["max_total_tokens"] > 600, lean["max_total_tokens"]) == (True, 600)
    assert full["prompt"] == lean["prompt"]
    away = await client.post("/api/pieces", json={"texts": ["Hi there"], "engine": "gone"})
    there = await client.post("/api/pieces", json={"texts": ["Hi there"], "engine": "stock"})
    assert away.status_code in (502, 503)
    assert "".join(there.json()["pieces"][0]) == "Hi there"
    code = {"prompt": "Hi", "sent": {"max_new_tokens": 3}, "engine": "stock"}
    snippets = (await client.post("/api/code", json=code)).json()["snippets"]
    assert all(stock.url in each["code"] for each in snippets)
    assert (await client.post("/api/proof", json={"engine": "gone"})).status_code in (502, 503)
    assert (await client.get("/api/engine?engine=stock")).json()["applied"]["min_p"]["how"] == (
        "emulated"
    )
    assert (await client.get("/api/engine")).json()["applied"]["min_p"]["how"] == "native"


async def test_the_list_says_what_there_is_without_addresses(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/engines")
    full, lean, gone = answer.json()["engines"]
    assert [each["id"] for each in (full, lean, gone)] == ["full", "stock", "gone"]
    assert full == {
        "id": "full",
        "name": "FULL",
        "kind": "tgi",
        "model": full["model"],
        "state": "ready",
        "unsupported": [],
        "emulated": [],
        "seeds_repeat": full["seeds_repeat"],
    }
    assert full["model"] == lean["model"]
    assert gone == {
        "id": "gone",
        "name": "GONE",
        "kind": gone["kind"],
        "model": None,
        "state": gone["state"],
        "unsupported": [],
        "emulated": [],
        "seeds_repeat": None,
    }
    assert lean["unsupported"] == []
    assert sorted(lean["emulated"]) == ["frequency_penalty", "min_p", "presence_penalty"]
    assert gone["state"] != "ready"
    assert "127.0.0.1" not in answer.text


async def test_the_server_is_ready_while_one_of_its_engines_is(
    client: httpx.AsyncClient, tmp_path: Path, stand_in_url: str
) -> None:
    assert (await client.get("/readyz")).json() == {"state": "ready"}
    metrics = (await client.get("/metrics")).text
    assert 'playground_engine_state{engine="full",state="ready"} 1.0' in metrics
    assert 'playground_engine_state{engine="gone",state="ready"} 0.0' in metrics
    for second, status in ((stand_in_url, 200), (NOWHERE, 503)):
        file = engines_file(tmp_path, gone=NOWHERE, second=second)
        with Application(engines_file=file) as other:
            assert (await client.get(f"{other.url}/readyz")).status_code == status


async def test_an_engine_is_killed_in_mid_answer_and_comes_back(
    stand_in_url: str, tmp_path: Path
) -> None:
    long = {"max_new_tokens": 400, "seed": 1}
    story = {
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "panes": [{**long, "engine": "mortal"}, {**long, "engine": "steady"}],
    }
    short = {"messages": HI, "panes": [{"engine": "mortal", "max_new_tokens": 8}]}
    with stand_in("--tokens-per-second", "20") as mortal:

        def kill(name: str, pane: int) -> None:
            if (name, pane) == ("delta", 0):
                mortal.kill()

        file = engines_file(tmp_path, steady=stand_in_url, mortal=mortal.url)
        with Application(engines_file=file) as site:
            async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
                killed, steady = await answers(client, story, seen=kill)
                assert killed["text"]  # what was written stays
                assert killed["error"]["kind"] in ("incomplete", "offline")
                assert killed["error"]["retryable"]
                assert steady["done"]["generated_tokens"]

                async def is_in_state(state: str) -> bool:
                    answer = await client.get("/api/engine?engine=mortal")
                    return bool(answer.json()["state"] == state)

                await until(lambda: is_in_state("offline"))
                [away] = await answers(client, short)
                assert away["error"]["kind"] == "offline"
                with stand_in("--port", str(urlsplit(mortal.url).port)):
                    await until(lambda: is_in_state("ready"))
                    [back] = await answers(client, short)
                    assert back["done"]["generated_tokens"]
                    assert back["receipt"]["engine_id"] == "mortal"


async def test_a_demo_keeps_its_engines_and_says_when_one_is_gone(
    stand_in_url: str, stock: Server, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    pane = {"sampler": {"temperature": 0}, "max_new_tokens": 8}
    terms = {
        "title": "Two engines",
        "panes": [{**pane, "engine": "stock"}, pane],
        "budget_tokens": 1000,
    }
    file = engines_file(tmp_path, full=stand_in_url, stock=stock.url)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        with Application(engines_file=file, data_dir=data) as site:
            token = (await client.post(f"{site.url}/api/demos", json=terms)).json()["token"]
            demo = f"{site.url}/api/demos/{token}"
            shown = (await client.get(demo)).json()
            assert [each["engine"] for each in shown["panes"]] == ["stock", "full"]
            assert shown["notes"] == []
            panes = await answers(client, {"messages": HI}, at=f"{demo}/stream")
            assert [each["receipt"]["engine_id"] for each in panes] == ["stock", "full"]
            spent = (await client.get(f"{site.url}/api/demos")).json()["demos"][0]["spent"]
            assert spent == sum(each["done"]["generated_tokens"] for each in panes)
        file = engines_file(tmp_path, full=stand_in_url)
        with Application(engines_file=file, data_dir=data) as site:
            shown = (await client.get(f"{site.url}/api/demos/{token}")).json()
    assert [each["engine"] for each in shown["panes"]] == ["full", "full"]
    assert shown["notes"] == ["Column 1: the engine stock is not there any more; full answers."]


async def test_without_emulation_its_parameters_are_said_to_be_left_out(stock: Server) -> None:
    asked = {"sampler": {"min_p": 0.2, "temperature": 0.8}, "max_new_tokens": 4, "seed": 5}
    with Application(stock.url, emulation=False) as site:
        async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
            [listed] = (await client.get("/api/engines")).json()["engines"]
            applied = (await client.get("/api/engine")).json()["applied"]
            [pane] = await answers(client, {"messages": HI, "panes": [asked]})
    lacking = ["frequency_penalty", "min_p", "presence_penalty"]
    assert (listed["emulated"], sorted(listed["unsupported"])) == ([], lacking)
    assert [applied[name]["how"] for name in lacking] == ["unsupported"] * 3
    assert "Emulation is off" in applied["min_p"]["reason"]
    receipt = pane["receipt"]
    assert (receipt["emulate"], receipt["emulated"]) == (False, {})
    assert "Emulation is off" in receipt["left_out"]["min_p"]
    assert "min_p" not in receipt["sent"]
    assert pane["done"]["emulation"] is None


async def test_an_answer_is_given_up_at_the_share_of_restarts_that_is_set(stock: Server) -> None:
    sampler = {"frequency_penalty": 2, "presence_penalty": 2, "temperature": 1}
    asked = {"sampler": sampler, "max_new_tokens": 60, "seed": 5}
    with Application(stock.url, emulation_restarts=0.01) as site:
        async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
            [pane] = await answers(client, {"messages": HI, "panes": [asked]})
            kept = {**asked, "sampler": {"min_p": 0.05, "temperature": 0.1}}
            await answers(client, {"messages": HI, "panes": [kept]})
            metrics = (await client.get("/metrics")).text.splitlines()
    assert "no longer be emulated" in pane["notice"]["text"]
    took = pane["done"]["emulation"]
    assert took["given_up_at"] >= 20
    told = dict(line.rsplit(" ", 1) for line in metrics if "emulat" in line and line[0] != "#")
    for outcome in ("kept", "given_up"):
        assert told[f'playground_emulated_answers_total{{outcome="{outcome}"}}'] == "1.0"
    assert float(told["playground_emulation_restarts_total"]) == took["restarts"] > 0
    rejected = float(told['playground_emulated_tokens_total{verdict="rejected"}'])
    assert rejected == took["proposed"] - took["accepted"] > 0
    assert float(told['playground_emulated_tokens_total{verdict="accepted"}']) > took["accepted"]


async def test_a_top_p_that_is_1_in_tgis_numbers_is_left_out_and_it_is_said(stock: Server) -> None:
    pane = {"sampler": {"temperature": 1, "top_p": 0.99999999}, "max_new_tokens": 12, "seed": 5}
    with Application(stock.url) as site:
        async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
            [wide] = await answers(client, {"messages": HI, "panes": [pane]})
    assert "top_p" not in wide["receipt"]["sent"]
    assert wide["receipt"]["left_out"]["top_p"] == "0.99999999 is 1 in the engine's 32 bits."
    assert wide["done"]["generated_tokens"]


async def test_a_demo_pays_for_what_its_emulation_rejects_and_keeps_within_its_budget(
    stock: Server,
) -> None:
    sampler = {"temperature": 1.2, "min_p": 0.2}
    pane = {"sampler": sampler, "seed": 5, "max_new_tokens": 40}
    terms = {"title": "Min-p", "panes": [pane], "budget_tokens": 400}
    visits: list[dict[str, Any]] = []
    with Application(stock.url) as site:
        async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
            token = (await client.post("/api/demos", json=terms)).json()["token"]
            demo = f"/api/demos/{token}"
            while not (await client.get(demo)).json()["used_up"]:
                visits += await answers(client, {"messages": HI}, at=f"{demo}/stream")
            [account] = (await client.get("/api/demos")).json()["demos"]
    first, second, *_ = visits
    assert first["text"] == second["text"] != ""
    for each in visits:
        assert each["receipt"]["emulated"] == {"min_p": 0.2}
        assert each["done"]["emulation"]["proposed"] >= each["done"]["generated_tokens"]
    assert first["done"]["emulation"]["restarts"] > 0
    assert sum(each["done"]["generated_tokens"] for each in visits) < account["spent"] <= 400
