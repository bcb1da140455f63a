"""The waiting line and the limits, on a real port in front of an engine that a test scripts."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from starlette.responses import Response

from playground.api.streaming import EventStream
from playground.domain.errors import NotFound
from playground.domain.principal import Principal
from playground.generation.comparison import Stop
from playground.limits.admission import Admission
from playground.settings import load_settings
from playground.store.store import Store
from playground.store.usage import Usage
from tests.faults import FaultServer, Peer, event
from tests.stock import opened, playground, tgi, tokens, until

HI: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}
FOUR = {**HI, "panes": [{}] * 4}


class Turnstile:
    """An engine's generations, each of which ends when the test lets it."""

    def __init__(self) -> None:
        self.held: deque[asyncio.Event] = deque()
        self.begun = 0

    async def __call__(self, peer: Peer) -> None:
        self.begun += 1
        over = asyncio.Event()
        self.held.append(over)
        await peer.head()
        await peer.send(event("Some"))
        ended = asyncio.create_task(over.wait())
        gone = asyncio.create_task(peer.gone())
        await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            gone.cancel()
            await peer.send(b"".join(tokens([" words"], "eos_token")))
        else:
            ended.cancel()

    async def let(self, count: int = 1) -> None:
        """Let the oldest generations end."""
        async with asyncio.timeout(10):
            for _ in range(count):
                while not self.held:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                self.held.popleft().set()


class Reader:
    """One reader of one stream, as a task of its own."""

    def __init__(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> None:
        self.events: list[tuple[str, Any]] = []
        self.number = ""
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read(client, body))

    async def _read(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> None:
        async with aconnect_sse(client, "POST", "/api/stream", json=body) as source:
            assert source.response.status_code == 200, await source.response.aread()
            self.number = source.response.headers["x-stream-id"]
            each: ServerSentEvent
            async for each in source.aiter_sse():
                self.events.append((each.event, each.json()))
                self._news.set()

    async def sees(self, name: str, **data: Any) -> None:
        """Wait for an event with this data, past ones included."""
        async with asyncio.timeout(10):
            while not any(n == name and data.items() <= d.items() for n, d in self.events):
                self._news.clear()
                await self._news.wait()

    @property
    def places(self) -> list[int]:
        return [data["place"] for name, data in self.events if name == "waiting"]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def end(self) -> list[tuple[str, Any]]:
        async with asyncio.timeout(10):
            await self._task
        return self.events


@contextlib.asynccontextmanager
async def narrow(
    **settings: Any,
) -> AsyncIterator[tuple[httpx.AsyncClient, Turnstile, FaultServer]]:
    """A playground that writes one answer at a time, unless it is said otherwise."""
    turnstile = Turnstile()
    values = {"max_streams": 1, **settings}
    async with (
        tgi(turnstile) as server,
        playground(server.url, **values) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):
        yield client, turnstile, server


async def test_who_waits_is_told_the_place_as_it_changes_and_is_answered_in_turn() -> None:
    async with narrow() as (client, engine, _):
        first = Reader(client, HI)
        await first.sees("delta")
        line = []
        for place in (1, 2, 3):
            line.append(Reader(client, HI))
            await line[-1].sees("waiting", place=place, pane=0)
        assert engine.begun == 1
        for reader in line:
            await engine.let()
            await reader.sees("delta")
        await engine.let()
        for reader in (first, *line):
            assert (await reader.end())[-1][0] == "done"
    assert first.names[0] == "receipt"
    assert [reader.places for reader in line] == [[1], [2, 1], [3, 2, 1]]
    assert line[2].names[3:5] == ["receipt", "delta"]


async def test_every_pane_of_a_comparison_waits_and_begins_at_once() -> None:
    async with narrow(max_streams=4) as (client, engine, _):
        chat = Reader(client, HI)
        await chat.sees("delta")
        comparison, later = Reader(client, FOUR), None
        for pane in range(4):
            await comparison.sees("waiting", place=1, pane=pane)
        later = Reader(client, HI)  # there is room for it, but it is not its turn
        await later.sees("waiting", place=2)
        assert engine.begun == 1
        await engine.let()
        for pane in range(4):
            await comparison.sees("delta", pane=pane)
        await engine.let(5)
        ended = [await reader.end() for reader in (chat, comparison, later)]
    assert [sum(name == "done" for name, _ in named) for named in ended] == [1, 4, 1]


async def test_a_reader_who_leaves_the_line_is_out_of_it_at_once() -> None:
    async with narrow() as (client, engine, _):
        first, leaving = Reader(client, HI), Reader(client, HI)
        await asyncio.wait_for(asyncio.gather(first.sees("receipt"), leaving.sees("waiting")), 10)
        staying = Reader(client, HI)
        await staying.sees("waiting", place=2)
        await leaving.leave()
        await staying.sees("waiting", place=1)
        await engine.let(2)
        await staying.end()
    assert engine.begun == 2, "the engine never heard of the one who left"


async def test_a_pane_is_stopped_in_line_and_the_others_go_on() -> None:
    async with narrow(max_streams=4) as (client, engine, _):
        first = Reader(client, {**HI, "panes": [{}] * 2})
        await first.sees("delta", pane=1)
        waiting = Reader(client, {**HI, "panes": [{}] * 3})
        await waiting.sees("waiting", pane=2)
        for pane in (1, 1):
            answer = await client.delete(f"/api/stream/{waiting.number}/panes/{pane}")
            assert answer.status_code == 204
        # The two that are left have room now.
        await waiting.sees("delta", pane=0)
        await waiting.sees("delta", pane=2)
        await engine.let(4)
        named = await waiting.end()
    of_pane = [[n for n, d in named if d["pane"] == pane] for pane in range(3)]
    assert of_pane[1] == ["waiting", "error"]
    assert [d["kind"] for n, d in named if n == "error"] == ["stopped"]
    assert of_pane[0] == of_pane[2]
    assert of_pane[0][-1] == "done"


async def test_a_place_that_stays_the_same_is_told_once() -> None:
    async with narrow(max_streams=3) as (client, engine, _):
        first = Reader(client, {**HI, "panes": [{}] * 3})
        await first.sees("delta", pane=2)
        waiting = Reader(client, {**HI, "panes": [{}] * 3})
        await waiting.sees("waiting", pane=2)
        for pane in (1, 0):
            await client.delete(f"/api/stream/{waiting.number}/panes/{pane}")
            await waiting.sees("error", pane=pane, kind="stopped")
        await engine.let(4)
        named = await waiting.end()
    of_pane = [[n for n, d in named if d["pane"] == pane] for pane in range(3)]
    assert of_pane[:2] == [["waiting", "error"]] * 2
    assert of_pane[2].count("waiting") == 1
    assert of_pane[2][-1] == "done"


async def test_an_answer_that_was_stopped_in_line_was_stopped_and_not_left() -> None:
    """And one whose reader left the line was left; neither was let in after a wait."""
    stopped = 'playground_answers_total{outcome="stopped"}'
    left = 'playground_answers_total{outcome="left"}'
    turnstile = Turnstile()
    async with (
        tgi(turnstile) as server,
        opened(server.url, max_streams=1) as (url, services),
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
    ):

        async def figures() -> dict[str, float]:
            lines = (await services.metrics.text()).decode().splitlines()
            samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            return {name: float(value) for name, value in samples}

        first = Reader(client, HI)
        await first.sees("delta")
        leaving = Reader(client, HI)
        await leaving.sees("waiting")
        waiting = Reader(client, HI)
        await waiting.sees("waiting", place=2)
        await client.delete(f"/api/stream/{waiting.number}/panes/0")
        await waiting.end()
        await leaving.leave()

        async def counted() -> bool:
            found = await figures()
            return found[stopped] + found[left] == 2

        await until(counted)
        found = await figures()
        assert (found[stopped], found[left]) == (1, 1)
        assert found["playground_wait_seconds_count"] == 0
        await turnstile.let()
        await first.end()


async def test_who_stops_all_panes_in_line_is_out_of_it() -> None:
    async with narrow() as (client, engine, _):
        first = Reader(client, HI)
        await first.sees("delta")
        waiting, next_one = Reader(client, HI), None
        await waiting.sees("waiting", place=1)
        next_one = Reader(client, HI)
        await next_one.sees("waiting", place=2)
        await client.delete(f"/api/stream/{waiting.number}/panes/0")
        assert [name for name, _ in await waiting.end()] == ["waiting", "error"]
        await next_one.sees("waiting", place=1)
        await engine.let(2)
        await next_one.end()


async def test_a_blind_comparison_waits_without_telling_its_panes_apart() -> None:
    async with narrow(max_streams=2) as (client, engine, _):
        first = Reader(client, {**HI, "panes": [{}] * 2})
        await first.sees("delta", pane=1)
        panes = [{"preset": "min-p"}, {"preset": "alpacaeval"}]
        blind = Reader(client, {**HI, "panes": panes, "blind": True})
        await blind.sees("waiting", place=1)
        await engine.let(4)
        named = await blind.end()
    receipts = [data for name, data in named if name == "receipt"]
    assert all(set(data) == {"pane", "sealed"} for data in receipts)
    assert len(receipts) == 2


async def test_an_answer_that_is_never_begun_holds_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where something between a route and its answer fails, or answers in its place."""
    async with narrow(max_waiting=0) as (client, engine, _):
        with monkeypatch.context() as between:
            between.setattr(EventStream, "__call__", Response(status_code=204))
            assert (await client.post("/api/stream", json=HI)).status_code == 204
        reader = Reader(client, HI)
        await reader.sees("delta")
        await engine.let()
        assert (await reader.end())[-1][0] == "done"
    assert engine.begun == 1


async def test_a_full_line_is_refused_with_a_time() -> None:
    async with narrow(max_waiting=1) as (client, engine, _):
        readers = [Reader(client, HI)]
        await readers[0].sees("delta")
        readers.append(Reader(client, HI))
        await readers[1].sees("waiting")
        refused = await client.post("/api/stream", json=HI)
        await engine.let(2)
        for reader in readers:
            await reader.end()
    assert (refused.status_code, refused.json()["kind"]) == (429, "busy")
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 120
    assert f"Try again in {seconds} seconds" in refused.json()["error"]


async def test_the_time_that_a_full_line_names_follows_how_long_answers_take() -> None:
    async with narrow(max_waiting=0) as (client, engine, _):

        async def refusal() -> int:
            reader = Reader(client, HI)
            await reader.sees("delta")
            refused = await client.post("/api/stream", json=HI)
            assert refused.status_code == 429
            await engine.let()
            await reader.end()
            return int(refused.headers["retry-after"])

        named = [await refusal() for _ in range(12)]
    assert named == sorted(named, reverse=True)
    assert named[-1] < named[0], "answers that last no time were not noticed"


# Accounts: without a login, the address that a reader comes from. This machine has many of its own.


@contextlib.asynccontextmanager
async def elsewhere(client: httpx.AsyncClient, host: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same server at another address."""
    transport = httpx.AsyncHTTPTransport(local_address=f"127.0.0.{host}")
    async with httpx.AsyncClient(
        transport=transport, base_url=client.base_url, timeout=20, trust_env=False
    ) as other:
        yield other


async def test_nobody_stops_a_stream_of_another_account() -> None:
    """Not even one who knows its id: to them there is no such stream."""
    async with narrow() as (client, engine, _), elsewhere(client, 2) as other:
        reader = Reader(client, HI)
        await reader.sees("delta")
        refused = await other.delete(f"/api/stream/{reader.number}/panes/0")
        unknown = await other.delete(f"/api/stream/{'0' * 32}/panes/0")
        assert (refused.status_code, refused.json()) == (404, unknown.json())
        await engine.let()
        assert (await reader.end())[-1][0] == "done"


@pytest.mark.parametrize(
    ("owner", "account", "may"),
    [
        ("browser:a", "address:2", True),  # whose address has changed
        ("browser:b", "address:1", True),  # a script, which keeps no cookie
        ("browser:b", "address:2", False),
    ],
)
async def test_a_stream_is_its_browsers_and_its_addresss(
    owner: str, account: str, may: bool
) -> None:
    admission, stop = Admission(limit=1, limit_each=1, queue_limit=0), Stop()
    ticket = admission.enter(Principal(None, "browser:a", "address:1", "1"), [stop])
    with contextlib.nullcontext() if may else pytest.raises(NotFound):
        admission.stop(ticket.number, 0, Principal(None, owner, account, "2"))
    assert stop.asked is may


async def test_nobody_has_more_than_a_share_and_a_comparison_beside_a_chat_fits() -> None:
    async with narrow(max_streams=20, max_streams_per_user=5) as (client, engine, _):
        readers = [Reader(client, HI)]
        await readers[0].sees("delta")
        readers.append(Reader(client, FOUR))
        await readers[1].sees("delta", pane=3)
        refused = await client.post("/api/stream", json=HI)
        async with elsewhere(client, 2) as other:
            readers.append(Reader(other, HI))
            await readers[2].sees("delta")
            await engine.let()
            await readers[0].end()
            readers.append(Reader(client, HI))
            await readers[3].sees("delta")
            await engine.let(6)
            for reader in readers:
                assert (await reader.end())[-1][0] == "done"
    assert (refused.status_code, refused.json()["kind"]) == (429, "busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert "5 answers at a time for one address" in refused.json()["error"]


async def test_who_waits_counts_and_who_leaves_the_line_does_not() -> None:
    async with narrow(max_streams_per_user=2) as (client, engine, _):
        first, waiting = Reader(client, HI), None
        await first.sees("delta")
        waiting = Reader(client, HI)
        await waiting.sees("waiting")
        assert (await client.post("/api/stream", json=HI)).status_code == 429
        await waiting.leave()

        async def has_room() -> bool:
            third = Reader(client, HI)
            done, _ = await asyncio.wait([asyncio.create_task(third.sees("waiting"))], timeout=0.2)
            await third.leave()
            return bool(done)

        await until(has_room)
        await engine.let()
        await first.end()


async def test_one_account_cannot_keep_the_others_waiting() -> None:
    """The second request of an account stands behind the first ones of all others."""
    async with (
        narrow() as (client, engine, _),
        elsewhere(client, 2) as bob,
        elsewhere(client, 3) as eve,
    ):
        running = Reader(client, HI)
        await running.sees("delta")
        order = []
        for who in (client, client, client, bob, eve, bob):
            reader = Reader(who, HI)
            await reader.sees("waiting")
            order.append(reader)
        ada_1, ada_2, ada_3, bob_1, eve_1, bob_2 = order
        for reader in (ada_1, bob_1, eve_1, ada_2, bob_2, ada_3):
            await engine.let()
            await reader.sees("delta")
        await engine.let()
        for reader in (running, *order):
            await reader.end()
    assert ada_1.places == [1]
    assert bob_1.places == [2, 1]
    assert ada_3.places == [3, 4, 5, 6, 5, 4, 3, 2, 1]


async def test_more_columns_than_can_ever_be_written_are_no_matter_of_waiting() -> None:
    async with narrow(max_streams=3) as (client, _, _):
        refused = await client.post("/api/stream", json=FOUR)
    assert (refused.status_code, refused.json()["field"]) == (422, "panes")
    assert "3 answers at a time" in refused.json()["error"]


# Sizes.


async def test_a_body_has_the_size_that_is_set() -> None:
    async with narrow(max_body_bytes=20_000) as (client, _, server):
        texts = ("x" * length for length in (15_000, 20_000))
        answers = [await client.post("/api/render", json={"text": text}) for text in texts]
    assert [answer.status_code for answer in answers] == [200, 413]
    assert "20,000 bytes" in answers[1].json()["error"]
    assert not server.requests


async def test_a_prompt_that_is_too_long_begins_nothing() -> None:
    """In the words of the engine's tokenizer, which here counts words, and a BOS."""
    async with narrow(max_prompt_tokens=12) as (client, engine, _):
        said = [
            {"role": "user", "content": "a few words"},
            {"role": "assistant", "content": "and some more of them"},
            {"role": "user", "content": "word " * 5},
        ]
        refused = await client.post("/api/stream", json={**HI, "messages": said})
        short = Reader(client, {**HI, "messages": said[-1:]})
        await short.sees("delta")
        await engine.let()
        await short.end()
    assert engine.begun == 1
    assert (refused.status_code, refused.json()["kind"]) == (422, "too_long")
    assert re.search(r"prompt has 1\d tokens .* takes 12\.", refused.json()["error"])


# A day's tokens.


@contextlib.asynccontextmanager
async def store(**settings: Any) -> AsyncIterator[Store]:
    opened = Store.from_settings(load_settings(**settings))
    try:
        yield opened
    finally:
        await opened.aclose()


async def test_what_is_used_in_a_day_is_counted_and_then_refused(database: dict[str, str]) -> None:
    """Two replicas count together; answers that were stopped and left are counted, too."""
    settings = {"tokens_per_day": 15, "max_streams": 9, **database}
    async with (
        narrow(**settings) as (client, engine, _),
        narrow(**settings) as (other, _, _),
    ):
        # A busy machine may take longer to make the tables than a request waits for them, and then
        # nothing would be counted for half a minute.
        for replica in (client, other):
            while (await replica.get("/api/shares")).status_code != 200:
                pass
        done = Reader(client, HI)  # a prompt of 4 tokens, and the engine says that it wrote 1
        await done.sees("delta")
        await engine.let()
        await done.end()
        stopped = Reader(other, HI)  # 4, and 1 that was read
        await stopped.sees("delta")
        await other.delete(f"/api/stream/{stopped.number}/panes/0")
        assert (await stopped.end())[-1][1]["kind"] == "stopped"
        left = Reader(client, HI)  # 4 and 1 once more
        await left.sees("delta")
        await left.leave()

        async with store(**database) as counted:

            async def all_counted() -> bool:
                today = datetime.now(UTC).date()
                return await Usage(counted.database).used("address:127.0.0.1", today) == 15

            await until(all_counted)
        answer = await client.post("/api/stream", json=HI)
        async with elsewhere(client, 2) as somebody:
            free = Reader(somebody, HI)
            await free.sees("delta")
            await free.leave()
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    assert answer.json()["kind"] == "spent"
    assert abs(int(answer.headers["retry-after"]) - (midnight - now).total_seconds()) < 60
    assert re.search(
        r"15 tokens were used today by this address.* 15 a day", answer.json()["error"]
    )
    assert "begins at 00:00 UTC, in " in answer.json()["error"]


async def test_without_a_database_chat_goes_on_uncounted_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    async with narrow(tokens_per_day=1, data_dir=tmp_path / "file") as (client, engine, _):
        for _ in range(3):
            reader = Reader(client, HI)
            await reader.sees("delta")
            await engine.let()
            assert (await reader.end())[-1][0] == "done"
    said = [r.message for r in caplog.records if r.name == "playground.limits.daily_tokens"]
    assert said == ["The database is away: answers go on, and their tokens are not counted"]
