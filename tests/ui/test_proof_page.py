"""What the test of the samplers found, in its window, the panel and About, in a real browser."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from playground.domain.samplers import BY_NAME
from tests import proofs
from tests.pages import READY, opened
from tests.ui.test_engine_page import Said
from tests.ui.test_layers_page import at
from tests.ui.test_presets_page import choose, panel

pytestmark = pytest.mark.browser

TEST = "Test the samplers on this engine…"
TESTED = re.compile(r"Tested on \w+ \d+, \d{4}, \d\d:\d\d: 7 of 7 parameters are proven")
NOT_TESTED = "Not tested in this browser"
FOUND = "What the test of the samplers found"
EVIDENCE = "With 1, 9 of 9 test answers were the likeliest."
KEPT = "kto-playground.v1.proofs"
# How many lines the words below each knob take.
LINES = """all => all.map((each) => {
  const words = document.createRange();
  words.selectNodeContents(each);
  return new Set([...words.getClientRects()].map(({ top }) => top)).size;
})"""


def dialog(page: Page) -> Locator:
    choose(page, TEST)
    return page.get_by_role("dialog")


def close(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    at(page, 0)


def how(page: Page, name: str) -> Locator:
    return panel(page).locator(f'[data-parameter="{name}"] .how')


def engine_info(page: Page) -> Locator:
    page.get_by_role("tab", name="About").click()
    return page.locator("#engine-info")


def found_here(page: Page, **verdicts: str) -> list[dict[str, Any]]:
    """Proofs of this page are made at once, with these verdicts. Gives what is asked for."""
    asked: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            route.fulfill(json={"answers": 0, "about": 260})
            return
        asked.append(json.loads(route.request.post_data or ""))
        findings = [
            {"parameter": name, "verdict": verdicts.get(name, "proven"), "evidence": EVIDENCE}
            for name in BY_NAME
        ]
        proof = {"findings": findings, "seeds_repeat": True, "made": 1_790_000_000 + len(asked)}
        route.fulfill(json=proof)

    page.route("**/api/proof", answer)
    return asked


def try_out(page: Page) -> None:
    window = dialog(page)
    window.get_by_role("button", name="Start").click()
    expect(window).to_contain_text(re.compile("Tested on .* parameters are proven"))
    close(page)


def reloaded(page: Page) -> None:
    page.reload()
    page.wait_for_selector(READY)
    expect(page.locator("#engine-state")).to_have_attribute("data-state", "ready")


def test_what_a_test_found_outlives_a_reload(
    chromium: Browser, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proofs.shorten(monkeypatch)
    with opened(chromium, site + "/") as page:
        expect(engine_info(page)).to_contain_text(NOT_TESTED)
        page.get_by_role("tab", name="Chat").click()
        window = dialog(page)
        expect(window.get_by_role("button", name="Close")).to_have_count(1)
        window.get_by_role("button", name="Start").click()
        expect(window).to_contain_text(TESTED, timeout=90_000)
        expect(window.get_by_role("button")).to_have_text(["Close", "Test again"])
        close(page)
        expect(engine_info(page)).to_contain_text(TESTED)
        page.get_by_role("tab", name="Chat").click()
        reloaded(page)
        for name in BY_NAME:
            expect(how(page, name)).to_have_text("tested")
        panel(page).locator('[data-parameter="top_k"] .ask').click()
        expect(page.locator("#field-help")).to_contain_text("Tested. It takes effect. With 1, ")
        about = engine_info(page)
        expect(about).to_contain_text(TESTED)
        expect(about.get_by_text("test answers").first).to_be_hidden()
        about.get_by_text(FOUND).click()
        expect(about.locator("details").first.locator("dt")).to_have_text(list(BY_NAME))
        expect(about.get_by_text("test answers").first).to_be_visible()
        page.get_by_role("tab", name="Chat").click()
        window = dialog(page)
        expect(window).to_contain_text(TESTED)
        expect(window.get_by_role("button")).to_have_text(["Close", "Test again"])


def test_below_a_knob_is_one_line_of_what_a_test_found(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        found_here(page, min_p="none", top_p="unclear", presence_penalty="weaker")
        counts = "Counts the prompt's tokens, too. A conversation's length makes it stronger."
        ways = {
            "frequency_penalty": {"how": "native", "reason": counts},
            "repetition_penalty": {"how": "emulated", "reason": "It is applied here."},
        }
        Said(page).now(applied=ways)
        try_out(page)
        words = {
            "temperature": "tested",
            "top_p": "effect not clear",
            "frequency_penalty": "Counts the prompt's tokens, too. Tested.",
            "presence_penalty": "weaker than OpenAI’s",
            "repetition_penalty": "emulated, tested",
            "min_p": "does nothing here",
        }
        for name, each in words.items():
            expect(how(page, name)).to_have_text(each)
        knobs = panel(page).locator(".how")
        assert knobs.evaluate_all(LINES) == [1] * knobs.count()
        panel(page).locator('[data-parameter="frequency_penalty"] .ask').click()
        expect(page.locator("#field-help")).to_contain_text(f"{EVIDENCE} {counts}")
        page.get_by_role("tab", name="Creative").click()
        expect(panel(page).locator(".warning")).to_contain_text("does not apply min_p")


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {"model_id": "another/model"}},
        {"engine": {"model_sha": "another"}},
        {"engine": {"name": "TGI 9"}},
        {"applied": {"min_p": {"how": "unsupported", "reason": "It has none."}}},
    ],
)
def test_what_was_found_of_another_engine_is_thrown_away(
    chromium: Browser, site: str, change: dict[str, Any]
) -> None:
    with opened(chromium, site + "/") as page:
        found_here(page)
        said = Said(page)
        try_out(page)
        expect(how(page, "top_k")).to_have_text("tested")
        said.now(**change)
        expect(how(page, "top_k")).to_be_empty()
        said.now()
        reloaded(page)
        expect(how(page, "top_k")).to_be_empty()
        expect(engine_info(page)).to_contain_text(NOT_TESTED)


def test_a_browser_that_stores_nothing_shows_what_was_found(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        found_here(page)
        page.add_init_script("Storage.prototype.setItem = () => { throw new Error('denied') }")
        reloaded(page)
        try_out(page)
        expect(how(page, "top_k")).to_have_text("tested")
        expect(engine_info(page)).to_contain_text(TESTED)


@pytest.mark.parametrize(
    "stored",
    [
        "no JSON",
        "[]",
        '{"version": 1, "proofs": [{"engine": "", "of": ""}]}',
    ],
)
def test_what_cannot_be_read_is_taken_as_nothing(chromium: Browser, site: str, stored: str) -> None:
    with opened(chromium, site + "/") as page:
        found_here(page)
        page.evaluate("([name, text]) => localStorage.setItem(name, text)", [KEPT, stored])
        reloaded(page)
        expect(how(page, "top_k")).to_be_empty()
        try_out(page)
        reloaded(page)
        expect(how(page, "top_k")).to_have_text("tested")


def test_what_another_version_stored_is_left_out(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        found_here(page)
        try_out(page)
        page.evaluate(
            """(name) => {
              const kept = JSON.parse(localStorage.getItem(name));
              localStorage.setItem(name, JSON.stringify({ ...kept, version: kept.version + 1 }));
            }""",
            KEPT,
        )
        reloaded(page)
        expect(how(page, "top_k")).to_be_empty()
        expect(dialog(page).get_by_role("button")).to_have_text(["Close", "Start"])


def test_the_proofs_of_a_few_engines_are_kept(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        asked = found_here(page)
        try_out(page)
        kept = page.evaluate("(name) => JSON.parse(localStorage.getItem(name))", KEPT)
        [proof] = kept["proofs"]
        kept["proofs"] = [{**proof, "engine": f"engine {i}"} for i in range(20)]
        page.evaluate(
            "([name, value]) => localStorage.setItem(name, JSON.stringify(value))", [KEPT, kept]
        )
        window = dialog(page)
        window.get_by_role("button", name="Test again").click()
        expect(window).to_contain_text("say what was seen")
        assert [each["again"] for each in asked] == [False, True]
        kept = page.evaluate("(name) => JSON.parse(localStorage.getItem(name))", KEPT)
        assert [each["engine"] for each in kept["proofs"]] == [
            *(f"engine {i}" for i in range(13, 20)),
            "",
        ]
