"""The readers of the soak, each from an address of its own and with something else to do."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final

import httpx
import orjson

from tests.bench.clients import events, quantile
from tests.conversations import answer, column, record
from tests.soak.engine import LABEL

_LABEL: Final = re.compile(LABEL.pattern.encode())
_WRITTEN: Final = re.compile(rb"@(\d{10}\.\d{3})")
# What an engine that fails, a replica that stops, a reader that stops an answer may end it with.
_ENDS: Final = {
    "done",
    *("incomplete", "overloaded", "generation", "protocol", "offline", "loading", "timeout"),
    *("stopped", "shutdown"),
}
# A full line, a budget that is used up; a replica that is stopping, or none behind Caddy.
_REFUSALS: Final = {403, 429, 502, 503}
_PRESETS: Final = (
    'temperature = 0.7\ntop_p = 0.95\n[[preset]]\nid = "a"',
    '{"temperature": 0.3, "top_k": 50, "n_predict": 1024}',
    "temperature: 1\nmin_p: 0.1\n",
    "Temperature 1.2, top_p –, min_p 0.05",
)


@dataclass
class Demo:
    """A demo and what its visits were seen to take.

    Attributes:
        budget: Tokens that it may take.
        limit: Tokens of one answer.
        read: Tokens that came to its visitors.
        asked: Tokens that the answers may have taken at most.
    """

    token: str
    budget: int
    limit: int
    read: int = 0
    asked: int = 0


@dataclass
class Seen:
    """What all readers saw together.

    Attributes:
        did: How often they did what.
        ends: How often an answer ended how; of what was refused its status.
        faults: What must not be, in words.
        late: Seconds from a word's writing to its arrival.
        gaps: Seconds between two arrivals of an answer's text.
        tokens: Words that arrived.
    """

    did: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0

    def figures(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "did": dict(self.did),
            "ends": dict(self.ends),
            "tokens": self.tokens,
            "late_s": {f"p{100 * p:g}": quantile(self.late, p) for p in (0.5, 0.95, 0.99)},
            "gaps_s": {f"p{100 * p:g}": quantile(self.gaps, p) for p in (0.5, 0.95, 0.99)},
            "longest_gap_s": max(self.gaps, default=0.0),
        }


class Refused(Exception):
    """A request that was answered with a status that it may have."""


@dataclass
class _Answer:
    """The answers of one stream: of each pane its label, its words, how it ended."""

    labels: Sequence[bytes]
    words: list[int]
    ends: dict[int, dict[str, Any]] = field(default_factory=dict)
    at: float = 0.0


class Reader:
    """One reader.

    Args:
        number: Its own; its address and its labels are made of it.
        until: When it ends, on `time.monotonic`.
    """

    def __init__(
        self, url: str, number: int, demos: Sequence[Demo], seen: Seen, until: float
    ) -> None:
        self._number = number
        self._demos = demos
        self._seen = seen
        self._until = until
        self._chance = random.Random(number)
        self._turn = 0
        self._shares: dict[str, dict[str, Any]] = {}
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=90,
            transport=httpx.AsyncHTTPTransport(
                local_address=str(IPv4Address("127.1.0.0") + number),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=2),
            ),
        )

    async def live(self) -> None:
        """Do one thing after the other until the time is up."""
        ways: dict[Callable[[], Awaitable[None]], int] = {
            self.chat: 40,
            self.compare: 12,
            self.stop: 10,
            self.drop: 10,
            self.visit: 12,
            self.share: 6,
            self.look: 6,
            self.take_in: 6,
            self.measure: 6,
        }
        async with self._client:
            await asyncio.sleep(self._chance.uniform(0, 5))
            while time.monotonic() < self._until:
                [way] = self._chance.choices([*ways], [*ways.values()])
                name = way.__name__
                self._seen.did[name] += 1
                try:
                    await way()
                except Refused as refused:
                    self._seen.ends[f"{name}: {refused}"] += 1
                except httpx.HTTPError as error:
                    self._fault(f"{name}: {type(error).__name__}")
                await asyncio.sleep(self._chance.uniform(0.2, 2))

    def _fault(self, words: str) -> None:
        self._seen.faults[words] += 1

    def _label(self, pane: int) -> str:
        return f"L{self._number}x{self._turn}p{pane}"

    def _body(self, panes: int, limit: int) -> dict[str, Any]:
        self._turn += 1
        return {
            "panes": [
                {
                    "messages": [{"role": "user", "content": f"Say {self._label(pane)}"}],
                    "max_new_tokens": limit,
                    "engine": self._chance.choice(["a", "b"]),
                }
                for pane in range(panes)
            ]
        }

    async def chat(self) -> None:
        await self._read("/api/stream", self._body(1, 100))

    async def compare(self) -> None:
        await self._read("/api/stream", self._body(self._chance.choice([2, 3, 4]), 60))

    async def stop(self) -> None:
        await self._read("/api/stream", self._body(2, 100), stop=True)

    async def drop(self) -> None:
        await self._read("/api/stream", self._body(self._chance.choice([1, 2, 4]), 100), leave=True)

    async def visit(self) -> None:
        demo = self._chance.choice(self._demos)
        self._turn += 1
        body = {"messages": [{"role": "user", "content": f"Say {self._label(0)}"}]}
        leave = self._chance.random() < 0.3
        demo.asked += demo.limit
        answer = await self._read(f"/api/demos/{demo.token}/stream", body, leave=leave)
        if answer is None:
            demo.asked -= demo.limit
            return
        demo.read += answer.words[0]
        if "generated_tokens" in answer.ends.get(0, {}):
            demo.asked += answer.ends[0]["generated_tokens"] - demo.limit

    async def share(self) -> None:
        self._turn += 1
        shown = record(
            column({"role": "user", "content": "Hi"}, answer(self._label(0))), title=self._label(0)
        )
        made = await self._ask("POST", "/api/shares", {"record": shown}, 201)
        self._shares[made["token"]] = shown

    async def look(self) -> None:
        """At one's own, which another replica may have made; and now and then take it back."""
        if not self._shares:
            return
        token = self._chance.choice([*self._shares])
        found = await self._ask("GET", f"/api/shares/{token}")
        if found["record"] != self._shares[token] or not found["share"]["mine"]:
            self._fault("look: another's snapshot")
        if self._chance.random() < 0.3:
            await self._ask("DELETE", f"/api/shares/{token}", status=204)
            del self._shares[token]
            await self._ask("GET", f"/api/shares/{token}", status=404)

    async def take_in(self) -> None:
        text = self._chance.choice(_PRESETS) + f"\n# {self._chance.random()}"
        await self._ask("POST", "/api/presets/import", {"text": text})

    async def measure(self) -> None:
        self._turn += 1
        text = f"{self._label(0)} " * self._chance.randrange(1, 200)
        messages = [{"role": "user", "content": text}]
        counted = await self._ask("POST", "/api/tokenize", {"messages": messages})
        if counted["prompt"].count(self._label(0)) != text.count(self._label(0)):
            self._fault("measure: another's prompt")

    async def _ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        response = await self._client.request(method, path, json=body)
        if response.status_code in _REFUSALS:
            raise Refused(response.status_code)
        if response.status_code != status:
            self._fault(f"{method} {path.rsplit('/', 1)[0]}: {response.status_code}")
            raise Refused(response.status_code)
        return response.json() if response.content else None

    @asynccontextmanager
    async def _opened(self, path: str, body: Any) -> AsyncIterator[httpx.Response]:
        async with self._client.stream("POST", path, json=body) as response:
            if response.status_code in _REFUSALS:
                raise Refused(response.status_code)
            if response.status_code != 200:
                self._fault(f"stream: {response.status_code}")
                raise Refused(response.status_code)
            yield response

    async def _read(
        self, path: str, body: Any, *, stop: bool = False, leave: bool = False
    ) -> _Answer | None:
        """Read a stream as far as that goes, and judge it.

        Returns:
            ``None`` for one that was refused.
        """
        panes = len(body.get("panes", [0]))
        answer = _Answer([self._label(pane).encode() for pane in range(panes)], [0] * panes)
        leave_at = self._chance.randrange(1, 20) if leave else 0
        try:
            async with self._opened(path, body) as response:
                number = response.headers["x-stream-id"]
                async for event in events(response.aiter_raw()):
                    self._see(event, answer)
                    if leave and sum(answer.words) >= leave_at:
                        return answer
                    if stop and answer.words[0] >= 3:
                        stop = False
                        await self._stop(number)
        except Refused as refused:
            self._seen.ends[f"refused {refused}"] += 1
            return None
        for pane in range(panes):
            end = answer.ends.get(pane)
            self._seen.ends[end["kind"] if end else "none"] += 1
            if end is None:
                self._fault("a pane without an end")
            elif end["kind"] not in _ENDS:
                self._fault(f"a pane ended with {end['kind']}: {end.get('message')}")
            elif end["kind"] == "done" and end["generated_tokens"] != answer.words[pane]:
                self._fault("an answer has lost or doubled a token")
        return answer

    async def _stop(self, number: str) -> None:
        stopped = await self._client.delete(f"/api/stream/{number}/panes/0")
        # 404: it has ended, or another replica writes it.
        if stopped.status_code not in (204, 404, *_REFUSALS):
            self._fault(f"stop: {stopped.status_code}")

    def _see(self, event: bytes, answer: _Answer) -> None:
        if event.startswith(b":"):
            return
        name, _, data = event.partition(b"\n")
        fields = orjson.loads(data.removeprefix(b"data: "))
        pane = fields["pane"]
        if others := set(_LABEL.findall(event)) - {answer.labels[pane]}:
            self._fault(f"cross-talk: {answer.labels[pane]!r} saw {others}")
        match name.removeprefix(b"event: "):
            case b"delta":
                now = time.time()
                written = [float(each) for each in _WRITTEN.findall(event)]
                answer.words[pane] += len(written)
                self._seen.tokens += len(written)
                self._seen.late += [now - each for each in written]
                if answer.at and len(answer.words) == 1:
                    self._seen.gaps.append(now - answer.at)
                answer.at = now
            case b"done":
                self._end(answer, pane, {**fields, "kind": "done"})
            case b"error":
                self._end(answer, pane, fields)

    def _end(self, answer: _Answer, pane: int, end: dict[str, Any]) -> None:
        if pane in answer.ends:
            self._fault("a pane with two ends")
        answer.ends[pane] = end
