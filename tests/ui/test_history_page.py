"""History in a real browser: what the page keeps of conversations and comparisons."""

import copy
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests.pages import MODULE, READY, opened, watched
from tests.ui.test_comparison_page import PHONE, compare
from tests.ui.test_comparison_page import answer as answer_of
from tests.ui.test_comparison_page import finished as compared
from tests.ui.test_page import answers, ask, finished, growing, questions

pytestmark = pytest.mark.browser

CURRENT = "m.currentRecord()"
STORY = "Tell me a story about a lighthouse."
FORBIDDEN = """Object.defineProperty(window, 'indexedDB', {
    get() { throw new DOMException('The operation is insecure.', 'SecurityError'); },
});"""
NASTY = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def call(page: Page, module: str, expression: str, *arguments: object) -> Any:
    """The value of an expression over what a module exports as `m` and the arguments as `a`."""
    return page.evaluate(
        f"""async ([module, a]) => {{
            const m = await ({MODULE})(module);
            return {expression};
        }}""",
        [module, arguments],
    )


def stored(page: Page) -> list[dict[str, Any]]:
    """The entries of the browser's history, the newest first."""
    found: list[dict[str, Any]] = call(page, "records/archive.js", "m.allEntries()")
    return found


def holds(page: Page, count: int) -> list[dict[str, Any]]:
    """The entries as soon as there are so many."""
    deadline = time.monotonic() + 20
    while len(found := stored(page)) != count:
        assert time.monotonic() < deadline, f"{len(found)} entries, and not {count}"
        page.wait_for_timeout(50)
    return found


def texts(entry: dict[str, Any]) -> list[str]:
    """What the user said."""
    [column] = entry["record"]["columns"]
    return [each["content"] for each in column["messages"] if each["role"] == "user"]


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page of a browser without a history."""
    yield page
    call(
        page,
        "records/archive.js",
        "m.allEntries().then((e) => m.deleteEntries(e.map(({ id }) => id)))",
    )


def history(page: Page) -> Locator:
    """Open the tab; its rows."""
    page.get_by_role("tab", name="History").click()
    expect(page.locator("#history-list")).not_to_have_attribute("aria-busy", "true")
    return page.get_by_test_id("entry")


def choose(page: Page, title: str, action: str) -> None:
    """Something from an entry's menu."""
    page.get_by_role("button", name=f"More for “{title}”").click()
    page.get_by_role("button", name=action, exact=True).click()


def chat(*said: str, **changes: Any) -> dict[str, Any]:
    """A record of a chat without receipts, with an answer to each of these prompts."""
    messages: list[dict[str, Any]] = []
    for text in said:
        answer: dict[str, Any] = {"role": "assistant", "state": "done"}
        answer |= {"content": f"Answer to {text}"}
        answer |= {"preset": "alpacaeval", "receipt": None, "done": None, "problem": None}
        messages += [{"role": "user", "content": text}, answer]
    setting: dict[str, Any] = {"preset": "alpacaeval", "name": "Balanced"}
    setting |= {"max_new_tokens": 2048, "seed": None}
    setting |= {"sampler": {"temperature": 0.7, "top_p": 0.95}, "stop": [], "system": ""}
    setting |= {"engine": None, "emulate": True}
    record = {"format": "kto-mistral-playground", "version": 4, "kind": "chat", "title": said[0]}
    column = {"label": "Balanced", "setting": setting, "messages": messages}
    return {**record, "columns": [column], **changes}


def first_version(record: dict[str, Any]) -> dict[str, Any]:
    """The record as it was written before there were several engines."""
    columns = copy.deepcopy(record["columns"])
    for column in columns:
        del column["setting"]["engine"]
        del column["setting"]["emulate"]
    return {**record, "version": 1, "columns": columns}


def plant(page: Page, *records: dict[str, Any], **changes: Any) -> None:
    """Entries with these records, the first one the newest."""
    entries = [
        {"version": 1, "revision": 1, "renamed": False, "record": record}
        | {"created": 1_700_000_000_000 - i, "updated": 1_700_000_000_000 - i}
        | changes
        for i, record in enumerate(records)
    ]
    call(page, "records/archive.js", "m.addEntries(() => a[0])", entries)


def upload(page: Page, **files: str) -> None:
    payloads: list[FilePayload] = [
        {"name": name.replace("_", "."), "mimeType": "text/plain", "buffer": text.encode()}
        for name, text in files.items()
    ]
    page.get_by_label("Files to import").set_input_files(payloads)


def saved(page: Page, *path: str) -> str:
    """The file that the last of these buttons downloads."""
    for name in path[:-1]:
        page.get_by_role("button", name=name).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=path[-1], exact=True).click()
    return Path(download.value.path()).read_bytes().decode()  # each line break as it is


def test_a_chat_becomes_a_record_that_opens_as_it_was(page: Page) -> None:
    page.get_by_role("tab", name="Focused").click()
    page.locator('#preset-huggingchat .knob[data-parameter="top_k"] .value').fill("7")
    page.fill("#seed", "5")
    page.fill("#system", "Be kind.")
    page.fill("#stop", "xyzzy")
    ask(page, "Name ten animals.")
    text = finished(page)
    record: dict[str, Any] = call(page, "records/views.js", CURRENT)
    [column] = record["columns"]
    assert (record["format"], record["version"]) == ("kto-mistral-playground", 4)
    assert (record["kind"], record["title"]) == ("chat", "Name ten animals.")
    assert column["label"] == "Focused, edited"
    assert column["setting"] == {
        "preset": "huggingchat",
        "name": "Focused",
        "sampler": {"temperature": 0.3, "top_p": 0.95, "top_k": 7, "repetition_penalty": 1.2},
        "max_new_tokens": 1024,
        "seed": 5,
        "stop": ["xyzzy"],
        "system": "Be kind.",
        "engine": None,
        "emulate": True,
    }
    question, answer = column["messages"]
    assert question == {"role": "user", "content": "Name ten animals."}
    assert answer["receipt"]["sent"]["seed"] == 5
    assert answer["done"]["generated_tokens"] > 0
    assert "<" not in json.dumps({**answer, "receipt": None})
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("tab", name="Creative").click()
    page.fill("#seed", "")
    call(page, "records/records.js", "m.openRecord(a[0], 'Opened.')", record)
    expect(page.locator("#notice")).to_contain_text("Opened.")
    assert finished(page) == text
    expect(page.get_by_role("tab", name="Focused")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#seed")).to_have_value("5")
    assert call(page, "records/views.js", CURRENT) == record
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("tab", name="Creative")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#seed")).to_have_value("")
    assert call(page, "records/views.js", CURRENT) is None


def test_a_comparison_becomes_a_record_that_opens_as_it_was(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "7")
    page.get_by_role("button", name="Name ten animals.").click()
    compared(page)
    record = call(page, "records/views.js", CURRENT)
    assert record["kind"] == "comparison"
    presets = [each["setting"]["preset"] for each in record["columns"]]
    assert presets == ["alpacaeval", "huggingchat", "min-p"]
    assert {each["setting"]["seed"] for each in record["columns"]} == {7}
    changed = json.loads(json.dumps(record))
    changed["columns"][1]["setting"]["sampler"]["temperature"] = 0.9
    changed["columns"][1]["messages"][1] |= {"letter": "B", "chosen": True}
    del changed["columns"][2]["setting"]["sampler"]["min_p"]
    changed["columns"][0]["setting"].update(preset="gone", name="Gone")
    for i, name in enumerate(["No preset, edited", "Focused, edited", "Creative, edited"]):
        changed["columns"][i]["label"] = name
    page.get_by_role("tab", name="Chat", exact=True).click()
    call(page, "records/records.js", "m.openRecord(a[0], 'Opened.')", changed)
    compared(page)
    expect(page.locator("#compare-notice")).to_contain_text("The preset “Gone” is not here")
    expect(answer_of(page, 1).locator(".facts-line")).to_contain_text("answer B, chosen")
    changed["columns"][0]["setting"].update(preset=None, name="No preset")
    assert call(page, "records/views.js", CURRENT) == changed
    page.locator("#compare-notice").get_by_role("button", name="Undo").click()
    assert call(page, "records/views.js", CURRENT) == record
    assert holds(page, 1)[0]["record"] == record  # what was only looked at is not kept


def test_a_conversation_has_one_entry_that_goes_on_after_a_reload(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    [first] = holds(page, 1)
    page.reload()
    page.wait_for_selector(READY)
    ask(page, STORY)
    growing(page)
    page.reload()
    page.wait_for_selector(READY)
    said = answers(page).last.locator(".body").inner_text()
    rows = history(page)
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("2 prompts")
    [entry] = stored(page)
    assert (entry["id"], entry["created"]) == (first["id"], first["created"])
    assert entry["updated"] > first["updated"]
    [column] = entry["record"]["columns"]
    assert column["messages"][-1]["state"] == "stopped"
    assert column["messages"][-1]["content"].split() == said.split()
    assert "html" not in json.dumps(column["messages"])
    page.get_by_role("tab", name="Chat", exact=True).click()
    page.get_by_role("button", name="New chat").click()
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(questions(page)).to_have_count(2)
    page.get_by_role("button", name="New chat").click()
    ask(page, "Name ten animals.")
    finished(page)
    assert [texts(each) for each in holds(page, 2)] == [["Name ten animals."], ["Hello!", STORY]]
    history(page).nth(1).get_by_role("button", name="Hello!", exact=True).click()
    expect(questions(page)).to_have_count(2)
    expect(page.locator("#notice")).to_contain_text("Opened “Hello!”.")
    expect(page.locator(".block-html")).not_to_have_count(0)
    ask(page, "Thank you.")
    finished(page)
    page.wait_for_function("document.querySelector('#chat-send').checkVisibility()")
    newest, other = holds(page, 2)
    assert newest["id"] == first["id"]
    assert texts(newest) == ["Hello!", STORY, "Thank you."]
    assert texts(other) == ["Name ten animals."]


def test_entries_are_found_renamed_deleted_and_brought_back(page: Page) -> None:
    plant(page, chat("Name ten animals."), chat(STORY), chat("Hello!", "What is a zebra?"))
    rows = history(page)
    expect(rows).to_have_count(3)
    page.fill("#history-search", "ZEBRA answer")
    expect(rows).to_have_count(1)
    expect(rows.locator(".entry-found mark").first).to_have_text("Answer")
    page.fill("#history-search", "no such words")
    expect(page.get_by_text("Nothing found for “no such words”.")).to_be_visible()
    page.get_by_role("button", name="Clear the search").click()
    expect(page.locator("#history-search")).to_be_focused()
    choose(page, STORY, "Rename")
    field = page.get_by_label("Title", exact=True)
    expect(field).to_be_focused()
    field.fill("nobody's name")
    field.press("Escape")
    choose(page, STORY, "Rename")
    field.fill("Lights at sea")
    field.press("Enter")
    expect(page.get_by_role("button", name="Lights at sea", exact=True)).to_be_focused()
    page.reload()
    page.wait_for_selector(READY)
    history(page)
    choose(page, "Lights at sea", "Delete")
    expect(rows).to_have_count(2)
    expect(rows.nth(1).locator(".entry-title")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(rows.nth(1).locator(".entry-title")).to_have_text("Lights at sea")
    page.get_by_role("button", name="More for the history").click()
    page.get_by_role("button", name="Delete all…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="More for the history").click()
    page.get_by_role("button", name="Delete all…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete 3 entries").click()
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    assert stored(page) == []
    page.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(3)


def test_entries_of_one_title_are_told_apart_and_the_open_one_is_marked(page: Page) -> None:
    plant(page, chat("Hello!", "Name ten animals."), chat("Hello!"), chat(STORY))
    rows = history(page)
    facts = rows.locator(".entry-facts")
    expect(facts.nth(0)).to_have_text(re.compile("^“Name ten animals.” · Chat · "))
    expect(facts.nth(1)).to_have_text(re.compile("^“Answer to Hello!” · Chat · "))
    expect(facts.nth(2)).to_have_text(re.compile("^Chat · "))
    rows.nth(1).locator(".entry-title").click()
    expect(questions(page)).to_have_count(1)
    page.get_by_role("button", name="Recent conversations").click()
    items = page.locator("#masthead .menu-item")
    expect(items.nth(0)).to_contain_text("“Name ten animals.” · Chat")
    expect(items.nth(1)).to_contain_text("“Answer to Hello!” · Chat")
    expect(page.locator("#masthead .menu-item[aria-current=true]")).to_have_count(1)
    expect(items.nth(1)).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (f"Repeat: {'W' * 200}", f"Repeat: {'W' * 52}…"),
        (f"{STORY} {STORY}", "Tell me a story about a lighthouse. Tell me a story about a…"),
        (
            f"Say hello to all of the people here. {'W' * 200}",
            "Say hello to all of the people here…",
        ),
        ("二" * 80, "二" * 60 + "…"),
    ],
)
def test_a_long_title_keeps_what_it_can(page: Page, said: str, title: str) -> None:
    ask(page, said)
    finished(page)
    [entry] = holds(page, 1)
    assert entry["record"]["title"] == title


def test_a_first_comparison_is_listed_while_it_is_written_and_a_blind_round_is_announced(
    page: Page,
) -> None:
    page.route("**/api/stream", lambda route: None)  # not one word comes
    compare(page)
    page.check("#compare-blind")
    page.fill("#compare-prompt", STORY)
    page.press("#compare-prompt", "Enter")
    rows = history(page)
    empty = page.locator(".history-empty")
    expect(empty).to_contain_text("The blind round in Compare comes here when it is voted on")
    assert "Balanced" not in empty.inner_text()
    compare(page)
    page.get_by_role("button", name="Stop all").click()
    page.get_by_role("button", name="Reveal", exact=True).click()
    page.get_by_role("button", name="More for the comparison").click()
    page.get_by_role("button", name="New comparison").click()
    page.uncheck("#compare-blind")
    deleted = "m.allEntries().then((e) => m.deleteEntries(e.map(({ id }) => id)))"
    holds(page, 1)
    call(page, "records/archive.js", deleted)
    history(page)
    expect(empty).not_to_contain_text("blind round")
    compare(page)
    page.fill("#compare-prompt", STORY)
    page.press("#compare-prompt", "Enter")
    history(page)
    assert rows.count() == 1  # at once, and not with its first words
    expect(rows).to_contain_text("Comparison · ")


def test_exports_come_back_in_another_profile(page: Page, chromium: Browser, site: str) -> None:
    page.get_by_role("tab", name="Creative").click()
    ask(page, "Name ten animals.")
    finished(page)
    holds(page, 1)
    failed = chat("> quoted\n\n<!-- assistant {} -->\r\n  ", "```\n# \\*x*\n", title="a <b> --> c")
    failed["columns"][0]["messages"][3] |= {
        "state": "failed",
        "content": "",
        "problem": {"kind": "x", "message": "It broke.", "retryable": True},
    }
    other = chat("Hello!", kind="comparison")
    other["columns"].append({**chat("Hello!")["columns"][0], "label": "Focused"})
    other["columns"][1]["messages"][1] |= {"letter": "A", "chosen": True, "state": "stopped"}
    plant(page, failed, other)
    before = stored(page)
    rows = history(page)
    expect(rows).to_have_count(3)
    whole = saved(page, "More for the history", "Export all as JSON")
    markdown = saved(page, "More for the history", "Export all as Markdown")
    one = saved(page, "More for “Name ten animals.”", "Export as JSON")
    assert json.loads(one) == before[0]["record"]
    with opened(chromium, site + "/") as fresh:
        rows = history(fresh)
        upload(fresh, history_json=whole, one_json=one)
        notice = fresh.locator("#history-notice")
        expect(notice).to_contain_text("Imported 3 entries. 1 was here already.")
        assert stored(fresh) == before
        upload(fresh, history_json=whole, history_md=markdown)
        expect(notice).to_contain_text("Imported 0 entries. 6 were here already.")
    with opened(chromium, site + "/") as fresh:
        history(fresh)
        upload(fresh, history_md=markdown)
        # Markdown keeps all but receipts and figures.
        for entry in before:
            for message in entry["record"]["columns"][0]["messages"]:
                if message["role"] == "assistant":
                    message.update(receipt=None, done=None)
        expect(fresh.get_by_test_id("entry")).to_have_count(3)
        assert [each["record"] for each in stored(fresh)] == [each["record"] for each in before]


def test_two_tabs_never_overwrite_what_the_other_keeps(page: Page, site: str) -> None:
    ask(page, "Hello!")
    finished(page)
    holds(page, 1)
    other = page.context.new_page()
    other.goto(site + "/")
    other.wait_for_selector(READY)
    rows = history(other)
    expect(rows).to_have_count(1)
    ask(page, "Here.")
    finished(page)
    expect(rows).to_contain_text("2 prompts")  # the list follows the other tab
    other.get_by_role("tab", name="Chat", exact=True).click()
    ask(other, "There.")
    finished(other)
    kept = holds(page, 2)
    assert sorted(map(texts, kept)) == [["Hello!", "Here."], ["Hello!", "There."]]
    history(other)
    rows.first.get_by_role("button", name="More for").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    [left] = holds(page, 1)
    assert texts(left) == ["Hello!", "Here."]
    other.reload()
    other.wait_for_selector(READY)
    expect(questions(other)).to_have_count(2)  # the chat stays on the page
    assert len(stored(other)) == 1  # and is not kept again until something is said
    other.close()


def test_a_full_storage_is_said_and_loses_nothing_on_the_page(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/") as page:
        browser = page.context.new_cdp_session(page)
        # Before the first write: the browser hands out room in advance.
        browser.send("Storage.overrideQuotaForOrigin", {"origin": site, "quotaSize": 50_000})
        ask(page, "Hello!")
        expect(page.locator("#notice")).to_contain_text("The storage of this browser is full")
        said = finished(page)
        rows = history(page)
        expect(page.locator("#history-problem")).to_contain_text("is full")
        upload(page, one_json=json.dumps(chat("One")), two_json=json.dumps(chat("Two")))
        expect(page.locator("#history-notice")).to_contain_text("is full")
        assert stored(page) == []
        page.reload()
        page.wait_for_selector(READY)
        page.get_by_role("tab", name="Chat", exact=True).click()
        assert finished(page) == said
        browser.send("Storage.overrideQuotaForOrigin", {"origin": site})
        ask(page, "Go on.")
        finished(page)
        history(page)
        expect(rows).to_have_count(1)
        expect(page.locator("#history-problem")).to_be_hidden()
        assert texts(stored(page)[0]) == ["Hello!", "Go on."]


def test_without_a_storage_the_page_says_so_and_goes_on(chromium: Browser, site: str) -> None:
    context = chromium.new_context()
    context.add_init_script(FORBIDDEN)
    with watched(context.new_page(), site + "/") as page:
        ask(page, "Hello!")
        expect(page.locator("#notice")).to_contain_text("does not let the page keep a history")
        assert finished(page)
        history(page)
        expect(page.locator("#history-problem")).to_contain_text("does not let the page keep")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        rescued = json.loads(saved(page, "Export the chat of this page"))
        assert rescued == call(page, "records/views.js", "m.viewIfDrawn('chat').record()")
        page.get_by_role("tab", name="Chat", exact=True).click()
        expect(answers(page)).to_have_count(1)
        page.reload()
        page.wait_for_selector(READY)
        expect(answers(page)).to_have_count(1)
    context.close()


def test_a_newer_page_takes_over_and_the_older_one_says_so(page: Page, site: str) -> None:
    ask(page, "Hello!")
    finished(page)
    holds(page, 1)
    newer = page.context.new_page()
    newer.route(
        "**/main.js",
        lambda route: route.fulfill(
            response=(response := route.fetch()),
            body=response.text().replace("const layout = 1;", "const layout = 2;"),
        ),
    )
    page.evaluate(
        """new Promise((resolve) => {
            const opening = indexedDB.open('kto-playground');
            opening.onsuccess = () => resolve(window.held = opening.result);
        }).then(() => {})"""
    )
    newer.goto(site + "/")
    newer.wait_for_selector(READY)
    history(newer)
    expect(newer.locator("#history-problem")).to_contain_text("Another tab with an older version")
    page.evaluate("window.held.close()")
    newer.get_by_role("button", name="Try again").click()
    expect(newer.get_by_test_id("entry")).to_have_count(1)
    ask(page, "Go on.")
    expect(page.locator("#notice")).to_contain_text("A newer version of this page has taken over")
    finished(page)
    for each in (newer, page):  # for the tests that follow
        each.goto(site + "/livez")
    page.evaluate(
        """new Promise((resolve) => {
            indexedDB.deleteDatabase('kto-playground').onsuccess = resolve;
        }).then(() => {})"""
    )
    newer.close()
    page.goto(site + "/")
    page.wait_for_selector(READY)


def test_what_was_deleted_with_the_sites_data_begins_anew(page: Page) -> None:
    ask(page, "Hello!")
    finished(page)
    holds(page, 1)
    page.evaluate(
        """new Promise((resolve) => {
            indexedDB.deleteDatabase('kto-playground').onsuccess = resolve;
        }).then(() => {})"""
    )
    rows = history(page)
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    page.get_by_role("tab", name="Chat", exact=True).click()
    ask(page, "Go on.")
    finished(page)
    history(page)
    expect(rows).to_have_count(1)
    assert texts(stored(page)[0]) == ["Hello!", "Go on."]


def test_other_versions_are_kept_shown_and_migrated(page: Page) -> None:
    older = {
        "format": "kto-mistral-playground comparison",
        "version": 1,
        "exported": "2026-01-01T00:00:00.000Z",
        "columns": [
            {
                "name": name,
                "setting": {"preset": preset, "edits": {"top_k": "3"}, "limit": "9", "seed": ""},
                "messages": chat("Old one")["columns"][0]["messages"],
            }
            for name, preset in (("Balanced, edited", "alpacaeval"), ("Gone", "-own-1-2"))
        ],
    }
    newer = {"title": "From tomorrow", "more": 1}
    plant(page, newer, id="newer", version=2)
    plant(page, {"title": "Broken"}, id="broken")
    plant(page, older, id="older")
    before = sorted(stored(page), key=lambda entry: entry["id"])
    rows = history(page)
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="From tomorrow")).to_contain_text("A newer version of this page")
    expect(rows.filter(has_text="Broken")).to_contain_text("Format is missing")
    whole = saved(page, "More for the history", "Export all as JSON")
    assert sorted(json.loads(whole)["entries"], key=lambda entry: entry["id"]) == before
    one = saved(page, "More for “From tomorrow”", "Export as JSON")
    choose(page, "From tomorrow", "Delete")
    expect(rows).to_have_count(2)
    upload(page, one_json=one, older_json=json.dumps(older))
    expect(rows).to_have_count(3)
    expect(page.locator("#history-notice")).to_contain_text("1 was here already")
    assert sorted(stored(page), key=lambda entry: entry["id"]) == before
    page.get_by_role("button", name="Old one", exact=True).click()
    expect(page.locator("#compare-notice")).to_contain_text("The preset “Gone” is not here")
    record = call(page, "records/views.js", CURRENT)
    expected = {"temperature": 0.7, "top_p": 0.95, "top_k": 3}
    assert record["columns"][0]["setting"]["sampler"] == expected
    assert record["columns"][0]["setting"]["max_new_tokens"] == 9


def test_a_record_of_the_first_version_opens_and_goes_on_as_one_of_today(page: Page) -> None:
    plant(page, first_version(chat("Older")), id="older")
    history(page)
    one = saved(page, "More for “Older”", "Export as JSON")
    markdown = saved(page, "More for “Older”", "Export as Markdown")
    assert json.loads(one) == chat("Older")
    choose(page, "Older", "Delete")
    upload(page, older_json=json.dumps(first_version(chat("Older"))))
    expect(page.locator("#history-notice")).to_contain_text("Imported 1 entry.")
    upload(page, older_md=markdown.replace('"version":4', '"version":1').replace(LATER, ""))
    expect(page.locator("#history-notice")).to_contain_text("1 was here already")
    page.get_by_role("button", name="Older", exact=True).click()
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    finished(page)
    record = call(page, "records/views.js", CURRENT)
    assert record == chat("Older")


def test_two_imports_in_one_moment_add_an_entry_once(page: Page) -> None:
    history(page)
    twice = call(
        page,
        "history/history_files.js",
        "await Promise.all([0, 1].map(() => m.importFiles([new File(a, 'one.json')])))",
        json.dumps(chat("One")),
    )
    assert [(each["added"], each["known"]) for each in twice] == [(1, 0), (0, 1)]
    assert len(stored(page)) == 1


LATER = '"engine":null,"emulate":true,'
BROKEN = {
    "half_json": ('{"format": "kto-mistral', "It is not whole JSON"),
    "other_json": ('{"columns": []}', "Format is missing"),
    "newer_json": (json.dumps(chat("x", version=5)), "written by a newer version"),
    "early_json": (
        json.dumps(chat("x", version=1)),
        "Engine of column 1 is not known here",
    ),
    "second_json": (
        json.dumps(chat("x", version=2)),
        "Emulate of column 1 is not known here",
    ),
    "late_json": (
        json.dumps({**first_version(chat("x")), "version": 2}),
        "Engine of column 1 is missing",
    ),
    "two_json": (json.dumps(chat("x", columns=chat("x")["columns"] * 2)), "exactly one column"),
    "empty_json": (json.dumps(chat("x", columns=[])), "Columns must be a list of 1 to 4"),
    "more_json": (json.dumps(chat("x", html="<b>")), "Html is not known here"),
    "deep_json": (
        json.dumps(chat("x", deep=[])).replace("[]}", "[" * 9_000 + "]" * 9_000 + "}"),
        "nested more than 50 levels deep",
    ),
    "text_md": ("# Shopping\n\n- milk", "neither JSON nor Markdown"),
    "none_md": ("", "neither JSON nor Markdown"),
    "cut_md": (
        '<!-- kto-mistral-playground {"version":1,"kind":"chat","title":"x"} -->\n'
        "<!-- column {oops} -->",
        "Line 2 was changed",
    ),
}


def test_broken_files_are_named_and_nothing_of_them_is_kept(page: Page) -> None:
    history(page)
    wrong = chat("x")
    wrong["columns"][0]["messages"][1]["state"] = "streaming"
    entry = {"version": 1, "revision": 1, "created": 1, "updated": 1, "renamed": False}
    half: dict[str, Any] = {
        "format": "kto-mistral-playground history",
        "version": 1,
        "exported": "2026-01-01",
    }
    half["entries"] = [{**entry, "id": "a", "record": chat("whole")}]
    half["entries"].append({**entry, "id": "b", "record": wrong})
    files = {name: text for name, (text, _) in BROKEN.items()}
    files["state_json"] = json.dumps(wrong)
    files["half_history_json"] = json.dumps(half)
    upload(page, **files, good_json=json.dumps(chat("Good one")))
    notice = page.locator("#history-notice")
    expect(notice).to_contain_text("Imported 1 entry.")
    expect(page.get_by_test_id("entry")).to_have_count(1)
    reasons = {name: reason for name, (_, reason) in BROKEN.items()}
    state = "State of message 2 of column 1 must be one of done, stopped, failed"
    reasons |= {"state_json": state, "half_history_json": f"Entry 2: {state}"}
    for name, reason in reasons.items():
        line = notice.locator("li").filter(has_text=f"{name.replace('_', '.')} was left out.")
        expect(line).to_contain_text(reason)
    assert len(stored(page)) == 1


def test_an_entry_of_a_date_that_no_calendar_has_is_listed_everywhere(page: Page) -> None:
    rows = history(page)
    entry = {"id": "late", "version": 1, "created": 9e300, "updated": 8.65e15, "renamed": False}
    file: dict[str, Any] = {"format": "kto-mistral-playground history", "version": 1}
    file |= {"exported": "2026-01-01", "entries": [{**entry, "record": chat("Late")}]}
    upload(page, late_json=json.dumps(file))
    expect(rows).to_contain_text("Late")
    page.get_by_role("button", name="Recent conversations").click()
    expect(page.locator("#masthead .menu-item").first).to_contain_text("January 1, 1970")


def test_a_markdown_files_answer_is_what_it_shows(page: Page) -> None:
    plant(page, chat("A question"))
    rows = history(page)
    expect(rows).to_have_count(1)
    markdown = saved(page, "More for the history", "Export all as Markdown")
    hidden = '<!-- assistant {"content":"something else","role":"user",'
    upload(page, other_md=markdown.replace("<!-- assistant {", hidden).replace("A q", "My q"))
    expect(rows).to_have_count(2)
    [column] = stored(page)[0]["record"]["columns"]
    said = [(each["role"], each["content"]) for each in column["messages"]]
    assert said == [("user", "My question"), ("assistant", "Answer to My question")]


@pytest.mark.parametrize("kind", ["chat", "comparison"])
def test_markup_in_a_record_is_text_everywhere(page: Page, kind: str) -> None:
    record = chat(NASTY, NASTY, kind=kind, title=NASTY)
    [column] = record["columns"]
    column["label"] = NASTY
    column["setting"].update(preset=NASTY, name=NASTY, stop=[NASTY], system=NASTY)
    column["setting"]["sampler"][NASTY] = 1
    receipt: dict[str, Any] = {
        "engine": NASTY,
        "model_id": NASTY,
        "model_sha": NASTY,
        "quantisation": NASTY,
        "preset": NASTY,
    }
    receipt |= {"sent": {NASTY: NASTY}, "prompt_tokens": 3, "dropped_turns": 1, "note": NASTY}
    receipt |= {"applied": {NASTY: {"how": NASTY, "reason": NASTY}}, "left_out": {NASTY: NASTY}}
    receipt |= {"edits": {NASTY: {"from": None, "to": 1}}, "system": NASTY, "prompt": NASTY}
    done: dict[str, Any] = {
        "finish_reason": NASTY,
        "generated_tokens": 1,
        "input_tokens": 3,
        "seed": 7,
    }
    done |= {"ttft_ms": 1.5, "duration_ms": 2, "tokens_per_second": None}
    answer = column["messages"][3]
    answer.update(content=NASTY, preset=NASTY, receipt=receipt, done=done, letter=NASTY)
    answer.update(chosen=True)
    problem = {"kind": NASTY, "message": NASTY, "retryable": False}
    column["messages"][1].update(state="failed", problem=problem, preset=None)
    history(page)
    upload(page, nasty_json=json.dumps(record))
    page.fill("#history-search", "onerror")
    expect(page.get_by_test_id("entry")).to_contain_text("<script>")
    choose(page, NASTY, "Rename")
    page.get_by_label("Title", exact=True).press("Enter")
    page.get_by_test_id("entry").locator(".entry-title").click()
    shown = page.locator("#chat" if kind == "chat" else "#comparison")
    expect(shown.locator('[data-role="assistant"]').last).to_contain_text("<script>")
    expect(shown.locator(".block-html").last).to_contain_text("onerror")
    shown.get_by_role("button", name="Receipt").click()
    expect(shown.locator(".receipt")).to_contain_text(NASTY)
    assert page.locator("img, #views script").count() == 0
    assert page.evaluate("window.hacked") is None
    current = call(page, "records/views.js", CURRENT)
    assert current["columns"][0]["messages"] == column["messages"]


def test_a_thousand_entries_are_drawn_as_they_are_needed(page: Page) -> None:
    plant(page, *(chat(f"Question {i} of many", f"More of {i}") for i in range(1000)))
    rows = history(page)
    expect(page.locator("#history-count")).to_have_text("1,000 entries")
    assert rows.count() < 400
    expect(rows.first).to_contain_text("Question 0 of many")
    page.fill("#history-search", "question 77")
    found = sum("77" in str(i) for i in range(1000))
    expect(page.locator("#history-count")).to_have_text(f"{found} of 1,000 entries")
    expect(rows).to_have_count(found)
    page.fill("#history-search", "")
    shown = rows.count()
    rows.last.scroll_into_view_if_needed()
    page.wait_for_function(
        "(shown) => document.querySelectorAll('.entry').length > shown", arg=shown
    )
    assert rows.count() < 1000


def test_on_a_phone_it_fits_and_can_be_touched(chromium: Browser, site: str) -> None:
    with opened(chromium, site + "/", **PHONE) as page:
        plant(page, chat(STORY * 3), chat("Hello!"))
        rows = history(page)
        expect(rows).to_have_count(2)
        page.get_by_role("button", name="More for “Hello!”").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        small = page.evaluate(
            """() => [...document.querySelectorAll('#history button, #history input')]
                .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43.5)
                .map(e => e.textContent || e.id)"""
        )
        assert small == []
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("button", name="Rename", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        field = page.get_by_label("Title", exact=True)
        expect(field).to_be_focused()
        field.press("Escape")
        expect(page.get_by_role("button", name="Hello!", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        expect(questions(page).locator(".body")).to_have_text("Hello!")
