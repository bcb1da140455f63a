"""What is typed and how it is sent, and an answer that falls silent."""

import re

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


def test_what_is_typed_has_the_direction_of_its_script(page: Page) -> None:
    page.fill("#chat-prompt", "مرحبا")
    expect(page.locator("#chat-prompt:dir(rtl)")).to_have_count(1)
    page.press("#chat-prompt", "Enter")
    assert questions(page).locator(".body").evaluate("e => e.matches(':dir(rtl)')")
    page.fill("#chat-prompt", "Hello!")
    expect(page.locator("#chat-prompt:dir(ltr)")).to_have_count(1)


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
    error = page.locator("#seed-how")
    expect(error).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("seed must be")
    page.fill("#seed", "")
    expect(error).to_be_hidden()
    expect(page.locator("#seed")).not_to_have_attribute("aria-invalid", "true")
    page.press("#chat-prompt", "Enter")
    expect(page.locator("#notice")).to_be_hidden()
    assert finished(page)


# Whether the help lies within the panel, and a pointer meets what it lies over.
WITHIN = """() => {
    const box = (id) => document.querySelector(id).getBoundingClientRect();
    const [help, panel] = [box('#field-help'), box('#samplers')];
    const below = document.elementFromPoint(help.left + 20, help.top + 10);
    return help.left > panel.left && help.right < panel.right && help.top > panel.top
        && help.bottom < innerHeight && below.closest('#field-help') === null;
}"""


def test_every_field_has_help_that_moves_nothing_and_covers_nothing_beside_the_panel(
    page: Page,
) -> None:
    note = page.locator("#field-help")
    place = """() => document.querySelector('#stop').getBoundingClientRect().top
        + document.querySelector('#samplers').scrollTop"""
    before = page.evaluate(place)
    for name, words in (
        ("temperature", "0 to 2; 1 has no effect."),
        ("top_p", "Applied by the engine itself."),
        ("max new tokens", "as many as the context leaves"),
        ("seed", "Where the random choices begin"),
        ("stop sequences", "An answer ends where"),
        ("system text", "such as a role"),
    ):
        page.get_by_text(name, exact=True).and_(page.locator("label:visible")).hover()
        expect(note).to_contain_text(words)
        assert page.evaluate(place) == before
    page.mouse.move(10, 10)
    expect(note).to_be_hidden()
    for name in ("temperature", "system text"):
        label = page.get_by_text(name, exact=True).and_(page.locator("label:visible"))
        label.scroll_into_view_if_needed()
        label.hover()
        expect(note).to_be_visible()
        assert page.evaluate(WITHIN)
        page.mouse.move(10, 10)
        expect(note).to_be_hidden()
    page.locator("#knob-alpacaeval-top_k").focus()  # the keyboard is told, too
    expect(note).to_contain_text("0 keeps all")
    assert page.evaluate(WITHIN)
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    page.keyboard.press("Tab")
    expect(note).to_be_visible()
    page.mouse.move(300, 400)
    expect(note).to_be_hidden()
    page.get_by_label("min_p, slider").and_(page.locator(":visible")).click()
    page.locator("#knob-alpacaeval-top_p").click()
    expect(note).to_be_hidden()  # who only sets a value asked for nothing
    seed = page.get_by_role("button", name="What seed does")
    seed.click()
    page.mouse.move(10, 10)
    expect(seed).to_have_attribute("aria-expanded", "true")
    expect(note).to_contain_text("Where the random choices begin")
    seed.click()
    expect(note).to_be_hidden()
    assert page.evaluate(place) == before


# Where the tabs of the presets are, and the first knob of the one that is shown.
PRESETS = """() => {
    const top = (element) => Math.round(element.getBoundingClientRect().top);
    const tabs = document.querySelectorAll('#presets [role=tab]');
    const knobs = [...document.querySelectorAll('.preset .knob')];
    const knob = knobs.find((each) => each.checkVisibility());
    return { tabs: [...new Set([...tabs].map(top))].length, knob: top(knob) };
}"""


def test_nothing_moves_when_another_preset_is_chosen(page: Page) -> None:
    places = []
    for name in ("Balanced", "Focused", "Creative"):
        page.get_by_role("tab", name=name).click()
        places.append(page.evaluate(PRESETS))
    assert places[0]["tabs"] == 1
    assert places == [places[0]] * 3
    # Headless, a browser has no scrollbar whose room could be measured.
    expect(page.locator("html")).to_have_css("overflow-y", "scroll")


def test_no_tab_moves_when_another_one_is_chosen(page: Page) -> None:
    views = page.locator("#views > .tab-wrapper").get_by_role("tab")
    page.get_by_role("button", name="Share").click()
    of_the_window = page.locator("dialog").get_by_role("tab")
    for tabs in (of_the_window, views):
        places = []
        expect(tabs).to_have_count(4)
        for i in range(tabs.count()):
            tabs.nth(i).click()
            expect(tabs.nth(i)).to_have_attribute("aria-selected", "true")
            boxes = [tabs.nth(j).bounding_box() for j in range(tabs.count())]
            places.append([box and (box["x"], box["width"]) for box in boxes])
        assert places == [places[0]] * 4
        page.keyboard.press("Escape")


# Whether the ring around what has the focus lies within what would cut it off.
RING = """() => {
    const focused = document.activeElement;
    const { outlineWidth, outlineOffset, outlineStyle } = getComputedStyle(focused);
    const out = parseFloat(outlineWidth) + parseFloat(outlineOffset);
    const { top, bottom } = focused.getBoundingClientRect();
    const around = focused.closest('.tab-container').getBoundingClientRect();
    const [above, below] = [top - out - around.top, around.bottom - bottom - out];
    return outlineStyle !== 'none' && Math.min(above, below) >= -1;
}"""


def test_arrow_keys_step_a_number_and_move_between_tabs(page: Page) -> None:
    temperature = page.locator("#knob-alpacaeval-temperature")
    temperature.press("ArrowUp")
    expect(temperature).to_have_value("0.75")
    temperature.press("ArrowDown")
    temperature.press("ArrowDown")
    expect(temperature).to_have_value("0.65")
    limit, seed = page.locator("#max-new-tokens"), page.locator("#seed")
    limit.press("ArrowDown")
    expect(limit).to_have_value("1984")
    seed.fill("41")
    seed.press("ArrowUp")
    expect(seed).to_have_value("42")
    limit.fill("1,000")
    limit.press("Tab")
    expect(limit).to_have_value("1000")
    balanced, focused, own = (
        page.get_by_role("tab", name=name) for name in ("Balanced", "Focused", "Custom")
    )
    balanced.press("ArrowRight")
    expect(focused).to_be_focused()
    expect(focused).to_have_attribute("aria-selected", "true")
    focused.press("End")
    expect(own).to_have_attribute("aria-selected", "true")
    own.press("ArrowRight")
    expect(balanced).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Chat").press("ArrowLeft")
    expect(page.get_by_role("tab", name="About")).to_have_attribute("aria-selected", "true")
    assert page.evaluate(RING), "the ring of a focused view's tab is cut off"
    for name in ("Chat", "Compare", "History"):  # each is drawn when it is first opened
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        if name == "Compare":
            expect(page.locator("#comparison .column")).to_have_count(3)
        expect(page.get_by_role("tab", name=name)).to_be_focused()


def test_a_limit_above_the_context_says_what_it_becomes(page: Page) -> None:
    page.fill("#max-new-tokens", "100000")
    note = page.locator("#limit-how")
    expect(note).to_contain_text("The context holds 2,048 tokens: an answer gets what the")
    page.fill("#max-new-tokens", "100")
    expect(note).to_be_hidden()
    balanced, creative = (page.get_by_role("tab", name=name) for name in ("Balanced", "Creative"))
    expect(balanced).to_have_attribute("aria-description", "Edited")
    expect(creative).not_to_have_class(re.compile("edited"))
    creative.click()  # it is sent with the limit then, and no longer Balanced
    expect(creative).to_have_attribute("aria-description", "Edited")
    expect(balanced).not_to_have_class(re.compile("edited"))
    balanced.click()
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator("#max-new-tokens")).to_have_value("")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#max-new-tokens")).to_have_value("100")
    page.get_by_role("button", name="Back to the preset’s: 2048").click()
    expect(page.locator("#max-new-tokens")).to_have_value("")
    expect(balanced).not_to_have_class(re.compile("edited"))
    page.fill("#max-new-tokens", "2,048")  # which is the preset's own
    expect(balanced).not_to_have_class(re.compile("edited"))


def test_the_way_back_from_a_limit_leaves_its_name_in_one_line(page: Page) -> None:
    page.get_by_role("tab", name="Creative").click()
    name = page.locator(".request label[for=max-new-tokens]")
    before = name.bounding_box()
    page.fill("#max-new-tokens", "40")
    expect(page.locator(".request").get_by_text("↺ to the end")).to_be_visible()
    after = name.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] == before["height"]


def test_the_box_of_the_system_text_grows_with_it(page: Page) -> None:
    system = page.locator("#system")
    height = "e => e.offsetHeight"
    before = system.evaluate(height)
    system.fill("Be kind.\n" * 8)
    assert system.evaluate(height) > 4 * before
    assert system.evaluate("e => e.scrollHeight - e.clientHeight") == 0
