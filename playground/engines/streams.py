"""How a stream is closed."""

from collections.abc import AsyncGenerator, AsyncIterator
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
