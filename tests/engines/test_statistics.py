"""The arithmetic of a proof, in cases that can be counted by hand."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from huggingface_hub import (
    TextGenerationOutput,
    TextGenerationOutputDetails,
    TextGenerationOutputToken,
)

from playground.engines.statistics import permutation_test, repeated_shares, shift


def test_the_permutation_test_holds_known_cases() -> None:
    assert permutation_test([0.0] * 20) == 1.0
    # All of n differences positive and alike: only the flip of none is as large, 2**-n.
    assert permutation_test([1.0] * 5) == pytest.approx(2**-5, abs=0.01)
    assert permutation_test([1.0] * 30) == pytest.approx(1 / 10_000)
    assert permutation_test([-1.0] * 10) == pytest.approx(1, abs=0.01)
    assert permutation_test([0.3, -0.2, 0.1]) == permutation_test([0.3, -0.2, 0.1])
    # Of four flips of two, one is as large, though their sum is rounded: 0.1 + 0.2 > 0.3.
    assert permutation_test([0.1, 0.2]) == pytest.approx(1 / 4, abs=0.01)
    assert permutation_test([0.1, 0.2, -0.3]) == pytest.approx(5 / 8, abs=0.02)
    assert permutation_test([], 9) == permutation_test([0.0], 9) == 1.0
    assert permutation_test([1.0] * 30, 4) == 1 / 5, "never 0"
    assert permutation_test([1.0] * 5) == 0.0312, "the flips are always the same"


@pytest.mark.parametrize(
    ("text", "other", "shares"),
    [
        ("a a a a", "a b c d", (0.75, 0.0)),
        ("A a, a b c d e f", "a a", (0.5, 0.5)),
        ("", "a a", (0.0, 0.0)),
        ("b", "a a", (0.0, 0.0)),
        ("it's a dog's life, it is", "x", (0.0, 0.0)),
        ("don't don't", "a b c d", (0.5, 0.0)),
        ("Straße strasse", "Ada ada", (0.0, 0.5)),
    ],
)
def test_repeated_words_are_counted_over_the_same_length(
    text: str, other: str, shares: tuple[float, float]
) -> None:
    assert repeated_shares(text, other) == shares


Place = tuple[int, dict[int, float]]  # the token written, and the log-probabilities of some


def output(*places: Place) -> TextGenerationOutput:
    tokens = [
        TextGenerationOutputToken(id=number, logprob=0.0, special=False, text="")
        for number, _ in places
    ]
    tops = [[{"id": each, "logprob": at} for each, at in top.items()] for _, top in places]
    details = TextGenerationOutputDetails(
        finish_reason="length",
        generated_tokens=len(tokens),
        prefill=[],
        tokens=tokens,
        top_tokens=cast(Any, tops),  # lists of lists are left as they came
    )
    return TextGenerationOutput(generated_text="", details=details)


def moved(plain: Sequence[Place], by: Sequence[dict[int, float]]) -> list[Place]:
    """The places with log-probabilities that differ by so much; what is missing, by nothing."""
    return [
        (number, {each: at + more.get(each, 0.0) for each, at in top.items()})
        for (number, top), more in zip(plain, by, strict=True)
    ]


TOP = {1: -0.5, 2: -1.5, 3: -2.5}
PLAIN = [(1, TOP), (1, TOP), (2, TOP), (3, TOP)]
# Of each token at each place how often it was written before.
COUNTS: list[dict[int, float]] = [{}, {1: 1}, {1: 2}, {1: 2, 2: 1}]


@pytest.mark.parametrize("value", [0.3, 2.0])
@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_a_shift_is_measured_as_a_share_of_the_penalty(value: float, strength: float) -> None:
    """At the places but the first: of 1 beside 2 and 3, and of 2 beside 3."""
    by = [{each: -value * strength * n for each, n in counts.items()} for counts in COUNTS]
    cross, squares = shift(output(*PLAIN), output(*moved(PLAIN, by)), value, 64)
    assert squares == pytest.approx(value**2 * (1 + 4 + 4 + 1))
    assert cross == pytest.approx(strength * squares)


def test_what_moves_all_alike_is_no_shift() -> None:
    """A softmax moves all log-probabilities when one logit is lowered."""
    by = [{each: 0.7 - n for each, n in {1: 0.0, 2: 0.0, 3: 0.0, **c}.items()} for c in COUNTS]
    cross, squares = shift(output(*PLAIN), output(*moved(PLAIN, by)), 1.0, 64)
    assert cross == pytest.approx(squares) == pytest.approx(10)


def test_presence_counts_a_token_once() -> None:
    by = [{each: -float(min(n, 1)) for each, n in counts.items()} for counts in COUNTS]
    cross, squares = shift(output(*PLAIN), output(*moved(PLAIN, by)), 1.0, 1)
    assert squares == pytest.approx(1 + 1 + 1 + 1)
    assert cross == pytest.approx(squares)


def test_the_places_after_which_answers_part_are_not_compared() -> None:
    parted = [(1, TOP), (2, TOP), *PLAIN[2:]]
    cross, squares = shift(output(*PLAIN), output(*parted), 1.0, 64)
    assert (cross, squares) == (0.0, 1.0), "the place at which they part is the last"


def test_only_what_is_likely_in_both_is_compared() -> None:
    plain = [(1, TOP), (1, {1: -0.5, 2: -1.5})]
    other = [(1, TOP), (1, {1: -3.5, 3: -1.5})]
    assert shift(output(*plain), output(*other), 1.0, 64) == (0.0, 0.0)
    other = [(1, TOP), (1, {1: -3.5, 2: -2.5, 3: -1.5})]
    assert shift(output(*plain), output(*other), 1.0, 64) == (2.0, 1.0)


def test_an_answer_that_is_shorter_ends_the_comparison() -> None:
    assert shift(output(*PLAIN), output(*PLAIN[:2]), 1.0, 64)[1] == 1.0


def test_the_least_written_is_the_reference() -> None:
    """3 was written twice, 2 once, and 1, which is the likeliest, three times."""
    plain = [(number, TOP) for number in (3, 3, 2, 1, 1, 1, 1)]
    by = [*({} for _ in plain[:-1]), {1: -3.0, 2: -1.0, 3: -2.0}]
    before = shift(output(*plain[:-1]), output(*plain[:-1]), 1.0, 64)
    cross, squares = shift(output(*plain), output(*moved(plain, by)), 1.0, 64)
    assert squares - before[1] == pytest.approx(2**2 + 1**2)
    assert cross - before[0] == pytest.approx(2 * 2 + 1 * 1)


def test_without_the_likeliest_there_is_no_shift() -> None:
    bare = output(*PLAIN)
    assert bare.details is not None
    bare.details.top_tokens = None
    assert shift(bare, bare, 1.0, 64) == (0.0, 0.0)
