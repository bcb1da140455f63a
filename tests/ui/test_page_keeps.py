"""What the page never loses: text, drafts, conversations, the focus."""

import json
import re
import time

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.pages import MODULE, READY, opened
from tests.servers import Server
from tests.ui.test_page import answers, ask, finished, growing, questions

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."

# An answer whose first block is complete while the second one is being written.
BETWEEN_BLOCKS = """() => {
    const body = document.querySelector('[data-state=streaming] .body');
    const running = body?.querySelector('.running').textContent ?? '';
    return body?.querySelector('.block-html:not(.running)') && running.length > 8;
}"""
STORAGES = "JSON.stringify([{...sessionStorage}, {...localStorage}])"


# What the history has of this tab's last message.
ARCHIVED = f"""async () => {{
    const {{ allEntries }} = await ({MODULE})('records/archive.js');
    const {{ entry }} = JSON.parse(sessionStorage.getItem('kto-playground.v1.chat') ?? '{{}}');
    const found = (await allEntries()).find(({{ id }}) => id === entry?.id);
    return found?.record.columns[0].messages.at(-1).content ?? '';
}}"""


def words(text: str) -> list[str]:
    """The words of a text, without its Markdown."""
    return "".join(c if c.isalnum() else " " for c in text).split()


def shown(page: Page) -> list[str]:
    return words(answers(page).last.locator(".body").inner_text())


def archived(page: Page, said: list[str]) -> None:
    """Wait until the history has this tab's last message as far as these words."""
    deadline = time.monotonic() + 20
    while (kept := words(page.evaluate(ARCHIVED)))[: len(said)] != said:
        assert time.monotonic() < deadline, kept
        page.wait_for_timeout(50)


def between_blocks(page: Page) -> None:
    ask(page, "What does min_p do that top_p doesn't?")
    page.wait_for_function(BETWEEN_BLOCKS)


def test_a_reload_in_mid_answer_keeps_all_of_it(page: Page) -> None:
    between_blocks(page)
    before = shown(page)
    page.reload()
    page.wait_for_selector(READY)
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    assert shown(page)[: len(before) - 1] == before[:-1]  # the last word may have grown
    archived(page, shown(page))
    page.get_by_role("button", name="Continue").click()
    finished(page)


def test_a_conversation_is_stored_in_the_archive_alone(page: Page, site: str) -> None:
    between_blocks(page)
    archived(page, shown(page)[:-1])
    assert "role" not in page.evaluate(STORAGES)
    text = finished(page)
    archived(page, words(text))
    assert "role" not in page.evaluate(STORAGES)
    other = page.context.new_page()
    other.goto(site + "/")
    other.wait_for_selector(READY)
    expect(answers(other).last).to_have_attribute("data-state", "done")
    expect(answers(other).last.locator(".block-html").first).to_be_visible()
    assert shown(other) == words(text)
    other.close()


def test_after_a_crash_in_mid_answer_a_new_tab_goes_on(chromium: Browser, site: str) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(site + "/")
    tab.wait_for_selector(READY)
    between_blocks(tab)
    before = shown(tab)[:-1]
    archived(tab, before)
    with tab.expect_event("crash"), pytest.raises(Error, match=r"ERR_ABORTED|crashed"):
        tab.goto("chrome://crash")  # nothing on the page is told of it
    other = context.new_page()
    other.goto(site + "/")
    other.wait_for_selector(READY)
    expect(answers(other).last).to_have_attribute("data-state", "stopped")
    assert shown(other)[: len(before)] == before
    context.close()


def test_a_playground_that_dies_leaves_all_of_the_text(chromium: Browser, engine: Server) -> None:
    arguments = ["-m", "playground", "serve", "--port", "0", "--tgi-url", engine.url]
    with (
        Server(arguments, ready="^Playground: http") as site,
        opened(chromium, site.url + "/") as page,
    ):
        between_blocks(page)
        before = shown(page)
        site.kill()
        expect(answers(page).last).to_have_attribute("data-state", "failed")
        assert shown(page)[: len(before) - 1] == before[:-1]
        expect(answers(page).last.locator(".problem")).to_contain_text("Incomplete.")


def test_a_deleted_question_takes_its_answer_along(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    ask(page, "Thank you.")
    finished(page)
    questions(page).first.hover()
    questions(page).first.get_by_role("button", name="Delete").click()
    expect(questions(page)).to_have_count(1)
    expect(answers(page)).to_have_count(1)
    page.get_by_role("button", name="Retry").click()
    expect(answers(page).last.get_by_test_id("versions")).to_contain_text("2/2")
    finished(page)
    page.get_by_role("button", name="Undo").click()
    expect(answers(page)).to_have_count(2)
    expect(answers(page).last.get_by_test_id("versions")).to_contain_text("2/2")


def test_a_tab_never_replaces_what_another_holds(page: Page, site: str) -> None:
    other = page.context.new_page()
    other.goto(site + "/")
    other.wait_for_selector(READY)
    ask(page, "Hello!")
    text = finished(page)
    other.reload()
    other.wait_for_selector(READY)
    assert finished(other) == text
    ask(other, "Thank you.")
    finished(other)
    page.reload()
    page.wait_for_selector(READY)
    expect(answers(page)).to_have_count(1)
    other.close()


def test_a_starter_leaves_the_draft(page: Page) -> None:
    page.fill("#chat-prompt", "half a thought")
    page.get_by_role("button", name="Name ten animals.").click()
    finished(page)
    expect(page.locator("#chat-prompt")).to_have_value("half a thought")


@pytest.mark.parametrize(
    "stored",
    [
        "{}",
        "5",
        "not JSON",
        '{"messages": 7, "edits": 3, "columns": 5}',
        '{"messages": [{"role": "assistant"}], "columns": [{"messages": []}, null]}',
        '{"messages": [null], "columns": [{"setting": {}, "messages": [{"role": "user"}]}]}',
        '{"messages": [{"role": "user", "content": "Hi", "after": 3}], "shown": 9}',
    ],
)
def test_a_page_starts_whatever_was_stored(page: Page, site: str, stored: str) -> None:
    page.goto(site + "/livez")  # where nothing is stored while it is left
    for name in ("chat", "samplers", "comparison", "draft", "presets", "votes"):
        key, text = json.dumps(f"kto-playground.v1.{name}"), json.dumps(stored)
        page.evaluate(f"localStorage.setItem({key}, {text}); sessionStorage.setItem({key}, {text})")
    page.goto(site + "/")
    page.wait_for_selector(READY)
    ask(page, "Hello!")
    finished(page)
    page.get_by_role("tab", name="Compare").click()
    column = page.locator("#comparison .column").first
    expect(column).to_be_visible()
    page.fill("#compare-prompt", "Hello!")
    page.click("#compare-send")
    expect(column.locator('[data-state="done"]')).to_have_count(1)


def test_what_must_wait_for_the_answer_says_so(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    ask(page, STORY)
    growing(page)
    notice = page.locator("#notice")
    waiting = [answers(page).first.get_by_role("button", name=name) for name in ("Retry", "Delete")]
    for each in waiting:
        expect(each).to_be_disabled()
        expect(each).to_have_accessible_description("Stop the answer first.")
    waiting[0].click(force=True)
    expect(notice).to_contain_text("Stop the answer first.")
    expect(answers(page)).to_have_count(2)
    questions(page).first.hover()
    questions(page).first.get_by_role("button", name="Edit").click()  # a draft is in nobody's way
    page.fill('[aria-label="Edit the message"]', "Hello again!")
    expect(questions(page).first.get_by_role("button", name="Send")).to_be_disabled()
    ask(page, "And then?")
    expect(notice).to_contain_text("An answer is being written.")
    expect(notice).to_have_role("status")  # what waits is no fault
    expect(page.locator("#chat-prompt")).to_have_value("And then?")
    page.press("body", "Escape")
    expect(notice).to_be_hidden()  # as soon as there is nothing to stop
    for each in waiting:
        expect(each).to_be_enabled()
        expect(each).not_to_have_accessible_description("Stop the answer first.")
    questions(page).first.get_by_role("button", name="Send").click()
    finished(page)
    expect(questions(page)).to_have_text([re.compile("Hello again!")])


def test_the_focus_goes_where_the_next_key_is_wanted(page: Page) -> None:
    page.fill("#chat-prompt", STORY)
    page.focus("#chat-send")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-stop")).to_be_focused()
    growing(page)
    page.keyboard.press("Enter")
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    expect(page.locator("#chat-prompt")).to_be_focused()
    answers(page).get_by_role("button", name="Delete").click()
    expect(page.locator("#chat-prompt")).to_be_focused()


# As browsers do where all data of a site are blocked.
DENIED = """() => {
    const deny = () => { throw new DOMException('The operation is insecure.', 'SecurityError'); };
    for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) {
        Object.defineProperty(window, name, { get: deny });
    }
    window.BroadcastChannel = deny;
}"""


def test_a_page_that_may_store_nothing_works_and_says_so(chromium: Browser, site: str) -> None:
    with chromium.new_context() as context:
        context.add_init_script(f"({DENIED})()")
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(site + "/")
        page.wait_for_selector(READY)
        notice = page.locator("#notice")
        for text in ("Hello!", "Thank you."):
            expect(notice).to_contain_text("a reload will lose the conversation.")
            ask(page, text)
            assert finished(page)
        expect(notice).to_contain_text("a reload will lose the conversation.")
        expect(notice).to_have_role("status")
        page.get_by_role("button", name="New chat").click()
        expect(notice).to_contain_text("Started a new chat.")
        notice.get_by_role("button", name="Undo").click()
        expect(notice).to_have_text(re.compile("^This browser does not let the page store"))
        reason = page.get_by_text("does not let the page keep a history").locator("visible=true")
        page.get_by_role("button", name="Recent conversations").click()
        items = page.locator("#masthead .menu-item")
        expect(items).to_have_text([re.compile("^None are kept This browser does not let")])
        expect(page.locator("#page-notice")).to_be_hidden()
        expect(reason).to_have_count(1)
        items.click()
        expect(page.locator("#history-problem")).to_be_visible()
        expect(reason).to_have_count(1)
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("section.column")).to_have_count(3)
        expect(page.locator("#compare-notice")).to_contain_text("a reload will lose")
        assert problems == []
