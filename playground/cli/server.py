"""The server of the application: uvicorn, which ends when the answers have ended."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final, cast

import uvicorn
from fastapi import FastAPI

from playground.cli.connections import Connections
from playground.limits.admission import Admission
from playground.limits.gate import Gate
from playground.settings import Settings

# What else is under way when the last answer has ended may take so long.
_REST_SECONDS: Final = 3
_MOST_CONNECTIONS: Final = 16_384
_RESERVED: Final = 64  # descriptors

_log = logging.getLogger(__name__)


def most_connections() -> int:
    """How many connections may be open at a time, by the descriptors that a process may have.

    As many are allowed as the system lets it have. Half of them are for what an answer needs
    besides its reader's connection, some are kept for files and the database.
    """
    if sys.platform == "win32":
        return _MOST_CONNECTIONS
    import resource  # which Windows does not have

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS + _RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(_RESERVED // 4, (wanted - _RESERVED) // 2)


class Server(uvicorn.Server):
    """Serves an application on a socket until a signal; `create_app` says what is in its state.

    With the first signal nothing new is begun, while everything else is still answered: that this
    server is not ready any more, and the stop of a single answer. When all answers have ended, the
    last ones cut off when their time is up, the socket is closed. A second signal ends it at once.

    Behind a proxy no new connection is taken from the first signal on: a proxy that is refused asks
    the next replica, where one that is answered would pass the refusal on.

    Args:
        tunnel_port: By which a tunnel brings everybody.
        connections: In the place of those that the settings say.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        *,
        tunnel_port: int | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._connections = connections or Connections(
            most_connections(),
            settings.max_connections_per_address,
            exempt=settings.trusted_proxies,
            exempt_port=tunnel_port,
        )
        config = uvicorn.Config(
            app,
            http=cast(type[asyncio.Protocol], self._connections.accept),
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,  # a proxy in front adds its own to it
            proxy_headers=False,  # auth reads them, and knows which proxies are trusted
            timeout_graceful_shutdown=_REST_SECONDS,
            root_path=settings.root_path,
        )
        super().__init__(config)
        self._admission: Admission = app.state.admission
        self._gates: Sequence[Gate] = app.state.gates
        app.state.metrics.connections_ended = self._connections.ended
        self._grace = settings.grace_seconds
        self._behind_proxy = bool(settings.trusted_proxies)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal asks for the end, a second one for it at once."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, until the end begins."""
        if counter % 10 == 0:
            self._connections.look(time.monotonic())
        return await super().on_tick(counter)

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
            self._connections.look(time.monotonic())
        draining.cancel()
        for gate in self._gates:  # now: a page has its answer's Markdown made when it has ended
            gate.close()
        if self.force_exit:
            self.config.timeout_graceful_shutdown = 0
        self._connections.close()
        # uvicorn would leave open what its time is up for, and answer there what comes, while the
        # database is closed already. It waits a tenth of a second longer than this.
        rest = 0 if self.force_exit else _REST_SECONDS
        ending = asyncio.get_running_loop().call_later(rest, self._connections.end)
        await super().shutdown(sockets)
        ending.cancel()
        self._connections.end()
