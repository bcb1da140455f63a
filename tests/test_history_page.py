"""History in a real browser: what the page keeps of conversations and comparisons."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.test_comparison_page import compare, pure
from tests.test_comparison_page import finished as compared
from tests.test_page import ask, finished

pytestmark = pytest.mark.browser

CURRENT = "m.currentRecord()"


def test_a_chat_becomes_a_record_that_opens_as_it_was(page: Page) -> None:
    page.get_by_role("tab", name="HuggingChat").click()
    page.locator('#preset-huggingchat .knob[data-parameter="top_k"] .value').fill("7")
    page.fill("#seed", "5")
    page.fill("#system", "Be kind.")
    page.fill("#stop", "xyzzy")
    ask(page, "Name ten animals.")
    text = finished(page)
    record: dict[str, Any] = pure(page, "records.js", CURRENT)
    [column] = record["columns"]
    assert (record["format"], record["version"]) == ("kto-mistral-playground", 1)
    assert (record["kind"], record["title"]) == ("chat", "Name ten animals.")
    assert column["label"] == "HuggingChat, edited"
    assert column["setting"] == {
        "preset": "huggingchat",
        "name": "HuggingChat",
        "sampler": {"temperature": 0.3, "top_p": 0.95, "top_k": 7, "repetition_penalty": 1.2},
        "max_new_tokens": 1024,
        "seed": 5,
        "stop": ["xyzzy"],
        "system": "Be kind.",
    }
    question, answer = column["messages"]
    assert question == {"role": "user", "content": "Name ten animals."}
    assert answer["receipt"]["sent"]["seed"] == 5
    assert answer["done"]["generated_tokens"] > 0
    assert "<" not in json.dumps({**answer, "receipt": None})
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("tab", name="Min-p").click()
    page.fill("#seed", "")
    pure(page, "records.js", "m.openRecord(a[0], 'Opened.')", record)
    expect(page.locator("#notice")).to_contain_text("Opened.")
    assert finished(page) == text
    expect(page.get_by_role("tab", name="HuggingChat")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#seed")).to_have_value("5")
    assert pure(page, "records.js", CURRENT) == record
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("tab", name="Min-p")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#seed")).to_have_value("")
    assert pure(page, "records.js", CURRENT) is None


def test_a_comparison_becomes_a_record_that_opens_as_it_was(page: Page) -> None:
    compare(page)
    page.fill("#compare-seed", "7")
    page.get_by_role("button", name="Name ten animals.").click()
    compared(page)
    record = pure(page, "records.js", CURRENT)
    assert record["kind"] == "comparison"
    assert [each["setting"]["preset"] for each in record["columns"]] == [
        "alpacaeval",
        "huggingchat",
        "min-p",
    ]
    assert {each["setting"]["seed"] for each in record["columns"]} == {7}
    changed = json.loads(json.dumps(record))
    changed["columns"][1]["setting"]["sampler"]["temperature"] = 0.9
    del changed["columns"][2]["setting"]["sampler"]["min_p"]
    changed["columns"][0]["setting"].update(preset="gone", name="Gone")
    for i, name in enumerate(["None, edited", "HuggingChat, edited", "Min-p, edited"]):
        changed["columns"][i]["label"] = name
    page.get_by_role("tab", name="Chat").click()
    pure(page, "records.js", "m.openRecord(a[0], 'Opened.')", changed)
    compared(page)
    expect(page.locator("#compare-notice")).to_contain_text("The preset “Gone” is not here")
    changed["columns"][0]["setting"].update(preset=None, name="None")
    assert pure(page, "records.js", CURRENT) == changed
    page.locator("#compare-notice").get_by_role("button", name="Undo").click()
    assert pure(page, "records.js", CURRENT) == record
