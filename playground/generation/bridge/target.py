"""What to do with a token that an engine has drawn: accept it, draw anew, or write another.

p is what the engine draws from, q what the sampler asks for: p with the penalties of the tokens
that the answer holds, then top_k, top_p and min_p. Two rules give q exactly (p = 0 nowhere that q
is not):

- Rejection: accept x with q(x) / p(x) as a share of its maximum, else draw anew from p. It needs no
  more of q than this ratio up to a factor, so what the engine does not show does no harm.
- Speculative sampling (Leviathan et al., arXiv 2211.17192): accept x with min(1, q(x) / p(x)), else
  write one drawn from (q - p)+. It needs fewer new draws, and the sum that q is divided by.

Which one is taken depends on what is shown of p alone, never on x. Where min_p leaves nothing of
the unlikely tokens anyway, the engine may leave them out itself (its top_k): p is narrow then, and
fewer tokens are drawn in vain. A place where min_p may leave more of them is drawn anew from all.
Probabilities in, a decision out: no I/O here.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, Literal

from playground.engines.base import Candidate, Step

# The error of a step up to which speculative sampling may be taken: at least this, and so much for
# each new draw that it saves. Behind a word that is nearly sure, and was written often, rejection
# would take dozens of these.
_UNKNOWN: Final = 0.002
_PRICE: Final = 0.01
# How much rarer it must make a new draw: writing a token by its text has to be checked.
_RARER: Final = 0.75
# Sums of float32 logarithms.
_ROUNDING: Final = 1e-6

# Exponents: up to the first one e to it is a number with which can be reckoned, the second is near
# the largest that is a number at all. A low temperature multiplies penalties a hundredfold.
_PLAIN: Final = 600.0
_LARGEST: Final = 700.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a token.

    Attributes:
        way: "write" is to write `token` in its place.
        error: The most by which the choice at this place is off, as total variation distance.
        kept_error: The same where the engine's own token is taken whatever the verdict.
        wide: Whether this place is to be drawn from all tokens.
    """

    way: Literal["accept", "redraw", "write"]
    error: float
    kept_error: float
    token: Candidate | None = None
    wide: bool = False


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

    def judge(
        self, step: Step, counts: Mapping[int, int], draw: Random, narrow: int = 0
    ) -> Verdict:
        """The verdict on a token.

        Args:
            counts: How often each token stands in the answer before it.
            narrow: How many of the likeliest tokens the engine draws from, 0 for all of them.
        """
        if self.temperature == 0:
            return self._greedy(step, counts)
        seen = _View(self, step, counts)
        wide = not seen.closed_by(narrow or len(seen.p))
        if narrow and wide:
            return Verdict("redraw", 0.0, 1.0, wide=True)
        if seen.plain:
            share = seen.ratio(step) / seen.highest
            way: Literal["accept", "redraw"] = "accept" if draw.random() < share else "redraw"
            return Verdict(way, seen.error, seen.distance, wide=wide)
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
        if scores.get(step.id, -math.inf) >= scores[best.id]:
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
        self.p = [math.exp(each.logprob) for each in top]
        likeliest = max(each.logprob - self._shift(counts.get(each.id, 0)) for each in top)
        # All weights are of one scale, any: of that one in which they are numbers.
        self._scale = likeliest if abs(likeliest) > _PLAIN else 0.0
        unseen = max(0.0, 1.0 - sum(self.p))
        if unseen < _ROUNDING:
            unseen = 0.0
        inside = {each.id for each in top}
        away = [self._factor(count) for token, count in counts.items() if token not in inside]
        low, high = min([1.0, *away]), max([1.0, *away])
        factors = [self._factor(counts.get(each.id, 0)) for each in top]
        if self._scale:
            weights = [self._weight(each) for each in top]
        else:
            weights = [p * c for p, c in zip(self.p, factors, strict=True)]
        self._high, self._unseen, self._edge = high, unseen, 0.0
        # No token that is not shown has more than the last one shown.
        most = min(self.p) if unseen else 0.0
        penalised = min(unseen, most * len(away))
        rest = [unseen - penalised + penalised * low, unseen - penalised + penalised * high]
        self._floor, self._kept, self._open, cut = self._cut(weights, most * high, unseen, rest)
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
        gains = [max(0.0, q - p) for q, p in zip(self._q, self.p, strict=True)]
        outside = max(0.0, max(rest) / self._sum - unseen) if self._open else 0.0
        # Of the tokens that are not shown none can be written: (q - p)+ of theirs is left out.
        speculative = unknown + outside
        anew = self.highest / self._sum - 1
        self._gains = gains
        self.distance = min(1.0, sum(gains) + outside + unknown + cut + dropped)
        corrected = sum(gains) + outside
        few = corrected < _RARER * anew and sum(gains) > 0
        self.plain = not (few and speculative <= max(_UNKNOWN, _PRICE * (anew - corrected)))
        self.error = min(1.0, cut if self.plain else cut + speculative)

    def closed_by(self, narrow: int) -> bool:
        """Whether nothing is left of the tokens behind so many of the likeliest."""
        if len(self.p) < narrow and not self._unseen:
            return True  # there are no others
        last = min(self.p)
        if len(self.p) < narrow:
            last = min(last, self._unseen / (narrow - len(self.p)))
        return self._edge > last * self._high

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

    def _shift(self, count: int) -> float:
        return self._target.shift(count) / self._target.temperature

    def _factor(self, count: int) -> float:
        return math.exp(min(_LARGEST, -self._shift(count) - self._scale))

    def _weight(self, token: Candidate) -> float:
        return math.exp(token.logprob - self._shift(self._counts.get(token.id, 0)) - self._scale)

    def _cut(
        self, weights: list[float], most: float, unseen: float, rest: list[float]
    ) -> tuple[float, list[bool], bool, float]:
        """What top_k, top_p and min_p leave.

        Each leaves the first so many of all tokens by weight. Those that are shown are surely the
        first ones down to `most`; where it ends below, what is not shown is left or dropped as a
        whole, by what can be said of the two.

        Returns:
            The least weight of a token that is left, which of those shown are, whether some that
            are not shown may be, and the most that cannot be told, as a share of all.
        """
        target = self._target
        order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
        ladder = [weights[each] for each in order]
        sums = list(accumulate(ladder, initial=0.0))
        sure = sum(weight >= most for weight in ladder) if unseen else len(ladder)
        beyond = len(ladder) + 1
        by_min, floor = beyond, ladder[0] * target.min_p * (1 - _ROUNDING)
        # What weighs less is left out whatever there is of it: top_p is a share of the whole.
        self._edge = floor if target.top_p == 1 else 0.0
        if 0 < target.top_k <= len(ladder):
            self._edge = max(self._edge, ladder[target.top_k - 1])
        if target.min_p and floor >= most:
            by_min = sum(weight >= floor for weight in ladder)
        left = [sums[-1] + each for each in rest]  # top_p is a share of this
        by_k = beyond
        if 0 < target.top_k <= sure:
            by_k = sum(weight >= ladder[target.top_k - 1] for weight in ladder)
            left = [sums[by_k]] * 2
        elif target.top_k and unseen:
            most_left = sums[sure] + (target.top_k - sure) * most
            left = [sums[min(target.top_k, len(ladder))], min(left[1], most_left)]
        # Each that min_p leaves weighs so much that there may be too few of them for top_k to cut.
        few = sum(weight >= floor for weight in ladder) + rest[1] / floor if floor else math.inf
        top_k = 0 if few <= target.top_k else target.top_k
        least, by_p = left[0] if top_k else math.inf, [beyond] * 2
        if target.top_p < 1:
            ends = [bisect_left(sums, target.top_p * (each - _ROUNDING)) for each in left]
            by_p = [max(end, 1) if end <= sure else beyond for end in ends]
            least = target.top_p * left[0]
        low, high = (min(by_k, each, by_min) for each in by_p)
        if high <= sure or not unseen:
            low, high = min(low, len(ladder)), min(high, len(ladder))
            chosen = set(order[:high])
            kept = [each in chosen for each in range(len(weights))]
            return ladder[high - 1], kept, False, 1 - sums[low] / sums[high]
        kept = [weight >= floor for weight in weights]
        if not sure:
            return floor, kept, True, float(target.min_p > 0 or least < math.inf)
        ours = sum(weight for weight in ladder if weight >= floor)
        with_all = max(0.0, 1 - least / (ours + rest[1]))
        more = (top_k - sure) * most if top_k else math.inf
        truth = sums[sure] + min(rest[1], more)
        if target.top_p < 1:
            truth = min(truth, target.top_p * left[1] + most)
        without = 1 - min(sums[min(low, sure)] / ours, sums[sure] / max(truth, ours))
        return floor, kept, with_all <= without, min(with_all, without)


def _top(step: Step) -> tuple[Candidate, ...]:
    """The likeliest tokens, the engine's own one at least."""
    return step.likeliest or (Candidate(step.id, step.text, step.logprob, step.special),)
