"""On which line of a text a key stands, so that a complaint can point at it."""

import re
from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
_HEADER: Final = re.compile(r"\s*\[\[\s*preset\s*\]\]")
_KEY: Final = re.compile(r"""\s*(?:"([^"]+)"|([\w-]+))\s*=""")


def json_lines(text: str) -> dict[Path, int]:
    """The line of every key of a text that is JSON, by its path of names and positions."""
    lines: dict[Path, int] = {}
    stack: list[str | int] = []
    kinds: list[str] = []
    tokens = list(_TOKEN.finditer(text))
    line, at = 1, 0
    for i, found in enumerate(tokens):
        line += text.count("\n", at, found.start())
        at = found.start()
        token = found.group()
        if token in "{[":
            kinds.append(token)
            stack.append(0 if token == "[" else "")
        elif token in "}]":
            kinds.pop()
            stack.pop()
        elif token == "," and kinds[-1] == "[":
            stack[-1] = int(stack[-1]) + 1
        elif token[0] == '"' and i + 1 < len(tokens) and tokens[i + 1].group() == ":":
            stack[-1] = token[1:-1]
            lines[tuple(stack)] = line
    return lines


def toml_lines(text: str) -> Mapping[Path, int]:
    """The line of every key of a presets file, by (number of the preset from 0, key)."""
    lines: dict[Path, int] = {}
    number = -1
    for line, content in enumerate(text.split("\n"), 1):
        if _HEADER.match(content):
            number += 1
            lines[(number,)] = line
        elif found := _KEY.match(content):
            lines.setdefault((number, found.group(1) or found.group(2)), line)
    return lines
