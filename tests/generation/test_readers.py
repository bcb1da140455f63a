"""A stream and who reads it, over a real connection."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest
import uvicorn

from playground.api.streaming import EventStream, Opened
from playground.domain.messages import Delta, Event
from playground.generation.comparison import Batches

BATCH: list[tuple[int, Event]] = [(0, Delta("x" * 100_000))]
# More than a socket of this machine keeps, so that a server waits for its reader.
LAST: list[tuple[int, Event]] = [(0, Delta("x" * 20_000_000))]


@pytest.mark.parametrize("last", [False, True], ids=["in between", "at the very end"])
async def test_a_reader_that_takes_nothing_holds_no_place(last: bool) -> None:
    """A computer that was closed does not say so, and its answers would be written for good."""
    written, over = asyncio.Event(), asyncio.Event()

    async def batches() -> Batches:
        if last:
            yield LAST
        else:
            while True:
                yield BATCH
                await asyncio.sleep(0)
        written.set()

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Opened, None]:
        try:
            async with aclosing(batches()) as opened:
                yield Opened("1", opened)
        finally:
            over.set()

    stream = EventStream(opening(), patience_s=0.2)
    config = uvicorn.Config(stream, lifespan="off", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            with socket.create_connection(listener.getsockname()) as reader:
                await asyncio.to_thread(reader.sendall, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                async with asyncio.timeout(20):
                    await over.wait()
                assert written.is_set() is last
        finally:
            server.should_exit = True
            await running
