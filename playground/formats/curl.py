"""A request as a command for curl: the JSON that it sends."""

import re
from typing import Final

from playground.formats import shell_words
from playground.formats.shell_words import Word
from playground.formats.values import Problem, Unreadable

LOOKS_LIKE: Final = re.compile(shell_words.BEFORE + r"curl(?:\.exe)?\s")
_JOINED: Final = "--json"
_AS_IT_IS: Final = "--data-raw"
_DATA: Final = ("-d", "--data", "--data-ascii", "--data-binary", _AS_IT_IS, _JOINED)
_TAKE_A_VALUE: Final = frozenset("AbcCDeEFHKmoPQrtTuUwxXyYz")  # beside -d, of one letter


def body(text: str) -> str:
    """What the first command of a text sends, below as many lines as it stands below there.

    Raises:
        Unreadable: It sends nothing that stands in the text.
    """
    sent = []
    begun = LOOKS_LIKE.match(text)
    words = shell_words.words(text, begun.end() if begun else 0)
    for word in words:
        name, value = _option(word.text)
        if value is None and (name in _DATA or name.removeprefix("-") in _TAKE_A_VALUE):
            word = next(words, Word("", word.line))
            value = word.text
        if name not in _DATA or value is None:
            continue
        if value.startswith("@") and name != _AS_IT_IS:
            reason = (
                f"What this command sends stands in a file of its own ({value[1:60]}), which is "
                "not here: import that file."
            )
            raise Unreadable([Problem(reason, word.line)])
        sent.append((name, Word(value, word.line)))
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
