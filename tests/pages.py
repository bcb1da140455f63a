"""The page in a real browser: fixtures and steps that all its tests share."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import browser as browsers
from tests.servers import Server, embedded

READY = "html[data-playground=ready]"
PACE = ("--tokens-per-second", "100")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = browsers.executable()
    if path is None:
        if browsers.required():
            pytest.fail("no browser is installed, and the run requires one")
        pytest.skip("no browser is installed: the page was not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browsers.FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Server]:
    """The embedded engine at a pace at which text can be seen to grow."""
    with embedded(*PACE) as server:
        yield server


def serve(engine_url: str) -> Server:
    return Server(
        ["-m", "playground", "serve", "--port", "0", "--tgi-url", engine_url],
        ready="^Playground: http",
    )


@pytest.fixture(scope="module")
def site(engine: Server) -> Iterator[str]:
    with serve(engine.url) as server:
        yield server.url


@contextmanager
def opened(chromium: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page in a profile of its own; a script error or a request elsewhere fails the test."""
    context: BrowserContext = chromium.new_context(**options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
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
    context.close()


@pytest.fixture
def page(chromium: Browser, site: str) -> Iterator[Page]:
    with opened(chromium, site + "/") as page:
        yield page
