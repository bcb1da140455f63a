"""Gradio draws the page in a process of its own, without pandas."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.domain.presets import load_presets
from playground.ui import frame
from playground.ui.frame import Contents, Frame
from tests.application import Application, draw_anew
from tests.servers import ROOT

CONTENTS = Contents(load_presets(), (), "v1", "")
# Of what Gradio brings along; the application alone needs none of it.
HEAVY = ("alembic", "gradio", "numpy", "pandas", "PIL")
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


def test_the_application_is_made_without_gradio_and_what_it_brings(tmp_path: Path) -> None:
    run(MADE, tmp_path)


def test_gradio_uses_the_real_pandas_when_it_uses_it() -> None:
    run(
        "import sys, playground.ui.blocks; assert 'pandas' not in sys.modules; "
        "import gradio.caching; first = gradio.caching.pd.DataFrame; "
        "import pandas.io.json; assert pandas.DataFrame is first; assert pandas.io.json.read_json"
    )


def test_a_page_that_could_not_be_drawn_is_drawn_for_the_next_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = frame.Drawn("page", "{}", "", "")
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
    asyncio.run(ask())
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
    assert asyncio.run(ask()).returncode == -signal.SIGKILL


def test_what_is_drawn_says_where_it_is_by_the_browsers_address() -> None:
    with Application(ui=True, root_path="/model") as running:
        page = httpx.get(f"{running.url}/").text
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
