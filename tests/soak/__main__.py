"""`make soak`: many readers, engines that fail, two replicas on PostgreSQL behind Caddy.

    python -m tests.soak [--minutes 10] [--readers 200]

One of the replicas is restarted twice. Prints what it sees as JSON, and ends with status 1 where
something was seen that must not be: words of another, an answer without its end or with a token
lost, a demo that spent more than its budget or other than its visitors read, an error in a log,
memory or descriptors that do not come back. Linux only, with Caddy and PostgreSQL of the system.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bench.processes import descriptors, memory
from tests.postgres import Cluster
from tests.proxies import caddy, free_port
from tests.servers import Server
from tests.soak.readers import Demo, Reader, Seen

_ENGINES: Final = """
[[engine]]
id = "a"
name = "A"
kind = "tgi"
url = "{0}"
[[engine]]
id = "b"
name = "B"
kind = "tgi"
url = "{1}"
"""
_WARM_S: Final = 30.0
_SETTLE_S: Final = 20.0
_START_S: Final = 300.0  # of a busy machine
_MORE_MEMORY: Final = 1.15  # of what it was when it was warm
_MORE_DESCRIPTORS: Final = 8
_DEMO_LIMIT: Final = 30
_BUDGETS: Final = (200, 1_000, 1_000_000)


@dataclass
class Replicas:
    """Two playgrounds on one database, with ports that they keep."""

    servers: list[Server]
    commands: list[list[str]]
    env: dict[str, str]

    @classmethod
    def started(cls, engines: Path, database: str) -> "Replicas":
        env = {
            "PLAYGROUND_ENGINES_FILE": str(engines),
            "PLAYGROUND_DATABASE_URL": database,
            "PLAYGROUND_SECRET": "a secret of the soak alone",
            "PLAYGROUND_OPEN": "true",
            "PLAYGROUND_TRUSTED_PROXIES": "127.0.0.1/32",
            "PLAYGROUND_MAX_STREAMS": "400",
            "PLAYGROUND_GRACE_SECONDS": "3",
            "PLAYGROUND_LOG_LEVEL": "warning",
        }
        commands = [["-m", "tests.pageless", "serve", "--port", str(free_port())] for _ in range(2)]
        replicas = cls([], commands, env)
        replicas.servers = [replicas._start(command) for command in commands]
        return replicas

    def _start(self, command: Sequence[str]) -> Server:
        return Server(command, ready="Playground: http", env=self.env, timeout=_START_S)

    def restart(self) -> tuple[int, str]:
        """The second one: its exit status and output."""
        server = self.servers[1]
        status = server.terminate()
        self.servers[1] = self._start(self.commands[1])
        return status, server.output

    def figures(self) -> list[dict[str, float]]:
        """Memory in MB and open descriptors of each."""
        pids = [server.process.pid for server in self.servers]
        return [{"memory_mb": memory(pid), "descriptors": descriptors(pid)} for pid in pids]

    def terminate(self) -> None:
        for server in self.servers:
            server.terminate()


async def demos(owner: httpx.AsyncClient) -> list[Demo]:
    """Some that will be used up and one that will not."""
    made = []
    for budget in _BUDGETS:
        terms = {
            "title": f"Of {budget}",
            "panes": [{"preset": "alpacaeval", "engine": "a"}],
            "budget_tokens": budget,
            "max_new_tokens": _DEMO_LIMIT,
        }
        answered = await owner.post("/api/demos", json=terms)
        assert answered.status_code == 201, answered.text
        made.append(Demo(answered.json()["token"], budget, _DEMO_LIMIT))
    return made


async def judge(owner: httpx.AsyncClient, made: Sequence[Demo], seen: Seen) -> list[Any]:
    """Hold what each demo has spent against what its visitors saw; as it is printed."""
    told = (await owner.get("/api/demos")).json()["demos"]
    accounts = {each["token"]: each for each in told}
    rows = []
    for demo in made:
        spent, held = accounts[demo.token]["spent"], accounts[demo.token]["held"]
        if held:
            seen.faults[f"a demo still holds {held} tokens"] += 1
        if not demo.read <= spent <= min(demo.asked, demo.budget):
            seen.faults["a demo's account is wrong"] += 1
        rows.append({"budget": demo.budget, "spent": spent, "read": demo.read, "most": demo.asked})
    return rows


async def soak(minutes: float, readers: int, folder: Path, stack: ExitStack) -> dict[str, Any]:
    """All of it; what was seen."""
    engines = [
        stack.enter_context(Server(["-m", "tests.soak.engine", str(i)], timeout=_START_S))
        for i in range(2)
    ]
    (folder / "engines.toml").write_text(_ENGINES.format(*[each.url for each in engines]))
    cluster = Cluster()
    stack.callback(cluster.remove)
    replicas = await asyncio.to_thread(
        Replicas.started, folder / "engines.toml", cluster.database()
    )
    stack.callback(replicas.terminate)
    url = stack.enter_context(caddy(folder, [each.url for each in replicas.servers]))
    seen, logs = Seen(), []

    async def read(seconds: float, first: int) -> None:
        until = time.monotonic() + seconds
        crowd = [Reader(url, first + i, made, seen, until) for i in range(readers)]
        await asyncio.gather(*(reader.live() for reader in crowd))

    async def restarts(seconds: float) -> None:
        for _ in range(2):
            await asyncio.sleep(seconds / 3)
            status, output = await asyncio.to_thread(replicas.restart)
            logs.append(output)
            if status:
                seen.faults[f"a replica ended with status {status}"] += 1

    async with httpx.AsyncClient(base_url=url, timeout=30) as owner:
        made = await demos(owner)
        await read(_WARM_S, readers + 1)
        await asyncio.sleep(_SETTLE_S)
        before = replicas.figures()
        print(f"warm: {json.dumps(before)}", flush=True)
        await asyncio.gather(read(60 * minutes, 1), restarts(60 * minutes))
        await asyncio.sleep(_SETTLE_S)
        after = replicas.figures()
        accounts = await judge(owner, made, seen)
    for i, (was, now) in enumerate(zip(before, after, strict=True)):
        if i == 0 and now["memory_mb"] > _MORE_MEMORY * was["memory_mb"]:
            seen.faults["memory has grown"] += 1
        if now["descriptors"] > was["descriptors"] + _MORE_DESCRIPTORS:
            seen.faults["descriptors have not come back"] += 1
    logs += [server.output for server in replicas.servers]
    wrong = [
        line
        for each in logs
        for line in each.splitlines()
        if "ERROR" in line or "Traceback" in line or "Error" in line
    ]
    for line in wrong[:20]:
        seen.faults[f"in a log: {line}"] += 1
    return {
        "minutes": minutes,
        "readers": readers,
        "load": os.getloadavg(),
        "before": before,
        "after": after,
        "demos": accounts,
        "seen": seen.figures(),
        "faults": dict(seen.faults),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns 1 where something was seen that must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=200)
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        print("The soak reads memory and descriptors as Linux gives them.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="playground-soak-") as folder, ExitStack() as stack:
        result = asyncio.run(soak(options.minutes, options.readers, Path(folder), stack))
    print(json.dumps(result, indent=1))
    return bool(result["faults"])


if __name__ == "__main__":
    sys.exit(main())
