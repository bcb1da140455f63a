"""The page /s/<token>: a frozen conversation. The browser draws it from GET /api/shares/<token>."""

import json
from contextlib import suppress
from html import escape
from typing import Final

from fastapi import APIRouter, Request, Response

from playground.api.services import Services
from playground.api.shares import read_snapshot
from playground.auth.middleware import principal_of
from playground.domain.errors import Busy, NotFound, StoreError
from playground.domain.samplers import BY_NAME
from playground.ui import standalone

_PRIVATE: Final = "A shared conversation"
_ABOUT: Final = {
    "chat": "A conversation with KTO Mistral 7B, frozen with the receipt of every answer.",
    "comparison": "Answers of KTO Mistral 7B side by side, frozen with the receipt of each.",
}


def snapshot_routes(services: Services, version: str) -> APIRouter:
    """The page. version: of the browser's files."""
    settings, shares = services.settings, services.store.shares
    root = settings.root_path
    router = APIRouter()

    def sheet(title: str, *paragraphs: str) -> str:
        return standalone.document(
            title=title,
            body=f'<div class="sheet"><h1>{escape(title)}</h1>'
            f"{''.join(f'<p>{each}</p>' for each in paragraphs)}"
            f'<p><a href="{escape(root)}/">Open the playground</a></p></div>',
            version=version,
            root_path=root,
        )

    @router.api_route("/s/{token}", methods=["GET", "HEAD"], response_class=Response)
    async def page(request: Request) -> Response:
        """What is not there, and what its reader may not see, is one and the same page."""
        token, who = request.path_params["token"], principal_of(request.scope)
        try:
            share = (await read_snapshot(services, request, token)).share
        except NotFound:
            login = settings.auth == "users" and who.name is None
            hint = (
                f'If it was shared with members only, <a href="{escape(root)}/login">log in</a> '
                "first, and open the link again."
            )
            return standalone.answer(
                sheet(
                    "There is nothing here",
                    "This link was mistyped, has expired, or was withdrawn by whoever made it.",
                    *([hint] if login else []),
                ),
                404,
            )
        except Busy as error:
            html = sheet("Not now", escape(str(error)))
            return standalone.answer(html, 429, {"Retry-After": str(error.retry_after)})
        except StoreError as error:
            return standalone.answer(sheet("Not now", escape(str(error))), 503)
        if share.owner != who.owner and request.method == "GET":
            with suppress(StoreError):  # read all the same, if not counted
                await shares.seen(token)
        return standalone.answer(
            snapshot(
                token,
                title=share.title,
                kind=share.kind,
                private=share.private,
                version=version,
                root_path=root,
            )
        )

    return router


def snapshot(
    token: str, *, title: str, kind: str, private: bool, version: str, root_path: str
) -> str:
    """The page of a snapshot that its reader may see.

    kind: "chat" or "comparison". What stands in the page's head is shown by whoever previews the
    link: of a private one it says nothing of the content.
    """
    names = escape(json.dumps(list(BY_NAME)))
    return standalone.document(
        title=_PRIVATE if private else title,
        description="Open the link to read it." if private else _ABOUT[kind],
        body=(
            f'<div id="snapshot" data-token="{escape(token)}" data-parameters="{names}">'
            '<p class="soft" role="status">Opening the snapshot…</p></div>'
            "<noscript><p>This page is drawn by scripts of this server, which your browser does "
            "not run.</p></noscript>"
        ),
        head=f'<link rel="stylesheet" href="{escape(root_path)}/ui/{version}/styles/snapshot.css">',
        scripts=["pages/snapshot.js"],
        version=version,
        root_path=root_path,
    )
