"""A proof of the samplers in little, for tests of what is done with one."""

import asyncio
import threading
from typing import Any

import pytest

from playground.engines import answers
from playground.engines.base import Written


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer and shorter answers than `playground check --samplers` has: it takes minutes.

    They are enough for each parameter's verdict on the stand-in.
    """
    monkeypatch.setattr(answers, "QUESTIONS", answers.QUESTIONS[:3])
    monkeypatch.setattr(answers, "_EXACT_SEEDS", (1,))
    monkeypatch.setattr(answers, "_EXACT_TOKENS", 12)
    monkeypatch.setattr(answers, "_PAIR_SEEDS", (1, 2, 3))
    monkeypatch.setattr(answers, "PAIR_TOKENS", 40)


def hold(monkeypatch: pytest.MonkeyPatch, after: int) -> threading.Event:
    """Have a proof stand still after so many answers, until the event that is given is set."""
    going_on, write = threading.Event(), answers.Answers._write

    async def held(self: answers.Answers, *arguments: Any, **options: Any) -> Written:
        while self.generations >= after and not going_on.is_set():  # noqa: ASYNC110  (of another thread)
            await asyncio.sleep(0.01)
        return await write(self, *arguments, **options)

    monkeypatch.setattr(answers.Answers, "_write", held)
    return going_on
