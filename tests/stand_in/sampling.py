"""Which token comes next: penalties, warpers and the draw, for one row of logits at a time.

Order and meaning are TGI's: repetition (prompt and output) → frequency (counts of both, divided by
their length) → temperature → top_k → top_p → typical_p. With all samplers, frequency and presence
count the output, as OpenAI defines them, and min_p comes last. This module knows nothing of text,
batches or HTTP.

A row is computed from its own logits alone, in float64 and in a fixed order, so that neither the
rows beside it nor their number can change a bit of the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Sorting a whole vocabulary takes ten times as long as finding the likeliest few, which is all that
# top_p nearly always needs.
FIRST_GUESS = 64

# TGI keeps logits in 16 bits. Divided by a temperature so low that one is more than this, they are
# no numbers any more, and what is drawn from them is the first token, <unk>.
LARGEST = 65504.0
UNKNOWN = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a request wants its tokens chosen; every default is neutral.

    temperature > 0; top_k >= 0 (0 keeps all); top_p and typical_p in (0, 1], min_p in [0, 1];
    repetition_penalty > 0; frequency_penalty and presence_penalty in [-2, 2]; seed in [0, 2**64).

    Attributes:
        sample: Draw from the distribution; otherwise the likeliest token is taken.
        openai: frequency_penalty as OpenAI defines it, instead of TGI's own.
        raw_top: Tell the likeliest tokens by the logits as they come.
    """

    sample: bool = False
    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    openai: bool = False
    raw_top: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token.

    Attributes:
        logprob: Its natural logarithm of probability after all penalties and warpers.
        top: The likeliest (token, logprob) pairs, most likely first; what the warpers dropped is
            left out, so there may be fewer than asked for, and ties may make them more.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Chooser:
    """Chooses the tokens of one request, one after the other; it keeps count of them.

    Args:
        prompt: The token numbers of the prompt.
        vocabulary: The length of a row of logits.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int) -> None:
        self._sampling = sampling
        self._draw = np.random.Generator(np.random.PCG64(sampling.seed))
        self._length = len(prompt)
        penalised = (
            sampling.repetition_penalty != 1.0
            or sampling.frequency_penalty != 0.0
            or sampling.presence_penalty != 0.0
        )
        self._output: Floats | None = np.zeros(vocabulary) if penalised else None
        inside = np.asarray(prompt, dtype=np.intp)
        inside = inside[inside < vocabulary]
        self._prompt = np.bincount(inside, minlength=vocabulary) if penalised else None

    def choose(self, logits: NDArray[np.floating[Any]], top: int = 0) -> Choice:
        """The next token from a row of logits [vocabulary].

        Raises:
            ArithmeticError: When the row holds no finite maximum: the model is broken.
        """
        row = logits.astype(np.float64)
        if self._output is not None and self._prompt is not None:
            row = penalise(row, self._sampling, self._prompt, self._output, self._length)
        tokens, scores = warp(row, self._sampling)
        highest = scores.max()
        if not np.isfinite(highest):
            raise ArithmeticError("The model gave logits that are not finite numbers.")
        if self._sampling.sample and abs(highest) > LARGEST:
            return Choice(UNKNOWN, np.nan)
        weights = np.exp(scores - highest)
        if self._sampling.sample:
            ladder = np.cumsum(weights)
            total = ladder[-1]
            place = int(np.searchsorted(ladder, self._draw.random() * total, side="right"))
            place = min(place, len(scores) - 1)
        else:
            total = weights.sum()
            place = int(scores.argmax())
        normaliser = highest + np.log(total)
        token = place if tokens is None else int(tokens[place])
        likeliest: tuple[tuple[int, float], ...] = ()
        if top and self._sampling.raw_top:
            raw = logits.astype(np.float64)
            likeliest = _top(None, raw, top, raw.max() + np.log(np.exp(raw - raw.max()).sum()))
        elif top:
            likeliest = _top(tokens, scores, top, normaliser)
        if self._output is not None:
            self._output[token] += 1
        self._length += 1
        return Choice(token, float(scores[place] - normaliser), likeliest)


def penalise(
    row: Floats, sampling: Sampling, prompt: NDArray[np.intp], output: Floats, length: int
) -> Floats:
    """The row with the three penalties applied (in place).

    Repetition is Keskar et al. 2019 (CTRL), frequency and presence OpenAI's formula ``logit - count
    * frequency - [count > 0] * presence``. TGI 3.3.7 has instead ``logit - frequency * count /
    length`` over prompt and output, and no presence_penalty.

    Args:
        row: Logits [vocabulary].
        sampling: The penalties.
        prompt: How often each token stands in the prompt [vocabulary].
        output: How often it stands in what was written [vocabulary].
        length: Tokens of prompt and output together, at least 1.
    """
    if sampling.repetition_penalty != 1.0:
        seen = np.flatnonzero(prompt + output)
        values = row[seen]
        factor = sampling.repetition_penalty
        row[seen] = np.where(values < 0, values * factor, values / factor)
    if sampling.frequency_penalty:
        counts = output if sampling.openai else (prompt + output) / max(length, 1)
        row -= counts * sampling.frequency_penalty
    if sampling.presence_penalty:
        row -= (output > 0) * sampling.presence_penalty
    return row


def warp(row: Floats, sampling: Sampling) -> tuple[Indices | None, Floats]:
    """Temperature and the filters: the tokens that are left, ascending, and their scores.

    The tokens are ``None`` when none was dropped. At least one token is always left. Tokens of
    exactly the score at a filter's edge stay together where transformers keeps them together
    (top_k, typical_p, min_p).
    """
    tokens: Indices | None = None
    scores = row if sampling.temperature == 1.0 else row / sampling.temperature
    if 0 < sampling.top_k < len(scores):
        edge = np.partition(scores, -sampling.top_k)[-sampling.top_k]
        tokens, scores = _keep(tokens, scores, np.flatnonzero(scores >= edge))
    if sampling.top_p < 1.0:
        tokens, scores = _keep(tokens, scores, _nucleus(scores, sampling.top_p))
    if sampling.typical_p < 1.0:
        tokens, scores = _keep(tokens, scores, _typical(scores, sampling.typical_p))
    if sampling.min_p > 0.0:
        edge = scores.max() + np.log(sampling.min_p)
        tokens, scores = _keep(tokens, scores, np.flatnonzero(scores >= edge))
    return tokens, scores


def _keep(tokens: Indices | None, scores: Floats, kept: Indices) -> tuple[Indices, Floats]:
    if len(kept) == 0:  # only where nothing compares, with NaN: the caller refuses such scores
        kept = np.arange(1)
    return (kept if tokens is None else tokens[kept]), scores[kept]


def _nucleus(scores: Floats, mass: float) -> Indices:
    """The smallest set of likeliest tokens whose probabilities reach the mass (Holtzman 2020)."""
    weights = np.exp(scores - scores.max())
    wanted = mass * weights.sum()
    size, guess = len(scores), FIRST_GUESS
    while True:
        if guess < size:
            candidates = np.flatnonzero(scores >= np.partition(scores, -guess)[-guess])
        else:
            candidates = np.arange(size)
        order = candidates[np.argsort(-scores[candidates], kind="stable")]
        ladder = np.cumsum(weights[order])
        if guess >= size or (len(ladder) and ladder[-1] >= wanted):
            return np.sort(order[: int(np.searchsorted(ladder, wanted, side="left")) + 1])
        guess *= 8


def _typical(scores: Floats, mass: float) -> Indices:
    """Tokens whose surprise lies nearest to the entropy, up to the mass (Meister et al. 2023)."""
    highest = scores.max()
    logprobs = scores - highest - np.log(np.exp(scores - highest).sum())
    probabilities = np.exp(logprobs)
    finite = probabilities > 0
    entropy = -(logprobs[finite] * probabilities[finite]).sum()
    distance = np.abs(-logprobs - entropy)
    order = np.argsort(distance, kind="stable")
    last = int((np.cumsum(probabilities[order]) < mass).sum())
    return np.flatnonzero(distance <= distance[order[min(last, len(order) - 1)]])


def _top(
    tokens: Indices | None, scores: Floats, count: int, normaliser: float
) -> tuple[tuple[int, float], ...]:
    if count < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    else:
        places = np.arange(len(scores))
    places = places[np.isfinite(scores[places])]
    places = places[np.argsort(-scores[places], kind="stable")]
    names = places if tokens is None else tokens[places]
    return tuple(zip(names.tolist(), (scores[places] - normaliser).tolist(), strict=True))
