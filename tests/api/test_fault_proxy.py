"""A bad network on either side of the playground, by a proxy of faults over real TCP.

On the engine's side each fault becomes a clear end of the pane, with what was written; on the
reader's side it frees the place that the answer had.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from httpx_sse import aconnect_sse

from playground.api.services import Services
from playground.cli.connections import Connections, Times
from playground.engines.base import Engine
from playground.engines.openai import OpenAIEngine
from playground.engines.tgi import TGIEngine
from tests import completions, faults, stock
from tests.application import Application
from tests.fault_proxy import Fault, FaultProxy, proxying
from tests.faults import Peer
from tests.stock import until

HI = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{"max_new_tokens": 40}]}
WORDS = [f" word{i}" for i in range(10)]
WHOLE = "".join(WORDS)


@dataclass
class Seen:
    """What a reader got."""

    text: str = ""
    end: str = ""
    data: Any = None


async def ask(url: str, on_text: Callable[[], None] = lambda: None, patience: float = 20) -> Seen:
    """One answer, read to its end."""
    seen = Seen()
    async with (
        httpx.AsyncClient(base_url=url, timeout=patience, trust_env=False) as client,
        aconnect_sse(client, "POST", "/api/stream", json=HI) as source,
    ):
        assert source.response.status_code == 200, await source.response.aread()
        async for event in source.aiter_sse():
            if event.event == "delta":
                seen.text += event.json()["text"]
                on_text()
            elif event.event in ("done", "error"):
                seen.end, seen.data = event.event, event.json()
    return seen


@dataclass
class Site:
    """A playground behind which there is a bad network, and an engine behind that.

    more: lets the engine write on behind its first word.
    """

    url: str
    services: Services
    proxy: FaultProxy
    more: asyncio.Event

    async def idle(self, kept: int = 0) -> None:
        """Wait until no answer has a place, and no connection to the engine is open.

        kept: but for so many, over which a prompt was counted while its answer had another.
        """

        async def holds() -> bool:
            return self.services.admission.writing == 0 and self.proxy.open == kept

        await until(holds)


@asynccontextmanager
async def engine_side(kind: str, **options: Any) -> AsyncIterator[Site]:
    more = asyncio.Event()

    async def vllm(peer: Peer) -> None:
        await peer.head()
        for word in WORDS[:-1]:
            await peer.send(completions.event(word))
            await more.wait()
        last = completions.event(WORDS[-1], "stop")
        await peer.send(last + completions.usage(3, len(WORDS)) + completions.DONE)

    async def tgi(peer: Peer) -> None:
        await peer.head()
        for event in stock.tokens(WORDS, "eos_token"):
            await peer.send(event)
            await more.wait()

    made: Engine
    server = completions.completions(vllm) if kind == "vllm" else stock.tgi(tgi)
    async with server as running, proxying(running.url) as proxy:
        if kind == "vllm":
            made = OpenAIEngine(proxy.url, kind="vllm", **options)
        else:
            made = TGIEngine(proxy.url)
        async with stock.opened(proxy.url, made=made) as (url, services):
            assert (await made.state()).state == "ready"
            yield Site(url, services, proxy, more)


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
@pytest.mark.parametrize(
    "fault",
    [Fault(latency=0.01, jitter=0.02), Fault(rate=4_000), Fault(slow_close=60.0)],
    ids=["late and uneven", "slow", "closed slowly"],
)
async def test_what_is_only_slow_fails_nothing(kind: str, fault: Fault) -> None:
    async with engine_side(kind) as site:
        site.more.set()
        site.proxy.down.set(fault)
        seen = await ask(site.url)
        assert (seen.text.strip(), seen.end) == (WHOLE.strip(), "done")
        assert site.services.admission.writing == 0


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
@pytest.mark.parametrize("reset", [False, True], ids=["cut", "reset"])
async def test_a_connection_that_breaks_in_an_answer_leaves_what_was_written(
    kind: str, reset: bool
) -> None:
    async with engine_side(kind) as site:

        def breaks() -> None:
            site.proxy.down.set(Fault(cut_after=0, reset=reset))
            site.more.set()

        seen = await ask(site.url, breaks)
        assert (seen.end, seen.data["kind"], seen.data["retryable"]) == (
            "error",
            "incomplete",
            True,
        )
        assert seen.text
        assert WHOLE.strip().startswith(seen.text.strip())
        await site.idle(kept=1)


@pytest.mark.parametrize("cut", [1, 60, 400, 900])
async def test_a_connection_may_break_at_any_byte(cut: int) -> None:
    """Within the head, an event, its middle: never what was not written, never an end."""
    async with engine_side("vllm") as site:
        site.more.set()
        await ask(site.url)  # the prompt's tokens are counted
        site.proxy.down.set(Fault(cut_after=cut))
        seen = await ask(site.url)
        assert (seen.end, seen.data["kind"]) == ("error", "incomplete" if cut > 100 else "offline")
        assert WHOLE.strip().startswith(seen.text.strip())
        await site.idle()


async def test_a_direction_that_dies_in_an_answer_leaves_what_was_written() -> None:
    async with engine_side("vllm", read_timeout=0.5) as site:

        def dies() -> None:
            site.proxy.down.set(Fault(silent_after=0))
            site.more.set()

        seen = await ask(site.url, dies)
        assert (seen.end, seen.data["kind"], seen.data["retryable"]) == ("error", "timeout", True)
        assert WHOLE.strip().startswith(seen.text.strip())
        assert seen.text
        await site.idle(kept=1)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_an_engine_that_accepts_and_is_silent_is_a_timeout(direction: str) -> None:
    async with engine_side("vllm", read_timeout=0.5) as site:
        getattr(site.proxy, direction).set(Fault(silent_after=0))
        seen = await ask(site.url)
        assert (seen.text, seen.end, seen.data["kind"]) == ("", "error", "timeout")
        assert site.services.admission.writing == 0
        getattr(site.proxy, direction).set(Fault())  # else the proxy would not see the end either
        await site.idle()


async def test_readers_are_told_and_one_that_was_away_comes_back() -> None:
    """The engine is silent from the first byte on, and then it is not."""
    async with stock.tgi(stock.writing(["Back"])) as server, proxying(server.url) as proxy:
        proxy.down.set(Fault(silent_after=0))
        engine = TGIEngine(proxy.url, probe_timeout=0.3)
        async with stock.opened(proxy.url, made=engine) as (url, services):
            seen = await ask(url)
            assert (seen.text, seen.end, seen.data["kind"]) == ("", "error", "offline")
            assert services.admission.writing == 0
            proxy.down.set(Fault())

            async def is_back() -> bool:
                return (await engine.state()).state == "ready"

            await until(is_back)
            assert (await ask(url)).text == "Back"


# The reader's side.


async def drip(peer: Peer) -> None:
    """Text that goes on for longer than any of these tests."""
    await peer.head()
    for i in range(3_900):
        await peer.send(faults.event(" " + "word" * 20, index=i))
        await asyncio.sleep(0.005)


@dataclass
class ReaderSide:
    application: Application
    proxy: FaultProxy
    left: asyncio.Event
    connections: Connections

    @property
    def writing(self) -> int:
        writing: int = self.application.app.state.admission.writing
        return writing

    async def written(self, places: int) -> None:
        async def holds() -> bool:
            return self.writing == places

        await until(holds)

    async def freed(self) -> None:
        """Wait until the answer has no place and the engine is closed."""
        async with asyncio.timeout(20):
            await self.left.wait()
        await self.written(0)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A reader that has asked for an answer, and has its head."""
        address = urlsplit(self.proxy.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=4096)
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = orjson.dumps({**HI, "panes": [{"max_new_tokens": 3900}]})
        writer.write(
            b"POST /api/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        return reader, writer


@asynccontextmanager
async def reader_side(taking: float = 1.0) -> AsyncIterator[ReaderSide]:
    """The seconds are those in which a reader must take something."""
    left = asyncio.Event()

    async def until_left(peer: Peer) -> None:
        try:
            await drip(peer)
        finally:
            left.set()

    connections = Connections(100, 100, times=Times(taking=taking))
    info = {**stock.INFO, "max_input_tokens": 4000, "max_total_tokens": 8000}
    async with stock.tgi(until_left, info=info) as engine:
        application = Application(engine.url, connections=connections)
        try:
            async with proxying(application.url, window=2048) as proxy:
                yield ReaderSide(application, proxy, left, connections)
        finally:
            await asyncio.to_thread(application.terminate)


async def leave(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def cut(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    site.proxy.down.set(Fault(cut_after=0))


async def reset(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    site.proxy.down.set(Fault(cut_after=0, reset=True))


async def close_slowly(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    site.proxy.up.set(Fault(slow_close=0.3))
    writer.close()


async def half_open(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    """The way to the reader is dead, and its leaving does not come back either."""
    site.proxy.down.set(Fault(silent_after=0))
    site.proxy.up.set(Fault(silent_after=0))
    writer.transport.abort()


async def take_nothing(site: ReaderSide, writer: asyncio.StreamWriter) -> None:
    """The reader is there, and reads no more."""


@pytest.mark.parametrize("fault", [leave, cut, reset, close_slowly, half_open, take_nothing])
async def test_a_reader_that_is_lost_frees_its_place(
    fault: Callable[[ReaderSide, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with reader_side() as site:
        reader, writer = await site.connect()
        await reader.readuntil(b"event: delta")
        assert site.writing == 1
        await fault(site, writer)
        await site.freed()
        ended = site.connections.ended["ended: its reader took nothing"]
        assert ended == (fault in (half_open, take_nothing)), site.connections.ended
        writer.close()


async def test_a_reader_at_1_kb_a_second_keeps_its_place_and_gives_it_back() -> None:
    """It takes a little all the time, and is no reader that has left."""
    async with reader_side(taking=3.0) as site:
        reader, writer = await site.connect()
        await reader.readuntil(b"event: delta")
        site.proxy.down.set(Fault(rate=1_000))

        async def past_the_time() -> bool:
            return site.proxy.down.passed >= 5_000

        await until(past_the_time)
        assert site.writing == 1
        assert not site.connections.ended
        writer.close()
        site.proxy.down.set(Fault())
        await site.freed()


async def test_a_request_that_never_arrives_whole_takes_no_place() -> None:
    async with reader_side() as site:
        site.proxy.up.set(Fault(silent_after=150))
        address = urlsplit(site.proxy.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        head = b"POST /api/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: 500\r\n\r\n" + b" " * 500)

        async def arrived() -> bool:
            return site.proxy.up.passed == 150

        await until(arrived)
        assert site.writing == 0
        writer.close()
