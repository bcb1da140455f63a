"""What is measured without a load: stops, drops, start-up times, the stand-in's speed."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from tests import servers
from tests.bench import processes
from tests.bench.clients import Load, events, quantile, request
from tests.bench.processes import cpu, descriptors, memory
from tests.servers import Server

Result = dict[str, Any]
T = TypeVar("T")

_STORY: Final = "<|user|>\nTell me a long story.\n<|assistant|>\n"
_AT_A_TIME: Final = 25  # of the connections that are dropped
_SETTLE_S: Final = 10.0


def fetch(url: str) -> Any:
    """The JSON, or the bytes, at an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        body = answer.read()
        return json.loads(body) if "json" in answer.headers.get("content-type", "") else body


def closed_since(upstream: Server, before: int, wanted: int) -> list[float]:
    """When the engine's streams were closed behind the first `before`, once there are so many."""

    def closed() -> list[float]:
        return [float(each) for each in fetch(f"{upstream.url}/closed")[before:]]

    until(lambda: len(closed()) >= wanted)
    return closed()


def until(condition: Callable[[], T]) -> T:
    """Wait for something that counts as true, at most `_SETTLE_S`; what it is then."""
    deadline = time.monotonic() + _SETTLE_S
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return result


async def _begin_and_leave(url: str, prompt: str, panes: int, stay: float) -> float:
    """Read until every pane has text, stay for some seconds, and close the connection; when."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "panes": [{"sampler": {}, "max_new_tokens": 1000}] * panes,
    }
    begun = 0
    async with request(url, "/api/stream", body) as (_, parts):
        async for event in events(parts):
            begun += event.startswith(b"event: delta")
            if begun >= panes:
                break
        await asyncio.sleep(stay)
        return time.time()


def stops(upstream: Server, ours: Server, times: int) -> list[Result]:
    """From a reader's leaving to the closing of the engine's connections, in ms."""
    rows = []
    for name, prompt in (("flowing", "Hello!"), ("silent", "[silent 4]")):
        for panes in (1, 4):
            waits = []
            for _ in range(times):
                before = len(fetch(f"{upstream.url}/closed"))
                left = asyncio.run(_begin_and_leave(ours.url, prompt, panes, 0.1))
                waits.append(1000 * (max(closed_since(upstream, before, panes)) - left))
            rows.append(
                {
                    "upstream": name,
                    "panes": panes,
                    "median_ms": quantile(waits, 0.5),
                    "max_ms": max(waits),
                    "times": times,
                }
            )
            print(f"  stop, {name}, {panes} panes: {waits}", flush=True)
    return rows


def drops(upstream: Server, ours: Server, times: int) -> Result:
    """Many readers that connect, read a little and vanish."""
    pid = ours.process.pid
    closed = len(fetch(f"{upstream.url}/closed"))

    async def all_of_them() -> None:
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one() -> None:
            async with places:
                await _begin_and_leave(ours.url, "Hello!", 1, 0.0)

        await asyncio.gather(*(one() for _ in range(times)))

    before = {"descriptors": descriptors(pid), "memory_mb": memory(pid)}
    begun = time.monotonic()
    asyncio.run(all_of_them())
    took = time.monotonic() - begun
    at_the_engine = len(closed_since(upstream, closed, times))
    until(lambda: descriptors(pid) <= before["descriptors"] + 2)
    return {
        "times": times,
        "seconds": took,
        "before": before,
        "after": {"descriptors": descriptors(pid), "memory_mb": memory(pid)},
        "closed_upstream": at_the_engine,
    }


def idle(ours: Server, seconds: float) -> float:
    """ms of CPU a second that the playground takes while nobody asks for anything."""
    before = cpu(ours.process.pid)
    time.sleep(seconds)
    return 1000 * (cpu(ours.process.pid) - before) / seconds


def starts(upstream: Server, times: int) -> Result:
    """Seconds from the start of a process to its first answer: a page, a model's health."""
    app, page, engine = [], [], []
    for _ in range(times):
        begun = time.monotonic()
        with processes.product(upstream.url) as server:
            fetch(f"{server.url}/livez")
            app.append(time.monotonic() - begun)
            fetch(f"{server.url}/")
            page.append(time.monotonic() - begun)
        begun = time.monotonic()
        with servers.stand_in() as server:
            fetch(f"{server.url}/health")
            engine.append(time.monotonic() - begun)
    return {
        "app_s": quantile(app, 0.5),
        "page_s": quantile(page, 0.5),
        "stand_in_s": quantile(engine, 0.5),
        "times": times,
    }


def stand_in(counts: Sequence[int], seconds: float) -> list[Result]:
    """Tokens a second of the stand-in, all streams together, one answer after the other."""
    rows = []
    with servers.stand_in() as server:
        for streams in counts:
            outcome = processes.read(
                Load("direct", server.url, streams, 200, 0.0, seconds=seconds, prompt=_STORY)
            )
            rows.append(
                {
                    "streams": streams,
                    "tokens_per_second": outcome.events / outcome.wall,
                    "memory_mb": memory(server.process.pid),
                    "failed": outcome.failed + outcome.refused,
                }
            )
            print(f"  stand-in, {rows[-1]}", flush=True)
    return rows
