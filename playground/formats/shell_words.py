"""A command's words as a shell parts them: quotes, escapes and continued lines.

What a shell would put in, as the value of a variable, stays as it is written.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from playground.formats.values import Problem, Unreadable

# What stands in front of a command that is pasted: remarks, a fence of Markdown, a shell's prompt.
BEFORE: Final = r"(?:\s|#[^\n]*+\n|```\w*+\n)*+(?:[$%>]\s++)?"
_PIECE: Final = re.compile(
    r"""(?P<blank>(?:\s|[\\^`][ \t]*+\r?\n)++)
    |'(?P<single>[^']*+)'
    |\$'(?P<ansi>(?:[^'\\]|\\.)*+)'
    |"(?P<double>(?:[^"\\]|\\.)*+)"
    |\\(?P<escaped>.)
    |(?P<end>[|;])
    |(?P<plain>[^\s'"\\|;$^`]++|[$^`])""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE: Final = re.compile(r'\\(?:\r?\n|([$`"\\]))')
_IN_ANSI: Final = re.compile(r"\\([^u])", re.DOTALL)  # of what is left, JSON has the same escapes
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}


class Word(NamedTuple):
    """A word without its quotes, and the line on which it begins, from 1."""

    text: str
    line: int


def words(text: str, at: int) -> Iterator[Word]:
    """The words of a text from a place to the end of the command there.

    Raises:
        Unreadable: A quote has no end.
    """
    line = 1 + text.count("\n", 0, at)
    pieces: list[str] = []
    first = line
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise Unreadable([Problem("A quote in this command has no end.", line)])
        piece = _unquoted(found)
        if piece is None:
            if pieces:
                yield Word("".join(pieces), first)
                pieces = []
            if found.lastgroup == "end":
                return
        else:
            if not pieces:
                first = line
            pieces.append(piece)
        line += text.count("\n", at, found.end())
        at = found.end()
    if pieces:
        yield Word("".join(pieces), first)


def _unquoted(found: re.Match[str]) -> str | None:
    """What a piece stands for; None between two words."""
    kind = found.lastgroup or ""
    if kind in ("blank", "end"):
        return None
    text = found[kind]
    if kind == "double":
        return _IN_DOUBLE.sub(lambda escape: escape[1] or "", text)
    if kind == "ansi":
        return _IN_ANSI.sub(lambda escape: _CONTROLS.get(escape[1], escape[1]), text)
    return text
