"""Many readers at once: 200 who read to the end, 1,000 who leave in the middle."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from tests import stock
from tests.application import Application
from tests.faults import FaultServer, Peer, event
from tests.stock import until

LABEL = re.compile(rb"label-\d+")
USERS, DROPS, AT_A_TIME = 200, 1_000, 50


@dataclass
class Site:
    application: Application
    engine: FaultServer
    closed: list[int]  # connections to the engine that their reader has closed

    @property
    def writing(self) -> int:
        writing: int = self.application.app.state.admission.writing
        return writing


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    closed: list[int] = []
    together = asyncio.Event()
    begun = 0

    async def answer(peer: Peer) -> None:
        nonlocal begun
        label = LABEL.findall(peer.request.body)[-1].decode()
        await peer.head()
        await peer.send(event(f" {label}"))
        if label == "label-0":  # of those that are left
            await peer.gone()
            closed.append(peer.connection)
            return
        begun += 1
        if begun == USERS:
            together.set()
        await together.wait()
        await peer.send(b"".join(stock.tokens([f" {label}"] * 3, "eos_token")))

    async with stock.tgi(answer) as engine:
        application = Application(engine.url, max_streams=400, max_streams_per_user=400)
        try:
            yield Site(application, engine, closed)
        finally:
            await asyncio.to_thread(application.terminate)


@asynccontextmanager
async def asked(url: str, label: int, address: str) -> AsyncIterator[asyncio.StreamReader]:
    """A stream, from an address of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, local_addr=(address, 0)
    )
    message = {"role": "user", "content": f"Say label-{label}"}
    body = orjson.dumps({"messages": [message], "panes": [{"max_new_tokens": 4}]})
    head = "POST /api/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_200_users_are_answered_at_once_each_with_its_own() -> None:
    async with site() as crowd:

        async def read(user: int) -> bytes:
            async with asked(crowd.application.url, user, f"127.1.0.{user}") as reader:
                return await reader.read()

        answers = await asyncio.gather(*(read(user) for user in range(1, USERS + 1)))
        for user, text in enumerate(answers, 1):
            assert set(LABEL.findall(text)) == {b"label-%d" % user}
            assert text.count(b"event: done") == 1
            assert b"event: error" not in text

        async def all_given_back() -> bool:
            return crowd.writing == 0

        await until(all_given_back)


async def test_1000_readers_who_drop_leave_nothing_behind() -> None:
    """No place, no connection to the engine, no descriptor."""
    async with site() as crowd:
        places = asyncio.Semaphore(AT_A_TIME)

        async def drop(reader_number: int) -> None:
            async with (
                places,
                asked(crowd.application.url, 0, f"127.2.0.{reader_number % 250 + 1}") as reader,
            ):
                await reader.readuntil(b"event: delta")

        await asyncio.gather(*(drop(number) for number in range(AT_A_TIME)))

        async def settled() -> bool:
            return crowd.writing == 0 and len(crowd.closed) >= AT_A_TIME

        await until(settled)
        before = len(os.listdir("/proc/self/fd"))
        await asyncio.gather(*(drop(number) for number in range(DROPS)))

        async def all_closed() -> bool:
            return (
                crowd.writing == 0
                and len(crowd.closed) == DROPS + AT_A_TIME
                and len(os.listdir("/proc/self/fd")) <= before + 2
            )

        await until(all_closed)
