"""What a reader's browser has to do, in Chromium without a window: loading, and drawing tokens."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from tests import browser as browsers
from tests.bench.life import closed_since, fetch
from tests.servers import Server

Result = dict[str, Any]

_READY: Final = "html[data-playground=ready]"
_NAIVE_READY: Final = "textarea"
_WAIT_MS: Final = 60_000
_KEPT: Final = "kto-playground.v1.chat"  # where the page keeps its conversation


def page(upstream: Server, ours: Server, naive: Server, tokens: int, loads: int) -> Result:
    """All that is measured in a browser. Raises RuntimeError where there is none."""
    path = browsers.executable()
    if path is None:
        raise RuntimeError("No browser of the Chromium family is installed: `make browser`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browsers.FLAGS))
        try:
            result = {
                "ours": _load(browser, ours.url, _READY, loads),
                "naive": _load(browser, naive.url, _NAIVE_READY, loads),
                "drawing": [
                    {"what": "naive, one column", **_naive(browser, naive.url)},
                    {"what": "one column", **_chat(browser, ours.url, tokens, 0)},
                    {
                        "what": "one column, 100 turns before",
                        **_chat(browser, ours.url, tokens, 100),
                    },
                    {"what": "four columns", **_four(browser, ours.url, tokens)},
                ],
                "closed_tab_ms": _closed_tab(browser, upstream, ours, loads),
                "browser": browser.version,
            }
        finally:
            browser.close()
    for row in result["drawing"]:
        print(f"  page, {row}", flush=True)
    print(f"  page, load {result['ours']} against {result['naive']}", flush=True)
    return result


@contextmanager
def _opened(browser: Browser) -> Iterator[tuple[BrowserContext, Page]]:
    """A page in a profile of its own, with nothing in its cache."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(_WAIT_MS)
    try:
        yield context, tab
    finally:
        context.close()


class _Traffic:
    """What a tab asks for over HTTP, and how many bytes of each answer came over the wire."""

    def __init__(self, context: BrowserContext, tab: Page) -> None:
        self.urls: list[str] = []
        self.sizes: list[float] = []
        network = context.new_cdp_session(tab)
        network.send("Network.enable")
        network.on("Network.loadingFinished", self._finished)
        tab.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        if request.url.startswith("http"):
            self.urls.append(request.url)

    def _finished(self, event: Result) -> None:
        self.sizes.append(event["encodedDataLength"])


def _load(browser: Browser, url: str, ready: str, times: int) -> Result:
    """Seconds until the page can be used, kB over the wire, requests, and those to others."""
    seconds, received, requests, elsewhere = [], [], [], 0
    for _ in range(times):
        with _opened(browser) as (context, tab):
            traffic = _Traffic(context, tab)
            begun = time.monotonic()
            tab.goto(url)
            tab.wait_for_selector(ready)
            seconds.append(time.monotonic() - begun)
            tab.wait_for_load_state("load")
            tab.wait_for_timeout(300)  # what is asked for behind the load counts too
            received.append(sum(traffic.sizes) / 1e3)
            requests.append(len(traffic.urls))
            elsewhere += sum(not each.startswith(url) for each in traffic.urls)
    return {
        "seconds": median(seconds),
        "kb": median(received),
        "requests": median(requests),
        "elsewhere": elsewhere,
        "times": times,
    }


class _Metrics:
    """Chromium's own counters of the main thread, from the moment that this is made."""

    def __init__(self, context: BrowserContext, tab: Page) -> None:
        self._session = context.new_cdp_session(tab)
        self._session.send("Performance.enable")
        self._before = self._now()
        self._begun = time.monotonic()

    def _now(self) -> dict[str, float]:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}

    def taken(self) -> Result:
        """Seconds of main-thread time, and what of it went into script, layout and style."""
        now = self._now()
        took = {name: now[name] - self._before[name] for name in now}
        return {
            "main_thread_s": took["TaskDuration"],
            "script_s": took["ScriptDuration"],
            "layout_s": took["LayoutDuration"],
            "style_s": took["RecalcStyleDuration"],
            "layouts": int(took["LayoutCount"]),
            "wall_s": time.monotonic() - self._begun,
            "heap_mb": now["JSHeapUsedSize"] / 1e6,
        }


def _chat(browser: Browser, url: str, tokens: int, turns: int) -> Result:
    """One answer, below a conversation of so many messages."""
    messages = [_message(i) for i in range(turns)]
    with _opened(browser) as (context, tab):
        if messages:
            kept = json.dumps(json.dumps({"messages": messages}))
            tab.add_init_script(f"localStorage.setItem('{_KEPT}', {kept})")
        tab.goto(url)
        tab.wait_for_selector(_READY)
        tab.fill("#chat-prompt", f"Hello! [tokens {tokens}]")
        metrics = _Metrics(context, tab)
        tab.press("#chat-prompt", "Enter")
        _answered(tab, turns // 2 + 1)
        return metrics.taken()


def _message(i: int) -> Result:
    text = " ".join(f"word{i + j}" for j in range(76))
    if i % 2 == 0:
        return {"role": "user", "content": text}
    return {"role": "assistant", "content": text, "blocks": [f"<p>{text}</p>"], "state": "done"}


def _four(browser: Browser, url: str, tokens: int) -> Result:
    """Four answers beside each other in the tab Compare."""
    with _opened(browser) as (context, tab):
        tab.goto(url)
        tab.wait_for_selector(_READY)
        tab.get_by_role("tab", name="Compare").click()
        add = tab.get_by_role("button", name="Add column")
        add.wait_for()
        while add.is_visible():
            add.click()
        assert tab.locator("section.column").count() == 4
        tab.fill("#compare-prompt", f"Hello! [tokens {tokens}]")
        metrics = _Metrics(context, tab)
        tab.press("#compare-prompt", "Enter")
        _answered(tab, 4)
        return metrics.taken()


def _answered(tab: Page, answers: int) -> None:
    """Wait until there are so many answers, all of them complete."""
    tab.wait_for_function(
        """(count) => {
            const answers = [...document.querySelectorAll('[data-role="assistant"]')];
            return answers.length === count && answers.every((a) => a.dataset.state === 'done');
        }""",
        arg=answers,
        polling=100,
    )


def _naive(browser: Browser, url: str) -> Result:
    with _opened(browser) as (context, tab):
        tab.goto(url)
        box = tab.locator("textarea").first
        box.fill("Hello!")
        metrics = _Metrics(context, tab)
        box.press("Enter")
        stop = tab.locator(".stop-button")
        stop.wait_for()
        stop.wait_for(state="hidden")
        return metrics.taken()


def _closed_tab(browser: Browser, upstream: Server, ours: Server, times: int) -> list[float]:
    """From the closing of a tab to the closing of the engine's connection, which is silent."""
    waits = []
    for _ in range(times):
        before = len(fetch(f"{upstream.url}/closed"))
        with _opened(browser) as (_, tab):
            tab.goto(ours.url)
            tab.wait_for_selector(_READY)
            tab.fill("#chat-prompt", "[silent 4]")
            tab.press("#chat-prompt", "Enter")
            tab.wait_for_function(
                "() => document.querySelector('[data-state=streaming] .body')?.textContent"
            )
            left = time.time()
            tab.close()
            closed = closed_since(upstream, before, 1)
        waits.append(1000 * (closed[0] - left))
    return waits
