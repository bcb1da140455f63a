"""Set-up links: what is read of them, what is refused, and that nothing is lost on the way."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain.names import plain_name
from playground.domain.samplers import PARAMETERS, Parameter, Sampler
from playground.sharing.setup import (
    DIFFERENCES,
    MAX_CHARS,
    MAX_SEED,
    Column,
    LinkError,
    Setup,
    Values,
)
from playground.sharing.setup_link import parse_link
from tests.mutations import mutated_text
from tests.setup_links import format_link
from tests.stock import playground

ALPACA: Final = Values(Sampler(temperature=0.7, top_p=0.95), 2048)
CHAT: Final = Setup("chat", (Column("server", "alpacaeval", ALPACA, ALPACA),))
TEXT: Final = "setup=1&tab=chat&column=alpacaeval,temperature:0.7,top_p:0.95,max:2048&end"


def value(parameter: Parameter) -> st.SearchStrategy[float | None]:
    low, high = parameter.minimum, parameter.maximum
    if parameter.integer:
        return st.none() | st.integers(int(low), int(high))
    values = st.floats(low, high, allow_subnormal=False).map(lambda x: x + 0.0)
    return st.none() | values.filter(lambda value: not parameter.skips(value))


SAMPLERS: Final = st.builds(Sampler, **{each.name: value(each) for each in PARAMETERS})
VALUES: Final = st.builds(Values, SAMPLERS, st.none() | st.integers(1, 2**31 - 1))
LETTERS: Final = st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")
TEXTS: Final = st.text(LETTERS, max_size=60).map(str.strip)
NAMES: Final = st.text(LETTERS, min_size=1, max_size=60).map(plain_name).filter(bool)
STOPS: Final = st.text(LETTERS, min_size=1, max_size=60).filter(lambda text: "\n" not in text)
SEEDS: Final = st.none() | st.integers(0, MAX_SEED)
ENGINES: Final = st.from_regex(r"[a-z0-9_-]{1,40}", fullmatch=True)
IDS: Final = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind: Any = draw(st.sampled_from(["server", "own", "none"]))
    values = draw(VALUES)
    started = draw(st.just(values) | VALUES)
    rest: dict[str, Any] = {"engine": draw(st.none() | ENGINES), "emulate": draw(st.booleans())}
    if kind == "none":
        return Column("none", "", Values(Sampler()), values, **rest)
    name = draw(IDS if kind == "server" else NAMES)
    return Column(kind, name, started, values, **rest)


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    tab: Any = draw(st.sampled_from(["chat", "compare", "compare", "history", "about"]))
    if tab in ("history", "about"):
        return Setup(tab)
    asked: dict[str, Any] = {
        "stop": tuple(draw(st.lists(STOPS, max_size=3))),
        "system": draw(TEXTS),
        "prompt": draw(TEXTS),
    }
    if tab == "chat":
        return Setup("chat", (draw(columns()),), seed=draw(SEEDS), **asked)
    several = draw(st.lists(columns(), min_size=2, max_size=4))
    own_seeds = draw(st.booleans())
    if own_seeds:
        several = [replace(each, seed=draw(SEEDS)) for each in several]
    return Setup(
        "compare",
        tuple(several),
        seed=None if own_seeds else draw(SEEDS),
        own_seeds=own_seeds,
        difference=draw(st.sampled_from(DIFFERENCES)),
        against=draw(st.integers(0, len(several) - 1)),
        blind=draw(st.booleans()),
        **asked,
    )


@given(setups())
def test_what_is_written_is_read_again(setup: Setup) -> None:
    text = format_link(setup)
    assert text.isascii()
    if len(text) <= MAX_CHARS:
        assert parse_link(text) == setup
        assert parse_link(f"#{text}") == setup


@given(setups(), st.data())
def test_a_link_that_was_cut_anywhere_is_refused(setup: Setup, data: st.DataObject) -> None:
    text = format_link(setup)
    kept = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(LinkError) as caught:
        parse_link(text[:kept])
    assert caught.value.kind in ("link_broken", "link_too_long")


def test_a_link_is_short_and_can_be_read_by_people() -> None:
    assert format_link(CHAT) == TEXT
    edited = replace(ALPACA, sampler=Sampler(temperature=0.9, top_k=40), max_new_tokens=None)
    setup = Setup(
        "compare",
        (
            Column("server", "alpacaeval", ALPACA, edited, 7),
            Column("own", "A, b & „c“", ALPACA, ALPACA),
            Column("none", "", Values(Sampler()), Values(Sampler(min_p=1e-7))),
        ),
        own_seeds=True,
        stop=("###", "END."),
        system="Be kind.\nAlways.",
        difference="words",
        against=1,
        blind=True,
        prompt="100 %?",
    )
    text = format_link(setup)
    assert text == (
        "setup=1&tab=compare"
        "&column=alpacaeval,temperature:0.7:0.9,top_p:0.95:-,top_k:-:40,max:2048:-,seed:7"
        "&column=-own:A%2C%20b%20%26%20%E2%80%9Ec%E2%80%9C,temperature:0.7,top_p:0.95,max:2048"
        "&column=-none,min_p:-:1e-7&own-seeds&stop=%23%23%23&stop=END."
        "&system=Be%20kind.%0AAlways.&difference=words&against=2&blind&prompt=100%20%25%3F&end"
    )
    assert parse_link(text) == setup


def test_a_link_of_the_first_version_has_no_engine() -> None:
    column = replace(CHAT.columns[0], engine="q4")
    text = format_link(replace(CHAT, columns=(column,)))
    assert text == TEXT.replace("setup=1", "setup=2").replace("max:2048", "max:2048,engine:q4")
    assert parse_link(text).columns == (column,)
    assert parse_link(TEXT.replace("setup=1", "setup=2")) == CHAT
    for part, place in (
        ("engine:q4", text.replace("setup=2", "setup=1")),
        ("engine:q4,engine:q4", text.replace("engine:q4", "engine:q4,engine:q4")),
        ("engine:Q4", text.replace("engine:q4", "engine:Q4")),
        ("engine", text.replace("engine:q4", "engine")),
        ("engine:a:b", text.replace("engine:q4", "engine:a:b")),
    ):
        with pytest.raises(LinkError) as caught:
            parse_link(place)
        assert caught.value.field == "column[0].engine", part


def test_a_link_without_emulation_is_of_the_third_version() -> None:
    column = replace(CHAT.columns[0], engine="q4", emulate=False)
    text = format_link(replace(CHAT, columns=(column,)))
    assert text == TEXT.replace("setup=1", "setup=3").replace(
        "max:2048", "max:2048,engine:q4,emulate:off"
    )
    assert parse_link(text).columns == (column,)
    for wrong in (
        text.replace("setup=3", "setup=2"),
        text.replace("emulate:off", "emulate:off,emulate:off"),
        text.replace("emulate:off", "emulate:on"),
        text.replace("emulate:off", "emulate"),
    ):
        with pytest.raises(LinkError) as caught:
            parse_link(wrong)
        assert caught.value.field == "column[0].emulate", wrong


def test_the_length_is_limited_on_both_sides() -> None:
    room = MAX_CHARS - len(format_link(replace(CHAT, system="x"))) + 1
    fits, too_long = (replace(CHAT, system="x" * length) for length in (room, room + 1))
    assert len(format_link(fits)) == MAX_CHARS
    assert parse_link(format_link(fits)) == fits
    with pytest.raises(LinkError, match="longer than the 8,000 characters") as caught:
        parse_link(format_link(too_long))
    assert caught.value.kind == "link_too_long"


@given(st.text(max_size=200) | st.text("setup=1&tabchon,:%-", max_size=80))
def test_no_text_does_anything_but_be_refused_or_read(text: str) -> None:
    for each in (text, f"setup=1&tab=chat&{text}&end"):
        with suppress(LinkError):
            parse_link(each)


@given(mutated_text(setups().map(format_link)))
def test_a_link_that_is_nearly_right_is_refused_or_means_what_it_says(text: str) -> None:
    with suppress(LinkError):
        setup = parse_link(text)
        assert parse_link(format_link(setup)) == setup


async def test_the_route_reads_a_link_by_the_presets_of_this_server() -> None:
    async with playground("http://127.0.0.1:9") as url, httpx.AsyncClient(base_url=url) as client:

        async def read(link: object) -> httpx.Response:
            return await client.post("/api/links/read", json={"link": link})

        answer = await read(TEXT.replace("&end", "&seed=7&end"))
        assert answer.status_code == 200
        setup = answer.json()["setup"]
        assert (setup["tab"], setup["seed"], setup["stop"]) == ("chat", 7, [])
        values = {"sampler": {"temperature": 0.7, "top_p": 0.95}, "max_new_tokens": 2048}
        assert setup["columns"] == [
            {
                "kind": "server",
                "name": "alpacaeval",
                "label": "Balanced",
                "moved": False,
                "started": values,
                "values": values,
                "seed": None,
                "engine": None,
                "emulate": True,
            }
        ]
        moved = (await read(TEXT.replace("0.7", "0.6"))).json()["setup"]["columns"][0]
        assert moved["moved"] is True
        assert moved["values"]["sampler"]["temperature"] == 0.6
        refused = await read(TEXT.replace("alpacaeval", "gone"))
        assert refused.status_code == 422
        assert refused.json() == {
            "error": "There is no preset gone on this server; there are alpacaeval, huggingchat, "
            "min-p.",
            "kind": "link_broken",
            "field": "column[0]",
        }
        assert (await read("setup=9")).json()["kind"] == "link_too_new"
        bodies: tuple[Any, ...] = ({}, [], {"link": 5}, {"link": TEXT, "more": 1})
        for body in bodies:
            assert (await client.post("/api/links/read", json=body)).status_code == 422


LONG: Final = (
    "setup=1&tab=chat&column=alpacaeval,temperature:0.7,top_p:0.95,max:2048"
    "&stop=%23%23%23&system=Be%20brief&end"
)


@pytest.mark.parametrize(
    "changed",
    [
        LONG.replace("%", "%25"),
        quote(LONG, safe=""),
        LONG.replace("=", "%3D").replace("&", "%26"),
        LONG.replace("&", "%26"),
        LONG.replace("&", "&amp;"),
        LONG.replace(",", "%2C").replace(":", "%3a"),
        *(LONG + more for more in (".", ")", ",", "…", "*", "&fbclid=x", "&utm_source=a&b=c")),
    ],
)
def test_what_programs_do_to_a_link_on_its_way_is_undone(changed: str) -> None:
    assert parse_link(changed) == parse_link(LONG)


@pytest.mark.parametrize("changed", [LONG + "x", LONG[:-1], LONG + "%20and", LONG[:60]])
def test_a_link_that_may_be_another_is_refused(changed: str) -> None:
    with pytest.raises(LinkError):
        parse_link(changed)


@pytest.mark.parametrize("system", ["100%41", "%%41", "50%", "%", "%4", "a%26b", "&amp;", "end."])
def test_a_text_with_signs_of_an_encoding_is_read_as_it_was_written(system: str) -> None:
    setup = replace(CHAT, system=system)
    assert parse_link(format_link(setup)) == setup
