"""The decisions of the emulation against the distribution that they must give, computed exactly."""

import math
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from playground.engines.base import Candidate, Step
from playground.generation.bridge.target import Target, Verdict

Floats = NDArray[np.float64]

_LEAST: Final = 2.0**-30  # of what tells apart


class Fixed(Random):
    """Draws this number; keeps the weights that are chosen by."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number
        self.weights: Mapping[int, float] = {}

    def random(self) -> float:
        return self.number

    def choices(self, population: Any, weights: Any = None, **_: Any) -> list[Any]:
        self.weights = {each.id: w for each, w in zip(population, weights, strict=True)}
        return [population[int(np.argmax(weights))]]


def shown(p: Floats, token: int, most: int) -> Step:
    """A token as an engine tells it, with so many of the likeliest and all that equal the last."""
    edge = np.sort(p)[-min(most, len(p))]
    order = [int(each) for each in np.argsort(-p, kind="stable") if p[each] >= edge and p[each] > 0]
    top = tuple(Candidate(each, f"t{each}", math.log(p[each]), False) for each in order)
    return Step(token, f"t{token}", math.log(p[token]), False, top)


def wanted(p: Floats, target: Target, counts: Mapping[int, int]) -> Floats:
    """What the parameters ask for, from all of p: the penalties, then top_k, top_p and min_p."""
    q = p.copy()
    for token, count in counts.items():
        shift = target.frequency_penalty * count + target.presence_penalty * (count > 0)
        q[token] *= math.exp(-shift / target.temperature)
    q /= q.sum()
    if target.top_k:
        q[q < np.sort(q)[-min(target.top_k, len(q))]] = 0
        q /= q.sum()
    if target.top_p < 1:
        order = np.argsort(-q, kind="stable")
        ladder = np.cumsum(q[order])
        q[order[int(np.searchsorted(ladder, target.top_p)) + 1 :]] = 0
        q /= q.sum()
    if target.min_p:
        q[q < q.max() * target.min_p * (1 - 1e-9)] = 0
        q /= q.sum()
    return q


def law(
    p: Floats, target: Target, counts: Mapping[int, int], most: int, narrow: int = 0
) -> tuple[Floats, Verdict]:
    """How likely each token is to be written at a place, and a verdict with its bounds."""
    accepted, ways = np.zeros(len(p)), set()
    weights: Mapping[int, float] = {}
    for token in np.flatnonzero(p).tolist():
        step = shown(p, token, most)
        low, high = 0.0, 1.0  # the most that may be drawn for it to be accepted
        for middle in (1 - _LEAST, _LEAST, *[None] * 18):
            if high - low <= _LEAST:
                break
            number = (low + high) / 2 if middle is None else middle
            if target.judge(step, counts, Fixed(number), narrow).way == "accept":
                low = number
            else:
                high = number
        accepted[token] = 1.0 if low >= 1 - _LEAST else high if low else 0.0
        refusing = Fixed(1.0)
        verdict = target.judge(step, counts, refusing, narrow)
        ways.add(verdict.way)
        weights = dict(refusing.weights) or weights
    assert len(ways - {"accept"}) <= 1, "the rule depends on the token"
    if verdict.wide and narrow:
        return p, verdict
    drawn = p * accepted
    if "write" not in ways:
        return drawn / drawn.sum(), verdict
    gains = np.zeros(len(p))
    for each, weight in weights.items():
        gains[each] = weight
    return drawn + (1 - drawn.sum()) * gains / gains.sum(), verdict


def distance(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).sum() / 2)


@st.composite
def places(draw: st.DrawFn) -> tuple[Floats, Target, dict[int, int], int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(2, 60))
    scores = rng.normal(0, draw(st.sampled_from((0.3, 1.5, 4.0))), size)
    p = np.exp(scores) / np.exp(scores).sum()
    penalty = st.sampled_from((0.0, 0.5, 1.0, -0.7))
    target = Target(
        draw(st.sampled_from((0.5, 1.0, 1.5))),
        draw(penalty),
        draw(penalty),
        draw(st.sampled_from((0, 1, 3, 10, 50))),
        draw(st.sampled_from((1.0, 0.95, 0.5))),
        draw(st.sampled_from((0.0, 0.05, 0.3, 1.0))),
    )
    counts = {int(t): int(rng.integers(1, 5)) for t in rng.permutation(size)[: size // 3]}
    return p, target, counts, draw(st.sampled_from((1, 5, 20, 100)))


@settings(max_examples=60, deadline=None)
@given(place=places())
def test_no_choice_is_further_off_than_its_bound(place: Any) -> None:
    p, target, counts, most = place
    got, verdict = law(p, target, counts, most)
    q = wanted(p, target, counts)
    assert distance(got, q) <= verdict.error + 1e-5
    assert distance(p, q) <= verdict.kept_error + 1e-5
    if most >= len(p):
        assert verdict.error < 1e-5


def test_a_cut_that_is_made_by_another_one_first_is_no_error() -> None:
    p = np.array([0.5, 0.2, 0.1, 0.02, 0.02, *[0.01] * 16])
    got, verdict = law(p, Target(1.0, presence_penalty=0.5, top_k=10, min_p=0.1), {0: 1}, 5)
    assert verdict.error == 0
    assert distance(got, wanted(p, Target(1.0, 0.0, 0.5, 10, min_p=0.1), {0: 1})) < 1e-5


@settings(max_examples=60, deadline=None)
@given(place=places(), narrow=st.sampled_from((1, 4, 8, 20)))
def test_what_the_engine_leaves_out_itself_changes_nothing_or_is_asked_for(
    place: Any, narrow: int
) -> None:
    p, target, counts, most = place
    left = np.where(p >= np.sort(p)[-min(narrow, len(p))], p, 0)
    got, verdict = law(left / left.sum(), target, counts, most, narrow)
    if not verdict.wide:
        assert distance(got, wanted(p, target, counts)) <= verdict.error + 1e-5


@pytest.mark.parametrize(("min_p", "wide"), [(0.3, False), (0.05, True)])
def test_a_place_with_many_likely_tokens_is_drawn_from_all_of_them(
    min_p: float, wide: bool
) -> None:
    p = np.array([0.4, 0.3, 0.1, *[0.02] * 10])
    left = np.where(p >= 0.02, p, 0)[:5] / p[:5].sum()
    verdict = Target(1.0, min_p=min_p).judge(shown(left, 0, 5), {}, Random(1), 5)
    assert (verdict.way, verdict.wide) == (("redraw", True) if wide else ("accept", False))


@pytest.mark.parametrize("most", [1, 5, 20])
@pytest.mark.parametrize("min_p", [0.05, 0.1, 1.0])
def test_min_p_is_exact_whatever_the_engine_shows(min_p: float, most: int) -> None:
    p = np.array([0.2, 0.2, 0.1, 0.1, 0.02, 0.02, 0.01, *[0.35 / 100] * 100])
    target = Target(1.0, min_p=min_p)
    got, verdict = law(p, target, {}, most)
    assert verdict.error == 0
    assert distance(got, wanted(p, target, {})) < 1e-9


@pytest.mark.parametrize(
    ("logits", "counts", "presence", "way", "token"),
    [
        ([2.0, 1.5, 0.0], {0: 1}, 1.0, "write", 1),
        ([2.0, 1.5, 0.0], {0: 1, 1: 1}, 1.0, "accept", None),
        ([2.0, 1.5, 0.0], {1: 2}, -1.0, "write", 1),
        ([2.0, 1.0, 0.0], {0: 1}, 1.0, "accept", None),
    ],
)
def test_greedy_takes_the_likeliest_after_the_penalties(
    logits: list[float], counts: dict[int, int], presence: float, way: str, token: int | None
) -> None:
    scores = np.array(logits)
    p = np.exp(scores) / np.exp(scores).sum()
    verdict = Target(0.0, presence_penalty=presence).judge(shown(p, 0, 3), counts, Random(1))
    assert (verdict.way, verdict.error) == (way, 0)
    assert (verdict.token and verdict.token.id) == token


def test_greedy_says_where_a_token_that_is_not_shown_may_be_the_likeliest() -> None:
    p = np.array([0.3, 0.29, 0.21, 0.2])
    verdict = Target(0.0, presence_penalty=1.0).judge(shown(p, 0, 2), {0: 1, 1: 1}, Random(1))
    assert verdict.error == 1


@pytest.mark.parametrize("frequency", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("presence", [-2.0, 2.0])
@pytest.mark.parametrize("count", [1, 3, 5, 400])
@pytest.mark.parametrize("told", [(0.0, -1000.0), (0.0, -20.0, -1e308), (-0.6931, -0.6932, -300.0)])
def test_a_low_temperature_makes_no_number_too_large_or_small(
    frequency: float, presence: float, count: int, told: tuple[float, ...]
) -> None:
    """A penalty that is multiplied a hundredfold; what is left is told from all else by far."""
    target = Target(0.01, frequency, presence, min_p=0.1)
    top = tuple(Candidate(i, f"t{i}", each, False) for i, each in enumerate(told))
    counts = {0: count, 77: count}  # one that is shown and one that is not
    left = [each.logprob - target.shift(counts.get(each.id, 0)) / 0.01 for each in top]
    best = top[left.index(max(left))]
    alone = sum(each > max(left) - 50 for each in left) == 1
    for each in [each for each in top if each.logprob > -50]:  # another is never drawn
        step = Step(each.id, each.text, each.logprob, False, top)
        verdict = target.judge(step, counts, Fixed(0.5))
        assert not alone or (verdict.way == "accept") is (each == best)
        assert not alone or verdict.token in (None, best)
        assert 0 <= verdict.error <= 1
        assert all(map(math.isfinite, target.log_probabilities(step, counts).values()))


def test_a_token_that_the_likeliest_leave_out_is_not_the_likeliest() -> None:
    step = Step(9, "x", -0.1, False, (Candidate(1, "a", -0.5, False),))
    verdict = Target(0.0, 1.0).judge(step, {}, Fixed(0.5))
    assert (verdict.way, verdict.token) == ("write", step.likeliest[0])
