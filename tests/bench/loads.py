"""What is measured with streams: the table, bursts, comparisons, long conversations."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from tests.bench import processes
from tests.bench.clients import Load
from tests.bench.processes import Watch
from tests.bench.upstream import RATE
from tests.servers import Server

Kind = Literal["direct", "ours", "naive"]
Result = dict[str, Any]

# So many times the ideal may a load take before what is not complete counts as failed.
_PATIENCE: Final = 8.0
# With a marker for each, 100 turns of these take 7,705 of the 8,192 tokens of the context.
_WORDS: Final = 76


@dataclass(frozen=True, slots=True)
class Servers:
    """What is loaded: the paced TGI, and in front of it the playground and the naive app."""

    direct: Server
    ours: Server
    naive: Server
    tokens: int

    def load(self, kind: Kind, streams: int, **options: Any) -> Result:
        """The figures of one load, and what the server used for it."""
        server: Server = getattr(self, kind)
        load = Load(kind, server.url, streams, **{"tokens": self.tokens, **options})
        ideal = (load.tokens - 1) / RATE
        load = replace(load, deadline=streams * load.spread + max(20.0, _PATIENCE * ideal))
        if kind == "naive":
            clear, answer = processes.naive_functions(server.url)
            load = replace(load, clear=clear, fn_index=answer)
        with Watch(server.process.pid) as watch:
            outcome = processes.read(load)
        return {
            "kind": kind,
            "streams": streams,
            **asdict(outcome),
            "cpu_us": 1e6 * watch.used.cpu / outcome.tokens if outcome.tokens else math.nan,
            "memory_mb": watch.used.peak,
            "of_ideal": outcome.duration[1] / ideal,
        }

    def warm(self) -> None:
        """A first answer from each, which is not counted."""
        for kind in get_args(Kind):
            self.load(kind, 3, tokens=20)


def table(servers: Servers, counts: Sequence[int], naive_counts: Sequence[int]) -> list[Result]:
    """Every number of streams: straight from the engine, through the playground, through naive."""
    rows = []
    for streams in counts:
        kinds: tuple[Kind, ...] = ("direct", "ours", "naive")
        for kind in kinds if streams in naive_counts else kinds[:2]:
            rows.append(servers.load(kind, streams))
            show(rows[-1])
    return rows


def bursts(servers: Servers, counts: Sequence[int]) -> list[Result]:
    """All readers arriving in the same instant."""
    rows = []
    for streams in counts:
        for kind in ("direct", "ours"):
            rows.append(servers.load(kind, streams, spread=0.0))
            show(rows[-1], "burst")
    return rows


def comparison(servers: Servers) -> list[Result]:
    """One reader with one answer, and one with four in the same stream."""
    rows = [{**servers.load("ours", 1, panes=panes), "panes": panes} for panes in (1, 4)]
    for row in rows:
        show(row, f"{row['panes']} panes")
    return rows


def conversations(servers: Servers, turns: Sequence[int]) -> list[Result]:
    """Ten readers, each with a conversation of so many turns behind it."""
    rows = []
    for number in turns:
        for kind in ("direct", "ours"):
            row = servers.load(kind, 10, turns=number, words=_WORDS, spread=0.1)
            rows.append({**row, "turns": number})
            show(row, f"{number} turns")
    return rows


def show(row: Result, what: str = "") -> None:
    """A line for whoever waits."""
    latency = " / ".join(f"{each:.1f}" for each in row["latency"])
    print(
        f"  {row['kind']:6} {row['streams']:3} {what:10} latency {latency} ms,"
        f" first {row['first'][0]:.1f} / {row['first'][1]:.1f} ms, {row['cpu_us']:.0f} µs/token,"
        f" {row['memory_mb']:.0f} MB, {row['complete']} complete",
        *row["reasons"],
        flush=True,
    )
