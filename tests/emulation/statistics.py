"""The arithmetic: how far samples are from a distribution, and how far they are by chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.emulation.exact import Floats, Ids

Counts = NDArray[np.int64]

# An outcome of which fewer are expected is put together with all others like it.
EXPECTED: Final = 5.0
_DRAWS: Final = 4000
_AT_ONCE: Final = 500


class Cells:
    """A distribution over outcomes, the rare ones together in the last cell."""

    def __init__(self, likely: Mapping[tuple[int, Ids], float]) -> None:
        self._place = {each: place for place, each in enumerate(likely)}
        self.p: Floats = np.array([*likely.values(), max(0.0, 1 - math.fsum(likely.values()))])
        self.p /= self.p.sum()

    def count(self, outcomes: Mapping[tuple[int, Ids], int]) -> Counts:
        """How many fall into each."""
        found = np.zeros(len(self.p), np.int64)
        for outcome, count in outcomes.items():
            found[self._place.get(outcome, -1)] += count
        return found


@dataclass(frozen=True, slots=True)
class Fit:
    """Samples beside a distribution.

    Attributes:
        p: Of the chi-square statistic, by as many samples drawn from the distribution itself.
        distance: Total variation, which is never 0 for samples.
        floor: What that is for samples of the distribution itself, on average.
        most: What it is below there in 999 of 1,000.
    """

    p: float
    distance: float
    floor: float
    most: float


def fit(cells: Cells, counts: Counts, draw: np.random.Generator) -> Fit:
    """How well counts fit a distribution."""
    samples = int(counts.sum())
    expected = np.maximum(cells.p * samples, 1e-3)

    def statistic(found: Counts) -> Floats:
        square: Floats = (np.square(found - expected) / expected).sum(-1)
        return square

    by_chance, distances = [], []
    for _ in range(_DRAWS // _AT_ONCE):
        drawn = draw.multinomial(samples, cells.p, size=_AT_ONCE)
        by_chance.append(statistic(drawn))
        distances.append(np.abs(drawn - expected).sum(-1) / 2 / samples)
    noise = np.concatenate(distances)
    return Fit(
        _share(np.concatenate(by_chance), statistic(counts)),
        float(np.abs(counts - expected).sum() / 2 / samples),
        float(noise.mean()),
        float(np.quantile(noise, 0.999)),
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """Samples beside samples.

    Attributes:
        p: Of the chi-square statistic of two samples, by pairs drawn from both together.
        distance: Total variation.
        floor: What that is for such pairs, on average.
    """

    p: float
    distance: float
    floor: float


def between(one: Counts, other: Counts, draw: np.random.Generator) -> Pair:
    """How far two samples are apart."""
    sizes = [int(one.sum()), int(other.sum())]
    together = (one + other) / sum(sizes)

    def statistic(a: Counts, b: Counts) -> Floats:
        difference = a * math.sqrt(sizes[1] / sizes[0]) - b * math.sqrt(sizes[0] / sizes[1])
        square: Floats = (np.square(difference) / np.maximum(a + b, 1)).sum(-1)
        return square

    def distance(a: Counts, b: Counts) -> Floats:
        apart: Floats = np.abs(a / sizes[0] - b / sizes[1]).sum(-1) / 2
        return apart

    by_chance, distances = [], []
    for _ in range(_DRAWS // _AT_ONCE):
        a, b = (draw.multinomial(size, together, size=_AT_ONCE) for size in sizes)
        by_chance.append(statistic(a, b))
        distances.append(distance(a, b))
    return Pair(
        _share(np.concatenate(by_chance), statistic(one, other)),
        float(distance(one, other)),
        float(np.concatenate(distances).mean()),
    )


def _share(by_chance: Floats, found: Floats) -> float:
    return (1 + int((by_chance >= found).sum())) / (1 + len(by_chance))


def two_sided(z: float) -> float:
    """The p-value of a normal deviate."""
    return math.erfc(abs(z) / math.sqrt(2))


@dataclass(slots=True)
class Score:
    """A sum of what tokens count for, less what is expected at each: 0 on average (a martingale).

    Attributes:
        total: The sum.
        variance: Of the sum.
    """

    total: float = 0.0
    variance: float = 0.0

    def add(self, q: Floats, counts_for: Floats, token: int) -> None:
        """A token, drawn from q as it is said."""
        mean = float(q @ counts_for)
        self.total += float(counts_for[token]) - mean
        self.variance += float(q @ np.square(counts_for)) - mean**2

    @property
    def z(self) -> float:
        """The sum in standard deviations."""
        return self.total / math.sqrt(self.variance) if self.variance > 0 else 0.0


def least(values: Sequence[float]) -> float:
    """The least p-value, as often as it was looked (Bonferroni)."""
    return min(1.0, len(values) * min(values))
