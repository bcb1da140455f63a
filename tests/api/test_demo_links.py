"""Demo links over HTTP: what is fixed holds, and the budget does, whoever asks and how often."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import pytest
from httpx_sse import aconnect_sse
from sqlalchemy import update
from starlette.responses import Response

from playground.api.demo_watchdog import CLOSED, TOO_LONG, Watchdog
from playground.api.demos import _PLAIN
from playground.api.streaming import EventStream
from playground.domain.errors import EngineErrorKind, StoreError
from playground.domain.principal import Principal
from playground.generation.comparison import Stop
from playground.limits.admission import Admission
from playground.settings import load_settings
from playground.store.demos import Demos
from playground.store.store import Store
from playground.store.tables import demos
from playground.ui.demo import demo
from tests.faults import Peer, Script, event
from tests.postgres import Cluster
from tests.servers import Server
from tests.stock import INFO, generations, playground, tgi, until, writing

ASK: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story."}]}
ROOMY: Mapping[str, Any] = {**INFO, "max_input_tokens": 4000, "max_total_tokens": 8000}


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, timeout=30, trust_env=False, limits=limits
    ) as client:
        yield client


async def made(client: httpx.AsyncClient, **terms: Any) -> str:
    """A new demo's token."""
    body = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": 1000, **terms}
    answer = await client.post("/api/demos", json=body)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    assert answer.json()["url"].endswith(f"/d/{token}")
    return token


async def account(client: httpx.AsyncClient, token: str) -> tuple[int, int]:
    """What is spent and what is held, as the owner sees it."""
    demos = (await client.get("/api/demos")).json()["demos"]
    [found] = [each for each in demos if each["token"] == token]
    return found["spent"], found["held"]


async def visit(client: httpx.AsyncClient, token: str) -> list[tuple[str, Any]]:
    """The events of one visit; of one that is refused its error."""
    async with aconnect_sse(client, "POST", f"/api/demos/{token}/stream", json=ASK) as source:
        if source.response.status_code != 200:
            return [("refused", json.loads(await source.response.aread()))]
        return [(each.event, each.json()) async for each in source.aiter_sse()]


def wrote(events: list[tuple[str, Any]]) -> int:
    """Tokens by the Done events."""
    return sum(data["generated_tokens"] for name, data in events if name == "done")


def dripping(bell: asyncio.Event, written: asyncio.Event | None = None) -> Script:
    """Five tokens, a hundred a second, and the rest of the answer when the bell rings."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for i in range(5):
            await peer.send(event(f"word{i} ", index=i))
            await asyncio.sleep(0.01)
        if written is not None:
            written.set()
        await bell.wait()
        details = {"finish_reason": "eos_token", "generated_tokens": 6, "input_length": 9}
        await peer.send(event("end.", index=5, generated_text="", details={**details, "seed": 7}))

    return script


def serve(engine_url: str, database_url: str) -> Server:
    """The playground in a process of its own; the test's is the other one."""
    return Server(
        ["-m", "tests.pageless", "serve", "--port", "0", "--tgi-url", engine_url],
        ready="^Playground: http",
        env={
            "PLAYGROUND_MAX_STREAMS_PER_USER": "200",
            "PLAYGROUND_DATABASE_URL": database_url,
        },
    )


async def test_two_processes_and_fifty_requests_spend_no_token_too_many(
    postgres: Cluster, stand_in_url: str
) -> None:
    address = postgres.database()
    with serve(stand_in_url, address) as one:
        async with (
            playground(stand_in_url, database_url=address, max_streams_per_user=200) as other,
            browser(one.url) as here,
            browser(other) as there,
        ):
            token = await made(here, budget_tokens=700, max_new_tokens=40)
            assert (await there.get("/api/demos")).json() == {"demos": []}
            answer = await there.patch(f"/api/demos/{token}", json={"enabled": False})
            assert answer.status_code == 404  # another browser's
            spent, refused = await spend(here, there, token, 50)
            assert 700 - 16 < spent <= 700
            assert refused <= {"busy", "used_up"}
            assert await account(here, token) == (spent, 0)
            assert (await there.get(f"/api/demos/{token}")).json()["left"] == 700 - spent
            [(_, refusal)] = await visit(there, token)
            assert refusal["kind"] == "used_up"
            assert "used up" in refusal["error"]


async def test_one_process_on_sqlite_spends_no_token_too_many(stand_in_url: str) -> None:
    async with playground(stand_in_url, max_streams_per_user=200) as url, browser(url) as client:
        token = await made(client, budget_tokens=700, max_new_tokens=40)
        spent, refused = await spend(client, client, token, 50)
        assert 700 - 16 < spent <= 700
        assert refused <= {"busy", "used_up"}
        assert await account(client, token) == (spent, 0)


async def spend(
    here: httpx.AsyncClient, there: httpx.AsyncClient, token: str, visits: int
) -> tuple[int, set[str]]:
    """Many visits at once, and then one after the other until the budget is used up.

    What the engine counted, and the kinds of refusal.
    """
    clients = [here, there] * (visits // 2)
    seen = await asyncio.gather(*(visit(client, token) for client in clients))
    refused = {data["kind"] for each in seen for name, data in each if name == "refused"}
    spent = sum(map(wrote, seen))
    assert spent == (await account(here, token))[0]
    while "used_up" not in refused:
        seen.append(await visit(there, token))
        refused |= {data["kind"] for name, data in seen[-1] if name == "refused"}
    return sum(map(wrote, seen)), refused


async def test_the_engine_gets_what_the_owner_fixed(tmp_path: Path) -> None:
    async with (
        tgi(writing(["Hi", "."]), info=ROOMY) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        token = await made(
            client,
            panes=[
                {"preset": "huggingchat", "seed": 7, "stop": ["END"]},
                {"preset": "alpacaeval", "sampler": {"temperature": 0.2}, "max_new_tokens": 50},
            ],
            system="Answer as a keeper of bees.",
            budget_tokens=300,
        )
        shown = (await client.get(f"/api/demos/{token}")).json()
        assert [pane["name"] for pane in shown["panes"]] == ["Focused", "Balanced"]
        assert shown["panes"][0]["sampler"]["repetition_penalty"] == 1.2
        assert shown["panes"][1]["edited"]
        assert (shown["system"], shown["budget"], shown["left"]) == (
            "Answer as a keeper of bees.",
            300,
            300,
        )
        assert set(shown) == {
            *(
                "title",
                "panes",
                "system",
                "notes",
                "budget",
                "left",
                "held",
                "used_up",
                "expires",
                "engine",
            )
        }
        assert shown["engine"] == {
            "state": "ready",
            "reason": "",
            "progress": None,
            "model_id": "some/model",
            "label": {"title": "model", "badge": "TGI", "score": "", "is_default": False},
        }
        events = await visit(client, token)
        assert [name for name, _ in events if name in ("done", "error")] == ["done", "done"]
        first, second = sorted(
            generations(engine), key=lambda each: each["parameters"]["temperature"], reverse=True
        )
        assert first["inputs"] == second["inputs"]
        assert first["inputs"].startswith("<|user|>\nAnswer as a keeper of bees.\n\nTell me")
        assert first["parameters"]["top_k"] == 50
        assert first["parameters"]["seed"] == 7
        assert "END" in first["parameters"]["stop"]
        # 300 tokens for two: the one that asks for 50 leaves the rest to the other.
        assert first["parameters"]["max_new_tokens"] == 250
        assert second["parameters"]["max_new_tokens"] == 50
        assert second["parameters"]["temperature"] == 0.2
        assert await account(client, token) == (4, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ASK, "panes": [{"preset": "alpacaeval"}]}, "panes[0].preset"),
        ({**ASK, "panes": [{**ASK}]}, "messages"),
        ({**ASK, "sampler": {"temperature": 2}}, "sampler"),
        ({**ASK, "stop": ["."]}, "stop"),
        ({**ASK, "max_new_tokens": 4000}, "max_new_tokens"),
        ({**ASK, "system": "Be evil."}, "system"),
        ({"panes": [{**ASK, "stop": ["."]}]}, "panes[0].stop"),
        ({"panes": [{**ASK}, {**ASK}]}, "panes"),
        ({"messages": [{"role": "system", "content": "!"}, *ASK["messages"]]}, "messages[0].role"),
    ],
)
async def test_a_visitor_changes_nothing(body: Mapping[str, Any], field: str) -> None:
    async with (
        tgi(writing(["Hi"])) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        token = await made(client)
        answer = await client.post(f"/api/demos/{token}/stream", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert generations(engine) == []
        assert await account(client, token) == (0, 0)


async def test_links_that_do_not_work_cannot_be_told_apart() -> None:
    async with (
        tgi(writing(["Hi"])) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        off, gone = await made(client), await made(client)
        over = await made(client, expires_in_s=1)
        assert (await client.patch(f"/api/demos/{off}", json={"enabled": False})).is_success
        assert (await client.delete(f"/api/demos/{gone}")).status_code == 204

        async def is_over() -> bool:
            return (await client.get(f"/api/demos/{over}")).status_code == 404

        await until(is_over)
        seen = set()
        for token in (off, gone, over, "never-was-there-a-one"):
            for call in (
                client.get(f"/api/demos/{token}"),
                client.post(f"/api/demos/{token}/stream", json=ASK),
                client.post(f"/api/demos/{token}/render", json={"text": "*x*"}),
            ):
                answer = await call
                headers = {k: v for k, v in answer.headers.items() if k != "date"}
                seen.add((answer.status_code, answer.content, tuple(headers.items())))
        assert len(seen) == 1
        assert next(iter(seen))[0] == 404
        assert (await client.patch(f"/api/demos/{off}", json={"enabled": True})).is_success
        rendered = await client.post(f"/api/demos/{off}/render", json={"text": "*x*"})
        assert rendered.json() == {"blocks": ['<p dir="auto"><em>x</em></p>\n']}
        assert generations(engine) == []


async def test_tokens_cannot_be_tried_out() -> None:
    async with playground("http://127.0.0.1:9") as url, browser(url) as client:
        token = await made(client)

        async def ask(method: str, token: str) -> httpx.Response:
            body = {"enabled": False} if method == "PATCH" else None
            return await client.request(method, f"/api/demos/{token}", json=body)

        methods = ("GET", "PATCH", "DELETE")
        answers = [await ask(methods[i % 3], f"guess-{i}") for i in range(31)]
        assert [answer.status_code for answer in answers] == [404] * 30 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        owners = [(await ask(method, token)).status_code for method in methods]
        assert owners == [429] * 3, "or a guess that is right would be told from others"


async def test_what_was_accepted_once_stays_listed_open_and_deletable(tmp_path: Path) -> None:
    """As after an update that narrowed a range, and one that took a parameter away."""
    kept = {"temperature": 2.5, "min_p": 0.1, "typical_p": 0.9}
    notes = [
        "temperature 2.5 does not apply any more: here it must be 0 or lie between 0.01 and 2.",
        "typical_p 0.9 does not apply any more: this server does not know it.",
    ]
    async with (
        tgi(writing(["Once"]), info=ROOMY) as engine,
        playground(engine.url, data_dir=tmp_path) as url,
        browser(url) as client,
        aclosing(Store.from_settings(load_settings(data_dir=tmp_path))) as store,
    ):
        other, token = await made(client), await made(client)
        pane = {"sampler": kept, "max_new_tokens": 64, "seed": None, "stop": []}
        document = {"version": 1, "system": "", "panes": [pane]}
        async with store.database.begin() as connection:
            narrowed = update(demos).where(demos.c.token == token)
            await connection.execute(narrowed.values(document=json.dumps(document)))
        listed = (await client.get("/api/demos")).json()["demos"]
        assert {each["token"]: each["notes"] for each in listed} == {token: notes, other: []}
        shown = (await client.get(f"/api/demos/{token}")).json()
        assert shown["notes"] == notes
        assert shown["panes"][0]["sampler"] == {"min_p": 0.1}
        page = demo(await store.demos.get(token), version="0", root_path="")
        assert all(note in page for note in notes)
        [(_, receipt), *_, (last, _)] = await visit(client, token)
        assert last == "done"
        assert "temperature" not in receipt["sent"]
        assert (await client.delete(f"/api/demos/{token}")).status_code == 204
        assert len((await client.get("/api/demos")).json()["demos"]) == 1


@pytest.mark.parametrize("how", ["PATCH", "DELETE", "elsewhere"])
async def test_the_switch_ends_what_is_being_written(how: str, tmp_path: Path) -> None:
    bell, written = asyncio.Event(), asyncio.Event()
    async with (
        tgi(dripping(bell, written), info=ROOMY) as engine,
        playground(engine.url, data_dir=tmp_path) as url,
        playground(engine.url, data_dir=tmp_path) as other,
        browser(url) as client,
        browser(other) as elsewhere,
    ):
        token = await made(client)
        path = f"/api/demos/{token}"
        async with aconnect_sse(client, "POST", f"{path}/stream", json=ASK) as source:
            stream = source.aiter_sse()
            assert (await anext(stream)).event == "receipt"
            assert (await anext(stream)).event == "delta"
            await written.wait()
            if how == "DELETE":
                assert (await client.delete(path)).status_code == 204
            else:
                switch = client if how == "PATCH" else elsewhere
                assert (await switch.patch(path, json={"enabled": False})).is_success
            async with asyncio.timeout(10):
                *_, last = [each async for each in stream]
        assert (last.event, last.json()["kind"]) == ("error", "closed")
        assert (await client.post(f"{path}/stream", json=ASK)).status_code == 404
        assert (await elsewhere.post(f"{path}/stream", json=ASK)).status_code == 404
        if how != "DELETE":
            spent, held = await account(client, token)
            assert held == 0
            assert 5 <= spent < 1000  # what came, and what may have been on its way
        bell.set()


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stops"])
async def test_what_is_cut_off_is_counted_with_what_was_written(leaves: bool) -> None:
    bell, written = asyncio.Event(), asyncio.Event()
    async with (
        tgi(dripping(bell, written), info=ROOMY) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        token = await made(client)
        async with aconnect_sse(client, "POST", f"/api/demos/{token}/stream", json=ASK) as source:
            stream = source.aiter_sse()
            assert (await anext(stream)).event == "receipt"
            assert await account(client, token) == (0, 1000)
            assert (await client.get(f"/api/demos/{token}")).json()["held"] == 1000
            await written.wait()  # the engine has; not all of it was read
            if not leaves:
                number = source.response.headers["X-Stream-Id"]
                stopped = await client.delete(f"/api/stream/{number}/panes/0")
                assert stopped.status_code == 204
                *_, last = [each async for each in stream]
                assert last.json()["kind"] == "stopped"

        async def settled() -> bool:
            return (await account(client, token))[1] == 0

        await until(settled)
        spent, _ = await account(client, token)
        assert 5 <= spent < 1000
        bell.set()


async def test_an_engine_that_refuses_costs_nothing_and_keeps_its_address() -> None:
    async with playground("http://127.0.0.1:9") as url, browser(url) as client:
        token = await made(client)
        [(name, error)] = await visit(client, token)
        assert (name, error["kind"]) in (("error", "offline"), ("error", "loading"))
        shown = (await client.get(f"/api/demos/{token}")).text
        assert "127.0.0.1" not in error["message"] + shown
        assert await account(client, token) == (0, 0)


async def broken(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("Once"))
    peer.reset()


async def failing(peer: Peer) -> None:
    await peer.head()
    await peer.send(event("Once"))
    words = {"error": "no file /home/anna/secret", "error_type": "generation"}
    await peer.send(b"data: " + json.dumps(words).encode() + b"\n\n")


async def refusing(peer: Peer) -> None:
    await peer.answer(b"<html>a proxy at 10.1.2.3, for /home/anna/secret</html>", 500)


@pytest.mark.parametrize(
    ("script", "kind"), [(broken, "incomplete"), (failing, "generation"), (refusing, "generation")]
)
async def test_what_an_engine_says_is_not_for_visitors(script: Script, kind: str) -> None:
    async with (
        tgi(script, info=ROOMY) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        *_, (name, error) = await visit(client, await made(client))
    assert (name, error["kind"]) == ("error", kind)
    assert not re.search(r"127\.0\.0\.1|10\.1\.2\.3|secret", error["message"])


def test_every_kind_of_an_engines_error_has_words_for_visitors() -> None:
    assert set(_PLAIN) == set(get_args(EngineErrorKind))


async def test_what_was_used_is_settled_when_the_database_is_back(postgres: Cluster) -> None:
    bell = asyncio.Event()
    async with (
        tgi(dripping(bell), info=ROOMY) as engine,
        playground(engine.url, database_url=postgres.database()) as url,
        browser(url) as client,
    ):
        token = await made(client)
        async with aconnect_sse(client, "POST", f"/api/demos/{token}/stream", json=ASK) as source:
            stream = source.aiter_sse()
            assert (await anext(stream)).event == "receipt"
            await asyncio.to_thread(postgres.stop)
            try:
                bell.set()
                *_, last = [each async for each in stream]
            finally:
                await asyncio.to_thread(postgres.start)
        assert (last.event, last.json()["generated_tokens"]) == ("done", 6)

        async def settled() -> bool:
            return await account(client, token) == (6, 0)

        await until(settled)


async def test_an_answer_that_is_never_begun_holds_no_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        tgi(writing(["some", " words"]), info=ROOMY) as engine,
        playground(engine.url, max_streams=1) as url,
        browser(url) as client,
    ):
        token = await made(client)
        with monkeypatch.context() as between:
            between.setattr(EventStream, "__call__", Response(status_code=204))
            answer = await client.post(f"/api/demos/{token}/stream", json=ASK)
        assert answer.status_code == 204
        assert await account(client, token) == (0, 0)
        assert wrote(await visit(client, token)) == 2
        assert await account(client, token) == (2, 0)


@pytest.mark.parametrize(
    ("terms", "words", "ends"),
    [
        ({"max_new_tokens": 20}, 20, ["length"]),  # the demo's own limit
        ({"budget_tokens": 20}, 20, ["budget"]),
        ({"budget_tokens": 20}, 12, ["length"]),  # the engine's
        ({"budget_tokens": 40, "panes": [{"max_new_tokens": 16}, {}]}, 16, ["length"] * 2),
        ({"budget_tokens": 32, "panes": [{"max_new_tokens": 16}, {}]}, 16, ["length", "budget"]),
    ],
)
async def test_an_answer_ends_by_the_budget_only_where_that_was_less(
    terms: Mapping[str, Any], words: int, ends: list[str]
) -> None:
    async with (
        tgi(writing(["word "] * words, "length"), info=ROOMY) as engine,
        playground(engine.url) as url,
        browser(url) as client,
    ):
        token = await made(client, **terms)
        done = {d["pane"]: d for name, d in await visit(client, token) if name == "done"}
    assert [done[pane]["finish_reason"] for pane in range(len(ends))] == ends


async def test_an_answer_of_a_demo_ends_after_ten_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("playground.api.demo_watchdog.time", clock)
    settings = load_settings(data_dir=tmp_path)
    admission, stops = Admission.from_settings(settings), [Stop(), Stop()]
    running = Watchdog(Away(Store.from_settings(settings).database), admission)
    asker = Principal("somebody", "user:somebody", "user:somebody", "192.0.2.1")
    numbers = [admission.enter(asker, [stop]).number for stop in stops]
    for number in numbers:
        running.begin(number, "token")
        now += 100
    now = 700.0
    await running.look()
    assert not stops[0].asked
    now += 1
    await running.look()
    assert (stops[0].asked, stops[0].ending) == (True, TOO_LONG)
    assert "10 minutes" in TOO_LONG.message
    assert not stops[1].asked
    for number in numbers:
        running.end(number)


class Away(Demos):
    """A database that does not answer."""

    async def working(self, tokens: Collection[str]) -> set[str]:
        raise StoreError("It is away.")


class Broken(Demos):
    """A database that fails one look by its own fault, and another by nobody knows whose."""

    looks = 0

    async def working(self, tokens: Collection[str]) -> set[str]:
        self.looks += 1
        if self.looks == 1:
            raise StoreError("It is away.")
        if self.looks == 2:
            raise RuntimeError("Something else.")
        return set()


async def test_no_fault_of_one_look_ends_the_watch(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    admission, stop = Admission.from_settings(settings), Stop()
    demos = Broken(Store.from_settings(settings).database)
    running = Watchdog(demos, admission)
    asker = Principal("somebody", "user:somebody", "user:somebody", "192.0.2.1")
    number = admission.enter(asker, [stop]).number
    running.begin(number, "token")
    await running.look()  # as after the switch, which was thrown all the same
    assert demos.looks == 1

    async def stopped() -> bool:
        return stop.asked

    await until(stopped)
    assert (demos.looks, stop.ending) == (3, CLOSED)
    running.end(number)
