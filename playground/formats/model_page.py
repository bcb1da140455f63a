"""The model page's text as people copy it: names and values line by line, several sets at once.

A name stands alone with its value on the next line, or before its value on one line. A dash, an
empty line or no value at all is unset. When a name comes again, the next set has begun; a short
line in front of a set is its name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from playground.domain.samplers import BY_NAME, Sampler, parse_value
from playground.domain.validation import MAX_NEW_TOKENS
from playground.formats.named_values import refusal, taken_as_0
from playground.formats.values import Draft, Imported, LeftOut, Problem
from playground.formats.vocabulary import TEXTGEN

FORMAT: Final = "page"
LABEL: Final = "model page's text"
_UNSET: Final = frozenset({"–", "—", "-", "−", "unset", "none", "null", "n/a", "default"})
# As cards write them, beside the names of the table.
_ALIASES: Final = {
    "temp": "temperature",
    "rep_pen": "repetition_penalty",
    "repeat_penalty": "repetition_penalty",
    "freq_pen": "frequency_penalty",
    "presence_pen": "presence_penalty",
}
_LIMITS: Final = ("max_new_tokens", "max_tokens", "max_output_tokens", "num_predict", "n_predict")
_LIMIT: Final = "max_new_tokens"
_FIELDS: Final = frozenset({*BY_NAME, _LIMIT})
_NAMES: Final = (*BY_NAME, *_ALIASES, *_LIMITS)
_PLAIN: Final = {name.replace("_", ""): name for name in _NAMES}
# A name that is none of ours, with its number.
_OTHER: Final = re.compile(
    r"(?P<name>[A-Za-z][\w -]{0,39}?)(?P<sign>\s*[:=]\s*|\s+)(?P<value>[+-]?[\d.,]+)"
)
_MARKS: Final = re.compile(r"^[-*•]\s+(?=[A-Za-z*`])|[*`]")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_LINE: Final = re.compile(
    rf"(?P<name>{'|'.join(name.replace('_', '[ _-]?') for name in _NAMES)})"
    r"(?P<sign>\s*[:=]\s*|\s+|$)(?P<value>.*)",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(r"[–—−-]?|[+-]?[\d.,]+")
_TITLE_CHARS: Final = 40
_DASH: Final = "–"


@dataclass(slots=True)
class _Set:
    """A set under way: its name, and each parameter's value with the line of it."""

    name: str
    values: dict[str, float | None] = field(default_factory=dict)
    limit: int | None = None


def read(text: str) -> Imported:
    """The sets of a text. Lines that belong to none are listed as left out."""
    lines = [
        (number, _MARKS.sub("", line.strip())) for number, line in enumerate(text.split("\n"), 1)
    ]
    lines = [(number, line) for number, line in lines if line]
    sets: list[_Set] = []
    left_out: list[LeftOut] = []
    notes: list[str] = []
    title = ""
    waiting: str | None = None
    for place, (number, line) in enumerate(lines):
        named = _named(line)
        if named is None:
            if waiting is not None and (
                _VALUE.fullmatch(line) or not _begins_set(lines, place + 1, sets)
            ):
                _put(sets[-1], waiting, line, number, left_out, notes)
                waiting = None
                continue
            waiting = None
            if other := _other(line, number):
                left_out.append(other)
                continue
            if len(line) <= _TITLE_CHARS and not line.endswith("."):
                title = line
                if _begins_set(lines, place + 1, sets):
                    continue
            left_out.append(LeftOut("text", line, "it names no parameter", False, number))
            continue
        name, value = named
        if not sets or name in sets[-1].values:
            sets.append(_Set(title if _stands_before(lines, place, title) else ""))
        sets[-1].values[name] = None
        waiting = None if value else name
        if value:
            _put(sets[-1], name, value, number, left_out, notes)
    useful = any(each.limit or _set_values(each) for each in sets)
    unusable = [each for each in left_out if each.name in _FIELDS]
    if not sets or (unusable and not useful):
        problems = [
            Problem(f"{each.name}: {each.reason}.", each.line, each.name) for each in unusable
        ]
        problems = problems or [Problem("There is no parameter in this text.", 1)]
        return Imported(FORMAT, left_out=tuple(left_out), problems=tuple(problems))
    drafts = tuple(
        Draft(each.name, Sampler(**_set_values(each)), max_new_tokens=each.limit) for each in sets
    )
    if not useful:
        notes.append("Every parameter is unset in this text.")
    return Imported(FORMAT, drafts, tuple(left_out), notes=tuple(notes))


def write(drafts: Sequence[Draft]) -> str:
    """The sets as the page shows them, each with its name in front."""
    blocks = []
    for draft in drafts:
        lines = [" ".join(draft.name.split())[:_TITLE_CHARS].rstrip(".")] if draft.name else []
        if lines and _named(lines[0]):
            lines = []  # a name that reads as a parameter would be one
        for parameter, value in draft.sampler:
            lines += [parameter.name, _DASH if value is None else repr(value)]
        if draft.max_new_tokens is not None:
            lines += [_LIMIT, str(draft.max_new_tokens)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _named(line: str) -> tuple[str, str] | None:
    """The parameter or limit that a line begins with, and the value behind it; else None."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    value = found["value"].strip()
    if not found["sign"].strip() and " " in value:
        return None  # a sentence that happens to begin with a parameter's name
    name = _PLAIN[re.sub(r"[\s_-]", "", found["name"].lower())]
    return _LIMIT if name in _LIMITS else _ALIASES.get(name, name), value


def _begins_set(lines: Sequence[tuple[int, str]], place: int, sets: Sequence[_Set]) -> bool:
    """Whether a set begins with the line at this place."""
    named = _named(lines[place][1]) if place < len(lines) else None
    return named is not None and (not sets or named[0] in sets[-1].values)


def _stands_before(lines: Sequence[tuple[int, str]], place: int, title: str) -> bool:
    return bool(title) and place > 0 and lines[place - 1][1] == title


def _put(
    target: _Set, name: str, text: str, line: int, left_out: list[LeftOut], notes: list[str]
) -> None:
    """The value of a parameter or of the limit; one that is none is left out."""
    if text.lower() in _UNSET:
        return
    value = _number(text, whole=name == _LIMIT or BY_NAME[name].integer)
    if value is None:
        reason: str | None = "it is no number; write one, or – for unset"
    elif name == _LIMIT:
        usable = isinstance(value, int) and 1 <= value <= MAX_NEW_TOKENS
        reason = None if usable else f"here it must be a whole number from 1 to {MAX_NEW_TOKENS:,}"
    else:
        if BY_NAME[name].skips(value):
            notes.append(taken_as_0(name, value))
            value = 0
        reason = refusal(BY_NAME[name], value)
    if reason:
        shown = text[:_TITLE_CHARS] if value is None else value
        left_out.append(LeftOut(name, shown, reason, line=line))
    elif name == _LIMIT:
        target.limit = int(value or 0)
    else:
        target.values[name] = parse_value(BY_NAME[name], value, name)


def _number(text: str, *, whole: bool) -> float | None:
    """A number as people write it; None for what is none. whole: a comma parts thousands."""
    if whole and _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text.replace(",", "."))
    except ValueError:
        return None


def _other(line: str, number: int) -> LeftOut | None:
    """A line of a number whose name is none of ours: one that does nothing, or a loss."""
    found = _OTHER.fullmatch(line)
    if found is None:
        return None
    name, text = found["name"], found["value"]
    plain = re.sub(r"[\s-]", "_", name.lower())
    if plain not in TEXTGEN.foreign and not found["sign"].strip():
        return None  # a title, as "Config 2"
    value = _number(text, whole=False)
    off = plain in TEXTGEN.foreign and value == TEXTGEN.foreign[plain]
    reason = "it has no effect at this value" if off else "it names none of the seven parameters"
    return LeftOut(name, text if value is None else value, reason, effect=not off, line=number)


def _set_values(found: _Set) -> dict[str, Any]:
    return {name: value for name, value in found.values.items() if value is not None}
