"""The end of an answer: stop sequences and white space, however the text is cut."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.generation.stop_sequences import StopFilter

STOPS = ("<|user|>", "##", "#end")


def run(pieces: list[str], stops: tuple[str, ...], *, strip_start: bool = True) -> list[str]:
    stop_filter = StopFilter(stops, strip_start=strip_start)
    passed = [stop_filter.feed(piece) for piece in pieces]
    return [*passed, "" if stop_filter.stopped else stop_filter.flush()]


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        (["Hello", " world"], ["Hello", " world", ""]),
        (["Hello\n", "<|us", "er|", ">\n"], ["Hello", "", "", "", ""]),
        (["Hello<|us", "ing"], ["Hello", "<|using", ""]),
        (["Hello<|us"], ["Hello", "<|us"]),
        ([" \n", "Hello", " "], ["", "Hello", "", ""]),
        (["a", " ", " ", "b"], ["a", "", "", "  b", ""]),
        (["a#", "e", "##b"], ["a", "", "#e", ""]),
        (["a##b", "c"], ["a", "", ""]),
        (["##b", "c"], ["", "", ""]),
        (["a<|user|>##"], ["a", ""]),
        (["a##<|user|>"], ["a", ""]),
    ],
)
def test_keeps_what_may_be_the_beginning_of_a_stop(pieces: list[str], passed: list[str]) -> None:
    assert run(pieces, STOPS) == passed


def test_keeps_the_white_space_that_joins_a_continued_answer() -> None:
    assert run([" two", " three "], STOPS, strip_start=False) == [" two", " three", ""]


@given(
    text=st.text(alphabet="<|user>#endab \n", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=12),
    strip_start=st.booleans(),
)
def test_any_cut_gives_the_text_before_the_first_stop(
    text: str, cuts: list[int], strip_start: bool
) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(bounds)]
    ends = [text.find(stop) for stop in STOPS if stop in text]
    expected = text[: min(ends, default=len(text))].rstrip()
    if strip_start:
        expected = re.sub(r"\A(?:[^\S\n]*\n)+", "", expected)
        if re.match(r" \S", expected):
            expected = expected[1:]
    assert "".join(run(pieces, STOPS, strip_start=strip_start)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Hello", "Hello"),
        ("\n \n Hello", "Hello"),
        ("\n    x = 1", "    x = 1"),
        ("  - item", "  - item"),
        ("\tx", "\tx"),
        (" \n ", ""),
    ],
)
def test_the_first_line_keeps_its_indentation(text: str, expected: str) -> None:
    assert "".join(run(list(text), STOPS)) == expected
