"""Markdown beside the streams: one text at a time, in turn, and some kept."""

import asyncio
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
from markdown_it.token import Token

from playground.domain.messages import Block, Delta
from playground.generation import markdown, renderer
from playground.generation.markdown import LONG, Blocks, Work, render
from playground.generation.renderer import AnswersMarkdown, Renderer

TEXT = "One *two*\n\nThree"


async def test_a_text_is_what_it_is_as_an_answer() -> None:
    assert (
        await Renderer().blocks(TEXT)
        == render(TEXT)
        == await Renderer().blocks(TEXT, kept_of="one")
    )


class Slow:
    """Rendering that the test lets go on. texts: begun so far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.begun = threading.Semaphore(0)
        self.over = threading.Semaphore(0)
        monkeypatch.setattr(renderer, "render", self)
        renderer._kept.cache_clear()

    def __call__(self, text: str) -> list[str]:
        self.texts.append(text)
        self.begun.release()
        assert self.over.acquire(timeout=10)
        return [text]


async def test_texts_are_rendered_one_at_a_time_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, shared = Slow(monkeypatch), Renderer()
    asked = []
    for number in range(3):
        asked.append(asyncio.create_task(shared.blocks(str(number))))
        await asyncio.sleep(0)
    for number in range(3):
        assert await asyncio.to_thread(slow.begun.acquire, timeout=10)
        assert slow.texts == [str(each) for each in range(number + 1)]
        slow.over.release()
    assert [await each for each in asked] == [["0"], ["1"], ["2"]]


async def test_what_is_kept_is_rendered_once_and_nobody_can_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, shared = Slow(monkeypatch), Renderer()
    for _ in range(9):
        slow.over.release()
    first = await shared.blocks("a", kept_of="one")
    first.append("changed")
    assert await shared.blocks("a", kept_of="one") == ["a"]
    assert slow.texts == ["a"]
    assert await shared.blocks("a") == ["a"], "by default nothing is"
    assert slow.texts == ["a", "a"]
    assert await shared.blocks("a", kept_of="other") == ["a"]
    assert slow.texts == ["a", "a", "a"], "whose text it is else, cannot be told"
    renderer._kept.cache_clear()


TABLE = "|a|b|\n|-|-|\n" + "|x\n" * 600
CODE = "```\n" + "code\n" * 500 + "```\n"


def fed(pieces: list[str]) -> list[Delta | Block]:
    blocks = Blocks()
    return [event for piece in pieces for event in blocks.feed(piece)] + blocks.flush()


@pytest.mark.parametrize("text", [TABLE, CODE, f"Hi.\n\n{TABLE}\nAnd.\n\n{CODE}", "- a\n" * 900])
@pytest.mark.parametrize("size", [7, 999, 10_000])
async def test_long_blocks_of_an_answer_are_parsed_beside_the_loop_in_their_order(
    text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[tuple[int, bool]] = []  # how long it was, and whether in the loop's thread
    loop, parse = threading.get_ident(), markdown._parse

    def watched(text: str) -> list[Token]:
        parsed.append((len(text), threading.get_ident() == loop))
        return parse(text)

    monkeypatch.setattr(markdown, "_parse", watched)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    blocks, aside = Blocks(), AnswersMarkdown()
    events: list[Delta | Block] = []
    for piece in pieces:
        events += await aside.take(blocks.feeding(piece))
    events += await aside.take(blocks.flushing())
    assert any(length > LONG for length, _ in parsed)
    for length, here in parsed:
        assert not (here and length > LONG + len("x\n")), "it held up the loop"
    assert events == fed(pieces)


def held(over: threading.Event, done: list[int], size: int) -> Generator[Work, Any, int]:
    """One step of work of a size, which waits for the test's word."""

    def work() -> int:
        assert over.wait(10)
        done.append(size)
        return size

    result: int = yield size, work
    return result


async def test_the_shortest_is_next_and_what_is_long_keeps_nobody_waiting() -> None:
    aside, over, never = AnswersMarkdown(), threading.Event(), threading.Event()
    done: list[int] = []
    long = asyncio.create_task(aside.take(held(never, done, 24_000)))
    sizes = [3_000, 2_500, 1_100, 3_900, 1_500, 2_000]
    waiting = []
    for size in sizes:
        waiting.append(asyncio.create_task(aside.take(held(over, done, size))))
        await asyncio.sleep(0)
    waiting[3].cancel()  # its reader leaves
    over.set()
    assert await asyncio.gather(*waiting[:3], *waiting[4:]) == [3_000, 2_500, 1_100, 1_500, 2_000]
    assert done == [3_000, 1_100, 1_500, 2_000, 2_500]
    never.set()
    assert await long == 24_000
    assert await aside.take(held(over, done, 24_001)) == 24_001


async def test_work_that_fails_gives_its_turn_to_the_next() -> None:
    def failing() -> Generator[Work, Any, None]:
        yield 2_000, partial(int, "no number")

    aside, over = AnswersMarkdown(), threading.Event()
    over.set()
    with pytest.raises(ValueError, match="no number"):
        await aside.take(failing())
    assert await aside.take(held(over, [], 2_000)) == 2_000
