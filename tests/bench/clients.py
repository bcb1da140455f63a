"""The readers: many streams at once, read as a browser would, in a process of its own.

    python -m tests.bench.clients '{"kind": "ours", "url": "http://127.0.0.1:7860", "streams": 10}'

Prints one JSON object, `Outcome`. A token's latency is its arrival here minus the time that it
carries; both clocks are this machine's.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop

_TIME: Final = re.compile(rb"(?<!\d)\d{10}\.\d{4}(?!\d)")
_PANE: Final = re.compile(rb'"pane":(\d)')


@dataclass(frozen=True, slots=True)
class Load:
    """What to read.

    kind: ours, naive (Gradio's queue protocol) or direct (TGI's own stream).
    spread: seconds between the starts of two streams. deadline: seconds until all is given up.
    seconds: for so long a stream that has ended begins anew. turns: messages before the question,
    of `words` words each. panes: answers in one stream, ours only. clear, fn_index: which of
    Gradio's functions take the text from the box, and answer it; naive only.
    """

    kind: Literal["ours", "naive", "direct"]
    url: str
    streams: int
    tokens: int
    spread: float = 0.02
    deadline: float = 60.0
    seconds: float = 0.0
    turns: int = 0
    words: int = 80
    panes: int = 1
    prompt: str = "Hello!"
    fn_index: int = 0
    clear: int = 0


@dataclass(slots=True)
class Outcome:
    """What was read.

    latency: ms, at 50, 95 and 99 % of the tokens. first: ms to the first token, at 50 and 95 % of
    the streams. duration: seconds from request to end, at 50 and 95 % of the complete streams.
    """

    tokens: int = 0
    latency: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    duration: list[float] = field(default_factory=list)
    complete: int = 0
    refused: int = 0
    failed: int = 0
    events: int = 0
    bytes: int = 0
    wall: float = 0.0
    reasons: list[str] = field(default_factory=list)


class Failure(Exception):
    """A stream that did not end as it should."""


class Refused(Failure):
    """A stream that was not begun: its status is not 200."""


class _Answer:
    """Takes httptools' calls: the status, and the body's parts as they come."""

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


@contextlib.asynccontextmanager
async def request(
    url: str, path: str, body: object = None
) -> AsyncIterator[tuple[asyncio.StreamWriter, AsyncIterator[bytes]]]:
    """One request on a connection of its own; the parts of its answer. Raises Refused."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        content = b"" if body is None else orjson.dumps(body)
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: {address.netloc}\r\n"
        if body is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        writer.write(f"{head}\r\n".encode() + content)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)

        async def parts() -> AsyncIterator[bytes]:
            while not answer.complete:
                data = await reader.read(65536)
                if not data:
                    raise Failure("the connection ended in the middle")
                parser.feed_data(data)
                part, answer.body = b"".join(answer.body), []
                if parser.get_status_code() not in (0, 200):
                    raise Refused(f"status {parser.get_status_code()}: {part[:200]!r}")
                if part:
                    yield part

        yield writer, parts()
    finally:
        writer.transport.abort()


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of an event stream, as they were written."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n\n")
        for event in whole:
            yield event


def conversation(load: Load, stream: int) -> list[dict[str, str]]:
    """Different for each stream, as people's are."""
    turns = [
        {
            "role": "assistant" if i % 2 else "user",
            "content": " ".join(f"word{stream * 7 + j}" for j in range(load.words)),
        }
        for i in range(load.turns)
    ]
    return [*turns, {"role": "user", "content": f"{load.prompt} {stream}"}]


class _Reader:
    """One stream, from its request to its end."""

    def __init__(self, load: Load, stream: int, outcome: Outcome, latency: list[float]) -> None:
        self._load = load
        self._stream = stream
        self._outcome = outcome
        self._latency = latency
        self._last = [0.0] * load.panes
        self.begun = 0.0
        self.first = 0.0

    def _count(self, event: bytes) -> None:
        self._outcome.events += 1
        self._outcome.bytes += len(event) + 2

    def _see(self, event: bytes, pane: int = 0) -> None:
        """Note the tokens of an event that were not there before: Gradio sends them again."""
        now = time.time()
        last = self._last[pane]
        for found in _TIME.finditer(event):
            emitted = float(found.group())
            if emitted > last:
                last = emitted
                self._latency.append(now - emitted)
                self.first = self.first or now
        self._last[pane] = last

    async def ours(self) -> None:
        load = self._load
        pane = {"sampler": {"temperature": 0.7}, "max_new_tokens": load.tokens}
        body = {"messages": conversation(load, self._stream), "panes": [pane] * load.panes}
        self.begun = time.time()
        ended = 0
        async with request(load.url, "/api/stream", body) as (_, parts):
            async for event in events(parts):
                self._count(event)
                if event.startswith(b"event: delta"):
                    number = _PANE.search(event)
                    assert number
                    self._see(event, int(number[1]))
                elif event.startswith(b"event: done"):
                    ended += 1
                elif event.startswith(b"event: error"):
                    raise Failure(event.decode())
        if ended != load.panes:
            raise Failure("the stream ended without done")

    async def direct(self) -> None:
        load = self._load
        inputs = "\n".join(message["content"] for message in conversation(load, self._stream))
        body = {"inputs": inputs, "parameters": {"max_new_tokens": load.tokens, "details": True}}
        self.begun = time.time()
        async with request(load.url, "/generate_stream", body) as (_, parts):
            async for event in events(parts):
                self._count(event)
                self._see(event)

    async def naive(self) -> None:
        """What Gradio's page does: the text is taken from the box, then the answer is streamed."""
        load, session = self._load, f"s{self._stream}"
        await self._call(session, load.clear, [f"{load.prompt} {self._stream}"])
        self.begun = time.time()
        await self._call(session, load.fn_index, [None, None])

    async def _call(self, session: str, fn_index: int, data: list[Any]) -> None:
        join = {"data": data, "fn_index": fn_index, "session_hash": session}
        async with request(self._load.url, "/gradio_api/queue/join", join) as (_, parts):
            async for _ in parts:
                pass
        path = f"/gradio_api/queue/data?session_hash={session}"
        async with request(self._load.url, path) as (_, parts):
            async for event in events(parts):
                self._count(event)
                self._see(event)
                if b'"msg":"process_completed"' in event:
                    if b'"success":true' not in event:
                        raise Failure(event.decode())
                    return


async def read(load: Load) -> Outcome:
    """All streams of a load."""
    outcome = Outcome()
    latency: list[float] = []
    first: list[float] = []
    durations: list[float] = []

    async def one(stream: int) -> None:
        await asyncio.sleep(stream * load.spread)
        reader = _Reader(load, stream, outcome, latency)
        try:
            await getattr(reader, load.kind)()
            while time.time() - begun < load.seconds:
                await getattr(reader, load.kind)()
        except Refused as error:
            outcome.refused += 1
            outcome.reasons.append(str(error))
        except (Failure, OSError) as error:
            outcome.failed += 1
            outcome.reasons.append(str(error))
        else:
            outcome.complete += 1
            durations.append(time.time() - reader.begun)
        if reader.first:
            first.append(1000 * (reader.first - reader.begun))

    begun = time.time()
    tasks = [asyncio.create_task(one(stream)) for stream in range(load.streams)]
    _, late = await asyncio.wait(tasks, timeout=load.deadline)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    outcome.failed += len(late)
    if late:
        outcome.reasons.append(f"{len(late)} streams had not ended after {load.deadline:g} s")
    outcome.wall = time.time() - begun
    outcome.tokens = len(latency)
    outcome.latency = [1000 * quantile(latency, share) for share in (0.5, 0.95, 0.99)]
    outcome.duration = [quantile(durations, share) for share in (0.5, 0.95)]
    outcome.first = [quantile(first, share) for share in (0.5, 0.95)]
    outcome.reasons = outcome.reasons[:3]
    return outcome


def quantile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed; NaN without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(read(Load(**json.loads(sys.argv[1])))))))
