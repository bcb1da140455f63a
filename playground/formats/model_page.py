"""The model page's text as people copy it: names and values line by line, several sets at once.

A name stands alone with its value on the next line, or before its value on one line. A dash, an
empty line or no value at all is unset. When a name comes again, the next set has begun; a short
line in front of a set is its name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME, Parameter, Sampler, parse_value
from playground.formats.values import Draft, Imported, LeftOut, Problem

FORMAT: Final = "page"
LABEL: Final = "model page's text"
_UNSET: Final = frozenset({"–", "—", "-", "−", "unset", "none", "null", "n/a", "default"})
_LINE: Final = re.compile(
    rf"(?P<name>{'|'.join(name.replace('_', '[ _-]') for name in BY_NAME)})"
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


def read(text: str) -> Imported:
    """The sets of a text. Lines that belong to none are listed as left out."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line]
    sets: list[_Set] = []
    left_out: list[LeftOut] = []
    problems: list[Problem] = []
    title = ""
    waiting: Parameter | None = None
    for place, (number, line) in enumerate(lines):
        named = _named(line)
        if named is None:
            if waiting is not None and (
                _VALUE.fullmatch(line) or not _begins_set(lines, place + 1, sets)
            ):
                _put(sets[-1], waiting, line, number, problems, left_out)
                waiting = None
                continue
            waiting = None
            if len(line) <= _TITLE_CHARS and not line.endswith("."):
                title = line
                if _begins_set(lines, place + 1, sets):
                    continue
            left_out.append(LeftOut("text", line, "it names no parameter", False, number))
            continue
        parameter, value = named
        if not sets or parameter.name in sets[-1].values:
            sets.append(_Set(title if _stands_before(lines, place, title) else ""))
        sets[-1].values[parameter.name] = None
        waiting = None if value else parameter
        if value:
            _put(sets[-1], parameter, value, number, problems, left_out)
    if not sets:
        problems.append(Problem("There is no parameter in this text.", 1))
    drafts = () if problems else tuple(Draft(each.name, _sampler(each)) for each in sets)
    notes: tuple[str, ...] = ()
    if drafts and not any(draft.sampler.set_values() for draft in drafts):
        notes = ("Every parameter is unset in this text.",)
    return Imported(FORMAT, drafts, tuple(left_out), tuple(problems), notes)


def write(drafts: Sequence[Draft]) -> str:
    """The sets as the page shows them, each with its name in front."""
    blocks = []
    for draft in drafts:
        lines = [" ".join(draft.name.split())[:_TITLE_CHARS].rstrip(".")] if draft.name else []
        if lines and _named(lines[0]):
            lines = []  # a name that reads as a parameter would be one
        for parameter, value in draft.sampler:
            lines += [parameter.name, _DASH if value is None else repr(value)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _named(line: str) -> tuple[Parameter, str] | None:
    """The parameter that a line begins with, and the value behind it; None for any other line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    value = found["value"].strip()
    if not found["sign"].strip() and " " in value:
        return None  # a sentence that happens to begin with a parameter's name
    return BY_NAME[re.sub(r"[\s-]", "_", found["name"].lower())], value


def _begins_set(lines: Sequence[tuple[int, str]], place: int, sets: Sequence[_Set]) -> bool:
    """Whether a set begins with the line at this place."""
    named = _named(lines[place][1]) if place < len(lines) else None
    return named is not None and (not sets or named[0].name in sets[-1].values)


def _stands_before(lines: Sequence[tuple[int, str]], place: int, title: str) -> bool:
    return bool(title) and place > 0 and lines[place - 1][1] == title


def _put(
    target: _Set,
    parameter: Parameter,
    text: str,
    line: int,
    problems: list[Problem],
    left_out: list[LeftOut],
) -> None:
    if text.lower() in _UNSET:
        return
    try:
        value: object = float(text.replace(",", ".")) if "," in text else _number(text)
        if parameter.skips(value):
            reason = f"here it must {parameter.rule}"
            left_out.append(LeftOut(parameter.name, value, reason, line=line))
            return
        target.values[parameter.name] = parse_value(parameter, value, parameter.name)
    except ValueError:
        reason = f"{text[:40]!r} is no value for {parameter.name}; write a number, or – for unset."
        problems.append(Problem(reason, line, parameter.name))
    except InvalidRequest as error:
        problems.append(Problem(str(error), line, parameter.name))


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)


def _sampler(found: _Set) -> Sampler:
    values = {name: value for name, value in found.values.items() if value is not None}
    return Sampler(**values)  # type: ignore[arg-type]  # parse_value gives an int where one is due
