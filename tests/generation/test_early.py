"""An answer that has its room in any case is asked for while its prompt is being counted."""

import asyncio
from collections import Counter
from contextlib import aclosing
from types import FrameType
from typing import Any

import orjson
import pytest

from playground.domain.messages import Done, Event, Failed, Receipt
from playground.generation.answer import answer
from playground.generation.bridge.plan import plan_generation
from tests.faults import Peer
from tests.generation.test_answer import only, request, text_of
from tests.generation.test_hot_path import calls
from tests.stock import engine, generations, tgi, writing


class Watched:
    """A generation and a count, and what has become of them."""

    def __init__(self, tokens: int = 5) -> None:
        self.begun, self.counted, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tokens = tokens

    async def silent(self, peer: Peer) -> None:
        self.begun.set()
        await peer.gone()
        self.left.set()

    async def write(self, peer: Peer) -> None:
        self.begun.set()
        await writing(["Hello", " you"])(peer)

    async def count(self, peer: Peer) -> None:
        """After the generation has begun."""
        await self.begun.wait()
        await self.count_at_once(peer)

    async def count_at_once(self, peer: Peer) -> None:
        self.counted.set()
        await peer.answer(
            orjson.dumps([{"id": 1, "text": "a", "start": 0, "stop": 0}] * self._tokens)
        )


async def events_of(url: str, **asked: Any) -> list[Event]:
    async with engine(url) as made, asyncio.timeout(10):
        return [each async for each in answer(made, request("Hi", **asked), context_tokens=8192)]


async def test_the_count_waits_for_no_generation_nor_the_generation_for_it() -> None:
    watched = Watched()
    async with tgi(watched.write, counting=watched.count) as server:
        events = await events_of(server.url, max_new_tokens=9)
    receipt, *_, done = events
    assert isinstance(receipt, Receipt)
    assert (receipt.prompt_tokens, receipt.sent["max_new_tokens"]) == (5, 9)
    assert text_of(events) == "Hello you"
    assert isinstance(done, Done)
    assert len(generations(server)) == 1


async def test_an_answer_is_planned_once() -> None:
    watched, plans = Watched(), Counter[str]()

    def is_plan(frame: FrameType) -> bool:
        return frame.f_code is plan_generation.__code__

    async with tgi(watched.write, counting=watched.count) as server:
        with calls(is_plan, lambda: plans.update(["plan"])):
            events = await events_of(server.url, max_new_tokens=9)
    assert text_of(events) == "Hello you"
    assert plans["plan"] == 1


@pytest.mark.parametrize("limit", [None, 60])
async def test_what_may_have_too_little_room_is_counted_first(limit: int | None) -> None:
    watched = Watched()
    async with tgi(watched.write, counting=watched.count_at_once) as server:
        await events_of(server.url, max_new_tokens=limit)
    paths = [each.path for each in server.requests]
    assert paths.index("/tokenize") < paths.index("/generate_stream")
    assert [each["parameters"]["max_new_tokens"] for each in generations(server)] == [limit or 75]


async def test_a_count_beyond_every_tokenizer_s_begins_the_answer_anew() -> None:
    watched, second = Watched(tokens=50), Watched()
    async with tgi(watched.silent, second.write, counting=watched.count) as server:
        events = await events_of(server.url, max_new_tokens=40)
        async with asyncio.timeout(5):
            await watched.left.wait()
    assert [each["parameters"]["max_new_tokens"] for each in generations(server)] == [40, 30]
    assert only(events, Receipt).sent["max_new_tokens"] == 30
    assert text_of(events) == "Hello you"


async def test_a_prompt_that_has_no_room_after_all_leaves_the_engine() -> None:
    watched = Watched(tokens=70)
    async with tgi(watched.silent, counting=watched.count) as server:
        [failed] = await events_of(server.url, max_new_tokens=9)
        async with asyncio.timeout(5):
            await watched.left.wait()
    assert isinstance(failed, Failed)
    assert failed.kind == "too_long"


async def test_who_leaves_while_the_prompt_is_counted_leaves_the_engine() -> None:
    watched = Watched()

    async def never(peer: Peer) -> None:
        watched.counted.set()
        await peer.gone()

    async with tgi(watched.silent, counting=never) as server, engine(server.url) as made:
        stream = answer(made, request("Hi", max_new_tokens=9), context_tokens=8192)
        async with aclosing(stream):
            first = asyncio.ensure_future(anext(stream))
            async with asyncio.timeout(5):
                await asyncio.gather(watched.begun.wait(), watched.counted.wait())
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        async with asyncio.timeout(5):
            await watched.left.wait()
