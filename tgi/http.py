"""HTTP to one server: whole answers and event streams, retried where that helps.

It knows no engine: how an event is read, which one is the last and what a refusal means is given.
Everything that fails is a `tgi.errors.TGIError`.
"""

import asyncio
import logging
import random
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, TypeVar

import httpx
import orjson

from tgi import decoding
from tgi.connection import Connection
from tgi.errors import (
    ConnectFailed,
    IncompleteStream,
    Overloaded,
    ProtocolError,
    TGIError,
    Timeout,
    Unhealthy,
    ValidationFailed,
)
from tgi.events import Events
from tgi.streaming import Beat
from tgi.transport import Transport

T = TypeVar("T")

Refusal = Callable[[int, Mapping[str, str], bytes], TGIError]

_log = logging.getLogger(__name__)

# What a second try can mend. A timeout is not among them: it has cost the reader enough already.
_RETRIED: Final = (ConnectFailed, Overloaded, Unhealthy)
_BACK_OFF_S: Final = 0.25
_BACK_OFF_MAX_S: Final = 8.0
# A longer Retry-After is not waited for: the error says how long, and the caller decides.
_RETRY_AFTER_MAX_S: Final = 30.0
# How long a complete stream may take to end, so that its connection can be used again.
_FINISH_S: Final = 0.5
# Of what a server says of itself.
_ABOUT_BYTES: Final = 4 * 2**20
# Of a refusal: its words stand at the beginning.
_REFUSAL_BYTES: Final = 65_536
_AGENT: Final = f"python-httpx/{httpx.__version__}"


class HTTPClient:
    """One server, one pool of kept-alive connections, for one event loop.

    Args:
        url: Of the server, such as ``http://tgi`` or ``https://host/prefix``.
        connect_timeout: Seconds until a connection must stand (and until one of the pool is free).
        read_timeout: Longest silence in seconds; any byte, a keep-alive comment too, starts it
            anew.
        retries: How often a request is retried, with back-off and jitter, while no event of it has
            arrived: connection refused or broken before the answer, 429, 503, "overloaded". A
            server's Retry-After of up to 30 s is honoured. Nothing is retried after the first
            event.
        max_connections: More requests than these wait, at most `connect_timeout`.
        refusal: The error that an answer with another status than 200 means, from its status,
            headers and body.
        answer_timeout: Seconds in which an answer that is no stream must be whole.
        event_timeout: Seconds in which a stream must bring an event; comments are none.
        answer_bytes: The longest answer that is read.
        event_bytes: The longest event that is read, with what stands between it and the one before.
        close_streams: Whether a connection serves one stream only.

    Raises:
        ValueError: For a url that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        retries: int = 3,
        max_connections: int = 512,
        refusal: Refusal = decoding.error_answer,
        answer_timeout: float = 180.0,
        event_timeout: float = 600.0,
        answer_bytes: int = 32 * 2**20,
        event_bytes: int = 4 * 2**20,
        close_streams: bool = False,
    ) -> None:
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL: {error}") from error
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError(f"{url!r} must begin with http:// or https:// and name a host.")
        self.url = url
        self._retries = retries
        self._refusal = refusal
        self._answer_timeout = answer_timeout
        self._event_timeout = event_timeout
        self._answer_bytes = answer_bytes
        self._event_bytes = event_bytes
        self._close_streams = close_streams
        self._beats: dict[float, Beat] = {}
        self._base = base.raw_path.rstrip(b"/")
        self._origin = base.copy_with(raw_path=b"/", userinfo=b"")
        self._paths: dict[str, httpx.URL] = {}
        self._headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": _AGENT}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        elif base.userinfo:
            name_and_password = b64encode(f"{base.username}:{base.password}".encode()).decode()
            self._headers["authorization"] = f"Basic {name_and_password}"
        self._read_timeout = read_timeout
        self._timeouts = httpx.Timeout(
            connect=connect_timeout, pool=connect_timeout, read=read_timeout, write=read_timeout
        ).as_dict()
        # Without httpx's client, which would divert the requests by the environment's proxies and
        # keep cookies for everybody, and whose work for a request is a fifth of all that an answer
        # takes until its first token.
        self._transport = Transport(max_connections, tls=base.scheme == "https")
        self._closed = False

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request, sent once; the body of its answer."""
        try:
            async with (
                asyncio.timeout(self._answer_timeout),
                self._open(method, path, body, headers) as connection,
            ):
                most = self._answer_bytes if body else min(self._answer_bytes, _ABOUT_BYTES)
                return await self._whole(connection, most)
        except TimeoutError as error:
            raise Timeout(
                f"The answer of {self.url} was not whole within {self._answer_timeout:g} s."
            ) from error

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request, retried where that can help; the body of its answer."""
        attempt = 0
        while True:
            try:
                return await self.send(method, path, body, headers)
            except TGIError as error:
                await self._back_off(error, attempt)
            attempt += 1

    async def stream(
        self,
        path: str,
        body: bytes,
        read: Callable[[str], T | None],
        is_last: Callable[[T], bool],
        *,
        pace: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[list[T], None]:
        """What a POST streams, in lists of the events that arrived together.

        Closing the generator closes the connection at once, even if the server is silent or not yet
        connected: use `contextlib.aclosing` where the loop may be left early. A slow taker slows
        the reads.

        Args:
            read: An event from its data, ``None`` for one that brings nothing; it raises the
                TGIError that an event stands for.
            is_last: Whether the stream is complete with an event.
            pace: Seconds between reads, on a beat that all streams share and that slows down while
                the event loop is late. The first event is given at once, and those that come
                between two beats together. 0 reads when something is there.

        Raises:
            IncompleteStream: When the stream ends without its last event.
        """
        if self._close_streams:
            headers = {**(headers or {}), "connection": "close"}
        beat = self._beats.setdefault(pace, Beat(pace))
        attempt = 0
        begun = complete = False
        beat.streams += 1
        try:
            while not complete:
                try:
                    batches = self._read(beat, path, body, headers, read, is_last)
                    async with aclosing(batches):
                        async for batch in batches:
                            begun = True
                            yield batch
                    complete = True
                except TGIError as error:
                    if begun:
                        raise
                    await self._back_off(error, attempt)
                attempt += 1
        finally:
            beat.streams -= 1

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._transport.aclose()

    async def _read(
        self,
        beat: Beat,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        read: Callable[[str], T | None],
        is_last: Callable[[T], bool],
    ) -> AsyncGenerator[list[T], None]:
        """Send a request once; its events by the read, up to the last one."""
        async with self._open("POST", path, body, headers) as network:
            kind = network.header(b"content-type")
            if not kind.startswith("text/event-stream"):
                answer = await self._whole(network, _REFUSAL_BYTES, cut=True)
                kind = decoding.excerpt(kind) or "no content type"
                raise ProtocolError(
                    f"The server answers with {kind} instead of an event stream: "
                    f"{decoding.excerpt(answer)}",
                    status=200,
                )
            events = Events()
            now = asyncio.get_running_loop().time
            told_at = opened = now()
            silent = 0  # bytes, since the last event
            while True:
                part = await self._part(network)
                arrived = now()
                batch: list[T] = []
                last, failure = False, None
                try:
                    found = events.feed(part)
                    for data in found:
                        item = read(data)
                        if item is not None:
                            batch.append(item)
                            if last := is_last(item):
                                break
                except Exception as error:  # raised behind what came before it
                    failure = error
                if batch:
                    try:
                        yield batch
                    finally:
                        # The rest of an answer that is complete frees its connection for the next.
                        if last and not self._close_streams:
                            await self._drain(network)
                    told_at = arrived
                if last:
                    return
                if failure is not None:
                    raise failure
                silent = 0 if found else silent + len(part)
                if silent > self._event_bytes:
                    raise ProtocolError(
                        f"The server sent more than {self._event_bytes} bytes without an event.",
                        status=200,
                    )
                # At each read, of which there is one within the read timeout.
                if arrived - told_at > self._event_timeout:
                    raise Timeout(
                        f"{self.url} sent nothing of the answer for {self._event_timeout:g} s, "
                        "only that it is still there. It may be stuck or too busy; try again."
                    )
                if batch:
                    await beat.wait(arrived - opened, network.hold)
                    opened = now()

    async def _part(self, network: Connection) -> bytes:
        """What has arrived of a stream that is not complete."""
        try:
            part = await network.read(self._read_timeout)
        except ConnectFailed as error:
            raise IncompleteStream(
                f"The text is not complete. {error} Try again.", status=200
            ) from error
        if not part:
            raise IncompleteStream(
                "The text is not complete: the server ended the stream without saying "
                "that the text is. Try again, or look at its log.",
                status=200,
            )
        return part

    async def _drain(self, network: Connection) -> None:
        """Read to the end of an answer that is complete."""
        with suppress(TGIError, TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                while await network.read(None):
                    pass

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> AsyncGenerator[Connection, None]:
        """The connection over which an answer with status 200 comes, its body still to be read.

        Raises the typed error for any other.
        """
        if self._closed:
            raise ConnectFailed(f"The connections to {self.url} were closed meanwhile; try again.")
        kind = {"content-type": "application/json"} if body else {}
        response = await self._transport.handle_async_request(
            httpx.Request(
                method,
                self._address(path),
                headers={**self._headers, **kind, **(headers or {})},
                content=body,
                extensions={"timeout": self._timeouts},
            )
        )
        try:
            connection = response.extensions["network_stream"]
            assert isinstance(connection, Connection)
            coding = connection.header(b"content-encoding").strip().lower()
            if coding not in ("", "identity"):
                # Not asked for, and a few bytes of it may unpack to more than there is memory.
                raise ProtocolError(
                    f"The answer of {self.url} is compressed ({decoding.excerpt(coding)}), though "
                    "it was asked not to be: a proxy in front of the server may do that.",
                    status=response.status_code,
                )
            if response.status_code != 200:
                answer = await self._whole(connection, _REFUSAL_BYTES, cut=True)
                raise self._refusal(response.status_code, response.headers, answer)
            yield connection
        finally:
            await response.aclose()

    def _address(self, path: str) -> httpx.URL:
        address = self._paths.get(path)
        if address is None:
            raw_path = self._base + b"/" + path.lstrip("/").encode("ascii")
            address = self._paths[path] = self._origin.copy_with(raw_path=raw_path)
        return address

    async def _whole(self, connection: Connection, most: int, *, cut: bool = False) -> bytes:
        """The body of an answer.

        Args:
            most: Bytes; what is longer is cut off there, or else refused with ProtocolError.
        """
        parts: list[bytes] = []
        left = most
        while left >= 0 and (part := await connection.read(self._read_timeout)):
            parts.append(part)
            left -= len(part)
        if left < 0 and not cut:
            raise ProtocolError(f"The answer is longer than {most} bytes.", status=200)
        return b"".join(parts)[: most if cut else None]

    async def _back_off(self, error: TGIError, attempt: int) -> None:
        """Wait before a retry, or raise the error when there should be none."""
        delay = error.retry_after
        if delay is None:
            # Jitter keeps requests that failed together from coming back together.
            delay = min(_BACK_OFF_S * 2**attempt, _BACK_OFF_MAX_S) * random.uniform(0.5, 1.0)
        if (
            not isinstance(error, _RETRIED)
            or self._closed
            or attempt >= self._retries
            or delay > _RETRY_AFTER_MAX_S
        ):
            raise error
        # Not its words, which may quote what the server was sent.
        _log.info("Sending again in %.2f s: %s", delay, type(error).__name__)
        await asyncio.sleep(delay)


def written(request: Mapping[str, object]) -> bytes:
    """A request's body.

    Raises:
        ValidationFailed: When it cannot be written as JSON.
    """
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as error:
        raise ValidationFailed(f"The request cannot be written as JSON: {error}.") from error
