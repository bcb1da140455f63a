"""The end is followed while an answer grows, until the reader moves away from it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.bench.processes import upstream
from tests.pages import READY, opened, serve

pytestmark = pytest.mark.browser

SMALL = {"viewport": {"width": 1000, "height": 480}}
PHONE = {"viewport": {"width": 390, "height": 600}, "has_touch": True, "is_mobile": True}
ASIDE = {"viewport": {"width": 844, "height": 390}, "has_touch": True, "is_mobile": True}
PAGE = "document.documentElement"
# Where the text is that is shown, and how often the page itself has scrolled.
TEXT = "document.querySelector('[data-role=assistant] > .body').getBoundingClientRect().top"
COUNTED = """() => {
  window.scrolled = 0;
  const scroll = Element.prototype.scrollTo;
  Element.prototype.scrollTo = function (...place) {
    window.scrolled += 1;
    return scroll.apply(this, place);
  };
}"""
BOARD = "document.querySelector('.comparison .board')"


@pytest.fixture(scope="module")
def paced() -> Iterator[str]:
    """A playground whose engine writes 50 long words a second, as many as it is asked for."""
    with upstream() as engine, serve(engine.url, rate_limit=1000) as site:
        yield site.url


def follows(page: Page, box: str) -> None:
    """Wait until its end is in sight: in the frame in which it has grown, it is followed."""
    page.wait_for_function(f"(e => e.scrollHeight - e.scrollTop - e.clientHeight <= 1)({box})")


def grows(page: Page, box: str, pixels: int) -> None:
    """Wait until so much more has been written."""
    page.evaluate(f"window.before = {box}.scrollHeight")
    page.wait_for_function(f"{box}.scrollHeight > window.before + {pixels}")


def begin(page: Page, prompt: str, box: str) -> None:
    """An answer that has filled the window and goes on."""
    page.fill(prompt, "Hello!")
    page.click(prompt.replace("-prompt", "-send"))
    page.wait_for_function(f"(e => e.scrollTop > 100)({box})")
    follows(page, box)
    page.evaluate(COUNTED)


def hold(page: Page, box: str, move: Callable[[], None]) -> None:
    """After the movement the text stays where it is, and the way back leads to the end."""
    move()
    page.wait_for_function(f"(e => e.scrollHeight - e.scrollTop - e.clientHeight > 60)({box})")
    # Of the text and not of the box, which a browser scrolls along with what grows above the text.
    place = page.evaluate(f"[window.scrolled, {TEXT}]")
    grows(page, box, 120)
    scrolled, top = page.evaluate(f"[window.scrolled, {TEXT}]")
    assert scrolled == place[0], "the page went after the end"
    assert round(top) >= round(place[1]), "the text went up"
    jump = page.get_by_role("button", name="Jump to the latest")
    expect(jump).to_be_in_viewport(ratio=1)
    jump.click()
    expect(jump).to_be_hidden()
    grows(page, box, 60)
    follows(page, box)


def wheel(page: Page, ticks: int, pixels: int) -> None:
    for _ in range(ticks):
        page.mouse.wheel(0, pixels)


def drag(page: Page, pixels: int) -> None:
    """A finger that goes down by so much in small steps."""
    touch = page.context.new_cdp_session(page)
    for i, kind in enumerate(["touchStart", *["touchMove"] * (pixels // 5), "touchEnd"]):
        points = [] if kind == "touchEnd" else [{"x": 200, "y": 150 + 5 * i}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_any_movement_up_leaves_the_end_of_a_chat(chromium: Browser, paced: str) -> None:
    with opened(chromium, paced + "/", **SMALL) as page:
        expect(page.get_by_role("button", name="Jump to the latest")).to_be_hidden()
        begin(page, "#chat-prompt", PAGE)
        page.mouse.move(300, 200)
        hold(page, PAGE, lambda: wheel(page, 8, -10))
        hold(page, PAGE, lambda: wheel(page, 1, -90))
        page.evaluate("document.activeElement.blur()")
        hold(page, PAGE, lambda: page.keyboard.press("ArrowUp"))
        wheel(page, 1, -400)
        grows(page, PAGE, 60)
        page.mouse.wheel(0, 4000)  # the end takes hold again
        follows(page, PAGE)
        grows(page, PAGE, 60)
        follows(page, PAGE)


def test_a_finger_leaves_the_end_of_a_chat(chromium: Browser, paced: str) -> None:
    with opened(chromium, paced + "/", **PHONE) as page:
        begin(page, "#chat-prompt", PAGE)
        hold(page, PAGE, lambda: drag(page, 100))


def test_a_phone_on_its_side_has_its_height_for_what_is_read(chromium: Browser, paced: str) -> None:
    with opened(chromium, paced + "/", **ASIDE) as page:
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("#compare-prompt")).to_be_in_viewport(ratio=1)
        page.get_by_role("tab", name="Chat").click()
        expect(page.locator("#chat-send")).to_be_in_viewport(ratio=1)
        begin(page, "#chat-prompt", PAGE)
        expect(page.locator("#chat-stop")).to_be_in_viewport(ratio=1)
        hold(page, PAGE, lambda: drag(page, 100))
        drag(page, 220)
        for part in ("#composer", "#masthead", "#views > .tab-wrapper"):
            expect(page.locator(part)).not_to_be_in_viewport()


def test_a_receipt_is_opened_at_its_beginning(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/", **SMALL) as page:
        page.fill("#chat-prompt", "Hello!")
        page.click("#chat-send")
        receipt = page.get_by_role("button", name="Receipt")
        receipt.click()
        page.locator(".receipt pre").first.wait_for()
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        head = page.locator("#views > .tab-wrapper").bounding_box()
        shown = receipt.bounding_box()
        assert head
        assert shown
        assert head["y"] + head["height"] <= shown["y"] < 480


def test_a_comparison_follows_and_can_be_stopped(chromium: Browser, paced: str) -> None:
    with opened(chromium, paced + "/", **SMALL) as page:
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("section.column")).to_have_count(3)
        begin(page, "#compare-prompt", BOARD)
        page.mouse.move(300, 250)
        hold(page, BOARD, lambda: wheel(page, 8, -10))
        for stop in page.get_by_role("button", name="Stop").all():
            expect(stop).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("window", [SMALL, ASIDE], ids=["small", "aside"])
def test_a_demo_follows(chromium: Browser, paced: str, window: dict[str, Any]) -> None:
    terms = {"title": "Two", "panes": [{}, {}], "budget_tokens": 100_000}
    with httpx.Client(base_url=paced, trust_env=False) as owner:
        token = owner.post("/api/demos", json=terms).raise_for_status().json()["token"]
        page = chromium.new_page(bypass_csp=True, **window)
        page.goto(f"{paced}/d/{token}")
        page.wait_for_selector(READY)
        begin(page, "#demo-prompt", PAGE)
        page.mouse.move(300, 100)
        hold(
            page,
            PAGE,
            (lambda: drag(page, 200)) if window is ASIDE else lambda: wheel(page, 8, -10),
        )
        page.close()


def test_each_view_keeps_its_place_and_escape_closes_before_it_stops(
    chromium: Browser, paced: str
) -> None:
    with opened(chromium, paced + "/", **SMALL) as page:
        view = page.get_by_role("tab")
        begin(page, "#chat-prompt", PAGE)
        view.filter(has_text="About").click()
        page.wait_for_function(f"{PAGE}.scrollTop === 0")
        page.mouse.move(300, 300)
        page.mouse.wheel(0, 90)
        page.wait_for_function(f"{PAGE}.scrollTop === 90")
        view.filter(has_text="Chat").click()
        follows(page, PAGE)
        grows(page, PAGE, 60)
        follows(page, PAGE)
        for show, layer in (
            (page.get_by_text("top_p", exact=True).filter(visible=True).hover, "#field-help"),
            (page.get_by_role("button", name="Recent conversations").click, ".menu-list"),
        ):
            show()
            expect(page.locator(layer).filter(visible=True)).to_have_count(1)
            page.locator("body").evaluate("() => document.activeElement.blur()")
            page.keyboard.press("Escape")
            expect(page.locator(layer).filter(visible=True)).to_have_count(0)
            expect(page.locator("#chat-stop")).to_be_visible()
        page.mouse.move(300, 200)
        page.mouse.wheel(0, -200)
        expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#chat-send")).to_be_visible()
        place = page.evaluate(f"{PAGE}.scrollTop")
        view.filter(has_text="About").click()
        page.wait_for_function(f"{PAGE}.scrollTop === 90")
        page.go_back()
        page.wait_for_function(f"{PAGE}.scrollTop === {place}")
        page.reload()
        page.wait_for_function(f"{PAGE}.scrollTop === {place}")
        page.get_by_role("button", name="Jump to the latest").click()
        page.reload()
        page.wait_for_function(f"{PAGE}.scrollTop > {place}")
        follows(page, PAGE)
