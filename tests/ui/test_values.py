"""What a browser reads in a field for a number, and what a step makes of it."""

import json
from dataclasses import asdict
from typing import Any

from playground.domain.samplers import BY_NAME
from tests.domain.test_blank import evaluated

APART = ["1,000", "1.000", "1 000", "1’000", "1_000", " 1000 "]
WHOLE = {"problem": "top_k must be a whole number from 0 to 2000."}
NUMBER = {"problem": "top_k must be a number from 0 to 2000, or empty for unset."}


def test_fields_read_numbers_as_people_write_them() -> None:
    """A whole number with its thousands apart is never 1; a comma is a decimal one elsewhere."""
    top_k, temperature = (asdict(BY_NAME[name]) for name in ("top_k", "temperature"))
    read = [(text, {**top_k, "maximum": 2000}) for text in (*APART, "1,5", "40.5", "x", "1,00,0")]
    steps = [(0.7, 1), (0.75, 1), (1.99, 1), (0.02, -1)]
    given = json.dumps([[*read, ("0,7", temperature)], APART, temperature, steps])
    said: Any = evaluated(
        "lib/values.js",
        f"(([fields, whole, bounds, steps]) => [fields.map((each) => it.readValue(...each)), "
        f"whole.map((text) => it.wholeNumber(text, 'seed', 0)), "
        f"steps.map(([value, by]) => it.stepped(value, bounds, by))])({given})",
    )
    values = [{"value": 1000}] * len(APART)
    assert said[0] == [*values, WHOLE, WHOLE, NUMBER, NUMBER, {"value": 0.7}]
    assert said[1] == [1000] * len(APART)
    assert said[2] == [0.75, 0.8, 2, 0]
