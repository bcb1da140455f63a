"""The arithmetic of a proof: repeated words, a permutation test, shifts of log-probabilities."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from huggingface_hub import TextGenerationOutput

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


def shift(
    plain: TextGenerationOutput, shifted: TextGenerationOutput, value: float, most: int
) -> tuple[float, float]:
    """Σ expected × measured and Σ expected², over the places before the answers part.

    Args:
        most: How often a token counts at most; presence_penalty counts it once. Of the likeliest
            tokens at a place the one that was written least often is the reference.
    """
    cross = squares = 0.0
    counts: Counter[int] = Counter()
    for a, b in zip(_places(plain), _places(shifted), strict=False):
        number, before = a
        other, after = b
        common = sorted(before.keys() & after.keys(), key=lambda token: (counts[token], token))
        for token in common[1:]:
            expected = -value * (counts[token] - counts[common[0]])
            measured = (after[token] - before[token]) - (after[common[0]] - before[common[0]])
            cross += expected * measured
            squares += expected * expected
        if number != other:
            break
        counts[number] = min(counts[number] + 1, most)
    return cross, squares


def _places(output: TextGenerationOutput) -> list[tuple[int, dict[int, float]]]:
    """Of each place the token written, and the log-probabilities of the likeliest."""
    assert output.details is not None
    # huggingface_hub leaves lists of lists as they came, in dictionaries; its types are such too.
    tops: list[list[Any]] = output.details.top_tokens or []
    return [
        (token.id, {top["id"]: top["logprob"] for top in likeliest})
        for token, likeliest in zip(output.details.tokens, tops, strict=False)
    ]
