"""What is typed and how it is sent, and an answer that falls silent."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.black_hole import BlackHole
from tests.pages import READY
from tests.ui.test_page import answers, ask, finished, growing, questions

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."

# The Enter that takes a word, in the order of events that WebKit has and in that of the others.
WORDS = {
    "webkit": """(area) => {
        area.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true, data: '漢字' }));
        area.dispatchEvent(new KeyboardEvent('keydown',
            { key: 'Enter', keyCode: 229, which: 229, bubbles: true, cancelable: true }));
    }""",
    "others": """(area) => {
        area.dispatchEvent(new KeyboardEvent('keydown',
            { key: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true }));
        area.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true, data: '漢字' }));
    }""",
}


def test_the_enter_that_takes_a_word_sends_nothing(page: Page) -> None:
    prompt = page.locator("#chat-prompt")
    for order in WORDS.values():
        prompt.fill("漢字")
        prompt.dispatch_event("compositionstart")
        prompt.evaluate(order)
        expect(prompt).to_have_value("漢字")
    expect(questions(page)).to_have_count(0)


def test_a_double_click_on_send_does_not_stop_the_answer(page: Page) -> None:
    page.fill("#chat-prompt", STORY)
    page.dblclick("#chat-send")
    growing(page)
    assert finished(page)


def test_a_message_keeps_the_indentation_of_its_first_line(page: Page) -> None:
    ask(page, "\n    - indented item\n      key: value\n")
    body = questions(page).locator(".body")
    assert body.evaluate("e => e.textContent") == "    - indented item\n      key: value"


def test_an_answer_that_falls_silent_says_so_and_can_be_continued(
    chromium: Browser, site: str
) -> None:
    with BlackHole(site) as hole, chromium.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.goto(hole.url + "/")
        page.wait_for_selector(READY)
        ask(page, STORY)
        growing(page)
        hole.passing.clear()
        page.clock.fast_forward(41_000)
        answer = answers(page).last
        expect(answer).to_have_attribute("data-state", "failed")
        expect(answer.locator(".problem")).to_contain_text("Nothing has come from the playground")
        before = answer.locator(".body").inner_text().strip()
        hole.passing.set()
        answer.get_by_role("button", name="Continue").click()
        assert finished(page).startswith(before[: max(1, len(before) - 10)])


def test_what_was_wrong_is_not_said_any_longer_when_it_is_written_anew(page: Page) -> None:
    page.fill("#seed", "-1")
    ask(page, "Hello!")
    error = page.locator("#request-form .error")
    expect(error).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("seed must be")
    page.fill("#seed", "")
    expect(error).to_be_hidden()
    expect(page.locator("#seed")).not_to_have_attribute("aria-invalid", "true")
    page.press("#chat-prompt", "Enter")
    expect(page.locator("#notice")).to_be_hidden()
    assert finished(page)


def test_nothing_moves_under_the_pointer(page: Page) -> None:
    """Help has a place of its own, so that what is clicked is where it was."""
    panel = page.locator("#preset-alpacaeval")
    below = panel.locator('[data-parameter="min_p"] .value')
    before = below.bounding_box()
    panel.locator('[data-parameter="temperature"] .value').focus()
    expect(page.locator("#knob-help")).to_contain_text("0 to 2")
    assert below.bounding_box() == before
    panel.locator('[data-parameter="top_p"] .value').focus()
    expect(page.locator("#knob-help")).not_to_contain_text("0 to 2")
    assert below.bounding_box() == before
