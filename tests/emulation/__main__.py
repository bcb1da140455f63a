"""Hold emulated answers against native ones: `make emulation`, `SAMPLES=2000` for a shorter run.

    python -m tests.emulation [--samples 20000] [--view 50] [--only PART …] [--out FILE]

Prints each table as soon as it is there, and that of the choices as they go on; writes them to a
file. It ends with 1 where something is not as it must be.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.emulation.report import Report
from tests.emulation.run import PARTS, Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulation", description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000, help="answers of a case")
    parser.add_argument("--view", type=int, default=50, help="likely tokens that an engine tells")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=Path("emulation.md"))
    options = parser.parse_args(arguments)
    title = f"{options.samples:,} samples a case, a view of {options.view} tokens"
    report = Report(options.out, f"{title}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    # So that nothing that was started outlives this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        run = Run(options.samples, options.view, report, stack)
        for part in options.only:
            getattr(run, part)()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
