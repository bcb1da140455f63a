"""Versions of answers and questions in a real browser: nothing that was written is ever lost."""

import json
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.conversations import answer as written
from tests.conversations import branched, record, setting
from tests.conversations import column as column_of
from tests.domain.test_blank import evaluated
from tests.pages import READY
from tests.ui.test_comparison_page import body as body_of
from tests.ui.test_comparison_page import column, compare
from tests.ui.test_comparison_page import finished as compared
from tests.ui.test_demo_page import made, visiting
from tests.ui.test_history_page import CURRENT, call, choose, history, saved, upload
from tests.ui.test_page import answers, ask, finished, growing, questions

pytestmark = pytest.mark.browser

STORY = "Tell me a story about a lighthouse."


def requests(page: Page, path: str = "/stream") -> list[Any]:
    """The bodies of the streams that the page asks for from now on."""
    bodies: list[Any] = []

    def note(request: Request) -> None:
        if request.url.endswith(path):
            bodies.append(request.post_data_json)

    page.on("request", note)
    return bodies


def said(body: Any) -> list[tuple[str, str]]:
    """The conversation of a request."""
    messages = body.get("messages") or body["panes"][0]["messages"]
    return [(each["role"], each["content"]) for each in messages]


def versions(message: Locator) -> Locator:
    return message.get_by_test_id("versions")


def current(page: Page) -> Any:
    return call(page, "records/views.js", CURRENT)


def alternate(body: Any) -> bool:
    roles = [role for role, _ in said(body) if role != "system"]
    return all(role == ("user", "assistant")[i % 2] for i, role in enumerate(roles))


def test_a_retry_adds_a_version_and_leaves_what_follows(page: Page) -> None:
    sent = requests(page)
    ask(page, "Hello!")
    finished(page)
    ask(page, "Thank you.")
    finished(page)
    first = current(page)["columns"][0]["messages"]
    answers(page).first.get_by_role("button", name="Retry").click()
    expect(answers(page)).to_have_count(1)
    finished(page)
    expect(versions(answers(page).first)).to_contain_text("2/2")
    assert said(sent[-1]) == [("user", "Hello!")]
    aside = page.locator(".aside")
    expect(aside).to_contain_text("2 messages that followed version 1")
    expect(aside).to_contain_text("Thank you.")
    [tree] = current(page)["columns"]
    assert tree["messages"][:4] == first  # with their receipts
    assert (tree["messages"][4]["after"], tree.get("shown")) == (0, None)
    page.set_viewport_size({"width": 1280, "height": 360})
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Jump to the latest").click()
    page.wait_for_function("document.querySelector('.jump').hidden")
    dock = "document.querySelector('#chat .dock').offsetHeight"
    end = "document.querySelector('#chat .log').getBoundingClientRect().bottom"
    # And not that of what followed another.
    assert 0 < page.evaluate(f"innerHeight - {dock} - {end}") < 60
    page.set_viewport_size({"width": 1280, "height": 720})
    seeds = [tree["messages"][i]["done"]["seed"] for i in (1, 4)]
    assert seeds[0] != seeds[1]

    versions(answers(page).first).get_by_role("button", name="Previous version").click()
    expect(answers(page)).to_have_count(2)
    expect(aside).to_have_count(0)
    expect(page.get_by_role("button", name="Previous version")).to_be_focused()
    page.keyboard.press("ArrowLeft")  # there is none before it
    page.keyboard.press("ArrowRight")
    expect(answers(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Next version")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Version 2 of 2")).to_have_count(1)
    for arrow in page.locator(".arrow").all():
        box = arrow.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24  # as WCAG 2.2 has it
    (left, right) = (page.locator(each).bounding_box() for each in ("#chat .log", "#chat .aside"))
    assert left is not None
    assert right is not None
    assert (left["x"], left["width"]) == (right["x"], right["width"])

    ask(page, "And now?")
    finished(page)
    expect(aside).to_have_count(0)
    second = tree["messages"][4]["content"]
    assert said(sent[-1]) == [("user", "Hello!"), ("assistant", second), ("user", "And now?")]

    questions(page).last.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the message").fill("What now?")
    page.keyboard.press("Enter")
    finished(page)
    assert said(sent[-1])[-2:] == [("assistant", second), ("user", "What now?")]
    expect(versions(questions(page).last)).to_contain_text("2/2")
    kept = current(page)
    assert [
        each["content"] for each in kept["columns"][0]["messages"] if each["role"] == "user"
    ] == [
        "Hello!",
        "Thank you.",
        "And now?",
        "What now?",
    ]

    page.reload()
    page.wait_for_selector(READY)
    finished(page)
    assert current(page) == kept
    title = kept["title"]
    history(page)
    one = saved(page, f"More for “{title}”", "Export as JSON")
    markdown = saved(page, f"More for “{title}”", "Export as Markdown")
    assert json.loads(one) == kept
    assert "**Answer, version 2 of 2** to “Hello!”" in markdown
    choose(page, title, "Delete")
    upload(page, one_json=one, one_md=markdown)
    expect(page.locator("#history-notice")).to_contain_text("1 was here already")
    page.get_by_role("tab", name="Chat", exact=True).click()
    page.get_by_role("button", name="New chat").click()
    history(page).first.get_by_role("button", name=title, exact=True).click()
    finished(page)
    assert current(page) == kept


def test_what_is_deleted_leaves_no_question_without_an_answer_and_comes_back(page: Page) -> None:
    sent = requests(page)
    ask(page, "Hello!")
    finished(page)
    ask(page, "Thank you.")
    finished(page)
    whole = current(page)["columns"]
    delete = answers(page).last.get_by_role("button", name="Delete")
    expect(delete).to_have_accessible_description("Delete the answer and its question")
    delete.click()
    expect(questions(page)).to_have_count(1)
    expect(page.locator("#notice")).to_contain_text("Deleted the answer and its question.")
    ask(page, "Name ten animals.")
    finished(page)
    assert alternate(sent[-1])
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(versions(questions(page).last)).to_contain_text("1/2")  # and what was said since stays
    assert current(page)["columns"][0]["messages"][:4] == whole[0]["messages"]

    answers(page).first.get_by_role("button", name="Retry").click()
    expect(answers(page)).to_have_count(1)
    finished(page)
    kept = current(page)["columns"]
    delete = answers(page).first.get_by_role("button", name="Delete")
    expect(delete).to_have_accessible_description("Delete this version of the answer")
    delete.click()
    expect(page.locator("#notice")).to_contain_text("Deleted this version of the answer.")
    expect(answers(page)).to_have_count(2)
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(answers(page)).to_have_count(1)
    assert current(page)["columns"] == kept
    page.get_by_role("button", name="Back to version 1").click()
    answers(page).first.get_by_role("button", name="Delete").click()
    expect(questions(page).last).to_contain_text(
        "Thank you."
    )  # it goes on behind the other version
    ask(page, "And now?")
    finished(page)
    assert alternate(sent[-1])
    assert said(sent[-1])[1][1] == kept[0]["messages"][-1]["content"]


def test_an_answer_is_begun_and_edited_by_its_reader_and_says_so(page: Page) -> None:
    sent = requests(page)
    page.get_by_role("button", name="Answer begins with…").click()
    expect(page.locator("#chat-beginning")).to_be_focused()
    page.fill("#chat-beginning", "Sure, my *ten* 🐑:\n")
    held: list[Route] = []
    page.route("**/api/stream", lambda route: held.append(route))
    ask(page, "Name ten animals.")
    expect(answers(page).locator("em")).to_have_text("ten")  # before the first token
    expect(answers(page)).to_have_attribute("data-state", "streaming")
    held[0].continue_()
    page.unroute("**/api/stream")
    begun = finished(page)
    assert said(sent[-1]) == [("user", "Name ten animals."), ("assistant", "Sure, my *ten* 🐑:")]
    assert begun.startswith("Sure, my ten 🐑:")
    expect(page.locator("#chat-beginning")).to_be_hidden()
    expect(answers(page)).to_contain_text("beginning given")
    answers(page).get_by_role("button", name="Receipt").click()
    receipt = answers(page).locator(".receipt")
    expect(receipt).to_contain_text("not written by the model: “Sure, my *ten* 🐑:”")
    receipt.get_by_role("tab", name="Prompt").click()
    expect(receipt.locator("pre")).to_contain_text("<|assistant|>\nSure, my *ten* 🐑:")
    answers(page).get_by_role("button", name="Retry").click()
    expect(versions(answers(page))).to_contain_text("2/2")
    assert finished(page).startswith("Sure, my ten 🐑:")
    assert said(sent[-1])[-1] == ("assistant", "Sure, my *ten* 🐑:")

    answers(page).get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the answer").fill("My *own* words, for")
    page.keyboard.press("Control+Enter")
    expect(versions(answers(page))).to_contain_text("3/3")
    expect(answers(page).locator("em")).to_have_text("own")
    expect(answers(page)).to_contain_text("edited by hand")
    expect(answers(page)).not_to_contain_text("beginning given")
    answers(page).get_by_role("button", name="Receipt").click()
    expect(answers(page).locator(".receipt")).to_contain_text("edited by hand")
    one, two, three = current(page)["columns"][0]["messages"][1:]
    assert [each.get("prefilled") for each in (one, two, three)] == [17, 17, None]
    assert [each.get("rewritten") for each in (one, two, three)] == [None, None, True]
    assert three["receipt"] == two["receipt"]
    answers(page).get_by_role("button", name="Continue").click()
    expect(answers(page)).not_to_have_attribute("data-state", "streaming")
    assert said(sent[-1])[-1] == ("assistant", "My *own* words, for")
    expect(answers(page)).to_contain_text("edited by hand")
    expect(versions(answers(page))).to_contain_text("3/3")


def test_while_an_answer_is_written_and_over_a_reload_every_version_stays(page: Page) -> None:
    ask(page, "Hello!")
    text = finished(page)
    ask(page, STORY)
    growing(page)
    for name in ("Retry", "Delete"):
        answers(page).first.get_by_role("button", name=name).click(force=True)
        expect(page.locator("#notice")).to_contain_text("Stop the answer first.")
        expect(page.locator("#notice")).to_have_role("status")
    page.press("body", "Escape")
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    story = answers(page).last.locator(".body").inner_text()
    answers(page).first.get_by_role("button", name="Retry").click()
    expect(answers(page)).to_have_count(1)
    finished(page)
    ask(page, STORY)
    growing(page)
    previous = versions(answers(page).first).get_by_role("button", name="Previous version")
    previous.click(force=True)
    expect(page.locator("#notice")).to_contain_text("Stop the answer first.")
    page.reload()
    page.wait_for_selector(READY)
    expect(answers(page).last).to_have_attribute("data-state", "stopped")
    expect(versions(answers(page).first)).to_contain_text("2/2")
    versions(answers(page).first).get_by_role("button", name="Previous version").click()
    expect(answers(page)).to_have_count(2)
    assert answers(page).first.locator(".body").inner_text() == text
    assert answers(page).last.locator(".body").inner_text().split() == story.split()


def test_a_retry_in_a_column_acts_on_its_own_answer(page: Page) -> None:
    sent = requests(page)
    compare(page)
    page.fill("#compare-prompt", "Hello!")
    page.press("#compare-prompt", "Enter")
    compared(page)
    page.get_by_role("button", name="system text, stop, beginning").click()
    page.fill("#compare-beginning", "Well, ")
    page.fill("#compare-prompt", "Thank you.")
    page.press("#compare-prompt", "Enter")
    compared(page)
    expect(page.locator("#compare-beginning")).to_have_value("")
    for pane in sent[-1]["panes"]:
        assert pane["messages"][2:] == [
            {"role": "user", "content": "Thank you."},
            {"role": "assistant", "content": "Well,"},
        ]
    last = body_of(page, 1)
    assert last.startswith("Well,")
    pinned = sent[-1]["panes"][1]["seed"]
    said_there = column(page, 1).locator('[data-testid="message"][data-role="assistant"]')
    said_there.first.get_by_role("button", name="Retry").click()
    expect(said_there).to_have_count(1)
    compared(page)
    assert said(sent[-1]) == [("user", "Hello!")]
    assert sent[-1]["panes"][0]["seed"] != pinned
    expect(column(page, 1).locator(".aside")).to_contain_text(last.split("\n")[0][:20])
    said_there.first.get_by_role("button", name="Seed of another version").click()
    page.get_by_role("button", name="Same seed").click()
    expect(versions(said_there.first)).to_contain_text("3/3")
    compared(page)
    assert sent[-1]["panes"][0]["seed"] == sent[-2]["panes"][0]["seed"]
    column(page, 1).get_by_role("button", name="Back to version 1").click()
    assert body_of(page, 1) == last
    record = current(page)
    assert [len(each["messages"]) for each in record["columns"]] == [4, 6, 4]
    begun = [each["messages"][3].get("prefilled") for each in record["columns"]]
    assert begun == [5, 5, 5]
    page.reload()
    page.wait_for_selector(READY)
    compare(page)
    compared(page)
    assert current(page) == record
    said_there.first.get_by_role("button", name="Continue in chat").click()
    chat = page.locator('#chat [data-testid="message"][data-role="assistant"]')
    expect(chat).to_have_count(1)
    expect(versions(chat)).to_contain_text("1/3")


def test_a_snapshot_holds_every_version_and_asks_again_for_the_one_that_is_shown(
    page: Page, site: str
) -> None:
    tree = branched()
    messages = tree["columns"][0]["messages"]
    messages += [written("Third", after=0) for _ in range(2)]
    for message in messages:
        if message["role"] == "assistant":
            message["done"] = {**message["done"], "seed": 7}
    with httpx.Client(base_url=site, trust_env=False) as client:
        token = client.post("/api/shares", json={"record": tree}).json()["token"]
    sent = requests(page)
    page.goto(f"{site}/s/{token}")
    shown = page.locator('.frozen [data-testid="message"]')
    expect(shown).to_have_count(4)
    expect(shown.last).to_contain_text("edited by hand")
    versions(shown.nth(1)).get_by_role("button", name="Next version").click()
    expect(shown).to_have_count(2)
    expect(shown.last).to_contain_text("Well, second")
    expect(shown.last).to_contain_text("beginning given")
    expect(page.locator(".frozen .aside")).to_contain_text("And then?")
    expect(page.locator(".statistics tbody tr")).to_have_count(1)
    page.get_by_role("button", name="again and show what changed").click()
    expect(page.locator(".changes li").first).to_be_visible()
    assert said(sent[-1]) == [("user", "Hi")]
    page.get_by_role("button", name="Hide the new answer").click()
    versions(shown.nth(1)).get_by_role("button", name="Next version").click()
    expect(shown.last).to_contain_text("Third")
    page.get_by_role("link", name="Continue from here").click()
    page.wait_for_selector(READY)
    expect(versions(answers(page).first)).to_contain_text("1/4")
    expect(answers(page)).to_have_count(2)


def test_another_version_in_a_demo_has_a_new_seed_in_every_column(
    chromium: Browser, site: str
) -> None:
    with httpx.Client(base_url=site, trust_env=False) as owner:
        token = made(owner, panes=[{"preset": name, "seed": 7} for name in ("min-p", "alpacaeval")])
    with visiting(chromium, f"{site}/d/{token}") as page:
        sent = requests(page)
        page.fill("#demo-prompt", "Hello!")
        page.press("#demo-prompt", "Enter")
        for pane in (0, 1):
            expect(answers(page).nth(pane)).to_have_attribute("data-state", "done")
        seeds = page.locator(".facts-line").filter(has_text="seed 7")
        expect(seeds).to_have_count(2)
        answers(page).first.get_by_role("button", name="Retry").click()
        expect(seeds).to_have_count(0)
        for pane in (0, 1):
            expect(answers(page).nth(pane)).to_have_attribute("data-state", "done")
            expect(versions(answers(page).nth(pane))).to_contain_text("2/2")
        assert [body["new_seed"] for body in sent[1:]] == [True]
        expect(page.locator("#demo-send")).to_be_visible()
        versions(answers(page).nth(1)).get_by_role("button", name="Previous version").click()
        expect(seeds).to_have_count(2)  # the columns stay at one turn
        page.reload()
        page.wait_for_selector(READY)
        expect(page.locator("#demo-left")).to_contain_text("tokens left")
        expect(seeds).to_have_count(2)
        page.get_by_role("button", name="Seed of another version").first.click()
        page.get_by_role("button", name="Same seed: 7").click()
        expect(versions(answers(page).first)).to_contain_text("3/3")
        expect(seeds).to_have_count(2)


# Trees that are changed at random hold together: what is shown is a branch, the data makes the same
# tree again, and whatever was deleted comes back.
RANDOM = """(() => {
    let state = 7;
    const draw = (n) => { state = (state * 48271) % 2147483647; return state % n; };
    const text = (tree) => JSON.stringify(tree.branches);
    let count = 0;
    const say = (role) => ({ role, content: String(count += 1) });
    const changes = {
        add(tree) { tree.add(say('user')); tree.add(say('assistant')); },
        vary(tree, some) {
            tree.add(say(some.role), some);
            if (some.role === 'user') tree.add(say('assistant'));
        },
        leaf(tree, some) {
            const all = tree.versions(some);
            tree.choose(all[draw(all.length)]);
        },
        remove(tree, some) {
            const before = JSON.parse(text(tree));
            const { gone, restore } = tree.remove(some);
            if (tree.path.some((each) => gone.includes(each))) return 'what is gone is shown';
            const roles = tree.path.map(({ role }) => role);
            if (roles.some((role, i) => role !== ['user', 'assistant'][i % 2])) return 'orphan';
            if (draw(2)) return null;
            restore();
            return m.contains(tree.branches.messages, before.messages) ? null : 'not restored';
        },
    };
    for (let round = 0; round < 40; round += 1) {
        const tree = new m.Tree();
        for (let step = 0; step < 40; step += 1) {
            const { path } = tree;
            const names = path.length < 2 ? ['add'] : ['add', 'vary', 'leaf', 'remove'];
            const name = names[draw(names.length)];
            const wrong = changes[name](tree, path[draw(path.length || 1)]);
            if (wrong) return `${wrong}: ${text(tree)}`;
            const copy = JSON.parse(text(tree));
            m.checkTree(copy, '');
            if (!m.contains(tree.branches.messages, copy.messages)) return 'not contained';
            const again = new m.Tree(copy.messages, copy.shown);
            if (text(again) !== text(tree)) return `another tree: ${text(tree)} ${text(again)}`;
            if (JSON.stringify(again.path) !== JSON.stringify(tree.path)) return 'another branch';
        }
    }
    return 'held';
})()"""

# Lists that are no trees, or large ones.
LISTS = """(() => {
    const refused = (messages, shown) => {
        try { m.checkTree({ messages, shown }, 'columns[0]'); return null; }
        catch ({ message }) { return message; }
    };
    const says = (content, after) => (
        { role: 'assistant', content, ...(after === undefined ? {} : { after }) });
    const many = (after) => Array.from({ length: 10000 }, (_, i) => says(String(i), after));
    const sizes = [[says('0', null), ...many(0)], many()].map((list) => {
        const tree = new m.Tree(list);
        const { path, branches: { messages } } = tree;
        return [path.length, messages.length, tree.versions(path.at(-1)).length];
    });
    return [
        refused([says('a', 0)]), refused([says('a', 1), says('b', 0)]), refused([says('a')], 1),
        refused([says('a', null), says('b', null)], 0), sizes,
        m.contains([says('ab'), says('c', 0), says('d', 0)], [says('a'), says('d', 0)]),
        m.contains([says('a')], [says('a'), says('b', 0)]),
        [1, 2].map((seed) => m.contains(
            [{ ...says('a'), done: { seed: 1 } }], [{ ...says('a'), done: { seed } }])),
    ];
})()"""


TURNS = """m.conversation([
    { role: 'user', content: 'One' }, { role: 'assistant', content: '' },
    { role: 'user', content: 'Two' }, { role: 'assistant', content: 'Three' },
], null, 'Be kind.')"""


def test_no_request_has_two_questions_in_a_row(page: Page) -> None:
    assert call(page, "answers/turns.js", TURNS) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One\n\nTwo"},
        {"role": "assistant", "content": "Three"},
    ]


def test_the_tree_of_a_conversation_holds_together(page: Page) -> None:
    assert call(page, "lib/tree.js", RANDOM) == "held"
    circle, mutual, beyond, fine, sizes, *contained = call(page, "lib/tree.js", LISTS)
    assert circle == "Message 1 of column 1 must follow a message before it."
    assert mutual == circle
    assert beyond == "Column 1 must show a message that it has."
    assert fine is None
    assert sizes == [[2, 10_001, 10_000], [10_000, 10_000, 1]]
    assert contained == [True, False, [True, False]]


# Counts the records that are made of what is shown.
RECORDS = """() => {
    const clone = structuredClone;
    window.records = 0;
    window.structuredClone = (value) => {
        if (value?.format) window.records += 1;
        return clone(value);
    };
}"""


def test_an_import_that_is_no_tree_is_refused_in_words(page: Page) -> None:
    history(page)
    broken = branched()
    broken["columns"][0]["messages"][4]["after"] = 4
    wrong = branched()
    wrong["columns"][0]["setting"]["sampler"] = {"top_p": "high"}
    large = branched(title="Large")
    bare = {"after": 0, "receipt": None, "done": None}
    large["columns"][0]["messages"] += [written(str(i), **bare) for i in range(3000)]
    files = {"broken_json": broken, "wrong_json": wrong, "large_json": large}
    upload(page, **{name: json.dumps(record) for name, record in files.items()})
    notice = page.locator("#history-notice")
    expect(notice).to_contain_text("Message 5 of column 1 must follow a message before it.")
    expect(notice).to_contain_text("top_p of column 1 must be a number.")
    expect(notice).to_contain_text("Imported 1 entry.")
    page.evaluate(RECORDS)
    page.get_by_role("button", name="Large", exact=True).click()
    expect(versions(answers(page).first)).to_contain_text("1/3002")
    assert page.evaluate("window.records") == 1  # it is long
    answers(page).first.get_by_role("button", name="Delete").click()
    expect(versions(answers(page).first)).to_contain_text("1/3001")


# How often a record's messages are looked at while a text is made of it, for so many turns with two
# versions each.
LOOKS = """((turns) => {
    const says = (role, after) => ({
        role, content: 'x', state: 'done', ...(after === undefined ? {} : { after }) });
    const list = [];
    for (let i = 0; i < turns; i += 1) {
        list.push(says('user', list.length > 0 ? list.length - 1 : undefined));
        list.push(says('assistant'), says('assistant', list.length - 1));
    }
    let looks = 0;
    const messages = new Proxy(list, { get(target, name) {
        if (typeof name === 'string' && /^[0-9]+$/.test(name)) looks += 1;
        return Reflect.get(target, name, target);
    } });
    const setting = { sampler: {}, max_new_tokens: null, seed: null, stop: [], system: '',
        engine: null };
    m.recordMarkdown({ kind: 'chat', title: 'x', columns: [{ label: 'x', setting, messages }] });
    return looks / turns;
})(a[0])"""


def test_a_text_of_many_versions_takes_no_more_for_each_than_of_few(page: Page) -> None:
    few, many = (call(page, "records/record_text.js", LOOKS, turns) for turns in (20, 400))
    assert many < 1.2 * few


# Run in a page: a stream stays open after its last event until `release` is called.
HELD = """() => {
    const fetched = window.fetch;
    window.fetch = async (...request) => {
        const response = await fetched(...request);
        if (!String(request[0]).endsWith('api/stream')) return response;
        const held = new Promise((done) => { window.release = done; });
        const body = response.body.pipeThrough(new TransformStream({ flush: () => held }));
        return new Response(body, { status: response.status, headers: response.headers });
    };
}"""


def test_versions_are_leafed_through_while_a_stream_ends(page: Page) -> None:
    page.evaluate(HELD)
    ask(page, "Hello!")
    finished(page)
    answers(page).get_by_role("button", name="Retry").click()
    finished(page)
    page.get_by_role("button", name="Previous version").click()
    expect(versions(answers(page))).to_contain_text("1/2")
    expect(page.locator("#notice")).to_be_hidden()
    ask(page, "Thank you.")
    finished(page)
    page.evaluate("window.release()")
    expect(page.locator("#chat-send")).to_be_visible()


def test_what_is_being_edited_outlives_a_retry_of_another_message(page: Page) -> None:
    for text in ("Hello!", "Thank you."):
        ask(page, text)
        finished(page)
    for message, label in (
        (questions(page).last, "Edit the message"),
        (answers(page).last, "Edit the answer"),
    ):
        message.hover()
        message.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_label(label).fill(f"{label}, half written")
    answers(page).first.get_by_role("button", name="Retry").click()
    expect(answers(page)).to_have_count(1)
    finished(page)
    expect(page.locator(".aside textarea")).to_have_count(0)
    page.get_by_role("button", name="Back to version 1").click()
    for label in ("Edit the message", "Edit the answer"):
        expect(page.get_by_label(label)).to_have_value(f"{label}, half written")
    page.get_by_label("Edit the message").press("Escape")  # which drops nothing
    questions(page).last.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_label("Edit the message")).to_have_value("Edit the message, half written")
    page.get_by_role("button", name="Cancel").last.click()
    page.get_by_role("button", name="Send").first.click()
    finished(page)
    expect(versions(questions(page).last)).to_contain_text("2/2")
    expect(questions(page).last).to_contain_text("Edit the message, half written")


def test_a_conversation_is_called_as_the_question_that_is_shown() -> None:
    asked = [{"role": "user", "content": text, "after": None} for text in ("First?", "Second?")]
    told = json.dumps(
        [[{"messages": asked}], [{"messages": asked, "shown": 0}], [{"messages": []}]]
    )
    titles = evaluated("records/record_shape.js", f"{told}.map(it.titleOf)")
    assert titles == ["Second?", "First?", "Untitled"]


def question(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def chat(title: str, *messages: dict[str, Any]) -> str:
    """A file of a chat."""
    asked = setting(seed=None, stop=[])
    return json.dumps(record({**column_of(*messages), "setting": asked}, title=title))


def turns(name: str, count: int, **first: Any) -> list[dict[str, Any]]:
    """So many messages in a row, with their numbers; first: more fields of the first one."""
    bare: dict[str, Any] = {"receipt": None, "done": None}
    row = [
        written(f"{name} {i}", **bare) if i % 2 else question(f"{name} {i}") for i in range(count)
    ]
    return [{**row[0], **first}, *row[1:]]


def test_a_conversation_of_very_many_turns_is_drawn_from_its_end(page: Page) -> None:
    rendered, sent = requests(page, "/render"), requests(page)
    history(page)
    upload(page, long_json=chat("Long", *turns("turn", 610)))
    page.get_by_role("button", name="Long", exact=True).click()
    drawn, earlier = page.get_by_test_id("message"), page.get_by_role("button", name="Show earlier")
    expect(drawn).to_have_count(210)
    expect(drawn.first).to_have_text("turn 400")
    answers(page).first.get_by_role("button", name="Delete").click()
    expect(drawn).to_have_count(208)
    page.get_by_role("button", name="Undo").click()
    expect(drawn).to_have_count(210)
    earlier.click()
    expect(drawn).to_have_count(410)
    ask(page, "Hello!")
    finished(page)
    expect(drawn).to_have_count(412)
    assert said(sent[-1])[::610] == [("user", "turn 0"), ("user", "Hello!")]
    assert not any("turn 199" in each["text"] for each in rendered)
    earlier.click()
    expect(drawn).to_have_count(612)
    expect(drawn.first).to_have_text("turn 0")
    expect(drawn.first).to_be_focused()
    expect(earlier).to_have_count(0)
    expect(answers(page).first.locator(".block-html")).to_have_text("turn 1")


def test_what_followed_another_version_is_drawn_from_its_beginning(page: Page) -> None:
    first = [question("Which?"), *turns("kept", 301, after=0)[1:]]
    again = written("again", after=0, receipt=None, done=None)
    history(page)
    upload(page, wide_json=chat("Wide", *first, again))
    page.get_by_role("button", name="Wide", exact=True).click()
    aside = page.locator(".aside")
    expect(aside).to_contain_text("299 messages that followed version 1")
    expect(aside.locator(".message")).to_have_count(200)
    expect(aside).to_contain_text("99 more messages, which the version itself shows.")
    versions(answers(page).first).get_by_role("button", name="Previous version").click()
    expect(page.get_by_test_id("message")).to_have_count(301)
    expect(
        versions(answers(page).first).get_by_role("button", name="Previous version")
    ).to_be_focused()
