"""Texts in which nobody would see anything, here and in the browser."""

import json
import subprocess
import sys
from pathlib import Path
from unicodedata import category, unidata_version

import pytest

from playground.domain.blank import is_blank
from playground.domain.samplers import PARAMETERS
from playground.ui.page import STATIC

BLANK = [
    *("", " \t\n\x00\x85\x7f", "\u200b", "\u2060\ufeff\u00ad", "\u3164", "\u115f\u1160", "\uffa0"),
    *("\u2800\u2800", "\u034f", "\ufe0f", "\U000e0101", "\u202e\u2066", "\u180e", "\u3000\u2028"),
]
SEEN = [*("a", "\u200b.", "_", "😀", "\u0301", "한", "\u2801", "ᄀ", "\ufffd", "\u200b" * 99 + "0")]


@pytest.mark.parametrize("text", BLANK)
def test_what_shows_nothing_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", SEEN)
def test_what_shows_something_is_not(text: str) -> None:
    assert not is_blank(text)


def evaluated(module: str, expression: str) -> object:
    """What a browser makes of an expression, in which `it` is one of our modules."""
    source = f"import * as it from {(STATIC / module).as_uri()!r};"
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("node")), "--input-type=module", "--eval"),
            f"{source} console.log(JSON.stringify({expression}));",
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def test_the_browser_says_the_same_of_every_character() -> None:
    blank = evaluated(
        "lib/text.js",
        "[...Array(0x110000).keys()].filter((at) => it.isBlank(String.fromCodePoint(at)))",
    )
    assert isinstance(blank, list)
    known = [at for at in blank if category(chr(at)) != "Cn"]  # its Unicode may be a newer one
    assert known == [at for at in range(0x110000) if is_blank(chr(at))], unidata_version
    assert evaluated("lib/text.js", f"{json.dumps(BLANK)}.every(it.isBlank)") is True
    assert evaluated("lib/text.js", f"{json.dumps(SEEN)}.some(it.isBlank)") is False


def test_a_temperature_next_to_zero_is_refused_in_the_browser_too() -> None:
    [temperature] = [each for each in PARAMETERS if each.name == "temperature"]
    told = json.dumps(
        {
            "name": "temperature",
            "minimum": 0,
            "maximum": 2,
            "smallest": temperature.smallest,
            "integer": False,
        }
    )
    read = evaluated(
        "lib/values.js",
        "['0', '-0', '5e-324', '0.009', '0.01', '2', '1e400', 'NaN']"
        f".map((text) => it.readValue(text, {told}))",
    )
    refusal = {"problem": "temperature must be 0 or lie between 0.01 and 2."}
    number = {"problem": "temperature must be a number from 0 to 2, or empty for unset."}
    taken = [{"value": value} for value in (0, 0, 0.01, 2)]
    assert read == [*taken[:2], refusal, refusal, *taken[2:], number, number]
