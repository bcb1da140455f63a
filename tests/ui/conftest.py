"""Fixtures of the page's tests: browser, engine and playground are started once for all of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.pages import PACE, browsing, serve, watched
from tests.servers import Server, stand_in


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Not for the whole session: while Playwright runs, no test can run an event loop."""
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="package")
def engine() -> Iterator[Server]:
    """The stand-in at a pace at which text can be seen to grow."""
    with stand_in("--all-samplers", *PACE) as server:
        yield server


@pytest.fixture(scope="package")
def site(engine: Server) -> Iterator[str]:
    with serve(engine.url) as server:
        yield server.url


@pytest.fixture(scope="module")
def profile(chromium: Browser, site: str) -> Iterator[BrowserContext]:
    """One profile for all pages of a file's tests: what Gradio needs is fetched once.

    A page of the site stays open in it, whose process the others share (`browser.FLAGS`).
    """
    with chromium.new_context() as context:
        context.new_page().goto(site + "/livez")
        yield context


@pytest.fixture
def page(profile: BrowserContext, site: str) -> Iterator[Page]:
    """A page that nobody has used before."""
    with watched(profile.new_page(), site + "/") as page:
        yield page
    page.close()  # it stores what it has then
    profile.pages[0].evaluate("localStorage.clear()")
