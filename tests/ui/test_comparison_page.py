"""The tab Compare in a real browser, over the stand-in and over a scripted one."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.faults import Peer, Script, event
from tests.pages import LISTENING, MODULE, READY, opened, serve
from tests.stock import INFO, tgi, tokens

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# Whether the answers are longer than their board, and it is not at its end.
OVERFLOWING = """() => {
  const { scrollHeight, scrollTop, clientHeight } = document.querySelector('.board:not([hidden])');
  return scrollHeight - scrollTop - clientHeight > 20;
}"""
STORY = "Tell me a story about a lighthouse."


def compare(page: Page) -> Locator:
    """Open the tab; the tab."""
    page.get_by_role("tab", name="Compare").click()
    expect(column(page, 0)).to_be_visible()
    return page.locator("#comparison")


def column(page: Page, place: int) -> Locator:
    return page.locator("#comparison .board:visible .column").nth(place)


def answer(page: Page, place: int) -> Locator:
    return column(page, place).locator('[data-testid="message"][data-role="assistant"]').last


def body(page: Page, place: int) -> str:
    return answer(page, place).locator(".body").inner_text()


def verdict(page: Page, place: int) -> Locator:
    return column(page, place).locator(".verdict")


def ask(page: Page, text: str) -> None:
    page.fill("#compare-prompt", text)
    page.press("#compare-prompt", "Enter")


def finished(page: Page, columns: int = 3) -> None:
    for place in range(columns):
        expect(answer(page, place)).to_have_attribute("data-state", "done")
    expect(page.locator("#compare-send")).to_be_visible()


def choose(page: Page, place: int, action: str) -> None:
    """Something from a column's menu."""
    column(page, place).get_by_role("button", name="More for this column").click()
    column(page, place).get_by_role("button", name=action, exact=True).click()


def test_a_columns_menu_is_whole_before_there_is_an_answer(page: Page) -> None:
    compare(page)
    column(page, 1).get_by_role("button", name="More for this column").click()
    for name in ("Full width", "Duplicate", "Move left", "Move right", "Remove"):
        item = column(page, 1).get_by_role("button", name=name, exact=True)
        seen = item.evaluate("""item => {
            const box = item.getBoundingClientRect();
            const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return item.contains(there);
        }""")
        assert seen, name


def marked(page: Page, kind: str = "first") -> list[str]:
    texts: list[str] = page.evaluate(
        "kind => [...(CSS.highlights.get(`difference-${kind}`) ?? [])].map(String)", kind
    )
    return texts


def level(page: Page) -> None:
    """Every turn begins at one height in all columns."""
    page.wait_for_function(
        """() => {
            const tops = [...document.querySelectorAll('.column .log')]
                .filter(each => each.checkVisibility())
                .map(log => [...log.querySelectorAll('[data-role="user"] .body')]
                    .map(each => each.getBoundingClientRect().top));
            return tops.length > 1 && tops.every(each => each.length === tops[0].length
                && each.every((top, i) => Math.abs(top - tops[0][i]) < 1));
        }"""
    )


@contextmanager
def scripted(script: Script) -> Iterator[str]:
    """A stock TGI with this script in a thread of its own; its address."""
    address: Future[str] = Future()
    info = {**INFO, "max_input_tokens": 1000, "max_total_tokens": 2000}

    async def run() -> None:
        async with tgi(script, info=info) as server:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
            address.set_result(server.url)
            await stop.wait()

    stopping: list[Any] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield address.result(20)
    finally:
        stopping[0]()
        thread.join(20)


def temperature(peer: Peer) -> float:
    return float(peer.request.json()["parameters"].get("temperature", 1))


async def opens(gate: threading.Event) -> None:
    """Wait until the test opens the gate."""
    while not gate.is_set():  # noqa: ASYNC110  (the gate belongs to another thread)
        await asyncio.sleep(0.02)


def test_the_presets_answer_side_by_side_with_one_seed(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "7")
    ask(page, STORY)
    expect(page.locator("#compare-stop")).to_be_visible()
    finished(page)
    for place, name in enumerate(("Balanced", "Focused", "Creative")):
        assert body(page, place)
        select = column(page, place).get_by_role("combobox")
        assert select.evaluate("node => node.selectedOptions[0].text") == name
        figures = column(page, place).locator(".figures")
        expect(figures).to_have_text(re.compile(r"^first \d+ ms · \d+ t/s$"))
        expect(answer(page, place).locator(".facts-line")).to_contain_text("seed 7")
    answer(page, 2).get_by_role("button", name="Receipt").click()
    expect(answer(page, 2).locator(".receipt pre").last).to_contain_text('"min_p": 0.1')
    page.fill("#compare-seed", "8")
    answer(page, 1).get_by_role("button", name="seed 7").click()
    expect(page.locator("#compare-seed")).to_have_value("7")
    page.get_by_label("same seed").uncheck()
    answer(page, 1).get_by_role("button", name="seed 7").click()
    expect(page.locator("#compare-notice")).to_contain_text("next answers of Focused")
    column(page, 1).locator("summary").click()
    expect(column(page, 1).get_by_label("seed", exact=True)).to_have_value("7")


def test_system_text_and_stop_sequences_hold_for_every_column(page: Page) -> None:
    compare(page)
    page.get_by_role("button", name="system text, stop").click()
    expect(page.locator("#compare-beginning")).to_be_focused()
    page.fill("#compare-system", "Be kind.")
    page.fill("#compare-stop-sequences", "a\nb\nc\nd")
    ask(page, STORY)
    expect(page.locator("#compare-notice")).to_contain_text("at most 3 stop sequences")
    page.fill("#compare-stop-sequences", "lighthouse\n\nsea ")
    expect(page.locator("#compare-texts-open")).to_have_text("system text, 2 stop sequences")
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    ask(page, STORY)
    finished(page)
    choose(page, 2, "Duplicate")
    answer(page, 2).get_by_role("button", name="Retry").click()
    finished(page, 4)
    for place in (0, 2):
        assert "lighthouse" not in body(page, place)
        answer(page, place).get_by_role("button", name="Receipt").click()
        receipt = answer(page, place).locator(".receipt")
        sent = json.loads(receipt.locator("pre").inner_text())
        assert sent["stop"] == ["<|user|>", "lighthouse", "sea "]
        receipt.get_by_role("tab", name="Prompt").click()
        expect(receipt.locator("pre")).to_have_text(
            f"<|user|>\nBe kind.\n\n{STORY}\n<|assistant|>\n"
        )
    answer(page, 1).get_by_role("button", name="Continue in chat").click()
    expect(page.locator("#system")).to_have_value("Be kind.")
    expect(page.locator("#stop")).to_have_value("lighthouse\n\nsea ")


def test_the_same_seed_and_preset_give_the_same_text_and_the_view_says_so(page: Page) -> None:
    compare(page)
    column(page, 1).get_by_role("combobox").select_option("alpacaeval")
    page.fill("#compare-seed", "11")
    ask(page, STORY)
    finished(page)
    assert body(page, 0) == body(page, 1)
    expect(verdict(page, 1)).to_have_text("Same text as Balanced (column 1)")
    page.get_by_label("same seed").uncheck()
    column(page, 1).locator("summary").click()
    column(page, 1).get_by_label("seed", exact=True).fill("12")
    ask(page, STORY)
    finished(page)
    expect(verdict(page, 1)).to_contain_text("Differs from Balanced (column 1) at")


def test_the_mark_stands_at_the_first_token_that_differs(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "3")
    ask(page, "What does min_p do that top_p doesn't?")
    finished(page)
    page.get_by_role("button", name="More for the comparison").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    columns = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["columns"]
    texts = [each["messages"][-1]["content"] for each in columns]
    answered = page.request.post(
        page.url.partition("#")[0] + "api/pieces",
        data=json.dumps({"texts": texts}),
        headers={"Content-Type": "application/json"},
    )
    first, *others = answered.json()["pieces"]
    expected = set()
    for place, other in enumerate(others, 1):
        at = next(i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
        expected |= {first[at].strip(), other[at].strip()}
        expect(verdict(page, place)).to_have_text(f"Differs from Balanced at “{other[at].strip()}”")
    assert set(marked(page)) == expected
    page.select_option("#compare-difference", "off")
    assert marked(page) == []
    expect(verdict(page, 1)).to_be_hidden()


def test_words_differ_against_a_column_of_choice_while_they_are_written(chromium: Browser) -> None:
    gate = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        begun = {0.7: "**one** two three four", 0.3: "**one** 2 three four", 1: "one two three"}
        await peer.send(event(begun[temperature(peer)]))
        await opens(gate)
        await peer.send(b"".join(tokens([" five"], "eos_token")))

    with (
        scripted(script) as url,
        serve(url) as site,
        opened(chromium, site.url + "/") as page,
    ):
        compare(page)
        page.select_option("#compare-difference", "words")
        ask(page, "Count.")
        expect(verdict(page, 1)).to_contain_text("Differs from Balanced at “2”")
        expect(answer(page, 1)).to_have_attribute("data-state", "streaming")
        page.wait_for_function(
            "() => [...CSS.highlights.get('difference-words') ?? []].map(String).includes('2')"
        )
        page.select_option("#compare-against", label="Focused")
        expect(verdict(page, 0)).to_contain_text("Differs from Focused at “two”")
        gate.set()
        finished(page)
        # Rendered meanwhile, the marks stand over the same words.
        assert sorted(marked(page, "words")) == sorted(["two", "two"])
        # WebKit would paint them over the title of a window, too, if they were for all texts.
        page.get_by_role("button", name="Share", exact=True).click()
        expect(page.locator("dialog :is(h1, h2)").first).to_be_visible()
        painted = page.evaluate("""() => ['.column .body p', 'dialog :is(h1, h2)'].map((each) => {
            const mark = '::highlight(difference-words)';
            const { backgroundColor } = getComputedStyle(document.querySelector(each), mark);
            return backgroundColor !== 'rgba(0, 0, 0, 0)';
        })""")
        assert painted == [True, False]
        page.keyboard.press("Escape")
        expect(verdict(page, 0)).to_contain_text("1 of")


def test_the_marks_come_back_whenever_an_answer_is_drawn_anew(chromium: Browser) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        begun = {0.7: "Once **two** three", 0.3: "Once **2** three", 1: "Once **too** three"}
        await peer.send(event(begun[temperature(peer)]))
        await peer.gone()

    shown = """words => {
        const ranges = [...CSS.highlights.get('difference-first') ?? []].map(String);
        return ranges.sort().join() === words;
    }"""
    with scripted(script) as url, serve(url) as site, opened(chromium, site.url + "/") as page:
        compare(page)
        ask(page, "Count.")
        page.wait_for_function(shown, arg="2,too,two,two")
        # When the page is opened again, the text is marked, and then its Markdown is drawn.
        page.goto(site.url + "/livez")
        held: list[Route] = []
        page.route("**/api/render", lambda route: held.append(route))
        page.route("**/api/pieces", lambda route: route.abort())  # which would mark anew, too
        page.goto(site.url + "/")
        page.wait_for_selector(READY)
        compare(page)
        page.wait_for_function("() => CSS.highlights.get('difference-first')?.size > 0")
        for route in held:
            route.continue_()
        for place in range(3):
            expect(answer(page, place).locator(".body .running")).to_have_count(0)
        page.wait_for_function(shown, arg="2,too,two,two")
        answer(page, 1).get_by_role("button", name="Edit").click()
        page.keyboard.press("Escape")
        page.wait_for_function(shown, arg="2,too,two,two")


def test_one_is_refused_one_dies_one_is_stopped_and_the_fourth_finishes(chromium: Browser) -> None:
    gate, mended = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        which = temperature(peer)
        if which == 0.7 and not mended.is_set():
            error = b'{"error":"Model is overloaded","error_type":"overloaded"}'
            await peer.answer(error, status=429)
            return
        await peer.head()
        if not mended.is_set():
            await peer.send(event("Begun"))
            if which == 0.3:
                peer.reset()
                return
            if which == 0.9:
                await peer.gone()
                return
            await opens(gate)
        await peer.send(b"".join(tokens([" and done"], "eos_token")))

    with scripted(script) as url, serve(url) as site, opened(chromium, site.url + "/") as page:
        compare(page)
        page.get_by_role("button", name="Add column").click()
        column(page, 3).locator("summary").click()
        column(page, 3).get_by_label("temperature").fill("0.9")
        column(page, 3).locator("summary").click()
        ask(page, "Go on.")
        expect(answer(page, 3).locator(".body")).to_contain_text("Begun")
        column(page, 3).get_by_role("button", name="Stop", exact=True).click()
        expect(answer(page, 3)).to_have_attribute("data-state", "stopped")
        expect(column(page, 3).locator(".figures")).to_have_text(re.compile("^stopped"))
        expect(answer(page, 1).locator(".problem")).to_contain_text("Incomplete.")
        expect(answer(page, 0).locator(".problem")).to_contain_text(
            re.compile("overloaded|busy", re.IGNORECASE)
        )
        expect(answer(page, 2)).to_have_attribute("data-state", "streaming")
        gate.set()
        expect(answer(page, 2)).to_have_attribute("data-state", "done")
        assert body(page, 2) == "Begun and done"
        mended.set()
        kept = body(page, 2)
        for place in (0, 1, 3):
            answer(page, place).get_by_role("button", name="Retry").click()
            expect(answer(page, place)).to_have_attribute("data-state", "done")
            assert body(page, place) == "and done"
        assert body(page, 2) == kept


def test_a_column_stops_here_when_another_replica_writes_it(page: Page) -> None:
    compare(page)
    page.route("**/panes/*", lambda route: route.fulfill(status=404, body="{}"))
    ask(page, STORY)
    expect(answer(page, 0).locator(".body")).not_to_be_empty()
    column(page, 0).get_by_role("button", name="Stop", exact=True).click()
    expect(answer(page, 0)).to_have_attribute("data-state", "stopped")
    kept = body(page, 0)
    for place in (1, 2):
        expect(answer(page, place)).to_have_attribute("data-state", "done")
    assert body(page, 0).split() == kept.split()


def test_a_reload_in_mid_answer_keeps_what_was_written(page: Page) -> None:
    compare(page)
    ask(page, STORY)
    for place in range(3):
        expect(answer(page, place).locator(".body")).not_to_be_empty()
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    for place in range(3):
        expect(answer(page, place)).to_have_attribute("data-state", "stopped")
        assert body(page, place)
    answer(page, 0).get_by_role("button", name="Retry").click()
    expect(answer(page, 0)).to_have_attribute("data-state", "done")


def test_a_blind_round_hides_the_names_until_the_vote(page: Page) -> None:
    compare(page)
    page.evaluate(LISTENING)
    page.check("#compare-blind")
    ask(page, "Name ten animals.")
    expect(page.get_by_text("Which answer is best?")).to_be_visible()
    expect(page.locator("#compare-prompt")).to_be_hidden()
    page.wait_for_function("() => window.received.split('event: done').length === 4")
    shown = page.evaluate("window.received") + page.locator(".blind-board").inner_html()
    for word in ("Balanced", "Focused", "Creative", "temperature", "top_p", "min_p", "first "):
        assert word not in shown
    assert [column(page, i).locator("h3").inner_text() for i in range(3)] == [
        "Answer A",
        "Answer B",
        "Answer C",
    ]
    chosen = body(page, 1)
    page.set_viewport_size({"width": 1280, "height": 480})
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    assert body(page, 1) == chosen
    page.mouse.move(400, 250)
    page.mouse.wheel(0, -4000)
    page.wait_for_function("() => document.querySelector('.blind-board').scrollTop === 0")
    page.get_by_role("button", name="Answer B is best").click()
    expect(page.locator("#compare-notice")).to_contain_text("You chose")
    # The reader goes on at the question, and not at the answers' end.
    expect(column(page, 0).locator("[data-role=user] .body")).to_be_in_viewport(ratio=1)
    assert page.evaluate(OVERFLOWING)
    result = page.locator("#compare-notice").inner_text()
    told = re.search(r"You chose ([\w-]+)\. A was [\w-]+, B was ([\w-]+), C was [\w-]+\.", result)
    assert told is not None
    assert told[1] == told[2]
    finished(page)
    names = ["Balanced", "Focused", "Creative"]
    assert body(page, names.index(told[1])) == chosen
    expect(answer(page, names.index(told[1])).locator(".facts-line")).to_contain_text("chosen")
    for place, name in enumerate(
        names
    ):  # the heads say where the answers stood, until the next ones
        words = "answer B, your choice" if name == told[1] else re.compile(r"^answer [AC]$")
        expect(column(page, place).locator(".voted")).to_have_text(words)
    page.get_by_role("button", name="Votes").click()
    row = page.get_by_role("row", name=told[1])
    expect(row).to_contain_text("100 %")
    expect(row).to_contain_text("21 % to 100 %; chance alone 33 %")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert sorted(line.rpartition(",")[2] for line in lines[1:]) == ["loss", "loss", "win"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSON").click()
    [vote] = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["votes"]
    assert vote["settings"][vote["best"]]["name"] == told[1]
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("No votes yet.")).to_be_visible()
    page.get_by_role("button", name="Undo: bring the votes back").click()
    expect(page.get_by_role("row", name=told[1])).to_be_visible()
    page.keyboard.press("Escape")
    page.uncheck("#compare-blind")
    ask(page, "Go on.")
    finished(page)
    expect(page.locator(".voted:visible")).to_have_count(0)


def test_a_snapshot_during_a_blind_round_says_what_is_not_in_it(page: Page) -> None:
    compare(page)
    for said in (False, True):
        if said:
            ask(page, "Hello!")
            finished(page)
        page.get_by_role("button", name="Share", exact=True).click()
        first = page.get_by_role("dialog").get_by_role("tab").first
        expect(first).to_have_accessible_name("Comparison")
        page.keyboard.press("Escape")
    page.check("#compare-blind")
    ask(page, "Hello again!")
    expect(page.get_by_role("button", name="Tie")).to_be_visible()
    page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The blind answers are not in it: vote or reveal them first.")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Tie").click()
    expect(page.locator("#compare-notice")).to_contain_text("A tie.")  # the server has opened it
    page.get_by_role("button", name="Share", exact=True).click()
    expect(dialog).to_contain_text("whoever opens the link sees")
    expect(dialog).not_to_contain_text("The blind answers are not in it")


def test_a_double_click_is_one_vote(page: Page) -> None:
    compare(page)
    page.check("#compare-blind")
    ask(page, "Hello!")
    held: list[Route] = []
    page.route("**/api/reveal", lambda route: held.append(route))
    page.get_by_role("button", name="Answer A is best").dblclick(force=True)
    page.get_by_role("button", name="Tie").click(force=True)
    for route in held:
        route.continue_()
    expect(page.locator("#compare-notice")).to_contain_text("You chose")
    page.get_by_role("button", name="Votes").click()
    expect(page.get_by_text("1 vote, kept in this browser.")).to_be_visible()
    assert len(held) == 1
    assert [column(page, i).get_by_test_id("message").count() for i in range(3)] == [2, 2, 2]


def test_a_new_tab_begins_with_the_columns_that_were_changed_last(page: Page, site: str) -> None:
    compare(page)
    ask(page, "Hello!")
    finished(page)
    knob = column(page, 1).get_by_label("temperature")
    column(page, 1).locator("summary").click()
    knob.fill("0.4")
    said = [body(page, i) for i in range(3)]
    page.wait_for_function(
        "() => !localStorage.getItem('kto-playground.v1.comparison').includes('Hello!')"
    )
    other = page.context.new_page()
    other.goto(site + "/")
    other.wait_for_selector(READY)
    compare(other)
    assert [body(other, i) for i in range(3)] == said
    expect(column(other, 1).locator("summary")).to_contain_text("temperature 0.4")
    other.close()


@pytest.mark.parametrize(("choice", "words"), [("Tie", "A tie."), ("All bad", "All bad.")])
def test_a_blind_round_may_have_no_winner(page: Page, choice: str, words: str) -> None:
    compare(page)
    page.check("#compare-blind")
    ask(page, "Hello!")
    page.get_by_role("button", name=choice).click()
    expect(page.locator("#compare-notice")).to_contain_text(words)
    page.get_by_role("button", name="Votes").click()
    expect(page.get_by_role("row", name="Creative")).to_contain_text("–")


def test_a_blind_round_that_was_not_finished_is_run_again_or_voted_on_as_far_as_it_goes(
    page: Page,
) -> None:
    compare(page)
    page.check("#compare-blind")
    page.route("**/api/stream", lambda route: route.abort())
    ask(page, STORY)
    expect(page.get_by_text("this round cannot be voted on")).to_be_visible()
    expect(page.get_by_role("button", name="Tie")).to_have_count(0)
    page.unroute("**/api/stream")
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    page.get_by_role("button", name="Run again").click()
    for place in range(3):
        expect(answer(page, place).locator(".body")).not_to_be_empty()
    expect(column(page, 0)).to_contain_text(STORY)
    page.keyboard.press("Escape")
    expect(page.get_by_text("Which is best as far as it goes?")).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    # The second click of two, whose first was on what stood there before, is no vote.
    page.get_by_role("button", name="Answer B is best").dispatch_event("click", {"detail": 2})
    page.get_by_role("button", name="Answer A is best").click()
    expect(page.locator("#compare-notice")).to_contain_text(re.compile(r"You chose .*A was"))
    # While it was hidden, the field had no height to measure.
    page.wait_for_function("() => document.querySelector('#compare-prompt').offsetHeight > 25")
    for place in range(3):
        expect(column(page, place).locator(".figures")).to_have_text(
            re.compile(r"^stopped · first \d+ ms · \d+ t/s$")
        )
    page.get_by_role("button", name="Votes").click()
    expect(page.get_by_text("1 vote, kept in this browser.")).to_be_visible()


def test_columns_are_added_duplicated_moved_removed_and_outlive_a_reload(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "5")
    ask(page, "Hello!")
    finished(page)
    choose(page, 2, "Duplicate")
    expect(page.locator("#comparison .column")).to_have_count(4)
    expect(page.get_by_role("button", name="Add column")).to_be_hidden()
    assert body(page, 3) == body(page, 2)
    choose(page, 3, "Move left")
    choose(page, 2, "Move left")
    expect(column(page, 1).get_by_role("combobox")).to_have_value("min-p")
    choose(page, 0, "Remove")
    expect(page.locator("#comparison .column")).to_have_count(3)
    page.get_by_role("button", name="Undo").click()
    expect(column(page, 0).get_by_role("combobox")).to_have_value("alpacaeval")
    choose(page, 0, "Remove")
    page.fill("#compare-prompt", "a draft")
    before = [body(page, place) for place in range(3)]
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    assert [body(page, place) for place in range(3)] == before
    expect(page.locator("#compare-prompt")).to_have_value("a draft")
    expect(page.locator("#compare-seed")).to_have_value("5")
    values = [column(page, i).get_by_role("combobox").input_value() for i in range(3)]
    assert values == ["min-p", "huggingchat", "min-p"]
    page.get_by_role("button", name="Add column").click()
    expect(column(page, 3).get_by_role("combobox")).to_have_value("alpacaeval")
    column(page, 3).get_by_role("button", name="Answer the last prompt now").click()
    finished(page, 4)


def test_each_column_goes_on_with_its_own_history(page: Page) -> None:
    sent: list[Any] = []
    page.on(
        "request",
        lambda each: sent.append(each.post_data_json) if "/api/stream" in each.url else None,
    )
    compare(page)
    ask(page, "Tell me a story about a lighthouse.")
    finished(page)
    ask(page, "Go on.")
    expect(column(page, 0).locator('[data-role="assistant"]')).to_have_count(2)
    finished(page)
    histories = [pane["messages"] for pane in sent[1]["panes"]]
    for place, history in enumerate(histories):
        assert [each["role"] for each in history] == ["user", "assistant", "user"]
        shown = column(page, place).locator('[data-role="assistant"] .body').first.inner_text()
        assert history[1]["content"].split() == shown.split()
    assert len({pane["seed"] for pane in sent[0]["panes"]}) == 1


def test_own_values_are_sent_said_and_restored(page: Page) -> None:
    compare(page)
    column(page, 0).locator("summary").click()
    column(page, 0).get_by_label("top_k").fill("3")
    expect(column(page, 0).get_by_role("combobox")).to_have_value("*")
    expect(column(page, 0).locator("summary")).to_contain_text("top_k 3")
    ask(page, "Hello!")
    finished(page)
    answer(page, 0).get_by_role("button", name="Receipt").click()
    expect(answer(page, 0).locator(".receipt")).to_contain_text('"top_k": 3')
    column(page, 0).get_by_role("button", name="Restore the preset").click()
    expect(column(page, 0).get_by_role("combobox")).to_have_value("alpacaeval")
    expect(column(page, 0).get_by_label("top_k")).to_have_value("")


@pytest.mark.parametrize(
    ("label", "text", "words"),
    [
        ("top_p", "7", "Column 2: top_p must lie between"),
        ("top_k", "2.5", "Column 2: top_k must be a whole number"),
        ("max new tokens", "0", "Column 2: max new tokens must be"),
    ],
)
def test_a_wrong_value_names_its_column_and_the_draft_stays(
    page: Page, label: str, text: str, words: str
) -> None:
    compare(page)
    column(page, 1).locator("summary").click()
    column(page, 1).get_by_label(label).fill(text)
    ask(page, "Hello!")
    expect(page.locator("#compare-notice")).to_contain_text(words)
    expect(page.locator("#compare-notice")).to_have_role("alert")
    expect(page.locator("#compare-prompt")).to_have_value("Hello!")
    expect(page.locator("#comparison [data-testid=message]")).to_have_count(0)


def test_a_column_is_continued_in_the_chat(page: Page) -> None:
    compare(page)
    column(page, 2).locator("summary").click()
    column(page, 2).get_by_label("min_p").fill("0.2")
    ask(page, "Hello!")
    finished(page)
    text = body(page, 2)
    answer(page, 2).get_by_role("button", name="Continue in chat").click()
    expect(page.locator("#chat-prompt")).to_be_focused()
    chat = page.locator('#chat [data-testid="message"][data-role="assistant"] .body')
    expect(chat).to_have_text(re.compile(re.escape(text[:20])))
    expect(page.get_by_role("tab", name="Creative")).to_have_attribute("aria-selected", "true")
    expect(page.locator('#preset-min-p .knob[data-parameter="min_p"] .value')).to_have_value("0.2")
    page.locator("#chat").get_by_role("button", name="Undo").click()
    expect(chat).to_have_count(0)


def test_several_seeds_tell_luck_from_settings(page: Page) -> None:
    sent: list[Any] = []
    compare(page)
    ask(page, "Name ten animals.")
    finished(page)
    page.on(
        "request",
        lambda each: sent.append(each.post_data_json) if "/api/stream" in each.url else None,
    )
    page.get_by_role("button", name="More for the comparison").click()
    page.get_by_role("button", name="Try several seeds…").click()
    page.get_by_label("answers per column").select_option("2")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("button", name="Start again")).to_be_visible()
    seeds = [{pane["seed"] for pane in each["panes"]} for each in sent]
    assert len(sent) == 2
    assert [len(each) for each in seeds] == [1, 1]
    assert seeds[0] != seeds[1]
    assert all(len(pane["messages"]) == 1 for each in sent for pane in each["panes"])
    row = page.get_by_role("row", name="Focused")
    expect(row.get_by_role("cell")).to_have_count(5)
    expect(row.get_by_role("cell").first).to_have_text("2")
    expect(page.locator(".plot circle.within")).to_have_count(3)
    expect(page.locator(".plot circle.between")).to_have_count(6)
    page.get_by_text("2 answers of Creative").click()
    expect(page.locator(".trial .text:visible")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_comparison_is_exported_with_every_receipt(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "7")
    ask(page, "Name ten animals.")
    finished(page)
    files = {}
    for kind in ("Markdown", "JSON"):
        page.get_by_role("button", name="More for the comparison").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Export as {kind}").click()
        files[kind] = Path(download.value.path()).read_text(encoding="utf-8")
    columns = json.loads(files["JSON"])["columns"]
    assert [each["label"] for each in columns] == ["Balanced", "Focused", "Creative"]
    for each in columns:
        question, answered = each["messages"]
        assert question == {"role": "user", "content": "Name ten animals."}
        assert answered["receipt"]["sent"]["seed"] == 7
        assert answered["done"]["generated_tokens"] > 0
        assert f"## {each['label']}" in files["Markdown"]
        assert json.dumps(answered["receipt"]["sent"]["stop"]).replace(" ", "") in files["Markdown"]
    assert files["Markdown"].count("> Name ten animals.") == 3


def test_a_new_comparison_can_be_undone(page: Page) -> None:
    compare(page)
    page.get_by_role("button", name="Name ten animals.").click()
    finished(page)
    page.get_by_role("button", name="New comparison").click()
    expect(page.get_by_role("heading", name="One prompt, side by side")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(answer(page, 1)).to_be_visible()


def test_the_header_begins_what_is_shown(page: Page) -> None:
    empty = page.get_by_role("heading", name="One prompt, side by side")
    tools = [page.locator(each) for each in ("#chat-new", "#share", "#engine-state", ".model")]
    boxes = [each.bounding_box() for each in tools]
    new = page.get_by_role("button", name="New comparison")
    expect(new).to_have_count(0)
    compare(page)
    assert [each.bounding_box() for each in tools] == boxes
    expect(page.get_by_role("button", name="New chat")).to_have_count(0)
    new.click()
    expect(page.locator("#compare-prompt")).to_be_focused()
    expect(page.locator("#compare-notice")).to_be_hidden()  # it was new
    ask(page, STORY)
    expect(answer(page, 0).locator(".body")).not_to_be_empty()
    new.click()  # while it is written, which stops
    expect(empty).to_be_visible()
    expect(page.locator("#compare-send")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    for place in range(3):
        expect(answer(page, place)).to_have_attribute("data-state", "stopped")
    page.check("#compare-blind")
    ask(page, "Hello!")
    new.click()
    expect(page.locator("#compare-notice")).to_contain_text("A blind round waits here")
    page.get_by_role("button", name="Tie").click()
    page.get_by_role("tab", name="History").click()
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="Ask the model something")).to_be_visible()


def test_a_tablet_shows_two_columns_with_their_turns_at_one_height(
    chromium: Browser, site: str
) -> None:
    with opened(chromium, site + "/", viewport={"width": 820, "height": 1180}) as page:
        compare(page)
        for _ in range(2):
            ask(page, "Hello!")
            finished(page)
        level(page)
        for place in (0, 1):
            box = column(page, place).bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 820
        first = column(page, 1).locator('[data-role="assistant"]').first
        for _ in range(2):  # one is much higher than the others while its receipt is open
            first.get_by_role("button", name="Receipt").click()
            level(page)


# An error without an exception, as of observed sizes that change each other, is one of the window.
ERRORS = """() => {
    window.errors = [];
    addEventListener('error', ({ message }) => window.errors.push(message));
}"""


def test_on_a_phone_columns_scroll_sideways_and_open_full_width(
    chromium: Browser, site: str
) -> None:
    with opened(chromium, site + "/", **PHONE) as page:
        page.evaluate(ERRORS)
        compare(page)
        page.fill("#compare-prompt", "Name ten animals.")
        page.tap("#compare-send")
        finished(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        composer = page.locator("#compare-composer").bounding_box()
        assert composer is not None
        assert composer["y"] + composer["height"] <= 844
        widths = page.evaluate(
            "[...document.querySelectorAll('#comparison .column')].map(e => e.offsetWidth)"
        )
        assert all(300 < width < 390 for width in widths)
        expect(column(page, 2)).not_to_be_in_viewport()
        column(page, 2).scroll_into_view_if_needed()
        expect(column(page, 2)).to_be_in_viewport(ratio=0.5)
        choose(page, 2, "Full width")
        box = column(page, 2).bounding_box()
        assert box is not None
        assert box["width"] >= 385
        choose(page, 2, "Back to all columns")
        expect(column(page, 0)).to_be_visible()
        small = page.evaluate(
            """() => [...document.querySelectorAll('#comparison button, #comparison select')]
                .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43.5)
                .map(e => e.textContent || e.id)"""
        )
        assert small == []
        assert page.evaluate("errors") == []


def turn(page: Page, place: int) -> None:
    """Scroll sideways to this column of a phone's."""
    left = column(page, place).evaluate("e => e.getBoundingClientRect().left")
    page.mouse.move(195, 400)
    page.mouse.wheel(left, 0)
    expect(column(page, place).locator("header")).to_be_in_viewport(ratio=0.9)


@pytest.mark.parametrize("blind", [False, True])
def test_on_a_phone_the_end_of_the_column_in_sight_is_followed(
    chromium: Browser, blind: bool
) -> None:
    gate = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        lines = {0.7: 40, 0.3: 200, 1: 90}[temperature(peer)]
        await peer.send(event("".join(f"Line {n}.\n\n" for n in range(lines))))
        await opens(gate)
        await peer.send(b"".join(tokens(["The end."], "eos_token")))

    def ends(place: int) -> None:
        last = answer(page, place).locator(".body > :not(:empty)").last
        expect(last).to_be_in_viewport(ratio=0.9)
        expect(jump).to_be_hidden()

    with (
        scripted(script) as url,
        serve(url) as site,
        opened(chromium, site.url + "/", **PHONE) as page,
    ):
        jump = page.get_by_role("button", name="Jump to the latest")
        compare(page)
        if blind:
            page.locator("#compare-options").tap()
            page.check("#compare-blind")
        page.fill("#compare-prompt", "Count.")
        page.tap("#compare-send")
        for place in range(3):
            expect(answer(page, place)).to_contain_text("Line 39.")
        ends(0)
        gate.set()
        for place in range(3):
            expect(answer(page, place)).to_contain_text("The end.")
        ends(0)
        for place in (1, 2):
            turn(page, place)
            ends(place)
        turn(page, 1)
        ends(1)
        page.mouse.wheel(0, -400)
        jump.tap()
        ends(1)
        if not blind:  # where nobody knows which one is longer
            page.mouse.wheel(0, -400)
            expect(jump).to_be_visible()
            turn(page, 0)  # from the middle of a long one beyond the end of a short one
            ends(0)
            return
        # What was chosen is in sight where it stands with its name, in the last column.
        place = next(i for i in range(3) if body(page, i).count("Line") == 90)
        page.get_by_role("button", name=f"Answer {'ABC'[place]} is best").tap()
        expect(column(page, 2).locator(".voted")).to_have_text(
            f"answer {'ABC'[place]}, your choice"
        )
        expect(column(page, 2).locator(".voted")).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_chosen_answer_is_in_sight_behind_a_long_turn(chromium: Browser) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        long = peer.request.json()["inputs"].count("<|user|>") == 1 and temperature(peer) == 0.3
        await peer.send(event("".join(f"Line {n}.\n\n" for n in range(300 if long else 6))))
        await peer.send(b"".join(tokens(["The end."], "eos_token")))

    with (
        scripted(script) as url,
        serve(url) as site,
        opened(chromium, site.url + "/", **PHONE) as page,
    ):
        compare(page)
        page.fill("#compare-prompt", "Count.")
        page.tap("#compare-send")
        finished(page)
        turn(page, 1)
        page.locator("#compare-options").tap()
        page.check("#compare-blind")
        page.fill("#compare-prompt", "Again.")
        page.tap("#compare-send")
        vote = page.get_by_role("button", name="Answer B is best")
        expect(vote).to_be_visible()
        vote.tap()
        chosen = page.locator("section.column", has=page.get_by_text("answer B, your choice"))
        said = chosen.locator("[data-role=assistant] .body").last
        expect(said).to_contain_text("The end.")
        expect(said.get_by_text("Line 0.")).to_be_in_viewport(ratio=0.9)
        page.get_by_role("button", name="New comparison").tap()
        page.get_by_role("button", name="Recent conversations").tap()
        entries = page.locator("#masthead .menu-list:visible")
        box = entries.bounding_box()
        assert box
        assert box["x"] >= 0
        entries.locator(".menu-item").first.tap()
        expect(answer(page, 2)).to_contain_text("The end.")
        turn(page, 0)
        expect(answer(page, 0).get_by_text("Line 0.")).to_be_in_viewport(ratio=0.9)


def test_everything_is_reachable_by_keyboard(page: Page) -> None:
    compare(page)
    ask(page, "Hello!")
    finished(page)
    page.evaluate("document.activeElement.blur()")
    name = """() => {
        const e = document.activeElement;
        return e.id || e.getAttribute('aria-label') || e.textContent.trim();
    }"""
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(name))
    expected = {"Preset of column 1", "Preset of column 3", "More for this column", "Add column"}
    expected |= {"Copy", "Retry", "Continue in chat", "Receipt", "compare-prompt"}
    expected |= {"compare-same-seed", "compare-seed", "compare-new-seed", "compare-blind"}
    expected |= {"compare-texts-open"}
    expected |= {"compare-difference", "compare-against", "More for the comparison", "compare-send"}
    assert expected <= reached
    page.get_by_role("button", name="More for the comparison").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Votes…")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More for the comparison")).to_be_focused()


def test_what_the_tab_needs_is_loaded_when_it_is_opened(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        asked: list[str] = []
        page.on("request", lambda each: asked.append(each.url))
        loaded = "performance.getEntriesByType('resource').map(e => e.name)"
        assert not any("main-later.js" in each for each in page.evaluate(loaded))
        compare(page)
        assert any("main-later.js" in each for each in asked)


@pytest.fixture(scope="module")
def modules(chromium: Browser, site: str) -> Iterator[Page]:
    """One page for all tests that only call functions of its modules."""
    with opened(chromium, site + "/") as page:
        yield page


def pure(page: Page, module: str, expression: str, *arguments: object) -> Any:
    """The value of an expression over what a module exports as `m` and the arguments as `a`."""
    return page.evaluate(
        f"async ([module, a]) => {{ const m = await ({MODULE})(module); return {expression}; }}",
        [module, arguments],
    )


def longest_common(a: str, b: str) -> int:
    """The length of the longest common subsequence, by the textbook's table."""
    row = [0] * (len(b) + 1)
    for x in a:
        new = [0]
        for i, y in enumerate(b):
            new.append(row[i] + 1 if x == y else max(row[i + 1], new[i]))
        row = new
    return row[-1]


def test_the_word_difference_is_a_shortest_one(modules: Page) -> None:
    random = Random(7)
    pairs = [
        ["".join(random.choices("abcd", k=random.randrange(14))) for _ in "ab"] for _ in range(300)
    ]
    pairs += [["", ""], ["a", ""], ["", "a"], ["abcabba", "cbabac"]]
    found = pure(modules, "lib/diff.js", "a[0].map(([x, y]) => m.inserted([...x], [...y]))", pairs)
    for (a, b), added in zip(pairs, found, strict=True):
        kept = "".join(each for each, new in zip(b, added, strict=True) if not new)
        assert len(kept) == longest_common(a, b), (a, b)
        rest = iter(a)
        assert all(each in rest for each in kept), (a, b)


def test_long_texts_are_compared_in_bounded_time(modules: Page) -> None:
    added = pure(
        modules,
        "lib/diff.js",
        """m.inserted(Array.from({length: 4000}, (_, i) => `a${i}`),
           Array.from({length: 4000}, (_, i) => `b${i}`)).every(Boolean)""",
    )
    assert added is True


@pytest.mark.parametrize(
    ("a", "b", "ended", "found"),
    [
        ("one two", "one two", True, None),
        ("one two", "one two three", False, None),
        ("one two", "one two three", True, {"a": [7, 7], "b": [8, 13]}),
        ("one two", "one too", False, {"a": [4, 7], "b": [4, 7]}),
        ("one", "uno", True, {"a": [0, 3], "b": [0, 3]}),
        ("Once upon", "On the", False, {"a": [0, 4], "b": [0, 2]}),
        ("", "uno", False, None),
        ("über alles", "über allem", True, {"a": [5, 10], "b": [5, 10]}),
    ],
)
def test_the_first_difference_by_words(
    modules: Page, a: str, b: str, ended: bool, found: Any
) -> None:
    texts = ({"text": a, "ended": ended}, {"text": b, "ended": True})
    assert pure(modules, "lib/diff.js", "m.firstDifference(a[0], a[1])", *texts) == found


def test_the_first_difference_by_tokens(modules: Page) -> None:
    expression = "a[0].map(([x, y]) => m.firstPiece(x, y))"
    pairs = [
        [["The", " light", "house"], ["The", " light", "er"]],
        [["The", " lighthouse"], ["The", " light", "er"]],
        [["The"], ["The", " end"]],
        [["The"], ["The"]],
    ]
    assert pure(modules, "lib/diff.js", expression, pairs) == [
        {"a": [9, 14], "b": [9, 11]},
        {"a": [3, 14], "b": [3, 9]},
        {"a": [3, 3], "b": [3, 7]},
        None,
    ]


def test_places_of_rendered_text_in_its_markdown(modules: Page) -> None:
    cases = [
        ["**one** `two`", "one two"],
        ["# Head\n\n- item *x*\n- y", "Head\n\nitem x\ny\n"],
        ["[link](https://example.org/a) end", "link end"],
        ["a &amp; b", "a & b"],
    ]
    for raw, rendered in cases:
        places = pure(modules, "lib/diff.js", "[...m.places(a[0], a[1])]", raw, rendered)
        assert places == sorted(places)
        letters = [(c, p) for c, p in zip(rendered, places, strict=True) if c.isalnum()]
        assert all(raw[place] == letter for letter, place in letters), (raw, rendered)


def test_the_statistics_are_those_of_their_definitions(modules: Page) -> None:
    wilson = "a[0].map(([k, n]) => m.wilson(k, n))"
    found = pure(
        modules, "lib/statistics.js", wilson, [[8, 10], [0, 10], [10, 10], [0, 0], [45, 100]]
    )
    # R: prop.test(k, n, correct = FALSE)$conf.int
    expected = [
        (0.4901625, 0.9433178),
        (0, 0.2775328),
        (0.7224672, 1),
        (0, 1),
        (0.3561454, 0.5475540),
    ]
    for interval, (low, high) in zip(found, expected, strict=True):
        assert interval == [pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)]
    texts = ["the cat sat", "The cat ran."]
    distinct = "[m.distinct(a[0], 1), m.distinct(a[0], 2), m.distinct([''], 1)]"
    assert pure(modules, "lib/statistics.js", distinct, texts) == [
        pytest.approx(4 / 6),
        pytest.approx(3 / 4),
        None,
    ]
    overlap = "[m.overlap(...a[0]), m.overlap('x', 'x'), m.overlap('x', 'y'), m.mean([])]"
    assert pure(modules, "lib/statistics.js", overlap, texts) == [pytest.approx(1 / 3), 1, 0, None]
    between = "m.overlapsBetween(['a b', ''], ['a b', 'a b'])"
    assert pure(modules, "lib/statistics.js", between) == [1]


def test_the_tally_counts_a_setting_once_in_a_vote(modules: Page) -> None:
    def vote(names: str, outcome: str, best: int | None = None) -> dict[str, Any]:
        settings = [{"name": name, "preset": name, "sampler": None} for name in names]
        return {"at": "", "prompt": "=1+1", "settings": settings, "outcome": outcome, "best": best}

    votes = [vote("AB", "best", 0), vote("AAB", "best", 1), vote("AB", "tie"), vote("AB", "bad")]
    best, other = pure(modules, "compare/votes.js", "m.tally(a[0])", votes)
    counts = ("name", "votes", "win", "loss", "tie", "bad", "rate")
    assert [best[each] for each in counts] == ["A", 4, 2, 0, 1, 1, 1]
    assert [other[each] for each in counts] == ["B", 4, 0, 2, 1, 1, 0]
    assert best["chance"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    table = pure(modules, "compare/votes.js", "m.votesCSV(a[0])", votes[:1]).splitlines()
    assert table[1].split(",")[2] == "'=1+1"
