"""Snapshots in a real browser: made in one profile, read in another, asked again, withdrawn."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from playground.domain.presets import BUNDLED
from playground.domain.samplers import BY_NAME
from playground.ui.page import static_version
from tests.pages import READY, listen, opened, serve
from tests.servers import Server

pytestmark = pytest.mark.browser

CLIPBOARD = ["clipboard-read", "clipboard-write"]
AGAIN = re.compile("again and show what changed$")
DRAWN = "html[data-snapshot=ready]"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


class Playground:
    """A playground whose data and presets outlive it."""

    def __init__(self, folder: Path, engine_url: str) -> None:
        self.presets = folder / "presets.toml"
        shutil.copy(BUNDLED, self.presets)
        self._engine_url = engine_url
        self._settings = {"data_dir": folder / "data", "presets_file": self.presets}
        self.server = serve(engine_url, **self._settings)

    @property
    def url(self) -> str:
        return self.server.url

    def restart(self, **settings: Any) -> None:
        self.server.terminate()
        self.server = serve(self._engine_url, **self._settings, **settings)


@pytest.fixture(scope="module")
def playground(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    running = Playground(tmp_path_factory.mktemp("playground"), engine.url)
    yield running
    running.server.terminate()


@pytest.fixture
def reader(chromium: Browser) -> Iterator[Page]:
    """A page in another profile. A script error fails the test."""
    with chromium.new_context(permissions=CLIPBOARD) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        problems: list[str] = []
        listen(page, problems)
        yield page
        assert problems == []


def read(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(DRAWN)


def answers(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="assistant"]')


def texts(page: Page) -> list[str]:
    """What the messages say, as they are seen."""
    return page.locator('[data-testid="message"] .body').all_inner_texts()


def receipts(page: Page) -> list[list[str]]:
    """What each tab of each receipt says, the prompt among them; and what its copy holds."""
    found = []
    for article in answers(page).all():
        article.get_by_role("button", name="Receipt", exact=True).click()
        said = []
        for name in ("Receipt", "Code", "Prompt"):
            article.get_by_role("tab", name=name, exact=True).click()
            panel = article.locator(".receipt > div > .small-tab-panel")
            expect(panel).not_to_have_attribute("aria-busy", "true")
            said.append(panel.inner_text())
        article.get_by_role("tab", name="Receipt", exact=True).click()
        article.get_by_role("button", name="Copy as JSON").click()
        expect(article.get_by_role("button", name="Copied")).to_be_visible()
        said.append(page.evaluate("navigator.clipboard.readText()"))
        found.append(said)
        article.get_by_role("button", name="Receipt", exact=True).click()
    return found


def record(text: str = "Hello.", **setting: Any) -> dict[str, Any]:
    """A conversation of one question and one answer, as no engine here would write it."""
    return {
        "format": "kto-mistral-playground",
        "version": 1,
        "kind": "chat",
        "title": "A conversation",
        "columns": [
            {
                "label": "Balanced",
                "setting": {
                    "preset": "alpacaeval",
                    "name": "Balanced",
                    "sampler": {"temperature": 0.7, "top_p": 0.95},
                    "max_new_tokens": 64,
                    "seed": 7,
                    "stop": [],
                    "system": "",
                    **setting,
                },
                "messages": [
                    {"role": "user", "content": "Name ten animals."},
                    {
                        "role": "assistant",
                        "content": text,
                        "state": "done",
                        "preset": "Balanced",
                        "receipt": {
                            "engine": "TGI 9.9.9",
                            "model_id": "some/model",
                            "model_sha": "0123456789abcdef",
                            "quantisation": "Q4_K_M",
                            "preset": "Balanced",
                            "edited": [],
                            "sent": {
                                "temperature": 0.7,
                                "top_p": 0.95,
                                "do_sample": True,
                                "max_new_tokens": 64,
                                "seed": 7,
                                "stop": ["<|user|>"],
                            },
                            "applied": {"temperature": {"how": "native", "reason": ""}},
                            "prompt_tokens": 11,
                            "dropped_turns": 0,
                            "edits": {},
                            "left_out": {},
                            "prompt": "<|user|>\nName ten animals.\n<|assistant|>\n",
                            "prompt_sha256": "00",
                            "system": "",
                            "continued": 0,
                            "note": "",
                        },
                        "done": {
                            "finish_reason": "eos_token",
                            "generated_tokens": 3,
                            "input_tokens": 11,
                            "seed": 7,
                            "ttft_ms": 12.5,
                            "duration_ms": 100.0,
                            "tokens_per_second": 30.0,
                        },
                        "problem": None,
                    },
                ],
            }
        ],
    }


def share(url: str, shared: dict[str, Any], **body: Any) -> str:
    """The address of a snapshot made without the page."""
    answer = httpx.post(f"{url}/api/shares", json={"record": shared, **body})
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    return f"{url}/s/{token}"


@dataclass(frozen=True)
class Sent:
    """A snapshot made in the window Share, and what stood on its maker's page."""

    path: str
    texts: list[str]
    receipts: list[list[str]]
    record: Any

    def check(self, reader: Page, playground: Playground, root: str = "") -> None:
        """That a reader gets the same: by the API and on the page."""
        answer = httpx.get(f"{playground.url}/api/shares/{self.path.rpartition('/')[2]}")
        assert orjson.dumps(self.record) in answer.content
        read(reader, playground.url + root + self.path)
        assert texts(reader) == self.texts
        assert receipts(reader) == self.receipts
        expect(reader.get_by_role("heading", level=1)).to_have_text("Animals & min_p")
        expect(reader.locator(".frozen .values summary")).to_have_text(
            re.compile(r"temperature 0\.7 · top_p 0\.95 · max 2048 · seed 7")
        )


@pytest.fixture(scope="module")
def sent(chromium: Browser, playground: Playground) -> Sent:
    """A conversation of two answers, frozen by its maker."""
    posted: list[str] = []
    with opened(chromium, playground.url + "/", permissions=CLIPBOARD) as sender:
        sender.on(
            "request",
            lambda request: (
                posted.append(request.post_data or "")
                if request.url.endswith("/api/shares") and request.method == "POST"
                else None
            ),
        )
        sender.fill("#seed", "7")
        for i, prompt in enumerate(("What does min_p do that top_p doesn't?", "Name ten animals.")):
            sender.fill("#chat-prompt", prompt)
            sender.press("#chat-prompt", "Enter")
            expect(answers(sender)).to_have_count(i + 1)
            expect(answers(sender).last).to_have_attribute("data-state", "done")
        said, shown = texts(sender), receipts(sender)
        sender.get_by_role("button", name="Share", exact=True).click()
        dialog = sender.get_by_role("dialog")
        dialog.get_by_label("Title", exact=True).fill("Animals & min_p")
        expect(dialog).to_contain_text("the whole conversation (2 questions, 2 answers)")
        dialog.get_by_role("button", name="Create the link").click()
        link = dialog.get_by_label("The link", exact=True).input_value()
    [body] = posted
    frozen = orjson.loads(body)["record"]
    assert orjson.dumps(frozen).decode() in body  # so bytes may be compared
    return Sent(httpx.URL(link).path, said, shown, frozen)


def test_a_snapshot_opens_in_another_profile_exactly_as_it_was(
    reader: Page, playground: Playground, sent: Sent
) -> None:
    kept = sent.record["columns"][0]["messages"][1::2]
    assert [json.loads(copied) for *_, copied in sent.receipts] == [
        {"receipt": answer["receipt"], "done": answer["done"]} for answer in kept
    ]
    sent.check(reader, playground)


def test_run_again_says_the_same_with_the_same_seed_and_shows_what_another_changes(
    reader: Page, playground: Playground, sent: Sent
) -> None:
    reader.set_viewport_size({"width": 1280, "height": 1600})
    read(reader, playground.url + sent.path)
    reader.get_by_role("button", name="Run the last answer again and show what changed").click()
    expect(reader.locator(".outcome")).to_have_text("Same text.")
    run = reader.get_by_role("button", name="Run again", exact=True)
    run.dblclick(position={"x": 20, "y": 10})  # the second click is no Stop
    expect(reader.locator(".outcome")).to_have_text("Same text.")
    again = reader.locator(".again")
    expect(again.locator(".verdict")).to_have_text("Same text as the frozen answer")
    expect(again.locator(".changes")).to_contain_text(
        "Model, engine, values, seed and prompt are the same."
    )
    assert again.locator(".body").inner_text() == sent.texts[-1]

    reader.set_viewport_size({"width": 1280, "height": 400})
    reader.get_by_role("button", name="Run again with another seed").click()
    expect(again.get_by_role("heading", name="New answer")).to_be_in_viewport()
    assert again.evaluate("(node) => node.getBoundingClientRect().top") < 200  # with its text
    expect(reader.locator(".outcome")).to_contain_text("Another text")
    expect(again.locator(".verdict")).to_contain_text(
        re.compile(r"^Differs from the frozen answer")
    )
    expect(again.locator(".changes")).to_contain_text(re.compile(r"seed: 7 then, \d+ now\."))
    marked = "CSS.highlights.get('difference-words').size"
    assert reader.evaluate(marked) > 0
    assert texts(reader)[: len(sent.texts)] == sent.texts
    reader.get_by_role("button", name="Hide the new answer").click()
    expect(again).to_have_count(0)
    assert reader.evaluate(marked) == 0


def test_another_engine_is_said_before_and_after_running_again(
    reader: Page, playground: Playground
) -> None:
    shared = record()
    told = {"id": "chatml", "label": "ChatML", "bos": "", "stop": ["<|im_end|>"]}
    shared["columns"][0]["messages"][1]["receipt"]["prompt_format"] = told
    read(reader, share(playground.url, shared))
    expect(reader.locator(".warn")).to_contain_text("The model here now is another one")
    reader.get_by_role("button", name=AGAIN).click()
    changes = reader.locator(".changes li")
    expect(changes).to_contain_text(
        [
            "Another model: some/model then",
            "Another revision",
            "Another quantisation of the model: Q4_K_M then, not reported now.",
            "Another engine: TGI 9.9.9 then",
            "Another prompt format: ChatML then, TuluV2 now.",
        ]
    )
    expect(reader.locator(".outcome")).to_contain_text("Another text")
    assert texts(reader)[1] == "Hello."


@pytest.mark.parametrize(
    ("parameters", "left_out", "set_now", "again"),
    [
        # what was sent says it, whatever the setting has become
        ({"temperature": 0.7, "do_sample": True}, {}, {"temperature": 2}, {"temperature": 0.7}),
        # what was set and not sent stands in the setting
        (
            {"temperature": 1.5, "do_sample": True},
            {"min_p": "TGI has no min_p"},
            {"temperature": 1.5, "min_p": 0.1},
            {"temperature": 1.5, "min_p": 0.1},
        ),
        # as llama.cpp and vLLM call them
        (
            {"temperature": 0.5, "repeat_penalty": 1.2, "top_k": -1},
            {},
            {"temperature": 9.0},
            {"temperature": 0.5, "repetition_penalty": 1.2},
        ),
        # greedy, and the engine's own temperature, are said by do_sample alone
        ({"do_sample": False}, {"temperature": "Greedy"}, {}, {"temperature": 0}),
        ({"do_sample": True, "top_k": 5}, {"temperature": "1"}, {}, {"temperature": 1, "top_k": 5}),
    ],
)
def test_the_very_same_values_are_asked_for_again(
    reader: Page,
    playground: Playground,
    parameters: dict[str, Any],
    left_out: dict[str, str],
    set_now: dict[str, float],
    again: dict[str, float],
) -> None:
    [column] = record(sampler=set_now, system="now")["columns"]
    receipt = column["messages"][1]["receipt"]
    own = {"max_new_tokens": 64, "seed": 7, "stop": ["<|user|>", "END"]}
    receipt.update(sent={**parameters, **own}, left_out=left_out, system="then", continued=3)
    reader.goto(f"{playground.url}/livez")
    pane = reader.evaluate(
        """async ([path, column, names]) => (await import(path)).paneAgain(column, names)""",
        [f"/ui/{static_version()}/answers/request_again.js", column, list(BY_NAME)],
    )
    assert pane == {
        "sampler": again,
        "max_new_tokens": 64,
        "seed": 7,
        "stop": ["END"],
        "messages": [
            {"role": "system", "content": "then"},
            {"role": "user", "content": "Name ten animals."},
            {"role": "assistant", "content": "Hel"},
        ],
    }


@pytest.mark.parametrize(
    ("told", "prompt", "turns", "harmless"),
    [
        (
            {
                "id": "smollm2",
                "label": "ChatML of SmolLM2",
                "bos": "",
                "stop": ["<|im_end|>"],
                "default_system": "You are a helpful AI assistant",
            },
            "<|im_start|>user\nA ‹filename› <|user|>\n<|user|>\n<|im_end|>\n"
            "<|im_start|>assistant\n",
            ["<|im_start|>user", "<|im_start|>assistant"],
            ["‹filename›"],
        ),
        (
            {"id": "mistral-v3", "label": "Mistral Instruct 0.3", "bos": "<s>", "stop": []},
            "[INST] A ⁅INST⁆[/INST]",
            ["[INST]", "[/INST]"],
            ["⁅INST⁆"],
        ),
        (
            None,
            "<|user|>\nA ‹s›\n[INST]\n<|assistant|>\n",
            ["<|user|>", "<|assistant|>"],
            ["‹s›"],
        ),
    ],
)
def test_a_receipt_shows_the_prompt_in_its_format(
    reader: Page,
    playground: Playground,
    told: dict[str, Any] | None,
    prompt: str,
    turns: list[str],
    harmless: list[str],
) -> None:
    shared = record()
    receipt = shared["columns"][0]["messages"][1]["receipt"]
    receipt["prompt"] = prompt
    if told:
        receipt["prompt_format"] = told
    read(reader, share(playground.url, shared))
    answers(reader).get_by_role("button", name="Receipt", exact=True).click()
    facts = reader.locator(".receipt dl").first
    if told:
        expect(facts).to_contain_text(f"prompt format{told['label']}")
    else:
        expect(facts).not_to_contain_text("prompt format")
    reader.get_by_role("tab", name="Prompt").click()
    shown = reader.locator(".receipt pre")
    expect(shown).to_have_text(prompt)
    expect(shown.locator("mark.turn")).to_have_text(turns)
    expect(shown.locator("mark.harmless")).to_have_text(harmless)
    front = "the one that the engine puts in front included"
    if told and not told["bos"]:
        expect(reader.locator(".receipt")).not_to_contain_text(front)
    else:
        expect(reader.locator(".receipt")).to_contain_text(front)
    own = ": the model’s own default was sent" if told and "default_system" in told else ""
    values = reader.locator(".frozen .values dl")
    expect(values).to_contain_text(re.compile(f"system textnone{own}(engine|$)"))


@pytest.mark.parametrize(
    ("told", "own"), [(True, ["END", "<|user|>"]), (False, ["<|im_end|>", "END"])]
)
def test_what_the_format_needs_is_not_asked_for_as_the_readers_own(
    reader: Page, playground: Playground, told: bool, own: list[str]
) -> None:
    """A receipt from before there were formats is one of TuluV2."""
    [column] = record()["columns"]
    receipt = column["messages"][1]["receipt"]
    receipt["sent"] = {"stop": ["<|im_end|>", "END", "<|user|>"]}
    if told:
        receipt["prompt_format"] = {"label": "ChatML", "stop": ["<|im_end|>"]}
    reader.goto(f"{playground.url}/livez")
    pane = reader.evaluate(
        """async ([path, column]) => (await import(path)).paneAgain(column, [])""",
        [f"/ui/{static_version()}/answers/request_again.js", column],
    )
    assert pane["stop"] == own


def test_a_comparison_stands_in_columns_and_below_each_other_on_a_phone(
    chromium: Browser, reader: Page, playground: Playground
) -> None:
    compared = record()
    [column] = compared["columns"]
    other = json.loads(json.dumps(column))
    other["label"], other["messages"][1]["content"] = "Creative", "Hello there."
    compared.update(kind="comparison", columns=[column, other])
    url = share(playground.url, compared)
    read(reader, url)
    expect(reader.locator(".frozen .column").nth(1).locator(".verdict")).to_contain_text(
        "Differs from Balanced at"
    )
    expect(reader.locator(".statistics tbody tr")).to_have_count(2)
    boxes = [each.bounding_box() for each in reader.locator(".frozen .column").all()]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    reader.get_by_role("button", name=AGAIN).click()
    expect(reader.locator(".again")).to_have_count(2)
    expect(reader.locator(".outcome")).to_contain_text("Same text in 0 of 2 columns")

    with chromium.new_context(**PHONE) as context:  # type: ignore[arg-type]
        phone = context.new_page()
        read(phone, url)
        first, second = phone.locator(".frozen .column").all()
        above, below = first.bounding_box(), second.bounding_box()
        assert above
        assert below
        assert above["y"] + above["height"] <= below["y"] + 1
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("Continue from here", "Run again and show what changed"):
            box = phone.get_by_text(name, exact=True).bounding_box()
            assert box
            assert box["height"] >= 44


def test_go_on_from_a_snapshot_without_losing_what_is_here(
    chromium: Browser, playground: Playground
) -> None:
    url = share(playground.url, record(system="Be brief."), title="Animals")
    with opened(chromium, playground.url + "/") as page:
        page.fill("#chat-prompt", "Hello!")
        page.press("#chat-prompt", "Enter")
        expect(answers(page).last).to_have_attribute("data-state", "done")
        mine = texts(page)
        read(page, url)
        page.get_by_role("link", name="Continue from here").click()
        page.wait_for_selector(READY)
        expect(page.locator("#notice")).to_contain_text("Continued from the snapshot “Animals”.")
        assert texts(page) == ["Name ten animals.", "Hello."]
        expect(page.locator("#system")).to_have_value("Be brief.")
        page.get_by_role("button", name="Undo").click()
        assert texts(page) == mine


def test_what_cannot_be_created_loses_nothing(chromium: Browser, playground: Playground) -> None:
    full = {"error": "The disk is full: nothing was stored.", "kind": "store", "field": None}

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json=full)

    with opened(chromium, playground.url + "/") as page:
        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Nothing was said here yet")
        dialog.get_by_role("button", name="Close").click()
        page.fill("#chat-prompt", "Hello!")
        page.press("#chat-prompt", "Enter")
        expect(answers(page).last).to_have_attribute("data-state", "done")
        page.route("**/api/shares", refuse)
        page.get_by_role("tab", name="About").click()
        page.get_by_role("button", name="Share", exact=True).click()
        dialog.get_by_label("Title", exact=True).fill("Kept")
        dialog.get_by_label("The link works").select_option("for a week")
        dialog.get_by_role("button", name="Create the link").click()
        expect(dialog.get_by_role("alert")).to_contain_text("nothing is lost. The disk is full")
        dialog.get_by_role("tab", name="My links").click()
        expect(dialog.get_by_role("alert")).to_contain_text("The disk is full")
        page.unroute("**/api/shares", refuse)
        dialog.get_by_role("button", name="Try again").click()
        expect(dialog).to_contain_text("There are no snapshots of yours yet.")
        dialog.get_by_role("tab", name="Conversation").click()
        expect(dialog.get_by_label("Title", exact=True)).to_have_value("Kept")
        dialog.get_by_role("button", name="Try again").click()
        link = dialog.get_by_label("The link", exact=True).input_value()
        expect(dialog.get_by_role("button", name="Copy the link")).to_be_focused()
        expect(dialog).to_contain_text(
            "Nobody else can open this link: 127.0.0.1 is this computer."
        )
        expect(dialog.locator(".reach")).to_contain_text("“playground demo --tunnel”")
        dialog.get_by_role("button", name="My links").click()
        mine = dialog.get_by_role("tab", name="My links")
        expect(mine).to_have_attribute("aria-selected", "true")
        expect(mine).to_be_focused()
        expect(dialog.get_by_role("link", name="Open Kept")).to_be_visible()
        dialog.get_by_role("tab", name="Conversation").click()
        seen_by_maker = page.context.new_page()
        seen_by_maker.goto(link)
        expect(seen_by_maker.locator("main")).to_contain_text("Not opened by others yet")
        seen_by_maker.close()
        assert httpx.get(link).status_code == 200  # somebody else has opened it
        dialog.get_by_role("tab", name="My links").click()
        entry = dialog.locator(".links li")
        expect(entry).to_contain_text(re.compile(r"Kept.*works until.*opened once", re.DOTALL))
        page.route("**/api/shares/*", refuse)
        entry.get_by_role("button", name="Delete").click()
        entry.get_by_role("button", name="Keep it").click()
        entry.get_by_role("button", name="Delete").click()
        entry.get_by_role("button", name="Delete it").click()
        expect(entry.get_by_role("alert")).to_contain_text("It was not deleted.")
        assert httpx.get(link).status_code == 200
        page.unroute("**/api/shares/*", refuse)
        entry.get_by_role("button", name="Delete it").click()
        expect(dialog).to_contain_text("Deleted “Kept”.")
        expect(dialog.locator(".links li")).to_have_count(0)
    assert httpx.get(link).status_code == 404


def test_prompts_stay_away_where_the_server_takes_no_more(
    chromium: Browser, engine: Server
) -> None:
    """The texts of the questions fit, and the same texts in the prompts behind them do not."""
    with (
        serve(engine.url, max_body_bytes=10_000) as server,
        opened(chromium, server.url + "/") as page,
    ):
        page.fill("#max-new-tokens", "8")
        for i in range(2):
            page.fill("#chat-prompt", "hello " * 300)
            page.press("#chat-prompt", "Enter")
            expect(answers(page)).to_have_count(i + 1)
            expect(answers(page).last).to_have_attribute("data-state", "done")
        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Create the link").click()
        link = dialog.get_by_label("The link", exact=True).input_value()
        shared = httpx.get(link.replace("/s/", "/api/shares/")).json()["record"]
        messages = shared["columns"][0]["messages"]
        assert [len(each["content"]) > 1500 for each in messages] == [True, False] * 2
        for answer in messages[1::2]:
            assert answer["receipt"]["prompt_sha256"]
            assert "prompt" not in answer["receipt"]


def test_every_link_that_leads_nowhere_has_the_same_page(
    reader: Page, playground: Playground
) -> None:
    with httpx.Client(base_url=playground.url) as owner:
        made = [
            owner.post("/api/shares", json={"record": record(), **body}).json()["token"]
            for body in ({}, {"expires_in_s": 1})
        ]
        assert owner.delete(f"/api/shares/{made[0]}").status_code == 204
        deadline = time.monotonic() + 10
        while owner.get(f"/s/{made[1]}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        pages = [owner.get(f"/s/{token}") for token in (*made, "A" * 22, "short")]
    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    for page in pages:
        for name in ("date", "x-request-id"):
            page.headers.pop(name, None)
    assert len({str(sorted(page.headers.items())) for page in pages}) == 1
    nowhere = [f"/s/{made[0]}/x", "/nothere", "/s/", "/d/a/b"]
    html = {"accept": "text/html,*/*;q=0.8"}
    with httpx.Client(base_url=playground.url, follow_redirects=True) as visitor:
        people = [visitor.get(path, headers=html) for path in (*nowhere, f"/s/{made[0]}/")]
        programs = [visitor.get(path) for path in nowhere]
        programs.append(visitor.get("/api/nothere", headers=html))
        kept = visitor.post("/api/shares", json={"record": record()}).json()["token"]
        slashed = visitor.get(f"/s/{kept}/")
        demo = visitor.get("/d/a-demo/", follow_redirects=False)
    assert {(each.status_code, each.content) for each in people} == {(404, pages[0].content)}
    assert {(each.status_code, each.json()["kind"]) for each in programs} == {(404, "not_found")}
    assert (slashed.status_code, slashed.url.path) == (200, f"/s/{kept}")
    assert demo.headers["location"] == "/d/a-demo"
    assert reader.goto(f"{playground.url}/s/{made[0]}/").status == 404  # type: ignore[union-attr]
    expect(reader.get_by_role("heading")).to_have_text("There is nothing here")
    reader.get_by_role("link", name="Open the playground").click()
    reader.wait_for_selector(READY)


@pytest.mark.parametrize("private", [False, True])
def test_a_preview_says_the_title_unless_it_is_private(
    playground: Playground, private: bool
) -> None:
    url = share(playground.url, record(), title="The title", private=private)
    assert httpx.head(url).status_code == 200
    page = httpx.get(url)
    assert "noindex" in page.headers["x-robots-tag"]
    assert '<meta name="robots" content="noindex">' in page.text
    assert ("The title" in page.text) is not private
    assert "animals" not in page.text
    assert page.headers["cache-control"] == "no-store"


def hostile(value: Any, text: str, keep: tuple[str, ...]) -> Any:
    """The same shape with this text in every text that may be any, and under every free name."""
    if isinstance(value, dict):
        changed = {
            name: each if name in keep else hostile(each, text, keep)
            for name, each in value.items()
        }
        return changed | ({text: text} if "max_new_tokens" in value and "stop" in value else {})
    if isinstance(value, list):
        return [hostile(each, text, keep) for each in value]
    return text if isinstance(value, str) else value


def test_a_text_is_a_text_in_every_field(reader: Page, playground: Playground) -> None:
    text = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
    keep = ("format", "kind", "role", "state", "setting")
    shared = hostile(record(), text, keep)
    [column] = shared["columns"]
    column["setting"].update(name=text, preset=text, stop=[text], system=text)
    answer = column["messages"][1]
    answer["receipt"]["left_out"] = {text: text}
    answer["receipt"]["edits"] = {text: {"from": 1, "to": None}}
    answer["receipt"]["applied"] = {text: {"how": text, "reason": text}}
    failed = {
        **answer,
        "state": "failed",
        "problem": {"kind": text, "message": text, "retryable": True},
    }
    column["messages"] += [{"role": "user", "content": text}, failed]
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    read(reader, share(playground.url, shared, title=text[:190]))
    for each in reader.locator(".values summary, .statistics summary").all():
        each.click()
    receipts(reader)
    expect(reader.locator("main")).to_contain_text(text)
    assert reader.locator("main img, main script").count() == 0
    assert all(url.startswith(playground.url) for url in asked)
    assert not any(url.endswith("/x") for url in asked)
    reader.wait_for_load_state("networkidle")
    assert reader.evaluate("window.harmed === undefined")


def test_to_read_needs_no_login_and_to_ask_the_model_does(
    chromium: Browser, reader: Page, engine: Server, tmp_path: Path
) -> None:
    """What is private looks like nothing until its reader has logged in."""
    UsersFile(tmp_path / "users").put("anna", Passwords().hashed("correct horse"), instead_of=None)
    credentials = {"name": "anna", "password": "correct horse"}
    with serve(engine.url, data_dir=tmp_path, auth="users") as server:
        with httpx.Client(base_url=server.url) as owner:
            assert owner.post("/login", data=credentials).status_code == 303
            open_one, private = (
                owner.post("/api/shares", json={"record": record(), "private": private}).json()
                for private in (False, True)
            )
        unknown = httpx.get(f"{server.url}/s/{'A' * 22}")
        assert unknown.status_code == 404
        assert httpx.get(private["url"]).content == unknown.content
        assert "log in" in unknown.text

        def log_in(page: Page) -> None:
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill("correct horse")
            page.get_by_role("button", name="Log in").click()

        read(reader, open_one["url"])
        expect(reader.locator(".warn")).to_contain_text("To read it needs no login.")
        expect(reader.get_by_role("button", name=AGAIN)).to_have_count(0)
        answers(reader).get_by_role("button", name="Receipt", exact=True).click()
        reader.get_by_role("tab", name="Prompt").click()
        expect(reader.locator(".receipt pre")).to_contain_text("Name ten animals.")
        reader.get_by_role("link", name="Continue from here").click()
        log_in(reader)
        reader.wait_for_selector(READY)
        expect(reader.locator("#notice")).to_contain_text("Continued from the snapshot")

        with chromium.new_context() as context:
            another = context.new_page()
            read(another, open_one["url"])
            another.get_by_role("link", name="Log in").click()
            log_in(another)
            another.wait_for_selector(DRAWN)
            expect(another.get_by_role("button", name=AGAIN)).to_be_visible()
            read(another, private["url"])
            expect(another).to_have_title("A shared conversation")
            expect(another.get_by_role("heading", level=1)).to_have_text("A conversation")


@pytest.fixture
def restored(playground: Playground) -> Iterator[None]:
    """Afterwards the playground is as the other tests know it."""
    presets = playground.presets.read_text(encoding="utf-8")
    yield
    playground.presets.write_text(presets, encoding="utf-8")
    playground.restart()


@pytest.mark.usefixtures("restored")
def test_a_snapshot_outlives_a_restart_other_presets_and_another_path(
    reader: Page, playground: Playground, sent: Sent
) -> None:
    """The path is one where a proxy has put it."""
    presets = playground.presets.read_text(encoding="utf-8")
    assert "temperature = 0.7" in presets
    playground.presets.write_text(
        presets.replace("temperature = 0.7", "temperature = 1.9"), encoding="utf-8"
    )
    playground.restart(root_path="/play")
    astray: list[str] = []

    def proxy(route: Route) -> None:
        path = httpx.URL(route.request.url).path
        if path.startswith("/play/"):
            route.continue_(url=playground.url + path.removeprefix("/play"))
        else:
            astray.append(path)
            route.abort()

    reader.route("**/*", proxy)
    sent.check(reader, playground, "/play")
    reader.get_by_role("button", name=AGAIN).click()
    expect(reader.locator(".outcome")).to_have_text("Same text.")
    link = reader.get_by_role("link", name="Continue from here")
    expect(link).to_have_attribute("href", re.compile(r"/play/#continue="))
    assert reader.evaluate("getComputedStyle(document.body).marginTop") == "0px"
    made = httpx.post(f"{playground.url}/api/shares", json={"record": record()}).json()
    assert httpx.URL(made["url"]).path == f"/play/s/{made['token']}"
    reader.goto(f"{playground.url}/play/s/xyz")
    reader.get_by_role("link", name="Open the playground").click()
    reader.wait_for_selector(READY)
    assert astray == []
