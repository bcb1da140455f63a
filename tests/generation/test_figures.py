"""An answer's figures, from an engine that is a script, on a clock that is turned by hand."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from playground.domain.errors import EngineError
from playground.domain.messages import Applied, Delta, Done, Event, Failed, Figures, Receipt
from playground.domain.prompt_formats import UNKNOWN
from playground.domain.samplers import BY_NAME, Sampler
from playground.engines.base import Chunk, EngineState, Finish, GenerationRequest
from playground.generation.answer import answer
from playground.generation.receipt import left_out
from playground.telemetry.usage import AnswerUsage
from tests.generation.test_answer import events_of, request
from tests.stock import engine_info, writing

INFO = engine_info(1000, 1100)
END = Finish("length", 9, 21, 7)
BROKEN = EngineError("It broke.", kind="incomplete", retryable=True)

Step = tuple[float, Chunk | Finish | EngineError]  # so many seconds after the one before it


class Script:
    """An engine that writes what it is told, when it is told. A word is a token."""

    def __init__(self, steps: Sequence[Step], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 50.0
        self.asked: list[GenerationRequest] = []
        self._steps = steps
        time = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("playground.generation.answer.time", time)

    async def state(self) -> EngineState:
        return EngineState("ready", 0.0, "", INFO)

    async def count_tokens(self, text: str) -> int:
        self.now += 0.25
        return len(text.split())

    async def pieces(self, text: str) -> list[str]:
        return text.split()

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        return {}

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        self.asked.append(request)
        for after, step in self._steps:
            self.now += after
            if isinstance(step, EngineError):
                raise step
            yield step

    async def aclose(self) -> None:
        pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def read(
        *steps: Step, usage: AnswerUsage | None = None, stop: tuple[str, ...] = ()
    ) -> list[Event]:
        engine = Script(steps, monkeypatch)
        events = answer(engine, request("Hi", stop=stop), context_tokens=10**6, usage=usage)
        return [event async for event in events]

    return read


async def test_the_rate_leaves_out_the_tokens_that_came_first(written: Any) -> None:
    """They had been written before the time is measured that the others took."""
    usage = AnswerUsage()
    done = (
        await written(
            (1.0, Chunk("one two three ", 3)),
            (2.0, Chunk("four five ", 2)),
            (1.0, Chunk("six", 4)),
            (0.5, END),
            usage=usage,
        )
    )[-1]
    assert isinstance(done, Done)
    assert done.tokens_per_second == (9 - 3) / 3.0
    assert (done.ttft_ms, done.duration_ms) == (1250, 4750)
    assert (done.generated_tokens, done.input_tokens) == (9, 21)
    assert (usage.prompt_tokens, usage.generated_tokens, usage.first_s) == (3, 9, 1.25)


async def test_the_first_text_is_not_the_first_token(written: Any) -> None:
    done = (
        await written(
            (1.0, Chunk(" \n", 1)), (1.0, Chunk("", 1)), (1.0, Chunk("one", 1)), (1.0, END)
        )
    )[-1]
    assert (done.ttft_ms, done.tokens_per_second) == (3250, (9 - 1) / 2.0)


async def test_text_that_was_kept_to_the_end_is_first_when_it_came(written: Any) -> None:
    done = (await written((1.0, Chunk("<|us", 2)), (7.0, END)))[-1]
    assert (done.ttft_ms, done.duration_ms, done.tokens_per_second) == (1250, 8250, None)


async def test_what_an_engine_never_began_costs_no_prompt(written: Any) -> None:
    usage = AnswerUsage()
    events = await written((0.0, BROKEN), usage=usage)
    assert [type(event) for event in events] == [Receipt, Failed]
    assert (usage.prompt_tokens, usage.generated_tokens) == (0, 0)


async def test_what_it_began_costs_the_prompt_also_when_it_breaks_off(written: Any) -> None:
    usage = AnswerUsage()
    events = await written((0.0, Chunk("one two", 2)), (1.0, BROKEN), usage=usage)
    figures = Figures(2, ttft_ms=250, duration_ms=250, tokens_per_second=None)
    assert events[-1] == Failed("incomplete", "It broke.", True, figures=figures)
    assert (usage.prompt_tokens, usage.generated_tokens) == (3, 2)


async def test_an_engine_that_ends_in_the_middle_is_told_of(written: Any) -> None:
    events = await written((0.0, Chunk("one", 1)))
    ended = "The engine ended without saying that the answer is complete."
    assert (events[-1].kind, events[-1].message) == ("incomplete", ended)


async def test_what_stands_behind_a_stop_sequence_is_not_read(written: Any) -> None:
    usage = AnswerUsage()
    *events, done = await written(
        (1.0, Chunk("one ", 2)),
        (0.0, Chunk("END two ", 1)),
        (1.0, Chunk("three", 4)),
        (1.0, Chunk("four", 5)),
        (1.0, END),
        usage=usage,
        stop=("END",),
    )
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "one"
    assert (done.finish_reason, done.generated_tokens, done.input_tokens) == ("stop_sequence", 3, 3)
    assert (done.seed is not None, done.tokens_per_second) == (True, None)
    assert usage.generated_tokens == 3


async def test_a_stop_sequence_that_the_engine_saw_too_has_its_count(written: Any) -> None:
    done = (await written((1.0, Chunk("one END", 3)), (1.0, END), stop=("END",)))[-1]
    assert (done.finish_reason, done.generated_tokens, done.input_tokens) == (
        "stop_sequence",
        9,
        21,
    )


NATIVE, NONE = Applied("native"), Applied("unsupported", "It has none.")
GREEDY = (
    "Greedy: there is no temperature, and nothing among what is sent for the engine to sample "
    "within, so it takes the likeliest token each time and the seed has no effect."
)


@pytest.mark.parametrize(
    ("sampler", "sent", "how", "reasons"),
    [
        (Sampler(top_k=3), {"top_k": 3}, NATIVE, {}),
        (Sampler(repetition_penalty=1.0), {"repeat_penalty": 1.0}, NATIVE, {}),
        (Sampler(top_k=3), {}, Applied("emulated", "So."), {}),
        (Sampler(top_k=3), {}, NONE, {"top_k": "It has none."}),
        (Sampler(top_k=3), {}, NATIVE, {"top_k": "3 has no effect."}),
        (
            Sampler(temperature=1, top_p=1.0),
            {},
            NATIVE,
            {
                "temperature": "1 is the engine's own temperature; do_sample true says to sample.",
                "top_p": "1 has no effect.",
            },
        ),
        (
            Sampler(temperature=0, top_k=3),
            {"do_sample": False},
            NATIVE,
            dict.fromkeys(
                ("temperature", "top_k"),
                "Greedy decoding takes the likeliest token; do_sample false says it.",
            ),
        ),
    ],
)
def test_what_was_set_and_not_sent_has_its_reason(
    sampler: Sampler, sent: dict[str, object], how: Applied, reasons: dict[str, str]
) -> None:
    assert left_out(sampler, sent, dict.fromkeys(BY_NAME, how)) == reasons


async def test_a_receipt_says_that_a_request_became_greedy() -> None:
    """Of an engine that leaves out what was to make it sample."""
    events, _ = await events_of(writing(["Hi"]), request("Hi", sampler=Sampler(min_p=0.1)))
    assert isinstance(events[0], Receipt)
    assert events[0].note == f"{GREEDY} {UNKNOWN.note}"


async def test_an_answer_of_no_token_has_neither_a_first_one_nor_a_rate(written: Any) -> None:
    done = (await written((1.0, END)))[-1]
    assert (done.ttft_ms, done.tokens_per_second, done.duration_ms) == (None, None, 1250)
