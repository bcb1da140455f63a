"""The page in a real browser: fixtures and steps that all its tests share."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import browser as browsers
from tests.servers import Server, embedded

READY = "html[data-playground=ready]"
PACE = ("--tokens-per-second", "100")

# A whole answer may be waited for, on a machine that is busy with something else.
expect.set_options(timeout=20_000)


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


def serve(engine_url: str, **env: str) -> Server:
    return Server(
        ["-m", "playground", "serve", "--port", "0", "--tgi-url", engine_url],
        ready="^Playground: http",
        env=env,
    )


@pytest.fixture(scope="module")
def site(engine: Server) -> Iterator[str]:
    with serve(engine.url) as server:
        yield server.url


@contextmanager
def watched(page: Page, url: str) -> Iterator[Page]:
    """The page opened here; a script error or a request elsewhere fails the test."""
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


@contextmanager
def opened(chromium: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page in a profile of its own."""
    context: BrowserContext = chromium.new_context(**options)  # type: ignore[arg-type]
    with watched(context.new_page(), url) as page:
        yield page
    context.close()


@pytest.fixture(scope="module")
def profile(chromium: Browser) -> BrowserContext:
    """One profile for all pages of a file's tests: what Gradio needs is fetched once."""
    return chromium.new_context()


@pytest.fixture
def page(profile: BrowserContext, site: str) -> Iterator[Page]:
    """A page that nobody has used before."""
    with watched(profile.new_page(), site + "/") as page:
        yield page
    page.goto(site + "/livez")  # the page stores what it has when it is left
    page.evaluate("localStorage.clear()")
    page.close()
