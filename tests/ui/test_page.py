"""The page in a real browser, in front of the real stand-in."""

import json
import re
import socket

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.pages import PACE, READY, opened, serve
from tests.servers import Server, stand_in

pytestmark = pytest.mark.browser

LIGHT, DARK = "rgb(251, 251, 250)", "rgb(20, 21, 22)"


def answers(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="assistant"]')


def questions(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="user"]')


def ask(page: Page, text: str) -> None:
    page.fill("#chat-prompt", text)
    page.press("#chat-prompt", "Enter")


def finished(page: Page) -> str:
    """The text of the last answer, when it has come to its end and is drawn."""
    answer = answers(page).last
    expect(answer).to_have_attribute("data-state", "done")
    # An answer from the browser's storage is plain text until the server has rendered it.
    expect(answer.locator(".running:not(:empty)")).to_have_count(0)
    # And what is not laid out yet has another inner text, with the line breaks of its HTML.
    expect(answer.locator(".body")).to_be_visible()
    return answer.locator(".body").inner_text()


def growing(page: Page) -> None:
    """Wait until the answer has text and more comes."""
    page.wait_for_function(
        """() => {
            const text = document.querySelector('[data-state=streaming] .body')?.textContent;
            if (!text) return false;
            window.seen ??= text.length;
            return text.length > window.seen;
        }"""
    )


def test_an_answer_streams_and_tells_its_figures(page: Page) -> None:
    ask(page, "What does min_p do that top_p doesn't?")
    growing(page)
    expect(page.locator("#chat-stop")).to_be_visible()
    text = finished(page)
    assert "min_p" in text
    facts = answers(page).last.locator(".facts-line").inner_text()
    assert re.search(
        r"Balanced.*\d+ tokens.*first token \d+ ms.*tokens/s.*seed \d+", facts, re.DOTALL
    )
    expect(page.locator("#context-meter")).to_contain_text("/")


def test_the_context_is_counted_once_for_one_text(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.fill("#chat-prompt", "Name two animals.")
    meter = page.locator("#context-meter")
    expect(meter).to_contain_text("/")
    before = meter.inner_text()
    for _ in range(2):
        with page.expect_response("**/api/engine") as looked:
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        looked.value.finished()
        # A timer that is set after the meter's, and that lasts longer, ends after it.
        page.evaluate("new Promise((done) => setTimeout(() => setTimeout(done, 400), 100))")
    assert asked.count("engine") >= 2
    assert asked.count("tokenize") == 1
    page.fill("#chat-prompt", "Name two animals, and where they live.")
    expect(meter).not_to_have_text(before)
    assert asked.count("tokenize") == 2
    page.fill("#chat-prompt", "Name two animals. " * 1000)
    expect(meter).to_have_text("too long for the context")
    expect(meter.locator("meter")).to_have_js_property("value", 1)


def test_stop_keeps_the_text_and_continue_goes_on(page: Page) -> None:
    ask(page, "Tell me a story about a lighthouse.")
    growing(page)
    expect(page.locator("#context-meter")).to_contain_text(re.compile(r"~\d+ / 2,048"))
    page.press("body", "Escape")
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    expect(page.locator("#context-meter")).not_to_contain_text("~")
    facts = answers(page).last.locator(".facts-line").inner_text()
    assert re.search(r"stopped.*\d+ tokens.*first token \d+ ms.*tokens/s", facts, re.DOTALL)
    before = answers(page).last.locator(".body").inner_text().strip()
    assert before
    page.get_by_role("button", name="Continue").click()
    after = finished(page)
    assert after.startswith(before[: max(1, len(before) - 10)])
    assert len(after) > len(before)
    expect(answers(page).last.locator(".facts-line")).to_contain_text("continued")
    page.get_by_role("button", name="Receipt").click()
    row = page.locator(".receipt dt", has_text=re.compile("^continued$")).locator("+ dd")
    expect(row).to_have_text(
        re.compile(r"^behind the first \d+ characters: this receipt is of what")
    )


def test_the_same_seed_repeats_an_answer_and_another_does_not(page: Page) -> None:
    page.fill("#seed", "7")
    ask(page, "Tell me a story about a lighthouse.")
    first = finished(page)
    page.get_by_role("button", name="Seed of another version").click()
    page.get_by_role("button", name="Same seed: 7").click()
    expect(answers(page).last.get_by_test_id("versions")).to_contain_text("2/2")
    assert finished(page) == first
    page.fill("#seed", "8")
    page.get_by_role("button", name="Retry").click()
    expect(answers(page).last.get_by_test_id("versions")).to_contain_text("3/3")
    assert finished(page) != first
    expect(answers(page).last.locator(".facts-line")).to_contain_text("seed 8")


def test_a_seed_among_the_facts_sets_it_for_the_next_answers(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    seed = answers(page).get_by_role("button", name=re.compile(r"^seed \d"))
    number = seed.inner_text().removeprefix("seed ")
    seed.click()
    expect(page.locator("#seed")).to_have_value(number)
    expect(page.locator("#notice")).to_contain_text(f"Seed {number} is set for the next answers.")
    expect(page.locator("#notice")).to_have_role("status")
    ask(page, "Hello!")
    finished(page)
    expect(answers(page).last.locator(".facts-line")).to_contain_text(f"seed {number}")
    seed.first.click()
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#seed")).to_have_value(number)
    page.fill("#seed", "")
    seed.first.click()
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#seed")).to_have_value("")
    for button in answers(page).last.locator(".actions button").all():
        assert button.get_attribute("title"), button.inner_html()
        assert button.get_attribute("aria-label") or button.inner_text()


def test_an_edited_question_is_a_version_of_it(page: Page) -> None:
    ask(page, "Name ten animals.")
    finished(page)
    questions(page).hover()
    questions(page).get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the message").fill("Hello!")
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text(re.compile("Hello!"))
    finished(page)
    questions(page).get_by_role("button", name="Previous version").click()
    expect(questions(page)).to_have_text(re.compile("Name ten animals."))


def test_delete_and_a_new_chat_can_be_undone(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    answers(page).get_by_role("button", name="Delete").click()
    expect(answers(page)).to_have_count(0)
    expect(questions(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(answers(page)).to_have_count(1)
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="Ask the model something")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(answers(page)).to_have_count(1)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#notice")).to_contain_text("Started a new chat.")
    ask(page, "Name ten animals.")
    expect(questions(page)).to_have_count(1)
    assert page.locator("#notice").is_hidden()  # at once: what was before is in History


def test_a_new_chat_and_the_recent_ones_are_one_click_away_in_every_tab(page: Page) -> None:
    hint = page.get_by_text("Enter: send · Shift+Enter: new line · Esc: stop")
    expect(hint.and_(page.locator(":visible"))).to_have_count(1)
    ask(page, "Hello!")
    finished(page)
    ask(page, "Tell me a story about a lighthouse.")
    growing(page)
    page.get_by_role("tab", name="About").click()
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="Ask the model something")).to_be_visible()
    expect(page.locator("#chat-stop")).to_be_hidden()
    ask(page, "Name eleven animals.")
    finished(page)
    page.get_by_role("tab", name="Creative").click()
    page.get_by_role("tab", name="Focused").click()
    page.get_by_role("tab", name="History").click()
    recent = page.get_by_role("button", name="Recent conversations")
    recent.click()
    items = page.locator("#masthead .menu-item")
    expect(items.first).to_have_text(re.compile(r"^Name eleven animals\. Chat · Today, \d\d:\d\d$"))
    expect(items.last).to_have_text("All conversations")
    expect(items.nth(1)).to_contain_text("Hello!")
    recent.dispatch_event("click", {"detail": 2})  # the second of two, which closes nothing
    items.nth(1).click()
    expect(answers(page)).to_have_count(2)
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    # Its preset came along: Back over the tabs does not set another one beside it.
    focused, balanced = (page.get_by_role("tab", name=each) for each in ("Focused", "Balanced"))
    expect(balanced).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_role("tab", name="History")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    expect(page.locator("#notice")).to_be_visible()
    page.wait_for_function("() => history.state.playground === 'chat/alpacaeval'")
    expect(balanced).to_have_attribute("aria-selected", "true")
    # Opened in the same tab, it has no entry of its own, and neither has what is put back.
    focused.click()
    page.wait_for_function("() => history.state.playground === 'chat/huggingchat'")
    entries = page.evaluate("history.length")
    recent.click()
    items.first.click()
    expect(answers(page)).to_have_count(1)
    page.wait_for_function("() => history.state.playground === 'chat/alpacaeval'")
    page.locator("#notice").get_by_role("button", name="Undo").click()
    page.wait_for_function("() => history.state.playground === 'chat/huggingchat'")
    expect(answers(page)).to_have_count(2)
    assert page.evaluate("history.length") <= entries + 1  # a menu's, to which Forward leads
    page.clock.install()
    recent.click()
    items.first.click()
    expect(page.locator("#notice")).to_contain_text("Opened “Name eleven animals”.")
    page.clock.run_for(13_000)
    expect(page.locator("#notice")).to_be_hidden()
    recent.click()
    items.last.click()
    expect(page.get_by_role("tab", name="History")).to_have_attribute("aria-selected", "true")


def test_conversation_draft_and_settings_outlive_a_reload(page: Page) -> None:
    page.get_by_role("tab", name="Creative").click()
    page.locator('#preset-min-p .knob[data-parameter="min_p"] .value').fill("0.2")
    ask(page, "Hello!")
    text = finished(page)
    page.fill("#chat-prompt", "a draft")
    page.reload()
    page.wait_for_selector(READY)
    assert answers(page).last.locator(".body").inner_text() == text
    expect(page.locator("#chat-prompt")).to_have_value("a draft")
    expect(page.get_by_role("tab", name="Creative")).to_have_attribute("aria-selected", "true")
    expect(page.locator('#preset-min-p .knob[data-parameter="min_p"] .value')).to_have_value("0.2")
    expect(page.get_by_role("button", name="Back to the preset’s 0.1")).to_be_visible()


def test_a_preset_sends_its_values_and_what_is_unset_is_a_dash(page: Page) -> None:
    for name in ("Balanced", "Focused", "Creative"):
        page.get_by_role("tab", name=name).click()
        panel = page.locator(".preset:visible")
        expect(panel.locator(".knob")).to_have_count(7)
        ask(page, "Hello!")
        finished(page)
        answers(page).last.get_by_role("button", name="Receipt").click()
        sent = page.locator(".receipt pre").last.inner_text()
        for knob in panel.locator(".knob").all():
            parameter = knob.get_attribute("data-parameter")
            value = knob.locator(".value").input_value()
            if value == "":
                assert f'"{parameter}"' not in sent
                assert knob.locator(".value").get_attribute("placeholder") == "–"
            elif (parameter, value) == ("temperature", "1"):  # TGI's way to say it
                assert '"do_sample": true' in sent
            else:
                assert f'"{parameter}": {value}' in sent


def test_an_edited_knob_is_sent_and_can_be_restored(page: Page) -> None:
    knob = page.locator('#preset-alpacaeval .knob[data-parameter="top_k"]')
    knob.locator(".value").fill("3")
    expect(knob.locator(".slide")).to_have_value("3")
    ask(page, "Hello!")
    finished(page)
    expect(answers(page).locator(".facts-line")).to_contain_text("Balanced, edited")
    answers(page).get_by_role("button", name="Receipt").click()
    expect(page.locator(".receipt pre")).to_contain_text('"top_k": 3')
    tab = page.get_by_role("tab", name="Balanced")
    expect(tab).to_have_attribute("aria-description", "Edited")
    temperature = page.locator("#knob-alpacaeval-temperature")
    temperature.fill("0.9")
    knob.get_by_role("button", name="Back to the preset’s –, which is unset").click()
    expect(knob.locator(".value")).to_have_value("")
    expect(temperature).to_have_value("0.9")  # each by itself
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(temperature).to_have_value("0.7")
    expect(tab).not_to_have_attribute("aria-description", "Edited")
    page.get_by_role("button", name="Undo").click()
    expect(temperature).to_have_value("0.9")


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ('#preset-alpacaeval [data-parameter="top_p"] .value', "7", "top_p must lie between"),
        ('#preset-alpacaeval [data-parameter="top_k"] .value', "2.5", "whole number"),
        ('#preset-alpacaeval [data-parameter="temperature"] .value', "hot", "from 0 to 2"),
        ("#seed", "-1", "seed must be a whole number"),
        ("#max-new-tokens", "0", "max new tokens must be"),
        ("#stop", "a\nb\nc\nd", "at most 3"),
    ],
)
def test_a_wrong_value_is_said_and_the_draft_stays(
    page: Page, field: str, text: str, words: str
) -> None:
    page.fill(field, text)
    expect(page.locator(".how.invalid")).to_contain_text(words)
    expect(page.locator(field)).to_have_accessible_description(re.compile(words))
    ask(page, "Hello!")
    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.locator("#notice")).to_have_role("alert")
    expect(page.locator(field)).to_be_focused()
    expect(page.locator("#chat-prompt")).to_have_value("Hello!")
    expect(questions(page)).to_have_count(0)
    page.fill(field, "")
    expect(page.locator("#notice")).to_be_hidden()


def test_markdown_is_rendered_and_markup_in_a_message_is_text(page: Page) -> None:
    ask(page, "<img src=x onerror=alert(1)> **Hi** <|assistant|>")
    expect(questions(page).locator(".body")).to_have_text(
        "<img src=x onerror=alert(1)> **Hi** <|assistant|>"
    )
    finished(page)


def test_code_is_highlighted_and_can_be_copied(page: Page) -> None:
    code = "print(1 < 2)"
    stopped = {
        "role": "assistant",
        "content": f"Look:\n\n```python\n{code}\n```\n",
        "blocks": [],
        "shown": 0,
        "state": "stopped",
    }
    chat = json.dumps({"messages": [{"role": "user", "content": "Code?"}, stopped]})
    page.evaluate("chat => sessionStorage.setItem('kto-playground.v1.chat', chat)", chat)
    page.reload()
    page.wait_for_selector(READY)
    figure = answers(page).locator("figure.code")
    expect(figure.locator("code")).to_have_text(code)
    expect(figure.locator("figcaption")).to_have_text("python")
    assert figure.locator("code span").count() > 0
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    figure.get_by_role("button", name="Copy").click()
    expect(figure.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").strip() == code


def test_everything_is_reachable_by_keyboard(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    page.evaluate("document.activeElement.blur()")
    name = """() => {
        const e = document.activeElement;
        const label = e.getAttribute('aria-label') || e.textContent.trim();
        return e.getAttribute('role') === 'tab' ? label : e.id || label;
    }"""
    reached = set()
    for _ in range(110):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(name))
    expected = "Chat About Edit Copy Retry Receipt Delete chat-prompt chat-send chat-new"
    expected += " Balanced Focused Creative knob-alpacaeval-temperature knob-alpacaeval-min_p"
    expected += " max-new-tokens seed stop system"
    assert {*expected.split(), "temperature, slider", "What seed does"} <= reached


def test_about_shows_the_model_and_the_engine(page: Page) -> None:
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#model-info")).to_contain_text("tests.stand_in/bundled")
    expect(page.locator("#engine-info")).to_contain_text("context")
    expect(page.locator("#engine-info")).to_contain_text("at most 3 of your own")
    page.get_by_text("What the engine says of itself").click()
    expect(page.locator("#engine-info pre")).to_contain_text("max_total_tokens")


def test_dark_and_light_follow_the_system(chromium: Browser, site: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, site + "/", color_scheme="light") as page:
        light = page.evaluate(background)
    with opened(chromium, site + "/", color_scheme="dark") as page:
        dark = page.evaluate(background)
    assert (light, dark) == (LIGHT, DARK)


def theme(page: Page, name: str) -> None:
    page.get_by_role("button", name="Light or dark").click()
    page.get_by_role("button", name=name, exact=True).click()


def test_a_theme_is_chosen_over_the_systems_and_remembered(chromium: Browser, site: str) -> None:
    terms = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": 2000}
    link = httpx.post(f"{site}/api/demos", json=terms, trust_env=False).json()["url"]
    with opened(chromium, site + "/", color_scheme="light") as page:
        body, around = page.locator("body"), page.locator("html")
        theme(page, "Dark")
        for _ in range(2):
            expect(body).to_have_css("background-color", DARK)
            expect(around).to_have_css("background-color", DARK)
            expect(around).to_have_css("color-scheme", "dark")
            page.reload()
            page.wait_for_selector(READY)
        page.goto(link)
        expect(body).to_have_css("background-color", DARK)
        theme(page, "Light")
        page.emulate_media(color_scheme="dark")
        expect(body).to_have_css("background-color", LIGHT)
        theme(page, "As the system")
        expect(body).to_have_css("background-color", DARK)
        page.add_init_script(
            """for (const name of ['localStorage', 'sessionStorage', 'indexedDB'])
            Object.defineProperty(window, name,
              { get() { throw new DOMException('denied', 'SecurityError'); } });"""
        )
        page.goto(site + "/")
        page.wait_for_selector(READY)
        theme(page, "Light")
        expect(body).to_have_css("background-color", LIGHT)
        page.emulate_media(color_scheme="light")
        page.emulate_media(color_scheme="dark")  # Gradio follows this by itself
        expect(body).to_have_css("background-color", LIGHT)


def test_on_a_phone_the_samplers_are_a_drawer(chromium: Browser, site: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(chromium, site + "/", **phone) as page:
        expect(page.locator("#samplers")).not_to_be_in_viewport()
        page.get_by_role("button", name="Samplers").tap()
        expect(page.get_by_role("tab", name="Creative")).to_be_in_viewport()
        # It is drawn up when it rests, and covers none of the tabs above it.
        page.locator("#samplers").evaluate(
            "(sheet) => Promise.all(sheet.getAnimations().map(({ finished }) => finished))"
        )
        bounds = "(node) => node.getBoundingClientRect().toJSON()"
        sheet = page.locator("#samplers").evaluate(bounds)
        assert sheet["top"] > page.locator("#views > .tab-wrapper").evaluate(bounds)["bottom"]
        more = page.locator("#preset-alpacaeval .preset-actions .menu-open")
        shown = more.evaluate(
            """(node) => {
                const range = document.createRange();
                range.selectNodeContents(node);
                return range.getBoundingClientRect().right;
            }"""
        )
        value = page.locator("#preset-alpacaeval .value").first.evaluate(bounds)
        assert abs(shown - value["right"]) < 3
        page.get_by_role("tab", name="Creative").tap()
        page.locator("#system").scroll_into_view_if_needed()
        expect(page.get_by_role("button", name="Done")).to_be_in_viewport(ratio=1)
        page.get_by_role("button", name="Done").tap()
        bar = page.locator(".drawer-open")
        expect(bar).to_contain_text("Creative · temperature 1 · min_p 0.1")
        bar.tap()
        top_k = page.locator('#preset-min-p .knob[data-parameter="top_k"]')
        top_k.locator(".value").fill("40")
        page.get_by_role("button", name="Done").tap()
        expect(bar).to_have_accessible_name(re.compile(r"^Creative \(edited\) · temperature\s1 "))
        expect(bar.locator("b")).to_have_text("*")
        bar.tap()
        top_k.get_by_role("button", name="Back to the preset").tap()
        page.get_by_role("button", name="Done").tap()
        expect(bar).to_have_accessible_name(re.compile(r"^Creative · temperature\s1 "))
        composer = page.locator("#composer").bounding_box()
        page.fill("#chat-prompt", "Hello!")
        expect(page.locator("#chat-prompt")).to_have_attribute("enterkeyhint", "enter")
        page.press("#chat-prompt", "Enter")  # a phone has no other way to break a line
        expect(page.locator("#chat-prompt")).to_have_value("Hello!\n")
        page.tap("#chat-send")
        finished(page)
        expect(page.locator("#context-meter")).to_contain_text("/")
        assert page.locator("#composer").bounding_box() == composer  # the meter had its place
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        # A short answer fits; what is longer scrolls under the tools and the tabs.
        assert page.evaluate("document.documentElement.scrollHeight") == 844
        page.set_viewport_size({"width": 390, "height": 500})
        page.evaluate("scrollTo(0, 1000)")
        for tool in ("New chat", "Share"):
            button = page.get_by_role("button", name=tool, exact=True)
            expect(button).to_be_in_viewport(ratio=1)
        page.set_viewport_size({"width": 390, "height": 844})
        composer = page.locator("#composer").bounding_box()
        assert composer is not None
        assert composer["y"] + composer["height"] <= 844


def test_an_engine_that_dies_leaves_the_text_and_comes_back(chromium: Browser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    first = stand_in("--port", str(port), *PACE)
    try:
        with serve(first.url) as site, opened(chromium, site.url + "/") as page:
            ask(page, "Tell me a story about a lighthouse.")
            growing(page)
            first.kill()
            expect(answers(page).last).to_have_attribute("data-state", "failed")
            assert answers(page).last.locator(".body").inner_text().strip()
            expect(answers(page).last.locator(".problem")).to_contain_text("Incomplete.")
            expect(page.locator("#engine-state")).not_to_have_attribute("data-state", "ready")
            with stand_in("--port", str(port), *PACE):
                expect(page.locator("#engine-state")).to_have_attribute("data-state", "ready")
                page.get_by_role("button", name="Retry").click()
                assert finished(page)
    finally:
        first.kill()


def test_a_page_without_its_engine_says_so_and_recovers(chromium: Browser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serve(f"http://127.0.0.1:{port}") as site:
        page = chromium.new_page()
        page.goto(site.url)
        state = page.locator("#engine-state")
        expect(state).to_have_text(re.compile(r"Loading · \d+:\d\d|Offline"))
        expect(page.locator(".engine-note")).to_contain_text(f"127.0.0.1:{port}")
        ask(page, "Hello!")
        expect(answers(page)).to_have_attribute("data-state", "failed")
        expect(questions(page).locator(".body")).to_have_text("Hello!")
        with stand_in("--port", str(port)):
            expect(state).to_have_attribute("data-state", "ready", timeout=15_000)
            page.get_by_role("button", name="Retry").click()
            assert finished(page)
        page.close()


def test_two_tabs_do_not_disturb_each_other_when_one_is_closed(
    chromium: Browser, site: str, engine: Server
) -> None:
    with opened(chromium, site + "/") as stays:
        with opened(chromium, site + "/") as leaves:
            ask(leaves, "Tell me a story about a lighthouse.")
            growing(leaves)
            ask(stays, "Tell me a story about a lighthouse.")
        assert finished(stays)


def test_a_double_click_selects_what_is_told_and_no_word_of_a_bar(page: Page) -> None:
    ask(page, "What does min_p do that top_p doesn't?")
    finished(page)
    shown = answers(page).last
    shown.get_by_role("button", name="Receipt").click()
    expect(shown.locator(".receipt dd").first).to_be_visible()

    def selected(node: Locator, at: float) -> str:
        """What a double click selects there, from the left end of a node to its right one."""
        node.scroll_into_view_if_needed()
        page.evaluate("getSelection().removeAllRanges()")
        box = node.bounding_box()
        assert box is not None
        page.mouse.dblclick(box["x"] + 2 + at * (box["width"] - 4), box["y"] + box["height"] / 2)
        text: str = page.evaluate("getSelection().toString().trim()")
        return text

    bars = {
        "a view's tab": (page.get_by_role("tab", name="Chat"), 0.5),
        "the views' bar": (page.locator("#views > .tab-wrapper"), 0.9),
        "a preset's tab": (page.get_by_role("tab", name="Balanced"), 0.5),
        "the presets' bar": (page.locator("#presets > .tab-wrapper"), 0.0),
        "the header": (page.locator("#chat-new"), 1.15),
        "an action": (shown.locator(".actions button").first, 0.5),
        "the actions' bar": (shown.locator(".meta"), 1.0),
        "a receipt's tab": (shown.get_by_role("tab", name="Receipt"), 0.5),
        "a receipt's tabs": (shown.locator(".small-tabs"), 0.9),
    }
    told = {
        "answer": (shown.locator(".body p").first, 0.01),
        "question": (questions(page).last.locator(".body"), 0.1),
        "receipt": (shown.locator(".receipt dd").first, 0.01),
        "figures": (shown.locator(".facts-line > span").first, 0.5),
        "model": (page.locator(".masthead .model"), 0.01),
        "what is known of it": (page.locator(".masthead .facts"), 0.01),
    }
    assert {name: selected(*at) for name, at in bars.items()} == dict.fromkeys(bars, "")
    assert all({name: selected(*at) for name, at in told.items()}.values())
