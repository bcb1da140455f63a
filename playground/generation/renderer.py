"""Markdown as HTML beside the event loop: a text that was made for it takes seconds."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import count
from typing import Final, TypeVar

import anyio

from playground.generation.markdown import Steps, render

T = TypeVar("T")

# Of all that one request has rendered: a context full of text in four columns is half of it.
MOST_CHARACTERS: Final = 250_000
_KEPT: Final = 32  # texts: the answers of some snapshots that are read just now
# Of an answer, what is longer has a thread of its own. A table that was made for it takes 0.1 s for
# so many characters, and other code and tables a hundredth.
_SHORT: Final = 4_000


class Renderer:
    """One text at a time, in the order in which they come.

    So nobody waits for all that another has.
    """

    def __init__(self) -> None:
        self._turns = anyio.CapacityLimiter(1)

    async def blocks(self, text: str, *, kept_of: str | None = None) -> list[str]:
        """The blocks of a text, as markdown.render gives them.

        Args:
            kept_of: What the text belongs to, where the blocks are kept for the next one who asks
                for the same. By their coming at once nobody shall learn that a text stands
                elsewhere, too.
        """
        make = render if kept_of is None else partial(_kept, kept_of)
        return list(await anyio.to_thread.run_sync(make, text, limiter=self._turns))


@lru_cache(maxsize=_KEPT)
def _kept(_: str, text: str) -> Sequence[str]:
    return tuple(render(text))


class AnswersMarkdown:
    """The Markdown of all answers that are being written, where it takes long.

    The shortest text is next, so that nobody with a paragraph waits for all the long tables of
    another, and what is short does not wait for what is long.
    """

    def __init__(self) -> None:
        self._short, self._long = _Line(), _Line()

    async def take(self, steps: Steps[T]) -> T:
        """What the steps come to."""
        try:
            size, work = next(steps)
            while True:
                line = self._short if size <= _SHORT else self._long
                size, work = steps.send(await line.done(size, work))
        except StopIteration as end:
            result: T = end.value
            return result


class _Line:
    """Work that is done in a thread, the smallest first."""

    def __init__(self) -> None:
        self._thread = anyio.CapacityLimiter(1)
        self._waiting: list[tuple[int, int, asyncio.Event]] = []
        self._numbers = count()
        self._busy = False

    async def done(self, size: int, work: Callable[[], T]) -> T:
        """The result of work of a size."""
        place = (size, next(self._numbers), asyncio.Event())
        heapq.heappush(self._waiting, place)
        self._move()
        try:
            await place[2].wait()
            return await anyio.to_thread.run_sync(work, limiter=self._thread)
        finally:
            if place[2].is_set():
                self._busy = False
            else:  # its reader left
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            self._move()

    def _move(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            heapq.heappop(self._waiting)[2].set()
