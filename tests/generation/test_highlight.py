"""Colours of code: which has them, their contrast, and what they may cost."""

import itertools
import re
import time
from html import unescape
from types import SimpleNamespace
from typing import Final

import pytest

from playground.generation.highlight import (
    LANGUAGES,
    MAX_BLANK_LINES,
    MAX_CHARS,
    MAX_LINE,
    Allowance,
    highlight,
    stylesheet,
)

# What lexers were seen to be slow at, or have reason to be.
UNITS: Final = (
    *("a ", "a\n", "a = ", "a(", "a<b,", "a::", "x y\n", "public ", "int a", "<a ", "{{", "%{"),
    *("/*", '"a', "(", "  "),
)


def filled(unit: str, line: int, size: int) -> str:
    text = unit * (size // len(unit) + 1)
    if unit.endswith("\n"):
        return text[:size]
    return "".join(text[i : i + line] + "\n" for i in range(0, size, line + 1))[:size]


def usual() -> dict[str, str]:
    """Texts of the largest size and the widest shape that is coloured."""
    texts = {repr(unit): filled(unit, MAX_LINE, MAX_CHARS) for unit in UNITS}
    gap = "\n" * MAX_BLANK_LINES + "\nx"
    texts["blank lines"] = gap * (MAX_CHARS // len(gap))
    gap = (" " * (MAX_LINE - 1) + "\n") * MAX_BLANK_LINES + "x\n"
    texts["lines of spaces"] = gap * (MAX_CHARS // len(gap))
    return texts


UNUSUAL: Final = {
    "long": "x = 1\n" * (MAX_CHARS // 6 + 1),
    "a long line": "a " * MAX_LINE,
    "blank lines": "a" + "\n" * 30 + "b",
    "blank lines first": "\n" * 30 + "b",
    "lines of spaces": "a\n" + "   \n" * 30 + "b",
    "seven thousand blank lines": "\n" * 7500 + "x\n",
    "eight thousand words": "a " * 7900,
}


def text_of(html: str) -> str:
    return unescape(re.sub(r"</?span[^>]*>", "", html))


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_usual_code_keeps_a_lexer_for_long(language: str) -> None:
    """The deadline is generous: the worst that was measured is 0.03 s, the seconds are C#'s own."""
    highlight("x", language, Allowance())  # a lexer is loaded once: Scala's takes 0.1 s for that
    for kind, code in usual().items():
        began = time.thread_time()
        html = highlight(code, language, Allowance())
        assert time.thread_time() - began < 0.5, kind
        assert text_of(html) == code, kind


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_code_is_left_plain(kind: str) -> None:
    for language in LANGUAGES:
        assert "<span" not in highlight(UNUSUAL[kind], language, Allowance())


@pytest.mark.parametrize("name", ["python", "py", "Python", "js", "ts", "sh", "yml", "c++", "c#"])
def test_languages_are_known_by_all_their_names(name: str) -> None:
    assert "<span" in highlight('if x:\n    y = "1"\n', name, Allowance())


@pytest.mark.parametrize("name", ["", "nosuchlanguage", "brainfuck", "text"])
def test_other_languages_stay_plain(name: str) -> None:
    assert highlight("if <x>", name, Allowance()) == "if &lt;x&gt;"


def test_common_code_is_coloured_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    still = SimpleNamespace(thread_time=lambda: 0.0)
    monkeypatch.setattr("playground.generation.highlight.time", still)
    samples = {
        "csharp": "public static int Main(string[] args) { return 0; }\n",
        "java": "class A {\n  static int f(String s) { return 1; } // end\n}\n",
        "python": "def f(x):\n\n    return 'y'\n" * 100,
    }
    for language, code in samples.items():
        html = highlight(code, language, Allowance())
        assert text_of(html) == code
        assert "<span" in html[-80:], language


def test_what_is_left_when_the_time_is_up_stays_plain() -> None:
    code = "x = '<'\n" * 400
    html = highlight(code, "python", Allowance(1e-9))
    assert text_of(html) == code
    assert html.count("<span") < 10
    assert "<span" not in highlight(code, "python", Allowance(0))


def test_what_was_coloured_before_the_time_was_up_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that goes on by 0.01 s whenever it is looked at: 0.03 s are four tokens."""
    ticks = itertools.count()
    clock = SimpleNamespace(thread_time=lambda: next(ticks) / 100)
    monkeypatch.setattr("playground.generation.highlight.time", clock)
    html = highlight("x = 1\ny = 2\n", "python", Allowance())
    assert html.startswith('<span class="hl-n">x</span>')
    assert html.endswith("1\ny = 2\n")
    assert text_of(html) == "x = 1\ny = 2\n"


def test_a_text_has_one_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes on by 0.01 s whenever it is looked at: a block takes 0.05 s."""
    ticks = itertools.count()
    clock = SimpleNamespace(thread_time=lambda: next(ticks) / 100)
    monkeypatch.setattr("playground.generation.highlight.time", clock)
    allowance = Allowance(0.08)
    blocks = [highlight("x = 1\ny = 2\n", "python", allowance) for _ in range(3)]
    assert ["<span" in block for block in blocks] == [True, True, False]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_of_code_have_contrast_on_light_and_dark() -> None:
    rules = re.findall(
        r"^(\.dark |@media.* dark.*)?fig.*\{color:(#\w{6})\}+$", stylesheet(), re.MULTILINE
    )
    assert len(rules) == len(stylesheet().splitlines()) > 20
    for dark, colour in rules:
        grounds = ("#262a33", "#000000") if dark else ("#eceef2", "#ffffff")
        assert min(contrast(colour, ground) for ground in grounds) >= 4.5, colour
