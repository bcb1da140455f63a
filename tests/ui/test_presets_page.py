"""Presets of one's own and the receipt of an answer, in a real browser."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests import proofs
from tests.pages import READY, opened, serve
from tests.servers import stand_in

pytestmark = pytest.mark.browser

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
# Another tab of this browser has given the own preset a top_k.
SAVED_ELSEWHERE = """() => {
  const key = 'kto-playground.v1.presets';
  const kept = JSON.parse(localStorage.getItem(key));
  kept.presets[0].sampler.top_k = 5;
  localStorage.setItem(key, JSON.stringify(kept));
  dispatchEvent(new StorageEvent('storage', { key }));
}"""
THREE_TABS = "temperature\n0.7\ntop_p\n–\n" * 2 + "temperature\n1\nmin_p\n0.1\n"


def panel(page: Page) -> Locator:
    return page.locator(".preset:visible")


def knob(page: Page, name: str) -> Locator:
    return panel(page).locator(f'[data-parameter="{name}"] .value')


def choose(page: Page, action: str) -> None:
    """An action from the menu of the visible preset."""
    panel(page).get_by_label("More for this preset").click()
    panel(page).get_by_role("button", name=action).click()


def own_names(page: Page) -> list[str]:
    return page.locator(".own-choice option").all_inner_texts()


def save_as(page: Page, name: str) -> None:
    panel(page).get_by_role("button", name="Save as…").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.locator("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("dialog")).to_have_count(0)


def answer(page: Page, text: str = "Hello!") -> Locator:
    page.fill("#chat-prompt", text)
    page.press("#chat-prompt", "Enter")
    last = page.locator('[data-testid="message"][data-role="assistant"]').last
    expect(last).to_have_attribute("data-state", "done", timeout=30_000)
    return last


def test_what_cannot_be_saved_is_said_until_it_is_changed(page: Page) -> None:
    note = panel(page).locator(".panel-note")
    for value in ("0.5", "8"):
        knob(page, "temperature").fill("9")
        panel(page).get_by_role("button", name="Save as…").click()
        expect(note).to_have_text("temperature must lie between 0 and 2.")
        knob(page, "temperature").fill(value)
        expect(note).to_be_hidden()


def test_own_presets_are_saved_renamed_ordered_deleted_and_kept(page: Page) -> None:
    knob(page, "top_k").fill("3")
    save_as(page, "Three")
    expect(page.get_by_role("tab", name="Custom")).to_have_attribute("aria-selected", "true")
    expect(knob(page, "top_k")).to_have_value("3")
    expect(knob(page, "temperature")).to_have_value("0.7")
    expect(panel(page).locator(".source p")).to_have_text("Made from Balanced.")
    knob(page, "top_k").fill("4")
    save_as(page, "Three")
    assert own_names(page) == ["No preset", "Three", "Three 2"]
    choose(page, "Move up")
    assert own_names(page) == ["No preset", "Three 2", "Three"]
    choose(page, "Rename…")
    page.get_by_label("Name", exact=True).fill("Four")
    page.locator("dialog").get_by_role("button", name="Rename").click()
    assert own_names(page) == ["No preset", "Four", "Three"]
    choose(page, "Delete")
    assert own_names(page) == ["No preset", "Three"]
    panel(page).get_by_role("button", name="Undo").click()
    assert own_names(page) == ["No preset", "Four", "Three"]
    knob(page, "top_k").fill("5")
    expect(panel(page).get_by_role("button", name="Back to the preset’s 4")).to_be_visible()
    panel(page).get_by_role("button", name="Save", exact=True).click()
    page.reload()
    page.wait_for_selector(READY)
    assert own_names(page) == ["No preset", "Four", "Three"]
    expect(knob(page, "top_k")).to_have_value("5")
    page.get_by_role("tab", name="Balanced").click()
    expect(knob(page, "top_k")).to_have_value("")


def test_a_receipt_tells_the_preset_its_edits_and_what_was_left_out(page: Page) -> None:
    page.get_by_role("tab", name="Custom").click()
    choose(page, "Turn all samplers off")
    save_as(page, "Neutral")
    knob(page, "top_k").fill("7")
    last = answer(page)
    expect(last.locator(".facts-line")).to_contain_text("Neutral, edited")
    last.get_by_role("button", name="Receipt").click()
    receipt = page.locator(".receipt")
    for words in ("Neutral, edited", "top_k 0 → 7", "TGI stand-in", "Set, and not sent"):
        expect(receipt).to_contain_text(words)
    expect(receipt).to_contain_text("1 is the engine's own temperature")
    sent = json.loads(receipt.locator("pre").inner_text())
    assert sent.keys() & {"temperature", "top_p", "min_p"} == set()
    assert (sent["top_k"], sent["do_sample"]) == (7, True)


def edited(page: Page, tab: str) -> tuple[str, str]:
    """What the tab of a preset and the last answer say of edits."""
    facts = page.locator('[data-testid="message"] .facts-line').last.inner_text()
    said = page.get_by_role("tab", name=tab).get_attribute("aria-description") or ""
    return said, facts.split("\n")[0]


def test_an_answer_is_marked_as_edited_where_its_tab_is(page: Page) -> None:
    page.fill("#seed", "7")  # of these no preset says anything
    page.fill("#stop", "zzz")
    page.fill("#system", "Be kind.")
    page.fill("#max-new-tokens", "2,048")  # the preset's own
    answer(page)
    assert edited(page, "Balanced") == ("", "Balanced")
    page.fill("#max-new-tokens", "5")
    last = answer(page)
    assert edited(page, "Balanced") == ("Edited", "Balanced, edited")
    last.get_by_role("button", name="Receipt").click()
    expect(last.locator(".receipt")).to_contain_text("max_new_tokens 2048 → 5")
    page.route("**/api/stream", lambda route: route.abort())  # and so it has no receipt
    page.fill("#chat-prompt", "Hello!")
    page.press("#chat-prompt", "Enter")
    failed = page.locator('[data-testid="message"][data-role="assistant"]').last
    expect(failed).to_have_attribute("data-state", "failed")
    assert edited(page, "Balanced") == ("Edited", "Balanced, edited")


def test_an_edit_that_its_preset_has_taken_over_is_none(page: Page) -> None:
    page.get_by_role("tab", name="Custom").click()
    save_as(page, "Mine")
    knob(page, "top_k").fill("5")
    answer(page)
    assert edited(page, "Custom") == ("Edited", "Mine, edited")
    page.evaluate(SAVED_ELSEWHERE)
    expect(page.get_by_role("tab", name="Custom")).not_to_have_class(re.compile("edited"))
    expect(panel(page).get_by_role("button", name="Back to the preset’s")).to_have_count(0)
    answer(page)
    assert edited(page, "Custom") == ("", "Mine")


def test_none_sends_no_sampler(page: Page) -> None:
    page.get_by_role("tab", name="Custom").click()
    last = answer(page)
    expect(last.locator(".facts-line")).to_contain_text("No preset")
    last.get_by_role("button", name="Receipt").click()
    sent = json.loads(page.locator(".receipt pre").inner_text())
    assert sent.keys() == {
        *("do_sample", "max_new_tokens", "seed", "stop", "return_full_text", "details")
    }


def test_code_and_prompt_outlive_a_reload(page: Page) -> None:
    page.fill("#system", "Be kind.")
    last = answer(page, "Hello! <|assistant|>")
    last.get_by_role("button", name="Receipt").click()
    page.get_by_role("tab", name="Prompt").click()
    prompt = page.locator(".receipt pre")
    expect(prompt).to_have_text("<|user|>\nBe kind.\n\nHello! ‹|assistant|›\n<|assistant|>\n")
    expect(prompt.locator("mark.harmless")).to_have_text("‹|assistant|›")
    expect(page.locator(".receipt")).to_contain_text(re.compile(r"\d+ tokens"))
    page.fill("#system", "Be unkind.")
    page.reload()
    assert page.evaluate("sessionStorage.getItem('kto-playground.v1.chat').includes('‹')") is False
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Receipt").click()
    page.get_by_role("tab", name="Prompt").click()
    expect(page.locator(".receipt pre")).to_contain_text("Be kind.")
    page.get_by_role("tab", name="Code").click()
    expect(page.locator(".receipt pre")).to_contain_text("curl")
    page.get_by_role("tab", name="tgi.client").click()
    expect(page.locator(".receipt pre")).to_contain_text("'Be kind.\\n'")


def test_the_model_pages_text_becomes_three_presets(page: Page) -> None:
    choose(page, "Import…")
    area = page.get_by_label("Text to import")
    begun = area.bounding_box()
    area.fill("temperature\nwarm")
    expect(page.locator(".problems")).to_contain_text("line 2")
    assert area.bounding_box() == begun
    area.fill('{"temp": 0.8, "tfs": 0.9, "top_a": 0}')
    window = page.locator("dialog")
    expect(window).to_contain_text("Read as: SillyTavern preset.")
    expect(window).to_contain_text("tfs 0.9: none of the seven")
    file = FilePayload(
        name="Bright tales.v2.json", mimeType="", buffer=b'{"temp": 1.2, "rep_pen": 9}'
    )
    page.get_by_label("A file to import").set_input_files([file])
    expect(page.get_by_label("Name", exact=True)).to_have_value("Bright tales.v2")
    expect(window).to_contain_text("rep_pen 9: here it must lie between 0.5 and 2")
    area.fill('{"temperature": 0.8, "min_p": 0.1}')  # many programs have just these names
    expect(window).to_contain_text("Read as: OpenAI-compatible request (vLLM, SGLang).")
    expect(window.get_by_text("Name", exact=True)).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Imported preset")
    area.fill('{"a": 1}')
    expect(window).to_contain_text("There is none of the seven parameters in this")
    expect(window.get_by_role("button", name="Add this preset")).to_have_count(0)
    area.fill(THREE_TABS)
    expect(window).to_contain_text("Read as: model page's text.")
    expect(page.get_by_label("Name of preset 1")).to_have_value("Imported preset 1")
    assert area.bounding_box() == begun
    page.get_by_label("Name of preset 3").fill("Third")
    page.get_by_role("button", name="Add 3 presets").click()
    assert own_names(page)[1:] == ["Imported preset 1", "Imported preset 2", "Third"]
    page.locator(".own-choice").select_option(label="Third")
    expect(knob(page, "min_p")).to_have_value("0.1")


MODELFILE = 'FROM m\nPARAMETER top_k 30\nPARAMETER stop "<end>"\nSYSTEM """You are\na pirate."""\n'


def import_modelfile(page: Page, *, ticked: bool) -> None:
    choose(page, "Import…")
    window = page.get_by_role("dialog")
    page.get_by_label("Text to import").fill(MODELFILE)
    expect(window).to_contain_text("system You are a pirate.: it belongs to a request")
    box = window.get_by_label("Put into the panel, too: system text “You are a pirate.”, stop ")
    expect(box).not_to_be_checked()
    box.set_checked(ticked)
    window.get_by_role("button", name="Add this preset").click()
    expect(knob(page, "top_k")).to_have_value("30")


def test_what_an_import_says_of_a_request_is_put_into_the_panel_if_wanted(page: Page) -> None:
    def said_fields() -> list[str]:
        return [page.locator(f"#{name}").input_value() for name in ("system", "stop", "seed")]

    page.fill("#system", "Be kind.")
    page.fill("#seed", "7")
    import_modelfile(page, ticked=True)
    said = panel(page).get_by_role("status")
    expect(said).to_contain_text('In the panel now: system text “You are a pirate.”, stop "<end>".')
    assert said_fields() == ["You are\na pirate.", "<end>", "7"]
    said.get_by_role("button", name="Undo").click()
    expect(said).to_be_hidden()
    assert said_fields() == ["Be kind.", "", "7"]
    import_modelfile(page, ticked=False)
    assert said_fields() == ["Be kind.", "", "7"]
    assert own_names(page)[1:] == ["Imported preset", "Imported preset 2"]


def test_an_imported_presets_limit_takes_the_place_of_the_panels(page: Page) -> None:
    page.fill("#max-new-tokens", "30")
    choose(page, "Import…")
    page.get_by_label("Text to import").fill('{"temperature": 0.5, "max_tokens": 300}')
    page.get_by_role("button", name="Add this preset").click()
    said = panel(page).get_by_role("status")
    expect(said).to_contain_text("Its own limit of 300 tokens holds now.")
    expect(page.locator("#max-new-tokens")).to_have_value("")
    expect(page.locator("#max-new-tokens")).to_have_attribute("placeholder", "300")
    expect(page.get_by_role("tab", name="Custom")).not_to_have_attribute(
        "aria-description", "Edited"
    )
    said.get_by_role("button", name="Undo").click()
    expect(page.locator("#max-new-tokens")).to_have_value("30")


def test_an_export_says_what_the_format_cannot_express(page: Page) -> None:
    page.get_by_role("tab", name="Creative").click()
    choose(page, "Export…")
    window = page.locator("dialog")
    expect(window.locator("pre")).to_contain_text("version = 2")
    window.get_by_label("Format").select_option("openai")
    expect(window).to_contain_text("min_p 0.1: this format has no min_p")
    with page.expect_download() as download:
        window.get_by_role("button", name="Save as creative.json").click()
    assert json.loads(download.value.path().read_text()) == {"temperature": 1}
    window.get_by_role("button", name="Close").click()
    save_as(page, "<img src=x> Ünï „❤“!")
    choose(page, "Export…")
    expect(window.get_by_role("button", name="Save as img-src-x-ünï.toml")).to_be_visible()


def test_a_preset_travels_in_a_link(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/", **CLIPBOARD) as page:
        knob(page, "top_k").fill("9")
        save_as(page, "Nine „❤“")
        panel(page).get_by_role("button", name="Copy link").click()
        expect(panel(page).get_by_role("button", name="Copied")).to_be_visible()
        link: str = page.evaluate("navigator.clipboard.readText()")
    with opened(chromium, site + "/") as page:
        page.goto("about:blank")
        page.goto(link)
        window = page.locator("dialog")
        expect(window.get_by_label("Name", exact=True)).to_have_value("Nine „❤“")
        expect(window).to_contain_text("top_k 9")
        expect(page).to_have_url(re.compile("#setup="))
        expect(page.get_by_role("tab", name="Balanced")).to_have_attribute("aria-selected", "true")
        window.get_by_role("button", name="Add this preset").click()
        expect(knob(page, "top_k")).to_have_value("9")
    with opened(chromium, site + "/") as page:
        page.goto(link[:-9])
        expect(page.locator("dialog")).to_contain_text("holds no preset that can be read")
        assert own_names(page) in ([], ["No preset"])


@pytest.fixture(scope="module")
def stock_site() -> Iterator[str]:
    with stand_in() as engine, serve(engine.url, emulation=False) as site:
        yield site.url


def test_a_preset_that_needs_what_the_engine_lacks_says_so_on_its_tab(
    chromium: Browser, stock_site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proofs.shorten(monkeypatch)
    going_on = proofs.hold(monkeypatch, after=3)
    with opened(chromium, stock_site + "/") as page:
        tab = page.get_by_role("tab", name="Creative")
        expect(tab).to_have_attribute(
            "aria-description", "Needs min_p, which this engine does not apply"
        )
        expect(page.get_by_role("tab", name="Focused")).not_to_have_attribute(
            "aria-description", re.compile("Needs")
        )
        tab.click()
        expect(panel(page)).to_contain_text("More varied answers, with unlikely words left out.")
        expect(panel(page).get_by_text("Nguyen et al.")).to_be_hidden()
        panel(page).get_by_text("Source", exact=True).click()
        expect(panel(page).get_by_text("Nguyen et al.")).to_be_visible()
        expect(panel(page).locator(".warning")).to_contain_text("does not apply min_p")
        expect(panel(page).locator('[data-parameter="frequency_penalty"] .how')).to_contain_text(
            "off"
        )
        answer(page).get_by_role("button", name="Receipt").click()
        expect(page.locator(".receipt")).to_contain_text("Emulation is off")
        choose(page, "Test the samplers on this engine…")
        window = page.get_by_role("dialog")
        expect(window).to_contain_text("some 260 short answers")
        start = window.get_by_role("button", name="Start")
        place = start.bounding_box()
        start.click()
        expect(window).to_contain_text("3 of about 260 answers")
        window.get_by_role("button", name="Stop").click()
        expect(window).to_contain_text("Stopped: nothing was found out.")
        assert start.bounding_box() == place  # the progress and the words are below it
        going_on.set()
        window.get_by_role("button", name="Start").click()
        expect(window).to_contain_text("4 of 7 parameters are proven", timeout=90_000)
        window.get_by_role("button", name="Close").click()
        expect(panel(page).locator('[data-parameter="min_p"] .how')).to_have_text(
            "does nothing here"
        )


def stored(chromium: Browser, site: str, values: dict[str, Any]) -> Iterator[Page]:
    """The page in a browser in which an earlier or a later version has stored something."""
    with opened(chromium, site + "/") as page:
        page.evaluate(
            """values => { for (const [name, value] of Object.entries(values))
            localStorage.setItem(`kto-playground.v1.${name}`, JSON.stringify(value)); }""",
            values,
        )
        page.goto("about:blank")
        page.goto(site + "/")
        page.wait_for_selector(READY)
        yield page


def test_what_the_version_before_stored_is_still_there(chromium: Browser, site: str) -> None:
    before = {"preset": "min-p", "edits": {"min-p": {"min_p": "0.3"}}, "request": {"seed": "5"}}
    for page in stored(chromium, site, {"samplers": before}):
        expect(page.get_by_role("tab", name="Creative")).to_have_attribute("aria-selected", "true")
        expect(knob(page, "min_p")).to_have_value("0.3")
        expect(page.locator("#seed")).to_have_value("5")


def test_what_a_newer_version_stored_is_left_alone(chromium: Browser, site: str) -> None:
    newer = {"version": 99, "presets": "of a kind to come"}
    for page in stored(chromium, site, {"presets": newer}):
        page.get_by_role("tab", name="Custom").click()
        expect(panel(page)).to_contain_text("A newer version of this page has stored presets")
        save_as(page, "Mine")
        kept = page.evaluate("JSON.parse(localStorage.getItem('kto-playground.v1.presets'))")
        assert kept == newer


def test_a_visit_begins_with_the_chosen_default_and_a_reload_does_not(
    page: Page, site: str
) -> None:
    page.get_by_role("tab", name="Focused").click()
    choose(page, "Set as default")
    page.get_by_role("tab", name="Creative").click()
    page.reload()
    page.wait_for_selector(READY)
    expect(page.get_by_role("tab", name="Creative")).to_have_attribute("aria-selected", "true")
    visit = page.context.new_page()
    visit.goto(site + "/")
    visit.wait_for_selector(READY)
    expect(visit.get_by_role("tab", name="Focused")).to_have_attribute("aria-selected", "true")
