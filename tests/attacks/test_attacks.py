"""The attacks themselves: that they run, and what they say of a server that falls."""

from dataclasses import replace

import pytest

from tests.attacks.__main__ import main
from tests.attacks.probe import Seen, judged, longest_gap, measured
from tests.attacks.rows import ROWS
from tests.bench.processes import upstream

HELD = Seen(answers={"413": 10}, seconds=1.0, gap=0.1, control=0.03, before=110.0, peak=120.0)
[VALUES] = [row for row in ROWS if row.number == 2]


def test_an_attack_is_a_line_of_the_table_and_the_status_says_whether_all_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["--only", "2"])
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("| 2 | no login: 3 × 1 MB of JSON with 249,000 values")
    assert "| 404 × 3, 413 × 3 |" in said
    # On a machine that does other things, too, another's stream may stand still.
    assert status == ("**no**" in said) == ("stood still" in said)


async def test_a_server_without_the_bound_does_not_hold() -> None:
    """One that takes bodies of 20 MB takes as many values as are sent here."""
    row = replace(VALUES, still=600.0, options={"settings": {"MAX_BODY_BYTES": "20000000"}})
    with upstream() as engine:
        seen = await measured(row, engine.url, control_s=0.0)
    assert "422" in seen.answers
    [fault] = judged(row, seen)
    assert fault.startswith("not answered with")


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (replace(HELD, gap=16.0), "another's stream stood still for 16.0 s, 0.8 at most"),
        (replace(HELD, peak=3300.0), "3190 MB more, 100 at most"),
        (replace(HELD, answers={"413": 9, "500": 1}), "answered with 500"),
        (replace(HELD, output="12:00 ERROR playground: what"), "in the log: 12:00 ERROR"),
        (replace(HELD, faults=["404 without a sentence"]), "404 without a sentence"),
    ],
)
def test_what_falls_is_told(seen: Seen, fault: str) -> None:
    assert judged(VALUES, HELD) == []
    [said] = judged(VALUES, seen)
    assert said.startswith(fault)


def test_the_longest_gap_is_that_of_a_stream_within_two_moments() -> None:
    arrivals = [0.0, 1.0, 2.0, 2.5, 6.0]
    assert longest_gap(arrivals, 0.5, 3.0) == 1.0
    assert longest_gap(arrivals, 2.1, 6.0) == 3.5
    assert longest_gap(arrivals, 2.6, 5.0) == 2.4, "a stream that gave nothing"
