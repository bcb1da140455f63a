"""A TCP proxy of faults: it stands between two programs and does to their bytes what a test says.

    async with proxying(engine.url, down=Fault(cut_after=500)) as proxy:
        ...  # speak to proxy.url

`up` is the direction from who connects to who is connected to, `down` the way back. Either can be
changed at any time, for connections that are open, too; the bytes that a fault counts are those
that passed since it was set, over all connections.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_PIECE: Final = 65_536
_PARTS_A_SECOND: Final = 20  # in which what has a rate is read and passed on


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one direction; without arguments nothing.

    Attributes:
        latency: Seconds by which each piece is late.
        jitter: Seconds of which as many as chance says are added to that.
        rate: Bytes a second.
        cut_after: Bytes after which the connection ends, both ways.
        reset: Whether that is a TCP reset and no orderly end.
        silent_after: Bytes after which nothing is read or passed on any more, while the connection
            stays. With 0 both ways it is accepted, and that is all.
        slow_close: Seconds after which the end of this direction is passed on.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: int | None = None
    cut_after: int | None = None
    reset: bool = False
    silent_after: int | None = None
    slow_close: float = 0.0


class Cut(Exception):
    """The connection ends here."""


class Direction:
    """One direction of all connections.

    Attributes:
        passed: Bytes passed on since the fault was set.
    """

    def __init__(self, fault: Fault) -> None:
        self._chance = random.Random(0)
        self._changed = asyncio.Event()
        self.set(fault)

    def set(self, fault: Fault) -> None:
        """From now on it is this one."""
        self.fault = fault
        self.passed = 0
        self._changed.set()
        self._changed = asyncio.Event()

    async def carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass on what comes until it ends.

        Raises:
            Cut: The fault says that the connection ends here.
        """
        loop = asyncio.get_running_loop()
        while True:
            while self._left(self.fault.silent_after) == 0:
                await self._changed.wait()
            if self._left(self.fault.cut_after) == 0:
                raise Cut
            rate = self.fault.rate
            data = await loop.sock_recv(source, max(1, rate // _PARTS_A_SECOND) if rate else _PIECE)
            fault = self.fault  # it may be another one by now
            if self._left(fault.silent_after) == 0:
                continue
            if not data:
                await asyncio.sleep(fault.slow_close)
                return
            if fault.latency or fault.jitter:
                await asyncio.sleep(fault.latency + self._chance.uniform(0, fault.jitter))
            for most in (self._left(fault.cut_after), self._left(fault.silent_after)):
                data = data if most is None else data[:most]
            await loop.sock_sendall(sink, data)
            self.passed += len(data)
            if fault.rate:
                await asyncio.sleep(len(data) / fault.rate)

    def _left(self, limit: int | None) -> int | None:
        return None if limit is None else max(0, limit - self.passed)


@dataclass
class FaultProxy:
    """A running proxy.

    Attributes:
        url: Without a slash at the end.
        up: From who connects.
        down: To who connects.
        connections: How many were opened so far.
        open: How many are open.
    """

    url: str
    up: Direction
    down: Direction
    connections: int = 0
    open: int = 0


@asynccontextmanager
async def proxying(
    url: str, *, up: Fault | None = None, down: Fault | None = None, window: int | None = None
) -> AsyncIterator[FaultProxy]:
    """A proxy in front of what listens at a URL, on a free port of 127.0.0.1.

    Args:
        up: What becomes of requests.
        down: What becomes of answers.
        window: Bytes that the system keeps of an answer on either side of the proxy, so that who
            sends it notices soon when nobody takes it.
    """
    loop = asyncio.get_running_loop()
    address = urlsplit(url)
    proxy = FaultProxy("", Direction(up or Fault()), Direction(down or Fault()))
    running: set[asyncio.Task[None]] = set()

    async def serve(near: socket.socket) -> None:
        proxy.connections += 1
        proxy.open += 1
        far = socket.socket()
        try:
            for each in (near, far):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if window is not None:
                # As on a network; on loopback a segment has 64 kB, and less is no window.
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
            await loop.sock_connect(far, (address.hostname, address.port))
            await _until_one_ends(proxy.up.carry(near, far), proxy.down.carry(far, near))
        except (ConnectionError, Cut):
            if proxy.up.fault.reset or proxy.down.fault.reset:
                for each in (near, far):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            proxy.open -= 1
            near.close()
            far.close()

    async def accept(listener: socket.socket) -> None:
        while True:
            near, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(serve(near))
            running.add(task)
            task.add_done_callback(running.discard)

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setblocking(False)
        proxy.url = "http://{}:{}".format(*listener.getsockname())
        accepting = asyncio.create_task(accept(listener))
        try:
            yield proxy
        finally:
            tasks = [accepting, *running]
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    """Both directions, until one of them ends; a fault that holds one back holds back its end."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
