"""A server of faults: it listens on a real port and writes exactly the bytes that a test says.

    async def answer(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("Hi", generated_text="Hi"))

    async with serving(answer) as server:
        ...  # speak to server.url; afterwards server.requests tells what came in

A script answers one request; the n-th request gets the n-th script, the last one all that follow.
A script that returns has answered: its connection is closed, unless it used `peer.answer`.
"""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

DEADLINE_S = 20.0
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Request:
    """One request as it came in. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class Peer:
    """The client of one request, as the server sees it.

    connection: which of the server's connections it came over, counted from 1.
    """

    def __init__(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: int,
    ) -> None:
        self.request = request
        self.connection = connection
        self.reusable = False
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Bytes as they are. What is sent in two calls comes to a client that runs in the same
        event loop in two reads: the loop turns until it has had the first."""
        self._writer.write(data)
        await self._writer.drain()
        for _ in range(5):
            await asyncio.sleep(0)

    def send_now(self, data: bytes) -> None:
        """A few bytes, before the loop turns again."""
        assert os.write(self._descriptor, data) == len(data)

    def confirmed(self) -> None:
        """Wait, while the loop stands still, until the client's kernel has all that was sent."""
        while sys.platform == "linux":  # SIOCOUTQ, tcp(7): bytes that are not confirmed yet
            left = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4))
            if not any(left):
                break

    @property
    def _descriptor(self) -> int:
        connection: socket.socket = self._writer.get_extra_info("socket")
        return connection.fileno()

    async def head(
        self,
        status: int = 200,
        content_type: str = "text/event-stream",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The head of an answer whose body ends with the connection."""
        lines = [f"HTTP/1.1 {status} Status", f"content-type: {content_type}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def answer(
        self,
        body: bytes = b"",
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A whole answer, after which the connection may be used again."""
        lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body)}"]
        lines += [f"content-type: {content_type}"] if content_type else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)
        self.reusable = True

    async def gone(self) -> float:
        """Wait until the client has closed the connection; the moment on `time.perf_counter`."""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                while await self._reader.read(65536):
                    pass
        return time.perf_counter()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class FaultServer:
    """url: without a slash at the end. connections: how many were opened so far."""

    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def serving(
    *scripts: Script, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FaultServer]:
    """A server that answers with these scripts. An error inside a script is raised at the end."""
    state = FaultServer("")
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        number = state.connections
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                while True:
                    peer = Peer(await _request(reader), reader, writer, number)
                    script = scripts[min(len(state.requests), len(scripts) - 1)]
                    state.requests.append(peer.request)
                    await script(peer)
                    if not peer.reusable:
                        break
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(converse(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        results = await asyncio.gather(*conversations, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


def chunks(*pieces: bytes) -> bytes:
    """Pieces of a body as HTTP cuts it; an empty one ends it."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def event(text: str, *, index: int = 0, generated_text: str | None = None, **more: object) -> bytes:
    """One event of a stream as TGI writes it; `more` replaces or adds fields."""
    fields = {
        "index": index,
        "token": {"id": 7, "text": text, "logprob": -0.25, "special": False},
        "generated_text": generated_text,
        "details": None,
        **more,
    }
    return b"data:" + orjson.dumps(fields) + b"\n\n"


def error_event(error: str, error_type: str) -> bytes:
    """An error inside a stream, as TGI writes it."""
    return b"data:" + orjson.dumps({"error": error, "error_type": error_type}) + b"\n\n"
