"""The rhythm of the reads: one for all, and slower while the loop is late."""

import asyncio

from tgi.streaming import Beat

PACE = 0.04


async def test_all_who_wait_are_woken_by_the_same_beat() -> None:
    beat, loop = Beat(PACE), asyncio.get_running_loop()

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


def test_a_late_loop_slows_it_down_to_a_third() -> None:
    beat = Beat(PACE)
    lengths = []
    for _ in range(10):
        beat.judge(late=beat.length)
        lengths.append(beat.length)
    assert lengths == sorted(lengths)
    assert lengths[0] > PACE
    assert lengths[-1] == 3 * PACE


def test_a_loop_in_time_brings_the_pace_back() -> None:
    beat = Beat(PACE)
    for _ in range(10):
        beat.judge(late=1.0)
    for _ in range(100):
        beat.judge(late=0.0)
    assert beat.length == PACE


def test_a_little_late_changes_nothing() -> None:
    beat = Beat(PACE)
    beat.judge(late=1.0)
    length = beat.length
    beat.judge(late=length / 4)
    assert beat.length == length
