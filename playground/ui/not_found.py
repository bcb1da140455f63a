"""What is at an address that leads nowhere: a page for people, JSON for programs."""

from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from playground.auth.responses import error_answer
from playground.ui import standalone

_READING: Final = ("GET", "HEAD")


def nothing_here(version: str, root_path: str, *, login: bool = False) -> Response:
    """The page that says so.

    Args:
        version: Of the browser's files.
        root_path: As in the settings.
        login: Whether to point to the login, which may show more.
    """
    html = standalone.document(
        "message",
        title="There is nothing here",
        version=version,
        root_path=root_path,
        text="This link was mistyped, has expired, or was withdrawn by whoever made it.",
        login=login,
    )
    return standalone.answer(html, 404)


def not_found_routes(version: str, root_path: str) -> APIRouter:
    """Every address that no other route has, so it stands behind all of them.

    Args:
        version: Of the browser's files.
        root_path: As in the settings.
    """
    router = APIRouter()

    def to(kind: str, token: str) -> Response:
        address = f"{root_path}/{kind}/{quote(token, safe='')}"
        return RedirectResponse(address, 307, {"Cache-Control": "no-store"})

    # A link with a slash at its end, as some programs write it.
    @router.api_route("/s/{token}/", methods=[*_READING], include_in_schema=False)
    def snapshot(token: str) -> Response:
        return to("s", token)

    @router.api_route("/d/{token}/", methods=[*_READING], include_in_schema=False)
    def demo(token: str) -> Response:
        return to("d", token)

    @router.api_route("/{path:path}", methods=[*_READING, "OPTIONS"], include_in_schema=False)
    def nothing(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return nothing_here(version, root_path)
        return error_answer(404, "There is nothing here.", "not_found")

    return router
