"""Code with Pygments' classes, in a time that no code can stretch.

A lexer is a set of regular expressions, and some take time that grows with the square of what they
are given, or worse: eight thousand characters kept Java's busy for half a minute, and nothing can
interrupt an expression. So only code of usual length and shape is coloured, in languages whose
longest step on such code was measured (tests/generation/test_highlight.py), and what is left when
the time is up stays plain.
"""

import re
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import escape
from typing import Any, ClassVar, Final, cast

from pygments import format as format_tokens
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.lexers.dotnet import CSharpLexer
from pygments.token import Text, _TokenType

# By the first of Pygments' names for each; its other names count too.
LANGUAGES: Final = frozenset(
    (
        *("bash", "c", "console", "cpp", "csharp", "css", "dart", "diff", "docker", "go"),
        *("haskell", "html", "ini", "java", "javascript", "json", "kotlin", "latex", "lua"),
        *("make", "markdown", "matlab", "nginx", "objective-c", "perl", "php", "powershell"),
        *("pycon", "python", "r", "ruby", "rust", "scala", "scss", "sql", "swift", "toml"),
        *("typescript", "xml", "yaml"),
    )
)

# Longer code, a longer line, or a longer stretch without text is left plain.
MAX_CHARS: Final = 4_000
MAX_LINE: Final = 300
MAX_BLANK_LINES: Final = 10
_UNUSUAL: Final = re.compile(
    rf"[^\n]{{{MAX_LINE + 1}}}|\n(?:[ \t\r\f\v]*\n){{{MAX_BLANK_LINES + 1}}}"
)
# Seconds of this thread's own time, so that a busy machine takes no colours away.
_CODE_S: Final = 0.03
_TEXT_S: Final = 0.25


class Allowance:
    """The time that one text's code may take for its colours, all of it together."""

    def __init__(self, seconds: float = _TEXT_S) -> None:
        self.left = seconds


_CSHARP: Final[Mapping[str, Any]] = cast(Any, CSharpLexer.tokens)


class _CSharp(CSharpLexer):
    """Without the rule that looks for a method's name behind any number of words and lines."""

    tokens: ClassVar[dict[str, Any]] = {
        level: {
            **states,
            "root": [rule for rule in states["root"] if not str(rule[0]).startswith(r"^([ \t]*)(")],
        }
        for level, states in _CSHARP.items()
    }


def highlight(code: str, language: str, allowance: Allowance) -> str:
    """The code as HTML, every character of it: with classes where it can have them."""
    lexer = _lexer(language)
    if lexer is None or allowance.left <= 0 or not _is_usual(code):
        return escape(code)
    began = time.thread_time()
    until = began + min(_CODE_S, allowance.left)
    tokens = list(_tokens(lexer, code, until))
    allowance.left -= time.thread_time() - began
    if "".join(text for _, text in tokens) != code:
        return escape(code)  # some lexers lose what they do not understand
    html: str = format_tokens(tokens, _FORMATTER)
    return html if code.endswith("\n") else html.removesuffix("\n")  # the formatter's own


def _is_usual(code: str) -> bool:
    return len(code) <= MAX_CHARS and not _UNUSUAL.search(f"\n{code}")


def _tokens(lexer: Lexer, code: str, until: float) -> Iterator[tuple[_TokenType, str]]:
    done = 0
    for _, kind, text in lexer.get_tokens_unprocessed(code):
        done += len(text)
        yield kind, text
        if time.thread_time() > until:
            yield Text, code[done:]
            return


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The first name of each language by all of its names."""
    return {
        alias: aliases[0]
        for _, aliases, _, _ in get_all_lexers(plugins=False)
        if aliases and aliases[0] in LANGUAGES
        for alias in aliases
    }


def _lexer(language: str) -> Lexer | None:
    name = _names().get(language.lower())
    return None if name is None else _loaded(name)


@lru_cache(maxsize=len(LANGUAGES))
def _loaded(name: str) -> Lexer:
    if name == "csharp":
        return _CSharp()  # type: ignore[no-untyped-call]
    return get_lexer_by_name(name)


_FORMATTER: Final = HtmlFormatter(nowrap=True, classprefix="hl-")


# Pygments' classes by their first letters: what it marks, on light and on dark ground. Every colour
# has a contrast of at least 4.5 (WCAG AA) against #eceef2 and all lighter, #262a33 and all darker.
_COLOURS: Final = (
    ("c", "#57606a", "#a3adba"),  # comments
    ("k", "#a0111f", "#ff9a92"),  # keywords
    ("o", "#a0111f", "#ff9a92"),  # operators
    ("s", "#0a5c2f", "#a5e0a8"),  # strings
    ("m", "#0550ae", "#8cc8ff"),  # numbers
    ("l", "#0550ae", "#8cc8ff"),  # other literals
    ("nf", "#6639ba", "#d9b8ff"),  # functions
    ("nc", "#6639ba", "#d9b8ff"),  # classes
    ("nb", "#8a3800", "#ffbe85"),  # builtins
    ("nd", "#8a3800", "#ffbe85"),  # decorators
    ("nt", "#a0111f", "#ff9a92"),  # tags
    ("na", "#0550ae", "#8cc8ff"),  # attributes
    ("gd", "#a0111f", "#ff9a92"),  # deleted lines
    ("gi", "#0a5c2f", "#a5e0a8"),  # inserted lines
)


def stylesheet() -> str:
    """CSS for highlighted code.

    The dark colours hold below an element of class ``dark``, and below one of class ``plain`` where
    the reader's system is dark and light was not chosen (class ``light``).
    """
    rule = 'figure.code [class^="hl-{}"]{{color:{}}}'.format
    return "".join(
        f"{rule(prefix, on_light)}\n"
        f".dark {rule(prefix, on_dark)}\n"
        f"@media (prefers-color-scheme: dark){{.plain:not(.light) {rule(prefix, on_dark)}}}\n"
        for prefix, on_light, on_dark in _COLOURS
    )
