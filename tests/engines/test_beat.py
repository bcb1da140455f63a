"""The rhythm of the reads: one for all, quick for few, and slower for many or on a late loop."""

import asyncio
from contextlib import aclosing

import pytest

from tests.faults import Peer, chunks, serving
from tests.generation.test_batching import now, run
from tests.stock import tokens
from tgi.http import HTTPClient
from tgi.streaming import Beat

PACE = 0.04
MANY = 104  # as many as the pace is for


def beat_of(streams: int) -> Beat:
    beat = Beat(PACE)
    beat.streams = streams
    return beat


def test_the_more_streams_the_less_often_each_is_read() -> None:
    """At each change of a screen, then by what all cost, and beyond the pace by what they may."""
    lengths = [beat_of(streams).length for streams in (1, 10, 20, 52, 78, 104, 176, 220, 440)]
    assert lengths == [
        *[1 / 120] * 3,
        *[pytest.approx(n / 2600) for n in (52, 78)],
        *[pytest.approx(each) for each in (PACE, PACE, 0.05, 0.1)],
    ]


def wait(beat: Beat, starts: list[float], silence: float = 0.0) -> list[tuple[float, bool]]:
    """When readers who begin to wait at these times are woken, and whether they held the bytes."""

    async def one(start: float) -> tuple[float, bool]:
        await asyncio.sleep(start - now())
        held: list[bool] = []
        await beat.wait(silence, lambda: held.append(True))
        return now(), bool(held)

    async def main() -> list[tuple[float, bool]]:
        return await asyncio.gather(*map(one, starts))

    return run(main)


def test_those_who_begin_to_wait_together_are_woken_together_in_eight_groups() -> None:
    starts = [PACE / 40 * i for i in range(1, 40)]
    woken = [at for at, _ in wait(beat_of(MANY), starts)]
    assert len(set(woken)) == 8
    assert all(
        0.875 * PACE < at - start <= 1.01 * PACE for start, at in zip(starts, woken, strict=True)
    )


def test_who_leaves_is_not_waited_for() -> None:
    beat = beat_of(MANY)

    async def main() -> list[bool]:
        leaving, staying = (asyncio.ensure_future(beat.wait(0.0, lambda: None)) for _ in range(2))
        await asyncio.sleep(PACE / 10)
        leaving.cancel()
        await asyncio.sleep(PACE)
        return [leaving.cancelled(), staying.done()]

    assert run(main) == [True, True]


@pytest.mark.parametrize(("pace", "silence"), [(0.0, 0.0), (PACE, PACE), (PACE, 1.0)])
def test_without_a_pace_and_after_a_silence_there_is_no_wait(pace: float, silence: float) -> None:
    beat = Beat(pace)
    beat.streams = MANY
    assert wait(beat, [1.0], silence) == [(1.0, False)]
    assert wait(beat_of(MANY), [1.0], 0.0)[0][1]


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
    assert beat.length == pytest.approx(PACE)


def test_a_little_late_changes_nothing() -> None:
    beat = beat_of(MANY)
    beat.judge(late=1.0)
    length = beat.length
    beat.judge(late=PACE / 4)
    assert beat.length == length


def read(beat: Beat, rate: float, seconds: float) -> list[tuple[float, list[float]]]:
    """When what was read: each item is the time at which it was there."""

    async def main() -> list[tuple[float, list[float]]]:
        batches = []
        written, opened = 0, now()
        while written < rate * seconds:
            await asyncio.sleep(max(0.0, (written + 1) / rate - now()))
            batch = []
            while written < rate * seconds and (written + 1) / rate <= now() + 1e-9:
                written += 1
                batch.append(written / rate)
            batches.append((now(), batch))
            await beat.wait(now() - opened, lambda: None)
            opened = now()
        return batches

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


async def test_a_stream_counts_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[Beat] = []

    async def script(peer: Peer) -> None:
        await peer.head(headers={"transfer-encoding": "chunked"})
        await peer.send(chunks(*tokens(["a", "b"], "length")[:1]))
        await peer.gone()

    def beat(pace: float) -> Beat:
        beats.append(Beat(pace))
        return beats[-1]

    monkeypatch.setattr("tgi.http.Beat", beat)
    async with serving(script) as server:
        client = HTTPClient(server.url)
        stream = client.stream("generate_stream", b"{}", str, lambda _: False, pace=PACE)
        async with aclosing(stream):
            await anext(stream)
            counts = [each.streams for each in beats]
        await client.aclose()
    assert counts == [1]
    assert [each.streams for each in beats] == [0]
