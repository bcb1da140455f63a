"""What lies over the page: Back and Escape close the topmost of it, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.pages import opened
from tests.ui.test_page import ask, finished
from tests.ui.test_scrolling_page import PHONE

pytestmark = pytest.mark.browser

Opened = tuple[Callable[[], None], Locator]
# How many layers the entry of the browser's history has that the page is at.
COVERED = "() => history.state?.layers ?? 0"


def clicking(page: Page, name: str) -> Callable[[], None]:
    """A click on the button of this name that is in sight."""
    return page.get_by_role("button", name=name, exact=True).filter(visible=True).click


def at(page: Page, layers: int) -> None:
    """Wait until the browser's history is as far as the page."""
    page.wait_for_function(f"({COVERED})() === {layers}")


def test_back_closes_the_topmost_layer_alone_and_what_is_closed_leaves_no_entry(
    chromium: Browser, site: str
) -> None:
    with opened(chromium, site + "/", **PHONE, reduced_motion="reduce") as page:
        ask(page, "Hello!")
        page.tap("#chat-send")
        finished(page)
        entries = page.evaluate("history.length")
        drawer, window = page.locator("#samplers.open"), page.locator("dialog")
        over: list[Opened] = [
            (clicking(page, "Recent conversations"), page.locator(".menu-list:visible")),
            (clicking(page, "Share"), window),
            (page.locator(".drawer-open").click, drawer),
        ]
        for show, layer in over:
            show()
            expect(layer).to_have_count(1)
            at(page, 1)
            page.go_back()
            expect(layer).to_have_count(0)
            at(page, 0)
        within: list[Opened] = [
            (clicking(page, "What top_p does"), page.locator("#field-help:visible")),
            (clicking(page, "More for this preset"), page.locator(".menu-list:visible")),
        ]
        page.locator(".drawer-open").click()
        for show, layer in within:
            show()
            expect(layer).to_have_count(1)
            at(page, 2)
            page.go_back()
            expect(layer).to_have_count(0)
            expect(drawer).to_have_count(1)
            at(page, 1)
        page.get_by_role("tab", name="Creative").click()  # chosen in what lies over the page
        within[1][0]()
        clicking(page, "Import…")()
        expect(window).to_have_count(1)
        at(page, 2)
        page.keyboard.press("Escape")
        expect(window).to_have_count(0)
        expect(drawer).to_have_count(1)
        at(page, 1)
        page.go_back()
        expect(drawer).to_have_count(0)
        assert page.evaluate("history.length") == entries + 1  # of the other preset
        expect(page.locator(".drawer-open")).to_contain_text("Creative")
        for close in (clicking(page, "Done"), lambda: page.keyboard.press("Escape")):
            page.locator(".drawer-open").click()
            at(page, 1)
            close()
            expect(drawer).to_have_count(0)
            at(page, 0)
            page.go_forward()
            at(page, 0)
            expect(drawer).to_have_count(0)
        page.go_back()
        expect(page.locator(".drawer-open")).to_contain_text("Balanced")
        page.go_back()
        assert page.url == "about:blank"


@pytest.mark.parametrize("device", [PHONE, {}], ids=["phone", "wide"])
def test_receipts_are_a_part_of_the_page_and_back_leaves_it_at_once(
    chromium: Browser, site: str, device: dict[str, Any]
) -> None:
    with opened(chromium, site + "/", **device) as page:
        page.get_by_role("tab", name="About").click()
        page.wait_for_url("**/#setup=1&tab=about&end")
        page.get_by_role("tab", name="Chat").click()
        page.wait_for_url("**/#setup=1&tab=chat*")
        for _ in range(2):
            page.fill("#chat-prompt", "Hello!")
            page.click("#chat-send")
            finished(page)
        entries = page.evaluate("history.length")
        buttons = page.get_by_role("button", name="Receipt")
        expect(buttons).to_have_count(2)
        for button in buttons.all():
            button.click()
        receipts = page.locator(".receipt:visible")
        expect(receipts).to_have_count(2)
        assert page.evaluate("[history.length, history.state?.layers ?? 0]") == [entries, 0]
        clicking(page, "Share")()
        at(page, 1)
        page.go_back()
        expect(page.locator("dialog")).to_have_count(0)
        at(page, 0)
        expect(receipts).to_have_count(2)
        page.go_back()
        page.wait_for_url("**/#setup=1&tab=about&end")
        page.go_forward()
        expect(receipts).to_have_count(2)


def test_what_is_hidden_with_its_view_lies_over_nothing(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/", **PHONE) as page:
        page.locator(".drawer-open").click()
        at(page, 1)
        page.get_by_role("tab", name="About").dispatch_event("click")  # as an address does
        page.wait_for_url("**/#setup=1&tab=about&end")
        at(page, 0)
        page.go_back()
        expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
