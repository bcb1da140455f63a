"""What the bundled model's next tokens are to be drawn from, computed without a server."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from playground.domain.samplers import Sampler
from tests.stand_in.__main__ import MODEL
from tests.stand_in.runtime import Runtime
from tests.stand_in.sampling import Sampling, penalise, warp
from tests.stand_in.text import Text

END = 2  # the token that ends an answer

Floats = NDArray[np.float64]
Ids = tuple[int, ...]
# How many tokens of an answer a stream began behind, and its prompt with them.
Begun = tuple[int, str]


def sampling_of(sampler: Sampler) -> Sampling:
    """A sampler as the stand-in applies it where every parameter is native."""
    return Sampling(sample=True, openai=True, **sampler.set_values())  # type: ignore[arg-type]


class Model:
    """The bundled model, and its distributions under a sampler.

    endless: whether it never writes the token that ends an answer.
    """

    def __init__(self, *, endless: bool = False) -> None:
        self._endless = endless
        self.text = Text.load(MODEL)
        self._runtime = Runtime(MODEL / "model.onnx")

    def continuations(
        self, prompt: str, sampler: Sampler, length: int, least: float
    ) -> dict[Ids, float]:
        """All continuations of so many tokens, or fewer at an answer's end, that are so likely."""
        ids = self.text.encode(prompt)
        logits, past = self._runtime.extend(self._runtime.empty(), ids)
        found: dict[Ids, float] = {}
        todo: list[tuple[Ids, float, NDArray[Any], list[ort.OrtValue]]] = [
            ((), 1.0, logits[-1], past)
        ]
        while todo:
            before, likely, row, past = todo.pop()
            q = self._next(row, sampling_of(sampler), ids, before)
            for token in np.flatnonzero(q * likely >= least).tolist():
                after = (*before, token)
                if token == END or len(after) == length:
                    found[after] = likely * float(q[token])
                else:
                    rows, held = self._runtime.extend(past, [token])
                    todo.append((after, likely * float(q[token]), rows[-1], held))
        return found

    def steps(
        self,
        prompt: str,
        answer: Ids,
        sampler: Sampler,
        begun: Sequence[Begun] = (),
        forgotten: int = 0,
    ) -> Iterator[Floats]:
        """At each token of an answer, what it is to be drawn from.

        begun: the streams that it was written by. An engine reads a text behind which it goes on
        as tokens of its own choice, and draws behind these. forgotten: how many of its first tokens
        do not count for those behind them.
        """
        sampling = sampling_of(sampler)
        read: list[int] = []
        past = self._runtime.empty()
        row: NDArray[Any] = np.zeros(0)
        streams = [(0, prompt), *begun]
        for place in range(len(answer)):
            start, text = next(each for each in reversed(streams) if each[0] <= place)
            context = [*self._encoded(text), *answer[start:place]]
            if context[: len(read)] != read or len(context) == len(read):
                read, past = [], self._runtime.empty()
            logits, past = self._runtime.extend(past, context[len(read) :])
            read, row = context, logits[-1]
            known = answer[forgotten if place >= forgotten else 0 : place]
            yield self._next(row, sampling, self._encoded(prompt), known)

    @lru_cache(maxsize=20_000)  # noqa: B019  (a model lasts as long as the program)
    def _encoded(self, text: str) -> list[int]:
        return self.text.encode(text)

    def _next(
        self, row: NDArray[Any], sampling: Sampling, prompt: Sequence[int], before: Ids
    ) -> Floats:
        size = len(row)
        counts = np.zeros(size)
        for token, count in Counter(before).items():
            counts[token] = count
        read = np.bincount(np.asarray(prompt), minlength=size)
        length = len(prompt) + len(before)
        logits = row.astype(np.float64)
        if self._endless:
            logits[END] = -np.inf
        scores = penalise(logits, sampling, read, counts, length)
        tokens, kept = warp(scores, sampling)
        q = np.zeros(size)
        weights = np.exp(kept - kept.max())
        q[slice(None) if tokens is None else tokens] = weights / weights.sum()
        return q
