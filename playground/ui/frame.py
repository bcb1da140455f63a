"""The page at the root: Gradio's, which draws it once in a process of its own (drawing.py).

Gradio takes a second and 35 MB to import, and has nothing more to do when its page is drawn: no
event of the page goes through its queue, and its own API is not there. So this process has what it
has drawn, and its browser's files, and not Gradio.
"""

import asyncio
import pickle
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from playground.domain.presets import Preset
from playground.ui.content_policy import gradio_policy
from playground.ui.files import FOREVER, Files, coded, coding_of, compressed
from playground.ui.page import STATIC

_GRADIO: Final = find_spec("gradio")
assert _GRADIO is not None
assert _GRADIO.origin is not None
# Where the page believes to be while it is drawn.
ORIGIN: Final = "http://playground.invalid"
ASSETS: Final = Path(_GRADIO.origin).parent / "templates" / "frontend" / "assets"
_LONGEST_S: Final = 60.0  # that Gradio may take, which takes two or three seconds
_READING: Final = ("GET", "HEAD")
_ROOT: Final = re.compile(rf'"{re.escape(ORIGIN)}([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class Contents:
    """What is drawn.

    Attributes:
        engines: Their names for people, by those of requests; the default is the first.
        version: Of the browser's files (`page.static_version`).
        root_path: As in the settings.
    """

    presets: Sequence[Preset]
    engines: Mapping[str, str]
    version: str
    root_path: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A stylesheet.

    Attributes:
        digest: Of its content, which stands in the address by which the page asks for it.
    """

    css: str
    digest: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """What Gradio answers for its page, at `ORIGIN`.

    Attributes:
        page: Its HTML, with Gradio's configuration in it.
        config: The configuration, as JSON.
        theme: The theme's variables.
        frame: Gradio's stylesheets, as one.
    """

    page: str
    config: str
    theme: Sheet
    frame: Sheet


async def draw(contents: Contents) -> Drawn:
    """Have Gradio draw the page.

    Raises:
        RuntimeError: It could not, of which standard error says why, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "playground.ui.drawing"),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,  # a terminal's Ctrl-C is this process's concern
    )
    output = b""
    try:
        with suppress(TimeoutError):  # who waits for the page is told then, and has it drawn anew
            async with asyncio.timeout(_LONGEST_S):
                output, _ = await process.communicate(pickle.dumps(contents))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError("Gradio has not drawn the page.")
    drawn: Drawn = pickle.loads(output)
    return drawn


class Frame:
    """The page, drawn once; anew for who asks next after it could not be."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._drawing: asyncio.Task[Drawn] | None = None

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Draw the page while this lasts, so that nobody has to wait for it."""
        drawing = self._begin()
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])

    async def drawn(self) -> Drawn:
        """The page, as soon as it is drawn.

        Raises:
            RuntimeError: Gradio could not draw it.
        """
        drawing = self._drawing
        if drawing is None or (drawing.done() and (drawing.cancelled() or drawing.exception())):
            drawing = self._begin()
        return await asyncio.shield(drawing)

    def _begin(self) -> "asyncio.Task[Drawn]":
        self._drawing = asyncio.create_task(draw(self._contents))
        return self._drawing


def anywhere(page: str) -> str:
    """A page of `ORIGIN` as one that works at every address: its scripts take the browser's."""
    return _ROOT.sub(r'(location.origin + "\1")', page)


def frame_routes(frame: Frame) -> APIRouter:
    """The page and what it asks for; nothing else is there, whoever asks."""
    router = APIRouter()

    @cache
    def policy(drawn: Drawn) -> str:
        return gradio_policy(anywhere(drawn.page).encode())

    @cache
    def text(text: str, coding: str) -> bytes:
        return compressed(text.encode(), coding)

    @router.api_route("/", methods=[*_READING], include_in_schema=False)
    async def page(request: Request) -> Response:
        drawn, coding = await frame.drawn(), coding_of(request.headers.get("accept-encoding", ""))
        content = await to_thread.run_sync(text, anywhere(drawn.page), coding)
        return coded(content, coding, {"Content-Security-Policy": policy(drawn)}, "text/html")

    async def sheet(request: Request) -> Response:
        drawn, coding = await frame.drawn(), coding_of(request.headers.get("accept-encoding", ""))
        asked = drawn.theme if request.url.path.endswith("/theme.css") else drawn.frame
        content = await to_thread.run_sync(text, asked.css, coding)
        known = request.query_params.get("v") == asked.digest
        headers = {"Cache-Control": FOREVER if known else "no-store"}
        return coded(content, coding, headers, "text/css")

    for path in ("/theme.css", "/frame.css"):
        router.add_api_route(path, sheet, methods=[*_READING], include_in_schema=False)

    @router.api_route("/config", methods=[*_READING], include_in_schema=False)
    async def config(request: Request) -> Response:
        drawn = await frame.drawn()
        origin = f"{request.base_url.scheme}://{request.base_url.netloc}"
        text = drawn.config.replace(ORIGIN, origin)
        return Response(text, 200, {"Cache-Control": "no-store"}, "application/json")

    @router.api_route("/favicon.ico", methods=[*_READING], include_in_schema=False)
    def icon() -> Response:
        return FileResponse(STATIC / "favicon.svg")

    return router


def mount_files(app: FastAPI) -> None:
    """Gradio's browser's files, whose names hold a hash of their content but for a few."""
    app.mount("/assets", Files(ASSETS))
    app.mount("/static", StaticFiles(directory=ASSETS.with_name("static")))
