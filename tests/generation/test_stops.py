"""The stop of one answer, beside cancellations that come from elsewhere."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from playground.domain.messages import Event, Failed
from playground.generation.comparison import Stop, compare
from playground.telemetry.usage import AnswerUsage
from tests.generation.test_batching import run
from tests.generation.test_hot_path import Script, request

OTHER = Failed("closed", "Something else.", False)


class Work:
    """A task that waits until it is cancelled, and says what it was cancelled by."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.over = asyncio.Event()

    async def __call__(self, watched: bool = True) -> str:
        if watched:
            self.stop.watch()
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            if self.stop.caught():
                return "stopped"
            raise
        self.stop.unwatch()
        await asyncio.sleep(0)
        return "ended"


async def begun(work: Work, watched: bool = True) -> asyncio.Task[str]:
    task = asyncio.create_task(work(watched))
    await asyncio.sleep(0)
    return task


async def test_a_stop_is_caught_and_leaves_no_cancellation_behind() -> None:
    work = Work()
    task = await begun(work)
    work.stop.ask()
    assert await task == "stopped"
    assert task.cancelling() == 0
    assert work.stop.ending == Failed("stopped", "Stopped.", True)


async def test_a_cancellation_is_no_stop() -> None:
    work = Work()
    task = await begun(work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_a_stop_is_not_lost() -> None:
    work = Work()
    task = await begun(work)
    work.stop.ask()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_below_a_cancellation_that_was_there_before_is_a_stop() -> None:
    work = Work()

    async def outer() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            inner = asyncio.create_task(_later(work.stop))
            said = await work()
            await inner
            return said
        raise AssertionError

    assert await asyncio.create_task(outer()) == "stopped"


async def _later(stop: Stop) -> None:
    stop.ask()


async def test_only_the_first_words_count_and_none_after_the_end() -> None:
    work = Work()
    task = await begun(work)
    work.stop.ask(OTHER)
    work.stop.ask()
    assert await task == "stopped"
    assert work.stop.ending == OTHER
    ended = Work()
    task = await begun(ended)
    ended.over.set()
    await asyncio.sleep(0)
    ended.stop.ask()
    assert await task == "ended"


async def test_a_stop_that_nobody_watches_cancels_nothing() -> None:
    work = Work()
    task = await begun(work, watched=False)
    work.stop.ask()
    work.over.set()
    assert await task == "ended"
    assert work.stop.asked


def events_of(stop: Stop, usage: AnswerUsage, asked_after: float | None) -> list[Event]:
    """The events of an answer of ten seconds whose stop is asked after so long, or before it."""

    async def main() -> list[Event]:
        if asked_after is None:
            stop.ask(OTHER)
        else:
            asyncio.get_running_loop().call_later(asked_after, stop.ask, OTHER)
        stream = compare(
            [Script(100, 10)], [request()], context_tokens=10**6, stops=[stop], usages=[usage]
        )
        async with aclosing(stream) as batches:
            return [event async for batch in batches for _, event in batch]

    return run(main)


@pytest.mark.parametrize(("after", "outcome"), [(None, "closed"), (5.05, "closed"), (99, "done")])
def test_an_answer_ends_with_the_words_of_its_stop(after: float | None, outcome: str) -> None:
    usage = AnswerUsage()
    events = events_of(Stop(), usage, after)
    assert usage.outcome == outcome
    assert usage.generated_tokens == {None: 0, 5.05: 51, 99: 100}[after]
    if outcome == "closed":
        [end] = [event for event in events if isinstance(event, Failed)]
        assert events[-1] == end == replace(OTHER, figures=usage.figures)
        assert (end.figures is None) == (len(events) == 1) == (after is None)
        assert end.figures is None or end.figures.generated_tokens == 51


def test_an_answer_that_is_left_while_it_is_stopped_was_left() -> None:
    usage, stop = AnswerUsage(), Stop()

    async def main() -> None:
        stream = compare(
            [Script(100, 10)], [request()], context_tokens=10**6, stops=[stop], usages=[usage]
        )
        async with aclosing(stream) as batches:
            await anext(batches)
            stop.ask()  # and the reader leaves, before the answer hears of it

    run(main)
    assert usage.outcome == "left"


def test_a_fault_of_our_own_is_counted_as_one() -> None:
    usage = AnswerUsage()
    broken = replace(request(), stop=(7,))  # type: ignore[arg-type]

    async def main() -> list[Event]:
        stream = compare([Script(9, 10)], [broken], context_tokens=10**6, usages=[usage])
        async with aclosing(stream) as batches:
            return [event async for batch in batches for _, event in batch]

    last = run(main)[-1]
    assert isinstance(last, Failed)
    assert (usage.outcome, last.kind, last.retryable) == ("internal", "internal", True)
