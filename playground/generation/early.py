"""A stream that is begun while something else is still awaited."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

import anyio

T = TypeVar("T")


class EarlyStream(AsyncIterator[T]):
    """A stream whose first item is asked for at once; to be closed with `aclose`, read or not."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._first = asyncio.ensure_future(anext(items))
        self._begun = False

    def __anext__(self) -> Awaitable[T]:
        """The next item, for which nothing of this is resumed."""
        if self._begun:
            return self._items.__anext__()
        self._begun = True
        return self._first

    async def aclose(self) -> None:
        """Close the stream, which may still wait for its first item."""
        with anyio.CancelScope(shield=True):
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
            await self._items.aclose()
