"""The connections under the client, as an httpx transport of its own.

httpx's takes httpcore and h11, whose work for each chunk of a body, and so for each token, is more
than half of what a token costs; and httpcore's pool does work for each request that grows with the
square of the connections, to 6 ms at 100 of them. aiohttp's connector costs a fifth more for a
token than this, and uses a connection again over which more than the answer has come, so that the
next reader is given it. Errors leave as `tgi.errors`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator

import httpx

from tgi.connection import Connection
from tgi.errors import Overloaded, ProtocolError

# uvicorn closes idle connections after 5 s; leaving first avoids a race with that.
KEEPALIVE_EXPIRY_S = 4.0


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive to one origin, over at most `max_connections` connections.

    A response's extension "network_stream" is its `Connection`, by which a stream is read.

    Raises:
        ConnectFailed: Nothing listens there, or the connection broke.
        Timeout: Nothing came within the time allowed.
        Overloaded: All connections in use.
        ProtocolError: The answer is none that TGI gives.
    """

    def __init__(self, max_connections: int, *, tls: bool) -> None:
        self._tls = httpx.create_ssl_context() if tls else None
        self._free = asyncio.Semaphore(max_connections)
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()  # the last used at the right

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer, with the body still to be read."""
        timeouts = request.extensions["timeout"]
        data = await _written(request)
        origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        try:
            async with asyncio.timeout(timeouts["pool"]):
                await self._free.acquire()
        except TimeoutError as error:
            raise Overloaded(
                f"All connections to {origin} that this client may open are in use; try again "
                f"when an answer has ended."
            ) from error
        connection = None
        try:
            connection = self._reuse()
            if connection is None:
                url = request.url
                host = url.raw_host.decode("ascii")
                port = url.port or (80 if self._tls is None else 443)
                connection = await Connection.open(
                    origin, host, port, self._tls, timeouts["connect"]
                )
                self._open.add(connection)
            await connection.request(data, timeouts["read"])
        except BaseException:
            self.release(connection)
            raise
        return httpx.Response(
            status_code=connection.status,
            headers=connection.headers,
            stream=_Body(self, connection, timeouts["read"]),
            extensions={"network_stream": connection},
        )

    def release(self, connection: Connection | None) -> None:
        """A request is over: the next one may have its connection if that can be used again."""
        self._free.release()
        if connection is None:
            return
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            self._discard(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        self._idle.clear()
        for connection in list(self._open):
            self._discard(connection)

    def _reuse(self) -> Connection | None:
        """The connection that was used last, so that those in excess grow old and are closed."""
        while self._idle and self._idle[0].idle_since < time.monotonic() - KEEPALIVE_EXPIRY_S:
            self._discard(self._idle.popleft())
        while self._idle:
            newest = self._idle.pop()
            if newest.reusable:
                return newest
            self._discard(newest)
        return None

    def _discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, which gives its connection back when it is closed."""

    def __init__(self, transport: Transport, connection: Connection, seconds: float | None) -> None:
        self._transport = transport
        self._connection = connection
        self._seconds = seconds
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while part := await self._connection.read(self._seconds):
            yield part

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._transport.release(self._connection)


async def _written(request: httpx.Request) -> bytes:
    """The request as it is sent. Raises ProtocolError for a header that would break out of it."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    for name, value in request.headers.raw:
        if b"\r" in name + value or b"\n" in name + value or b"\0" in name + value:
            raise ProtocolError(f"The header {name.decode('latin-1')!r} holds the end of a line.")
        lines.append(b"%b: %b" % (name, value))
    assert isinstance(request.stream, AsyncIterable)
    body = b"".join([part async for part in request.stream])
    return b"\r\n".join([*lines, b"", body])
