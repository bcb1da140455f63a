"""The arithmetic of a proof: repeated words, a permutation test, shifts of log-probabilities."""

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from playground.engines.base import Written

_FLIPS: Final = 9_999


def repeated_shares(text: str, other: str) -> tuple[float, float]:
    """Of each text the share of words that were there before, over as many words of both.

    A longer text repeats more by itself, so the longer one is cut to the shorter.
    """
    words = [re.findall(r"\w+", each.lower()) for each in (text, other)]
    length = min(map(len, words))
    if length == 0:
        return 0.0, 0.0
    first, second = (1 - len(set(each[:length])) / length for each in words)
    return first, second


def permutation_test(differences: Sequence[float], flips: int = _FLIPS) -> float:
    """The one-sided p-value of a positive mean, by flipping signs at random with a fixed seed.

    (1 + flips at least as large) / (1 + flips), as Phipson and Smyth (2010) have it, never 0.
    """
    draw = random.Random(0)
    observed = sum(differences)
    larger = 0
    for _ in range(flips):
        signs = draw.getrandbits(len(differences)) if differences else 0
        total = sum(d if signs >> i & 1 else -d for i, d in enumerate(differences))
        larger += total >= observed - 1e-12
    return (1 + larger) / (1 + flips)


@dataclass(frozen=True, slots=True)
class Shift:
    """How far log-probabilities moved, beside how far a penalty of OpenAI's meaning moves them.

    Attributes:
        cross: Σ expected × measured.
        squares: Σ expected².
        measured: Σ measured².
    """

    cross: float = 0.0
    squares: float = 0.0
    measured: float = 0.0

    def __add__(self, other: "Shift") -> "Shift":
        return Shift(
            self.cross + other.cross,
            self.squares + other.squares,
            self.measured + other.measured,
        )

    @property
    def slope(self) -> float:
        """Measured as a share of expected: of a line through zero."""
        return self.cross / self.squares

    @property
    def fit(self) -> float:
        """The share of what was measured that such a line explains, 0 where there is nothing."""
        whole = self.squares * self.measured
        return self.cross**2 / whole if whole else 0.0


def shift(
    plain: Written, shifted: Written, value: float, most: int, before: Sequence[int] = ()
) -> Shift:
    """What moved at the places before the answers part.

    Args:
        most: How often a token counts at most; presence_penalty counts it once. Of the likeliest
            tokens at a place the one that was written least often is the reference.
        before: Tokens that count as written already.
    """
    cross = squares = moved = 0.0
    counts = Counter({token: min(count, most) for token, count in Counter(before).items()})
    for a, b in zip(_places(plain), _places(shifted), strict=False):
        number, likely = a
        other, after = b
        common = sorted(likely.keys() & after.keys(), key=lambda token: (counts[token], token))
        for token in common[1:]:
            expected = -value * (counts[token] - counts[common[0]])
            measured = (after[token] - likely[token]) - (after[common[0]] - likely[common[0]])
            cross += expected * measured
            squares += expected * expected
            moved += measured * measured
        if number != other:
            break
        counts[number] = min(counts[number] + 1, most)
    return Shift(cross, squares, moved)


def _places(written: Written) -> list[tuple[int, Mapping[int, float]]]:
    """Of each place the token written, and the log-probabilities of the likeliest."""
    return list(zip(written.tokens, written.likeliest, strict=False))
