"""Snapshots: made, listed and withdrawn by their owner, read by whoever has the link."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from playground.api import schemas
from playground.api.document import answering
from playground.api.http import json_router, own_address
from playground.api.services import Services
from playground.api.turns import in_turn
from playground.auth.middleware import principal_of
from playground.auth.responses import json_answer
from playground.domain.errors import NotFound
from playground.domain.principal import Principal
from playground.generation.renderer import MOST_CHARACTERS, Renderer
from playground.settings import Settings
from playground.sharing.record import ShareBody, answers, one_line, shown_first
from playground.store.shares import GONE, Share, Snapshot


async def read_snapshot(services: Services, request: Request, token: str) -> Snapshot:
    """A snapshot for who asks, here and on its page.

    Raises:
        NotFound: There is none that its reader may see; one and the same for all that are not.
        Busy: The address has tried out too many links.
    """
    who = principal_of(request.scope)
    async with services.guesses.counted(who.address):
        snapshot = await services.store.shares.get(token)
        if snapshot.share.private and who.name is None and services.settings.auth != "none":
            raise NotFound(GONE)
        return snapshot


def share_routes(services: Services) -> APIRouter:
    """Where nobody logs in, `private` only keeps the title out of what a link's preview shows."""
    shares, settings = services.store.shares, services.settings

    async def room(request: Request) -> None:
        await services.new_links.check(principal_of(request.scope).account)

    router = json_router("Snapshots", services.bodies, first=room)

    @router.post("/api/shares", **answering(schemas.ShareData, 429, 503, status=201))
    async def create_share(request: Request, body: ShareBody) -> Response:
        """Freezes a record under a link."""
        parsed = body.record
        title = one_line(parsed.title if body.title is None else body.title, "title")
        who = principal_of(request.scope)
        await services.new_links.take(who.account)
        share = await shares.create(
            who.owner, parsed, title=title, expires_in_s=body.expires_in_s, private=body.private
        )
        return json_answer(_owned(share, request, settings), 201)

    @router.get("/api/shares", **answering(schemas.SharesAnswer, 503))
    async def list_shares(request: Request) -> Response:
        """One's own snapshots, the newest first; also those that have expired lately."""
        found = await shares.of(principal_of(request.scope).owner)
        return json_answer({"shares": [_owned(share, request, settings) for share in found]})

    @router.get("/api/shares/{token}", **answering(schemas.ShareAnswer, 404, 429, 503))
    async def show_share(request: Request, token: str) -> Response:
        """The record exactly as it was stored, and beside it the answers' texts as HTML."""
        snapshot = await read_snapshot(services, request, token)
        async with in_turn(request, services.link_computing):
            blocks = await _rendered(services.link_rendering, token, snapshot.record)
        return json_answer(
            {
                "share": _shown(snapshot.share, principal_of(request.scope)),
                "record": orjson.Fragment(snapshot.record),
                "blocks": blocks,
            }
        )

    @router.delete("/api/shares/{token}", **answering(None, 404, 429, 503, status=204))
    async def delete_share(request: Request, token: str) -> Response:
        """Only the owner's own; any other is not there, and counts as a guess."""
        who = principal_of(request.scope)
        async with services.guesses.counted(who.address):
            await shares.delete(token, who.owner)
        return Response(status_code=204)

    return router


async def _rendered(renderer: Renderer, token: str, record: str) -> list[list[list[str] | None]]:
    """Of each column and message the blocks of HTML.

    ``None`` for what a user said, and for what comes after so much text that its reader would wait:
    that is shown as it is. Of each column the branch that is shown comes first.
    """
    body = orjson.loads(record)
    left = MOST_CHARACTERS
    columns: list[list[list[str] | None]] = []
    for column, texts in zip(body["columns"], answers(body), strict=True):
        blocks: list[list[str] | None] = [None] * len(texts)
        for place in shown_first(column):
            text = texts[place]
            left -= len(text or "")
            if text is not None and left >= 0:
                blocks[place] = await renderer.blocks(text, kept_of=token)
        columns.append(blocks)
    return columns


def _shown(share: Share, who: Principal) -> dict[str, Any]:
    """A share as its reader sees it. Times are seconds since 1970."""
    mine = share.owner == who.owner
    return {
        "title": share.title,
        "kind": share.kind,
        "created": share.created,
        "expires": share.expires,
        "private": share.private,
        "mine": mine,
        "views": share.views if mine else None,
    }


def _owned(share: Share, request: Request, settings: Settings) -> dict[str, Any]:
    """A share as its owner sees it."""
    return {
        "token": share.token,
        "url": f"{own_address(request, settings)}/s/{share.token}",
        "title": share.title,
        "kind": share.kind,
        "created": share.created,
        "expires": share.expires,
        "views": share.views,
        "private": share.private,
    }
