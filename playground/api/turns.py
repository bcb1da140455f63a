"""A request's turn at work that others wait for, which it loses when its reader leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from playground.auth.middleware import principal_of
from playground.limits.gate import Gate


@asynccontextmanager
async def in_turn(request: Request, gate: Gate) -> AsyncIterator[None]:
    """The work is to be done inside.

    Raises:
        Busy: The account has its share of the line, or the line is full.
        ClientDisconnect: The reader left, in the line or during the work.
    """
    with anyio.CancelScope() as reading:
        leaving = asyncio.create_task(_cancel_with_the_reader(request, reading))
        try:
            async with gate.turn(principal_of(request.scope).account):
                yield
        finally:
            leaving.cancel()
    if reading.cancelled_caught:
        raise ClientDisconnect


async def _cancel_with_the_reader(request: Request, reading: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    reading.cancel()
