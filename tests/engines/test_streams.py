"""A stream is closed to its end, whoever else is ending."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import anyio
import pytest

from playground.engines.streams import closing


class Stream:
    """Items without end, whose closing takes awaits of its own."""

    def __init__(self) -> None:
        self.closed = False

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.closed = True


async def test_a_cancelled_scope_does_not_cut_the_closing_off() -> None:
    stream = Stream()
    with anyio.CancelScope() as scope:
        async with closing(stream.items()) as items:
            await anext(items)
            scope.cancel()
            await anyio.sleep_forever()  # while the reader is at something else
    assert scope.cancelled_caught
    assert stream.closed


@pytest.mark.parametrize("error", [KeyError, None])
async def test_it_is_closed_at_the_end_and_after_a_failure(error: type[Exception] | None) -> None:
    stream = Stream()
    with suppress(KeyError):
        async with closing(stream.items()) as items:
            assert await anext(items) == 1
            if error:
                raise error
    assert stream.closed
