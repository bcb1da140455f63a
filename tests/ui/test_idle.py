"""What a page costs that nobody looks at: how often its process wakes up."""

import asyncio
import gc
import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from playground.app import create_app
from playground.cli.server import Server
from playground.settings import load_settings
from tests.application import NOWHERE
from tests.servers import data_dir

TICKS = 20  # of the server, which looks at its connections ten times a second


class CountingSelector(selectors.DefaultSelector):
    """How often the loop has slept is how often it was woken."""

    slept = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.slept += 1
        return super().select(timeout)


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector as it was before an application settled its memory."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_a_page_that_nobody_looks_at_is_woken_by_little_but_its_servers_tick() -> None:
    selector = CountingSelector()
    slept: list[int] = []

    class Watched(Server):
        async def on_tick(self, counter: int) -> bool:
            slept.append(selector.slept)
            return await super().on_tick(counter) or len(slept) > TICKS

    async def serve() -> None:
        settings = load_settings(engine_url=NOWHERE, data_dir=data_dir())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await Watched(create_app(settings), settings).serve(sockets=[listener])

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            runner.run(serve())

    with ThreadPoolExecutor(1) as thread:  # a browser's loop may be running in this one
        thread.submit(run).result()
    settled = slept[-TICKS // 4 :]  # the start is over
    assert settled[-1] - settled[0] < 5 * len(settled)
