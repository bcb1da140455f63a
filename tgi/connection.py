"""One connection to a server, plain or TLS, as httpcore reads and writes it.

It knows bytes and sockets, and nothing of HTTP.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

import httpcore

Gate = Callable[[], Awaitable[None]]


# ruff: noqa: ASYNC109  (the signatures are those of httpcore's interface)


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

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext | None, seconds: float | None
    ) -> Self:
        """A new connection. Raises httpcore's ConnectTimeout, ConnectError (nothing listens there,
        or the name is unknown) and LocalProtocolError (the server does not agree on TLS)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return (await loop.create_connection(cls, host, port, ssl=tls))[1]
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except ssl.SSLError as error:
            raise httpcore.LocalProtocolError(words(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(words(error)) from error

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
            raise httpcore.ReadError(words(self._error)) from self._error
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


def words(error: Exception) -> str:
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
