"""The page's address in a real browser: it follows the set-up, and opening it brings the set-up."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Error, Locator, Page, Route, expect

from playground.sharing.setup import MAX_CHARS, Setup, Values
from playground.sharing.setup_link import parse_link
from tests.pages import READY, opened, serve
from tests.servers import Server
from tests.setup_links import format_link
from tests.sharing.test_setup_link import TEXT, setups
from tests.ui.test_comparison_page import answer as column_answer
from tests.ui.test_comparison_page import choose, column, compare, pure
from tests.ui.test_comparison_page import finished as all_finished
from tests.ui.test_page import answers, ask, finished, growing, questions

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."
PANEL = "sessionStorage.getItem('kto-playground.v1.samplers')"
MOVED = """version = 2
[[preset]]
id = "alpacaeval"
name = "Balanced"
max_new_tokens = 100
[preset.sampler]
temperature = 0.5
top_p = 0.95
[[preset]]
id = "other"
name = "Other"
[preset.sampler]
top_k = 4
"""
MANY = MOVED + "".join(
    f'[[preset]]\nid = "p{i}"\nname = "Long name {i}"\n[preset.sampler]\ntop_k = 4\n'
    for i in range(3)
)


def knob(page: Page, name: str) -> Locator:
    return page.locator(f'.preset:visible [data-parameter="{name}"] .value')


def field(page: Page, place: int, name: str) -> Locator:
    """A value of a column of the comparison, which is shown first."""
    details = column(page, place).locator("details.values")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    return details.get_by_label(name, exact=True)


def address(page: Page, *parts: str) -> str:
    """The address once it says all of this."""
    for part in parts:
        expect(page).to_have_url(re.compile(re.escape(part)))
    return page.url


@contextmanager
def visiting(chromium: Browser, link: str, **options: Any) -> Iterator[Page]:
    """A link opened in a profile of its own."""
    context = chromium.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(link)
    page.wait_for_selector(READY)
    yield page
    assert errors == []
    context.close()


def link(page: Page, *, prompt: bool = False) -> str:
    """The link as the page gives it to be copied."""
    text: str = pure(page, "share/setup_link.js", "m.setupLink({prompt: a[0]})", prompt)
    return text


def follow(page: Page, fragment: str) -> None:
    """Open a link in the tab that is open already."""
    page.evaluate("text => { location.hash = text; }", fragment)


def test_the_address_follows_the_chat(page: Page) -> None:
    start = "#setup=1&tab=chat&column=alpacaeval,temperature:0.7,top_p:0.95,max:2048&end"
    assert address(page, start).endswith(start)
    knob(page, "temperature").fill("0.9")
    address(page, "temperature:0.7:0.9,top_p:0.95,max:2048&end")
    knob(page, "top_p").fill("")
    knob(page, "top_k").fill("40")
    page.fill("#max-new-tokens", "64")
    page.fill("#seed", "7")
    page.fill("#stop", "###\n\nEND.")
    page.fill("#system", " Be kind.\nAlways. ")
    address(
        page,
        "temperature:0.7:0.9,top_p:0.95:-,top_k:-:40,max:2048:64&seed=7&stop=%23%23%23&stop=END."
        "&system=Be%20kind.%0AAlways.&end",
    )
    page.get_by_role("tab", name="Creative").click()
    address(page, "column=min-p,temperature:1,min_p:0.1,max:-:64&")
    page.get_by_role("tab", name="Custom").click()
    address(page, "column=-none,max:-:64&")
    page.fill("#seed", "x")
    expect(page).not_to_have_url(re.compile("#"))  # what cannot be read is not in any link
    page.fill("#seed", "")
    address(page, "column=-none,max:-:64&stop=")


def test_a_chat_goes_through_a_link_into_another_profile(chromium: Browser, page: Page) -> None:
    knob(page, "temperature").fill("0.9")
    knob(page, "top_p").fill("")
    page.fill("#max-new-tokens", "–")
    page.fill("#seed", "7")
    page.fill("#stop", "###\n<b>&end")
    page.fill("#system", "Be <b>kind</b>.\n„❤“ 100 % + & = , : #")
    page.fill("#chat-prompt", "not to be sent along")
    address(page, "&system=Be%20")
    with visiting(chromium, page.url) as other:
        expect(other.locator("#notice")).to_contain_text(
            "Set up from the link: Balanced, edited, seed 7, stop sequences, a system text."
        )
        for name, value in (("temperature", "0.9"), ("top_p", ""), ("top_k", "")):
            expect(knob(other, name)).to_have_value(value)
        expect(other.get_by_role("button", name="Back to the preset’s 0.7")).to_be_visible()
        expect(other.locator("#max-new-tokens")).to_have_value("–")
        expect(other.locator("#seed")).to_have_value("7")
        expect(other.locator("#stop")).to_have_value("###\n<b>&end")
        expect(other.locator("#system")).to_have_value("Be <b>kind</b>.\n„❤“ 100 % + & = , : #")
        expect(other.locator("#chat-prompt")).to_have_value("")
        expect(other).to_have_url(page.url)
        expect(other.locator("dialog")).to_have_count(0)
        other.reload()
        other.wait_for_selector(READY)
        expect(knob(other, "temperature")).to_have_value("0.9")
        expect(other.locator("#notice")).to_be_hidden()
        expect(other).to_have_url(page.url)


def test_an_own_preset_goes_along_and_undo_takes_it_away(chromium: Browser, page: Page) -> None:
    knob(page, "top_k").fill("9")
    page.get_by_role("button", name="Save as…").click()
    page.get_by_label("Name", exact=True).fill("Nine, „❤“: <b>")
    page.locator("dialog").get_by_role("button", name="Save").click()
    knob(page, "min_p").fill("0.2")
    address(page, "column=-own:Nine%2C%20", "min_p:-:0.2")
    own = "JSON.parse(localStorage.getItem('kto-playground.v1.presets'))?.presets ?? []"
    with visiting(chromium, page.url) as other:
        expect(other.locator("#notice")).to_contain_text("“Nine, „❤“: <b>” was added")
        expect(other.locator(".own-choice")).to_have_value(re.compile("^-own-"))
        expect(knob(other, "top_k")).to_have_value("9")
        expect(knob(other, "min_p")).to_have_value("0.2")
        expect(other).to_have_url(page.url)
        kept = other.evaluate(own)
        assert [(each["name"], each["max_new_tokens"]) for each in kept] == [
            ("Nine, „❤“: <b>", 2048)
        ]
        follow(other, re.sub("top_k:9", "top_k:8", page.url.partition("#")[2]))
        expect(other.locator("#notice")).to_contain_text("has other values in this browser")
        expect(knob(other, "top_k")).to_have_value("8")
        assert other.evaluate(own) == kept
    with visiting(chromium, page.url) as other:
        other.locator("#notice").get_by_role("button", name="Undo").click()
        expect(other.get_by_role("tab", name="Balanced")).to_have_attribute("aria-selected", "true")
        assert other.evaluate(own) == []
        address(other, "&tab=chat&column=alpacaeval,temperature:0.7,top_p:0.95,max:2048&end")


def test_a_comparison_goes_through_a_link_into_another_profile(
    chromium: Browser, page: Page
) -> None:
    compare(page)
    address(
        page, "&tab=compare&column=alpacaeval", "&column=huggingchat", "&column=min-p", "&seed="
    )
    page.get_by_role("button", name="Add column").click()
    column(page, 3).get_by_role("combobox").select_option("huggingchat")
    field(page, 3, "temperature").fill("1.1")
    field(page, 3, "max new tokens").fill("50")
    page.get_by_label("same seed").uncheck()
    field(page, 1, "seed").fill("5")
    page.select_option("#compare-difference", "words")
    page.select_option("#compare-against", "2")
    page.check("#compare-blind")
    page.get_by_role("button", name="system text, stop").click()
    page.fill("#compare-system", "Be kind.")
    page.fill("#compare-stop-sequences", "###")
    address(page, "temperature:0.3:1.1", "max:1024:50", "seed:5", "&own-seeds&stop=%23%23%23&")
    address(page, "&system=Be%20kind.&difference=words&against=3&blind&end")
    with visiting(chromium, page.url) as other:
        expect(column(other, 3)).to_be_visible()
        expect(other.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
        names = other.locator("#comparison .board:visible .preset-of").evaluate_all(
            "nodes => nodes.map(node => node.selectedOptions[0].text)"
        )
        assert names == ["Balanced", "Focused", "Creative", "Focused, edited"]
        expect(field(other, 3, "temperature")).to_have_value("1.1")
        expect(field(other, 3, "max new tokens")).to_have_value("50")
        expect(field(other, 1, "seed")).to_have_value("5")
        expect(field(other, 0, "seed")).to_have_value("")
        expect(other.get_by_label("same seed")).not_to_be_checked()
        expect(other.locator("#compare-difference")).to_have_value("words")
        expect(other.locator("#compare-against")).to_have_value("2")
        expect(other.locator("#compare-blind")).to_be_checked()
        expect(other.locator("#compare-system")).to_have_value("Be kind.")
        expect(other.locator("#compare-stop-sequences")).to_have_value("###")
        expect(other).to_have_url(page.url)
        other.locator("#compare-notice").get_by_role("button", name="Undo").click()
        expect(column(other, 3)).to_be_hidden()
        expect(other.locator("#compare-blind")).not_to_be_checked()
        address(other, "&tab=compare&column=alpacaeval,temperature:0.7,top_p:0.95,max:2048&")
        other.reload()
        other.wait_for_selector(READY)
        expect(column(other, 2)).to_be_visible()  # a reload comes back to the same tab


def test_tabs_are_in_the_address_and_in_the_way_back(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        compare(page)
        address(page, "&tab=compare&")
        page.get_by_role("tab", name="About").click()
        address(page, "#setup=1&tab=about&end")
        page.go_back()
        expect(column(page, 0)).to_be_visible()
        page.go_back()
        knob(page, "top_k").fill("3")
        address(page, "&tab=chat&", "top_k:-:3")
        page.go_forward()
        expect(column(page, 0)).to_be_visible()
        page.go_back()
        expect(knob(page, "top_k")).to_have_value("3")
        places = ["About", "Chat", "Creative", "Custom"]
        for name in places:  # one at once after the other
            page.get_by_role("tab", name=name, exact=True).click()
        entries = page.evaluate("history.length")
        knob(page, "top_k").fill("5")
        address(page, "column=-none,top_k:-:5")
        page.click("#share")
        page.get_by_role("tab", name="My links").click()
        address(page, "#share=links&tab=chat")
        links = page.get_by_text("no snapshots of yours yet")
        page.reload()
        page.wait_for_selector(READY)
        expect(links).to_be_visible()
        page.get_by_role("button", name="Close").click()
        expect(links).to_have_count(0)
        address(page, "column=-none,top_k:-:5")
        assert page.evaluate("history.length") == entries + 1  # the links, to which Forward leads
        page.go_forward()
        address(page, "column=-none,top_k:-:5")  # and from which it is back at once
        for name in reversed(places[:-1]):
            page.go_back()
            tab = page.get_by_role("tab", name=name, exact=True)
            expect(tab).to_have_attribute("aria-selected", "true")
    with visiting(chromium, f"{site}/#share=links&tab=about") as page:
        expect(page.get_by_text("no snapshots of yours yet")).to_be_visible()
        page.go_back()
        expect(page.get_by_text("no snapshots of yours yet")).to_have_count(0)
        expect(page.locator("#engine-info")).to_be_visible()
    with visiting(chromium, f"{site}/#setup=1&tab=about&end") as page:
        expect(page.locator("#engine-info")).to_be_visible()


def test_an_address_that_leads_nowhere_is_said_and_leaves_no_entry(page: Page) -> None:
    before = address(page, "&tab=chat&")
    page.get_by_role("tab", name="About").click()
    address(page, "&tab=about&")
    notice = page.locator("#page-notice")
    for fragment in ("xyz", "tab=xyz", "share=xyz", "share=links&tab=xyz"):
        follow(page, fragment)
        expect(notice).to_have_text(f"There is nothing at “#{fragment}” on this page.")
        expect(notice).to_have_role("status")
        address(page, "#setup=1&tab=about&end")
    page.go_back()
    expect(page).to_have_url(before)
    page.evaluate("location.hash = 'setup=1&tab=xyz&end'")
    expect(page.locator("dialog")).to_contain_text("not xyz")
    page.go_back()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page).to_have_url(before)


def test_a_reload_with_an_address_of_some_changes_ago_goes_on_with_what_is_set(page: Page) -> None:
    earlier = address(page, "&end")
    knob(page, "top_k").fill("3")
    now = address(page, "top_k:-:3")
    # What a browser does that is asked to reload before it has taken over the last address.
    page.evaluate("url => history.replaceState(null, '', url)", earlier)
    page.reload()
    page.wait_for_selector(READY)
    expect(page).to_have_url(now)
    expect(knob(page, "top_k")).to_have_value("3")
    expect(page.locator("#notice")).to_be_hidden()


def test_many_changes_are_few_entries_of_the_address(page: Page) -> None:
    address(page, "&end")
    before = page.evaluate("history.length")
    page.evaluate(
        """() => {
            window.written = 0;
            const replace = history.replaceState.bind(history);
            history.replaceState = (...all) => { window.written += 1; replace(...all); };
            const node = document.querySelector('#system');
            for (let i = 0; i < 300; i += 1) {
                node.value = `text ${i}`;
                node.dispatchEvent(new Event('input', { bubbles: true }));
            }
        }"""
    )
    address(page, "&system=text%20299&end")
    assert page.evaluate("window.written") <= 3
    assert page.evaluate("history.length") == before


def test_the_prompt_is_in_a_link_only_when_it_is_asked_for(page: Page) -> None:
    with pytest.raises(Exception, match="There is no prompt yet"):
        link(page, prompt=True)
    page.fill("#chat-prompt", "a secret draft")
    page.fill("#seed", "7")
    assert "secret" not in address(page, "&seed=7")
    assert "secret" not in link(page)
    assert link(page, prompt=True).endswith("&prompt=a%20secret%20draft&end")
    ask(page, "Hello!")
    finished(page)
    assert "Hello" not in page.url
    assert link(page, prompt=True).endswith("&prompt=Hello%21&end")


def test_a_prompt_runs_only_after_a_click_and_sends_what_was_shown(
    chromium: Browser, page: Page
) -> None:
    knob(page, "temperature").fill("0.8")
    page.fill("#seed", "7")
    page.fill("#system", "Be \u202ekind.")  # what follows would be seen turned round
    page.fill("#stop", "zzz")
    ask(page, STORY)
    text = finished(page)
    sent = receipt(answers(page).last)
    with visiting(chromium, link(page, prompt=True)) as other:
        asked: list[str] = []
        other.on("request", lambda each: asked.append(each.url))
        card = other.locator("dialog.link-card")
        expect(card).to_contain_text("Balanced, edited – temperature 0.8 · top_p 0.95 · max 2048")
        expect(card).to_contain_text("seed 7")
        expect(card).to_contain_text('stop sequences "zzz"')
        assert card.locator("pre").all_inner_texts() == ["Be ⟨U+202E⟩kind.", STORY]
        expect(other.locator("#chat-prompt")).to_have_value(STORY)
        expect(answers(other)).to_have_count(0)
        assert not any("api/stream" in each for each in asked)
        card.get_by_role("button", name="Run").click()
        assert finished(other) == text
        assert receipt(answers(other).last) == sent
        expect(questions(other)).to_have_count(1)
        expect(other.locator("#chat-prompt")).to_have_value("")
        assert "prompt=" not in address(other, "&system=Be%20%E2%80%AEkind.")


def receipt(shown: Locator) -> Any:
    """What was sent for an answer, and the prompt with it."""
    shown.get_by_role("button", name="Receipt").click()
    sent = json.loads(shown.locator(".receipt pre").inner_text())
    shown.get_by_role("tab", name="Prompt").click()
    expect(shown.locator(".receipt pre")).to_contain_text("<|assistant|>")
    return {**sent, "prompt": shown.locator(".receipt pre").inner_text()}


def test_a_comparison_runs_from_a_link_and_undo_brings_all_back(
    chromium: Browser, page: Page
) -> None:
    compare(page)
    page.fill("#compare-seed", "11")
    page.fill("#compare-prompt", STORY)
    choose(page, 2, "Remove")
    address(page, "&seed=11")
    carried = link(page, prompt=True)
    ask_columns(page, STORY)
    all_finished(page, 2)
    texts = [column_answer(page, place).locator(".body").inner_text() for place in range(2)]
    with visiting(chromium, page.url.partition("#")[0]) as other:
        compare(other)
        ask_columns(other, "Hello!")
        all_finished(other)
        other.fill("#compare-prompt", "half a thought")
        before = column_answer(other, 2).locator(".body").inner_text()
        follow(other, carried.partition("#")[2])
        card = other.locator("dialog.link-card")
        expect(card).to_contain_text("Column 2: Focused –")
        card.get_by_role("button", name="Run").click()
        all_finished(other, 2)
        assert texts == [
            column_answer(other, place).locator(".body").inner_text() for place in range(2)
        ]
        expect(other.locator("#compare-prompt")).to_have_value("half a thought")
        other.locator("#compare-notice").get_by_role("button", name="Undo").click()
        expect(column_answer(other, 2).locator(".body")).to_have_text(before)
        expect(other.locator("#compare-prompt")).to_have_value("half a thought")


def ask_columns(page: Page, text: str) -> None:
    page.fill("#compare-prompt", text)
    page.press("#compare-prompt", "Enter")


def test_a_link_in_an_open_tab_leaves_what_is_said_and_can_be_undone(page: Page) -> None:
    knob(page, "top_k").fill("3")
    page.fill("#system", "Mine.")
    page.fill("#chat-prompt", "half a thought")
    page.locator("#chat-prompt").press("Home")
    address(page, "&system=Mine.")
    page.evaluate("window.same = true")
    ask(page, STORY)
    growing(page)
    page.fill("#chat-prompt", "half a thought")
    follow(page, TEXT.replace("alpacaeval", "alpacaeval").replace("0.7", "0.7:0.2"))
    expect(knob(page, "temperature")).to_have_value("0.2")
    expect(knob(page, "top_k")).to_have_value("")
    expect(page.locator("#system")).to_have_value("")
    expect(page.locator("#chat-prompt")).to_have_value("half a thought")
    finished(page)
    expect(questions(page)).to_have_count(1)
    assert page.evaluate("window.same") is True
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(knob(page, "top_k")).to_have_value("3")
    expect(knob(page, "temperature")).to_have_value("0.7")
    expect(page.locator("#system")).to_have_value("Mine.")
    address(page, "top_k:-:3", "&system=Mine.")
    follow(page, TEXT.replace("&end", "&prompt=Hello%21&end"))
    card = page.locator("dialog.link-card")
    expect(card).to_contain_text("comes back with Undo")
    card.get_by_role("button", name="Run").click()
    expect(questions(page)).to_have_text(re.compile("Hello!"))
    finished(page)
    expect(page.locator("#chat-prompt")).to_have_value("half a thought")
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(questions(page)).to_have_text(re.compile("lighthouse"))


def test_the_words_about_a_link_go_by_themselves_unless_it_was_not_as_it_said(page: Page) -> None:
    page.clock.install()
    notice = page.locator("#notice")
    seeded = TEXT.replace("&end", "&seed=5&end")
    follow(page, seeded)
    expect(notice).to_contain_text("Set up from the link: Balanced, seed 5.")
    expect(notice.get_by_role("button")).to_have_text(["Undo"])
    page.clock.run_for(13_000)
    expect(notice).to_be_hidden()
    follow(page, seeded.replace("&end", "&prompt=Hello%21&end"))
    expect(page.locator("dialog.link-card")).to_be_visible()
    page.clock.run_for(13_000)  # while it is read
    page.keyboard.press("Escape")
    expect(notice.get_by_role("button")).to_have_text(["Undo"])
    page.clock.run_for(13_000)
    expect(notice).to_be_hidden()
    follow(page, TEXT.replace("0.7", "0.6"))
    expect(notice).to_contain_text("has other values now than when the link was made")
    page.clock.run_for(13_000)
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Close").click()
    expect(notice).to_be_hidden()


def test_a_comparison_that_writes_is_not_disturbed(page: Page) -> None:
    compare(page)
    fragment = address(page, "&tab=compare&").partition("#")[2]
    page.fill("#compare-seed", "3")
    ask_columns(page, STORY)
    expect(column_answer(page, 0)).to_have_attribute("data-state", "streaming")
    follow(page, re.sub(r"seed=\d+", "seed=99", fragment))
    window = page.locator("dialog")
    expect(window).to_contain_text("Let them end, and try again")
    expect(page.locator("#compare-seed")).to_have_value("3")
    page.keyboard.press("Escape")
    all_finished(page)
    follow(page, re.sub(r"seed=\d+", "seed=98", fragment))
    expect(page.locator("#compare-seed")).to_have_value("98")
    expect(column_answer(page, 2)).to_have_attribute("data-state", "done")


REFUSED = [
    (TEXT[:-9], "link_broken", "it was cut on its way"),
    (TEXT.replace("setup=1", "setup=4"), "link_too_new", "newer playground"),
    (TEXT.replace("&end", f"&system={'x' * MAX_CHARS}&end"), "link_too_long", "8,000"),
    (TEXT.replace("alpacaeval", "gone"), "link_broken", "There is no preset gone"),
    (TEXT.replace("0.7", "2.1"), "link_broken", "The temperature of the first column must be 0"),
    (TEXT.replace("top_p", "top_q"), "link_broken", "top_q of column 1 is not a sampler parameter"),
    (TEXT.replace("&end", "&system=%zz&end"), "link_broken", "percent-encoding was changed"),
    (TEXT.replace("&end", "&system=%C3%28&end"), "link_broken", "percent-encoding"),
    (TEXT.replace("top_p", "%3Cimg%20src=x%3E"), "link_broken", "is not a sampler parameter"),
    (TEXT.replace("alpacaeval", "<img src=x onerror=alert(1)>"), "link_broken", "not the id"),
]


def test_a_link_that_cannot_be_used_is_refused_in_words_and_changes_nothing(page: Page) -> None:
    knob(page, "top_k").fill("3")
    address(page, "top_k:-:3")
    before = page.evaluate(PANEL)
    window = page.locator("dialog")
    for fragment, kind, words in REFUSED:
        follow(page, fragment)
        expect(window).to_contain_text(words)
        expect(window).to_contain_text("Nothing was changed.")
        assert not re.search(r"link_|\[\d", window.inner_text())  # nothing of the page's inside
        expect(window).to_have_attribute("data-kind", kind)
        expect(window.locator("img, b")).to_have_count(0)
        close = window.get_by_role("button", name="Close")
        frame, told = close.bounding_box(), window.locator(".problems").bounding_box()
        assert frame is not None
        assert told is not None
        assert frame["y"] + frame["height"] + 4 <= told["y"]  # with the ring of its focus
        close.click()
        assert page.evaluate(PANEL) == before
        expect(knob(page, "top_k")).to_have_value("3")
        expect(page.locator("#notice")).to_be_hidden()
        address(page, "top_k:-:3")  # and a reload refuses nothing anew
        page.wait_for_function("!history.state?.layers")  # back from the window
    knob(page, "top_k").fill("4")
    address(page, "top_k:-:4")


def test_a_broken_link_at_the_start_leaves_a_page_that_works(chromium: Browser, site: str) -> None:
    with visiting(chromium, f"{site}/#{TEXT[:-6]}") as page:
        expect(page.locator("dialog")).to_contain_text("Nothing was changed.")
        page.keyboard.press("Escape")
        ask(page, "Hello!")
        finished(page)


def test_elsewhere_a_preset_that_has_other_values_is_told_and_the_links_are_used(
    chromium: Browser, engine: Server, tmp_path: Path
) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(MANY)
    with serve(engine.url, presets_file=presets, root_path="/below") as site:
        context = chromium.new_context()
        page = context.new_page()

        def proxy(route: Route) -> None:
            below = route.request.url.removeprefix(f"{site.url}/below")
            with suppress(Error):  # the page without its slash is left at once
                route.fulfill(response=route.fetch(url=site.url + (below or "/")))

        page.route(re.compile(f"{site.url}/below"), proxy)
        page.goto(f"{site.url}/below#{TEXT}")  # without its slash, which the page adds
        page.wait_for_selector(READY)
        expect(page.locator("#notice")).to_contain_text(
            "Balanced has other values now than when the link was made: the link’s values are used."
        )
        expect(knob(page, "temperature")).to_have_value("0.7")
        expect(page.locator("#max-new-tokens")).to_have_value("2048")
        tabs = page.locator("#presets > .tab-wrapper [role=tab]:visible")
        assert len({place["y"] for each in tabs.all() if (place := each.bounding_box())}) == 1
        custom = page.get_by_role("tab", name="Custom")
        custom.click(trial=True)  # in sight at the end of the line, over those that scroll
        last = page.get_by_role("tab", name="Long name 2")
        custom.focus()
        page.keyboard.press("ArrowLeft")
        expect(last).to_have_attribute("aria-selected", "true")
        ends = [each.bounding_box() for each in (last, custom)]
        assert ends[0]
        assert ends[1]
        assert ends[0]["x"] + ends[0]["width"] <= ends[1]["x"]
        page.get_by_role("tab", name="Balanced").click()
        ask(page, "Hello!")
        finished(page)
        sent = receipt(answers(page).last)
        assert (sent["temperature"], sent["top_p"]) == (0.7, 0.95)
        column = "column=alpacaeval,temperature:0.5:0.7,top_p:0.95,max:100:2048&end"
        assert link(page) == address(page, f"{site.url}/below/#setup=1&tab=chat&{column}")
        context.close()


def test_what_is_too_long_for_a_link_is_said(page: Page) -> None:
    address(page, "&end")
    page.fill("#system", "x" * MAX_CHARS)
    expect(page).not_to_have_url(re.compile("#"))
    with pytest.raises(Exception, match=r"too long for a link.*Use a snapshot"):
        link(page)
    room = MAX_CHARS - len(TEXT) - len("&system=")
    page.fill("#system", "x" * room)
    assert len(address(page, "&system=xxx").partition("#")[2]) == MAX_CHARS


def as_json(setup: Setup) -> dict[str, Any]:
    """A set-up as the page has it."""

    def values(each: Values) -> dict[str, Any]:
        return {"sampler": each.sampler.set_values(), "max_new_tokens": each.max_new_tokens}

    columns = [
        {
            "kind": each.kind,
            "name": each.name,
            "started": values(each.started),
            "values": values(each.values),
            "seed": each.seed,
            "engine": each.engine,
            "emulate": each.emulate,
        }
        for each in setup.columns
    ]
    return {
        "tab": setup.tab,
        "columns": columns,
        "seed": setup.seed,
        "own_seeds": setup.own_seeds,
        "stop": list(setup.stop),
        "system": setup.system,
        "difference": setup.difference,
        "against": setup.against,
        "blind": setup.blind,
        "prompt": setup.prompt,
    }


@pytest.fixture(scope="module")
def writer(chromium: Browser, site: str) -> Iterator[Callable[[list[Setup]], list[str]]]:
    """The browser's writing of links."""
    with opened(chromium, site + "/") as page:
        yield lambda many: pure(
            page, "share/setup_link.js", "a[0].map(m.formatSetup)", [as_json(each) for each in many]
        )


@given(many=st.lists(setups(), min_size=15, max_size=15))
@settings(max_examples=20)
def test_the_server_reads_what_the_browser_writes(
    writer: Callable[[list[Setup]], list[str]], many: list[Setup]
) -> None:
    for text, setup in zip(writer(many), many, strict=True):
        assert text == format_link(setup)
        if len(text) <= MAX_CHARS:
            assert parse_link(text) == setup
