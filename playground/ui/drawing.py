"""Draws Gradio's page and ends: `python -m playground.ui.drawing`, which frame.py starts.

It reads `Contents` and writes `Drawn`, pickled, on standard input and output.
"""

import asyncio
import json
import os
import pickle
import sys
from hashlib import sha256

import httpx
from fastapi import FastAPI

from playground.ui.blocks import build
from playground.ui.frame import ASSETS, ORIGIN, Contents, Drawn, Sheet
from playground.ui.gradio import gr
from playground.ui.gradio_files import merged, named, needed
from playground.ui.page import address, head
from playground.ui.theme import theme


def draw(contents: Contents) -> Drawn:
    """The page as Gradio answers it."""
    app = FastAPI()
    gr.mount_gradio_app(
        app,
        build(contents.presets, contents.engines),
        path="/",
        root_path=contents.root_path or None,
        theme=theme(),
        head=head(contents.version, contents.root_path),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        show_error=False,
    )
    page, config, stylesheet = asyncio.run(_ask(app, "/", "/config", "/theme.css"))
    values = json.loads(config)
    theme_sheet = Sheet(stylesheet, values["theme_hash"])
    files = needed(page, ASSETS, (each["type"] for each in values["components"]))
    frame_sheet = Sheet(css := merged(files.sheets, ASSETS), sha256(css.encode()).hexdigest())
    if files.sheets:
        own = f"{address(contents.version, contents.root_path)}/bundles/main"
        styles = (f"./theme.css?v={theme_sheet.digest}", f"{own}.css")
        sheet = f"./frame.css?v={frame_sheet.digest}"
        page = named(page, files, sheet, styles, f"{own}.js")
    return Drawn(page, config, theme_sheet, frame_sheet)


async def _ask(app: FastAPI, *paths: str) -> list[str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        answers = [await client.get(path) for path in paths]
    return [answer.raise_for_status().text for answer in answers]


if __name__ == "__main__":
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # for whatever Gradio says
    output.write(pickle.dumps(draw(pickle.load(sys.stdin.buffer))))
