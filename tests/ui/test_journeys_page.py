"""Whole visits in a real browser: by keyboard alone, by touch, and on pages for others."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import in_both_themes
from tests.conversations import answer as written
from tests.conversations import column as recorded
from tests.conversations import record
from tests.pages import opened
from tests.ui.test_comparison_page import PHONE, column, level
from tests.ui.test_comparison_page import finished as compared
from tests.ui.test_demo_page import made, visiting
from tests.ui.test_page import answers, finished, growing
from tests.ui.test_snapshot_page import DRAWN
from tests.ui.test_versions_page import versions

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."
FOCUSED = """() => {
    const { activeElement: at } = document;
    return at.id || at.getAttribute('aria-label') || at.textContent.trim();
}"""


def reach(page: Page, name: str, *, backwards: bool = True) -> None:
    """Move the focus by the keyboard until it is on what has this id or name."""
    for _ in range(90):
        if re.fullmatch(name, page.evaluate(FOCUSED)):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"{name} cannot be reached by the keyboard")


def stopped(page: Page) -> None:
    """Let an answer grow, and stop it."""
    growing(page)
    page.keyboard.press("Escape")
    expect(answers(page).last).to_have_attribute("data-state", "stopped")


def test_a_whole_visit_by_keyboard_alone(page: Page) -> None:
    expect(page.locator("#chat-prompt")).to_be_focused()
    page.keyboard.type(STORY)
    page.keyboard.press("Enter")
    stopped(page)
    reach(page, "Retry")
    page.keyboard.press("Enter")
    stopped(page)
    reach(page, "Previous version")
    page.keyboard.press("Enter")
    expect(versions(answers(page))).to_contain_text("1/2")
    page.keyboard.press("ArrowRight")
    expect(versions(answers(page))).to_contain_text("2/2")
    reach(page, "Edit", backwards=False)
    page.keyboard.press("Enter")
    page.keyboard.type(" The end.")
    page.keyboard.press("Control+Enter")
    expect(answers(page)).to_contain_text("edited by hand")
    reach(page, r"seed \d+")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("is set for the next answers.")
    reach(page, "Receipt")
    page.keyboard.press("Enter")
    expect(answers(page).locator(".receipt")).to_be_visible()
    assert in_both_themes(page) == []

    reach(page, "view-compare-button")
    page.keyboard.press("Enter")
    expect(column(page, 0)).to_be_visible()
    reach(page, "compare-prompt", backwards=False)
    page.keyboard.type("Hello!")
    page.keyboard.press("Enter")
    compared(page)
    reach(page, "Retry")
    page.keyboard.press("Enter")
    compared(page)
    expect(column(page, 2)).to_contain_text("2/2")
    assert in_both_themes(page) == []

    reach(page, "share")
    page.keyboard.press("Enter")
    window = page.get_by_role("dialog")
    reach(page, "Create the link", backwards=False)
    page.keyboard.press("Enter")
    expect(window.get_by_role("button", name="Copy the link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(window.get_by_role("button", name="Copied")).to_be_visible()
    link = window.get_by_label("The link", exact=True).input_value()
    assert in_both_themes(page) == []
    for name in ("Settings", "Demo", "My links"):
        window.get_by_role("tab", name=name, exact=True).click()
        assert in_both_themes(page) == [], name
    page.keyboard.press("Escape")
    expect(window).to_have_count(0)
    for name in ("history", "about"):
        reach(page, f"view-{name}-button")
        page.keyboard.press("Enter")
        assert in_both_themes(page) == [], name
    page.goto(link)
    page.wait_for_selector(DRAWN)
    reach(page, "Run again and show what changed", backwards=False)


def test_a_whole_visit_by_touch(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/", **PHONE) as page:
        page.tap("#chat-prompt")
        page.keyboard.type(STORY)
        page.tap("#chat-send")
        # So soon after Send a tap would be the second of a double tap on it.
        page.wait_for_function(
            "document.querySelector('[data-state=streaming] .body')?.textContent.length > 250"
        )
        page.tap("#chat-stop")
        expect(answers(page)).to_have_attribute("data-state", "stopped")
        answers(page).get_by_role("button", name="Retry").tap()
        finished(page)
        versions(answers(page)).get_by_role("button", name="Previous version").tap()
        expect(versions(answers(page))).to_contain_text("1/2")
        answers(page).get_by_role("button", name="Edit").tap()
        page.get_by_label("Edit the answer").fill("My own words.")
        page.get_by_role("button", name="Save as a version").tap()
        expect(answers(page)).to_contain_text("edited by hand")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert in_both_themes(page) == []
        page.get_by_role("tab", name="Compare").tap()
        page.fill("#compare-prompt", "Hello!")
        page.tap("#compare-send")
        compared(page)
        column(page, 1).get_by_role("button", name="Retry").tap()
        compared(page)
        expect(column(page, 1)).to_contain_text("2/2")
        assert in_both_themes(page) == []
        page.get_by_role("button", name="Share", exact=True).tap()
        window = page.get_by_role("dialog")
        window.get_by_role("button", name="Create the link").tap()
        window.get_by_role("button", name="Copy the link").tap()
        expect(window.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


# Of every kind that axe has rules for, and wider than a page.
WIDE = (
    "## First\n\n#### Third\n\n```py\n" + "x = 1; " * 90 + "\n```\n\n"
    "| | " + "Incomprehensibilities | " * 12 + "\n|" + "---|" * 13 + "\n| **a** |\n\n"
    + "\n".join(f"{i}. item" for i in range(1, 12)) + "\n\n$$" + "x + " * 90 + "y$$\n\n- [x] done"
)  # fmt: skip
# What is wide scrolls by itself and can be reached by keys; words are whole, numbers in the margin.
SHAPES = """() => {
    const body = document.querySelector('figure.code').closest('.body');
    const wide = [...body.querySelectorAll('pre, .scroll, .math.display')];
    const list = body.querySelector('ol');
    const number = document.createRange();
    const first = list.querySelector('li').firstChild;
    number.selectNodeContents(first);
    const letter = number.getBoundingClientRect().width / first.textContent.length;
    const head = [...body.querySelectorAll('th')].at(-1);
    return {
        scroll: wide.map((each) => {
            each.scrollLeft = 50;
            return each.scrollLeft === 50 && each.tabIndex === 0;
        }),
        page: document.documentElement.scrollWidth <= innerWidth,
        line: head.offsetHeight < 2.5 * parseFloat(getComputedStyle(head).fontSize) * 1.6,
        margin: parseFloat(getComputedStyle(list).paddingInlineStart) >= 3 * letter,
    };
}"""


def turns(*texts: str) -> list[dict[str, Any]]:
    """A conversation of these answers."""
    return [
        message
        for text in texts
        for message in ({"role": "user", "content": "And?"}, written(text))
    ]


def test_pages_for_others_have_no_findings_and_their_turns_at_one_height(
    chromium: Browser, page: Page, site: str
) -> None:
    records = [
        record(recorded(*turns(WIDE, "Two"))),
        record(recorded(*turns("One\n\n" * 5, "Two")), recorded(*turns("One", "Two"))),
    ]
    with httpx.Client(base_url=site, trust_env=False) as owner:
        for each in records:
            token = owner.post("/api/shares", json={"record": each}).json()["token"]
            page.goto(f"{site}/s/{token}")
            page.wait_for_selector(DRAWN)
            page.get_by_role("button", name="Receipt").first.click()
            if each is records[0]:
                expect(page.locator("math")).to_be_attached()
                assert page.evaluate(SHAPES) == {
                    **dict.fromkeys(("page", "line", "margin"), True),
                    "scroll": [True] * 3,
                }
            assert in_both_themes(page) == []
        level(page)
        token = made(owner, panes=[{"preset": name} for name in ("min-p", "alpacaeval")])
    with visiting(chromium, f"{site}/d/{token}") as visitor:
        for text in ("Name ten animals.", "Hello!"):
            visitor.fill("#demo-prompt", text)
            visitor.press("#demo-prompt", "Enter")
            expect(visitor.locator("#demo-stop")).to_be_visible()
            expect(visitor.locator("#demo-send")).to_be_visible()
        answers(visitor).first.get_by_role("button", name="Receipt").click()
        level(visitor)
        assert in_both_themes(visitor) == []
