"""What is counted of a generation that is cut off, on a clock that is turned by hand.

The engine is a script. What it may have written since it was last read is not known, and taken from
its pace.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from playground.domain.errors import EngineError
from playground.domain.samplers import Sampler
from playground.engines.base import Chunk, EngineState, Finish, GenerationRequest
from playground.engines.metering import Meter

LIMIT = 10_000
ASKED = GenerationRequest("Hi", Sampler(), LIMIT, 7, ("<|user|>",))
FAILURE = EngineError("It broke.", kind="generation", retryable=True)

Step = tuple[float, Chunk | Finish | EngineError]  # so many seconds after the one before it


class Script:
    """An engine that writes what it is told, when it is told."""

    def __init__(self, steps: Sequence[Step], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.closed = self.closed_streams = 0
        self._steps = steps
        time = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("playground.engines.metering.time", time)

    async def state(self) -> EngineState:
        return EngineState("loading", 1.0, "Later.")

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def pieces(self, text: str) -> list[str]:
        return text.split()

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        return {"seed": request.seed}

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        try:
            for after, step in self._steps:
                self.now += after
                if isinstance(step, EngineError):
                    raise step
                yield step
        finally:
            self.closed_streams += 1

    async def aclose(self) -> None:
        self.closed += 1


async def cut_off(
    monkeypatch: pytest.MonkeyPatch, *steps: Step, after: float, limit: int = LIMIT
) -> int:
    """What is counted when the reader has had these, and leaves after so many seconds more."""
    engine = Script(steps, monkeypatch)
    meter = Meter(engine)
    request = GenerationRequest(ASKED.prompt, ASKED.sampler, limit, ASKED.seed, ASKED.stop)
    async with aclosing(meter.stream(request)) as items:
        for _ in steps:
            await anext(items)
        engine.now += after
    assert engine.closed_streams == 1
    return meter.used


async def test_all_else_is_the_engines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Script([], monkeypatch)
    meter = Meter(engine)
    assert await meter.state() == await engine.state()
    assert await meter.count_tokens("a b") == 2
    assert await meter.pieces("a b") == ["a", "b"]
    assert meter.parameters(ASKED) == {"seed": 7}
    await meter.aclose()
    assert engine.closed == 0, "others use it, too"


async def test_generations_add_up_as_the_engine_counts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = Finish("length", 9, 4, 7)
    meter = Meter(Script([(0.0, Chunk("a b", 2)), (0.1, end)], monkeypatch))
    for count in (9, 18):
        assert [item async for item in meter.stream(ASKED)] == [Chunk("a b", 2), end]
        assert meter.used == count


async def test_what_is_running_is_not_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(Script([(0.0, Chunk("a b", 2)), (0.0, Chunk("c"))], monkeypatch))
    async with aclosing(meter.stream(ASKED)) as items:
        await anext(items)
        assert meter.used == 0
    assert meter.used > 0


@pytest.mark.parametrize(
    ("steps", "after", "count"),
    [
        # Read so long ago that all would have been read that had come: one is in hand.
        ([(0.0, Chunk("a", 3))], 0.2578125, 3 + 1),
        # Just now, and no pace is known: the fastest that there is, 2000 a second.
        ([(0.0, Chunk("a", 3))], 0.0, 3 + 1),
        ([(0.0, Chunk("a", 3))], 0.125, 3 + 1 + 250),
        ([(0.0, Chunk("a", 3))], 0.25, 3 + 1 + 500),
        ([(0.0, Chunk("a", 3)), (0.25, Chunk("b", 5))], 0.125, 8 + 1 + 250),
        # A pace that is known, and twice as fast in case it has just become faster.
        ([(0.0, Chunk("a", 10)), (0.5, Chunk("b", 30))], 0.125, 40 + 1 + 20),
        ([(0.0, Chunk("a", 10)), (1.0, Chunk("", 0)), (1.0, Chunk("c", 30))], 0.125, 40 + 1 + 5),
        # A part of a token is one.
        ([(0.0, Chunk("a", 10)), (2.0, Chunk("b", 30))], 0.015625, 40 + 1 + 1),
        # Nothing has come.
        ([(0.0, Chunk("", 0))], 0.125, 1),
    ],
)
async def test_what_may_have_been_on_its_way_is_counted(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], after: float, count: int
) -> None:
    assert await cut_off(monkeypatch, *steps, after=after) == count


async def test_never_more_than_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [(0.0, Chunk("a", 3))]
    assert await cut_off(monkeypatch, *steps, after=0.2, limit=100) == 100
    assert await cut_off(monkeypatch, *steps, after=0.2, limit=3) == 3


@pytest.mark.parametrize(
    ("steps", "count"),
    [([(0.5, FAILURE)], 0), ([(0.0, Chunk("a", 3)), (0.3, FAILURE)], 3 + 1)],
)
async def test_a_failure_before_the_first_token_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], count: int
) -> None:
    meter = Meter(Script(steps, monkeypatch))
    with pytest.raises(EngineError):
        [item async for item in meter.stream(ASKED)]
    assert meter.used == count


async def test_an_end_that_is_told_is_what_counts_whatever_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[Step] = [(0.0, Chunk("a", 3)), (0.1, Finish("length", 3, 4, 7)), (0.0, FAILURE)]
    meter = Meter(Script(steps, monkeypatch))
    with pytest.raises(EngineError):
        [item async for item in meter.stream(ASKED)]
    assert meter.used == 3
