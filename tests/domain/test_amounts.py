"""Numbers in sentences."""

import pytest

from playground.domain.amounts import amount, duration, size


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 minutes"), (1, "1 minute"), (2, "2 minutes"), (1024, "1,024 minutes")],
)
def test_one_is_one_and_all_others_are_many(number: int, said: str) -> None:
    assert amount(number, "minute") == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (98_362_432, "98.4 MB"),
        (999_600_000, "1,000 MB"), (4_370_000_000, "4.37 GB"), (10**15, "1,000,000 GB"),
    ],
)  # fmt: skip
def test_bytes_are_said_in_millions(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (283, "4 min 43 s"), (3900, "1 h 5 min")],
)
def test_a_duration_is_said_in_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said
