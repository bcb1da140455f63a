"""One HTTP/1.1 connection to a server: a request out, its answer in.

The answer's body is given by the read: what arrived together is one part, however many chunks the
server cut it into. Parsing is httptools' (llhttp, in C); a part for each chunk, and so for each
token, costs more than all else that is done with a token.
"""

import asyncio
import os
import select
import socket
import ssl
from typing import Final, Self, cast

import httptools

from tgi.errors import ConnectFailed, ProtocolError, TGIError, Timeout, UnknownHost
from tgi.waiting import Wait

# What an answer's head may have, in bytes, with interim answers before it.
_MOST_HEAD: Final = 65_536
# What is read at once, in bytes.
_MOST_TAKEN: Final = 65_536


class Connection(asyncio.Protocol):
    """A connection, plain or TLS; one request at a time.

    Args:
        origin: The server's address, for messages.

    Attributes:
        status: Of the answer.
        headers: Of the answer.

    Raises:
        ConnectFailed: Broken, or ended in the middle.
        Timeout: Nothing came within the time allowed.
        ProtocolError: The answer is none that TGI gives.
    """

    def __init__(self, origin: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.idle_since = 0.0
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._begun = self._complete = True
        self._consumed = False
        self._kept_alive = True
        self._silent = False
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._ended = False
        self._descriptor: int | None = None
        self._paused = False
        self._failure: TGIError | None = None
        self._wait = Wait()

    @classmethod
    async def open(
        cls, origin: str, host: str, port: int, tls: ssl.SSLContext | None, seconds: float | None
    ) -> Self:
        """A new connection, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                loop = asyncio.get_running_loop()
                return (await loop.create_connection(lambda: cls(origin), host, port, ssl=tls))[1]
        except TimeoutError as error:
            raise Timeout(
                f"{origin} did not take the connection in time: check the address, and that no "
                f"firewall is in between."
            ) from error
        except ssl.SSLError as error:
            raise _no_http(origin, _words(error)) from error
        except socket.gaierror as error:
            # A name without a dot is one of a network of containers, if it is no mistake.
            stopped = "" if "." in host else "a container that is stopped has none, so "
            raise UnknownHost(
                f"There is no address for the name {host} ({_words(error)}): {stopped}check "
                f"{'that it runs, and ' if stopped else ''}the address {origin}."
            ) from error
        except OSError as error:
            raise ConnectFailed(
                f"Nothing answers at {origin} ({_words(error)}): the server is not running, still "
                f"starting, or the address is wrong."
            ) from error

    @property
    def reusable(self) -> bool:
        """Whether nothing of its last request can reach the next one, and the server takes that.

        The answer was read to its end by the one who asked, and nothing has come since, neither to
        here nor to the kernel. It is no refusal, which may come before the request was read.
        """
        return (
            self._consumed
            and self.status < 400
            and self._kept_alive
            and not self._transport.is_closing()
            and not _readable(self._transport.get_extra_info("socket"))
        )

    def header(self, name: bytes) -> str:
        """A header of the answer by its name in lower case; empty where there is none."""
        values = [value for each, value in self.headers if each.lower() == name]
        return b", ".join(values).decode("latin-1")

    async def request(self, data: bytes, seconds: float | None) -> None:
        """Send a whole request, and read the answer up to its body: `status` and `headers`.

        Args:
            seconds: Longest silence, here and in `read`.
        """
        if self._ended:
            raise self._broken("the server had closed it")
        self.headers = []
        self._begun = self._complete = self._consumed = False
        self._silent = True
        self._head_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        # The bytes are in memory already: nothing is gained by waiting for the kernel.
        self._transport.write(data)
        # However slowly it comes, the whole head has as long as a silence.
        by = None if seconds is None else self._loop.time() + seconds
        while not self._begun:
            await self._arrival(None if by is None else max(0.0, by - self._loop.time()))

    async def read(self, seconds: float | None) -> bytes:
        """What has arrived of the body, at least a byte; b"" at its end."""
        if self._paused and not self._parts and not self._complete and not self._take():
            self._resume()
        while not self._parts and not self._complete:
            await self._arrival(seconds)
        if self._paused and self._complete:
            self._resume()  # what comes now says that it cannot be used again
        parts, self._parts = self._parts, []
        self._consumed = not parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def hold(self) -> None:
        """Leave what arrives of the body in the kernel, where one call of `read` brings all."""
        if not self._complete and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _take(self) -> bool:
        """Parse what the kernel holds of the body; whether there was something.

        Past the loop, which would be told to watch the socket, wait for it, and be told to look
        away again: that is a tenth of what a read costs. Its end and its errors are the loop's.
        """
        if self._descriptor is None or self._transport.is_closing():
            return False
        try:
            data = os.read(self._descriptor, _MOST_TAKEN)
        except OSError:
            return False
        if data:
            self.data_received(data)
        return bool(data)

    def abort(self) -> None:
        """Close it at once."""
        self._transport.abort()

    async def _arrival(self, seconds: float | None) -> None:
        if self._failure is not None:
            raise self._failure
        if not await self._wait.wait(seconds):
            raise Timeout(
                f"{self._origin} fell silent: no byte came within the read timeout. It may be "
                f"stuck or too busy; try again, or look at its log."
            )

    def _broken(self, why: str) -> ConnectFailed:
        return ConnectFailed(f"The connection to {self._origin} broke ({why}).")

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        plain = os.name == "posix" and transport.get_extra_info("ssl_object") is None
        self._descriptor = transport.get_extra_info("socket").fileno() if plain else None

    def data_received(self, data: bytes) -> None:
        """Bytes came: parse them, and wake whoever reads."""
        if self._complete:
            self._kept_alive = False  # nothing was asked for
            return
        self._silent = False
        try:
            self._parser.feed_data(data)
            if not self._begun:
                self._head_bytes += len(data)
                if self._head_bytes > _MOST_HEAD:
                    raise httptools.HttpParserError("its head is too long")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._failure = _no_http(self._origin, str(error))
            self._kept_alive = False
            self._transport.abort()  # what else comes would be kept by nobody
        if not self._wait.waits and self._begun:
            self.hold()  # nobody reads: no more than this is kept
        self._wait.end()

    def eof_received(self) -> None:
        # The connection's end is also the body's where nothing else says where that is.
        """The server has closed its side."""
        if not self._complete and self._begun and not self._has_length():
            self._complete = True
        self._end("the server closed it in the middle of its answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(_words(exc) if exc else "it was closed in the middle of an answer")
        self._wait.close()

    def _end(self, why: str) -> None:
        self._ended = True
        if self._failure is None:
            self._failure = self._broken(
                "the server closed it without answering" if self._silent else why
            )
        self._wait.end()

    def _has_length(self) -> bool:
        """Whether the answer's head says where its body ends (RFC 9112, 6.3)."""
        return any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers
        )

    # What httptools calls

    def on_message_begin(self) -> None:
        """An answer begins; there is one to a request."""
        if self._complete:
            raise ValueError("more than one answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; that of an interim answer is dropped."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = []  # an interim answer; the one that counts follows
        else:
            self._begun = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status >= 200:
            self._complete = True
            self._kept_alive = self._parser.should_keep_alive()


def _readable(connection: socket.socket) -> bool:
    """Whether the kernel holds something to read, the connection's end included."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _no_http(origin: str, why: str) -> ProtocolError:
    return ProtocolError(
        f"{origin} does not speak HTTP as it should ({why}): check the address, "
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
