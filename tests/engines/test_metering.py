"""What an engine writes for one request is counted, also of what is cut off."""

import asyncio
from contextlib import aclosing

import pytest

from playground.domain.errors import EngineError
from playground.domain.samplers import Sampler
from playground.engines.base import Chunk, Finish, GenerationRequest
from playground.engines.metering import Meter
from tests.faults import Peer, Script, event
from tests.stock import engine, generations, tgi, writing

ASKED = GenerationRequest("<|user|>\nHi\n<|assistant|>\n", Sampler(), 50, 7, ("<|user|>",))


def writes(count: int, pause: float, then: asyncio.Event) -> Script:
    """So many tokens with a pause after each, and then nothing more."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for i in range(count):
            await peer.send(event(f"word{i} ", index=i))
            await asyncio.sleep(pause)
        then.set()
        await peer.gone()

    return script


async def used(script: Script, until: asyncio.Event | None = None, limit: int = 50) -> int:
    """What is counted of a generation that is read to its end, or until something happened."""
    request = GenerationRequest(ASKED.prompt, ASKED.sampler, limit, ASKED.seed, ASKED.stop)
    async with tgi(script) as server, engine(server.url) as shared:
        meter = Meter(shared)

        async def read() -> None:
            async with aclosing(meter.stream(request)) as items:
                async for item in items:
                    assert isinstance(item, Chunk | Finish)

        reading = asyncio.create_task(read())
        if until is None:
            await reading
        else:
            await until.wait()
            reading.cancel()
            await asyncio.wait([reading])
        return meter.used


async def test_a_finished_generation_counts_what_the_engine_says() -> None:
    assert await used(writing(["Hi", " there", "."])) == 3


@pytest.mark.parametrize("pause", [0.001, 0.01, 0.05])
async def test_what_was_written_and_not_read_is_counted(pause: float) -> None:
    written = asyncio.Event()
    assert 12 <= await used(writes(12, pause, written), written) <= 50


async def test_never_more_is_counted_than_was_asked_for() -> None:
    written = asyncio.Event()
    assert await used(writes(5, 0.001, written), written, limit=5) == 5


async def test_before_the_first_token_only_the_one_in_hand_is_counted() -> None:
    written = asyncio.Event()
    assert await used(writes(0, 0.0, written), written) == 1


async def test_after_a_silence_only_the_one_in_hand_is_added() -> None:
    """What came during the silence would have been read."""
    written = asyncio.Event()
    assert await used(writes(1, 0.6, written), written) == 2


async def test_a_refusal_counts_nothing() -> None:
    async with engine("http://127.0.0.1:9") as shared:
        meter = Meter(shared)
        with pytest.raises(EngineError):
            await anext(meter.stream(ASKED))
        assert meter.used == 0


async def test_what_is_asked_for_beyond_the_most_is_not_written() -> None:
    async def full(peer: Peer) -> None:
        most = peer.request.json()["parameters"]["max_new_tokens"]
        await writing(["word "] * min(most, 30), "length")(peer)

    async with tgi(full) as server, engine(server.url) as shared:
        meter = Meter(shared, 70)
        took = [[each async for each in meter.steps(ASKED)] for _ in range(4)]
        assert [each["parameters"]["max_new_tokens"] for each in generations(server)] == [
            50,
            40,
            10,
        ]
    ends = [items[-1] for items in took]
    assert [each.generated_tokens for each in ends if isinstance(each, Finish)] == [30, 30, 10, 0]
    assert (meter.used, meter.short) == (70, True)


@pytest.mark.parametrize("told", [1000, 2**31 - 1])
async def test_more_than_was_asked_for_is_not_counted_whatever_the_engine_says(told: int) -> None:
    async def script(peer: Peer) -> None:
        details = {"finish_reason": "length", "generated_tokens": told}
        details |= {"input_length": 4, "seed": 7}
        await peer.head()
        await peer.send(event("Hi", index=1, generated_text="Hi", details=details))

    assert await used(script, limit=5) == 5
