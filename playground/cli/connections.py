"""The server's connections: how many there may be, and how long one may take for what.

uvicorn keeps whatever is opened and whatever is sent. So here each connection has a place, of its
address and of the process, and each of its steps a time. A connection that has not begun a request
gives way to a new one; when there is none of those, the new one is refused. Of what many send in
one moment a few requests are begun, and a few long parts of bodies are read on, in each turn of the
event loop (`cli/pace.py`).
"""

import asyncio
import logging
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from playground.auth.responses import error_answer
from playground.cli.pace import Pace
from playground.domain.principal import network_of

# What a request's head may have, in bytes and in headers.
_MOST_HEAD: Final = 65_536
_MOST_HEADERS: Final = 200
# Requests that may wait on one connection for the answer before theirs.
_MOST_WAITING: Final = 8
# What is still read, and thrown away, of a body whose request was answered before its end.
_MOST_UNREAD: Final = 4_000_000
# Parts in which a body may come, and one more for so many bytes: each costs as much as a thousand
# bytes do, and chunks of a single byte are many.
_MOST_PARTS: Final = 2_000
_PART_BYTES: Final = 64
# Bytes that the kernel is to keep of what is not read yet, and those that, read at once, make a
# connection wait for its next turn.
_MOST_LYING: Final = 32_768
_LONG_PART: Final = 16_384
_LONG_HEAD: Final = "The headers of this request are too long."
# Of Linux's struct tcp_info: tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes.
_TCP_INFO: Final = struct.Struct("=24xI92xQ16xI")
_KINDS: Final = {429: "busy", 503: "busy"}
# How often the log says what became of connections.
_TOLD_S: Final = 60.0

_log = logging.getLogger(__name__)


class Times:
    """Seconds that each step of a connection may take.

    Attributes:
        head: From its opening, or from a request's first byte, to the end of the request's head.
        body: Between two parts of a body; and for all of it, with a second more for each
            `body_bytes` of it.
        taking: In which a reader must take something of what waits for it. It is the kernel that
            knows: a reader that is slow takes a little all the time, however much lies there.
    """

    def __init__(
        self, *, head: float = 15.0, body: float = 30.0, body_bytes: int = 1_000, taking: float = 60
    ) -> None:
        self.head = head
        self.body = body
        self.body_bytes = body_bytes
        self.taking = taking


class Connections:
    """All connections of a process.

    Args:
        most: At a time.
        most_each: Of one address (of IPv6, its network of /64).
        exempt: Whose connections only count to the whole: proxies, which bring many readers.
        exempt_port: A port of this machine by which others than this machine come in.
    """

    def __init__(
        self,
        most: int,
        most_each: int,
        *,
        exempt: Sequence[IPv4Network | IPv6Network] = (),
        exempt_port: int | None = None,
        times: Times | None = None,
    ) -> None:
        self.times = times or Times()
        self.pace = Pace()
        self._most = most
        # Where there are few, one address still leaves half of them to others.
        self._most_each = min(most_each, max(1, most // 2))
        self._exempt = exempt
        self._exempt_port = exempt_port
        self._open: dict[str, set[_Connection]] = {}
        self._count = 0
        # Those that have not begun a request, the one that has waited longest first.
        self._idle: dict[_Connection, None] = {}
        self._closed = False
        self._told_at = -_TOLD_S
        self._untold: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()  # since the start, by the reason

    def accept(self, **options: Any) -> asyncio.Protocol:
        """A protocol for a new connection; the options are those that uvicorn gives its own."""
        return _Connection(connections=self, **options)

    def enter(self, connection: "_Connection") -> int:
        """Give a new connection its place; where there is none, the status that says so, else 0."""
        if self._closed:
            connection.end()  # without a word, so that a browser or proxy asks another server
            return 0
        address = connection.address = self._address(connection)
        own = self._open.setdefault(address, set())
        if address and len(own) >= self._most_each and not self._make_room(own):
            self.tell("refused: its address has as many as it may")
            return 429
        if self._count >= self._most and not self._make_room(None):
            self.tell("refused: this server has as many as it may")
            if not own:
                del self._open[address]
            return 503
        own.add(connection)
        self._count += 1
        self.wait(connection)
        return 0

    def close(self) -> None:
        """Let none in any more.

        The kernel may have accepted one before its listening socket was closed, and uvicorn, which
        ends those that it knows by then, would wait for it.
        """
        self._closed = True

    def end(self) -> None:
        """End those that are left."""
        for own in list(self._open.values()):
            for connection in list(own):
                connection.end()

    def leave(self, connection: "_Connection") -> None:
        """Take its place back; without effect the second time."""
        self._idle.pop(connection, None)
        own = self._open.get(connection.address)
        if own is not None and connection in own:
            own.remove(connection)
            self._count -= 1
            if not own:
                del self._open[connection.address]

    def wait(self, connection: "_Connection") -> None:
        """A connection has no request under way."""
        self._idle[connection] = None

    def begin(self, connection: "_Connection") -> None:
        """A connection has a request under way, and is not closed for another."""
        self._idle.pop(connection, None)

    def look(self, now: float) -> None:
        """End those whose time is up."""
        for own in list(self._open.values()):
            for connection in list(own):
                connection.look(now)
        self._say(now)

    def tell(self, reason: str) -> None:
        """Count what became of a connection, for the log: one line a minute, whatever comes."""
        self.ended[reason] += 1
        self._untold[reason] += 1
        self._say(time.monotonic())

    def _say(self, now: float) -> None:
        if self._untold and now - self._told_at >= _TOLD_S:
            self._told_at = now
            told = ", ".join(f"{count} {reason}" for reason, count in self._untold.items())
            self._untold.clear()
            _log.warning("Connections: %d are open; %s", self._count, told)

    def _make_room(self, among: "set[_Connection] | None") -> bool:
        for connection in self._idle:
            if among is None or connection in among:
                self.tell("closed for another one, before it had begun a request")
                connection.end()
                return True
        return False

    def _address(self, connection: "_Connection") -> str:
        """Whose it is; "" of those that count to the whole alone."""
        if connection.server is not None and connection.server[1] == self._exempt_port:
            return ""
        peer = (connection.client or ("",))[0]
        with suppress(ValueError):
            known = ip_address(peer)
            known = getattr(known, "ipv4_mapped", None) or known
            if any(known in network for network in self._exempt):
                return ""
            return network_of(str(known))
        return peer


class _Refused(Exception):
    """Of a request that the parser shall not go on with."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Flow(FlowControl):
    """Reads where both uvicorn wants it and the connection has its turn.

    Attributes:
        in_line: Whether it waits for its turn.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._transport = transport
        self.in_line = False

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._go_on()

    def wait(self) -> None:
        self.in_line = True
        self._transport.pause_reading()

    def take_turn(self) -> None:
        self.in_line = False
        self._go_on()

    def _go_on(self) -> None:
        if not (self.read_paused or self.in_line or self._transport.is_closing()):
            self._transport.resume_reading()


class _Connection(HttpToolsProtocol):
    """One connection, whose place and times `Connections` knows.

    One that asked for an upgrade ends as soon as it is answered: none is made here, and the parser
    takes the request's body for the next request, whose answer a proxy would give to another reader
    (request smuggling).
    """

    def __init__(self, *, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._places = connections
        self.address = ""  # whose place it has
        self._head_since: float | None = None  # while a head is waited for or comes
        self._unread = 0  # bytes since a head was whole, or a part of a body came
        self._body_since: float | None = None  # while a body comes
        self._body_bytes = 0
        self._parts = 0
        self._part_at = 0.0
        self._taken = -1  # bytes that its reader has confirmed
        self._taken_at = 0.0
        self._deaf = False  # what comes is not read any more
        self.flow: _Flow
        self._answered: RequestResponseCycle | None = None  # the request that is under way

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _Flow(self.transport)
        if status := self._places.enter(self):
            self._deaf = True
            whose = "Your address" if status == 429 else "This server"
            self._answer(status, f"{whose} has as many connections as it may. Try again.")
            return
        self._head_since = time.monotonic()
        lower = transport.get_extra_info("socket")
        if lower is not None and lower.fileno() >= 0:
            with suppress(OSError):
                lower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MOST_LYING)

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)
        super().connection_lost(exc)
        # uvicorn tells the last request only: one that others wait behind would go on for nobody.
        under_way = self._answered
        if under_way is not None and not under_way.response_complete:
            under_way.disconnected = True
            under_way.message_event.set()

    def data_received(self, data: bytes) -> None:
        if len(data) >= _LONG_PART and not self.flow.in_line:
            self.flow.wait()
            self._places.pace.enter(self.address, self.flow.take_turn)
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._head_since is None and self._body_since is None:
            self._head_since = time.monotonic()
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the connection ends with its answer
        except httptools.HttpParserError as error:
            refused = error.__context__
            if not isinstance(refused, _Refused):
                refused = _Refused(400, "What was sent is no request of HTTP.")
            self._refuse(refused)
        else:
            if self._unread > _MOST_HEAD:
                self._refuse(_Refused(431, _LONG_HEAD))

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_since is None:
            self._head_since = time.monotonic()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= _MOST_HEADERS:
            raise _Refused(431, _LONG_HEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MOST_WAITING:
            raise _Refused(0, "Too many requests wait on one connection.")
        self._unread = 0
        self._head_since, self._body_bytes, self._parts = None, 0, 0
        self._body_since = self._part_at = time.monotonic()
        self._places.begin(self)
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body_bytes += len(body)
        self._parts += 1
        if self._parts > _MOST_PARTS + self._body_bytes // _PART_BYTES:
            raise _Refused(400, "The request's body comes in too many parts.")
        self._part_at = time.monotonic()
        if self.cycle.response_complete and self._body_bytes > _MOST_UNREAD:
            self.end()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since = None
        super().on_message_complete()
        self._rest()

    # What uvicorn calls

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        start = super()._start_asgi_task

        def begin() -> None:
            if not cycle.disconnected:
                start(cycle, app)

        self._places.pace.enter(self.address, begin)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._rest()

    def _rest(self) -> None:
        """Note where nothing is under way."""
        if self._body_since is None and self.cycle.response_complete and not self.pipeline:
            self._places.wait(self)

    # What `Connections` calls

    def look(self, now: float) -> None:
        """End what takes too long."""
        times = self._places.times
        if now - self._took(now) > times.taking:
            self._places.tell("ended: its reader took nothing")
            self.end()
            return
        if self.transport.is_closing():
            return  # its reader takes what is left
        if self.flow.read_paused or self.flow.in_line:
            return  # it is not the one that is waited for
        if self._head_since is not None and now - self._head_since > times.head:
            self._places.tell("ended: no request came in time")
            # One that has sent nothing may be a browser's, which opens some beforehand.
            status = 408 if self._unread else 0
            self._refuse(_Refused(status, "The request's head took too long."))
        elif self._body_since is not None:
            allowed = times.body + self._body_bytes / times.body_bytes
            if now - self._body_since > allowed or now - self._part_at > times.body:
                self._places.tell("ended: a request's body took too long")
                self._refuse(_Refused(408, "The request's body took too long."))

    def _took(self, now: float) -> float:
        """When its reader last took something of what waits for it; now where nothing waits.

        Not left to TCP_USER_TIMEOUT: where its reader's window is smaller than what is to be sent
        next, the kernel counts from the first time that it was full, whatever is taken since.
        """
        connection = self.transport.get_extra_info("socket")
        if connection is None or sys.platform != "linux" or connection.fileno() < 0:
            return now
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        in_flight, taken, unsent = _TCP_INFO.unpack(told)
        if taken != self._taken or not (in_flight or unsent):
            self._taken, self._taken_at = taken, now
        return self._taken_at

    def end(self) -> None:
        """Close it at once."""
        self._deaf = True
        self._places.leave(self)
        self.transport.abort()

    def _refuse(self, refused: _Refused) -> None:
        """Answer what is wrong where no other answer is under way, and end the connection.

        Requests that wait for an answer get theirs before it ends.
        """
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            if refused.status == 0 and self.pipeline:
                self._places.tell("ended: too many requests waited on it")
                self._head_since = None
                self.cycle.keep_alive = False
                return
            if self.cycle.response_started or self.pipeline:
                self.transport.close()
                return
        self._answer(refused.status, str(refused))

    def _answer(self, status: int, words: str) -> None:
        """A whole answer, if there is a status, and the connection's end."""
        if status:
            answer = error_answer(status, words, _KINDS.get(status, "invalid"))
            head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
            self.transport.write(
                b"%bconnection: close\r\n%b\r\n%b" % (STATUS_LINE[status], head, bytes(answer.body))
            )
        self.transport.close()
