"""What the page says of parameters that are emulated, and how emulation is switched off."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.ui.page import static_version
from tests.conversations import DONE, RECEIPT
from tests.pages import LISTENING, MODULE, opened, serve
from tests.servers import stand_in
from tests.ui.test_engine_page import Said
from tests.ui.test_page import answers, finished
from tests.wrong_tokens import TEXT, wrong_tokens

EMULATED = {"how": "emulated", "reason": "It is applied to the tokens that TGI writes."}
EMULATED_HERE = ("frequency_penalty", "presence_penalty", "min_p")
NEEDS = "Needs min_p, which this engine does not apply without emulation"


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    with stand_in() as engine, serve(engine.url) as site:
        yield site.url


def how(page: Page, parameter: str) -> Locator:
    return page.locator(f'.preset:visible [data-parameter="{parameter}"] .how')


def asked(page: Page, act: Any) -> list[dict[str, Any]]:
    """The panes of the request that this makes."""
    with page.expect_request("**/api/stream") as sent:
        act()
    panes: list[dict[str, Any]] = json.loads(sent.value.post_data or "")["panes"]
    return panes


def test_the_switch_is_there_where_something_is_emulated(chromium: Browser, stock: str) -> None:
    with opened(chromium, stock + "/") as page:
        said = Said(page)
        switch = page.get_by_role("checkbox", name="emulate what the engine lacks")
        said.now(applied={each: {"how": "native", "reason": ""} for each in EMULATED_HERE})
        expect(switch).to_be_hidden()
        said.now(applied={"min_p": EMULATED})
        expect(switch).to_be_checked()
        tab = page.get_by_role("tab", name="Creative")
        tab.click()
        warning = page.locator(".preset:visible .warning")
        expect(tab).not_to_have_attribute("aria-description", NEEDS)
        expect(warning).to_be_hidden()
        page.locator("#chat-prompt").fill("Hi")
        [pane] = asked(page, page.locator("#chat-send").click)
        assert "emulate" not in pane, "on is what a request means by itself"

        switch.uncheck()
        expect(tab).to_have_attribute("aria-description", NEEDS)
        expect(warning).to_have_text(
            "This engine does not apply min_p without emulation: the answer is made without."
        )
        expect(how(page, "min_p")).to_have_text("off")
        expect(page.locator("#chat-stop")).to_be_hidden()
        page.locator("#chat-prompt").fill("Hi")
        [pane] = asked(page, page.locator("#chat-send").click)
        assert pane["emulate"] is False
        expect(page.locator("#chat-stop")).to_be_hidden()
        page.get_by_role("button", name="Receipt").last.click()
        expect(page.locator(".receipt")).to_contain_text("switched off")

        expect(page).to_have_url(re.compile("emulate:off"))
        address = page.url
        page.reload()
        expect(page.locator("#emulate")).not_to_be_checked()
        with opened(chromium, stock + "/") as other:
            other.goto(address)
            expect(other.locator("#emulate")).not_to_be_checked()


def test_a_column_has_a_switch_of_its_own(chromium: Browser, stock: str) -> None:
    with opened(chromium, stock + "/") as page:
        Said(page).now(applied={"min_p": EMULATED})
        page.get_by_role("tab", name="Compare").click()
        column = page.get_by_role("group", name="Column 3 of 3")
        warning = column.locator(".warning")
        expect(warning).to_be_hidden()
        column.locator(".values summary").click()
        column.get_by_role("checkbox").uncheck()
        expect(column.locator(".values summary")).to_contain_text("emulation off")
        expect(warning).to_have_text("Not applied without emulation: min_p.")
        page.locator("#compare-prompt").fill("Hi")
        panes = asked(page, page.locator("#compare-send").click)
        assert [pane.get("emulate") for pane in panes] == [None, None, False]


RECEIPT_TEXT = """async ([path, receipt, done, emulation]) => {
  const { receiptView, takeReceipt } = await import(path);
  const view = receiptView({ receipt: takeReceipt(receipt), done, emulation }, () => []);
  document.body.replaceChildren(view);
}"""


@pytest.mark.parametrize(
    ("bound", "error"),
    [(0, "exact"), (0.00041, "at most 0.00041 a token on average, as total variation distance")],
)
def test_a_receipt_says_what_the_emulation_took(
    chromium: Browser, stock: str, bound: float, error: str
) -> None:
    receipt = {**RECEIPT, "prompt": "<|user|>\nHi\n<|assistant|>\n", "sent": {"seed": 7}}
    done = {**DONE, "emulation": {**DONE["emulation"], "bound": bound}}
    with chromium.new_page() as page:
        page.goto(stock + "/livez")
        path = f"/ui/{static_version()}/answers/receipt.js"
        page.evaluate(RECEIPT_TEXT, [path, receipt, done])
        shown = page.locator(".receipt")
        for words in (
            "top_p0.95",
            "restarts3",
            "accepted93.8 % of the engine’s 48 tokens",
            f"error{error}",
            "added time0.04 s",
            "rereads1 restart read the text so far in other tokens",
            "given upafter 30 tokens: the rest is the engine’s own",
        ):
            expect(shown).to_contain_text(words)
        shown.get_by_role("tab", name="Code").click()
        expect(shown).to_contain_text("the engine itself, which does not get top_p")
        # Of the parameters that were asked for, and of no other.
        ways = {"top_p": "It comes last.", "presence_penalty": "It counts the prompt."}
        applied = {name: {"how": "native", "reason": each} for name, each in ways.items()}
        page.evaluate(RECEIPT_TEXT, [path, {**receipt, "applied": applied, "asked": {"top_p": 1}}])
        expect(shown).to_contain_text("treats what was asked fortop_pIt comes last.")
        expect(shown).not_to_contain_text("presence_penalty")
        # As of one that failed: the same figures, without those of its end.
        page.evaluate(RECEIPT_TEXT, [path, receipt, None, done["emulation"]])
        expect(shown).to_contain_text(f"error{error}")
        expect(shown).not_to_contain_text("finish reason")


NOTICES = """async (path) => {
  const { Pane } = await import(path);
  const { newAnswer } = await import(path.replace("pane.js", "versions.js"));
  const pane = new Pane(document.createElement('div'), { presetName: (name) => name });
  document.body.replaceChildren(pane.log);
  pane.add({ role: 'user', content: 'Hi' });
  const answer = pane.add(newAnswer());
  const said = () => [...pane.log.querySelectorAll('.remark')].map((each) => each.textContent);
  for (const text of ['One.', 'Two.']) pane.receive({ name: 'notice', data: { pane: 0, text } });
  const writing = said();
  pane.receive({ name: 'error', data: { pane: 0, kind: 'stopped', message: '', retryable: true } });
  return [writing, said(), answer.notices];
}"""


def test_a_notice_is_shown_while_the_answer_goes_on_and_stays(
    chromium: Browser, stock: str
) -> None:
    with chromium.new_page() as page:
        page.goto(stock + "/livez")
        found = page.evaluate(NOTICES, f"/ui/{static_version()}/answers/pane.js")
    assert found == [["One.", "Two."]] * 3


def test_the_three_presets_carry_no_warning_on_stock_tgi(chromium: Browser, stock: str) -> None:
    with opened(chromium, stock + "/") as page:
        for name in ("Balanced", "Focused", "Creative"):
            tab = page.get_by_role("tab", name=name)
            tab.click()
            expect(page.locator(".preset:visible .warning")).to_be_hidden()
            assert not tab.get_attribute("aria-description")
            words = [how(page, each).inner_text() for each in EMULATED_HERE]
            assert words == ["emulated"] * 3
            levels = page.locator(".preset:visible .how").evaluate_all(
                "all => all.map((e) => e.className)"
            )
            assert not any("unsupported" in each for each in levels)


def test_no_seed_is_promised_that_repeats_only_alone(chromium: Browser, stock: str) -> None:
    time = "only if nothing else is being generated at the same time"
    together = f"A seed repeats an answer here {time}."
    with opened(chromium, stock + "/") as page:
        said = Said(page)
        alone = f"The same seed repeats {time}, for anybody."
        expect(page.locator("#seed-note")).to_have_text(alone)
        page.get_by_role("tab", name="Compare").click()
        note = page.locator("#compare-seed-note")
        expect(note).to_have_text(together)
        said.now(engine={"seeds": {"repeat": "always", "condition": ""}})
        expect(note).to_be_hidden()
        said.now(engine={"seeds": {"repeat": "never", "condition": ""}})
        expect(note).to_have_text("The same seed does not repeat its answer here.")
        said.now()
        page.check("#compare-blind")
        page.locator("#compare-prompt").fill("Hi")
        page.locator("#compare-send").click()
        expect(page.get_by_role("button", name="Tie")).to_be_visible()
        expect(page.locator(".ballot small")).to_have_text(together)


def test_an_emulated_answer_is_asked_for_again(chromium: Browser, stock: str) -> None:
    """In the tab Compare, by its trials, and from a snapshot."""
    with opened(chromium, stock + "/") as page:
        page.evaluate(LISTENING)
        page.get_by_role("tab", name="Compare").click()
        column = page.get_by_role("group", name="Column 3 of 3")
        expect(column).to_be_visible()
        page.locator("#compare-seed").fill("3")
        page.locator("#compare-prompt").fill("Name two animals.")
        page.locator("#compare-send").click()
        expect(column.get_by_role("button", name="Retry")).to_be_visible()
        column.get_by_role("button", name="Retry").click()
        expect(page.locator("#compare-send")).to_be_visible()
        column.get_by_role("button", name="Receipt").click()
        column.get_by_role("tab", name="Code").click()
        expect(column.locator(".receipt")).to_contain_text("The others ask the engine itself")
        column.get_by_role("tab", name="playground").click()
        expect(column.locator(".receipt pre")).to_contain_text("'min_p': 0.1")
        column.get_by_role("button", name="Receipt").click()
        page.get_by_role("button", name="More for the comparison").click()
        page.get_by_role("button", name="Try several seeds…").click()
        page.get_by_label("answers per column").select_option("1")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("button", name="Start again")).to_be_visible()
        page.keyboard.press("Escape")
        page.wait_for_function("() => document.querySelectorAll('dialog[open]').length === 0")
        page.wait_for_function("() => window.received.split('event: done').length === 8")
        took = re.findall(r'"emulation":\{"parameters":(.*?),"restarts"', page.evaluate("received"))
        assert took == ['["min_p"]'] * 3, "the column's, the column's again, and its trial"

        record = page.evaluate(RECORD)
        [*_, frozen] = record["columns"]
        assert frozen["messages"][-1]["done"]["emulation"]["parameters"] == ["min_p"]
        alone = {**record, "kind": "chat", "columns": [frozen]}
        changed = json.loads(json.dumps(alone))
        changed["columns"][0]["messages"][-1]["content"] = "Cats and dogs."
        for shared, outcome in ((alone, "Same text."), (changed, "Another text")):
            token = page.request.post(f"{stock}/api/shares", data={"record": shared}).json()[
                "token"
            ]
            page.goto(f"{stock}/s/{token}")
            page.get_by_role("button", name="Run again and show what changed").click()
            expect(page.locator(".outcome")).to_contain_text(outcome)
            expect(page.locator(".changes li").first).to_have_text(
                "Model, engine, values, seed and prompt are the same."
            )
            page.locator(".again").get_by_role("button", name="Receipt").click()
            expect(page.locator(".again .receipt")).to_contain_text("min_p0.1restarts")
        expect(page.locator(".unrepeated")).to_contain_text("only while it writes nothing else")


RECORD = f"""async () => {{
  const {{ comparisonRecord }} = await ({MODULE})('records/records.js');
  const {{ viewOf }} = await ({MODULE})('records/views.js');
  return comparisonRecord(await viewOf('comparison'));
}}"""


def test_a_longer_answer_is_asked_for_again_as_long(chromium: Browser, stock: str) -> None:
    sent = {"max_new_tokens": 1024, "seed": 7, "stop": []}
    receipt = {**RECEIPT, "sent": sent, "max_new_tokens": 2000, "applied": {}}
    said = [{"role": "user", "content": "Hi"}, {"content": "", "receipt": receipt}]
    setting: dict[str, Any] = {
        "sampler": {},
        "stop": [],
        "system": "",
        "seed": None,
        "max_new_tokens": None,
    }
    with chromium.new_page() as page:
        page.goto(stock + "/livez")
        module = f"/ui/{static_version()}/answers/request_again.js"
        again = "async ([path, column]) => (await import(path)).paneAgain(column, [])"
        pane = page.evaluate(again, [module, {"messages": said, "setting": setting}])
    assert pane["max_new_tokens"] == 2000


def test_on_a_phone_a_thumb_finds_what_is_emulated(chromium: Browser, stock: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(chromium, stock + "/", **phone) as page:
        page.locator(".drawer-open").click()
        asks = [page.get_by_role("button", name=f"What {each} does") for each in EMULATED_HERE]
        switch = page.get_by_text("emulate what the engine lacks")
        for target in (*asks, switch):
            expect(target).to_be_visible()
            # Laid out: on the screen it is moving yet, and what is measured there is rounded.
            assert target.evaluate("target => target.offsetHeight") >= 44
        asks[-1].tap()
        expect(page.locator("#field-help")).to_contain_text("TGI has no min_p")


def test_a_copied_answer_is_the_text_to_the_last_byte(chromium: Browser) -> None:
    allowed = {"permissions": ["clipboard-read", "clipboard-write"]}
    with (
        wrong_tokens() as engine,
        serve(engine.url, emulation_restarts=1) as site,
        opened(chromium, site.url + "/", **allowed) as page,
    ):
        page.get_by_role("tab", name="Creative").click()
        expect(how(page, "min_p")).to_have_text("emulated")
        page.locator("#chat-prompt").fill("Go.")
        page.locator("#chat-send").click()
        finished(page)
        answers(page).locator(".actions").get_by_role("button", name="Copy").click()
        page.evaluate(
            """() => setInterval(async () => {
                window.copied = await navigator.clipboard.readText();
            }, 50)"""
        )
        page.wait_for_function("text => window.copied === text", arg=TEXT)
