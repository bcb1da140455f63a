"""How a stream is closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import anyio


class Closable(Protocol):
    """What is to be closed, as asynchronous generators are."""

    async def aclose(self) -> None:
        """Close it."""


S = TypeVar("S", bound=Closable)


@asynccontextmanager
async def closing(stream: S) -> AsyncIterator[S]:
    """Closes the stream at the end, also in a task that is being cancelled.

    ``contextlib.aclosing`` does not: under an anyio cancel scope the close itself is cancelled, and
    the connection behind the stream stays open.
    """
    try:
        yield stream
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
