"""One pool of connections under the client: an httpx transport on httpcore.

It adds two things to httpx's own transport. Errors of the network leave it as `tgi.errors`, so no
other module knows httpcore's. And the network stream of a response carries a `gate`, awaited each
time before more bytes are read: there a reader learns that everything that has arrived is parsed,
and may wait, so that one read brings several tokens.
"""

# ruff: noqa: ASYNC109  (the signatures are those of httpcore's interfaces)

import asyncio
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpcore
import httpx

from tgi.errors import ConnectFailed, Overloaded, ProtocolError, TGIError, Timeout

# uvicorn closes idle connections after 5 s; leaving first avoids a race with that.
KEEPALIVE_EXPIRY_S = 4.0

Gate = Callable[[], Awaitable[None]]


class Connection(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection, plain or TLS: bytes as they come, and a `gate` before each read.

    While the gate is awaited the socket is not read, so that what arrives waits in the kernel and
    one wake-up brings all of it.
    """

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unanswered = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.gate is not None:
            if not self._transport.is_closing():
                self._transport.pause_reading()
            await self.gate()
            if not self._transport.is_closing():
                self._transport.resume_reading()
        if not self._received and not self._ended:
            await self._arrival(timeout)
        if self._received:
            data = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            self._unanswered = False
            return data
        if self._error is not None:
            raise httpcore.ReadError(_words(self._error)) from self._error
        if self._unanswered:
            raise httpcore.ReadError("the server closed it without answering")
        return b""

    async def _arrival(self, timeout: float | None) -> None:
        self._waiter = waiter = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, self._expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _expire(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(httpcore.ReadTimeout("no byte came in time"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # The bytes of a request are in memory already: nothing is gained by waiting for the kernel.
        self.gate = None  # a new request: the reader of the last one has left
        self._unanswered = True
        if self._ended:
            raise httpcore.WriteError("the server had closed it")
        self._transport.write(buffer)

    async def aclose(self) -> None:
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._transport.abort()
            raise httpcore.ConnectTimeout("no TLS in time") from error
        except ssl.SSLError as error:  # another try would fail in the same way
            self._transport.abort()
            raise httpcore.LocalProtocolError(_words(error)) from error
        except OSError as error:
            self._transport.abort()
            raise httpcore.ConnectError(_words(error)) from error
        assert transport is not None
        self._transport = transport
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of an idle connection: has the server closed it?
            return self._ended or bool(self._received)
        return self._transport.get_extra_info(info)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()


class _Backend(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(Connection, host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpcore.ConnectError(_words(error)) from error
        return connection


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes], origin: str) -> None:
        self._stream = stream
        self._origin = origin

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated(self._origin):
            try:
                async for part in self._stream:
                    yield part
            except httpcore.RemoteProtocolError as error:  # most often an end in mid-body
                raise httpcore.ReadError(str(error)) from error

    async def aclose(self) -> None:
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive over at most `max_connections` connections, TLS where the URL says.

    Raises ConnectFailed, Timeout, Overloaded (all connections in use) and ProtocolError.
    """

    def __init__(self, max_connections: int, *, tls: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context() if tls else None,
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_EXPIRY_S,
            network_backend=_Backend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        with _translated(origin):
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        assert isinstance(response.stream, AsyncIterable)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_ResponseStream(response.stream, origin),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


@contextmanager
def _translated(origin: str) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
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


def _words(error: Exception) -> str:
    """What the system says, without asyncio's address lists."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.lower()
    if isinstance(error, ssl.SSLError):  # its numbers are not the system's
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:  # look-ups of names have negative numbers
        return error.strerror.lower()
    return str(error) or type(error).__name__
