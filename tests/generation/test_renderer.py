"""Markdown beside the streams: one text at a time, in turn, and some kept."""

import asyncio
import threading

import pytest

from playground.generation import renderer
from playground.generation.markdown import render
from playground.generation.renderer import Renderer

TEXT = "One *two*\n\nThree"


async def test_a_text_is_what_it_is_as_an_answer() -> None:
    assert await Renderer().blocks(TEXT) == render(TEXT) == await Renderer().blocks(TEXT, keep=True)


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
    first = await shared.blocks("a", keep=True)
    first.append("changed")
    assert await shared.blocks("a", keep=True) == ["a"]
    assert slow.texts == ["a"]
    assert await shared.blocks("a") == ["a"], "by default nothing is"
    assert slow.texts == ["a", "a"]
    renderer._kept.cache_clear()
