"""A small part of `make emulation`."""

from collections.abc import Iterator

import pytest

from tests.emulation.cases import CASES
from tests.emulation.choices import compare, draw
from tests.emulation.exact import Model
from tests.emulation.run import engine

ANSWERS = 80  # behind each prompt
CHANCE = 1e-4


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    with engine("--max-top-n-tokens", "20") as server:
        yield server.url


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


async def test_continuations_are_those_asked_for_and_would_not_be_without(
    stock: str, model: Model
) -> None:
    [case] = [each for each in CASES if each.name == "min_p 0.1, T 1.5"]
    emulated = await draw(stock, case, 0, ANSWERS, "emulated")
    without = await draw(stock, case, 0, 4 * ANSWERS, "without")
    for choice in compare(model, case, emulated, emulated):
        assert choice.exact.p > CHANCE
    assert compare(model, case, without, without)[-1].exact.p < 10 * CHANCE
    assert emulated.restarts > 0
