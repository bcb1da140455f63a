"""Measure the playground, beside the naive app and the bare engine: `make bench`, `QUICK=1`.

    python -m tests.bench [--quick] [--out bench-results]

Prints what it finds as it goes, and writes a table, the figures as JSON, and the curves as PNG.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.bench import life, loads, page, plots, processes, report
from tests.servers import ROOT


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: numbers of streams, messages of a conversation, repetitions."""

    streams: Sequence[int]
    naive: Sequence[int]
    bursts: Sequence[int]
    turns: Sequence[int]
    tokens: int
    stand_in: Sequence[int]
    seconds: float
    drops: int
    times: int


# The naive app needs 0.4 s of CPU for each stream: 200 of them would take it more than a minute.
FULL: Final = Size(
    streams=(1, 10, 50, 100, 200, 400),
    naive=(1, 10, 50, 100),
    bursts=(50, 100),
    turns=(0, 50, 100),
    tokens=300,
    stand_in=(1, 8, 32),
    seconds=4.0,
    drops=1000,
    times=5,
)
QUICK: Final = Size(
    streams=(10, 50),
    naive=(10,),
    bursts=(50,),
    turns=(100,),
    tokens=50,
    stand_in=(8,),
    seconds=1.0,
    drops=100,
    times=1,
)


def measure(size: Size) -> dict[str, Any]:
    """Everything, one thing after the other, on servers of its own."""
    results: dict[str, Any] = {"machine": machine(), "size": asdict(size)}
    begun = time.monotonic()
    with (
        processes.upstream() as upstream,
        processes.product(upstream.url) as ours,
        processes.naive(upstream.url, size.tokens) as naive,
    ):
        servers = loads.Servers(upstream, ours, naive, size.tokens)
        servers.warm()
        results["idle_ms"] = life.idle(ours, size.seconds)
        results["streams"] = loads.table(servers, size.streams, size.naive)
        results["bursts"] = loads.bursts(servers, size.bursts)
        results["comparison"] = loads.comparison(servers)
        results["conversations"] = loads.conversations(servers, size.turns)
        results["stops"] = life.stops(upstream, ours, 3 * size.times)
        results["page"] = page.page(upstream, ours, naive, size.tokens, size.times)
        results["drops"] = life.drops(upstream, ours, size.drops)
        results["starts"] = life.starts(upstream, (size.times + 1) // 2)
    results["stand_in"] = life.stand_in(size.stand_in, size.seconds)
    results["machine"]["load_after"] = os.getloadavg()
    results["seconds"] = time.monotonic() - begun
    return results


def machine() -> dict[str, Any]:
    """What it runs on, and how busy that was before."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "gradio": version("gradio"),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": os.getloadavg(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns the exit status: 0, or 1 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, in a minute")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", metavar="FOLDER")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        print("The bench reads CPU time and memory as Linux gives them.", file=sys.stderr)
        return 1
    results = measure(QUICK if options.quick else FULL)
    options.out.mkdir(parents=True, exist_ok=True)
    name = "quick" if options.quick else datetime.now(UTC).strftime("full-%Y%m%d-%H%M%S")
    text = report.markdown(results)
    (options.out / f"{name}.json").write_text(json.dumps(results, indent=1))
    (options.out / f"{name}.md").write_text(text)
    plots.draw(results, options.out / f"{name}.png")
    print(f"\n{text}\nWritten to {options.out}/{name}.md, .json and .png.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
