"""A stream and who reads it, over a real connection."""

import asyncio
import socket

import uvicorn
from starlette.types import Scope

from playground.api.streaming import Batches, EventStream
from playground.domain.messages import Delta, Event

BATCH: list[tuple[int, Event]] = [(0, Delta("x" * 100_000))]


async def test_a_reader_that_takes_nothing_holds_no_place() -> None:
    """A computer that was closed does not say so, and its answers would be written for good."""
    closed, over = asyncio.Event(), asyncio.Event()

    async def batches() -> Batches:
        try:
            while True:
                yield BATCH
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def done(_: Scope) -> None:
        over.set()

    stream = EventStream(batches(), "1", done, patience_s=0.2)
    config = uvicorn.Config(stream, lifespan="off", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            with socket.create_connection(listener.getsockname()) as reader:
                await asyncio.to_thread(reader.sendall, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                async with asyncio.timeout(20):
                    await over.wait()
                assert closed.is_set()
        finally:
            server.should_exit = True
            await running
