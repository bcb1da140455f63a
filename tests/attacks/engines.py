"""What broken and hostile engines send, what their addresses hold, and what needs another clock.

The last is held by its test, which is run then.
"""

import asyncio
import re
import subprocess
import sys
import zlib
from contextlib import suppress
from functools import partial
from typing import Final

import orjson

from tests import stock
from tests.api.test_demo_links import ROOMY, broken, failing, refusing
from tests.attacks.probe import Attack, Engine
from tests.attacks.rows import row
from tests.cli.test_settings import PASSWORDS
from tests.faults import Peer, Script, serving
from tests.servers import ROOT, environment
from tests.tgi.test_client_faults import ENDLESS

_HI: Final = [{"role": "user", "content": "Hi"}]


def _tgi(script: Script) -> Engine:
    return partial(stock.tgi, script, info=ROOMY)


def _told(most: bytes) -> Engine:
    """What says of itself that it takes so many tokens."""

    async def script(peer: Peer) -> None:
        info = {**stock.INFO, "max_total_tokens": orjson.Fragment(most)}
        await peer.answer(orjson.dumps(info) if peer.request.path == "/info" else b"")

    return partial(serving, script)


def _endless(head: bytes, more: bytes) -> Script:
    """An answer for as long as somebody reads."""

    async def script(peer: Peer) -> None:
        with suppress(ConnectionError):
            await peer.send(head)
            while True:
                await peer.send(more)

    return script


async def _bomb(peer: Peer) -> None:
    """An error of 300 MB in 300 kB."""
    packing = zlib.compressobj(level=1, wbits=31)
    packed = b"".join(packing.compress(bytes(10**6)) for _ in range(300)) + packing.flush()
    await peer.answer(packed, 500, headers={"content-encoding": "gzip"})


async def _answered(attack: Attack) -> None:
    """Ask the engine; its fault must be told as one, within a stream that is well."""
    body = {"messages": _HI, "panes": [{"engine": "e1", "max_new_tokens": 64}]}
    asked = await attack.ask("POST", "/api/stream", json=body)
    attack.expect(asked.text.count("event: error") == 1, f"no error: {asked.text[-80:]!r}")


async def _run(*arguments: str, **env: str) -> tuple[int, str]:
    """A program to its end: its status and all that it said."""
    run = partial(subprocess.run, [sys.executable, "-m", *arguments], cwd=ROOT, timeout=60)
    run = partial(run, env={**environment(), **env}, capture_output=True, text=True)
    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout + done.stderr


async def _tested(attack: Attack, test: str) -> None:
    status, said = await _run("pytest", "-q", "-p", "no:cacheprovider", test)
    attack.answers["its test"] += 1
    attack.expect(status == 0, f"failed: {test}: {said[-300:]}")


@row(10, hostile=[partial(stock.tgi, broken, failing, refusing, info=ROOMY)])
async def words(attack: Attack) -> None:
    """an engine of a demo that resets, that fails with a path, that is a proxy's page."""
    terms = {"title": "Hi", "panes": [{"engine": "e1"}], "budget_tokens": 10**6}
    token = (await attack.anna.post("/api/demos", json=terms)).json()["token"]
    told = []
    for _ in range(3):
        path, body = f"/api/demos/{token}/stream", {"messages": _HI}
        told.append((await attack.ask("POST", path, by=attack.stranger, json=body)).text)
    attack.expect(all("event: error" in each for each in told), "a fault is not told")
    for path in (f"/api/demos/{token}", f"/d/{token}"):
        told += [(await attack.ask("GET", path, by=attack.stranger)).text]
    port = attack.hostile[0].rpartition(":")[2]
    found = re.findall(rf":{port}|10\.1\.2\.3|secret", "\n".join(told))
    attack.expect(not found, f"a stranger is told {found[:1]}")
    attack.statuses([200])


@row(11)
async def passwords(attack: Attack) -> None:
    """`http://name:password@host` and six more forms as the engine's address, in two ways each."""

    serve = ("playground", "serve", "--port", "0")
    for address in PASSWORDS:
        for status, said in await asyncio.gather(
            _run(*serve, PLAYGROUND_ENGINE_URL=address), _run(*serve, "--engine-url", address)
        ):
            attack.answers[f"ended with {status}"] += 1
            attack.expect(status == 2, f"taken: {address}")
            attack.expect("hunter2" not in said, f"repeated: {address}")


@row(12, hostile=[_tgi(_bomb)])
async def compressed(attack: Attack) -> None:
    """an engine whose error is 300 MB in 300 kB of gzip."""
    await _answered(attack)


@row(12, hostile=[partial(stock.tgi, info=ROOMY, counting=_endless(*ENDLESS["an answer"]))])
async def endless_counting(attack: Attack) -> None:
    """an engine whose /tokenize has no end."""
    body = {"messages": _HI, "engine": "e1"}
    await attack.ask("POST", "/api/tokenize", json=body)
    await attack.ask("POST", "/api/pieces", json={"texts": ["Hi"], "engine": "e1"})
    attack.statuses([200, 502, 503])


@row(12, hostile=[_tgi(_endless(*ENDLESS["an event"]))])
async def endless_event(attack: Attack) -> None:
    """an engine that writes an event without an end."""
    await _answered(attack)


@row(12)
async def comments(attack: Attack) -> None:
    """an engine of keep-alives alone, ended after 600 s: its test, with 0.3 s in their place."""
    test = "test_comments_alone_keep_no_stream_alive_for_good"
    await _tested(attack, f"tests/tgi/test_client_faults.py::{test}")


@row(17, hostile=[_told(b"1e308"), _told(b"-1"), _told(b"[" * 1_000 + b"]" * 1_000)])
async def info(attack: Attack) -> None:
    """an engine whose /info has 1e308, a negative number, 1,000 levels."""
    for number in (1, 2, 3):
        told = await attack.ask("GET", f"/api/engine?engine=e{number}")
        attack.expect(told.json()["state"] == "offline", f"e{number} is {told.json()['state']}")
    attack.statuses([200])


@row(18)
async def clock(attack: Attack) -> None:
    """the clock of the day set back or on by a day: its test, since none can set a process's."""
    test = "test_a_clock_that_jumps_neither_lengthens_nor_shortens_a_wait"
    await _tested(attack, f"tests/limits/test_rate_limits.py::{test}")
