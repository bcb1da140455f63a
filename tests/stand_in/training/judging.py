"""Which intent an answer belongs to, and how readable a text is: words compared, no model involved.

An answer is put to the intent whose own answers it shares most words and pairs of words with
(cosine of tf-idf vectors). Nothing of it was trained, so it cannot flatter the model.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.stand_in.training.dialogues import exchange
from tests.stand_in.training.intents import Corpus

_WORD = re.compile(r"[\w']+|[^\w\s]")


def words(text: str) -> list[str]:
    """The words and signs of a text, in lower case."""
    return _WORD.findall(text.lower())


def terms(text: str) -> list[str]:
    """The words and the pairs of neighbouring words."""
    single = words(text)
    return single + [f"{a} {b}" for a, b in pairwise(single)]


class Judge:
    """Knows samples of every intent's answers.

    Intents with the very same answers (an example asked for, and the same example as a follow-up)
    count as one.
    """

    def __init__(self, corpus: Corpus, samples: int = 12, seed: int = 0) -> None:
        rng = random.Random(seed)
        labels: dict[object, str] = {}
        self.label = {i.id: labels.setdefault(i.say, i.id) for i in corpus.intents.values()}
        self.names: list[str] = []
        drawn: list[Counter[str]] = []
        for intent in corpus.intents.values():
            if self.label[intent.id] == intent.id:
                for _ in range(samples):
                    answer = exchange(corpus, intent, rng, {}).answer
                    drawn.append(Counter(terms(answer)))
                    self.names.append(intent.id)
        found = Counter(term for sample in drawn for term in sample)
        self.places = {term: place for place, term in enumerate(found)}
        self.weights = np.array([math.log(len(drawn) / n) + 0.1 for n in found.values()])
        self.rows = [self._vector(sample) for sample in drawn]

    def _vector(self, sample: Counter[str]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        known = {self.places[t]: math.sqrt(n) for t, n in sample.items() if t in self.places}
        places = np.fromiter(known, np.intp, len(known))
        values = np.fromiter(known.values(), np.float64, len(known)) * self.weights[places]
        length = float(np.linalg.norm(values))
        return places, values / length if length else values

    def intent_of(self, answer: str) -> str:
        """The id of the nearest intent."""
        places, values = self._vector(Counter(terms(answer)))
        full = np.zeros(len(self.places))
        full[places] = values
        likeness = [float(full[p] @ v) for p, v in self.rows]
        return self.names[int(np.argmax(likeness))]


class Reader:
    """Knows which words follow which in the corpus, and so how much of a text reads like it."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.pairs: set[tuple[str, str]] = set()
        for text in texts:
            single = words(text)
            self.pairs.update(pairwise(single))

    def readable(self, text: str) -> float:
        """The share of neighbouring words that stand side by side in the corpus, 0 to 1."""
        single = words(text)
        pairs = list(pairwise(single))
        return sum(pair in self.pairs for pair in pairs) / max(1, len(pairs))


def repeated(items: Sequence[str]) -> float:
    """The share of items that have come before, 0 to 1."""
    return 1 - len(set(items)) / max(1, len(items))
