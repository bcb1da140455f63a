"""Connections that take more than their share: of places, of time, of memory."""

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from playground.cli.connections import Connections, Times
from playground.cli.server import Server
from playground.settings import load_settings
from tests import stock
from tests.application import Application

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class _Admission:
    writing = 0

    async def drain(self, grace: float) -> None:
        """Nothing is written here."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the page runs on."""
    return "asyncio", {"use_uvloop": True}


@dataclass
class Site:
    address: tuple[str, int]
    connections: Connections
    begun: list[str]
    server: Server
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(
        self, address: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        local = (address, 0) if address else None
        reader, writer = await asyncio.open_connection(*self.address, local_addr=local)
        self.writers.append(writer)
        return reader, writer

    async def asked(self, sent: bytes) -> bytes:
        """All that comes back until the server closes."""
        reader, writer = await self.open()
        writer.write(sent)
        return await reader.read()

    def later(self, seconds: float) -> None:
        """What the server does of its own, as if so much time had passed."""
        self.connections.look(time.monotonic() + seconds)


@asynccontextmanager
async def serving(connections: Connections) -> AsyncIterator[Site]:
    app = FastAPI()
    app.state.admission, app.state.gates, app.state.metrics = _Admission(), (), SimpleNamespace()
    begun: list[str] = []
    gate = asyncio.Event()

    @app.get("/")
    async def root() -> str:
        begun.append("/")
        return "x"

    @app.get("/slow")
    async def slow() -> str:
        begun.append("/slow")
        await gate.wait()
        return "slow"

    @app.get("/large")
    async def large() -> str:
        begun.append("/large")
        return "x" * 20_000_000

    @app.get("/until-left")
    async def until_left(request: Request) -> str:
        while (await request.receive())["type"] != "http.disconnect":
            begun.append("/until-left")
        begun.append("left")
        return "x" * 100_000

    @app.get("/from/{who}")
    async def come(who: str) -> str:
        begun.append(who)
        return "x"

    @app.post("/unread")
    async def unread() -> str:
        begun.append("/unread")
        return "x"

    @app.post("/")
    async def body(request: Request) -> int:
        return len(await request.body())

    server = Server(app, load_settings(), connections=connections)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: bool(server.started))
        site = Site(listener.getsockname(), connections, begun, server)
        try:
            yield site
        finally:
            gate.set()
            for writer in site.writers:
                writer.close()
            server.should_exit = True
            await running


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""

    async def holds() -> bool:
        return condition()

    await stock.until(holds)


async def test_an_address_has_so_many_connections_and_idle_ones_give_way() -> None:
    async with serving(Connections(100, 3)) as site:
        busy = [await site.open() for _ in range(2)]
        for _, writer in busy:
            writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        silent, _ = await site.open()
        await until(lambda: len(site.begun) == 2)
        third, writer = await site.open()
        assert await silent.read() == b""  # it gave way
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: len(site.begun) == 3)
        refused = await site.asked(b"")
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b'"kind":"busy"' in refused
        assert not third.at_eof()


async def test_what_was_ended_and_why_is_in_the_metrics() -> None:
    with Application(max_connections_per_address=8) as site, ExitStack() as closing:
        address = (urlsplit(site.url).hostname, urlsplit(site.url).port)
        for _ in range(9):
            closing.enter_context(socket.create_connection(address))
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{site.url}/metrics")).text
    reason = "closed for another one, before it had begun a request"
    assert f'playground_connections_ended_total{{reason="{reason}"}} 2.0' in text


async def test_one_address_leaves_half_of_few_places_to_others() -> None:
    async with serving(Connections(8, 128)) as site:
        for _ in range(4):
            _, writer = await site.open()
            writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: len(site.begun) == 4)
        assert (await site.asked(b"")).startswith(b"HTTP/1.1 429 ")


async def test_a_trusted_proxy_brings_many() -> None:
    exempt = [ip_network("127.0.0.0/8")]
    async with serving(Connections(100, 2, exempt=exempt)) as site:
        for _ in range(6):
            await site.open()
        reader, writer = await site.open()
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert not site.connections.ended


async def test_the_page_lives_on_when_all_places_are_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(Connections(40, 1000)) as site:
            silent = [await site.open() for _ in range(60)]
            for _ in range(5):
                answer = await site.asked(
                    GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
                )
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert len(site.server.server_state.connections) <= 20
            assert sum(site.connections.ended.values()) >= 40
            assert len(silent) == 60
    told = [each for each in caplog.messages if each.startswith("Connections: ")]
    assert len(told) == 1


def _has_read(connection: Any) -> bool:
    return connection._unread > 0 or connection._body_since is not None


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
async def test_what_never_ends_is_ended(sent: bytes, came: bytes) -> None:
    async with serving(Connections(100, 100)) as site:
        reader, writer = await site.open()
        writer.write(sent)
        await until(lambda: bool(site.server.server_state.connections))
        [connection] = site.server.server_state.connections
        # Without what was sent there would be no words.
        await until(lambda: not sent or _has_read(connection))
        site.later(10)
        assert site.server.server_state.connections
        site.later(40)
        answer = await reader.read()
        assert answer.startswith(came)
        assert bool(answer) is bool(came)


async def test_a_slow_body_that_comes_is_let_come() -> None:
    async with serving(Connections(100, 100)) as site:
        reader, writer = await site.open()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50003\r\n\r\n" + b"x" * 50_000)
        await until(lambda: bool(site.server.server_state.connections))
        [connection] = site.server.server_state.connections
        await until(lambda: connection._body_bytes == 50_000)  # type: ignore[union-attr]
        for _ in range(3):  # each part has its time
            site.later(25)
            writer.write(b"x")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_requests_in_a_row_are_answered_and_more_of_them_are_not_kept() -> None:
    async with serving(Connections(100, 100)) as site:
        _, writer = await site.open()
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + GET * 50_000)
        await until(lambda: bool(site.begun))
        [connection] = site.server.server_state.connections
        assert len(connection.pipeline) <= 8  # type: ignore[union-attr]


async def test_a_few_requests_in_a_row_get_their_answers() -> None:
    async with serving(Connections(100, 100)) as site:
        close = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        assert (await site.asked(GET * 5 + close)).count(b"HTTP/1.1 200 ") == 6
        assert (await site.asked(GET * 500)).count(b"HTTP/1.1 200 ") == 9


async def test_a_reader_that_takes_nothing_is_ended_and_a_slow_one_is_not() -> None:
    connections = Connections(100, 100, times=Times(taking=1.0))
    async with serving(connections) as site:
        with socket.create_connection(site.address) as stuck, socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(slow.connect, site.address)
            slow.settimeout(10)
            for each in (stuck, slow):
                each.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
            while not connections.ended:
                assert await asyncio.to_thread(slow.recv, 1024)
                await asyncio.sleep(0.01)
            assert dict(connections.ended) == {"ended: its reader took nothing": 1}
            assert await asyncio.to_thread(slow.recv, 1024)
            assert len(site.server.server_state.connections) == 1


async def test_leaving_is_told_also_where_more_requests_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(Connections(100, 100)) as site:
            _, writer = await site.open()
            writer.write(b"GET /until-left HTTP/1.1\r\nhost: x\r\n\r\n" + GET * 3)
            await until(lambda: bool(site.begun))
            writer.transport.abort()
            await until(lambda: "left" in site.begun)
    assert "/" not in site.begun
    assert not caplog.records


class _Entered(Connections):
    """Notes of each connection whether the server listened yet when it came in."""

    listening: Callable[[], bool]

    def __init__(self) -> None:
        super().__init__(100, 100)
        self.entered: list[bool] = []

    def enter(self, connection: Any) -> int:
        self.entered.append(self.listening())
        return super().enter(connection)


async def test_a_connection_that_comes_in_as_the_server_stops_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel has it already, the server's protocol comes behind the end of listening."""
    connections = _Entered()
    async with serving(connections) as site:
        connections.listening = lambda: site.server.servers[0].is_serving()
        late: list[socket.socket] = []

        async def drain(admission: _Admission, grace: float) -> None:
            """The server goes on with its end one turn of the loop behind this."""
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: late.append(socket.create_connection(site.address)))

        monkeypatch.setattr(_Admission, "drain", drain)
        site.server.should_exit = True
        await until(lambda: bool(connections.entered))
        with late[0] as client:
            assert connections.entered == [False]
            await until(lambda: not site.server.server_state.connections)
            assert await asyncio.to_thread(_last_words, client) == b""
    assert not caplog.records  # of uvicorn, that time is up


def _last_words(client: socket.socket) -> bytes:
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""


async def test_neither_who_takes_nothing_nor_who_waits_outlasts_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("playground.cli.server._REST_SECONDS", 0.05)
    async with serving(Connections(100, 100)) as site:
        _, stuck = await site.open()  # whose stream takes no more than it holds
        stuck.write(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        _, waiting = await site.open()
        waiting.write(b"GET /until-left HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: {"/large", "/until-left"} <= {*site.begun})
        site.server.should_exit = True
        await until(lambda: not site.server.server_state.connections)


async def test_many_headers_are_too_many() -> None:
    async with serving(Connections(100, 100)) as site:
        head = b"GET / HTTP/1.1\r\nhost: x\r\n"
        assert (await site.asked(head + b"a: b\r\n" * 300)).startswith(b"HTTP/1.1 431 ")
        assert (await site.asked(head + b"a: " + b"b" * 70_000)).startswith(b"HTTP/1.1 431 ")
        assert (await site.asked(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("size", "parts", "status"),
    [(1, 1_500, 200), (1, 5_000, 400), (16, 5_000, 400), (128, 5_000, 200)],
)
async def test_a_body_comes_in_so_many_parts_for_its_bytes(
    size: int, parts: int, status: int
) -> None:
    async with serving(Connections(100, 100)) as site:
        reader, writer = await site.open()
        part = b"%x\r\n%b\r\n" % (size, b"x" * size)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(part * parts + b"0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)


class _Watched(Connections):
    """Counts what is read, and what is begun, in each turn of this event loop."""

    def __init__(self) -> None:
        super().__init__(400, 200)
        self.read: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self._turn = 0
        self._next()

    def _next(self) -> None:
        self._turn += 1
        self._tick = asyncio.get_running_loop().call_soon(self._next)

    def accept(self, **options: Any) -> asyncio.Protocol:
        protocol: Any = super().accept(**options)
        read, app = protocol.data_received, protocol.app

        def data_received(data: bytes) -> None:
            self.read[self._turn] += len(data)
            read(data)

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self.begun[self._turn] += 1
            await app(scope, receive, send)

        protocol.data_received, protocol.app = data_received, counted
        return cast(asyncio.Protocol, protocol)

    def end(self) -> None:
        super().end()
        self._tick.cancel()


async def test_of_many_requests_in_one_moment_a_few_are_begun_in_each_turn() -> None:
    connections = _Watched()
    async with serving(connections) as site:
        opened = [await site.open() for _ in range(100)]
        for _, writer in opened:
            writer.write(GET)
        for reader, _ in opened:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    assert connections.begun.total() == 100
    assert max(connections.begun.values()) <= 4


async def test_each_address_has_its_turn_whatever_another_sends() -> None:
    async with serving(Connections(400, 200)) as site:
        many = [await site.open("127.0.0.2") for _ in range(60)]
        reader, one = await site.open("127.0.0.3")
        for _, writer in many:
            writer.write(b"GET /from/many HTTP/1.1\r\nhost: x\r\n\r\n")
        one.write(b"GET /from/one HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert site.begun.index("one") <= 60 // 2
        await until(lambda: len(site.begun) == 61)


async def test_what_left_before_its_turn_is_not_begun() -> None:
    async with serving(Connections(400, 200)) as site:
        many = [await site.open() for _ in range(100)]
        for _, writer in many:
            writer.write(GET)
            writer.transport.abort()
        await until(lambda: not site.server.server_state.connections)
        assert (await site.asked(GET[:-2] + b"connection: close\r\n\r\n")).endswith(b'"x"')
        assert len(site.begun) < 50


async def test_of_many_large_bodies_a_few_parts_are_read_in_each_turn() -> None:
    connections = _Watched()
    sent = b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n" + b"x" * 900_000
    async with serving(connections) as site:
        opened = [await site.open() for _ in range(20)]
        for _, writer in opened:
            writer.write(sent)
        await until(lambda: connections.read.total() == 20 * len(sent))
    first, *rest = sorted(connections.read.values(), reverse=True)
    assert first <= 20 * 65_536  # what lay there before anything was read
    assert max(rest) <= 20 * 65_536
    assert len(connections.read) >= 20 * 900_000 / (4 * 65_536)
