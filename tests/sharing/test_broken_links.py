"""Links that cannot be used: what is wrong is said in a sentence, with its place."""

import pytest

from playground.sharing.setup import MAX_CHARS, LinkError
from playground.sharing.setup_link import parse_link
from tests.sharing.test_setup_link import TEXT

TWO = "setup=1&tab=compare&column=-none&column=-none"


def ending(more: str) -> str:
    """A chat's link with one more part."""
    return TEXT.replace("&end", f"&{more}&end")


@pytest.mark.parametrize(
    ("text", "field", "error"),
    [
        ("", "setup", "This is not a set-up link: it must begin with setup= and its version."),
        (
            "setup=0&tab=chat&end",
            "setup",
            "This is not a set-up link: it must begin with setup= and its version.",
        ),
        (
            "setup=x&tab=chat&end",
            "setup",
            "This is not a set-up link: it must begin with setup= and its version.",
        ),
        (
            TEXT[:-4],
            "end",
            "The end of this link is missing: it was cut on its way. Copy it as a whole.",
        ),
        (ending("tab=chat"), "tab", "The tab stands twice in this link."),
        (
            TEXT.replace("chat", "lounge"),
            "tab",
            "The tab must be one of chat, compare, history, about, not lounge.",
        ),
        (
            TEXT.replace("tab=chat&", ""),
            "tab",
            "The tab must be one of chat, compare, history, about, and is missing.",
        ),
        (ending("admin=1"), "admin", "admin=1 is not known in a set-up link."),
        (ending("blind=1"), "blind", "blind=1 is not known in a set-up link."),
        (ending("blind"), "blind", "The tab chat has no blind vote."),
        (ending("column=-none"), "column", "The tab chat has 1 column, and this link 2."),
        (
            ending("system=a%0Db"),
            "system",
            "The system text is empty or holds a character that a page has none of.",
        ),
        (
            TEXT.replace("tab=chat", "tab=about"),
            "column",
            "The tab about has 0 columns, and this link 1.",
        ),
        (
            TEXT.replace("tab=chat", "tab=compare"),
            "column",
            "The tab compare has 2 to 4 columns, and this link 1.",
        ),
        (
            TEXT.replace("0.7", "7"),
            "column[0].temperature",
            "The temperature of the first column must be 0 or lie between 0.01 and 2, "
            "and 7.0 does not.",
        ),
        (
            TEXT.replace("0.7", "0.7:9"),
            "column[0].temperature",
            "The temperature of the first column must be 0 or lie between 0.01 and 2, "
            "and 9.0 does not.",
        ),
        (
            TEXT.replace("0.7", "nan"),
            "column[0].temperature",
            "The temperature of the first column must be a number, or - for unset, not nan.",
        ),
        (
            TEXT.replace("0.7", "1e999"),
            "column[0].temperature",
            "The temperature of the first column is too large.",
        ),
        (
            TEXT.replace("0.7", "0.7:1:2"),
            "column[0].temperature",
            "The temperature of the first column must have the preset's value, and "
            "another one where it was edited.",
        ),
        (
            TEXT.replace("top_p", "top_q"),
            "column[0].top_q",
            "top_q is not a sampler parameter; there are temperature, top_p, top_k, "
            "frequency_penalty, presence_penalty, repetition_penalty, min_p, and max, "
            "seed, engine and emulate.",
        ),
        (
            TEXT.replace("top_p:0.95", "top_k:1.5"),
            "column[0].top_k",
            "The top_k of the first column must be a whole number, not 1.5.",
        ),
        (
            TEXT.replace("top_p", "temperature"),
            "column[0].temperature",
            "The temperature of the first column stands twice.",
        ),
        (
            TEXT.replace("2048", "0"),
            "column[0].max",
            "The limit of new tokens of the first column must be a whole number from 1 "
            "to 2,147,483,647, not 0.",
        ),
        (
            TEXT.replace("2048", "2048,seed:5"),
            "column[0].seed",
            "The first column has a seed of its own, and the link does not say own-seeds.",
        ),
        (TEXT.replace("alpacaeval", "<b>"), "column[0]", "<b> is not the id of a preset."),
        (
            TEXT.replace("alpacaeval", "-own:"),
            "column[0]",
            "The first column is empty or holds a character that a page has none of.",
        ),
        (
            TEXT.replace("alpacaeval", "-none"),
            "column[0]",
            "The first column has no preset (-none), and so no values but edited ones.",
        ),
        (
            ending("seed=-1"),
            "seed",
            "The seed must be a whole number from 0 to 9,007,199,254,740,991, not -1.",
        ),
        (
            ending(f"seed={2**53}"),
            "seed",
            "The seed must be a whole number from 0 to 9,007,199,254,740,991, not "
            "9007199254740992.",
        ),
        (
            ending("system=%zz"),
            "system",
            "The system text cannot be read: its percent-encoding was changed on the way.",
        ),
        (
            ending("system=%ff"),
            "system",
            "The system text cannot be read: its percent-encoding was changed on the way.",
        ),
        (
            ending("system=%2"),
            "system",
            "The system text cannot be read: its percent-encoding was changed on the way.",
        ),
        (ending("system=%0D"), "system", "The system text begins or ends with white space."),
        (
            ending("system=a%00b"),
            "system",
            "The system text is empty or holds a character that a page has none of.",
        ),
        (ending("stop=a%0Ab"), "stop[0]", "A stop sequence is one line of 1 to 200 characters."),
        (ending("&".join(["stop=a"] * 4)), "stop", "There can be at most 3 stop sequences."),
        (
            ending(f"stop={'a' * 201}"),
            "stop[0]",
            "A stop sequence is one line of 1 to 200 characters.",
        ),
        (
            ending("seed=1&own-seeds")
            .replace("chat", "compare")
            .replace("&seed", "&column=-none&seed"),
            "seed",
            "The link has one seed for all columns and one for each (own-seeds).",
        ),
        (ending(""), "link", "An empty part is not known in a set-up link."),
        (ending("=1"), "link", "=1 is not known in a set-up link."),
        (
            ending("x" * 41),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… is not known in a set-up link.",
        ),
        (
            ending("x" * 40),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx is not known in a set-up link.",
        ),
        (ending("column"), "column", "column is not known in a set-up link."),
        (ending("seed"), "seed", "seed is not known in a set-up link."),
        (
            ending("prompt="),
            "prompt",
            "The prompt is empty or holds a character that a page has none of.",
        ),
        (ending("prompt=%20a"), "prompt", "The prompt begins or ends with white space."),
        (ending("prompt=a%0D"), "prompt", "The prompt begins or ends with white space."),
        (
            ending("stop="),
            "stop[0]",
            "The first stop sequence is empty or holds a character that a page has none of.",
        ),
        (ending("difference=off"), "difference", "The tab chat has no difference."),
        (
            f"{TWO}&difference=all&end",
            "difference",
            "The difference must be one of first, words, off, not all.",
        ),
        (
            f"{TWO}&against=0&end",
            "against",
            "The column to compare with must be a whole number from 1 to 2, not 0.",
        ),
        (
            f"{TWO}&against=3&end",
            "against",
            "The column to compare with must be a whole number from 1 to 2, not 3.",
        ),
        (
            f"{TWO}&column=-none&column=-none&column=-none&end",
            "column",
            "The tab compare has 2 to 4 columns, and this link 5.",
        ),
        (
            f"{TWO}&seed=5&column=-none,seed:5&end",
            "column[2].seed",
            "The third column has a seed of its own, and the link does not say own-seeds.",
        ),
        (
            f"{TWO},seed:5&end",
            "column[1].seed",
            "The second column has a seed of its own, and the link does not say own-seeds.",
        ),
        (
            f"{TWO},seed:5,seed:6&own-seeds&end",
            "column[1].seed",
            "The seed of the second column stands twice.",
        ),
        (
            f"{TWO},seed:5:6&own-seeds&end",
            "column[1].seed",
            "seed is not a sampler parameter; there are temperature, top_p, top_k, "
            "frequency_penalty, presence_penalty, repetition_penalty, min_p, and max, "
            "seed, engine and emulate.",
        ),
        ("setup=1&tab=about&stop=a&end", "stop", "There can be at most 0 stop sequences."),
        ("setup=1&tab=history&system=a&end", "system", "The tab history has no system text."),
        ("setup=1&tab=about&seed=1&end", "seed", "The tab about has no seed."),
        (
            TEXT.replace("2048", "2147483648"),
            "column[0].max",
            "The limit of new tokens of the first column must be a whole number from 1 "
            "to 2,147,483,647, not 2147483648.",
        ),
        (
            TEXT.replace("2048", "x"),
            "column[0].max",
            "The limit of new tokens of the first column must be a whole number from 1 "
            "to 2,147,483,647, not x.",
        ),
        (
            TEXT.replace("2048", "1" * 17),
            "column[0].max",
            "The limit of new tokens of the first column must be a whole number from 1 "
            "to 2,147,483,647, not 11111111111111111.",
        ),
        (
            TEXT.replace("max:2048", "max"),
            "column[0].max",
            "The limit of new tokens of the first column must have the preset's value, "
            "and another one where it was edited.",
        ),
        (
            TEXT.replace("max:2048", "max:1:2:3"),
            "column[0].max",
            "The limit of new tokens of the first column must have the preset's value, "
            "and another one where it was edited.",
        ),
        (
            TEXT.replace("alpacaeval", "a" * 41),
            "column[0]",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… is not the id of a preset.",
        ),
        (
            TEXT.replace("alpacaeval", "-own:" + "a" * 81),
            "column[0]",
            "The name of a preset has 1 to 60 characters.",
        ),
        (
            TEXT.replace("alpacaeval", "-own:%zz"),
            "column[0]",
            "The first column cannot be read: its percent-encoding was changed on the way.",
        ),
        (TEXT.replace("alpacaeval", "-no"), "column[0]", "-no is not the id of a preset."),
        (TEXT.replace("alpacaeval", ""), "column[0]", " is not the id of a preset."),
        (
            "setup=1&tab=chat&column=-none,temperature:0.5&end",
            "column[0]",
            "The first column has no preset (-none), and so no values but edited ones.",
        ),
        (
            "setup&tab=chat&column=-none&end",
            "setup",
            "This is not a set-up link: it must begin with setup= and its version.",
        ),
        (
            "other=1&tab=chat&column=-none&end",
            "setup",
            "This is not a set-up link: it must begin with setup= and its version.",
        ),
        (
            "setup=1",
            "end",
            "The end of this link is missing: it was cut on its way. Copy it as a whole.",
        ),
        (
            "setup=1&tab=chat&column=-none&END",
            "end",
            "The end of this link is missing: it was cut on its way. Copy it as a whole.",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, field: str, error: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse_link(text)
    assert (caught.value.kind, caught.value.field) == ("link_broken", field)
    assert str(caught.value) == error


@pytest.mark.parametrize("version", ["4", "10"])
@pytest.mark.parametrize("rest", ["whatever", "tab=chat&end", "x" * MAX_CHARS])
def test_a_link_of_a_newer_playground_is_told_whatever_it_says(version: str, rest: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse_link(f"setup={version}&{rest}")
    assert (caught.value.kind, caught.value.field) == ("link_too_new", "setup")
    assert str(caught.value) == (
        f"This link was made by a newer playground (version {version} of links; this one reads "
        "version 3). Ask whoever runs this server for an update."
    )


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("2048", str(2**31 - 1)),
        TEXT.replace("2048", "1"),
        TEXT.replace("2048", "-"),
        TEXT.replace("0.7", "0"),
        TEXT.replace("0.7", "2.000"),
        TEXT.replace("0.7", "7e-1"),
        TEXT.replace("alpacaeval", "a" * 40),
        TEXT.replace("alpacaeval", "-own:" + "%20" * 60),
        ending("seed=0"),
        ending(f"seed={2**53 - 1}"),
        ending("&".join(["stop=a"] * 3)),
        ending(f"stop={'a' * 200}"),
        ending("stop=%20"),
        ending("system=a%0Ab"),
        f"{TWO}&against=1&end",
        f"{TWO}&against=2&end",
        f"{TWO}&column=-none&column=-none&against=4&end",
        f"{TWO},seed:0&own-seeds&end",
        "setup=1&tab=about&end",
        "setup=01&tab=history&end",
    ],
)
def test_what_is_just_right_is_read(text: str) -> None:
    assert parse_link(text) == parse_link("#" + text)
