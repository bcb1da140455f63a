"""Readers who stop, leave and read on, many at a time: each sees words of its own answer alone.

The engine writes a prompt's label as every word of its answer, in bursts of which the last one also
ends the answer, so that ends meet stops. The playground is a process of its own.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence

import httpx
import orjson
from httpx_sse import aconnect_sse

from tests import stock
from tests.faults import STREAM_HEAD, Peer, chunks
from tests.servers import Server

LABEL = re.compile(r"label-\d+")
READERS, TURNS = 20, 40
# What a reader may do: read to the end, stop panes, leave, or have its prompt counted.
WAYS = ("whole", "stop", "stop", "leave", "count")


async def speak(peer: Peer) -> None:
    """An answer in bursts on a connection that is kept."""
    prompt: str = peer.request.json()["inputs"]
    label = LABEL.findall(prompt)[-1]
    chance = random.Random(prompt + str(peer.request.json()["parameters"]["seed"]))
    words = chance.choice([1, 2, 3, 5, 8, 40])
    await peer.send(STREAM_HEAD)
    burst: list[bytes] = []
    for event in stock.tokens([f" {label}"] * words, "length"):
        if burst and chance.random() < 0.5:
            await peer.send(chunks(*burst))
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01, 0.03]))
            burst = []
        burst.append(event)
    await peer.send(chunks(*burst, b""))
    peer.reusable = True


class Reader:
    """One who asks again and again, each time with another label.

    saw: how often it went which way. faults: in words, what was not its own or not as it should be.
    """

    def __init__(self, client: httpx.AsyncClient, number: int) -> None:
        self.saw: Counter[str] = Counter()
        self.faults: list[str] = []
        self._client = client
        self._chance = random.Random(number)
        self._labels = iter(range(number * TURNS, (number + 1) * TURNS))

    async def read(self) -> None:
        for label in self._labels:
            way = self._chance.choice(WAYS)
            self.saw[way] += 1
            seen = await (self._count if way == "count" else self._answers)(f"label-{label}", way)
            if others := set(LABEL.findall(seen)) - {f"label-{label}"}:
                self.faults.append(f"{way}: label-{label} saw {others}")

    async def _count(self, label: str, way: str) -> str:
        more = self._chance.randrange(20)
        messages = [{"role": "user", "content": label + " more" * more}]
        answer = await self._client.post("/api/tokenize", json={"messages": messages})
        # BOS, the markers of both turns and the label are 4; a token is a word here.
        if answer.status_code != 200 or answer.json()["prompt_tokens"] != 4 + more:
            self.faults.append(f"{way}: {answer.status_code} {answer.text}")
        return answer.text

    async def _answers(self, label: str, way: str) -> str:
        panes = self._chance.choice([1, 1, 2, 4])
        body = {
            "messages": [{"role": "user", "content": label}],
            "panes": [{"max_new_tokens": 40, "seed": pane} for pane in range(panes)],
        }
        texts, ends = [""] * panes, {}
        async with aconnect_sse(self._client, "POST", "/api/stream", json=body) as source:
            stream = source.response.headers["x-stream-id"]
            async for event in source.aiter_sse():
                data = event.json()
                if event.event == "delta":
                    texts[data["pane"]] += data["text"]
                elif event.event in ("done", "error"):
                    ends[data["pane"]] = data
                if way == "leave" and self._chance.random() < 0.3:
                    return "".join(texts)
                if way == "stop" and event.event == "delta" and self._chance.random() < 0.7:
                    await asyncio.sleep(self._chance.choice([0, 0, 0.002, 0.01]))
                    await self._client.delete(
                        f"/api/stream/{stream}/panes/{self._chance.randrange(panes)}"
                    )
        self._judge(way, texts, [ends.get(pane, {}) for pane in range(panes)])
        return "".join(texts) + orjson.dumps(ends, option=orjson.OPT_NON_STR_KEYS).decode()

    def _judge(self, way: str, texts: Sequence[str], ends: Sequence[dict[str, object]]) -> None:
        """Every pane ends with all of its words, or because it was stopped."""
        for text, end in zip(texts, ends, strict=True):
            whole = end.get("generated_tokens") == len(text.split())
            if not whole and not (way == "stop" and end.get("kind") == "stopped"):
                self.faults.append(f"{way}: {text!r} ended with {end}")


async def test_no_reader_gets_words_of_another() -> None:
    async with stock.tgi(speak) as engine:
        limits = {
            "PLAYGROUND_ENGINE_URL": engine.url,
            "PLAYGROUND_MAX_STREAMS": "400",
            "PLAYGROUND_MAX_STREAMS_PER_USER": "400",
        }
        playground = await asyncio.to_thread(
            Server,
            ["-m", "tests.pageless", "serve", "--port", "0"],
            ready="Playground: http",
            env=limits,
        )
        try:
            async with httpx.AsyncClient(
                base_url=playground.url, timeout=60, limits=httpx.Limits(max_connections=None)
            ) as client:
                readers = [Reader(client, number) for number in range(READERS)]
                await asyncio.gather(*(reader.read() for reader in readers))
        finally:
            await asyncio.to_thread(playground.terminate)
    assert [fault for reader in readers for fault in reader.faults] == []
    saw = sum((reader.saw for reader in readers), Counter())
    assert saw.keys() == set(WAYS)
    assert engine.connections < len(engine.requests)  # or nothing was shared
