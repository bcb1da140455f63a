"""One turn of one pane, from the request to the last event, over a scripted TGI."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest

from playground.domain.messages import (
    Block,
    Delta,
    Done,
    Event,
    Failed,
    Message,
    PaneRequest,
    Receipt,
)
from playground.domain.prompt import render
from playground.domain.prompt_formats import LLAMA3, MISTRAL_V3, UNKNOWN, PromptFormat
from playground.domain.samplers import Sampler
from playground.generation.answer import answer
from tests.domain.test_prompt import conversation
from tests.faults import Peer, Script, event
from tests.stock import INFO, engine, generations, tgi, tokens, writing


def request(*texts: str, **changes: Any) -> PaneRequest:
    values: dict[str, Any] = {"messages": tuple(conversation(*texts)), "sampler": Sampler()}
    return PaneRequest(**values | changes)


async def events_of(
    script: Script, asked: PaneRequest, *, context_tokens: int = 8192, info: Any = INFO
) -> tuple[list[Event], list[Any]]:
    """The events of an answer, and the bodies of the generations that it sent."""
    async with tgi(script, info=info) as server, engine(server.url) as made:
        events = [each async for each in answer(made, asked, context_tokens=context_tokens)]
        return events, generations(server)


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def only(events: Sequence[Event], kind: type[Any]) -> Any:
    [found] = [event for event in events if isinstance(event, kind)]
    return found


async def test_an_answer_is_receipt_text_blocks_and_done() -> None:
    asked = request(
        "Hi there",
        sampler=Sampler(temperature=0.7, min_p=0.1),
        preset="Some",
        edits={"min_p": (None, 0.1)},
        max_new_tokens=9,
        seed=5,
    )
    events, [sent] = await events_of(writing([" Hello", " *you*", "\n\n", "Bye", "\n"]), asked)
    receipt, *middle, done = events
    assert isinstance(receipt, Receipt)
    assert (receipt.engine, receipt.model_id, receipt.model_sha) == (
        "TGI 3.3.7",
        "some/model",
        "0123abc",
    )
    assert (receipt.preset, receipt.edits) == ("Some", {"min_p": (None, 0.1)})
    assert receipt.sent == sent["parameters"]
    assert receipt.sent["stop"] == ["<|user|>"]
    assert "min_p" not in receipt.sent
    assert receipt.applied["min_p"].how == "unsupported"
    assert (receipt.prompt_tokens, receipt.dropped_turns) == (5, 0)
    assert sent["inputs"] == "<|user|>\nHi there\n<|assistant|>\n"
    assert text_of(middle) == "Hello *you*\n\nBye"
    assert [event for event in middle if isinstance(event, Block)] == [
        Block(0, '<p dir="auto">Hello <em>you</em></p>\n'),
        Block(1, '<p dir="auto">Bye</p>\n'),
    ]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.generated_tokens, done.input_tokens) == ("eos_token", 5, 11)
    assert done.seed == 5
    assert done.ttft_ms is not None
    assert 0 < done.ttft_ms <= done.duration_ms


async def test_draws_a_seed_that_browsers_can_hold_and_reports_it() -> None:
    seeds = []
    for _ in range(2):
        events, [sent] = await events_of(writing(["Hi"]), request("Hi"))
        seeds.append(only(events, Done).seed)
        assert sent["parameters"]["seed"] == seeds[-1]
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**53 for seed in seeds)


@pytest.mark.parametrize(
    ("texts", "reason", "said"),
    [
        (["Hello", "\n", "<|", "user", "|>"], "stop_sequence", "stop_sequence"),
        (["Hello", "\n", "<|", "user", "|>\n", "Hi", "!"], "length", "stop_sequence"),
        (["Hello", " END", " more"], "length", "stop_sequence"),
        (["Hello", " ", " \n"], "eos_token", "eos_token"),
    ],
)
async def test_stop_sequences_and_the_white_space_before_them_are_no_part_of_the_answer(
    texts: list[str], reason: str, said: str
) -> None:
    events, [sent] = await events_of(writing(texts, reason), request("Hi", stop=("END",)))
    assert sent["parameters"]["stop"] == ["<|user|>", "END"]
    assert text_of(events) == "Hello"
    assert only(events, Done).finish_reason == (
        "eos_token" if reason == "eos_token" else "stop_sequence"
    )


async def test_the_beginning_of_a_stop_sequence_is_kept_when_the_answer_ends_there() -> None:
    events, _ = await events_of(writing(["a ", "<|us"]), request("Hi"))
    assert text_of(events) == "a <|us"


async def test_closes_an_engine_that_writes_on_behind_a_stop_sequence() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("Hello<|user|>\n"))
        await asyncio.sleep(0.1)  # or both would come as one piece
        await peer.send(event("more"))
        await peer.gone()
        left.set()

    async with tgi(script) as server, engine(server.url) as made:
        events = [each async for each in answer(made, request("Hi"), context_tokens=80)]
        async with asyncio.timeout(5):
            await left.wait()
    assert text_of(events) == "Hello"
    done = only(events, Done)
    assert (done.finish_reason, done.generated_tokens, done.input_tokens) == ("stop_sequence", 1, 4)


async def test_an_answer_takes_no_more_than_the_context_leaves() -> None:
    for most, context, sent_most in (
        (None, 8192, 76),
        (70, 8192, 70),
        (1000, 8192, 76),
        (None, 50, 46),
    ):
        events, [sent] = await events_of(
            writing(["Hi"]), request("Hi", max_new_tokens=most), context_tokens=context
        )
        assert only(events, Receipt).prompt_tokens == 4
        assert sent["parameters"]["max_new_tokens"] == sent_most


@pytest.mark.parametrize(
    ("words", "most", "left"),
    [
        (7000, None, 997),  # less than a quarter, which older turns would have to make room for
        (7000, 2000, 997),
        (7933, None, 64),
        (7933, 3, 3),
        (7993, 4, 4),  # a short one fits behind a longer message
    ],
)
async def test_the_last_message_may_leave_the_answer_little(
    words: int, most: int | None, left: int
) -> None:
    info = {**INFO, "max_input_tokens": 7999, "max_total_tokens": 8000}
    asked = request("word " * words, max_new_tokens=most)
    events, [sent] = await events_of(writing(["Hi"]), asked, info=info)
    assert only(events, Receipt).prompt_tokens == words + 3
    assert sent["parameters"]["max_new_tokens"] == left


@pytest.mark.parametrize(("words", "most"), [(7934, None), (7934, 64), (7994, 4)])
async def test_the_last_message_leaves_the_answer_something(words: int, most: int | None) -> None:
    info = {**INFO, "max_input_tokens": 7999, "max_total_tokens": 8000}
    asked = request("word " * words, max_new_tokens=most)
    events, sent = await events_of(writing(["Hi"]), asked, info=info)
    assert not sent
    assert only(events, Failed).kind == "too_long"


async def test_leaves_out_the_oldest_turns_and_says_how_many() -> None:
    asked = request("old " * 30, "older " * 20, "b", "c", "d " * 10)
    events, [sent] = await events_of(writing(["Hi"]), asked)
    receipt = only(events, Receipt)
    assert receipt.dropped_turns == 1
    assert sent["inputs"].startswith("<|user|>\nb\n<|assistant|>\nc\n<|user|>\nd ")
    assert receipt.prompt_tokens == 17


async def test_a_last_message_that_does_not_fit_fails_with_the_numbers() -> None:
    events, sent = await events_of(writing(["Hi"]), request("word " * 80))
    assert not sent
    failed = only(events, Failed)
    assert (failed.kind, failed.retryable) == ("too_long", False)
    assert "83 tokens" in failed.message


async def test_the_turn_marker_is_sent_once_also_when_it_is_asked_for() -> None:
    """TGI takes four stop sequences, and the marker is one of them."""
    asked = request("Hi", stop=("END", "<|user|>", "FIN", "END", "STOP"))
    events, [sent] = await events_of(writing(["Hi"]), asked)
    assert sent["parameters"]["stop"] == ["<|user|>", "END", "FIN", "STOP"]
    assert only(events, Receipt).sent["stop"] == sent["parameters"]["stop"]


async def test_more_stop_sequences_than_the_engine_takes_fail() -> None:
    info = {**INFO, "max_stop_sequences": 2}
    events, sent = await events_of(writing(["Hi"]), request("Hi", stop=("a", "b")), info=info)
    assert not sent
    failed = only(events, Failed)
    assert failed.kind == "invalid"
    assert failed.message == (
        "TGI 3.3.7 takes 2 stop sequences, and TuluV2 needs 1 of them to end an answer: 1 may be "
        "your own."
    )


@pytest.mark.parametrize(
    ("form", "own", "rest"),
    [
        (MISTRAL_V3, 4, "."),
        (LLAMA3, 2, ", and Llama 3 needs 2 of them to end an answer: 2 may be your own."),
    ],
)
async def test_each_format_leaves_the_engines_other_stop_sequences_to_the_user(
    form: PromptFormat, own: int, rest: str
) -> None:
    stops = tuple(f"END{i}" for i in range(5))
    async with (
        tgi(writing(["Hi"])) as server,
        engine(server.url, prompt_format=form) as made,
    ):
        fitting, refused = [
            [each async for each in answer(made, request("Hi", stop=stop), context_tokens=80)]
            for stop in (stops[:own], stops[: own + 1])
        ]
        [sent] = generations(server)
    assert sent["parameters"]["stop"] == [*form.stop, *stops[:own]]
    assert sent["inputs"] == render([Message("user", "Hi")], form).text
    assert only(fitting, Receipt).prompt_format is form
    assert only(fitting, Receipt).note.startswith("Greedy: ")
    assert only(refused, Failed).message == f"TGI 3.3.7 takes 4 stop sequences{rest}"


async def test_the_receipt_says_that_the_format_is_a_guess() -> None:
    async with tgi(writing(["Hi"])) as server, engine(server.url) as made:
        events = [each async for each in answer(made, request("Hi"), context_tokens=80)]
    assert only(events, Receipt).prompt_format is UNKNOWN
    assert only(events, Receipt).note.endswith(UNKNOWN.note)


async def test_a_continued_answer_begins_with_what_is_continued() -> None:
    asked = request("Count.", "One,\n\ntwo, \n")
    events, [sent] = await events_of(writing([" three", "."]), asked)
    assert sent["inputs"].endswith("<|assistant|>\nOne,\n\ntwo,")
    assert text_of(events) == "One,\n\ntwo, three."
    assert [event.html for event in events if isinstance(event, Block)] == [
        '<p dir="auto">One,</p>\n',
        '<p dir="auto">two, three.</p>\n',
    ]


async def test_a_continued_answer_that_ends_at_once_is_whole_all_the_same() -> None:
    events, _ = await events_of(writing(["\n"]), request("Count.", "One"))
    assert text_of(events) == "One"
    assert only(events, Block).html == '<p dir="auto">One</p>\n'


async def test_a_continued_answer_that_fails_at_once_repeats_nothing() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event(""))

    events, _ = await events_of(script, request("Count.", "One"))
    assert [type(event) for event in events] == [Receipt, Failed]


async def test_what_was_written_before_a_failure_stays_as_a_block() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("Some *text*") + event(" <|us"))

    events, _ = await events_of(script, request("Hi"))
    *_, block, failed = events
    assert text_of(events) == "Some *text* <|us"
    assert block == Block(0, '<p dir="auto">Some <em>text</em> &lt;|us</p>\n')
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.retryable) == ("incomplete", True)


async def test_an_engine_that_is_not_ready_fails_with_its_reason(free_tcp_port: int) -> None:
    async with engine(f"http://127.0.0.1:{free_tcp_port}") as made:
        [failed] = [each async for each in answer(made, request("Hi"), context_tokens=80)]
        state = await made.state()
    assert failed == Failed("loading", state.reason, True)


async def test_an_order_of_roles_that_cannot_be_rendered_fails() -> None:
    asked = PaneRequest(messages=(Message("assistant", "Hi"),), sampler=Sampler())
    events, sent = await events_of(writing(["Hi"]), asked)
    assert not sent
    assert only(events, Failed).kind == "invalid"


@pytest.mark.parametrize("written", ["", "Hello"])
async def test_cancelling_closes_a_silent_engine(written: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        if written:
            await peer.send(event(written))
        asked.set()
        await peer.gone()
        left.set()

    async with tgi(script) as server, engine(server.url) as made:

        async def read() -> None:
            async with aclosing(answer(made, request("Hi"), context_tokens=80)) as events:
                async for _ in events:
                    pass

        reading = asyncio.create_task(read())
        async with asyncio.timeout(5):
            await asked.wait()
            reading.cancel()
            await left.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_the_stand_in_repeats_an_answer_of_the_same_seed(stand_in_url: str) -> None:
    asked = request("Hi!", sampler=Sampler(temperature=1.0), max_new_tokens=24, seed=3)
    async with engine(stand_in_url) as made:
        one, two = [
            [each async for each in answer(made, asked, context_tokens=8192)] for _ in range(2)
        ]
    assert text_of(one) == text_of(two) != ""
    assert only(one, Done).generated_tokens == only(two, Done).generated_tokens > 0
    assert "<|user|>" not in text_of(one)


async def test_an_answer_that_came_at_once_has_no_rate() -> None:
    events, _ = await events_of(writing(["Hello", " you"]), request("Hi"))
    done = only(events, Done)
    assert (done.generated_tokens, done.tokens_per_second) == (2, None)
    assert done.ttft_ms is not None


async def test_an_answer_without_text_has_no_first_one() -> None:
    events, _ = await events_of(writing([""]), request("Hi"))
    done = only(events, Done)
    assert (done.ttft_ms, done.tokens_per_second) == (None, None)
    assert done.duration_ms > 0


async def test_done_does_not_wait_for_the_end_of_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a proxy the stream may stay open when the answer is complete."""
    monkeypatch.setattr("tgi.http._FINISH_S", 30.0)
    written = asyncio.Event()

    async def held(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"".join(tokens(["Hi", " you"], "eos_token")))
        await written.wait()

    async with (
        tgi(held) as server,
        engine(server.url) as made,
        aclosing(answer(made, request("Hi"), context_tokens=80)) as events,
        asyncio.timeout(20),
    ):
        [done] = [event async for event in _until_done(events)]
        written.set()
    assert done.duration_ms < 20_000


async def _until_done(events: AsyncIterator[Event]) -> AsyncIterator[Done]:
    async for each in events:
        if isinstance(each, Done):
            yield each
            return


@pytest.mark.parametrize(
    ("sampler", "greedy"),
    [
        (Sampler(min_p=0.1), True),
        (Sampler(presence_penalty=1.0), True),
        (Sampler(), True),
        (Sampler(temperature=0, min_p=0.1), False),  # which is what was asked for
        (Sampler(temperature=1, min_p=0.1), False),
        (Sampler(top_p=0.9), False),
    ],
)
async def test_a_request_that_became_greedy_says_so(sampler: Sampler, greedy: bool) -> None:
    events, _ = await events_of(writing(["Hi"]), request("Hi", sampler=sampler))
    assert only(events, Receipt).note.startswith("Greedy: ") == greedy


@pytest.mark.parametrize("written", [["more"], []])
async def test_thousands_of_blocks_come_with_pauses_in_which_others_go_on(
    written: list[str],
) -> None:
    big = {**INFO, "max_input_tokens": 9_000, "max_total_tokens": 10_000}
    began: list[int] = []
    came = 0

    async def others() -> None:
        while True:
            began.append(came)
            await asyncio.sleep(0)

    async with tgi(writing(written or [""]), info=big) as server, engine(server.url) as asked:
        wanted = request("Hi", "a\n\n" * 2_000)
        beside = asyncio.create_task(others())
        async with aclosing(answer(asked, wanted, context_tokens=10_000)) as events:
            async for _ in events:
                came += 1
        beside.cancel()
    assert came > 4_000
    assert max(after - before for before, after in pairwise(began)) <= 102
