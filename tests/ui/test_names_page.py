"""Names that people give, wherever the pages draw them: none turns itself or what is around it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests.conversations import RECEIPT, answer, column, record
from tests.engines_file import engines_file
from tests.pages import READY, opened, serve
from tests.servers import Server
from tests.ui.test_comparison_page import compare, pure
from tests.ui.test_page import answers, ask, finished
from tests.ui.test_presets_page import choose, panel
from tests.ui.test_snapshot_page import DRAWN

pytestmark = pytest.mark.browser

# An override and an isolate that nothing closes.
TURNED: Final = "gp\u202ej.\u2067exe"
PLAIN: Final = "gpj.exe"
HEBREW: Final = "שלום 2!"
# As its letters stand from left to right.
HEBREW_SEEN: Final = "!2 םולש"
OWN: Final[dict[str, Any]] = {
    "id": "-own-1",
    "kind": "own",
    "source": "",
    "sampler": {"top_k": 3},
    "max_new_tokens": 16,
}

# All that a page shows or tells, but what was said: where a mark stands that turns the text, other
# than around a whole name, or where an isolate is not closed.
TURNING: Final = r"""() => {
  const parts = [document.title];
  const told = ['title', 'aria-label', 'content', 'placeholder', 'alt'];
  for (const node of document.querySelectorAll('*')) {
    if (node.matches('script, style, .message .body, .message .body *, [data-presets]')) continue;
    for (const name of told) if (node.hasAttribute(name)) parts.push(node.getAttribute(name));
    if (node.matches('input.name-field, input.entry-name')) parts.push(node.value);
    for (const child of node.childNodes) if (child instanceof Text) parts.push(child.data);
  }
  return parts.filter((part) => /[\u061c\u200e\u200f\u202a-\u202e\u2066\u2067]/.test(part)
    || /[\u2068\u2069]/.test(part.replaceAll(/\u2068[^\u2068\u2069]*\u2069/g, '')));
}"""
# The letters of a node as they stand from left to right, line by line: a letter of a smaller font
# stands a little lower than the one before it, and is in one line with it.
SEEN: Final = r"""(node) => {
  const letters = [];
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  let line = 0;
  let bottom = null;
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    for (let i = 0; i < text.length; i += 1) {
      const range = document.createRange();
      range.setStart(text, i);
      range.setEnd(text, i + 1);
      const box = range.getBoundingClientRect();
      if (box.width === 0) continue;
      if (bottom !== null && box.top + box.height / 2 > bottom) line += 1;
      bottom = box.bottom;
      letters.push({ letter: text.data[i], left: box.left, line });
    }
  }
  letters.sort((a, b) => a.line - b.line || a.left - b.left);
  return letters.map(({ letter }) => letter).join('').replace(/\s+/g, ' ').trim();
}"""


def reads(node: Locator, said: str, *, whole: bool = True) -> None:
    """Waits until a reader sees this in the node, or what begins with it."""
    deadline = time.monotonic() + 20
    expect(node).to_be_visible()
    while True:
        text: str = node.evaluate(SEEN)
        if text == said or (not whole and text.startswith(said)):
            return
        assert time.monotonic() < deadline, f"{text!r} is seen, and not {said!r}"
        node.page.wait_for_timeout(50)


def turns_nothing(page: Page) -> None:
    assert page.evaluate(TURNING) == []


def named(name: str) -> dict[str, Any]:
    """A comparison in which all that has a name has this one."""
    receipt = {**RECEIPT, "preset": name, "engine": name, "model_id": name, "edited": []}
    said = [{"role": "user", "content": "Hi"}, answer(preset=name, receipt=receipt)]
    columns = [column(*said, label=name), column(*said, label="Other")]
    for each in columns:
        each["setting"].update(preset=None, name=name)
    return record(*columns, title=name)


def keep(page: Page, name: str) -> None:
    """What a page of an earlier version has stored: a preset, and a comparison in the history."""
    page.evaluate(
        "(kept) => localStorage.setItem('kto-playground.v1.presets', JSON.stringify(kept))",
        {"version": 1, "presets": [{**OWN, "name": name}], "default": None},
    )
    entry = {"version": 1, "revision": 1, "created": 1, "updated": 1, "renamed": True}
    pure(page, "records/archive.js", "m.addEntries(() => a[0])", [{**entry, "record": named(name)}])
    page.reload()
    page.wait_for_selector(READY)


@pytest.fixture(params=[(TURNED, PLAIN), (HEBREW, HEBREW_SEEN)], ids=["turned", "Hebrew"])
def name(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A name, and how it is seen."""
    given: tuple[str, str] = request.param
    return given


@pytest.fixture
def page(chromium: Browser, site: str) -> Iterator[Page]:
    with opened(chromium, site + "/") as page:
        yield page


def test_presets_of_ones_own(page: Page, name: tuple[str, str]) -> None:
    given, shown = name
    keep(page, given)
    page.get_by_role("tab", name="Custom").click()
    page.locator(".own-choice").select_option("-own-1")
    ask(page, "Hello!")
    finished(page)
    facts = answers(page).last.locator(".facts-line span").first
    reads(facts, shown)
    answers(page).last.get_by_role("button", name="Receipt").click()
    turns_nothing(page)
    choose(page, "Rename…")
    turns_nothing(page)
    page.get_by_label("Name", exact=True).fill(given + "3")
    page.locator("dialog").get_by_role("button", name="Rename").click()
    turns_nothing(page)
    choose(page, "Set as default")
    turns_nothing(page)
    choose(page, "Export…")
    expect(page.locator("dialog pre")).to_contain_text("top_k")
    turns_nothing(page)
    page.keyboard.press("Escape")
    file = FilePayload(name=f"{given}.json", mimeType="text/plain", buffer=b'{"top_k": 9}')
    choose(page, "Import…")
    page.get_by_label("A file to import").set_input_files([file])
    page.get_by_role("button", name="Add this preset").click()
    turns_nothing(page)
    choose(page, "Delete")
    reads(panel(page).locator(".panel-note"), f"Deleted {shown}. Undo")
    turns_nothing(page)
    compare(page)
    turns_nothing(page)
    page.get_by_role("button", name="Share").click()
    page.get_by_role("tab", name="Demo").click()
    expect(page.locator(".demo-form")).to_be_visible()
    turns_nothing(page)


def test_the_history(page: Page, name: tuple[str, str]) -> None:
    given, shown = name
    keep(page, given)
    page.get_by_role("button", name="Recent conversations").click()
    expect(page.locator(".menu-list:visible .menu-item")).to_have_count(2)
    turns_nothing(page)
    page.get_by_role("button", name="All conversations").click()
    reads(page.locator(".entry-title"), shown)
    reads(page.locator(".entry-facts"), f"Comparison · {shown} / Other · {shown}", whole=False)
    file = FilePayload(name=given, mimeType="text/plain", buffer=b"{}")
    page.get_by_label("Files to import").set_input_files([file])
    line = page.locator("#history-notice li")
    reads(line, f"{shown} was left out.", whole=False)
    turns_nothing(page)
    page.locator(".entry-title").click()
    notice = page.locator("#compare-notice")
    reads(notice, f"Opened “{shown}”.", whole=False)
    turns_nothing(page)
    answers(page).first.get_by_role("button", name="Receipt").click()
    turns_nothing(page)
    page.get_by_role("tab", name="History").click()
    page.locator(".entry .menu-open").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title", exact=True).fill(given + "3")
    page.keyboard.press("Enter")
    turns_nothing(page)
    page.locator(".entry .menu-open").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#history-notice")).to_contain_text("Deleted")
    turns_nothing(page)


def test_a_question_that_becomes_a_title(page: Page) -> None:
    ask(page, TURNED)
    finished(page)
    page.get_by_role("tab", name="History").click()
    reads(page.locator(".entry-title"), PLAIN)
    turns_nothing(page)


def test_links_and_what_they_lead_to(page: Page, site: str, name: tuple[str, str]) -> None:
    given, shown = name
    pane = {"preset": {"name": given, "sampler": {"top_k": 3}}}
    with httpx.Client(base_url=site, trust_env=False, timeout=20) as owner:
        made = owner.post("/api/shares", json={"record": named(given)}).json()
        demo = owner.post(
            "/api/demos", json={"title": given, "panes": [pane], "budget_tokens": 2000}
        ).json()
        cookies = [
            {"name": key, "value": value, "url": site} for key, value in owner.cookies.items()
        ]
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto(f"{site}/#share=links&tab=chat")
    titles = page.locator(".links .title")
    expect(titles).to_have_count(2)
    for i in range(2):
        reads(titles.nth(i), shown)
    turns_nothing(page)
    snapshot = page.locator(".links li").first
    snapshot.get_by_role("button", name="Delete").click()
    turns_nothing(page)
    page.goto(f"{site}/s/{made['token']}")
    page.wait_for_selector(DRAWN)
    reads(page.locator("h1").last, shown)
    reads(page.locator(".column h2").first, shown)
    said = page.locator(".facts-line span").filter(has_text="Written by")
    reads(said, f"Written by {shown} on {shown}")
    for button in page.get_by_role("button", name="Receipt").all():
        button.click()
    turns_nothing(page)
    page.goto(f"{site}/d/{demo['token']}")
    page.wait_for_selector(READY)
    reads(page.locator("h1"), shown)
    reads(page.locator("summary"), f"{shown}: top_k 3 ·", whole=False)
    turns_nothing(page)
    link = f"#setup=1&tab=chat&column=-own:{quote(given)},top_k:3&prompt=Hi&end"
    page.goto(f"{site}/{link}")
    page.wait_for_selector(READY)
    card = page.locator("dialog.link-card")
    reads(card.locator("li").first, f"{shown} – top_k 3")
    reads(card.locator(".note").first, f"“{shown}” was added", whole=False)
    turns_nothing(page)


def test_engines(chromium: Browser, engine: Server, tmp_path: Path, name: tuple[str, str]) -> None:
    given, _ = name
    file = engines_file(tmp_path, a=engine.url, b=engine.url)
    file.write_text(file.read_text().replace('"A"', f'"{given}"'), encoding="utf-8")
    with (
        serve("http://unused.invalid", engines_file=file) as server,
        opened(chromium, server.url + "/") as page,
    ):
        compare(page)
        page.get_by_role("button", name="More for the comparison").click()
        page.get_by_role("button", name="This preset on all engines").click()
        reads(page.locator("#compare-notice"), "Set up Balanced on 2 engines", whole=False)
        page.fill("#compare-prompt", "Hello!")
        page.press("#compare-prompt", "Enter")
        verdict = page.locator("#comparison .board:visible .column .verdict").nth(1)
        expect(verdict).to_contain_text("Same text as")
        reads(verdict, "Same text as Balanced · ", whole=False)
        turns_nothing(page)
