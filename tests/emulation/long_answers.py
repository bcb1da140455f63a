"""Answers that are longer than what can be counted as a whole: looked at token by token.

At each place of an answer the distribution that its token is to be drawn from is computed exactly,
from all tokens before. What the token counts for, less what tokens of that distribution count for
on average, sums up to nothing but chance.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from playground.domain.samplers import Sampler
from tests.emulation.answers import Answer
from tests.emulation.exact import Floats, Model
from tests.emulation.statistics import Score, least, two_sided

# Less than this is what the sums of two programs differ by.
_IMPOSSIBLE: Final = 1e-12


def _seen(q: Floats, counts: Mapping[int, int]) -> Floats:
    """1 for what the answer holds already."""
    return np.isin(np.arange(len(q)), list(counts)).astype(float)


def _often(q: Floats, counts: Mapping[int, int]) -> Floats:
    """How often the answer holds it, as a logarithm: no single word outweighs all."""
    found = np.zeros(len(q))
    for token, count in counts.items():
        found[token] = math.log1p(count)
    return found


def _likeliest(q: Floats, counts: Mapping[int, int]) -> Floats:
    """1 for the likeliest."""
    found = np.zeros(len(q))
    found[q.argmax()] = 1
    return found


def _surprise(q: Floats, counts: Mapping[int, int]) -> Floats:
    """How unlikely it is."""
    surprise: Floats = np.minimum(-np.log(np.maximum(q, 1e-9)), 9.0)
    return surprise


_LOOKS: Final[Mapping[str, Callable[[Floats, Mapping[int, int]], Floats]]] = {
    "seen before": _seen,
    "how often": _often,
    "likeliest": _likeliest,
    "surprise": _surprise,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of answers, token by token.

    Attributes:
        tokens: That were looked at.
        impossible: Of these, those that are never to be drawn.
        z: By what they count for, the deviation in standard deviations.
        wrong: The most of these as a p-value, as often as it was looked.
    """

    tokens: int
    impossible: int
    z: Mapping[str, float]
    wrong: float


def look(
    model: Model,
    prompt: str,
    sampler: Sampler,
    answers: Iterable[Answer],
    *,
    behind: int = 0,
    forgetting: bool = False,
) -> Look:
    """Answers against what a sampler asks for.

    Args:
        behind: How many tokens of each answer are passed over.
        forgetting: Whether they are taken not to count.
    """
    scores = {name: Score() for name in _LOOKS}
    tokens = impossible = 0
    for answer in answers:
        ids = answer.ids
        counts: Counter[int] = Counter()
        for place, (q, token) in enumerate(
            zip(
                model.steps(prompt, ids, sampler, answer.begun, behind * forgetting),
                ids,
                strict=True,
            )
        ):
            if place >= behind:
                tokens += 1
                impossible += bool(q[token] < _IMPOSSIBLE)
                for name, counted in _LOOKS.items():
                    scores[name].add(q, counted(q, counts), token)
            counts[token] += 1
    z = {name: score.z for name, score in scores.items()}
    return Look(tokens, impossible, z, least([two_sided(each) for each in z.values()]))
