"""The browser's files: kept by browsers for good, and compressed once for all of them."""

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

import brotli
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOREVER: Final = "public, max-age=31536000, immutable"
_TEXTS: Final = {".css", ".js", ".svg"}
# A larger file is sent as it is: none that a page begins with is, and it would take seconds.
_MOST_BYTES: Final = 1_000_000
_KEPT_FILES: Final = 256
# The next two levels are 8 % smaller and take four times as long, while the first page waits.
_BROTLI: Final = 9


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
