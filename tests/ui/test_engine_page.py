"""What the page says of the engine: which model answers, how it is, and what it takes.

The engines are scripted, and what an engine says next is put in the place of /api/engine's answer.
"""

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from playground.domain.models import DEFAULT_MODEL
from playground.domain.prompt_formats import SMOLLM2
from playground.ui.page import static_version
from tests import conversations
from tests.application import NOWHERE, Application
from tests.engines_file import engines_file
from tests.llamacpp import llamacpp
from tests.pages import READY, opened, serve
from tests.servers import Server
from tests.stock import INFO, tgi, writing

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SCORE = "AlpacaEval 33.23 (length-controlled 29.71)"
DOWNLOAD: Mapping[str, Any] = {
    "what": "Downloading model.gguf",
    "done": 1_200_000_000,
    "total": 4_400_000_000,
    "rate": 25_000_000.0,
    "left_s": 128.0,
}


@contextmanager
def answering(**info: Any) -> Iterator[str]:
    """A stock TGI that says this of itself, in a thread of its own; its address."""
    address: Future[str] = Future()
    said = {**INFO, "max_input_tokens": 1000, "max_total_tokens": 2000, **info}
    stop = threading.Event()

    async def run() -> None:
        async with tgi(writing(["Hi", "."]), info=said) as server:
            address.set_result(server.url)
            while not stop.is_set():  # noqa: ASYNC110  (it belongs to another thread)
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield address.result(20)
    finally:
        stop.set()
        thread.join(20)


@pytest.fixture(scope="module")
def small(chromium: Browser) -> Iterator[Application]:
    """A playground over another model than the default."""
    with (
        answering(model_id="HuggingFaceTB/SmolLM2-135M-Instruct") as url,
        serve(url, engine_quantisation="Q4_1") as site,
    ):
        yield site


class Said:
    """What /api/engine says on a page, changed by the test."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._change: Mapping[str, Any] = {}
        page.route("**/api/engine", self._answer)

    def _answer(self, route: Route) -> None:
        state = route.fetch().json()
        for name, value in self._change.items():
            whole = isinstance(value, dict) and isinstance(state[name], dict)
            state[name] = {**state[name], **value} if whole else value
        route.fulfill(json=state)

    def now(self, **change: Any) -> None:
        """The page has looked, and found what is really so with this changed."""
        self._change = change
        with self._page.expect_response("**/api/engine") as looked:
            self._page.evaluate("dispatchEvent(new Event('online'))")
        looked.value.finished()

    def away(self, state: str, reason: str, progress: Mapping[str, Any] | None = None) -> None:
        self.now(state=state, reason=reason, progress=progress, engine=None, applied={}, raw=None)


def head(page: Page) -> tuple[str, str]:
    return (
        page.locator(".masthead .model").inner_text(),
        page.locator(".masthead .facts").inner_text(),
    )


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


@pytest.mark.parametrize("quantisation", ["", "FP8"])
def test_the_default_model_has_its_name_its_score_and_its_card(
    chromium: Browser, quantisation: str
) -> None:
    with (
        answering(model_id=DEFAULT_MODEL) as url,
        serve(url, engine_quantisation=quantisation) as site,
        opened(chromium, site.url + "/") as page,
    ):
        badge = f"{quantisation} · TGI" if quantisation else "TGI"
        assert head(page) == ("KTO Mistral 7B", f"{badge} · {SCORE}")
        expect(page).to_have_title("KTO Mistral 7B · playground")
        expect(page.locator(".model-note")).to_contain_text("aligned with KTO")
        tab(page, "About")
        expect(page.locator("#card")).to_contain_text("Kahneman-Tversky")
        expect(page.locator("#model-info")).to_contain_text(SCORE)


def test_any_other_model_has_its_own_name_in_every_tab_and_none_of_the_default_ones(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("Chat", "Compare", "History", "About"):
            tab(page, name)
            assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · TGI")
            expect(page).to_have_title("SmolLM2-135M-Instruct · playground")
            expect(page.get_by_role("heading", level=1)).to_have_text("SmolLM2-135M-Instruct")
        about = page.locator("#view-about")
        expect(about).to_contain_text("HuggingFaceTB/SmolLM2-135M-Instruct")
        expect(page.locator("#engine-info")).to_contain_text("repeats only if nothing else")
        said = page.locator("body").inner_text()
        assert not re.search("KTO|Mistral|29.71|FP8|stand-in", said)
        assert not any("api/card" in each for each in asked)
        tab(page, "Chat")
        expect(page.locator(".model-note")).to_contain_text("SmolLM2-135M-Instruct answers here.")


def test_no_model_is_named_until_one_is_known_and_the_last_one_while_it_is_away(
    chromium: Browser, small: Application
) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        said = Said(page)
        said._change = {"state": "offline", "reason": "It is away.", "engine": None}
        page.goto(small.url + "/")
        page.wait_for_selector(READY)
        expect(page.locator(".engine-note").first).to_contain_text("It is away.")
        assert head(page) == ("KTO Mistral playground", "")
        expect(page).to_have_title("KTO Mistral playground")
        expect(how(page, "temperature")).to_be_empty()
        tab(page, "About")
        expect(page.locator("#model-info")).to_have_text("Which model answers is not known yet.")
        said.now()
        expect(page.locator(".masthead .model")).to_have_text("SmolLM2-135M-Instruct")
        expect(page.locator("#model-info")).to_contain_text("SmolLM2-135M-Instruct answers here.")
        said.away("offline", "It is away.")
        expect(page.locator("#engine-state")).to_have_attribute("data-state", "offline")
        assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · TGI")


def test_a_download_is_a_bar_with_words_and_the_draft_stays(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/") as page:
        said = Said(page)
        page.fill("#chat-prompt", "a draft")
        said.away("loading", "The model is being fetched.", DOWNLOAD)
        note = page.locator("#chat .engine-note")
        expect(note.get_by_role("status")).to_have_text("The model is being fetched.")
        bar = note.get_by_role("progressbar", name="Downloading model.gguf")
        expect(bar).to_have_js_property("value", 1.2 / 4.4)
        words = "Downloading model.gguf: 1.2 of 4.4 GB, 25 MB/s, 2 min left"
        expect(note.locator(".progress span")).to_have_text(words)
        expect(bar).to_have_attribute("aria-valuetext", words)
        expect(page.locator("#engine-state")).to_contain_text("Loading 27 %")
        send = page.locator("#chat-send")
        expect(send).to_have_attribute("title", "The model is being fetched.")
        assert "being fetched" in str(send.get_attribute("aria-description"))
        tab(page, "Compare")
        expect(page.locator("#comparison").get_by_role("progressbar")).to_be_visible()
        tab(page, "Chat")
        said.away("loading", "The model is being loaded.")
        expect(note).to_contain_text("The model is being loaded.")
        expect(bar).to_be_hidden()
        expect(page.locator("#engine-state")).to_contain_text(re.compile(r"^\s*Loading · \d+:\d\d"))
        said.now()
        expect(note).to_be_hidden()
        assert not send.get_attribute("title")
        expect(send).not_to_have_attribute("aria-description", re.compile("."))
        expect(page.locator("#chat-prompt")).to_have_value("a draft")


@pytest.mark.parametrize(
    ("progress", "words", "value"),
    [
        ({"total": None, "left_s": None}, "Downloading model.gguf: 1.2 GB, 25 MB/s", None),
        ({"rate": 0.0, "left_s": None}, "Downloading model.gguf: 1.2 of 4.4 GB", 1.2 / 4.4),
        (
            {"done": 20_000_000, "total": 98_000_000, "rate": 950_000.0, "left_s": 59.0},
            "Downloading model.gguf: 20 of 98 MB, 950 kB/s, less than a minute left",
            20 / 98,
        ),
        ({"left_s": 5400.0}, "Downloading model.gguf: 1.2 of 4.4 GB, 25 MB/s, 1 h 30 min left", 0),
        ({"left_s": 3590.0}, "Downloading model.gguf: 1.2 of 4.4 GB, 25 MB/s, 1 h 0 min left", 0),
        ({"done": 0, "total": 0, "left_s": None}, "Downloading model.gguf: 0 of 0 bytes", None),
        (
            {"what": "Reading the layers", "done": 3, "total": 32, "left_s": None},
            "Reading the layers: 3 of 32",
            3 / 32,
        ),
        ({"what": "Checking model.gguf", "rate": 0.0}, "Checking model.gguf: 1.2 of 4.4 GB, ", 0),
    ],
)
def test_progress_is_said_in_the_readers_units(
    page: Page, progress: dict[str, Any], words: str, value: float | None
) -> None:
    path = f"./ui/{static_version()}/engine/progress.js"
    said, share = page.evaluate(
        """async ([path, progress]) => {
            const { progressWords, share } = await import(new URL(path, location.href));
            return [progressWords(progress), share(progress)];
        }""",
        [path, {**DOWNLOAD, **progress}],
    )
    assert said.startswith(words)
    if value != 0:
        assert share == (None if value is None else pytest.approx(value))


def test_an_engine_that_ended_and_is_started_again_is_said_and_nothing_is_lost(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/") as page:
        said = Said(page)
        page.fill("#chat-prompt", "Hello!")
        page.press("#chat-prompt", "Enter")
        answer = page.locator('[data-testid="message"][data-role="assistant"]')
        expect(answer).to_have_attribute("data-state", "done")
        text = answer.locator(".body").inner_text()
        page.fill("#chat-prompt", "a draft")
        reason = "The engine ended with status 137 and is being started again."
        said.away("loading", reason)
        expect(page.locator("#chat .engine-note")).to_have_text(reason)
        expect(page.locator("#chat-send")).to_have_attribute("title", reason)
        assert answer.locator(".body").inner_text() == text
        said.now()
        expect(page.locator("#chat .engine-note")).to_be_hidden()
        expect(page.locator("#chat-prompt")).to_have_value("a draft")
        page.press("#chat-prompt", "Enter")
        expect(answer).to_have_count(2)
        expect(answer.last).to_have_attribute("data-state", "done")


def top(place: Locator) -> int:
    """Where it is, in whole pixels."""
    box = place.bounding_box()
    assert box is not None
    return round(box["y"])


def how(page: Page, parameter: str) -> Locator:
    return page.locator(f'.preset:visible [data-parameter="{parameter}"] .how')


def test_each_knob_says_what_the_engine_makes_of_it(chromium: Browser, small: Application) -> None:
    with opened(chromium, small.url + "/") as page:
        said = Said(page)
        differs = {"how": "native", "reason": "llama.cpp counts prompt and answer."}
        longer = {"how": "native", "reason": "vLLM takes 0.01 for less. So 0 differs."}
        emulated = {"how": "emulated", "reason": "By the engine's own tokens."}
        said.now(applied={"repetition_penalty": differs, "top_k": longer, "min_p": emulated})
        expect(how(page, "repetition_penalty")).to_have_text(differs["reason"])
        expect(how(page, "top_k")).to_have_text("vLLM takes 0.01 for less.")
        expect(how(page, "repetition_penalty")).to_have_class("how said")
        expect(how(page, "min_p")).to_have_class("how said")
        expect(how(page, "min_p")).to_have_text("emulated")
        page.get_by_role("button", name="What min_p does").click()
        expect(page.locator("#field-help")).to_contain_text(emulated["reason"])
        page.get_by_role("button", name="What repetition_penalty does").click()
        expect(page.locator("#field-help")).to_contain_text(differs["reason"])
        page.keyboard.press("Escape")
        expect(how(page, "presence_penalty")).to_contain_text("Not applied: TGI has no presence")
        expect(how(page, "top_p")).to_be_hidden()
        # What it said holds while it is away: nothing comes and goes.
        said.away("loading", "It is started again.")
        expect(page.locator("#engine-state")).to_have_attribute("data-state", "loading")
        expect(how(page, "repetition_penalty")).to_be_visible()
        expect(how(page, "presence_penalty")).to_contain_text("Not applied")


def test_nothing_moves_under_the_pointer_when_a_note_comes(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/", viewport={"width": 1280, "height": 1400}) as page:
        said = Said(page)
        knob = page.locator('.preset:visible [data-parameter="repetition_penalty"] .slide')
        knob.hover()
        before = top(knob)
        long = {"how": "native", "reason": "It counts the prompt and the answer. " * 4}
        said.now(applied={"temperature": long, "top_p": long})
        expect(how(page, "top_p")).to_have_class("how said")
        assert top(knob) == before
        page.mouse.move(10, 10)
        expect(how(page, "temperature")).to_be_visible()


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ({"repeat": "always", "condition": ""}, "The same seed repeats its answer."),
        (
            {"repeat": "always", "condition": "It was started so."},
            "The same seed repeats its answer. It was started so.",
        ),
        ({"repeat": "alone", "condition": "It repeats alone."}, "It repeats alone."),
        ({"repeat": "never", "condition": ""}, "The same seed does not repeat its answer here."),
    ],
)
def test_the_seeds_field_says_when_a_seed_repeats(
    chromium: Browser, small: Application, seeds: dict[str, str], words: str
) -> None:
    with opened(chromium, small.url + "/") as page:
        seed = page.locator("#seed")
        alone = "The same seed repeats only if nothing else is being generated at the same time"
        expect(seed).to_have_accessible_description(re.compile(re.escape(alone)))
        before = top(page.locator("#stop"))
        Said(page).now(engine={"seeds": seeds})
        expect(seed).to_have_accessible_description(re.compile(re.escape(words)))
        assert top(page.locator("#stop")) == before


def test_what_becomes_of_a_system_text_depends_on_the_model(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/") as page:
        own = f"model’s own default is sent: “{SMOLLM2.default_system}”"
        note, field = page.locator("#system-note"), page.locator("#system")
        expect(note).to_contain_text("a role for this of its own")
        expect(note).to_contain_text(own)
        expect(field).to_have_attribute("placeholder", "none: the model’s own default is sent")
        Said(page).now(engine={"system_role": False, "default_system": ""})
        expect(note).to_contain_text("in front of your first message")
        expect(note).not_to_contain_text("default")
        expect(field).to_have_attribute("placeholder", "none")


@pytest.mark.parametrize("system", ["", "Be brief."])
def test_a_prompt_says_where_its_system_text_is_the_models_own(
    chromium: Browser, small: Application, system: str
) -> None:
    with opened(chromium, small.url + "/") as page:
        page.fill("#system", system)
        page.fill("#chat-prompt", "Hello!")
        page.press("#chat-prompt", "Enter")
        page.get_by_role("button", name="Receipt").click()
        page.get_by_role("tab", name="Prompt").click()
        shown = page.locator(".receipt pre")
        expect(shown).to_contain_text(system or SMOLLM2.default_system)
        said = page.locator(".receipt .note").get_by_text("so the model’s own default was sent")
        expect(said).to_have_count(0 if system else 1)


def test_the_receipt_names_the_model_and_its_quantisation(
    chromium: Browser, small: Application
) -> None:
    with opened(chromium, small.url + "/") as page:
        page.fill("#chat-prompt", "Hello!")
        page.press("#chat-prompt", "Enter")
        page.get_by_role("button", name="Receipt").click()
        receipt = page.locator(".receipt dl").first
        expect(receipt).to_contain_text("TGI 3.3.7")
        expect(receipt).to_contain_text("HuggingFaceTB/SmolLM2-135M-Instruct")
        expect(receipt.locator("dt:text-is('quantisation') + dd")).to_have_text("Q4_1")


# What of the head is not shown whole.
CUT = """['.model', '.facts'].filter((each) => {
    const node = document.querySelector(`.masthead ${each}`);
    return node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight + 1;
})"""


def rows(page: Page) -> set[int]:
    """The rows in which the parts of the head stand, by their middles."""
    parts = [
        page.locator(f".masthead {each}").bounding_box()
        for each in (".model", ".tools", "#engine-state")
    ]
    return {round((part["y"] + part["height"] / 2) / 10) for part in parts if part}


def test_on_a_phone_the_head_and_the_bar_fit(chromium: Browser, small: Application) -> None:
    with opened(chromium, small.url + "/", **PHONE) as page:
        said = Said(page)
        expect(page.locator(".masthead .model")).to_have_text("SmolLM2-135M-Instruct")
        name, below = (
            page.locator(f".masthead {each}").bounding_box() for each in (".model", ".tools")
        )
        assert name
        assert below
        assert name["height"] < 30 < below["y"]  # on one line, above the rest
        assert page.evaluate(CUT) == []
        long = {"title": "Some-Model-With-A-Very-Long-Name-135M-Instruct-Preview", "score": SCORE}
        said.now(engine={"label": {"badge": "Q4_K_M · llama.cpp", "is_default": False, **long}})
        expect(page.locator(".masthead .model")).to_have_text(long["title"])
        assert page.evaluate(CUT) == []
        for width in (1240, 820):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate(CUT) in ([], [".facts"])  # which gives way first
        assert len(rows(page)) == 2
        said.now()
        expect(page.locator(".masthead .model")).to_have_text("SmolLM2-135M-Instruct")
        assert len(rows(page)) == 1  # where there is room for it
        page.set_viewport_size({"width": 390, "height": 844})
        said.away("loading", "The model is being fetched.", DOWNLOAD)
        expect(page.locator("#chat .engine-note").get_by_role("progressbar")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        said.now(engine={"model_id": "a" * 140})
        tab(page, "About")
        expect(page.locator("#view-about")).to_contain_text("a" * 140)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_names_the_model_of_the_engine_that_the_chat_has_chosen(
    chromium: Browser, tmp_path: Path
) -> None:
    with (
        answering(model_id=DEFAULT_MODEL) as own,
        answering(model_id="some/other-1B") as other,
        serve(
            "http://unused.invalid",
            engines_file=engines_file(tmp_path, own=own, other=other, away=NOWHERE),
        ) as site,
        opened(chromium, site.url + "/") as page,
    ):
        assert head(page) == ("KTO Mistral 7B", f"TGI · {SCORE}")
        page.select_option("#engine", "other")
        expect(page.locator(".masthead .model")).to_have_text("other-1B")
        expect(page.locator(".model-note")).to_contain_text("other-1B answers here.")
        expect(how(page, "min_p")).to_contain_text("Not applied")
        # Of one that is away nothing is known, whatever the one before said.
        page.select_option("#engine", "away")
        expect(page.locator(".masthead .model")).to_have_text("KTO Mistral playground")
        assert head(page)[1] == ""
        expect(page.locator("#chat .engine-note")).to_be_visible()
        expect(how(page, "min_p")).to_be_empty()
        expect(page.locator("#seed-note")).to_be_empty()
        expect(page.locator(".model-note")).to_be_empty()
        tab(page, "Compare")
        expect(page.locator("#comparison .engine-note")).to_be_hidden()
        tab(page, "About")
        expect(page.locator("#model-info")).to_have_text("Which model answers is not known yet.")
        tab(page, "Chat")
        page.select_option("#engine", "own")
        expect(page.locator(".masthead .model")).to_have_text("KTO Mistral 7B")
        expect(how(page, "min_p")).to_contain_text("Not applied")
        tab(page, "About")
        expect(page.locator("#card")).to_contain_text("Kahneman-Tversky")
        # A demo names the models of all of its columns.
        panes = [{"preset": "min-p", "engine": each} for each in ("other", "own", "away")]
        terms = {"title": "Two of them", "panes": panes, "budget_tokens": 2000}
        link = httpx.post(f"{site.url}/api/demos", json=terms, trust_env=False).json()["url"]
        page.goto(link)
        expect(page.locator(".masthead .model")).to_have_text("other-1B and KTO Mistral 7B")
        assert head(page)[1] == "TGI"


@pytest.fixture
def reader(chromium: Browser) -> Iterator[Page]:
    """A page in a profile of its own."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        yield page


def frozen(site: Application, *receipts: Mapping[str, Any], private: bool = False) -> str:
    """The address of a snapshot with an answer for each of these receipts."""
    columns = [
        conversations.column({"role": "user", "content": "Hi"}, conversations.answer(receipt=each))
        for each in receipts
    ]
    made = httpx.post(
        f"{site.url}/api/shares",
        json={"record": conversations.record(*columns), "private": private},
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    return str(made.json()["url"])


def description(page: Page) -> str:
    return page.locator("meta[name=description]").get_attribute("content") or ""


def test_a_snapshot_names_the_models_of_its_receipts_and_not_todays(
    reader: Page, small: Application
) -> None:
    laptop = {
        **conversations.RECEIPT,
        "model_id": "asedmammad/Contextual_KTO_Mistral_PairRM-GGUF",
        "engine": "llama.cpp b11549",
        "quantisation": "Q4_K_M",
    }
    other = {**laptop, "model_id": "some/other-1B", "quantisation": ""}
    reader.goto(frozen(small, conversations.RECEIPT))
    assert head(reader) == ("KTO Mistral 7B", f"FP8 · TGI · {SCORE}")
    assert description(reader).startswith("A conversation with KTO Mistral 7B, frozen")
    expect(reader.locator(".warn")).to_contain_text("The model here now is another one: Huggi")
    reader.goto(frozen(small, conversations.RECEIPT, laptop))
    assert head(reader) == ("KTO Mistral 7B", f"FP8 · TGI and Q4_K_M · llama.cpp · {SCORE}")
    reader.goto(frozen(small, other, laptop))
    assert head(reader) == ("other-1B and KTO Mistral 7B", "llama.cpp and Q4_K_M · llama.cpp")
    assert description(reader).startswith("Answers of other-1B and KTO Mistral 7B side by side")
    reader.goto(frozen(small, other, private=True))
    assert head(reader) == ("other-1B", "llama.cpp")
    assert description(reader) == "Open the link to read it."


def test_a_demo_names_the_model_that_answers(reader: Page, small: Application) -> None:
    terms = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": 2000}
    made = httpx.post(f"{small.url}/api/demos", json=terms, trust_env=False)
    reader.goto(made.json()["url"])
    expect(reader.locator(".masthead .model")).to_have_text("SmolLM2-135M-Instruct")
    assert head(reader)[1] == "Q4_1 · TGI"
    expect(reader).to_have_title("Try it")
    assert not re.search("KTO Mistral 7B|stand-in", reader.content())


def test_a_demos_visitor_sees_how_far_the_model_is(reader: Page, small: Application) -> None:
    terms = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": 2000}
    link = httpx.post(f"{small.url}/api/demos", json=terms, trust_env=False).json()

    def loading(route: Route) -> None:
        state = route.fetch().json()
        route.fulfill(json={**state, "engine": {**state["engine"], **away}})

    away = {"state": "loading", "reason": "It is loading.", "progress": DOWNLOAD, "label": None}
    reader.route(f"**/api/demos/{link['token']}", loading)
    reader.goto(link["url"])
    expect(reader.locator("#demo-note")).to_have_text("It is loading.")
    expect(reader.get_by_role("progressbar")).to_have_js_property("value", 1.2 / 4.4)
    assert head(reader) == ("KTO Mistral playground", "")


def test_llama_cpp_for_real(chromium: Browser) -> None:
    with (
        llamacpp(slots=1, context=1024) as engine,
        serve(engine.url, engine="llamacpp") as site,
        opened(chromium, site.url + "/") as page,
    ):
        assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · llama.cpp")
        expect(how(page, "frequency_penalty")).to_have_text("Counts the prompt's tokens, too.")
        expect(page.get_by_role("tab", name="Creative")).not_to_have_class(re.compile("lacking"))
        page.fill("#max-new-tokens", "20")
        page.fill("#chat-prompt", "hello")
        page.press("#chat-prompt", "Enter")
        answer = page.locator('[data-testid="message"][data-role="assistant"]')
        expect(answer).to_have_attribute("data-state", "done")
        page.get_by_role("button", name="Receipt").click()
        receipt = page.locator(".receipt dl").first
        expect(receipt.locator("dt:text-is('quantisation') + dd")).to_have_text("Q4_1")
        page.fill("#chat-prompt", "a draft")
        engine.kill()
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#chat .engine-note")).to_be_visible()
        assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · llama.cpp")
        expect(page.locator("#chat-prompt")).to_have_value("a draft")
        expect(answer).to_have_attribute("data-state", "done")


def test_a_demo_whose_engine_is_killed_says_that_it_is_started_again(chromium: Browser) -> None:
    arguments = ["-m", "playground", "demo", "--port", "0"]
    with Server(arguments, ready="^Playground: http") as demo:
        demo.wait_for("^llama.cpp listening on")
        with opened(chromium, demo.url + "/") as page:
            assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · llama.cpp")
            page.fill("#chat-prompt", "hello")
            for deaths in range(3):  # before each start it waits longer: now for two seconds
                os.kill(process(demo, deaths), signal.SIGKILL)
            demo.wait_for("being started again")
            page.evaluate("dispatchEvent(new Event('online'))")
            note = page.locator("#chat .engine-note")
            expect(note).to_contain_text("it is being started again.")
            expect(page.locator("#engine-state")).to_have_attribute("data-state", "loading")
            assert head(page) == ("SmolLM2-135M-Instruct", "Q4_1 · llama.cpp")
            expect(page.locator("#engine-state")).to_have_attribute("data-state", "ready")
            expect(note).to_be_hidden()
            expect(page.locator("#chat-prompt")).to_have_value("hello")
            page.press("#chat-prompt", "Enter")
            answer = page.locator('[data-testid="message"][data-role="assistant"]')
            expect(answer).to_have_attribute("data-state", "done")


def process(demo: Server, place: int) -> int:
    """The number of the engine that the demo has started after so many others."""
    deadline = time.monotonic() + 30
    while len(found := re.findall(r"llama.cpp: process (\d+)", demo.output)) <= place:
        assert time.monotonic() < deadline, demo.output
        time.sleep(0.02)
    return int(found[place])
