"""Ollama's Modelfile: an instruction a line, of which PARAMETER holds a name and a value."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from playground.formats.plain_values import plain_value
from playground.formats.values import Entry

_INSTRUCTION: Final = re.compile(r"\s*([A-Za-z]+)\s+(\S.*)")
_PARAMETER: Final = re.compile(r"(\w+)\s+(\S.*)")
_BLOCK: Final = '"""'
LOOKS_LIKE: Final = re.compile(r"^[ \t]*PARAMETER[ \t]+\w+[ \t]+\S", re.MULTILINE | re.IGNORECASE)


def read(text: str) -> list[Entry]:
    """The names and values; other instructions by their own names, in small letters."""
    entries = []
    lines = enumerate(text.split("\n"), 1)
    for number, line in lines:
        found = _INSTRUCTION.fullmatch(line)
        if found is None:
            continue
        name, value = found[1].lower(), found[2].strip()
        if _is_marked(value):
            value = "\n".join([value, *_rest_of_block(lines)])
        if name != "parameter":
            entries.append(Entry(name, _unquoted(value), number))
        elif parameter := _PARAMETER.fullmatch(value):
            entries.append(Entry(parameter[1], plain_value(parameter[2].strip()), number))
    return entries


def _is_marked(line: str) -> bool:
    """Whether a text of several lines begins in a line, or ends in it."""
    return line.count(_BLOCK) % 2 == 1


def _rest_of_block(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        yield line
        if _is_marked(line):
            return


def _unquoted(value: str) -> str:
    for quote in (_BLOCK, '"'):
        if value.startswith(quote) and value.rstrip().endswith(quote) and value != quote:
            return value.strip().removeprefix(quote).removesuffix(quote).strip()
    return value


def write(values: Mapping[str, object]) -> str:
    """A Modelfile without the model's name, which only its reader knows."""
    lines = ["# Put the model's name here.", "FROM model"]
    return (
        "\n".join([*lines, *(f"PARAMETER {name} {value}" for name, value in values.items())]) + "\n"
    )
