"""A stream that is begun while something else is still awaited."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class EarlyStream(Generic[T]):
    """A stream whose first item is asked for at once; to be closed with `aclose`, read or not."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._first = asyncio.ensure_future(anext(items, None))

    async def read(self) -> AsyncGenerator[T, None]:
        """All of its items."""
        first = await self._first
        if first is None:
            return
        yield first
        async for item in self._items:
            yield item

    async def aclose(self) -> None:
        """Close the stream, which may still wait for its first item."""
        with anyio.CancelScope(shield=True):
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
            await self._items.aclose()
