"""The arithmetic of a proof, in cases that can be counted by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from playground.engines.base import Written
from playground.engines.statistics import Shift, permutation_test, repeated_shares, shift


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


def output(*places: Place) -> Written:
    """An answer of these tokens, with the likeliest at each place."""
    tokens, tops = zip(*places, strict=True)
    return Written("", len(tokens), tokens, tops)


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
    found = shift(output(*PLAIN), output(*moved(PLAIN, by)), value, 64)
    assert found.squares == pytest.approx(value**2 * (1 + 4 + 4 + 1))
    assert found.slope == pytest.approx(strength)
    assert found.fit == pytest.approx(1 if strength else 0)


def test_what_moves_all_alike_is_no_shift() -> None:
    """A softmax moves all log-probabilities when one logit is lowered."""
    by = [{each: 0.7 - n for each, n in {1: 0.0, 2: 0.0, 3: 0.0, **c}.items()} for c in COUNTS]
    found = shift(output(*PLAIN), output(*moved(PLAIN, by)), 1.0, 64)
    assert found.cross == pytest.approx(found.squares) == pytest.approx(10)
    assert found.measured == pytest.approx(10)


def test_presence_counts_a_token_once() -> None:
    by = [{each: -float(min(n, 1)) for each, n in counts.items()} for counts in COUNTS]
    found = shift(output(*PLAIN), output(*moved(PLAIN, by)), 1.0, 1)
    assert found.squares == pytest.approx(1 + 1 + 1 + 1)
    assert found.slope == pytest.approx(1)


def test_the_places_after_which_answers_part_are_not_compared() -> None:
    parted = [(1, TOP), (2, TOP), *PLAIN[2:]]
    found = shift(output(*PLAIN), output(*parted), 1.0, 64)
    assert found == Shift(0.0, 1.0, 0.0), "the place at which they part is the last"


def test_only_what_is_likely_in_both_is_compared() -> None:
    plain = [(1, TOP), (1, {1: -0.5, 2: -1.5})]
    other = [(1, TOP), (1, {1: -3.5, 3: -1.5})]
    assert shift(output(*plain), output(*other), 1.0, 64) == Shift()
    other = [(1, TOP), (1, {1: -3.5, 2: -2.5, 3: -1.5})]
    assert shift(output(*plain), output(*other), 1.0, 64) == Shift(2.0, 1.0, 4.0)


def test_an_answer_that_is_shorter_ends_the_comparison() -> None:
    assert shift(output(*PLAIN), output(*PLAIN[:2]), 1.0, 64).squares == 1.0


def test_the_least_written_is_the_reference() -> None:
    """3 was written twice, 2 once, and 1, which is the likeliest, three times."""
    plain = [(number, TOP) for number in (3, 3, 2, 1, 1, 1, 1)]
    by = [*({} for _ in plain[:-1]), {1: -3.0, 2: -1.0, 3: -2.0}]
    before = shift(output(*plain[:-1]), output(*plain[:-1]), 1.0, 64)
    found = shift(output(*plain), output(*moved(plain, by)), 1.0, 64)
    assert found.squares - before.squares == pytest.approx(2**2 + 1**2)
    assert found.cross - before.cross == pytest.approx(2 * 2 + 1 * 1)


def test_without_the_likeliest_there_is_no_shift() -> None:
    bare = replace(output(*PLAIN), likeliest=())
    assert shift(bare, bare, 1.0, 64) == Shift()


def test_shifts_add_up() -> None:
    assert Shift(1, 2, 3) + Shift(10, 20, 30) == Shift(11, 22, 33)
    assert (Shift(2, 4, 1).slope, Shift(2, 4, 1).fit) == (0.5, 1)
    assert Shift(1, 4, 1).fit == 0.25
    assert Shift().fit == 0


def test_what_the_prompt_holds_counts_as_written_where_that_is_said() -> None:
    """1 stands in the prompt twice: at the first place it has moved already."""
    prompt, counts = (1, 1, 7), [{1: 2}, {1: 3}, {1: 4}, {1: 4, 2: 1}]
    by = [{each: -float(n) for each, n in count.items()} for count in counts]
    often = output(*PLAIN), output(*moved(PLAIN, by))
    with_it, without = shift(*often, 1.0, 64, prompt), shift(*often, 1.0, 64)
    assert [with_it.slope, with_it.fit] == pytest.approx([1, 1])
    assert without.slope > 1
    assert without.fit < 0.9
    by = [dict.fromkeys(count, -1.0) for count in counts]
    once = shift(output(*PLAIN), output(*moved(PLAIN, by)), 1.0, 1, prompt)
    assert [once.slope, once.fit] == pytest.approx([1, 1])
