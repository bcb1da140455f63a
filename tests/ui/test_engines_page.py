"""Several engines in a real browser: llama.cpp with a real model, and the stand-in for TGI."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.domain.samplers import BY_NAME
from tests.engines_file import engines_file
from tests.pages import READY, opened, serve
from tests.servers import Server, stand_in

pytestmark = pytest.mark.browser

SHORT = "What is 2+2?"
STORY = "Tell me a story about a lighthouse."


@pytest.fixture(scope="module")
def several(
    engine: Server, llamacpp: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A playground whose default is the stand-in, with llama.cpp beside it."""
    folder = tmp_path_factory.mktemp("engines")
    file = engines_file(folder, kinds={"q4": "llamacpp"}, tgi=engine.url, q4=llamacpp.url)
    # An answer takes what the context leaves, which is soon written.
    with serve("http://unused.invalid", engines_file=file, context_tokens=256) as site:
        yield site.url


@pytest.fixture
def page(chromium: Browser, several: str) -> Iterator[Page]:
    with opened(chromium, several) as page:
        yield page


def column(page: Page, place: int) -> Locator:
    return page.locator("#comparison .board:visible .column").nth(place)


def engine_of(page: Page, place: int) -> Locator:
    return page.get_by_role("combobox", name=f"Engine of column {place + 1}")


def answer(page: Page, place: int) -> Locator:
    return column(page, place).locator('[data-testid="message"][data-role="assistant"]').last


def spread(page: Page) -> None:
    """One preset on both engines."""
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="More for the comparison").click()
    page.get_by_role("button", name="This preset on all engines").click()
    expect(page.locator("#comparison .column")).to_have_count(2)


def ask(page: Page, text: str) -> None:
    page.fill("#compare-prompt", text)
    page.press("#compare-prompt", "Enter")


def ended(page: Page) -> None:
    for place in (0, 1):
        expect(answer(page, place)).to_have_attribute("data-state", "done", timeout=60_000)


def receipt(page: Page, place: int) -> Locator:
    """An answer's receipt, opened."""
    answer(page, place).get_by_role("button", name="Receipt").click()
    return answer(page, place).locator(".receipt")


def test_one_click_puts_a_preset_on_all_engines(page: Page) -> None:
    spread(page)
    assert [engine_of(page, i).input_value() for i in (0, 1)] == ["tgi", "q4"]
    assert engine_of(page, 1).evaluate("node => node.selectedOptions[0].text") == "Q4"
    ask(page, SHORT)
    ended(page)
    expect(receipt(page, 0)).to_contain_text("TGI stand-in")
    expect(receipt(page, 1)).to_contain_text(re.compile(r"llama\.cpp.*q4", re.DOTALL))
    assert page.locator("#compare-against option").all_inner_texts() == [
        "Balanced · TGI",
        "Balanced · Q4",
    ]
    # The choice is the tab's own, and so is what was answered.
    page.reload()
    page.wait_for_selector(READY)
    page.get_by_role("tab", name="Compare").click()
    expect(engine_of(page, 1)).to_have_value("q4")
    expect(answer(page, 1)).to_have_attribute("data-state", "done")


def test_an_engine_is_killed_and_comes_back(
    chromium: Browser, llamacpp: Server, tmp_path: Path
) -> None:
    with stand_in("--tokens-per-second", "10") as mortal:
        file = engines_file(
            tmp_path, kinds={"steady": "llamacpp"}, steady=llamacpp.url, mortal=mortal.url
        )
        with (
            serve("http://unused.invalid", engines_file=file, context_tokens=256) as site,
            opened(chromium, site.url) as page,
        ):
            spread(page)
            place = engine_of(page, 1).bounding_box()
            ask(page, STORY)
            expect(answer(page, 1).locator(".body")).to_contain_text(re.compile(r"\w+ \w+"))
            mortal.kill()
            # The killed one says why, and what it wrote stays; the other one goes on to its end.
            expect(answer(page, 1)).to_have_attribute("data-state", "failed")
            expect(answer(page, 1).locator(".problem")).to_contain_text("Incomplete.")
            expect(answer(page, 1).locator(".body")).to_contain_text(re.compile(r"\w+ \w+"))
            expect(answer(page, 0)).to_have_attribute("data-state", "done", timeout=60_000)
            selected = "node => node.selectedOptions[0].text"
            page.wait_for_function(
                "() => document.querySelectorAll('.engine-of')[1].selectedOptions[0].text"
                " === 'MORTAL · offline'"
            )
            assert engine_of(page, 0).evaluate(selected) == "STEADY"
            assert engine_of(page, 1).bounding_box() == place

            ask(page, SHORT)  # while it is away
            expect(answer(page, 0)).to_have_attribute("data-state", "done", timeout=60_000)
            expect(answer(page, 1)).to_have_attribute("data-state", "failed")
            expect(answer(page, 1).locator(".problem")).to_contain_text(
                str(urlsplit(mortal.url).port)
            )

            with stand_in("--port", str(urlsplit(mortal.url).port)):
                page.wait_for_function(
                    "() => document.querySelectorAll('.engine-of')[1].selectedOptions[0].text"
                    " === 'MORTAL'"
                )
                answer(page, 1).get_by_role("button", name="Retry").click()
                expect(answer(page, 1)).to_have_attribute("data-state", "done")


def test_the_chat_chooses_its_engine_and_the_page_follows_it(page: Page) -> None:
    choice = page.get_by_label("engine", exact=True)
    expect(choice).to_have_value("tgi")
    choice.select_option("q4")
    expect(page.locator("#engine-state")).to_have_attribute("title", "llama.cpp")
    page.fill("#chat-prompt", SHORT)
    page.press("#chat-prompt", "Enter")
    message = page.locator('#chat [data-role="assistant"]').last
    expect(message).to_have_attribute("data-state", "done", timeout=60_000)
    message.get_by_role("button", name="Receipt").click()
    expect(message.locator(".receipt")).to_contain_text("q4")
    assert ",engine:q4&" in page.evaluate("location.hash")
    page.reload()
    page.wait_for_selector(READY)
    expect(page.get_by_label("engine", exact=True)).to_have_value("q4")
    expect(page.locator("#engine-state")).to_have_attribute("title", "llama.cpp")


COUNTS_PROMPT = "Counts the prompt's tokens, too."
UNTOLD = (
    "This one does not tell the likeliest tokens (MAX_TOP_N_TOKENS), so it is not emulated either."
)
# What stands below the knobs of each engine; below the others there is nothing.
WORDS = {
    "all": {},
    "stock": dict.fromkeys(("frequency_penalty", "presence_penalty", "min_p"), "emulated"),
    "bare": {
        "frequency_penalty": "Far weaker than OpenAI's.",
        "presence_penalty": f"Not applied: TGI has no presence penalty; it is not sent. {UNTOLD}",
        "min_p": f"Not applied: TGI has no min_p; it is not sent. {UNTOLD}",
    },
    "q4": {"frequency_penalty": COUNTS_PROMPT, "presence_penalty": COUNTS_PROMPT},
}
OFF = dict.fromkeys(("frequency_penalty", "presence_penalty", "min_p"), "off")
NEVER = "Not applied: Emulation is off, and the engine has no such parameter: it is not sent."
OFF_HERE = {
    "frequency_penalty": "Not applied: Emulation is off. The engine's own is far weaker than "
    "OpenAI's, and is not sent either.",
    "presence_penalty": NEVER,
    "min_p": NEVER,
}


@pytest.fixture(scope="module")
def unlike(
    engine: Server, llamacpp: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A file of engines that treat the parameters each in its own way."""
    with stand_in() as stock, stand_in("--max-top-n-tokens", "0") as bare:
        urls = {"all": engine.url, "stock": stock.url, "bare": bare.url, "q4": llamacpp.url}
        folder = tmp_path_factory.mktemp("unlike")
        yield engines_file(folder, kinds={"q4": "llamacpp"}, **urls)


def expect_words(page: Page, words: Mapping[str, str]) -> None:
    for name in BY_NAME:
        how = page.locator(f'.preset:visible [data-parameter="{name}"] .how')
        expect(how).to_have_text(words.get(name, ""))


def test_the_words_below_the_knobs_are_those_of_the_engine(chromium: Browser, unlike: Path) -> None:
    with (
        serve("http://unused.invalid", engines_file=unlike) as site,
        opened(chromium, site.url) as page,
    ):
        choice = page.get_by_label("engine", exact=True)
        for name in ("all", "stock", "bare", "q4", "stock", "all"):
            choice.select_option(name)
            expect_words(page, WORDS[name])
        choice.select_option("stock")
        emulate = page.get_by_role("checkbox", name="emulate what the engine lacks")
        emulate.uncheck()
        expect_words(page, OFF)
        choice.select_option("bare")
        expect_words(page, WORDS["bare"])
        choice.select_option("stock")
        emulate.check()
        expect_words(page, WORDS["stock"])


def test_the_words_below_the_knobs_where_the_server_emulates_nothing(
    chromium: Browser, unlike: Path
) -> None:
    with (
        serve("http://unused.invalid", engines_file=unlike, emulation=False) as site,
        opened(chromium, site.url) as page,
    ):
        choice = page.get_by_label("engine", exact=True)
        for name, words in (WORDS | {"stock": OFF_HERE}).items():
            choice.select_option(name)
            expect_words(page, words)


def test_a_link_carries_the_engines(page: Page, several: str, chromium: Browser) -> None:
    spread(page)
    page.wait_for_function("() => location.hash.includes('engine:q4')")
    address = page.url
    assert "#setup=2&tab=compare&" in address
    with opened(chromium, several) as other:
        other.goto(address)
        expect(engine_of(other, 1)).to_have_value("q4")
        assert [engine_of(other, i).input_value() for i in (0, 1)] == ["tgi", "q4"]


@contextmanager
def alone(chromium: Browser, engine: Server, tmp_path: Path) -> Iterator[Page]:
    """The page of a server that has the stand-in alone, under another name."""
    file = engines_file(tmp_path, only=engine.url, other="http://127.0.0.1:9")
    with (
        serve("http://unused.invalid", engines_file=file) as site,
        opened(chromium, site.url) as page,
    ):
        yield page


def test_a_record_whose_engine_is_gone_is_opened_and_says_so(
    page: Page, chromium: Browser, engine: Server, tmp_path: Path
) -> None:
    spread(page)
    ask(page, SHORT)
    ended(page)
    page.get_by_role("button", name="More for the comparison").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    record: dict[str, Any] = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert record["version"] == 4
    assert [each["setting"]["engine"] for each in record["columns"]] == ["tgi", "q4"]
    with alone(chromium, engine, tmp_path) as other:
        other.get_by_role("tab", name="History").click()
        other.set_input_files("#history-import + input", download.value.path())
        other.locator(".entry-title").click()
        expect(engine_of(other, 1)).to_have_value("only")
        expect(column(other, 1).locator(".warning")).to_contain_text(
            "The engine “q4” is not here: ONLY answers in its place."
        )
        expect(other.locator("#compare-notice")).to_contain_text("The engine “tgi” is not here")
        engine_of(other, 1).select_option("other")
        expect(column(other, 1).locator(".warning")).not_to_contain_text("is not here")


def test_a_snapshot_is_run_again_by_the_engine_that_wrote_it(page: Page) -> None:
    page.get_by_label("engine", exact=True).select_option("q4")
    page.fill("#chat-prompt", SHORT)
    page.press("#chat-prompt", "Enter")
    expect(page.locator('#chat [data-role="assistant"]').last).to_have_attribute(
        "data-state", "done", timeout=60_000
    )
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Create the link").click()
    address = page.get_by_label("The link", exact=True).input_value()
    page.goto(address)
    page.wait_for_selector("html[data-snapshot=ready]")
    with page.expect_request("**/api/stream") as asked:
        page.get_by_role("button", name="Run again and show what changed").click()
    assert json.loads(asked.value.post_data or "")["panes"][0]["engine"] == "q4"
    expect(page.locator('[data-testid="again"] .message')).to_have_attribute(
        "data-state", "done", timeout=60_000
    )
