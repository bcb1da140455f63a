"""Where tokens begin that are told in their vocabulary's spelling, and estimated counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.engines.tokens import cut, estimate, starts, words


@pytest.mark.parametrize(
    ("text", "tokens", "pieces"),
    [
        ("Hi you", ["Hi", "Ġyou"], ["Hi", " you"]),
        ("Hi\nyou", ["Hi", "Ċ", "you"], ["Hi", "\n", "you"]),
        ("wörld", ["w", "Ã¶r", "ld"], ["w", "ör", "ld"]),
        ("a 🎉!", ["a", "ĠðŁ", "İ", "ī", "!"], ["a", " 🎉", "!"]),
        ("Hi you", ["<s>", "▁Hi", "▁you"], ["Hi", " you"]),
        ("Hi\nyou", ["▁Hi", "<0x0A>", "you"], ["Hi", "\n", "you"]),
        (" Hi", ["▁▁", "Hi"], [" ", "Hi"]),
        ("wörld", ["▁w", "ö", "r", "ld"], ["w", "ö", "r", "ld"]),
        ("漢", ["▁", "<0xE6>", "<0xBC>", "<0xA2>"], ["漢"]),
        ("one two", ["one", " two"], ["one", " two"]),
        ("", [], []),
    ],
)
def test_finds_tokens_in_both_spellings(text: str, tokens: list[str], pieces: list[str]) -> None:
    found = starts(text, tokens)
    assert found is not None
    assert cut(text, found) == pieces


@pytest.mark.parametrize("tokens", [[], ["Hi"], ["Hi", "Ġme"], ["\ufffd", "x"]])
def test_tokens_that_do_not_make_the_text_are_found_out(tokens: list[str]) -> None:
    assert starts("Hi you", tokens) is None


@given(st.text())
def test_words_make_the_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_words_keep_the_space_before_them() -> None:
    assert words("one  two\n three\n") == ["one", "  two", "\n three", "\n"]


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text(one: str, two: str) -> None:
    assert estimate("") == 1
    assert estimate(one) <= estimate(one + two)
