"""Many streams become one, and many small items become few batches.

A token is worth a few bytes, and handing it over costs the same as handing over twenty. So items
are gathered by time: at most one batch an interval, urgent items at once. The clock is the event
loop's. Nothing is known here of what an item is.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

T = TypeVar("T")


@asynccontextmanager
async def closing(stream: AsyncGenerator[T, None]) -> AsyncIterator[AsyncGenerator[T, None]]:
    """Closes the stream at the end, also in a task that is being cancelled.

    ``contextlib.aclosing`` does not: under an anyio cancel scope the close itself is cancelled, and
    the connection behind the stream stays open.
    """
    try:
        yield stream
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()


async def coalesce(
    sources: Sequence[AsyncGenerator[T, None]],
    *,
    interval: float,
    urgent: Callable[[int, T], bool] = lambda source, item: False,
    idle: float | None = None,
) -> AsyncGenerator[list[tuple[int, T]], None]:
    """Batches of (source's position, item), in the order of arrival.

    interval: seconds between two batches, at least. An item that finds the last batch longer ago
        leaves at once; otherwise it opens a window that ends when the interval is over. An item
        that is urgent ends the window.
    idle: after that many seconds without an item comes an empty batch, as a sign of life.

    Each source is read by a task of its own and never waits for another one or for the reader: at
    most what the sources give is kept. An exception of a source is raised after the items that
    came before it, and ends the others. Closing the generator closes all sources at once.
    """
    loop = asyncio.get_running_loop()
    buffer: list[tuple[int, T]] = []
    some, hurry = asyncio.Event(), asyncio.Event()
    running = len(sources)
    failure: Exception | None = None

    async def pump(position: int, source: AsyncGenerator[T, None]) -> None:
        nonlocal running, failure
        try:
            async with closing(source):
                async for item in source:
                    buffer.append((position, item))
                    some.set()
                    if urgent(position, item):
                        hurry.set()
        except Exception as error:
            failure = error
        finally:
            running -= 1
            some.set()
            hurry.set()

    tasks = [loop.create_task(pump(i, source)) for i, source in enumerate(sources)]
    flushed = loop.time() - interval
    try:
        while running or buffer:
            if not buffer:
                if failure:
                    break
                some.clear()
                if not await _happens(some, idle):
                    yield []
                continue
            left = flushed + interval - loop.time()
            if left > 0:
                await _happens(hurry, left)
            hurry.clear()
            batch, buffer = buffer, []
            flushed = loop.time()
            yield batch
        if failure:
            raise failure
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _happens(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether the event is set within that time."""
    if not event.is_set():
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
    return True
