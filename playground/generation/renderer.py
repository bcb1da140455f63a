"""Markdown as HTML beside the streams: a text that was made for it takes seconds."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import anyio

from playground.generation.markdown import render

# Of all that one request has rendered: a context full of text in four columns is half of it.
MOST_CHARACTERS: Final = 250_000
_KEPT: Final = 32  # texts: the answers of some snapshots that are read just now


class Renderer:
    """One text at a time, in the order in which they come.

    So nobody waits for all that another has.
    """

    def __init__(self) -> None:
        self._turns = anyio.CapacityLimiter(1)

    async def blocks(self, text: str, *, keep: bool = False) -> list[str]:
        """The blocks of a text, as markdown.render gives them.

        Args:
            keep: Whether they are kept for the next one who asks, who learns by their coming at
                once that somebody had the same text.
        """
        make: Callable[[str], Sequence[str]] = _kept if keep else render
        return list(await anyio.to_thread.run_sync(make, text, limiter=self._turns))


@lru_cache(maxsize=_KEPT)
def _kept(text: str) -> tuple[str, ...]:
    return tuple(render(text))
