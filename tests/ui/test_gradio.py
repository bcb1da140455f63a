"""Gradio draws the page in a process of its own, without pandas."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import Browser

from playground.domain.presets import load_presets
from playground.ui import frame
from playground.ui.frame import ASSETS, Contents, Frame
from playground.ui.gradio_files import Needed, needed
from tests.application import Application, draw_anew
from tests.pages import READY
from tests.servers import ROOT

T = TypeVar("T")

CONTENTS = Contents(load_presets(), {}, "v1", "")
# What none needs, or few: to draw the page, to make the database, to show the model's card.
HEAVY = ("alembic", "gradio", "huggingface_hub.hf_api", "numpy", "pandas", "PIL", "tqdm")
MADE = f"""
import sys
from playground.app import create_app
from playground.settings import load_settings
create_app(load_settings(data_dir=sys.argv[1]))
found = set({HEAVY}) & sys.modules.keys()
assert not found, found
"""


def run(program: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def run_apart(asked: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own, since a browser's loop may be running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def test_the_application_is_made_without_what_it_does_not_begin_with(tmp_path: Path) -> None:
    run(MADE, tmp_path)


def test_gradio_uses_the_real_pandas_when_it_uses_it() -> None:
    run(
        "import sys, playground.ui.blocks; assert 'pandas' not in sys.modules; "
        "import gradio.caching; first = gradio.caching.pd.DataFrame; "
        "import pandas.io.json; assert pandas.DataFrame is first; assert pandas.io.json.read_json"
    )


def test_gradio_writes_nothing_beside_itself_and_its_components_are_whole() -> None:
    run(
        "import sys; opened = []; "
        "sys.addaudithook(lambda event, of: event == 'open' and opened.append(str(of[0]))); "
        "from playground.ui.gradio import gr; from gradio.component_meta import ComponentMeta; "
        "stubs = [path for path in opened if path.endswith('.pyi')]; assert not stubs, stubs; "
        "assert isinstance(gr.Button, ComponentMeta); assert gr.Button.click"
    )


def test_a_page_that_could_not_be_drawn_is_drawn_for_the_next_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = frame.Drawn("page", "{}", frame.Sheet("", ""), frame.Sheet("", ""))
    outcomes: list[frame.Drawn | Exception] = [RuntimeError("first"), drawn]

    async def draw(contents: Contents) -> frame.Drawn:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def ask() -> None:
        asked = Frame(CONTENTS)
        async with asked.begun():
            with pytest.raises(RuntimeError, match="first"):
                await asked.drawn()
            assert await asked.drawn() is drawn
            assert await asked.drawn() is drawn, "it is drawn once"

    monkeypatch.setattr(frame, "draw", draw)
    run_apart(ask())
    assert not outcomes


def test_a_server_that_ends_ends_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real process, which would go on for seconds."""
    create = asyncio.create_subprocess_exec

    async def ask() -> asyncio.subprocess.Process:
        begun: asyncio.Future[asyncio.subprocess.Process] = asyncio.Future()

        async def spy(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
            begun.set_result(await create(*arguments, **options))
            return begun.result()

        monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
        async with Frame(CONTENTS).begun():
            return await begun

    monkeypatch.setattr(frame, "draw", draw_anew)
    assert run_apart(ask()).returncode == -signal.SIGKILL


def test_a_drawing_that_comes_to_no_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> asyncio.subprocess.Process:
        create = asyncio.create_subprocess_exec
        begun: list[asyncio.subprocess.Process] = []

        async def hanging(*_: str, **options: Any) -> asyncio.subprocess.Process:
            begun.append(await create(sys.executable, "-c", "input()\nwhile True: pass", **options))
            return begun[0]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", hanging)
        with pytest.raises(RuntimeError, match="has not drawn"):
            async with asyncio.timeout(30):  # fails here, where it does, and leaves nothing behind
                await Frame(CONTENTS).drawn()
        return begun[0]

    monkeypatch.setattr(frame, "draw", draw_anew)
    monkeypatch.setattr(frame, "_LONGEST_S", 0.2)
    assert run_apart(ask()).returncode == -signal.SIGKILL


def test_what_is_drawn_says_where_it_is_by_the_browsers_address() -> None:
    with Application(ui=True, root_path="/model") as running:
        page = httpx.get(f"{running.url}/", timeout=60).text
        assert '"root":(location.origin + "/model")' in page
        assert frame.ORIGIN not in page
        host = {"host": "localhost:1"}
        config = httpx.get(f"{running.url}/config", headers=host)
        assert config.json()["root"] == "http://localhost:1/model"
        digest = config.json()["theme_hash"]
        for version, kept in ((digest, True), ("another", False)):
            theme = httpx.get(f"{running.url}/theme.css?v={version}")
            assert theme.headers["content-type"].startswith("text/css")
            assert ("immutable" in theme.headers["cache-control"]) is kept


def test_a_page_that_nobody_has_seen_takes_few_requests_and_little_data(
    chromium: Browser, site: str
) -> None:
    asked: list[str] = []
    sizes: list[float] = []
    with chromium.new_context() as context:
        tab = context.new_page()
        network = context.new_cdp_session(tab)
        network.send("Network.enable")
        network.on(
            "Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"])
        )
        tab.on("request", lambda request: asked.append(request.url))
        answer = tab.goto(site)
        assert answer is not None
        tab.wait_for_selector(READY)
        tab.wait_for_load_state("networkidle")
        html = answer.text()
    assert len(asked) == len(set(asked)) <= 30, "\n".join(asked)
    assert sum(sizes) <= 300_000
    unnamed = [each for each in asked[1:] if f'"./{each.removeprefix(site + "/")}"' not in html]
    assert [each.removeprefix(site) for each in unnamed] == ["/api/engine", "/api/visitor"], (
        "the page names the rest, so that the browser asks for all of it at once"
    )


def test_of_a_gradio_that_is_built_in_another_way_nothing_is_named(tmp_path: Path) -> None:
    page = (ASSETS.parent / "index.html").read_text(encoding="utf-8")
    [entry] = needed(page, ASSETS, ["nothing"]).scripts[:1]
    assert len(needed(page, ASSETS, ["html"]).scripts) > len(needed(page, ASSETS, []).scripts) > 10
    assert needed("<html></html>", ASSETS, ["html"]) == Needed((), ())
    (tmp_path / entry).write_text("import('./elsewhere.js')")
    assert needed(page, tmp_path, ["html"]) == Needed((entry,), ())
