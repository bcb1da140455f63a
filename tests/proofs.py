"""A proof of the samplers in little, for tests of what is done with one."""

import pytest

from playground.engines import answers


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer and shorter answers than `playground check --samplers` has: it takes minutes.

    They are enough for each parameter's verdict on the stand-in.
    """
    monkeypatch.setattr(answers, "QUESTIONS", answers.QUESTIONS[:3])
    monkeypatch.setattr(answers, "_EXACT_SEEDS", (1,))
    monkeypatch.setattr(answers, "_EXACT_TOKENS", 12)
    monkeypatch.setattr(answers, "_PAIR_SEEDS", (1, 2, 3))
    monkeypatch.setattr(answers, "PAIR_TOKENS", 40)
