"""Several processes that serve one page: uvicorn's supervisor, with workers that run our server.

They listen on one socket, and what each needs stands in its settings. One that dies is replaced.
A signal is passed on to all of them; only then their answers end, within the grace.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from playground.cli.server import Server
from playground.cli.terminal import printable
from playground.domain.errors import PlaygroundError
from playground.settings import Settings

# How often a supervisor looks whether it was signalled, while it waits for its workers' end.
_LOOK_S: Final = 0.2
# A worker of which no thread runs for so long is taken for dead.
_STUCK_S: Final = 30

_log = logging.getLogger(__name__)


class _Config(uvicorn.Config):
    """What workers are handed on their way, beside uvicorn's own.

    Args:
        settings: Of each of them.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            "playground.app:create_app",
            workers=settings.workers,
            log_config=None,
            log_level="warning",
            timeout_worker_healthcheck=_STUCK_S,
        )
        self.settings = settings


class _Server(Server):
    """A worker's server, which its supervisor alone tells to end.

    A terminal tells all processes of an interrupt, and systemd all of them of the end: so the first
    word is as good as ten, and what hurries has a signal of its own.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        _log.info("Worker %d serves", os.getpid())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The end is asked for; an interrupt is the supervisor's to pass on."""
        if sig == signal.SIGTERM:
            self.should_exit = True


class _Worker(multiprocess.Process):
    """A process that serves; made by the supervisor, run in the process itself."""

    config: _Config

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until it is told to end, or its supervisor is gone."""
        from playground.app import create_app
        from playground.telemetry import logging as log_lines

        settings = self.config.settings
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log_lines.configure(settings.log_format, settings.log_level)
        threading.Thread(target=self.always_pong, daemon=True).start()
        try:
            app = create_app(settings)
        except PlaygroundError as error:
            print(printable(f"playground: {error}"), file=sys.stderr)
            sys.exit(STARTUP_FAILURE)
        server = self._server = _Server(app, settings)

        def hurry(*_: object) -> None:
            server.should_exit = server.force_exit = True

        signal.signal(signal.SIGUSR1, hurry)
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
        server.run(sockets)

    def start(self) -> None:
        """Start it, and keep nothing open here that hides its end from whoever asks it."""
        super().start()
        self.child_conn.close()

    def kill(self) -> None:
        """Make room for another in the place of one that has died, or hangs."""
        if self.exitcode != STARTUP_FAILURE:
            _log.error("Worker %s is gone, and another takes its place", self.pid)
        super().kill()

    def pong(self) -> None:
        """Answer one question of the supervisor: whether this serves yet."""
        self.child_conn.recv()
        self.child_conn.send(self._server is not None and self._server.started)


def _end_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


class _Supervisor(multiprocess.Multiprocess):
    """Starts workers, replaces those that die, and ends them."""

    def __init__(self, config: _Config, sockets: Sequence[socket.socket]) -> None:
        hangup = signal.getsignal(signal.SIGHUP)
        super().__init__(config, list(sockets))
        if hangup == signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, hangup)

    def handle_hup(self) -> None:
        """The terminal is closed."""
        self.should_exit.set()

    def join_all(self) -> None:
        """Wait for the workers' end; another signal hurries them."""
        _log.info("Stopping: %d workers are told", len(self.processes))
        self.signal_queue.clear()
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(_LOOK_S)
                if self.signal_queue:
                    self.signal_queue.clear()
                    for each in self.processes:
                        if each.process.is_alive() and each.pid is not None:
                            os.kill(each.pid, signal.SIGUSR1)


def serve_by_workers(settings: Settings, sockets: Sequence[socket.socket]) -> bool:
    """Serve until a signal; whether the workers could start.

    Args:
        settings: Of all workers together, with the secret that they share.
        sockets: On which all of them listen.
    """
    config = _Config(_share_of(settings))
    supervisor = _Supervisor(config, sockets)
    multiprocess.Process = _Worker  # type: ignore[misc]  # of which uvicorn's supervisor makes them
    supervisor.run()
    return all(each.exitcode != STARTUP_FAILURE for each in supervisor.processes)


def _share_of(settings: Settings) -> Settings:
    """What one worker may do, so that all do no more than they may together."""
    return settings.model_copy(
        update={
            "max_streams": settings.max_streams // settings.workers,
            "max_waiting": -(-settings.max_waiting // settings.workers),
        }
    )
