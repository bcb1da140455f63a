"""The page /s/<token>: a frozen conversation. The browser draws it from GET /api/shares/<token>."""

import json
from contextlib import suppress
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response

from playground.api.services import Services
from playground.api.shares import read_snapshot
from playground.auth.middleware import principal_of
from playground.domain.errors import Busy, NotFound, StoreError
from playground.domain.models import ModelLabel
from playground.domain.samplers import BY_NAME
from playground.sharing.record import written_by
from playground.ui import standalone
from playground.ui.not_found import nothing_here

_PRIVATE: Final = "A shared conversation"
_ABOUT: Final = {
    "chat": "A conversation with {}, frozen with the receipt of every answer.",
    "comparison": "Answers of {} side by side, frozen with the receipt of each.",
}
_A_MODEL: Final = "a language model"


def snapshot_routes(services: Services, version: str) -> APIRouter:
    """The page.

    Args:
        version: Of the browser's files.
    """
    settings, shares = services.settings, services.store.shares
    root = settings.root_path
    router = APIRouter()

    def message(title: str, text: str) -> str:
        return standalone.document(
            "message",
            title=title,
            version=version,
            root_path=root,
            text=text,
            login=False,
        )

    @router.api_route("/s/{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        """What is not there, and what its reader may not see, is one and the same page."""
        token, who = request.path_params["token"], principal_of(request.scope)
        try:
            read = await read_snapshot(services, request, token)
        except NotFound:
            login = settings.auth == "users" and who.name is None
            return nothing_here(version, root, login=login)
        except Busy as error:
            html = message("Not now", str(error))
            return standalone.answer(html, 429, {"Retry-After": str(error.retry_after)})
        except StoreError as error:
            return standalone.answer(message("Not now", str(error)), 503)
        share = read.share
        if share.owner != who.owner and request.method == "GET":
            with suppress(StoreError):  # read all the same, if not counted
                await shares.seen(token)
        return standalone.answer(
            snapshot(
                token,
                title=share.title,
                kind=share.kind,
                private=share.private,
                model=written_by(orjson.loads(read.record)),
                version=version,
                root_path=root,
            )
        )

    return router


def snapshot(
    token: str,
    *,
    title: str,
    kind: str,
    private: bool,
    model: ModelLabel | None,
    version: str,
    root_path: str,
) -> str:
    """The page of a snapshot that its reader may see.

    Args:
        kind: "chat" or "comparison". What stands in the page's head is shown by whoever previews
            the link: of a private one it says nothing of the content.
        model: Which has written the answers, whatever answers here today.
    """
    about = _ABOUT[kind].format(model.title if model else _A_MODEL)
    return standalone.document(
        "snapshot",
        title=_PRIVATE if private else title,
        description="Open the link to read it." if private else about,
        model=model,
        script="snapshot",
        version=version,
        root_path=root_path,
        token=token,
        parameters=json.dumps(list(BY_NAME)),
    )
