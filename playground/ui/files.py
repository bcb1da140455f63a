"""The browser's files: put together, compressed once, and kept by browsers for good."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Final

import brotli
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from playground.auth.responses import error_answer
from playground.ui.bundle import Bundles
from playground.ui.page import STATIC

FOREVER: Final = "public, max-age=31536000, immutable"
_TEXTS: Final = {".css", ".js", ".svg"}
# A larger file is sent as it is: none that a page begins with is, and it would take seconds.
_MOST_BYTES: Final = 1_000_000
_KEPT_FILES: Final = 256
# The next two levels are 8 % smaller and take four times as long, while the first page waits.
_BROTLI: Final = 9

# The modules that start a page, and its stylesheets.
_PAGES: Final = ("main", "snapshot", "demo", "login")
_SHEETS: Final[Mapping[str, Sequence[str]]] = {
    "main": ("page", "compare", "history"),
    "standalone": ("standalone", "page", "compare"),
}


class Files(StaticFiles):
    """Files whose address holds a hash of their content, so that a browser asks only once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._compressed = lru_cache(_KEPT_FILES)(_compressed_file)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, in a coding that its reader takes."""
        response = await super().get_response(path, scope)
        if response.status_code != 200:
            return response
        response.headers["Cache-Control"] = FOREVER
        if not isinstance(response, FileResponse) or response.stat_result is None:
            return response
        file = Path(response.path)
        if file.suffix not in _TEXTS or response.stat_result.st_size > _MOST_BYTES:
            return response
        coding = coding_of(Headers(scope=scope).get("accept-encoding", ""))
        content = await to_thread.run_sync(self._compressed, file, coding)
        headers = {"Cache-Control": FOREVER, "Last-Modified": response.headers["last-modified"]}
        return coded(content, coding, headers, response.media_type)


def coding_of(accepted: str) -> str:
    """The shortest coding that a header Accept-Encoding takes: br, gzip, or "" for none."""
    taken = set()
    for each in accepted.lower().split(","):
        name, _, weight = each.replace(" ", "").partition(";q=")
        if weight.strip("0.") or not weight:
            taken.add(name)
    return next((each for each in ("br", "gzip") if each in taken), "")


def compressed(content: bytes, coding: str) -> bytes:
    """A text in a coding of `coding_of`."""
    if coding == "br":
        short: bytes = brotli.compress(content, mode=brotli.MODE_TEXT, quality=_BROTLI)
        return short
    return gzip.compress(content, mtime=0) if coding else content


def coded(content: bytes, coding: str, headers: dict[str, str], media_type: str | None) -> Response:
    """A response with a content that `compressed` made."""
    named = {"Content-Encoding": coding} if coding else {}
    return Response(content, 200, {**headers, **named, "Vary": "Accept-Encoding"}, media_type)


def _compressed_file(file: Path, coding: str) -> bytes:
    return compressed(file.read_bytes(), coding)


def bundle_routes(version: str, highlight: str) -> APIRouter:
    """Our modules and stylesheets as the few files that the pages name.

    Args:
        version: Of the browser's files (`page.static_version`).
        highlight: The stylesheet of code, which is a part of each.
    """
    router = APIRouter()
    makers: dict[str, Callable[[], str]] = {
        **{f"{page}.js": partial(_begin, page) for page in _PAGES},
        "main-later.js": lambda: _bundles("main").rest(),
        **{f"{name}.css": partial(_styles, sheets, highlight) for name, sheets in _SHEETS.items()},
    }

    @cache
    def content(name: str, coding: str) -> bytes:
        return compressed(makers[name]().encode(), coding)

    @router.api_route(
        f"/ui/{version}/bundles/{{name}}", methods=["GET", "HEAD"], include_in_schema=False
    )
    async def bundle(request: Request, name: str) -> Response:
        if name not in makers:
            return error_answer(404, "There is nothing here.", "not_found")
        coding = coding_of(request.headers.get("accept-encoding", ""))
        text = await to_thread.run_sync(content, name, coding)
        media_type = "text/javascript" if name.endswith(".js") else "text/css"
        return coded(text, coding, {"Cache-Control": FOREVER}, media_type)

    return router


def _bundles(page: str) -> Bundles:
    return Bundles(STATIC, f"pages/{page}.js", page)


def _begin(page: str) -> str:
    return _bundles(page).begin()


def _styles(sheets: Sequence[str], more: str) -> str:
    paths = [STATIC / "styles" / f"{each}.css" for each in sheets]
    return "\n".join([*(each.read_text(encoding="utf-8") for each in paths), more])
