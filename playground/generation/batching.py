"""Many streams become one, in batches of what came together.

A token is worth a few bytes, and handing it over costs the same as handing over twenty. So what
comes in one turn of the event loop, and what comes while the reader takes its time, is one batch.
Nothing is known here of what an item is.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

import anyio

from playground.engines.streams import closing
from tgi.waiting import Wait

T = TypeVar("T")


async def coalesce(
    sources: Sequence[AsyncGenerator[T, None]],
    *,
    idle: float | None = None,
) -> AsyncGenerator[list[tuple[int, T]], None]:
    """Batches of (source's position, item), in the order of arrival.

    Each source is read by a task of its own and never waits for another one or for the reader: at
    most what the sources give is kept. An exception of a source is raised after the items that came
    before it, and ends the others. Closing the generator closes all sources at once.

    Args:
        idle: After that many seconds without an item comes an empty batch, as a sign of life.
    """
    loop = asyncio.get_running_loop()
    buffer: list[tuple[int, T]] = []
    some = Wait()
    running = len(sources)
    failure: Exception | None = None

    async def pump(position: int, source: AsyncGenerator[T, None]) -> None:
        nonlocal running, failure
        try:
            async with closing(source):
                async for item in source:
                    buffer.append((position, item))
                    some.end()
        except Exception as error:
            failure = error
        finally:
            running -= 1
            some.end()

    tasks = [loop.create_task(pump(i, source)) for i, source in enumerate(sources)]
    try:
        while running or buffer:
            if not buffer:
                if failure:
                    break
                if not await some.wait(idle):
                    yield []
                continue
            batch, buffer = buffer, []
            yield batch
        if failure:
            raise failure
    finally:
        some.close()
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)
