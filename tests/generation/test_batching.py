"""What comes together leaves together, on a clock that is turned by hand: the loop's, virtual."""

import asyncio
import selectors
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.engines.streams import closing
from playground.generation.batching import coalesce

T = TypeVar("T")

Timed = tuple[float, str]  # how long after the item before it, and the item


class _Selector(selectors.DefaultSelector):
    """Never waits: it reports how long the loop would have waited."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.waited += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes only when it has nothing to do, and then at once."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.waited


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def start() -> T:
        return await main()

    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(start())


async def source(items: Sequence[Timed]) -> AsyncGenerator[str, None]:
    for delay, item in items:
        await asyncio.sleep(delay)
        yield item


def now() -> float:
    return asyncio.get_running_loop().time()


def batches(
    *sources: Sequence[Timed],
    idle: float | None = None,
    reading: float = 0.0,
) -> list[tuple[float, list[tuple[int, str]]]]:
    async def main() -> list[tuple[float, list[tuple[int, str]]]]:
        came = []
        async with aclosing(coalesce([source(items) for items in sources], idle=idle)) as stream:
            async for batch in stream:
                came.append((round(now(), 6), batch))
                await asyncio.sleep(reading)
        return came

    return run(main)


def test_an_item_leaves_when_it_comes() -> None:
    assert batches([(0.1, "a"), (0.1, "b"), (5.0, "c")]) == [
        (0.1, [(0, "a")]),
        (0.2, [(0, "b")]),
        (5.2, [(0, "c")]),
    ]


def test_what_comes_together_leaves_together() -> None:
    one, other = [(0.1, "a"), (0.0, "b")], [(0.1, "x")]
    [(at, batch), *rest] = batches(one, other)
    assert (at, sorted(batch)) == (0.1, [(0, "a"), (1, "x")])
    assert [batch for _, batch in rest] == [[(0, "b")]]


def test_a_slow_reader_has_larger_batches() -> None:
    assert batches([(0.1, str(i)) for i in range(9)], reading=0.35) == [
        (0.1, [(0, "0")]),
        (0.45, [(0, "1"), (0, "2"), (0, "3")]),
        (0.8, [(0, "4"), (0, "5"), (0, "6")]),
        (1.15, [(0, "7"), (0, "8")]),
    ]


def test_silence_gives_an_empty_batch_now_and_then() -> None:
    assert batches([(0.0, "a"), (25.0, "b")], idle=10.0) == [
        (0.0, [(0, "a")]),
        (10.0, []),
        (20.0, []),
        (25.0, [(0, "b")]),
    ]


def test_a_slow_source_does_not_hold_up_a_fast_one() -> None:
    slow, fast = [(3.0, "slow")], [(0.1, "x"), (1.0, "y")]
    assert batches(slow, fast) == [
        (0.1, [(1, "x")]),
        (1.1, [(1, "y")]),
        (3.0, [(0, "slow")]),
    ]


def test_no_sources_end_at_once() -> None:
    assert batches() == []


timed = st.lists(
    st.tuples(st.floats(0, 2).map(lambda x: round(x, 3)), st.text(max_size=2)), max_size=12
)


@given(sources=st.lists(timed, max_size=4), reading=st.sampled_from([0.0, 0.3, 2.0]))
def test_nothing_is_lost_or_late(sources: list[list[Timed]], reading: float) -> None:
    given_at: list[float] = []
    for items in sources:
        moment = 0.0
        for delay, _ in items:
            moment += delay
            given_at.append(moment)
    result = batches(*sources, reading=reading)
    for position, items in enumerate(sources):
        texts = [text for _, batch in result for at, text in batch if at == position]
        assert texts == [text for _, text in items], "each source's items in their order"
    assert all(batch for _, batch in result), "no batch is empty"
    flushed = sorted(moment for moment, batch in result for _ in batch)
    for arrival, flush in zip(sorted(given_at), flushed, strict=True):
        assert -1e-6 <= flush - arrival <= reading + 1e-6, "nothing waits longer than its reader"


class Watched:
    """A source that says whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def items(self) -> AsyncGenerator[str, None]:
        try:
            yield "a"
            await asyncio.sleep(1e6)
        finally:
            await asyncio.sleep(0.1)  # closing may take awaits of its own
            self.closed = True


def test_closing_closes_every_silent_source() -> None:
    watched = [Watched(), Watched()]

    async def main() -> float:
        async with aclosing(coalesce([w.items() for w in watched])) as stream:
            await anext(stream)
        return now()

    assert run(main) == 0.1  # what the closing of one takes: they are closed together
    assert all(w.closed for w in watched)


def test_a_stream_is_closed_to_its_end_in_a_scope_that_was_cancelled() -> None:
    """A scope of anyio cancels again at every await, those of the closing included."""
    watched = Watched()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with closing(watched.items()) as stream:
                await anext(stream)
                scope.cancel()
                await asyncio.sleep(1)

    run(main)
    assert watched.closed


def test_cancelling_the_reader_closes_every_source() -> None:
    watched = [Watched(), Watched()]

    async def read() -> None:
        async with closing(coalesce([w.items() for w in watched])) as stream:
            async for _ in stream:
                pass

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.sleep(2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert all(w.closed for w in watched)


def test_an_error_of_a_source_comes_after_its_items_and_closes_the_others() -> None:
    watched = Watched()

    async def failing() -> AsyncGenerator[str, None]:
        yield "x"
        raise ZeroDivisionError

    seen = []

    async def main() -> None:
        async with aclosing(coalesce([watched.items(), failing()])) as stream:
            async for batch in stream:
                seen.extend(batch)

    with pytest.raises(ZeroDivisionError):
        run(main)
    assert sorted(seen) == [(0, "a"), (1, "x")]
    assert watched.closed
