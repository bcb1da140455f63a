"""What the page shows of the waiting line and of refusals, in a real browser."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.pages import opened, serve
from tests.servers import Server
from tests.ui.test_comparison_page import answer, ask, compare, finished

pytestmark = pytest.mark.browser

LONG = {
    "messages": [{"role": "user", "content": "tell me a story"}],
    "panes": [{"sampler": {"temperature": 2.0}, "seed": 3}] * 3,
}


@pytest.fixture(scope="module")
def narrow(engine: Server) -> Iterator[str]:
    """A playground that writes three answers at a time, and lets one request wait."""
    with serve(engine.url, max_streams=3, max_waiting=1) as server:
        yield server.url


@contextmanager
def all_taken(site: str) -> Iterator[None]:
    """All places are taken meanwhile, by readers who come back when their answer has ended."""
    with ExitStack() as leaving:
        response = leaving.enter_context(
            httpx.stream("POST", f"{site}/api/stream", json=LONG, timeout=60)
        )
        assert response.status_code == 200
        yield


def say(page: Page, words: str) -> None:
    page.fill("#chat-prompt", words)
    page.press("#chat-prompt", "Enter")


def test_who_waits_is_told_the_place_and_who_is_refused_keeps_the_question(
    chromium: Browser, narrow: str
) -> None:
    with opened(chromium, narrow + "/") as first, opened(chromium, narrow + "/") as second:
        with all_taken(narrow):
            say(first, "Hello!")
            waiting = first.locator('[data-testid="message"][data-role="assistant"]')
            expect(waiting.get_by_role("status")).to_have_text("Waiting, 1st in line")
            say(second, "Good morning!")
            refused = second.locator('[data-testid="message"][data-role="assistant"]')
            expect(refused.locator(".problem")).to_contain_text(re.compile("Try again in .*second"))
            question = second.locator('[data-testid="message"][data-role="user"]')
            expect(question).to_contain_text("Good morning!")
        expect(waiting).to_have_attribute("data-state", "done")
        expect(waiting.locator(".place")).to_have_count(0)
        refused.get_by_role("button", name="Retry").click()
        expect(refused).to_have_attribute("data-state", "done")


def test_a_stop_in_line_is_a_stop(chromium: Browser, narrow: str) -> None:
    with opened(chromium, narrow + "/") as page:
        compare(page)
        with all_taken(narrow):
            ask(page, "Name ten animals.")
            for place in range(3):
                expect(answer(page, place).get_by_role("status")).to_have_text(
                    "Waiting, 1st in line"
                )
            answer(page, 1).get_by_role("button", name="Stop", exact=True).click()
            expect(answer(page, 1)).to_have_attribute("data-state", "stopped")
            expect(answer(page, 0)).to_have_attribute("data-state", "streaming")
        for place, state in enumerate(("done", "stopped", "done")):
            expect(answer(page, place)).to_have_attribute("data-state", state)


def test_trials_wait_for_a_busy_server(chromium: Browser, narrow: str) -> None:
    with opened(chromium, narrow + "/") as page:
        compare(page)
        ask(page, "Name ten animals.")
        finished(page)
        page.get_by_role("button", name="More for the comparison").click()
        page.get_by_role("button", name="Try several seeds…").click()
        page.get_by_label("answers per column").select_option("1")
        status = page.get_by_role("dialog").get_by_role("status")
        refusals = iter([{"error": "Full.", "kind": "busy", "field": None}])

        def once_busy(route: Route) -> None:
            if (body := next(refusals, None)) is not None:
                route.fulfill(status=429, headers={"Retry-After": "1"}, json=body)
            else:
                route.continue_()

        page.route("**/api/stream", once_busy)
        with all_taken(narrow):
            page.get_by_role("button", name="Start").click()
            expect(status).to_contain_text("The server is busy; asking again in 1 s")
            expect(status).to_contain_text("waiting, 1st in line")
        expect(page.get_by_role("button", name="Start again")).to_be_visible()
        expect(page.get_by_role("row", name="Creative").get_by_role("cell").first).to_have_text("1")


def test_what_the_page_asks_for_by_itself_it_asks_for_again(page: Page) -> None:
    """The tokens and the Markdown of a conversation, its prompt, and where answers differ."""
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path in refused:
            route.fallback()
            return
        refused.append(path)
        busy = {"error": "Too many.", "kind": "busy", "field": None}
        route.fulfill(status=429, json=busy, headers={"Retry-After": "1"})

    say(page, "Name two animals.")
    finished_answer(page)
    page.fill("#chat-prompt", "A draft")
    with page.context.new_page() as tab:  # which goes on with it, and has no HTML of it
        for name in ("tokenize", "render", "pieces", "code"):
            tab.route(f"**/api/{name}", refuse_once)
        tab.goto(page.url.partition("#")[0])
        expect(tab.locator("#chat-prompt")).to_have_value("A draft")
        expect(tab.locator("#context-meter")).to_contain_text("/")
        answered = finished_answer(tab)
        expect(answered.locator(".block-html").first).to_be_visible()
        answered.get_by_role("button", name="Receipt").click()
        answered.get_by_role("tab", name="Code").click()
        expect(answered.locator("pre")).to_contain_text("curl")
        compare(tab)
        with tab.expect_response(lambda response: "/api/pieces" in response.url and response.ok):
            ask(tab, "Name two animals.")
        finished(tab)
    assert set(refused) == {"/api/tokenize", "/api/render", "/api/code", "/api/pieces"}


def finished_answer(page: Page) -> Locator:
    written = page.locator('#chat [data-testid="message"][data-role="assistant"]')
    expect(written).to_have_attribute("data-state", "done")
    return written
