"""What is attacked, another reader of it, and what both of them show meanwhile.

`python -m tests.attacks.probe URL` is that reader, a process of its own, so that nothing which the
attacker does can hold it up: it prints when each part of its stream came.
"""

import asyncio
import functools
import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from playground.auth.passwords import Passwords
from tests.bench.clients import events
from tests.bench.processes import Watch, memory
from tests.servers import Server, data_dir

# Who reads, and who attacks, each from an address of their own.
ADDRESSES: Final = {"anna": "127.0.0.2", "mallory": "127.0.0.3", "": "127.0.0.4"}
_PASSWORD: Final = "a password for the attacks"
_ENGINE: Final = '[[engine]]\nid = "e{0}"\nkind = "tgi"\nurl = "{1}"\n'
_FEW_DESCRIPTORS: Final = (
    "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}));"
    "runpy.run_module('tests.pageless', run_name='__main__')"
)
_MOST_S: Final = 240.0
_END_S: Final = 15.0  # from SIGTERM


class Site(Server):
    """A playground as a process: two users, and an engine "e0", the others behind it.

    page: whether Gradio's page is there. descriptors: how many it may have, where they are few.
    """

    def __init__(
        self,
        engines: Sequence[str],
        *,
        page: bool = False,
        descriptors: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder = Path(data_dir())
        folder.mkdir()
        (folder / "users").write_text("".join(f"{name}:{_hash()}\n" for name in ADDRESSES if name))
        (folder / "engines.toml").write_text(
            "".join(_ENGINE.format(number, url) for number, url in enumerate(engines))
        )
        program = ["-m", "playground" if page else "tests.pageless"]
        if descriptors:
            program = ["-c", _FEW_DESCRIPTORS.format(descriptors)]
        env = {
            "AUTH": "users",
            "DATA_DIR": str(folder),
            "ENGINES_FILE": str(folder / "engines.toml"),
            "GRACE_SECONDS": "0",
            **(settings or {}),
        }
        super().__init__(
            [*program, "serve", "--port", "0"],
            ready="Playground: http",
            env={f"PLAYGROUND_{name}": value for name, value in env.items()},
        )


@functools.cache
def _hash() -> str:
    return Passwords().hashed(_PASSWORD)


@asynccontextmanager
async def browser(url: str, name: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """Somebody's, logged in where they have a name; each request has a connection of its own."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    transport = httpx.AsyncHTTPTransport(local_address=ADDRESSES[name], limits=limits)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=_MOST_S) as client:
        if name:
            answered = await client.post("/login", data={"name": name, "password": _PASSWORD})
            assert answered.status_code == 303, answered.text
        yield client


@dataclass
class Attack:
    """Who is there while one goes on, and what came of it.

    Attributes:
        hostile: The addresses of the engines "e1" and so on.
        demo: The token of a demo that is open to all.
        answers: How often which status, or what else became of a connection.
        faults: What must not be, in words.
        notes: What else is worth a look.
    """

    site: Site
    hostile: Sequence[str]
    anna: httpx.AsyncClient
    mallory: httpx.AsyncClient
    stranger: httpx.AsyncClient
    demo: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, *, by: httpx.AsyncClient | None = None, **options: Any
    ) -> httpx.Response:
        """One request, mallory's unless it says whose; a refusal must say why in a sentence."""
        answered = await (by or self.mallory).request(method, path, **options)
        self.answers[str(answered.status_code)] += 1
        if answered.status_code >= 400 and "text/html" not in answered.headers["content-type"]:
            told = answered.json()["error"].endswith(".")
            self.expect(told, f"{answered.status_code} without a sentence: {answered.text[:80]!r}")
        return answered

    async def opened(
        self, sent: bytes, address: str = ADDRESSES[""]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection over which this was sent, as far as it is taken."""
        at = urlsplit(self.site.url)
        reader, writer = await asyncio.open_connection(
            at.hostname, at.port, local_addr=(address, 0)
        )
        await self.send(writer, sent)
        return reader, writer

    @staticmethod
    async def send(writer: asyncio.StreamWriter, sent: bytes) -> None:
        """Send as far as it is taken."""
        with suppress(ConnectionError):
            for start in range(0, len(sent), 65_536):
                writer.write(memoryview(sent)[start : start + 65_536])
                await writer.drain()

    async def outcome(self, sent: bytes, address: str = ADDRESSES[""]) -> None:
        """Note what comes back on a connection until the server closes it."""
        came = b""
        with suppress(ConnectionError):
            reader, writer = await self.opened(sent, address)
            try:
                while part := await reader.read(65_536):
                    came += part
            finally:
                writer.transport.abort()
        status = came[9:12].decode() or "closed"
        self.answers[status] += 1
        told = status < "400" or status == "closed" or b'."' in came
        self.expect(told, f"{status} without a sentence: {came[-80:]!r}")

    def statuses(self, expected: Collection[int | str]) -> None:
        """Nothing else may have been answered."""
        others = {*self.answers} - {str(each) for each in expected}
        self.expect(not others, f"answered with {', '.join(sorted(others))}")

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a fault where it does not hold."""
        if not holds and otherwise not in self.faults:
            self.faults.append(otherwise)


Engine = Callable[[], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of attack.

    Attributes:
        send: Its docstring's first line says what is sent.
        memory: MB that the server may take more than before; compose lets it have 1,000.
        still: Seconds for which another's stream may stand still, beside ten times its longest gap
            before. On two cores that are shared with the attacker, a turn of the scheduler shows.
        hostile: The engines "e1" and so on; each has an address, `url`.
        options: Of the `Site`.
    """

    number: int
    send: Callable[[Attack], Awaitable[None]]
    memory: float = 100.0
    still: float = 0.5
    hostile: Sequence[Engine] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an attack came to: seconds, MB, and the server's own words."""

    answers: Mapping[str, int]
    seconds: float
    gap: float
    control: float
    before: float
    peak: float
    output: str = ""
    faults: Sequence[str] = ()
    notes: Sequence[str] = ()


def judged(row: Row, seen: Seen) -> list[str]:
    """What did not hold, in words."""
    faults = list(seen.faults)
    if (most := 10 * seen.control + row.still) < seen.gap:
        faults.append(f"another's stream stood still for {seen.gap:.1f} s, {most:.1f} at most")
    if (more := seen.peak - seen.before) > row.memory:
        faults.append(f"{more:.0f} MB more, {row.memory:.0f} at most")
    if "500" in seen.answers:
        faults.append("answered with 500")
    for line in seen.output.splitlines():
        if "ERROR" in line or "Traceback" in line:
            faults.append(f"in the log: {line[:100]}")
            break
    return faults


def longest_gap(arrivals: Sequence[float], begin: float, end: float) -> float:
    """Seconds without an arrival between two moments."""
    points = [begin, *(each for each in arrivals if begin < each < end), end]
    return max(after - at for at, after in itertools.pairwise(points))


async def measured(row: Row, engine: str, control_s: float = 1.5) -> Seen:
    """Attack a new site as a row says, beside another's stream."""
    async with AsyncExitStack() as stack:
        hostile = [(await stack.enter_async_context(each())).url for each in row.hostile]
        site = await asyncio.to_thread(Site, [engine, *hostile], **row.options)
        stack.callback(site.kill)
        anna, mallory, stranger = [
            await stack.enter_async_context(browser(site.url, name)) for name in ADDRESSES
        ]
        attack = Attack(site, hostile, anna, mallory, stranger)
        terms = {"title": "Open", "panes": [{}], "budget_tokens": 10**6}
        attack.demo = (await attack.anna.post("/api/demos", json=terms)).json()["token"]
        arguments = ["-m", "tests.attacks.probe", site.url]
        reader = await asyncio.to_thread(Server, arguments, ready=r"^\d")
        stack.callback(reader.kill)
        controlled = time.monotonic()
        await asyncio.sleep(control_s)
        begun, before = time.monotonic(), memory(site.process.pid)
        with Watch(site.process.pid) as watch:
            try:
                async with asyncio.timeout(_MOST_S):
                    await row.send(attack)
            except Exception as error:  # whatever it is, the row did not hold
                attack.faults.append(f"{type(error).__name__}: {error}")
            ended = now = time.monotonic()
            arrivals: list[float] = []
            # To the first arrival behind the end, for what stands still longer than the attack.
            while now < ended + _MOST_S and max(arrivals, default=0.0) < ended:
                await asyncio.sleep(0.01)
                now = time.monotonic()
                arrivals = [float(each) for each in reader.lines if each[:1].isdigit()]
        said = [each for each in reader.lines if not each[:1].isdigit()]
        attack.expect(not said, f"another's stream failed: {said[-1:]}")
        try:
            status = await asyncio.to_thread(site.terminate, _END_S)
            attack.expect(status == 0, f"the server ended with status {status}")
        except subprocess.TimeoutExpired:
            attack.faults.append(f"the server did not end within {_END_S:g} s of SIGTERM")
    return Seen(
        answers=attack.answers,
        seconds=ended - begun,
        gap=longest_gap(arrivals, begun, now),
        control=longest_gap(arrivals, controlled, begun),
        before=before,
        peak=watch.used.peak,
        output=site.output,
        faults=attack.faults,
        notes=attack.notes,
    )


async def read(url: str) -> None:
    """Read one stream after the other, until it is ended."""
    said = [{"role": "user", "content": "Go on"}]
    body = {"messages": said, "panes": [{"max_new_tokens": 1_000}]}
    async with browser(url, "anna") as client:
        while True:
            async with client.stream("POST", "/api/stream", json=body) as response:
                assert response.status_code == 200, await response.aread()
                async for event in events(response.aiter_raw()):
                    if event.startswith(b"event: delta"):
                        print(f"{time.monotonic():.4f}", flush=True)
                    assert not event.startswith(b"event: error"), event


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1]))
