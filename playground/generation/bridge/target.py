"""What to do with a token that an engine has drawn: accept it, draw anew, or write another.

p is what the engine draws from, q what the sampler asks for: p with the penalties of the tokens
that the answer holds, then top_k, top_p and min_p. Two rules give q exactly (p = 0 nowhere that q
is not):

- Rejection: accept x with q(x) / p(x) as a share of its maximum, else draw anew from p. It needs no
  more of q than this ratio up to a factor, so what the engine does not show does no harm.
- Speculative sampling (Leviathan et al., arXiv 2211.17192): accept x with min(1, q(x) / p(x)), else
  write one drawn from (q - p)+. It needs fewer new draws, and the sum that q is divided by.

Which one is taken depends on what is shown of p alone, never on x. Probabilities in, a decision
out: no I/O here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from playground.engines.base import Candidate, Step

# An unknown share of q's sum up to which speculative sampling may be taken, as an error of a step.
_UNKNOWN: Final = 0.002
# How much rarer it must make a new draw: writing a token by its text has to be checked.
_RARER: Final = 0.75
# Sums of float32 logarithms.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a token.

    Attributes:
        way: "write" is to write `token` in its place.
        error: The most by which the choice at this place is off, as total variation distance.
        kept_error: The same where the engine's own token is taken whatever the verdict.
    """

    way: Literal["accept", "redraw", "write"]
    error: float
    kept_error: float
    token: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What is applied here to an engine's tokens; a neutral value has no effect.

    Attributes:
        temperature: By which the engine has divided, 0 where it takes the likeliest token.
    """

    temperature: float
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def judge(self, step: Step, counts: Mapping[int, int], draw: Random) -> Verdict:
        """The verdict on a token.

        Args:
            counts: How often each token stands in the answer before it.
        """
        if self.temperature == 0:
            return self._greedy(step, counts)
        seen = _View(self, step, counts)
        if seen.plain:
            share = seen.ratio(step) / seen.highest
            way: Literal["accept", "redraw"] = "accept" if draw.random() < share else "redraw"
            return Verdict(way, seen.error, seen.distance)
        if draw.random() * math.exp(step.logprob) < seen.q(step):
            return Verdict("accept", seen.error, seen.distance)
        return Verdict("write", seen.error, seen.distance, seen.residual(draw))

    def log_probabilities(self, step: Step, counts: Mapping[int, int]) -> dict[int, float]:
        """What is asked for at a place, of the tokens that are shown and left."""
        if self.temperature == 0:
            return {each.id: each.logprob for each in step.likeliest}
        return _View(self, step, counts).log_probabilities()

    def shift(self, count: int) -> float:
        """The penalty of a token that was written so often, in logits."""
        return self.frequency_penalty * count + (self.presence_penalty if count else 0.0)

    def _greedy(self, step: Step, counts: Mapping[int, int]) -> Verdict:
        """The likeliest token after the penalties; its log-probability is of temperature 1."""
        scores = {each.id: each.logprob - self.shift(counts.get(each.id, 0)) for each in _top(step)}
        best = max(_top(step), key=lambda each: scores[each.id])
        unseen = min(each.logprob for each in _top(step)) + max(
            (-self.shift(count) for token, count in counts.items() if token not in scores),
            default=0.0,
        )
        error = float(max(unseen, scores[best.id]) > scores[best.id])
        if scores[step.id] >= scores[best.id]:
            return Verdict("accept", error, error)
        return Verdict("write", error, 1.0, best)


class _View:
    """What is shown of a place: the likeliest tokens, and the share of all others.

    Attributes:
        plain: Whether rejection is taken.
        highest: The most that q may be as a multiple of p, before it is divided by its sum.
        error: Of what is drawn by the rule taken.
        distance: Between p and q, at most.
    """

    def __init__(self, target: Target, step: Step, counts: Mapping[int, int]) -> None:
        top = _top(step)
        self._target, self._counts, self._top = target, counts, top
        self._p = [math.exp(each.logprob) for each in top]
        unseen = max(0.0, 1.0 - sum(self._p))
        if unseen < _ROUNDING:
            unseen = 0.0
        inside = {each.id for each in top}
        away = [self._factor(count) for token, count in counts.items() if token not in inside]
        low, high = min([1.0, *away]), max([1.0, *away])
        factors = [self._factor(counts.get(each.id, 0)) for each in top]
        weights = [p * c for p, c in zip(self._p, factors, strict=True)]
        # No token that is not shown has more than the last one shown.
        most = min(self._p) if unseen else 0.0
        penalised = min(unseen, most * len(away))
        rest = [unseen - penalised + penalised * low, unseen - penalised + penalised * high]
        self._floor, self._kept, cut = self._cut(weights, most * high, unseen, rest)
        self._open = unseen > 0 and self._floor < most * high
        seen = sum(w for w, kept in zip(weights, self._kept, strict=True) if kept)
        if not self._open:
            rest = [0.0, 0.0]
        elif self._floor > 0:
            rest = [0.0, rest[1]]  # none of them may be left
        dropped = unseen if self._open and self._floor > 0 else 0.0
        total = seen + max(rest[0], 0.0)
        unknown = (rest[1] - rest[0]) / total
        self._sum = seen + sum(rest) / 2
        self.highest = max([c for c, kept in zip(factors, self._kept, strict=True) if kept])
        if self._open:
            self.highest = max(self.highest, high)
        self._q = [
            w / self._sum if kept else 0.0 for w, kept in zip(weights, self._kept, strict=True)
        ]
        gains = [max(0.0, q - p) for q, p in zip(self._q, self._p, strict=True)]
        outside = max(0.0, max(rest) / self._sum - unseen) if self._open else 0.0
        # Of the tokens that are not shown none can be written: (q - p)+ of theirs is left out.
        speculative = unknown + outside
        anew = self.highest / self._sum - 1
        self._gains = gains
        self.distance = min(1.0, sum(gains) + outside + unknown + cut + dropped)
        few = sum(gains) + outside < _RARER * anew
        self.plain = not (few and speculative <= _UNKNOWN and sum(gains) > 0)
        self.error = min(1.0, cut if self.plain else cut + speculative)

    def ratio(self, step: Step) -> float:
        """What q of the engine's token is as a multiple of p, before it is divided by its sum."""
        factor = self._factor(self._counts.get(step.id, 0))
        for each, kept in zip(self._top, self._kept, strict=True):
            if each.id == step.id:
                return factor if kept else 0.0
        return factor if self._open and math.exp(step.logprob) * factor >= self._floor else 0.0

    def q(self, step: Step) -> float:
        """How likely the engine's token is to be, by what is shown."""
        return self.ratio(step) * math.exp(step.logprob) / self._sum

    def log_probabilities(self) -> dict[int, float]:
        """Q of those that are shown, without those that are not left."""
        return {each.id: math.log(q) for each, q in zip(self._top, self._q, strict=True) if q > 0}

    def residual(self, draw: Random) -> Candidate:
        """One of those that the engine draws too seldom."""
        return draw.choices(self._top, self._gains)[0]

    def _factor(self, count: int) -> float:
        return math.exp(-self._target.shift(count) / self._target.temperature)

    def _cut(
        self, weights: list[float], most: float, unseen: float, rest: list[float]
    ) -> tuple[float, list[bool], float]:
        """What top_k, top_p and min_p leave.

        Returns:
            The least weight of a token that is left, which of those shown are, and the most that
            cannot be told, as a share of all.
        """
        target, error = self._target, 0.0
        order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
        ladder = [weights[each] for each in order]
        # Below this a token that is not shown may stand between two that are.
        sure = sum(weight >= most for weight in ladder)
        floor, left, total = 0.0, len(ladder), sum(ladder)
        if target.top_k:
            last = min(target.top_k, len(ladder))
            floor = ladder[last - 1]
            if target.top_k > sure and unseen:
                # What is kept too much weighs no more than what is not shown.
                error = min(1.0, rest[1] / sum(ladder[:last]))
            left = sum(weight >= floor for weight in ladder)
        closed = not unseen or floor >= most > 0
        if target.top_p < 1:
            kept = sum(ladder[:left])
            ends = [kept] * 2 if closed else [kept + each for each in rest]
            places = [_reached(ladder[:left], target.top_p * (end - _ROUNDING)) for end in ends]
            if places[1] < sure or closed:
                left = min(places[1] + 1, left)
                floor = max(floor, ladder[left - 1])
                closed = True
                if places[0] != places[1]:
                    error += sum(ladder[places[0] + 1 : left]) / sum(ladder[:left])
            else:
                error += 1 - target.top_p
            # An error weighs the more the less is left.
            error = min(1.0, error / target.top_p)
        if target.min_p:
            floor = max(floor, ladder[0] * target.min_p * (1 - _ROUNDING))
            kept = sum(weight for weight in ladder if weight >= floor)
            # One that is not shown is never the likeliest where the likeliest shown is sure.
            whole = total + max(rest[1], 0.0)
            error = min(1.0, error * whole / kept) if sure or not unseen else 1.0
        if closed and unseen:
            floor = max(floor, most)
        chosen = set(order[:left])
        kept_ones = [each in chosen and weights[each] >= floor for each in range(len(weights))]
        return floor, kept_ones, error


def _top(step: Step) -> tuple[Candidate, ...]:
    """The likeliest tokens, the engine's own one at least."""
    return step.likeliest or (Candidate(step.id, step.text, step.logprob, step.special),)


def _reached(ladder: list[float], mass: float) -> int:
    """Which one, from 0, is the first that brings the sum to this mass; one more if none does."""
    total = 0.0
    for place, weight in enumerate(ladder):
        total += weight
        if total >= mass:
            return place
    return len(ladder)
