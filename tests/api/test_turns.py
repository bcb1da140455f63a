"""Work for one reader while others wait: how much at a time, for whom, and for how long."""

import asyncio
import operator
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from playground import api
from playground.engines.tgi import TGIEngine
from tests.application import Application
from tests.faults import Peer
from tests.stock import tgi, until, writing

HI = [{"role": "user", "content": "Hi"}]
BEHIND_A_PROXY: dict[str, Any] = {"trusted_proxies": "127.0.0.0/8", "open": True}


class Held:
    """An engine's pieces, which the test lets go on. texts: begun, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self._over: list[asyncio.Event] = []
        self._begun = threading.Semaphore(0)
        self._loop: asyncio.AbstractEventLoop

        async def pieces(_: TGIEngine, text: str) -> list[str]:
            self._loop = asyncio.get_running_loop()
            over = asyncio.Event()
            self._over.append(over)
            self.texts.append(text)
            self._begun.release()
            await over.wait()
            return [text]

        monkeypatch.setattr(TGIEngine, "pieces", pieces)

    async def begun(self, count: int = 1) -> None:
        """Wait for so many more."""
        for _ in range(count):
            assert await asyncio.to_thread(self._begun.acquire, timeout=20)

    def end(self, number: int) -> None:
        self._loop.call_soon_threadsafe(self._over[number].set)


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        yield client


async def first_token(client: httpx.AsyncClient, address: str) -> str:
    """The first event of an answer that has a text."""
    body = {"messages": HI, "panes": [{"max_new_tokens": 8}]}
    headers = {"X-Forwarded-For": address}
    async with client.stream("POST", "/api/stream", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event: delta"):
                return line
    raise AssertionError("the answer has no text")


def asker(
    client: httpx.AsyncClient, path: str
) -> Callable[[str, dict[str, Any]], asyncio.Task[httpx.Response]]:
    """Asks for this from an address."""

    def ask(address: str, body: dict[str, Any]) -> asyncio.Task[httpx.Response]:
        headers = {"X-Forwarded-For": address}
        return asyncio.create_task(client.post(path, json=body, headers=headers))

    return ask


def waiting(client: httpx.AsyncClient, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many texts are in line."""

    async def are() -> bool:
        return f"playground_texts_waiting {count}.0" in (await client.get("/metrics")).text

    return are


async def test_who_asks_for_many_texts_is_bounded_and_who_left_is_not_worked_for(
    monkeypatch: pytest.MonkeyPatch, stand_in_url: str
) -> None:
    held = Held(monkeypatch)
    with Application(stand_in_url, **BEHIND_A_PROXY) as site:
        async with browser(site.url) as client:
            ask = asker(client, "/api/pieces")
            many = [ask("10.0.0.1", {"texts": [f"{i:<5}" * 3_000]}) for i in range(40)]
            for refused, done in enumerate(asyncio.as_completed(many), 1):
                answer = await done
                assert (answer.status_code, answer.json()["kind"]) == (429, "busy")
                assert answer.headers["Retry-After"]
                if refused == 40 - 16:
                    break
            await held.begun(2)
            assert await first_token(client, "10.0.0.2")
            assert len(held.texts) == 2, "two at a time, and nobody's answer waits for any"
            other = ask("10.0.0.2", {"texts": ["other"]})
            await until(waiting(client, 15))
            held.end(0)
            await held.begun()
            assert held.texts[2] == "other", "another's first text waits for no second one"
            working = many[int(held.texts[1][:5])]
            for task in many:
                if task is not working:
                    task.cancel()
            await until(waiting(client, 0))
            working.cancel()
            held.end(2)
            assert (await other).json() == {"pieces": [["other"]]}
            assert len(held.texts) == 3, "nobody is worked for who has left"


async def test_whom_a_proxy_brings_has_so_many_requests_under_way(
    monkeypatch: pytest.MonkeyPatch, stand_in_url: str
) -> None:
    held = Held(monkeypatch)
    with Application(stand_in_url, **BEHIND_A_PROXY, max_connections_per_address=8) as site:
        async with browser(site.url) as client:
            ask = asker(client, "/api/pieces")

            async def status(*hops: str) -> int:
                headers = {"X-Forwarded-For": ", ".join(hops)} if hops else {}
                return (await client.get("/api/visitor", headers=headers)).status_code

            under_way = [ask("10.0.0.1", {"texts": ["one"]}) for _ in range(8)]
            await held.begun(2)

            async def full() -> bool:
                return await status("10.0.0.1") == 429

            await until(full)
            assert await status("10.0.0.9", "10.0.0.1") == 429, "what it makes up is not believed"
            assert [await status("10.0.0.2"), await status(), await status("127.0.0.3")] == [
                200
            ] * 3
            for task in under_way:
                task.cancel()
            await asyncio.wait(under_way)

            async def free() -> bool:
                return await status("10.0.0.1") == 200

            await until(free)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/pieces", {"texts": ["one two"]}),
        ("/api/tokenize", {"messages": HI}),
        ("/api/stream", {"messages": HI, "panes": [{"max_new_tokens": 8}]}),
    ],
)
async def test_an_engine_that_counts_is_left_with_the_reader(
    path: str, body: dict[str, Any]
) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        begun.set()
        await peer.gone()
        gone.set()

    async with tgi(writing(["Hi"]), counting=silent) as engine:
        with Application(engine.url, max_prompt_tokens=50) as site:
            async with browser(site.url) as client:
                reader = asyncio.create_task(client.post(path, json=body))
                await asyncio.wait_for(begun.wait(), 20)
                reader.cancel()
                await asyncio.wait_for(gone.wait(), 20)

                async def free() -> bool:
                    return "playground_streams 0.0" in (await client.get("/metrics")).text

                await until(free)


async def test_what_was_counted_for_one_is_counted_anew_for_another() -> None:
    """How long it takes tells nobody what another has written."""
    counted: list[str] = []

    async def count(peer: Peer) -> None:
        counted.append(peer.request.json()["inputs"])
        await peer.answer(b'[{"id": 1, "text": "Hi", "start": 0, "stop": 2}]')

    async with tgi(writing(["Hi"]), counting=count) as engine:
        with Application(engine.url, **BEHIND_A_PROXY) as site:
            async with browser(site.url) as client:
                ask = asker(client, "/api/tokenize")
                for address, times in (("10.0.0.1", 1), ("10.0.0.1", 1), ("10.0.0.2", 2)):
                    await ask(address, {"messages": HI})
                    assert len([text for text in counted if "Hi" in text]) == times


async def test_a_prompt_is_counted_with_the_places_of_its_answer() -> None:
    """So nobody has more of them counted than answers written."""
    begun = 0

    async def silent(peer: Peer) -> None:
        nonlocal begun
        begun += 1
        await peer.gone()

    async with tgi(writing(["Hi"]), counting=silent) as engine:
        with Application(engine.url, max_prompt_tokens=50, max_streams_per_user=2) as site:
            async with browser(site.url) as client:
                body = {"messages": HI, "panes": [{}]}
                many = [asyncio.create_task(client.post("/api/stream", json=body)) for _ in "12345"]
                for refused, done in enumerate(asyncio.as_completed(many), 1):
                    assert (await done).status_code == 429
                    if refused == 3:
                        break
                for task in many:
                    task.cancel()
                await asyncio.wait(many)
    assert begun <= 2


@pytest.mark.parametrize(
    ("path", "body", "work"),
    [
        ("/api/presets/import", {"text": "temperature: 1"}, "presets.read_presets"),
        ("/api/code", {"prompt": "Hi", "sent": {"seed": 1}}, "engine.snippets"),
    ],
)
async def test_one_text_at_a_time_is_worked_on_in_a_thread_and_none_at_the_end(
    monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any], work: str
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    real = operator.attrgetter(work)(api)

    def held(*args: Any, **options: Any) -> Any:
        begun.release()
        assert go_on.wait(20)
        return real(*args, **options)

    monkeypatch.setattr(f"playground.api.{work}", held)
    site = Application(**BEHIND_A_PROXY)
    async with browser(site.url) as client:
        ask = asker(client, path)
        first = ask("10.0.0.1", body)
        assert await asyncio.to_thread(begun.acquire, timeout=20)
        others = [ask(f"10.0.0.{i}", body) for i in range(2, 6)]

        await until(waiting(client, 4))
        ending = asyncio.create_task(asyncio.to_thread(site.terminate))
        for answer in await asyncio.gather(*others):
            assert (answer.status_code, answer.json()["kind"]) == (503, "shutdown")
        go_on.set()
        assert (await first).status_code == 200
        await ending
    assert not begun.acquire(blocking=False), "what waited was not begun"
