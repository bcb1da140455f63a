"""``python -m tests.screenshots`` takes the pictures of the README from the real page."""

import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import browser as browsers
from tests.pages import READY
from tests.servers import ROOT, Server

FOLDER: Final = ROOT / ".github/screenshots"
_DESK: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 860}}
_PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
_PATIENCE_MS = 300_000  # for whole answers of the small model, on a busy machine, too


def _page(browser: Browser, url: str, **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.wait_for_selector(READY)
    return page


def _send(page: Page, tab: str, text: str) -> None:
    """A message by the button: on a phone Enter breaks the line."""
    page.fill(f"#{tab}-prompt", text)
    page.click(f"#{tab}-send")


def _shoot(page: Page, picture: Path) -> None:
    """The page as it lies there: the panel at its top, nothing pointed at."""
    page.locator("#samplers").evaluate("panel => panel.scrollTo(0, 0)")
    page.mouse.move(2, 2)
    page.locator("#field-help").wait_for(state="hidden")
    page.screenshot(path=picture)


def _chat(page: Page, picture: Path) -> None:
    """One whole answer, and a second one while it streams."""
    if page.locator("#seed").is_visible():
        page.fill("#seed", "7")
    _send(page, "chat", "Write a Python function that adds two numbers.")
    page.wait_for_selector('[data-role="assistant"][data-state="done"]', timeout=_PATIENCE_MS)
    _send(page, "chat", "Tell me a story about a lighthouse.")
    page.wait_for_function(
        "document.querySelector('[data-state=streaming] .body')?.textContent.length > 70",
        timeout=_PATIENCE_MS,
    )
    _shoot(page, picture)


def _comparison(page: Page, picture: Path) -> None:
    """As much of the answers as there is room for: one without a limit goes on and on."""
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#comparison .column")
    _send(page, "compare", "Tell me a story about a lighthouse.")
    page.wait_for_function(
        """[...document.querySelectorAll('#comparison .column')].every((column) =>
          column.dataset.state === 'done' || column.textContent.length > 900)""",
        timeout=_PATIENCE_MS,
    )
    if page.locator("#compare-stop").is_visible():
        page.click("#compare-stop")
    expect(page.locator("#compare-send")).to_be_visible(timeout=_PATIENCE_MS)
    page.screenshot(path=picture)


def _snapshot(page: Page, picture: Path) -> None:
    """An answer frozen behind a link, read in another profile and asked again."""
    _send(page, "chat", "What is the moon made of?")
    page.wait_for_selector('[data-role="assistant"][data-state="done"]', timeout=_PATIENCE_MS)
    page.get_by_role("button", name="Share", exact=True).click()
    window = page.get_by_role("dialog")
    window.get_by_role("button", name="Create the link").click()
    link = window.get_by_label("The link", exact=True).input_value()
    browser = page.context.browser
    assert browser is not None
    reader = browser.new_context(**_DESK).new_page()
    reader.goto(link)
    reader.get_by_role("button", name="Run again and show what changed").click()
    expect(reader.locator(".outcome")).to_contain_text("Same text", timeout=_PATIENCE_MS)
    reader.get_by_role("button", name="Run again with another seed").click()
    expect(reader.locator(".outcome")).to_contain_text("Another text", timeout=_PATIENCE_MS)
    reader.evaluate("() => scrollTo(0, 0)")
    reader.screenshot(path=picture)


def main() -> int:
    """Write the pictures; 1 without a browser."""
    path = browsers.executable()
    if path is None:
        print("No browser is installed.", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    demo = Server(["-m", "playground", "demo", "--port", "0"], ready="^Playground: http")
    with demo, sync_playwright() as playwright:
        demo.wait_for("listening on")
        browser = playwright.chromium.launch(executable_path=path, args=list(browsers.FLAGS))
        url = demo.url + "/"
        _chat(_page(browser, url, **_DESK), FOLDER / "light.png")
        _chat(_page(browser, url, **_DESK, color_scheme="dark"), FOLDER / "dark.png")
        _chat(_page(browser, url, **_PHONE), FOLDER / "phone.png")
        _comparison(_page(browser, url, **_DESK), FOLDER / "compare.png")
        _snapshot(_page(browser, url, **_DESK), FOLDER / "snapshot.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
