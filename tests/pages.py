"""The page in a real browser: what all its tests share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import browser as browsers
from tests.application import Application

READY = "html[data-playground=ready]"
PACE = ("--tokens-per-second", "100")
# Run in a page: what comes over its streams, as one text, is `received` from then on.
LISTENING: Final = """() => {
  window.received = '';
  const fetched = window.fetch;
  window.fetch = async (...request) => {
    const response = await fetched(...request);
    if (String(request[0]).endsWith('api/stream')) {
      response.clone().text().then((text) => { window.received += text; });
    }
    return response;
  };
}"""
# A function for a page: what one of its modules exports, as it runs there, by its path in static/.
MODULE: Final = """async (path) => {
  const begun = document.querySelector("script[src*='main.js']").src;
  const name = `_${path.replace(/\\.js$/, '').replaceAll(/\\W/g, '_')}`;
  for (const file of [begun, begun.replace('main.js', 'main-later.js')]) {
    const found = (await import(file))[name];
    if (found) return found;
  }
  throw new Error(`${path} is no module of this page`);
}"""


# A whole answer may be waited for, on a machine that is busy with something else.
expect.set_options(timeout=20_000)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser; skips or fails the test where none is installed."""
    path = browsers.executable()
    if path is None:
        if browsers.required():
            pytest.fail("no browser is installed, and the run requires one")
        pytest.skip("no browser is installed: the page was not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browsers.FLAGS))
        yield browser
        browser.close()


def serve(engine_url: str, **settings: Any) -> Application:
    """A playground with its page; settings by their names in `Settings`."""
    return Application(engine_url, ui=True, **settings)


# A policy's violation is an event of the document, and so is heard also where it is not logged.
_TOLD = """addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


def listen(page: Page, problems: list[str]) -> None:
    """Put on the list what goes wrong on a page: a script's error, what its policy forbids."""
    page.add_init_script(_TOLD)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.text.startswith("policy: ") or "Content Security Policy" in message.text
            else None
        ),
    )


@contextmanager
def watched(page: Page, url: str) -> Iterator[Page]:
    """The page opened here; a script error or a request elsewhere fails the test."""
    page.set_default_timeout(20_000)
    problems: list[str] = []
    listen(page, problems)
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((url, "data:", "blob:"))
            else problems.append(request.url)
        ),
    )
    page.goto(url)
    page.wait_for_selector(READY)
    expect(page.locator("#engine-state")).to_have_attribute("data-state", "ready")
    yield page
    assert problems == []


@contextmanager
def opened(chromium: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page in a profile of its own."""
    context: BrowserContext = chromium.new_context(**options)  # type: ignore[arg-type]
    with watched(context.new_page(), url) as page:
        yield page
    context.close()
