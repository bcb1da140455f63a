"""What becomes of answers when the server is told to stop, as a process that is sent signals."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.faults import Peer, event
from tests.servers import Server
from tests.stock import tgi, tokens, until

STREAMS = 20
HI: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}


class Answers:
    """An engine whose answers are begun, and ended by the test."""

    def __init__(self) -> None:
        self.begun = 0
        self.over = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        self.begun += 1
        await peer.head()
        await peer.send(event("Some"))
        ended = asyncio.create_task(self.over.wait())
        gone = asyncio.create_task(peer.gone())
        await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            gone.cancel()
            await peer.send(b"".join(tokens([" words"], "eos_token")))
        else:
            ended.cancel()


class Site:
    """A playground as a process, and readers of its streams."""

    def __init__(self, server: Server, client: httpx.AsyncClient, engine: Answers) -> None:
        self.server = server
        self.client = client
        self.engine = engine
        self.waiting = 0
        self.writing = 0
        self.numbers: dict[asyncio.Task[Any] | None, str] = {}

    async def read(self) -> list[tuple[str, Any]]:
        """All events of one stream, to its proper end."""
        named: list[tuple[str, Any]] = []
        async with aconnect_sse(self.client, "POST", "/api/stream", json=HI) as source:
            assert source.response.status_code == 200
            self.numbers[asyncio.current_task()] = source.response.headers["x-stream-id"]
            async for each in source.aiter_sse():
                if each.event == "waiting" and not named:
                    self.waiting += 1
                self.writing += each.event == "delta" and "Some" in each.data
                named.append((each.event, each.json()))
        return named

    async def begin(self, writing: int, waiting: int = 0) -> list[asyncio.Task[Any]]:
        """So many readers whose answers have begun, and so many in line."""
        readers = [asyncio.create_task(self.read()) for _ in range(writing + waiting)]
        await self.seen(writing, waiting)
        return readers

    async def seen(self, writing: int, waiting: int = 0) -> None:
        async def all_seen() -> bool:
            return (self.writing, self.waiting) == (writing, waiting)

        await until(all_seen)

    async def told(self, number: int) -> None:
        """Signal it, and wait until it knows."""
        self.server.signal(number)

        async def stopping() -> bool:
            return bool((await self.client.get("/readyz")).json()["state"] == "stopping")

        await until(stopping)

    async def ended(self) -> int:
        """Its exit status."""
        return await asyncio.to_thread(self.server.wait, 20)


@contextlib.asynccontextmanager
async def running(grace: float, **more: str) -> AsyncIterator[Site]:
    engine = Answers()
    env = {"PLAYGROUND_GRACE_SECONDS": str(grace), **more}
    async with tgi(engine) as upstream:
        arguments = ["-m", "tests.pageless", "serve", "--port", "0", "--tgi-url", upstream.url]
        server = await asyncio.to_thread(
            lambda: Server(arguments, ready="^Playground: http", env=env)
        )
        try:
            # Each on a connection of its own: an idle one may be closed in the moment it is used.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx.AsyncClient(
                base_url=server.url, timeout=30, trust_env=False, limits=limits
            ) as client:
                yield Site(server, client, engine)
        finally:
            await asyncio.to_thread(server.kill)


async def test_what_is_being_written_is_finished_and_nothing_else_begins() -> None:
    async with running(30) as site:
        readers = await site.begin(STREAMS)
        stopped = asyncio.create_task(site.read())
        await site.seen(STREAMS + 1)
        await site.told(signal.SIGTERM)
        ready = await site.client.get("/readyz")
        refused = await site.client.post("/api/stream", json=HI)
        live = await site.client.get("/livez")
        rendered = await site.client.post("/api/render", json={"text": "*Hi*"})
        await site.client.delete(f"/api/stream/{site.numbers[stopped]}/panes/0")
        assert (await stopped)[-1][1]["kind"] == "stopped"
        site.engine.over.set()
        ended = await asyncio.gather(*readers)
        assert await site.ended() == 0
    for named in ended:
        assert named[-1][0] == "done"
        assert "".join(data["text"] for name, data in named if name == "delta") == "Some words"
    assert ready.status_code == 503
    assert (refused.status_code, refused.json()["kind"]) == (503, "shutdown")
    assert int(refused.headers["retry-after"]) >= 1
    assert (live.status_code, rendered.status_code) == (200, 200)
    assert site.engine.begun == STREAMS + 1


async def test_what_is_not_finished_says_so_and_the_server_ends_in_time() -> None:
    """Twenty that will not end, and three in line: no stream breaks off without its last event."""
    grace = 1.0
    env = {"PLAYGROUND_MAX_STREAMS": str(STREAMS)}
    async with running(grace, **env) as site:
        readers = await site.begin(STREAMS, 3)
        begun = time.monotonic()
        await site.told(signal.SIGTERM)
        ended = await asyncio.gather(*readers)
        assert await site.ended() == 0
        lasted = time.monotonic() - begun
    cut = [named for named in ended if named[0][0] == "receipt"]
    waited = [named for named in ended if named[0][0] == "waiting"]
    assert (len(cut), len(waited)) == (STREAMS, 3)
    for named in ended:
        assert sum(name in ("done", "error") for name, _ in named) == 1
        name, error = named[-1]
        assert (name, error["kind"], error["retryable"]) == ("error", "shutdown", True)
    assert all("not complete" in named[-1][1]["message"] for named in cut)
    assert all("Continue" in named[-1][1]["message"] for named in cut)
    assert all("not begun" in named[-1][1]["message"] for named in waited)
    assert all([name for name, _ in named] == ["waiting", "error"] for named in waited)
    assert site.engine.begun == STREAMS
    assert lasted >= grace


async def test_a_second_signal_ends_it_at_once() -> None:
    async with running(3600) as site:
        readers = await site.begin(2)
        await site.told(signal.SIGTERM)
        site.server.signal(signal.SIGTERM)
        assert await site.ended() == 0
        for each in await asyncio.gather(*readers, return_exceptions=True):
            assert isinstance(each, httpx.TransportError)


async def test_the_demo_ends_the_page_before_the_engine() -> None:
    """As in a terminal, where Ctrl-C is sent to the whole group."""
    arguments = ["-m", "tests.pageless", "demo", "--port", "0"]
    server = await asyncio.to_thread(
        lambda: Server(arguments, ready="^Playground: http", group=True)
    )
    try:
        await asyncio.to_thread(server.wait_for, "llama.cpp listening on")
        async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
            story = {"messages": [{"role": "user", "content": "tell me a story"}]}
            body = {**story, "panes": [{"seed": 7, "max_new_tokens": 30}]}
            async with aconnect_sse(client, "POST", "/api/stream", json=body) as source:
                events = source.aiter_sse()
                while (await anext(events)).event != "delta":
                    pass
                os.killpg(server.process.pid, signal.SIGINT)
                assert [each.event async for each in events][-1] == "done"
        assert await asyncio.to_thread(server.wait, 20) == 0
    finally:
        await asyncio.to_thread(server.kill)
