"""The page of a demo link in a real browser: what is fixed is shown, nothing written is lost."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from playground.ui.page import static_version
from tests.axe import in_both_themes
from tests.pages import READY, listen
from tests.ui.test_engine_page import Said

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."
# As the pages that the browser draws show them.
QUOTED = "async ([path, stops]) => (await import(path)).quotedStops(stops)"


@pytest.fixture(scope="module")
def owner(site: str) -> Iterator[httpx.Client]:
    """A browser of its own, to which the demos belong."""
    with httpx.Client(base_url=site, trust_env=False, timeout=20) as client:
        yield client


def made(owner: httpx.Client, **terms: Any) -> str:
    body = {"title": "Try min-p", "panes": [{"preset": "min-p"}], "budget_tokens": 2000, **terms}
    answer = owner.post("/api/demos", json=body)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


def switch(owner: httpx.Client, token: str, enabled: bool) -> None:
    assert owner.patch(f"/api/demos/{token}", json={"enabled": enabled}).is_success


@contextmanager
def visiting(chromium: Browser, address: str, **options: Any) -> Iterator[Page]:
    """The page in a profile of its own; a script error or a request elsewhere fails the test."""
    context = chromium.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    listen(page, problems)
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(address.split("/d/")[0])
            else problems.append(request.url)
        ),
    )
    page.goto(address)
    page.wait_for_selector(READY)
    expect(page.locator("#demo-left")).to_contain_text("tokens left")
    yield page
    assert problems == []
    context.close()


def ask(page: Page, text: str = STORY) -> None:
    page.fill("#demo-prompt", text)
    page.press("#demo-prompt", "Enter")


def answers(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="assistant"]')


def left(page: Page) -> int:
    said = page.locator("#demo-left").inner_text()
    return int(said.split()[0].replace(",", ""))


def test_what_is_fixed_is_shown_and_the_budget_falls(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    system = "You keep a lighthouse.\n<b>Be kind.</b>"
    token = made(owner, system=system, expires_in_s=86_400)
    with visiting(chromium, f"{site}/d/{token}") as page:
        expect(page.get_by_role("heading", name="Try min-p")).to_be_visible()
        assert page.locator("#demo-system").inner_text() == system
        expect(page.get_by_text(re.compile("Open until"))).to_be_visible()
        expect(page.get_by_text("Every knob is fixed by the owner")).to_be_visible()
        page.get_by_text("Creative: temperature 1 · min_p 0.1 · at most 1024 tokens").click()
        rows = page.locator(".fixed tbody tr").all_inner_texts()
        assert [row.split("\t")[-1] for row in rows] == [
            *("1", "–", "–", "–", "–", "–", "0.1", "1024", "random", "none", "allowed")
        ]
        assert page.locator("input, select").count() == 0
        assert left(page) == 2000
        ask(page)
        expect(answers(page)).to_have_attribute("data-state", "done")
        expect(page.locator("#demo-left")).not_to_contain_text("2,000 of")
        tokens = int(re.findall(r"(\d+) tokens", answers(page).inner_text())[0])
        assert left(page) == 2000 - tokens
        page.get_by_role("button", name="Receipt").click()
        expect(page.get_by_role("tab", name="Prompt")).to_be_visible()
        assert page.get_by_role("tab", name="Code").count() == 0
        page.get_by_role("tab", name="Prompt").click()
        expect(page.locator(".receipt pre")).to_contain_text("You keep a lighthouse.")
        assert in_both_themes(page) == []
        text = answers(page).locator(".body").inner_text()
        page.fill("#demo-prompt", "a draft")
        page.reload()
        page.wait_for_selector(READY)
        # It is plain text until the server has rendered it.
        expect(answers(page).locator(".body")).to_have_text(text, use_inner_text=True)
        expect(page.locator("#demo-prompt")).to_have_value("a draft")


def test_a_stopped_answer_is_settled_and_goes_on(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    with visiting(chromium, f"{site}/d/{made(owner)}") as page:
        ask(page)
        expect(answers(page).locator(".running, .block-html").first).not_to_be_empty()
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(answers(page)).to_have_attribute("data-state", "stopped")
        expect(page.locator("#demo-left")).not_to_contain_text("2,000 of")
        assert 1000 < left(page) < 2000
        before = answers(page).locator(".body").inner_text().strip()
        page.get_by_role("button", name="Continue").click()
        expect(answers(page)).to_have_attribute("data-state", "done")
        assert answers(page).locator(".body").inner_text().startswith(before[:10])


def test_what_an_answer_is_in_the_way_of_waits_for_it(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    with visiting(chromium, f"{site}/d/{made(owner)}") as page:
        ask(page)
        expect(answers(page)).to_have_attribute("data-state", "done")
        asked: list[Route] = []
        page.route(
            "**/stream", lambda route: asked.append(route)
        )  # an answer that does not begin yet
        ask(page)
        retry = page.get_by_role("button", name="Retry").first
        expect(retry).to_have_accessible_description("Stop the answer first.")
        retry.click(force=True)
        expect(page.locator("#demo-notice")).to_contain_text("Stop the answer first.")
        asked[0].continue_()
        expect(answers(page).last).to_have_attribute("data-state", "done")
        expect(retry).not_to_have_accessible_description("Stop the answer first.")
        expect(page.locator("#demo-notice")).to_be_hidden()
        expect(answers(page)).to_have_count(2)


def test_a_used_up_budget_is_said_and_keeps_what_was_written(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    with visiting(chromium, f"{site}/d/{made(owner, budget_tokens=20)}") as page:
        expect(page.locator(".fixed summary")).to_contain_text("at most 20 tokens")
        ask(page)
        expect(answers(page)).to_have_attribute("data-state", "done")
        expect(page.locator("#demo-note")).to_have_text(
            "This demo has used all of its 20 tokens. What was written stays on this page. "
            "Ask who sent you the link for a new one."
        )
        expect(page.locator("#demo-left")).to_have_text("0 of 20 tokens left")
        expect(page.locator("#demo-send")).to_be_disabled()
        expect(answers(page)).to_contain_text("cut: the budget of this demo")
        expect(page.get_by_role("button", name="Receipt")).to_be_visible()
        for name in ("Retry", "Continue"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        page.locator("#demo-prompt").press_sequentially("One more thing")
        page.press("#demo-prompt", "Enter")
        expect(page.locator("#demo-prompt")).to_have_value("")
        expect(answers(page)).to_have_count(1)
        assert answers(page).locator(".body").inner_text().strip()


@pytest.mark.parametrize(("panes", "rest"), [(1, "an answer"), (2, "an answer in each column")])
def test_who_comes_too_late_reads_what_is_used_and_cannot_write(
    chromium: Browser, site: str, owner: httpx.Client, panes: int, rest: str
) -> None:
    terms = {"panes": [{"preset": "min-p"}] * panes, "max_new_tokens": 30}
    token = made(owner, budget_tokens=30 * panes + 9, **terms)
    said = [{"role": "user", "content": STORY}]
    with visiting(chromium, f"{site}/d/{token}") as page:
        field, note = page.locator("#demo-prompt"), page.locator("#demo-note")
        page.fill("#demo-prompt", "a draft")
        assert owner.post(f"/api/demos/{token}/stream", json={"messages": said}).is_success
        page.evaluate("dispatchEvent(new Event('online'))")  # the page looks at once
        used = 30 * panes
        expect(note).to_have_text(
            f"This demo has used {used} of its {used + 9} tokens; the rest is too little for "
            f"{rest}. Ask who sent you the link for a new one."
        )
        expect(page.locator("#demo-left")).to_have_text(f"9 of {used + 9} tokens left")
        expect(field).not_to_be_editable()
        expect(page.locator("#demo-new")).to_be_hidden()  # it could not be written again
        expect(field).to_have_value("a draft")
        expect(field).to_have_accessible_description(note.inner_text())
        expect(page.locator("#demo-send")).to_be_disabled()
        wide = "node => node.offsetWidth"
        assert note.evaluate(wide) == page.locator("#demo-composer").evaluate(wide)
        assert in_both_themes(page) == []


def test_a_demo_that_is_closed_midway_keeps_the_text(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    token = made(owner)
    with visiting(chromium, f"{site}/d/{token}") as page:
        ask(page)
        expect(answers(page).locator(".running, .block-html").first).not_to_be_empty()
        switch(owner, token, False)
        expect(answers(page)).to_have_attribute("data-state", "failed")
        expect(answers(page).locator(".problem")).to_contain_text("This demo was closed")
        assert answers(page).locator(".body").inner_text().strip()
        expect(page.locator("#demo-note")).to_contain_text("not open any more")
        expect(page.locator("#demo-note")).to_contain_text("What was written stays")
        expect(page.locator("#demo-send")).to_be_disabled()
        expect(page.locator("#demo-prompt")).not_to_be_editable()
        assert owner.head(f"/d/{token}").status_code == 404
        closed = owner.get(f"/d/{token}")
        unknown = owner.get("/d/never-was")
        assert (closed.status_code, closed.text) == (404, unknown.text)
        assert unknown.text == owner.get("/s/never-was").text
        assert ">Open the playground</a>" in unknown.text
        assert closed.headers["x-robots-tag"] == unknown.headers["x-robots-tag"] == "noindex"
        switch(owner, token, True)
        expect(page.locator("#demo-note")).to_be_hidden()
        expect(page.locator("#demo-prompt")).to_be_editable()
        page.get_by_role("button", name="Retry").click()
        expect(answers(page)).to_have_attribute("data-state", "done")


def test_several_columns_on_a_phone_in_the_dark(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    panes = [{"preset": "alpacaeval"}, {"preset": "min-p", "sampler": {"temperature": 1.4}}]
    token = made(owner, panes=panes, max_new_tokens=40)
    seen = owner.head(f"/d/{token}")  # as programs do that preview links
    assert (seen.status_code, seen.headers["content-type"]) == (200, "text/html; charset=utf-8")
    with visiting(
        chromium,
        f"{site}/d/{token}",
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        has_touch=True,
        is_mobile=True,
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        expect(page.get_by_role("heading", name="Creative, edited")).to_be_attached()
        page.fill("#demo-prompt", STORY)
        page.tap("#demo-send")
        for pane in (0, 1):
            log = page.locator(f'[data-testid="pane-{pane}"]')
            expect(log.locator('[data-role="assistant"]')).to_have_attribute("data-state", "done")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(20, 21, 22)"
        box = page.locator("#demo-send").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_a_phone_the_end_of_the_column_in_sight_is_followed(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    panes = [{"preset": "alpacaeval", "max_new_tokens": limit} for limit in (8, 160)]
    phone = {"viewport": {"width": 390, "height": 500}, "has_touch": True, "is_mobile": True}
    with visiting(chromium, f"{site}/d/{made(owner, panes=panes)}", **phone) as page:
        page.fill("#demo-prompt", STORY)
        page.tap("#demo-send")
        ends = [
            page.locator(f'[data-testid="pane-{pane}"] [data-role="assistant"]') for pane in (0, 1)
        ]
        for each in ends:
            expect(each).to_have_attribute("data-state", "done")
        last = [each.locator(".body > :not(:empty)").last for each in ends]
        expect(last[0]).to_be_in_viewport(ratio=0.5)
        page.mouse.move(195, 250)
        page.mouse.wheel(330, 0)
        expect(last[1]).to_be_in_viewport(ratio=0.5)
        page.mouse.wheel(-330, 0)
        expect(last[0]).to_be_in_viewport(ratio=0.5)


def test_stop_sequences_are_shown_as_json(
    chromium: Browser, site: str, owner: httpx.Client
) -> None:
    panes = [{"stop": ["\n\n", "Anna’s „❤“", '"\u202e']}, {}]
    with visiting(chromium, f"{site}/d/{made(owner, panes=panes)}") as page:
        page.locator("details.fixed summary").click()
        row = page.get_by_role("row", name="stop sequences")
        expect(row.get_by_role("cell")).to_have_text(
            [r'"\n\n", "Anna’s „❤“", "\"⟨U+202E⟩"', "none"]
        )
        own = page.evaluate(QUOTED, [f"/ui/{static_version()}/lib/text.js", panes[0]["stop"]])
        assert row.get_by_role("cell").first.inner_text() == own


def test_a_demo_is_made_and_switched_in_the_window_share(
    page: Page, chromium: Browser, site: str
) -> None:
    page.get_by_role("tab", name="Creative").click()
    page.fill("#system", "Be brief.")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("tab", name="Demo").click()
    window = page.get_by_role("dialog")
    expect(window).to_contain_text("Creative: temperature 1 · min_p 0.1")
    window.get_by_label("Title").fill("My demo")
    window.get_by_label("all answers together").fill("5")
    window.get_by_role("button", name="Create the demo link").click()
    expect(window).to_contain_text("No link was created. Budget must be a whole number from")
    window.get_by_label("all answers together").fill("500")
    window.get_by_role("button", name="Create the demo link").click()
    link = window.get_by_label("The link", exact=True).input_value()
    assert link.startswith(f"{site}/d/")
    expect(window.locator("button.primary:visible")).to_have_text("Copy the link")
    mine = window.locator("#my-demos li")
    expect(mine).to_contain_text("0 of 500 tokens spent, 500 left")
    with visiting(chromium, link) as visitor:
        expect(visitor.locator("#demo-system")).to_have_text("Be brief.")
        expect(visitor.get_by_role("heading", name="My demo")).to_be_visible()
    window.get_by_role("tab", name="My links").click()
    expect(window.locator(".links li")).to_contain_text("0 of 500 tokens spent")
    expect(window.get_by_role("link", name="Open My demo")).to_have_attribute("href", link)
    window.get_by_role("tab", name="Demo").click()
    window.get_by_role("button", name="Switch off My demo").click()
    expect(mine).to_have_attribute("data-state", "off")
    assert httpx.get(link).status_code == 404
    window.get_by_role("button", name="Delete My demo").click()
    window.get_by_role("button", name="Delete it").click()
    expect(mine).to_have_count(0)


def test_ones_own_demos_say_what_is_used_up_and_what_becomes_of_an_empty_system_text(
    page: Page, site: str
) -> None:
    asked = {"title": "Spent", "panes": [{"preset": "min-p"}], "budget_tokens": 20}
    token = page.request.post(f"{site}/api/demos", data=asked).json()["token"]
    said = {"messages": [{"role": "user", "content": STORY}]}
    assert page.request.post(f"{site}/api/demos/{token}/stream", data=said).ok
    window, engine = page.get_by_role("dialog"), Said(page)
    for own, placeholder, sent in (
        ("", "none", "no system text"),
        (
            "Be kind.",
            "none: the model’s own default is sent",
            "no system text: the model’s own default is sent",
        ),
    ):
        engine.now(engine={"default_system": own})
        expect(page.locator("#system")).to_have_attribute("placeholder", placeholder)
        page.get_by_role("button", name="Share").click()
        page.get_by_role("tab", name="Demo").click()
        expect(window.locator("#my-demos li")).to_contain_text("used up · 20 of 20 tokens spent")
        expect(window.locator(".demo-form li").last).to_have_text(sent)
        page.keyboard.press("Escape")
