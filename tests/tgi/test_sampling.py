"""The samplers against plain definitions in the style of transformers, and the draw itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.stand_in.sampling import Chooser, Sampling, penalise, warp

Row = NDArray[np.float64]

# ---- plain definitions: a row in, the same row out with -inf where a token was dropped ----


def softmax(row: Row) -> Row:
    weights: Row = np.exp(row - row.max())
    shares: Row = weights / weights.sum()
    return shares


def plain_repetition(row: Row, seen: list[int], penalty: float) -> Row:
    row = row.copy()
    for token in set(seen):
        row[token] = row[token] * penalty if row[token] < 0 else row[token] / penalty
    return row


def plain_openai(row: Row, written: list[int], frequency: float, presence: float) -> Row:
    row = row.copy()
    for token in set(written):
        row[token] -= written.count(token) * frequency + presence
    return row


def plain_top_k(row: Row, k: int) -> Row:
    return np.where(row < np.sort(row)[-k], -np.inf, row)


def plain_top_p(row: Row, p: float) -> Row:
    order = np.argsort(row)
    gone = np.cumsum(softmax(row)[order]) <= 1 - p
    gone[-1] = False
    out = row.copy()
    out[order[gone]] = -np.inf
    return out


def plain_typical(row: Row, mass: float) -> Row:
    with np.errstate(divide="ignore", invalid="ignore"):
        logprobs = np.log(softmax(row))
        entropy = -np.nansum(logprobs * softmax(row))
    distance = np.abs(-logprobs - entropy)
    order = np.argsort(distance)
    last = min(int((np.cumsum(softmax(row)[order]) < mass).sum()), len(row) - 1)
    return np.where(distance > distance[order[last]], -np.inf, row)


def plain_min_p(row: Row, min_p: float) -> Row:
    probabilities = softmax(row)
    return np.where(probabilities < min_p * probabilities.max(), -np.inf, row)


def plain(row: Row, s: Sampling, prompt: list[int], written: list[int]) -> Row:
    row = plain_repetition(row, prompt + written, s.repetition_penalty)
    row = plain_openai(row, written, s.frequency_penalty, s.presence_penalty)
    row = row / s.temperature
    if s.top_k:
        row = plain_top_k(row, min(s.top_k, len(row)))
    if s.top_p < 1:
        row = plain_top_p(row, s.top_p)
    if s.typical_p < 1:
        row = plain_typical(row, s.typical_p)
    if s.min_p:
        row = plain_min_p(row, s.min_p)
    return row


# ---- the same from the engine ----


def warped(row: Row, sampling: Sampling) -> Row:
    tokens, scores = warp(row.copy(), sampling)
    if tokens is None:
        return scores
    out = np.full(len(row), -np.inf)
    out[tokens] = scores
    return out


def normal(seed: int, size: int = 300, spread: float = 4.0) -> Row:
    return np.random.default_rng(seed).normal(0, spread, size)


samplings = st.builds(
    Sampling,
    sample=st.just(True),
    temperature=st.floats(0.05, 3),
    top_k=st.integers(0, 400),
    top_p=st.floats(0.01, 1),
    # So close below 1 that the sum of all tokens is rounded, either answer would do.
    typical_p=st.floats(0.05, 0.999) | st.just(1.0),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.5, 2),
    openai=st.just(True),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
)
tokens = st.lists(st.integers(0, 299), max_size=20)


@settings(max_examples=300, deadline=None)
@given(samplings, st.integers(0, 2**32), st.floats(0.3, 8), tokens, tokens)
def test_all_together_are_the_plain_definitions(
    sampling: Sampling, seed: int, spread: float, prompt: list[int], written: list[int]
) -> None:
    row = normal(seed, spread=spread)
    expected = plain(row, sampling, prompt, written)
    penalised = penalise(
        row.copy(),
        sampling,
        np.bincount(np.array(prompt, dtype=int), minlength=300),
        np.bincount(np.array(written, dtype=int), minlength=300).astype(float),
        len(prompt) + len(written),
    )
    got = warped(penalised, sampling)
    assert np.array_equal(np.isfinite(got), np.isfinite(expected))
    kept = np.isfinite(expected)
    np.testing.assert_allclose(got[kept], expected[kept], rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0.5, 2), st.floats(0.3, 1))
def test_logprobs_are_those_after_the_warpers(
    seed: int, top: int, temperature: float, top_p: float
) -> None:
    row = normal(seed, size=50)
    sampling = Sampling(sample=True, seed=seed, temperature=temperature, top_p=top_p, top_k=7)
    probabilities = softmax(plain(row, sampling, [], []))
    choice = Chooser(sampling, [], 50).choose(row, top)
    assert choice.logprob == pytest.approx(np.log(probabilities[choice.token]), abs=1e-9)
    wanted = [int(t) for t in np.argsort(-probabilities)[:top] if probabilities[t] > 0]
    assert [token for token, _ in choice.top] == wanted
    for token, logprob in choice.top:
        assert logprob == pytest.approx(np.log(probabilities[token]), abs=1e-9)


def test_filtered_tokens_are_left_out_of_the_top() -> None:
    row = np.array([4.0, 3.0, 2.0, 1.0, 0.0])
    choice = Chooser(Sampling(sample=True, top_k=2), [], 5).choose(row, 4)
    assert [token for token, _ in choice.top] == [0, 1]


def test_ties_give_more_than_were_asked_for() -> None:
    row = np.array([1.0, 5.0, 5.0, 5.0, 0.0])
    choice = Chooser(Sampling(), [], 5).choose(row, 2)
    assert [token for token, _ in choice.top] == [1, 2, 3]
    assert choice.token == 1


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(top_k=2), {1, 2, 3}),  # ties at the edge stay
        (Sampling(top_k=9), {0, 1, 2, 3}),  # more than there are
        (Sampling(top_p=0.01), {1}),
        (Sampling(min_p=1.0), {1, 2, 3}),
        (Sampling(min_p=0.5), {1, 2, 3}),
        (Sampling(), {0, 1, 2, 3}),
    ],
)
def test_edges(sampling: Sampling, kept: set[int]) -> None:
    assert set(np.flatnonzero(np.isfinite(warped(np.array([0.0, 2, 2, 2]), sampling)))) == kept


def test_top_p_looks_past_its_first_guess() -> None:
    flat = np.linspace(0, 0.001, 5000)
    np.random.default_rng(1).shuffle(flat)
    got = np.flatnonzero(np.isfinite(warped(flat, Sampling(top_p=0.9))))
    assert np.array_equal(got, np.flatnonzero(np.isfinite(plain_top_p(flat, 0.9))))
    assert len(got) > 4000


def test_stock_frequency_penalty_is_weak_and_counts_the_prompt() -> None:
    sampling = Sampling(frequency_penalty=2.0)
    prompt, output = np.array([0, 1, 0]), np.array([0.0, 9.0, 3.0])
    row = penalise(np.zeros(3), sampling, prompt, output, 500)
    np.testing.assert_allclose(row, [0, -2.0 * 10 / 500, -2.0 * 3 / 500])


def test_the_chooser_counts_what_it_wrote_and_not_the_prompt() -> None:
    row = np.array([3.0, 2.9, 0.0])
    chooser = Chooser(Sampling(presence_penalty=1.0), [0, 0, 0], 3)
    assert [chooser.choose(row).token for _ in range(3)] == [0, 1, 0]
    chooser = Chooser(Sampling(repetition_penalty=2.0), [0], 3)
    assert chooser.choose(row).token == 1


def test_draws_follow_the_distribution() -> None:
    row = np.log(np.array([0.5, 0.25, 0.125, 0.0625, 0.0625]))
    chooser = Chooser(Sampling(sample=True, seed=3), [], 5)
    counts = np.bincount([chooser.choose(row).token for _ in range(20_000)], minlength=5)
    chi_square = (((counts - 20_000 * np.exp(row)) ** 2) / (20_000 * np.exp(row))).sum()
    assert chi_square < 18.5  # the 0.1 % point of chi-square with 4 degrees of freedom


@settings(max_examples=100, deadline=None)
@given(samplings, st.integers(0, 2**64 - 1))
def test_a_seed_repeats_its_tokens(sampling: Sampling, seed: int) -> None:
    rows = [normal(place) for place in range(10)]
    sampling = replace(sampling, seed=seed)
    first, second = (Chooser(sampling, [1, 2], 300) for _ in range(2))
    assert [first.choose(row, 3) for row in rows] == [second.choose(row, 3) for row in rows]


def test_seeds_differ() -> None:
    row = np.zeros(1000)
    drawn = {Chooser(Sampling(sample=True, seed=s), [], 1000).choose(row).token for s in range(40)}
    assert len(drawn) > 30


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_top_k_1_is_greedy_at_any_temperature(temperature: float) -> None:
    for seed in range(50):
        row = normal(seed)
        chooser = Chooser(Sampling(sample=True, seed=1, temperature=temperature, top_k=1), [], 300)
        assert chooser.choose(row).token == row.argmax()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    row = np.full(4, bad)
    with pytest.raises(ArithmeticError), np.errstate(all="ignore"):
        Chooser(Sampling(sample=True, top_p=0.5, min_p=0.1), [], 4).choose(row)


def test_logits_may_come_in_half_precision() -> None:
    row: NDArray[Any] = np.array([1, 2, 3], np.float16)
    assert Chooser(Sampling(), [], 3).choose(row).token == 2
