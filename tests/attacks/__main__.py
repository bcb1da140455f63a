"""`make attacks`: attack a playground with what fell once, and see whether it holds.

    python -m tests.attacks [--only 1,5,12]

Each attack has a server of its own. Prints a table: what was answered, how long another's stream
stood still while it went on and before, what memory it took. Ends with status 1 where something did
not hold. Linux only.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from tests.attacks import engines, rows
from tests.attacks.probe import Row, Seen, judged, measured
from tests.bench.processes import upstream

ROWS: Final = sorted(rows.ROWS, key=lambda row: row.number)
assert engines  # whose rows are among them
_HEAD: Final = """
| # | what was sent | answered | took, s | longest gap (before), ms | MB before → peak | held |
|--:|---|---|--:|--:|--:|---|"""


def line(row: Row, seen: Seen) -> str:
    """A row of the table."""
    sent = " ".join((row.send.__doc__ or "").split()).rstrip(".")
    answers = ", ".join(f"{each} × {count}" for each, count in sorted(seen.answers.items()))
    faults = judged(row, seen)
    held = "**no**: " + "; ".join(faults) if faults else "; ".join(["yes", *seen.notes])
    cells = [
        str(row.number),
        sent,
        answers,
        f"{seen.seconds:.1f}",
        f"{1000 * seen.gap:.0f} ({1000 * seen.control:.0f})",
        f"{seen.before:.0f} → {seen.peak:.0f}",
        held,
    ]
    return f"| {' | '.join(each.replace('|', '&#124;') for each in cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--only", default="", help="numbers with commas between them")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        print("The attacks read memory as Linux gives it.", file=sys.stderr)
        return 1
    only = {int(each) for each in options.only.split(",") if each}
    if unknown := only - {row.number for row in ROWS}:
        parser.error(f"there is no attack {min(unknown)}")
    print(_HEAD, flush=True)
    fell = False
    with upstream() as engine:
        for row in ROWS:
            if not only or row.number in only:
                seen = asyncio.run(measured(row, engine.url))
                print(line(row, seen), flush=True)
                fell |= bool(judged(row, seen))
    return fell


if __name__ == "__main__":
    sys.exit(main())
