"""The connections under the client: an httpx transport on httpcore's HTTP/1.1.

Errors of the network leave it as `tgi.errors`, so that no other module knows httpcore's. The
network stream of a response is a `tgi.connection.Connection`, whose gate paces the reads.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from tgi.connection import Connection
from tgi.errors import ConnectFailed, Overloaded, ProtocolError, TGIError, Timeout

# uvicorn closes idle connections after 5 s; leaving first avoids a race with that.
KEEPALIVE_EXPIRY_S = 4.0


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive to one origin, over at most `max_connections` connections.

    httpcore's pool is left out: what it does for each request grows with the square of the
    connections, to 6 ms at 100 of them.
    Raises ConnectFailed, Timeout, Overloaded (all connections in use) and ProtocolError.
    """

    def __init__(self, max_connections: int, *, tls: bool) -> None:
        self._tls = httpx.create_ssl_context() if tls else None
        self._free = asyncio.Semaphore(max_connections)
        self._open: set[httpcore.AsyncHTTP11Connection] = set()
        self._idle: deque[httpcore.AsyncHTTP11Connection] = deque()  # the last used at the right

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions["timeout"]
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with translated(request.url):
            try:
                async with asyncio.timeout(timeouts["pool"]):
                    await self._free.acquire()
            except TimeoutError as error:
                raise httpcore.PoolTimeout from error
            connection = None
            try:
                connection = await self._reuse()
                if connection is None:
                    connection = await self._connect(url.origin, timeouts["connect"])
                response = await connection.handle_async_request(
                    httpcore.Request(
                        method=request.method,
                        url=url,
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
            except BaseException:
                self.release(connection)
                raise
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response, request.url, self, connection),
            extensions=response.extensions,
        )

    def release(self, connection: httpcore.AsyncHTTP11Connection | None) -> None:
        """A request is over: unless its connection was closed, the next one may have it."""
        self._free.release()
        if connection is not None and connection.is_idle():
            self._idle.append(connection)
        elif connection is not None:
            self._open.discard(connection)

    async def aclose(self) -> None:
        self._idle.clear()
        for connection in list(self._open):
            await connection.aclose()
        self._open.clear()

    async def _reuse(self) -> httpcore.AsyncHTTP11Connection | None:
        """The connection that was used last, so that those in excess grow old and are closed."""
        while self._idle:
            newest = self._idle.pop()
            while self._idle and self._idle[0].has_expired():
                await self._discard(self._idle.popleft())
            if not newest.has_expired():
                return newest
            await self._discard(newest)
        return None

    async def _discard(self, connection: httpcore.AsyncHTTP11Connection) -> None:
        self._open.discard(connection)
        await connection.aclose()

    async def _connect(
        self, origin: httpcore.Origin, seconds: float
    ) -> httpcore.AsyncHTTP11Connection:
        stream = await Connection.open(origin.host.decode("ascii"), origin.port, self._tls, seconds)
        connection = httpcore.AsyncHTTP11Connection(origin, stream, KEEPALIVE_EXPIRY_S)
        self._open.add(connection)
        return connection


class _Body(httpx.AsyncByteStream):
    """The body of an answer, which gives its connection back when it is closed."""

    def __init__(
        self,
        response: httpcore.Response,
        url: httpx.URL,
        transport: Transport,
        connection: httpcore.AsyncHTTP11Connection,
    ) -> None:
        self._response = response
        self._url = url
        self._transport = transport
        self._connection = connection
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)
        with translated(self._url):
            try:
                async for part in self._response.stream:
                    yield part
            except httpcore.RemoteProtocolError as error:  # most often an end in mid-body
                raise httpcore.ReadError(str(error)) from error

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._response.aclose()
            finally:
                self._transport.release(self._connection)


@contextmanager
def translated(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        raise _translate(error, origin) from error


def _translate(error: Exception, origin: str) -> TGIError:
    match error:
        case httpcore.ConnectTimeout():
            return Timeout(
                f"{origin} did not take the connection in time: check the address, and that no "
                f"firewall is in between."
            )
        case httpcore.PoolTimeout():
            return Overloaded(
                f"All connections to {origin} that this client may open are in use; try again "
                f"when an answer has ended."
            )
        case httpcore.TimeoutException():
            return Timeout(
                f"{origin} fell silent: no byte came within the read timeout. It may be stuck or "
                f"too busy; try again, or look at its log."
            )
        case httpcore.ConnectError():
            return ConnectFailed(
                f"Nothing answers at {origin} ({error}): the server is not running, still "
                f"starting, or the address is wrong."
            )
        case httpcore.NetworkError():
            return ConnectFailed(f"The connection to {origin} broke ({error}).")
        case _:
            return ProtocolError(
                f"{origin} does not speak HTTP as it should ({error}): check the address, "
                f"http:// against https://, and the server's certificate."
            )
