"""One pool of connections under the client: an httpx transport on httpcore.

It adds two things to httpx's own transport. Errors of the network leave it as `tgi.errors`, so no
other module knows httpcore's. And the network stream of a response carries a `gate`, awaited each
time before more bytes are read: there a reader learns that everything that has arrived is parsed,
and may wait, so that one read brings several tokens.
"""

# ruff: noqa: ASYNC109  (the signatures are those of httpcore's interfaces)

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from tgi.errors import ConnectFailed, Overloaded, ProtocolError, TGIError, Timeout

# uvicorn closes idle connections after 5 s; leaving first avoids a race with that.
KEEPALIVE_EXPIRY_S = 4.0

Gate = Callable[[], Awaitable[None]]
SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class GatedStream(httpcore.AsyncNetworkStream):
    """A network stream that awaits `gate`, where one is set, before each read."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unanswered = False
        self.gate: Gate | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.gate is not None:
            await self.gate()
        data = await self._stream.read(max_bytes, timeout)
        if not data and self._unanswered:
            raise httpcore.ReadError("the server closed the connection without answering")
        self._unanswered = False
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unanswered = True
        self.gate = None  # a new request: the reader of the last one has left
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return GatedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _GatedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return GatedStream(
            await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return GatedStream(await self._backend.connect_unix_socket(path, timeout, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes], origin: str) -> None:
        self._stream = stream
        self._origin = origin

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated(self._origin):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive over at most `max_connections` connections, TLS where the URL says.

    Raises ConnectFailed, Timeout, Overloaded (all connections in use) and ProtocolError.
    """

    def __init__(self, max_connections: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_EXPIRY_S,
            network_backend=_GatedBackend(),
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
                f"Nothing answers at {origin} ({_root(error)}): the server is not running, still "
                f"starting, or the address is wrong."
            )
        case httpcore.NetworkError():
            return ConnectFailed(f"The connection to {origin} broke ({_root(error)}).")
        case _:
            return ProtocolError(
                f"{origin} does not speak HTTP as it should ({error}): check the address, and "
                f"http:// against https://."
            )


def _root(error: BaseException) -> str:
    """The first cause in words: "connection refused" says more than "all attempts failed"."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
