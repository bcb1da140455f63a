"""Markdown as HTML beside the streams: a text that was made for it takes seconds."""

from functools import lru_cache
from typing import Final

import anyio

from playground.markdown import render

# Of all that one request has rendered: a context full of text in four columns is half of it.
MOST_CHARACTERS: Final = 250_000
_KEPT: Final = 32  # texts: the answers of some snapshots that are read just now


class Renderer:
    """One text at a time, in the order in which they come, so that nobody waits for all that
    another has.

    It keeps what it made last. That an answer comes at once tells that somebody has had the same
    text made, so strangers and users have a renderer each.
    """

    def __init__(self) -> None:
        self._turns = anyio.CapacityLimiter(1)
        self._blocks = lru_cache(maxsize=_KEPT)(lambda text: tuple(render(text)))

    async def blocks(self, text: str) -> list[str]:
        """The blocks of a text, as markdown.render gives them."""
        return list(await anyio.to_thread.run_sync(self._blocks, text, limiter=self._turns))
