"""The rhythm of the reads: one for all, quick for few, and slower for many or on a late loop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from tests.generation.test_batching import now, run
from tgi.streaming import Beat, Feed, hand_over

PACE = 0.04
MANY = 1000


def beat_of(streams: int) -> Beat:
    beat = Beat(PACE)
    beat.streams = streams
    return beat


def test_a_few_streams_are_read_as_often_as_a_screen_changes_and_many_at_the_pace() -> None:
    lengths = [beat_of(streams).length for streams in (1, 10, 20, 50, 80, 100, 110, MANY)]
    assert lengths[:3] == [1 / 120] * 3
    assert lengths[3:6] == [pytest.approx(n / 2750) for n in (50, 80, 100)]
    assert lengths[6:] == [PACE, PACE]


async def test_all_who_wait_are_woken_by_the_same_beat() -> None:
    beat, loop = beat_of(MANY), asyncio.get_running_loop()

    async def wait(start: float) -> float:
        await asyncio.sleep(start)
        asked = loop.time()
        await beat.wait()
        return asked // PACE

    beats = await asyncio.gather(*(wait(0.001 * i) for i in range(20)))
    assert len(set(beats)) <= 2  # asked for in 20 ms: within one beat, or on both sides of its end


async def test_no_pace_is_no_wait() -> None:
    beat = Beat(0.0)
    waiting = asyncio.ensure_future(beat.wait())
    await asyncio.sleep(0)
    assert waiting.done()


@pytest.mark.parametrize("streams", [1, MANY])
def test_a_late_loop_slows_it_down_to_a_third(streams: int) -> None:
    beat = beat_of(streams)
    usual, lengths = beat.length, []
    for _ in range(10):
        beat.judge(late=PACE)
        lengths.append(beat.length)
    assert lengths == sorted(lengths)
    assert lengths[0] > usual
    assert lengths[-1] == pytest.approx(3 * usual)


def test_a_loop_in_time_brings_the_pace_back() -> None:
    beat = beat_of(MANY)
    for _ in range(10):
        beat.judge(late=1.0)
    for _ in range(100):
        beat.judge(late=0.0)
    assert beat.length == PACE


def test_a_little_late_changes_nothing() -> None:
    beat = beat_of(MANY)
    beat.judge(late=1.0)
    length = beat.length
    beat.judge(late=PACE / 4)
    assert beat.length == length


def read(beat: Beat, rate: float, seconds: float) -> list[tuple[float, list[float]]]:
    """When what was handed over: each item is the time at which it was there."""

    async def fill(feed: Feed[float]) -> None:
        written = 0
        while written < rate * seconds:
            due = (written + 1) / rate
            await asyncio.sleep(max(0.0, due - now()))
            while written < rate * seconds and (written + 1) / rate <= now() + 1e-9:
                written += 1
                feed.put(written / rate)
            await feed.gate()
        feed.end()

    async def main() -> list[tuple[float, list[float]]]:
        batches: AsyncGenerator[list[float], None] = hand_over(beat, fill)
        async with aclosing(batches):
            return [(now(), batch) async for batch in batches]

    return run(main)


@pytest.mark.parametrize("rate", [20, 50, 110])
def test_each_token_of_one_stream_is_handed_over_when_it_comes(rate: float) -> None:
    batches = read(Beat(PACE), rate, 2)
    assert [len(batch) for _, batch in batches] == [1] * int(2 * rate)
    assert all(at - batch[0] < 1e-6 for at, batch in batches)


@pytest.mark.parametrize(("streams", "most"), [(0, 120), (MANY, 1 / PACE)])
@pytest.mark.parametrize("rate", [500, 20_000])
def test_a_fast_stream_is_read_by_the_beat_however_fast_it_is(
    rate: float, streams: int, most: float
) -> None:
    batches = read(beat_of(streams), rate, 2)
    assert sum(len(batch) for _, batch in batches) == 2 * rate
    assert len(batches) <= 2 * most + 2


def test_a_stream_counts_until_it_is_closed() -> None:
    beat = Beat(PACE)

    async def fill(feed: Feed[str]) -> None:
        feed.put("a")
        await feed.gate()
        await asyncio.sleep(1e6)

    async def main() -> list[int]:
        counts = [beat.streams]
        async with aclosing(hand_over(beat, fill)) as batches:
            await anext(batches)
            counts.append(beat.streams)
        return [*counts, beat.streams]

    assert run(main) == [0, 1, 0]
