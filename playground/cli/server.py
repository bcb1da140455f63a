"""The server of the application: uvicorn, which ends when the answers have ended."""

import asyncio
import logging
import socket
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from playground.limits.admission import Admission
from playground.settings import Settings

# What else is under way when the last answer has ended may take so long.
_REST_SECONDS: Final = 3
# What a request's head may have, in bytes; what is read at once comes on top.
_MOST_HEAD: Final = 65_536

_log = logging.getLogger(__name__)


class _Connection(HttpToolsProtocol):
    """Ends a connection that the parser cannot be left alone with.

    One that brings headers without an end: the parser would keep all of them. And one that asked
    for an upgrade, as soon as it is answered: none is made here, and the parser takes the request's
    body for the next request, whose answer a proxy would give to another reader (request
    smuggling).
    """

    _unread = 0  # bytes since the last head was whole, or the last part of a body came

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The headers of this request are too long.")

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of, and least of all to install, as uvicorn's words would have it."""

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)


class Server(uvicorn.Server):
    """Serves an application on a socket until a signal; `create_app` says what is in its state.

    With the first signal nothing new is begun, while everything else is still answered: that this
    server is not ready any more, and the stop of a single answer. When all answers have ended, the
    last ones cut off when their time is up, the socket is closed. A second signal ends it at once.

    Behind a proxy no new connection is taken from the first signal on: a proxy that is refused asks
    the next replica, where one that is answered would pass the refusal on.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # auth reads them, and knows which proxies are trusted
            timeout_graceful_shutdown=_REST_SECONDS,
            root_path=settings.root_path,
        )
        super().__init__(config)
        self._admission: Admission = app.state.admission
        self._grace = settings.grace_seconds
        self._behind_proxy = bool(settings.trusted_proxies)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal asks for the end, a second one for it at once."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers end within the grace, then everything else."""
        if answers := self._admission.writing:
            _log.info(
                "Stopping: %d answers may end within %g s; a second signal ends at once",
                answers,
                self._grace,
            )
        if self._behind_proxy:
            for listening in self.servers:
                listening.close()
        draining = asyncio.create_task(self._admission.drain(self._grace))
        while not (draining.done() or self.force_exit):
            await asyncio.wait([draining], timeout=0.1)
        draining.cancel()
        if self.force_exit:
            self.config.timeout_graceful_shutdown = 0
        await super().shutdown(sockets)
