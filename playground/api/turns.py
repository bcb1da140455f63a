"""A request's turn at work that others wait for, and work that ends when its reader leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from playground.auth.middleware import principal_of
from playground.limits.gate import Gate


@asynccontextmanager
async def while_read(receive: Receive) -> AsyncIterator[None]:
    """What is done inside is cancelled when the request's reader leaves. The body was read before.

    Raises:
        ClientDisconnect: The reader left.
    """
    with anyio.CancelScope() as reading:
        leaving = asyncio.create_task(_cancel_with_the_reader(receive, reading))
        try:
            yield
        finally:
            leaving.cancel()
    if reading.cancelled_caught:
        raise ClientDisconnect


@asynccontextmanager
async def in_turn(request: Request, gate: Gate) -> AsyncIterator[None]:
    """The work is to be done inside, and is given up with its reader, in the line or at work.

    Raises:
        Busy: The account has its share of the line, or the line is full.
        ShuttingDown: This server begins nothing more.
        ClientDisconnect: The reader left.
    """
    async with while_read(request.receive), gate.turn(principal_of(request.scope).account):
        yield


async def _cancel_with_the_reader(receive: Receive, reading: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reading.cancel()
