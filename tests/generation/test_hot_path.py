"""The way of a token, measured in work instead of time: flushes, bytes and calls of functions.

The engine here is a script and the event loop's clock is virtual, so every count is the same on
every machine. What is bounded is what makes many streams possible on few cores.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from types import FrameType
from typing import Any, Final

import orjson
import pytest
from fastapi import FastAPI

from playground.api.routes import create_router
from playground.api.services import Services
from playground.domain.messages import Block, Delta, Done, Event, Message, PaneRequest
from playground.domain.presets import load_presets
from playground.domain.samplers import Sampler
from playground.engines.base import Chunk, EngineAddress, EngineState, Finish, GenerationRequest
from playground.engines.registry import Engines
from playground.generation.comparison import compare
from playground.generation.events import encode
from playground.settings import load_settings
from playground.store.store import Store
from tests.faults import Peer, chunks, serving
from tests.generation.test_batching import run
from tests.servers import data_dir
from tests.stock import engine_info, tokens
from tgi.client import TGIClient

READS_A_SECOND: Final = 27
PARAGRAPH: Final = 40  # tokens
INFO = engine_info(10**6, 10**6)


class Script:
    """An engine that writes so many tokens at so many a second, and watches the calls meanwhile.

    It is read as an engine is among many: 27 times a second, or at each token where it is slower.

    paragraphs: whether every 40th token ends a paragraph.
    """

    def __init__(self, count: int, rate: float, *, paragraphs: bool = True) -> None:
        self._count = count
        self._rate = rate
        self._paragraphs = paragraphs
        self.at_once = max(1, int(rate / READS_A_SECOND))
        self.calls = 0
        self.seen: list[int] = []  # how many calls there had been at each token

    async def state(self) -> EngineState:
        return EngineState("ready", 0.0, "", INFO)

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def pieces(self, text: str) -> list[str]:
        return text.split()

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        return {}

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        for start in range(0, self._count, self.at_once):
            texts = []
            for i in range(start, min(start + self.at_once, self._count)):
                self.seen.append(self.calls)
                ends = self._paragraphs and i % PARAGRAPH == PARAGRAPH - 1
                texts.append("end.\n\n" if ends else "word ")
            yield Chunk("".join(texts), len(texts))
            await asyncio.sleep(len(texts) / self._rate)
        yield Finish("length", self._count, 9, 7)

    async def aclose(self) -> None:
        pass

    def per_token(self, start: int, stop: int) -> float:
        """Calls for each of these tokens."""
        return (self.seen[stop] - self.seen[start]) / (stop - start)


@contextmanager
def calls(counted: Callable[[FrameType], bool], add: Callable[[], None]) -> Iterator[None]:
    """Counts the calls of Python functions, and the times that a coroutine goes on."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and counted(frame):
            add()

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def ours(frame: FrameType) -> bool:
    """Neither the test nor the loop under it."""
    name = frame.f_code.co_filename
    return "/tests/" not in name and "/asyncio/" not in name and "selectors" not in name


def request(turns: int = 0) -> PaneRequest:
    history = [
        Message("assistant" if i % 2 else "user", f"Some words of turn {i}. " * 20)
        for i in range(turns)
    ]
    return PaneRequest((*history, Message("user", "Hi")), Sampler())


def answer(
    engine: Script, *, panes: int = 1, turns: int = 0, watch: bool = False
) -> list[list[tuple[int, Event]]]:
    """All batches of an answer, or of several in one stream."""

    def add() -> None:
        engine.calls += 1

    async def main() -> list[list[tuple[int, Event]]]:
        batches = []
        stream = compare([engine] * panes, [request(turns)] * panes, context_tokens=10**6)
        async with aclosing(stream):
            async for batch in stream:
                encode(batch)
                batches.append(batch)
        return batches

    if not watch:
        return run(main)
    with calls(ours, add):
        return run(main)


@pytest.mark.parametrize("rate", [50, 1000, 20_000])
def test_a_read_is_one_flush(rate: int) -> None:
    seconds = 3
    engine = Script(seconds * rate, rate)
    batches = answer(engine)
    reads = seconds * rate / engine.at_once
    assert reads - 2 <= len(batches) <= reads + 4  # receipt, first text, end
    deltas = [e for batch in batches for _, e in batch if isinstance(e, Delta)]
    whole = "".join(delta.text for delta in deltas)
    assert len(whole.split()) == seconds * rate
    assert sum(isinstance(e, Done) for batch in batches for _, e in batch) == 1


def test_four_answers_that_are_read_together_share_their_flushes() -> None:
    seconds, rate = 3, 50
    batches = answer(Script(seconds * rate, rate), panes=4)
    assert len(batches) <= seconds * rate + 4 * 4
    assert {pane for batch in batches for pane, _ in batch} == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [300, 3000])
def test_bytes_a_token_do_not_grow(count: int) -> None:
    """At 50 tokens a second a flush carries at least one of 5 letters, and its envelope."""
    batches = answer(Script(count, 50, paragraphs=False))
    deltas = b"".join(
        encode([(pane, event)])
        for batch in batches
        for pane, event in batch
        if isinstance(event, Delta)
    )
    assert len(deltas) / count <= 50
    blocks = [e for batch in batches for _, e in batch if isinstance(e, Block)]
    assert len(blocks) == 1  # the whole text twice, and not once for each token
    assert len(encode([(0, blocks[0])])) <= 6 * count


def test_a_flush_is_one_write() -> None:
    """What is sent to the server's socket for a whole answer, over HTTP's own interface."""
    seconds, rate = 3, 200
    engine = Script(seconds * rate, rate)
    app = FastAPI()
    engines = Engines((EngineAddress("default", "tgi", ""),), (engine,))
    settings = load_settings(data_dir=data_dir())
    store = Store.from_settings(settings)
    app.include_router(create_router(Services(settings, load_presets(), engines, store)))
    body = orjson.dumps(
        {"messages": [{"role": "user", "content": "Hi"}], "panes": [{"max_new_tokens": 600}]}
    )
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.sleep(1e6)
            asked = True
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/stream",
            "raw_path": b"/api/stream",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        await app(scope, receive, send)

    run(main)  # the first request makes what all others use
    sent.clear()
    counted: Counter[str] = Counter()
    with calls(ours, lambda: counted.update(["calls"])):
        run(main)
    parts = [message["body"] for message in sent if message["type"] == "http.response.body"]
    assert len(parts) <= seconds * rate / engine.at_once + 5
    assert all(part.endswith(b"\n\n") for part in parts[:-1])  # whole events in each
    assert counted["calls"] / len(parts) <= 87  # those of the request among them


# Calls. The bounds leave little over what was counted; a layer or two more exceed them.

SLOW, FAST = 50, 3000  # a token a flush or two, and a hundred a flush


@pytest.mark.parametrize(("rate", "most"), [(SLOW, 40), (FAST, 9)])
def test_calls_a_token(rate: int, most: int) -> None:
    engine = Script(1000, rate)
    answer(engine, watch=True)
    assert engine.per_token(200, 920) <= most


@pytest.mark.parametrize("paragraphs", [True, False])
def test_the_last_tokens_cost_what_the_first_did(paragraphs: bool) -> None:
    engine = Script(4000, SLOW, paragraphs=paragraphs)
    answer(engine, watch=True)
    assert engine.per_token(3560, 3960) <= 1.05 * engine.per_token(40, 440)


def test_tokens_cost_the_same_below_a_long_conversation() -> None:
    short, long = Script(500, SLOW), Script(500, SLOW)
    answer(short, watch=True)
    answer(long, turns=100, watch=True)
    assert long.per_token(40, 440) <= 1.02 * short.per_token(40, 440)


def test_four_answers_cost_less_than_four_streams() -> None:
    one, four = Script(500, SLOW), Script(500, SLOW)
    answer(one, watch=True)
    answer(four, panes=4, watch=True)
    assert four.per_token(160, 1760) <= one.per_token(40, 440)


@pytest.mark.parametrize(("at_once", "most"), [(1, 28), (100, 8)])
async def test_calls_a_token_between_the_socket_and_the_client(at_once: int, most: int) -> None:
    """Every token in a chunk of its own, as TGI sends them, and one or many of them in a read."""
    count = 50 * at_once
    events = tokens(["word "] * count, "length")
    taken = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.head(headers={"transfer-encoding": "chunked"})
        for i in range(0, count, at_once):
            await peer.send(chunks(*events[i : i + at_once]))
            await taken.acquire()
        await peer.send(chunks(b""))

    counted: Counter[str] = Counter()
    sizes: list[int] = []
    async with serving(script) as server, TGIClient(server.url) as client:
        with calls(ours, lambda: counted.update(["calls"])):
            async for batch in client.stream_batches("Hi"):
                if not sizes:
                    counted.clear()  # the request
                sizes.append(len(batch))
                taken.release()
    assert sizes == [at_once] * 50
    assert counted["calls"] / (count - at_once) <= most
