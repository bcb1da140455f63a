"""The whole application in this process: a real server on a real port, on a thread of its own.

What only a process shows (signals, its death, its output) is for `servers`.
"""

import asyncio
import gc
import pickle
import socket
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, cast
from unittest.mock import patch

import uvloop
from fastapi import FastAPI

from playground.app import create_app
from playground.auth.startup_checks import check_exposure
from playground.cli.connections import Connections
from playground.cli.server import Server
from playground.settings import Settings, load_settings
from playground.ui import frame
from tests.servers import data_dir

NOWHERE = "http://127.0.0.1:9"
_drawn: dict[bytes, frame.Drawn] = {}
draw_anew = frame.draw


async def _draw_once(contents: frame.Contents) -> frame.Drawn:
    """The page, which Gradio takes two seconds to draw, once for all applications of a process."""
    key = pickle.dumps(contents)
    if key not in _drawn:
        _drawn[key] = await draw_anew(contents)
    return _drawn[key]


patch.object(frame, "draw", _draw_once).start()


class Application:
    """A playground that runs until the end of its block.

    engine_url: its engine; by default there is none.
    ui: whether Gradio's page is there.
    connections: in the place of those that the settings say.
    settings: by their names in `Settings`; the data are its own unless they say otherwise.
    url: without a slash at the end. app: what it serves.
    """

    def __init__(
        self,
        engine_url: str = NOWHERE,
        *,
        ui: bool = False,
        connections: Connections | None = None,
        **settings: Any,
    ) -> None:
        values = load_settings(**{"engine_url": engine_url, "data_dir": data_dir(), **settings})
        check_exposure(values)
        self._collector = gc.get_threshold()
        self._listener = socket.create_server((values.host, 0), backlog=512)
        self.url = "http://{}:{}".format(*self._listener.getsockname()[:2])
        made: Future[Server] = Future()
        self._thread = threading.Thread(target=self._run, args=(values, ui, connections, made))
        self._thread.start()
        self._server = made.result()
        self.app = cast(FastAPI, self._server.config.app)
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        if ui:  # whoever asks for it does not wait for it
            drawn = self.app.state.frame.drawn()
            asyncio.run_coroutine_threadsafe(drawn, self._loop).result()

    def _run(
        self,
        settings: Settings,
        ui: bool,
        connections: Connections | None,
        made: "Future[Server]",
    ) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            try:
                app = create_app(settings, ui=ui)
                made.set_result(Server(app, settings, connections=connections))
            except BaseException as error:
                made.set_exception(error)
            else:
                await made.result().serve(sockets=[self._listener])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    def terminate(self) -> None:
        """As a signal does it: running answers may end within their grace."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        gc.unfreeze()  # what the application has settled for the whole of its process
        gc.set_threshold(*self._collector)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()
