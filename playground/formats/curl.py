"""A request as a command for curl: the JSON that it sends.

Quotes are read as a shell reads them; what it would put in, as the value of a variable, stays as it
is written.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from playground.formats.values import Problem, Unreadable

LOOKS_LIKE: Final = re.compile(r"(?:\s|#[^\n]*+\n)*+(?:[$%>]\s++)?curl(?:\.exe)?\s")
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

_JOINED: Final = "--json"
_AS_IT_IS: Final = "--data-raw"
_DATA: Final = ("-d", "--data", "--data-ascii", "--data-binary", _AS_IT_IS, _JOINED)
_TAKE_A_VALUE: Final = frozenset("AbcCDeEFHKmoPQrtTuUwxXyYz")  # beside -d, of one letter


class _Word(NamedTuple):
    text: str
    line: int


def body(text: str) -> str:
    """What the first command of a text sends, below as many lines as it stands below there.

    Raises:
        Unreadable: It sends nothing that stands in the text.
    """
    sent = []
    words = _words(text)
    for word in words:
        name, value = _option(word.text)
        if value is None and (name in _DATA or name.removeprefix("-") in _TAKE_A_VALUE):
            word = next(words, _Word("", word.line))
            value = word.text
        if name not in _DATA or value is None:
            continue
        if value.startswith("@") and name != _AS_IT_IS:
            reason = (
                f"What this command sends stands in a file of its own ({value[1:60]}), which is "
                "not here: import that file."
            )
            raise Unreadable([Problem(reason, word.line)])
        sent.append((name, _Word(value, word.line)))
    if not sent:
        reason = "This command sends nothing: it has neither -d, --data nor --json."
        raise Unreadable([Problem(reason, 1)])
    if len(sent) > 1 and any(name != _JOINED for name, _ in sent):
        reason = "This command sends several texts; a preset is read from one."
        raise Unreadable([Problem(reason, sent[1][1].line)])
    found = "".join(word.text for _, word in sent)
    line = sent[0][1].line
    if not found.lstrip().startswith(("{", "[")):
        raise Unreadable([Problem("What this command sends is no JSON.", line)])
    return "\n" * (line - 1) + found


def _words(text: str) -> Iterator[_Word]:
    """The words of the first command behind its name."""
    begun = LOOKS_LIKE.match(text)
    at = begun.end() if begun else 0
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
                yield _Word("".join(pieces), first)
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
        yield _Word("".join(pieces), first)


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


def _option(word: str) -> tuple[str, str | None]:
    """The name of an option, where a word is one, and the value that is written to it."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if word.startswith("-"):  # letters, of which the first with a value is the last
        for i, letter in enumerate(word[1:], 2):
            if letter == "d" or letter in _TAKE_A_VALUE:
                return f"-{letter}", word[i:] or None
    return "", None
