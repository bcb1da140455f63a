"""Comparisons over HTTP: independent panes, the stop of one, blind rounds, tokens of texts."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from playground.domain.presets import load_presets
from playground.generation.blind import Seal
from tests.api.test_routes import browser, events, over, text_of
from tests.faults import Peer, error_event, event
from tests.stock import generations, playground, tgi, tokens, writing

QUESTION: Mapping[str, Any] = {"role": "user", "content": "Hi"}
HI: Mapping[str, Any] = {"messages": [QUESTION]}
SECRET = "a secret that two replicas share"


def seed(peer: Peer) -> int:
    return int(peer.request.json()["parameters"]["seed"])


def ends(named: list[tuple[str, Any]]) -> dict[int, list[Any]]:
    """What each pane ended with: "done" or the error's kind."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for name, data in named:
        if name in ("done", "error"):
            found[data["pane"]].append(data.get("kind", name))
    return dict(found)


async def test_one_is_refused_one_dies_one_is_stopped_and_the_fourth_finishes() -> None:
    stopped_gone = asyncio.Event()
    fate = {"refused": True, "dying": True}

    async def script(peer: Peer) -> None:
        match seed(peer):
            case 1 if fate["refused"]:
                body = b'{"error":"Model is overloaded","error_type":"overloaded"}'
                await peer.answer(body, status=429)
                return
            case 2 if fate["dying"]:
                await peer.head()
                await peer.send(event("half"))
                peer.reset()
                return
            case 3 if not stopped_gone.is_set():
                await peer.head()
                await peer.send(event("silent"))
                await peer.gone()
                stopped_gone.set()
                return
        await peer.head()
        if seed(peer) == 4:
            await peer.send(event("going"))
            await stopped_gone.wait()
        await peer.send(b"".join(tokens([" on"], "eos_token")))

    panes = [{"seed": each} for each in (1, 2, 3, 4)]
    async with over(script) as (client, _):
        named = []
        async with aconnect_sse(client, "POST", "/api/stream", json={**HI, "panes": panes}) as s:
            number = s.response.headers["x-stream-id"]
            async for each in s.aiter_sse():
                named.append((each.event, each.json()))
                if named[-1] == ("delta", {"pane": 2, "text": "silent"}):
                    answer = await client.delete(f"/api/stream/{number}/panes/2")
                    assert answer.status_code == 204
        assert ends(named) == {0: ["overloaded"], 1: ["incomplete"], 2: ["stopped"], 3: ["done"]}
        assert [text_of(named, pane) for pane in range(4)] == ["", "half", "silent", "going on"]
        messages = {d["pane"]: d["message"] for name, d in named if name == "error"}
        assert len(set(messages.values())) == 3
        assert all(d["retryable"] for name, d in named if name == "error")
        fate.update(refused=False, dying=False)
        for each_seed in (1, 2, 3):
            again = await events(client, {**HI, "panes": [{"seed": each_seed}]})
            assert ends(again) == {0: ["done"]}


async def test_a_stopped_pane_closes_its_silent_engine_at_once_and_no_other() -> None:
    gone: dict[int, asyncio.Event] = {1: asyncio.Event(), 2: asyncio.Event()}
    begun = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.head()
        begun.release()
        await peer.gone()
        gone[seed(peer)].set()

    panes = [{"seed": 1}, {"seed": 2}]
    async with (
        over(script) as (client, _),
        aconnect_sse(client, "POST", "/api/stream", json={**HI, "panes": panes}) as source,
    ):
        number = source.response.headers["x-stream-id"]
        await begun.acquire()
        await begun.acquire()
        await client.delete(f"/api/stream/{number}/panes/0")
        async with asyncio.timeout(10):
            await gone[1].wait()
        assert not gone[2].is_set()
        again = await client.delete(f"/api/stream/{number}/panes/0")
        assert again.status_code == 204


@pytest.mark.parametrize("pane", ["2", "-1", "first", "9" * 5000], ids=lambda pane: pane[:9])
async def test_a_pane_that_is_not_there_cannot_be_stopped(pane: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with (
        over(script) as (client, _),
        aconnect_sse(client, "POST", "/api/stream", json={**HI, "panes": [{}, {}]}) as source,
    ):
        number = source.response.headers["x-stream-id"]
        answer = await client.delete(f"/api/stream/{number}/panes/{pane}")
        assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")


async def test_a_stream_that_has_ended_cannot_be_stopped() -> None:
    async with over(writing(["fine"])) as (client, _):
        response = await client.post("/api/stream", json={**HI, "panes": [{}, {}]})
        number = response.headers["x-stream-id"]
        assert len(number) == 32
        answer = await client.delete(f"/api/stream/{number}/panes/0")
        assert answer.status_code == 404
        other = await client.post("/api/stream", json={**HI, "panes": [{}]})
        assert other.headers["x-stream-id"] != number


async def test_no_pane_is_empty_while_another_one_has_half_its_text() -> None:
    """By the order of events: every pane writes ten texts, each after all wrote the one before."""
    barrier = asyncio.Barrier(4)
    texts = [f" {n}" for n in range(10)]

    async def script(peer: Peer) -> None:
        await peer.head()
        for part in tokens(texts, "length"):
            await barrier.wait()
            await peer.send(part)

    async with over(script) as (client, _):
        named = await events(client, {**HI, "panes": [{}] * 4})
    written = [""] * 4
    for name, data in named:
        if name == "delta":
            written[data["pane"]] += data["text"]
            if len(written[data["pane"]]) * 2 >= len("".join(texts)):
                assert all(written), written
    assert ends(named) == {pane: ["done"] for pane in range(4)}


async def test_every_pane_has_its_own_conversation() -> None:
    mine = [{"role": "user", "content": "Mine"}]
    async with over(writing(["ok"])) as (client, server):
        await events(client, {**HI, "panes": [{}, {"messages": mine}]})
        prompts = sorted(body["inputs"] for body in generations(server))
    assert prompts == [f"<|user|>\n{text}\n<|assistant|>\n" for text in ("Hi", "Mine")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**HI, "panes": []}, "panes"),
        ({**HI, "panes": [{}] * 5}, "panes"),
        ({**HI, "panes": [{}, {"preset": "none"}]}, "panes[1].preset"),
        ({**HI, "panes": [{}, {"messages": []}]}, "panes[1].messages"),
        ({**HI, "panes": [{"messages": [QUESTION]}, {"messages": [QUESTION]}]}, "messages"),
        ({"panes": [{"messages": [QUESTION]}, {}]}, "messages"),
        ({**HI, "panes": [{}, {"sampler": {"top_k": 2.5}}]}, "panes[1].sampler.top_k"),
        ({**HI, "panes": [{}], "blind": True}, "blind"),
        ({**HI, "panes": [{}, {}], "blind": "yes"}, "blind"),
    ],
)
async def test_a_wrong_comparison_is_refused_and_starts_nothing(
    body: Mapping[str, Any], field: str
) -> None:
    async with over(writing(["never"])) as (client, server):
        answer = await client.post("/api/stream", json=body)
        assert answer.status_code == 422
        assert answer.json()["field"] == field
        assert generations(server) == []


def blind(panes: list[dict[str, Any]]) -> dict[str, Any]:
    return {**HI, "panes": panes, "blind": True}


ROUND = [
    {"preset": "alpacaeval", "seed": 1, "stop": ["ENOUGH", "STOP"]},
    {"preset": "huggingchat", "seed": 1},
    {"preset": "min-p", "seed": 1},
    {"sampler": {"temperature": 0}, "seed": 1},
]


async def test_a_blind_round_tells_nothing_before_the_reveal_and_all_after_it() -> None:
    async with over(writing(["Once", " upon", " a time"])) as (client, _):
        response = await client.post("/api/stream", json=blind(ROUND))
        assert response.status_code == 200
        named = []
        for block in response.text.strip().split("\n\n"):
            name, data = block.split("\n")
            named.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        allowed = {
            "receipt": {"pane", "sealed"},
            "done": {"pane", "sealed"},
            "delta": {"pane", "text"},
            "block": {"pane", "index", "html"},
        }
        assert all(set(data) == allowed[name] for name, data in named)
        # Nothing in the answer names a preset or a parameter, and the seals differ in nothing that
        # could be measured from outside.
        told = response.text + str(response.headers)
        for word in ("Balanced", "alpacaeval", "temperature", "top_p", "min_p", "ENOUGH"):
            assert word not in told
        seals = [data["sealed"] for name, data in named if "sealed" in data]
        assert len(seals) == 8
        assert len({len(seal) for seal in seals}) == 1
        opened = (await client.post("/api/reveal", json={"sealed": seals})).json()["opened"]
    by_shown: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    shown = [data["pane"] for _, data in named if "sealed" in data]
    for pane, each in zip(shown, opened, strict=True):
        by_shown[pane].update(each)
    assert sorted(each["pane"] for each in by_shown.values()) == [0, 1, 2, 3]
    names = {preset.id: preset.name for preset in load_presets()}
    for each in by_shown.values():
        asked: dict[str, Any] = ROUND[each["pane"]]
        assert each["receipt"]["preset"] == names.get(asked.get("preset", ""))
        assert each["done"]["generated_tokens"] == 3


async def test_a_blind_round_is_shuffled_anew_each_time() -> None:
    """Four panes in 12 rounds: the same order each time has a chance of 24 to the -11."""
    orders = set()
    async with over(writing(["x"])) as (client, _):
        for _ in range(12):
            named = await events(client, blind(ROUND))
            seals = {data["pane"]: data["sealed"] for name, data in named if name == "done"}
            answer = await client.post("/api/reveal", json={"sealed": [seals[i] for i in range(4)]})
            orders.add(tuple(each["pane"] for each in answer.json()["opened"]))
    assert len(orders) > 1


async def test_a_failure_in_a_blind_round_tells_its_reason_at_the_reveal() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if "top_k" in peer.request.json()["parameters"]:
            await peer.send(error_event("top_k and the moon", "generation"))
        else:
            await peer.send(b"".join(tokens(["fine"], "eos_token")))

    async with over(script) as (client, _):
        named = await events(client, blind(ROUND))
        [failed] = [data for name, data in named if name == "error"]
        assert failed["kind"] == "sealed"
        assert "moon" not in failed["message"]
        answer = await client.post("/api/reveal", json={"sealed": [failed["sealed"]]})
    [opened] = answer.json()["opened"]
    assert opened["pane"] == 1
    assert "moon" in opened["error"]["message"]


async def test_a_replica_with_the_same_secret_opens_the_seals_and_another_does_not() -> None:
    async with (
        tgi(writing(["x"])) as server,
        playground(server.url, secret=SECRET) as first,
        playground(server.url, secret=SECRET) as second,
        playground(server.url) as third,
        browser(first) as client,
    ):
        named = await events(client, blind(ROUND))
        seals = {"sealed": [data["sealed"] for _, data in named if "sealed" in data]}
        assert (await httpx_post(second, seals)).status_code == 200
        refused = await httpx_post(third, seals)
        assert refused.status_code == 422
        assert refused.json()["field"] == "sealed[0]"
        assert "PLAYGROUND_SECRET" in refused.json()["error"]


async def httpx_post(url: str, body: Mapping[str, Any]) -> httpx.Response:
    async with browser(url) as client:
        return await client.post("/api/reveal", json=body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "sealed"),
        ({"sealed": []}, "sealed"),
        ({"sealed": ["x"] * 9}, "sealed"),
        ({"sealed": [1]}, "sealed[0]"),
        ({"sealed": ["not a seal"]}, "sealed[0]"),
        ({"sealed": ["é"]}, "sealed[0]"),
    ],
)
async def test_what_is_no_seal_is_refused(body: Mapping[str, Any], field: str) -> None:
    async with over(writing(["x"])) as (client, _):
        answer = await client.post("/api/reveal", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_seal_that_was_changed_is_refused() -> None:
    seal = Seal(SECRET)
    token = seal.close({"pane": 1}, 64)
    assert seal.open(token, "sealed") == {"pane": 1}
    with pytest.raises(Exception, match="cannot be opened"):
        seal.open(token[:-4] + "AAA=", "sealed")


async def test_texts_are_cut_into_the_engines_tokens(stand_in_url: str) -> None:
    texts = ["A lighthouse keeper named Ada.", "Zürich 🏠!", ""]
    async with playground(stand_in_url) as url, browser(url) as client:
        answer = await client.post("/api/pieces", json={"texts": texts})
        pieces = answer.json()["pieces"]
        assert ["".join(each) for each in pieces] == texts
        assert 3 < len(pieces[0]) < len(texts[0])
        assert all(piece for each in pieces for piece in each)
        wrong = await client.post("/api/pieces", json={"texts": "A"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "texts")


async def test_an_engine_that_is_away_cuts_nothing_and_says_so(free_tcp_port: int) -> None:
    async with playground(f"http://127.0.0.1:{free_tcp_port}") as url, browser(url) as client:
        answer = await client.post("/api/pieces", json={"texts": ["A"]})
    assert answer.status_code == 503
    assert answer.json()["kind"] == "loading"  # or so it may be, as nothing was ever there
