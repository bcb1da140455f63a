"""The tables, and whether they are as they must be."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.emulation.cases import Case
from tests.emulation.choices import LENGTH, Choice, Tally
from tests.emulation.long_answers import Look
from tests.emulation.pace import Felt, Pace

# Of all p-values of a table together.
LEVEL: Final = 0.001
# What is said to be off by more than this is held against its bound alone: so many samples as are
# drawn show a difference that is small, and said.
_EXACT: Final = 1e-4


class Report:
    """A file of tables, printed as they come."""

    def __init__(self, path: Path, title: str) -> None:
        self._path, self._parts, self._wrong = path, [f"# Emulation: {title}"], list[str]()

    def choices(self, rows: Sequence[tuple[Case, Tally, list[Choice]]], *, last: bool) -> None:
        """First tokens and continuations; those that are not the last are printed only."""
        looks = 4 * len(rows)  # two lengths, each beside what is computed and what is native
        lines, wrong = [], []
        for case, ours, choices in rows:
            bound = ours.bound / ours.samples
            for length, choice in zip((1, LENGTH), choices, strict=True):
                lines.append(
                    (
                        case.name, length, f"{ours.samples:,}", choice.cells,
                        _p(choice.exact.p), _p(choice.pair.p), _p(choice.native.p),
                        f"{choice.exact.distance:.4f}",
                        f"{choice.exact.floor:.4f}",
                        f"{choice.pair.distance:.4f}", f"{choice.pair.floor:.4f}",
                        f"{bound if length == LENGTH else bound / LENGTH:.5f}",
                    )
                )  # fmt: skip
                allowed = bound + choice.exact.most
                if bound <= _EXACT and min(choice.exact.p, choice.pair.p) < LEVEL / looks:
                    wrong.append(f"{case.name}: {length} tokens do not fit")
                if choice.exact.distance > allowed:
                    wrong.append(f"{case.name}: {length} tokens are further off than is said")
        head = (
            "case", "tokens", "samples", "cells", "p beside exact", "p beside native",
            "p of native beside exact", "distance from exact", "its noise",
            "distance from native", "its noise", "bound said",
        )  # fmt: skip
        self._add("Next tokens and continuations", head, lines, keep=last)
        if last:
            self._wrong += wrong

    def controls(
        self, rows: Sequence[tuple[Case, Choice, Choice]], samples: int, reused: int
    ) -> None:
        """What must be seen to be wrong."""
        lines = []
        for case, without, seed in rows:
            lines.append(
                (
                    case.name,
                    *(_p(without.exact.p), f"{without.exact.distance:.3f}"),
                    f"{without.exact.floor:.3f}",
                    *(_p(seed.exact.p), f"{seed.exact.distance:.3f}", f"{seed.exact.floor:.3f}"),
                )
            )  # fmt: skip
            if without.exact.p > LEVEL:
                self._wrong.append(f"{case.name}: it is not seen that nothing is emulated")
        head = (
            "case", "p without emulation", "distance", "its noise", "p with a seed used again",
            "distance", "its noise",
        )  # fmt: skip
        self._add(f"Faults made on purpose ({samples:,} and {reused:,} continuations)", head, lines)
        if all(seed.exact.p > LEVEL for _, _, seed in rows):
            self._wrong.append("It is seen nowhere that seeds are used again")

    def long(
        self, rows: Sequence[tuple[str, list[Look]]], weaker: list[Look], whole: list[Look]
    ) -> None:
        """Answers looked at token by token."""
        lost = whole.pop()
        named: list[tuple[str, Look]] = [(name, each) for name, [each] in rows]
        right = [
            *named,
            ("presence 1, 1,500 tokens", whole[0]),
            ("its tokens behind 1,024", whole[1]),
        ]
        faults = [("presence 0.9 instead of 1", weaker[0]), ("counts lost at 1,024", lost)]
        lines = []
        for name, each in (*right, *faults):
            z = ", ".join(f"{look} {value:+.1f}" for look, value in each.z.items())
            lines.append((name, f"{each.tokens:,}", each.impossible, _p(each.wrong), z))
        head = ("answers", "tokens", "never to be drawn", "p", "deviations")
        self._add("Step by step beside the exact distribution", head, lines)
        for name, each in right:
            if each.wrong < LEVEL / len(right):
                self._wrong.append(f"{name}: its steps do not fit")
        self._wrong += [f"{n}: it is not seen" for n, each in faults if each.wrong > LEVEL]

    def pace(self, rows: Sequence[tuple[Case, Pace]]) -> None:
        """What it takes."""
        lines = [
            (
                case.name, f"{each.restarts:.1f}", f"{100 * each.accepted:.1f} %",
                f"{each.added_ms / 1000:.2f} s", f"{each.rate:.1f}", f"{each.native:.1f}",
                f"{each.bound:.5f}", f"{100 * each.reread:.1f} %", each.given_up,
                f"{each.cpu_us:.0f}", f"{each.plain_us:.0f}",
            )
            for case, each in rows
        ]  # fmt: skip
        head = (
            "case", "restarts in 300 tokens", "accepted", "added in 300 tokens", "tokens/s",
            "native", "bound said", "restarts that reread", "given up", "CPU µs a token", "native",
        )  # fmt: skip
        self._add("What it takes, at 40 tokens/s", head, lines)
        self._wrong += [f"{case.name} was given up" for case, each in rows if each.given_up > 1]

    def beside(self, rows: Sequence[tuple[str, Felt]]) -> None:
        """What others feel."""
        lines = [
            (
                name, f"{each.middle:.1f}", f"{each.late:.1f}", f"{each.worst:.0f}",
                f"{each.restarts:.1f}", f"{each.tokens:.0f}",
            )
            for name, each in rows
        ]  # fmt: skip
        head = ("beside", "median gap, ms", "95 %", "longest", "restarts/s", "tokens/s in all")
        self._add("Between the tokens of a plain reader, at 40 tokens/s", head, lines)

    def end(self) -> int:
        """Say what is wrong; the exit code."""
        for each in self._wrong:
            print(f"WRONG: {each}")
        return int(bool(self._wrong))

    def _add(
        self,
        title: str,
        head: Sequence[str],
        lines: Iterable[Sequence[object]],
        *,
        keep: bool = True,
    ) -> None:
        load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
        rows = [head, ["---"] * len(head), *lines]
        table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
        part = f"## {title}\n\n{table}\n\nLoad average: {load}.\n"
        print(part, flush=True)
        if keep:
            self._parts.append(part)
            self._path.write_text("\n\n".join(self._parts))


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.0e}"
