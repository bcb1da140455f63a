"""Values that a text of presets holds: few, not deep, and texts that can be sent on."""

import re
from collections.abc import Mapping
from typing import Any, Final

from playground.formats.values import Problem, Unreadable

DEEPEST: Final = 20
MAX_VALUES: Final = 5_000
_LONGEST_NUMBER: Final = 40
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_WORDS: Final = {"true": True, "false": False, "none": None, "null": None}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def check_plain(document: Mapping[str, Any]) -> None:
    """Whether a preset may have such values.

    Raises:
        Unreadable: It is nested too deeply, has too many values, or a text in it holds half of a
            character, which no UTF-8 can say; names the outermost key.
    """
    seen = 0
    left: list[tuple[str, object, int]] = [
        (key, {key: value}, 0) for key, value in document.items()
    ]
    while left:
        top, value, depth = left.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise Unreadable([Problem(f"Presets have at most {MAX_VALUES:,} values.")])
        if depth > DEEPEST:
            key = None if _SURROGATE.search(top) else top
            raise Unreadable([Problem("A preset has no values as deep as these.", key=key)])
        if isinstance(value, dict):
            left += [(top, inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            left += [(top, inner, depth + 1) for inner in value]
        elif isinstance(value, str) and _SURROGATE.search(value):
            key = None if _SURROGATE.search(top) else top
            reason = "A text in this holds half of a character (a lone surrogate)."
            raise Unreadable([Problem(reason, key=key)])


def plain_value(text: str) -> object:
    """A value as programs and their files write it: a number, true, false, none, or a text."""
    if len(text) > _LONGEST_NUMBER:
        return text.strip("\"'")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    except ValueError:
        return text.strip("\"'")


def shown_key(key: str) -> str:
    """A name of any length and any characters, for a sentence."""
    text = key if len(key) <= 60 else f"{key[:59]}…"
    return text.encode("utf-8", "replace").decode()
