"""Several processes that serve one page: their ends, and what becomes of answers then."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.cli.serve import serve_by_several
from playground.domain.errors import PlaygroundError
from playground.settings import load_settings
from tests.cli.test_drain import STREAMS, Site, running
from tests.servers import data_dir
from tests.stock import until
from tests.valkey import Valkey

_SERVES = r"Worker (\d+) serves"


def two(valkey: Valkey) -> dict[str, str]:
    """The settings of two workers."""
    return {
        "PLAYGROUND_WORKERS": "2",
        "PLAYGROUND_LIMITS_URL": f"valkey://127.0.0.1:{valkey.port}",
    }


async def workers(site: Site, count: int) -> list[int]:
    """The first so many that serve, once they do."""

    serving: list[str] = []
    async with asyncio.timeout(60):  # each imports the whole program
        while len(serving) < count:
            serving = re.findall(_SERVES, site.server.output)
            await asyncio.sleep(0.02)
    return [int(each) for each in serving[:count]]


def connections(pid: int, port: int) -> int:
    """How many a process has at a port of its own, by what the kernel lists of it."""
    held = {os.readlink(each.path) for each in os.scandir(f"/proc/{pid}/fd") if each.is_symlink()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        row[1].endswith(f":{port:04X}") and row[3] == "01" and f"socket:[{row[9]}]" in held
        for row in rows
    )


async def spread(site: Site, pids: list[int]) -> list[asyncio.Task[Any]]:
    """Readers whose answers have begun, some of each worker: any of them may take a connection."""
    port = site.client.base_url.port
    assert port is not None
    readers: list[asyncio.Task[Any]] = []
    while not all(connections(pid, port) for pid in pids):
        readers += [asyncio.create_task(site.read()) for _ in range(STREAMS)]
        await site.seen(len(readers))
    return readers


async def gone(pids: list[int]) -> None:
    async def ended() -> bool:
        for pid in pids:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                continue
            return False
        return True

    await until(ended)


async def test_a_worker_that_dies_is_replaced_and_all_let_their_answers_end(
    valkey: Valkey,
) -> None:
    room = {"PLAYGROUND_MAX_STREAMS": "400", "PLAYGROUND_MAX_STREAMS_PER_USER": "400"}
    async with running(30, **room, **two(valkey)) as site:
        first = await workers(site, 2)
        readers = await spread(site, first)
        os.kill(first[0], signal.SIGKILL)
        await asyncio.to_thread(site.server.wait_for, f"Worker {first[0]} is gone")
        site.engine.over.set()
        ended = await asyncio.gather(*readers, return_exceptions=True)
        broken = [each for each in ended if isinstance(each, httpx.TransportError)]
        assert 0 < len(broken) < len(readers), "both of them had some"
        assert sum(isinstance(each, list) and each[-1][0] == "done" for each in ended) == (
            len(readers) - len(broken)
        )
        _, *there = await workers(site, 3)
        site.engine.over.clear()
        site.writing = 0
        readers = await site.begin(STREAMS)
        await site.told(signal.SIGTERM)
        site.engine.over.set()
        ended = await asyncio.gather(*readers)
        assert {each[-1][0] for each in ended} == {"done"}
        assert await site.ended() == 0
        await gone(there)


async def test_a_terminals_interrupt_leaves_the_grace_and_a_second_one_ends_at_once(
    valkey: Valkey,
) -> None:
    """All processes are interrupted there, not their supervisor alone."""
    async with running(30, PLAYGROUND_MAX_STREAMS="4", **two(valkey)) as site:
        pids = await workers(site, 2)
        readers = [asyncio.create_task(site.read()) for _ in range(10)]

        async def told() -> bool:
            return site.writing + site.waiting == len(readers)

        await until(told)
        assert 2 <= site.writing <= 4, "the limit is shared out among them"
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        await site.told(signal.SIGINT)
        await asyncio.to_thread(site.server.wait_for, "workers are told")
        for _ in range(50):  # while others would have ended
            assert (await site.client.get("/livez")).status_code == 200
        assert not [each for each in readers if each.done() and each.exception()]
        site.server.signal(signal.SIGINT)
        assert await site.ended() == 0
        await asyncio.gather(*readers, return_exceptions=True)
        await gone(pids)


async def test_workers_end_with_their_supervisor(valkey: Valkey) -> None:
    async with running(0, **two(valkey)) as site:
        pids = await workers(site, 2)
        site.server.process.kill()
        await gone(pids)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "PLAYGROUND_LIMITS_URL must name it"),
        ({"limits_url": "valkey://127.0.0.1:9", "tunnel": True}, "leave out --workers"),
        ({"limits_url": "valkey://127.0.0.1:9", "max_streams": 2}, "less than one for each of 3"),
        ({"limits_url": "valkey://127.0.0.1:9", "presets_file": "/none.toml"}, "none.toml"),
    ],
)
def test_what_several_workers_cannot_do(settings: dict[str, object], why: str) -> None:
    with pytest.raises(PlaygroundError, match=why):
        serve_by_several(load_settings(workers=3, data_dir=data_dir(), **settings))
