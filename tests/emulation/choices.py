"""First tokens and continuations of three: emulated, native, and as they are computed exactly."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.emulation.answers import Answer, opened, write
from tests.emulation.cases import PROMPTS, Case
from tests.emulation.exact import Ids, Model
from tests.emulation.statistics import EXPECTED, Cells, Fit, Pair, between, fit

LENGTH: Final = 3


@dataclass(slots=True)
class Tally:
    """How often each answer came, by the prompt it stands behind, and what they took.

    Attributes:
        bound: The sum of what the answers say that their tokens may be off, all tokens of each.
    """

    counts: Counter[tuple[int, Ids]] = field(default_factory=Counter)
    restarts: int = 0
    bound: float = 0.0

    def add(self, place: int, answer: Answer) -> None:
        """Count an answer behind a prompt."""
        self.counts[place, answer.ids] += 1
        if answer.emulation:
            self.restarts += answer.emulation.restarts
            self.bound += answer.emulation.bound * len(answer.ids)

    def join(self, other: "Tally") -> None:
        """Count what another one has."""
        self.counts += other.counts
        self.restarts += other.restarts
        self.bound += other.bound

    def starts(self, length: int) -> Counter[tuple[int, Ids]]:
        """How often each beginning of so many tokens came."""
        found: Counter[tuple[int, Ids]] = Counter()
        for (place, ids), count in self.counts.items():
            found[place, ids[:length]] += count
        return found

    @property
    def samples(self) -> int:
        return self.counts.total()


async def draw(url: str, case: Case, first: int, each: int, way: str) -> Tally:
    """So many answers behind each prompt, by seeds from the first one on.

    way: "emulated", "seed" for that with a reused seed, "native", or "without" for what an engine
    makes of the case that lacks its parameters.
    """
    tally = Tally()
    async with opened(url, first_seed=way == "seed") as writer:
        for place, prompt in enumerate(PROMPTS):
            if way in ("emulated", "seed"):
                seeds = range(first + place * each, first + place * each + each)
                answers = await write(writer.emulated, prompt, case.sampler, LENGTH, seeds)
            else:
                answers = await write(writer.both, prompt, case.sampler, LENGTH, range(each // 2))
            for answer in answers:
                tally.add(place, answer)
    return tally


@dataclass(frozen=True, slots=True)
class Choice:
    """Beginnings of one length.

    Attributes:
        cells: Outcomes that are told apart.
        exact: The samples beside the distribution as it is computed.
        native: Those that an engine drew of which all is native, beside the same.
        pair: The samples beside these.
    """

    cells: int
    exact: Fit
    native: Fit
    pair: Pair


def compare(model: Model, case: Case, ours: Tally, native: Tally) -> list[Choice]:
    """First tokens, and continuations of three, as many of both."""
    draw = np.random.default_rng(1)
    choices = []
    for length in (1, LENGTH):
        cells = Cells(_likely(model, case, length, min(ours.samples, native.samples)))
        found = [cells.count(tally.starts(length)) for tally in (ours, native)]
        choices.append(
            Choice(
                len(cells.p),
                fit(cells, found[0], draw),
                fit(cells, found[1], draw),
                between(found[0], found[1], draw),
            )
        )
    return choices


def _likely(model: Model, case: Case, length: int, samples: int) -> Mapping[tuple[int, Ids], float]:
    """The outcomes that are likely enough to be told apart."""
    least = EXPECTED / samples
    return {
        (place, ids): p / len(PROMPTS)
        for place, prompt in enumerate(PROMPTS)
        for ids, p in model.continuations(prompt, case.sampler, length, least).items()
        if p / len(PROMPTS) >= least
    }
