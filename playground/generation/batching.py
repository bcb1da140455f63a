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
    some = _Bell(idle)
    running = len(sources)
    failure: Exception | None = None

    async def pump(position: int, source: AsyncGenerator[T, None]) -> None:
        nonlocal running, failure
        try:
            async with closing(source):
                async for item in source:
                    buffer.append((position, item))
                    some.ring()
        except Exception as error:
            failure = error
        finally:
            running -= 1
            some.ring()

    tasks = [loop.create_task(pump(i, source)) for i, source in enumerate(sources)]
    try:
        while running or buffer:
            if not buffer:
                if failure:
                    break
                some.silence()
                if not await some.rings():
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


class _Bell:
    """An event with one listener, which waits a certain time for it.

    asyncio.Event under asyncio.timeout does the same, for a tenth more of what a flush costs. There
    is one timer for all that is waited for.

    Args:
        seconds: How long it is waited for; ``None`` is for ever.
    """

    def __init__(self, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._rung = False
        self._listener: asyncio.Future[bool] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        self._rung = True
        self._answer(True)

    def silence(self) -> None:
        self._rung = False

    async def rings(self) -> bool:
        """Whether it has rung, or does within that time."""
        if self._rung:
            return True
        self._since = self._loop.time()
        if self._timer is None and self._seconds is not None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        self._listener = self._loop.create_future()
        try:
            return await self._listener
        finally:
            self._listener = None

    def close(self) -> None:
        """It is not waited for again."""
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, rung: bool) -> None:
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(rung)

    def _look(self) -> None:
        self._timer = None
        if self._listener is None or self._seconds is None:
            return
        due = self._since + self._seconds
        if due <= self._loop.time():
            self._answer(False)
        else:
            self._timer = self._loop.call_at(due, self._look)
