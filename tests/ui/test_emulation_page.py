"""What the page says of parameters that are emulated, and how emulation is switched off."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from playground.ui.page import static_version
from tests.conversations import DONE, RECEIPT
from tests.pages import opened, serve
from tests.servers import stand_in
from tests.ui.test_engine_page import Said

EMULATED = {"how": "emulated", "reason": "It is applied to the tokens that TGI writes."}
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
        lacking = ("frequency_penalty", "presence_penalty", "min_p")
        said.now(applied={name: {"how": "native", "reason": ""} for name in lacking})
        expect(switch).to_be_hidden()
        said.now(applied={"min_p": EMULATED})
        expect(switch).to_be_checked()
        tab = page.get_by_role("tab", name="Min-p")
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
        expect(how(page, "min_p").locator("summary")).to_have_text("off")
        expect(page.locator("#chat-stop")).to_be_hidden()
        page.locator("#chat-prompt").fill("Hi")
        [pane] = asked(page, page.locator("#chat-send").click)
        assert pane["emulate"] is False
        expect(page.locator("#chat-stop")).to_be_hidden()
        page.get_by_role("button", name="Receipt").last.click()
        expect(page.locator(".receipt")).to_contain_text("switched off")

        address = page.url
        assert "emulate:off" in address
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


RECEIPT_TEXT = """async ([path, receipt, done]) => {
  const { receiptView, takeReceipt } = await import(path);
  const view = receiptView({ receipt: takeReceipt(receipt), done }, () => []);
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


NOTICES = """async (path) => {
  const { newAnswer, Pane } = await import(path);
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
