"""Numbers in sentences."""

import pytest

from playground.domain.amounts import amount


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 minutes"), (1, "1 minute"), (2, "2 minutes"), (1024, "1,024 minutes")],
)
def test_one_is_one_and_all_others_are_many(number: int, said: str) -> None:
    assert amount(number, "minute") == said
