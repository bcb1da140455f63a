"""Demo links: made and switched by their owner, tried by whoever has one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, Final

import anyio
from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from playground.api import schemas
from playground.api.demo_watchdog import Watchdog
from playground.api.document import answering, streaming
from playground.api.engine import model_label
from playground.api.http import add_routes, json_router, own_address
from playground.api.services import Services
from playground.api.streaming import EventStream, Opened, open_stream
from playground.api.turns import in_turn
from playground.auth.middleware import principal_of
from playground.auth.responses import json_answer
from playground.domain import models
from playground.domain.errors import StoreError
from playground.domain.messages import Done, Event, Failed, PaneRequest
from playground.engines.base import Engine, EngineState
from playground.engines.metering import Meter
from playground.engines.streams import closing
from playground.generation.bridge.plan import spare_tokens
from playground.generation.comparison import Batches
from playground.generation.requests import RenderBody
from playground.sharing.demo import (
    SwitchBody,
    TermsBody,
    VisitBody,
    capped,
    shown_panes,
    with_engines,
)
from playground.store.demos import HOLD_S, DemoLink, Demos, Reservation

# What an engine's errors say names its address, and quotes what it said: nothing for visitors. One
# for every kind.
_PLAIN: Final[Mapping[str, str]] = {
    "offline": "The model is not there right now. Try again in a while.",
    "loading": "The model is still being loaded. Try again in a minute.",
    "overloaded": "The model has too much to do right now. Try again in a moment.",
    "timeout": "The model did not answer in time. Try again.",
    "incomplete": "The answer broke off. Continue it, or try again.",
    "generation": "The model failed at this answer. Try again.",
    "refused": "The model does not take this. Write it another way, or begin anew.",
    "unauthorized": "The model cannot be used right now. Whoever sent you this link can help.",
    "protocol": "The model cannot be used right now. Whoever sent you this link can help.",
}
_RETRY_S: Final = 5.0

_log: Final = logging.getLogger(__name__)


class _Bill:
    """What the answers to one request use of a reservation; settled once.

    panes: as the demo has them. spares: what the engine of each may write beside its answer.
    """

    def __init__(
        self,
        demos: Demos,
        reservation: Reservation,
        engines: Sequence[Engine],
        panes: Sequence[PaneRequest],
        spares: Sequence[int],
    ) -> None:
        self._demos = demos
        self._reservation = reservation
        self.panes = capped(panes, reservation.tokens)
        shares = [pane.max_new_tokens or 0 for pane in self.panes]
        # Where less was left than was asked for, the answers themselves go first.
        rest, wanted = reservation.tokens - sum(shares), max(sum(spares), 1)
        self.meters = [
            Meter(engine, share + rest * spare // wanted)
            for engine, share, spare in zip(engines, shares, spares, strict=True)
        ]
        self._cut = {
            i: share.max_new_tokens
            for i, (pane, share) in enumerate(zip(panes, self.panes, strict=True))
            if share.max_new_tokens != pane.max_new_tokens
        }
        self._settling: asyncio.Task[None] | None = None

    async def settle(self) -> None:
        """Waits for the database, and not for one that is away: that goes on in the background."""
        if self._settling is None:
            self._settling = asyncio.create_task(
                self._settle(sum(meter.used for meter in self.meters))
            )
        await asyncio.wait([self._settling], timeout=_RETRY_S)

    async def _settle(self, used: int) -> None:
        async with asyncio.timeout(HOLD_S):
            while True:
                try:
                    await self._demos.settle(self._reservation, used)
                    return
                except StoreError:
                    _log.warning("What a demo's answers used is still to be settled.")
                    await asyncio.sleep(_RETRY_S)

    async def over(self, batches: Batches) -> Batches:
        """The batches; at their end, and before their reader sees it, the account is settled."""
        try:
            async with closing(batches) as stream:
                async for batch in stream:
                    yield [(pane, self._told(pane, event)) for pane, event in batch]
        finally:
            with anyio.CancelScope(shield=True):
                await self.settle()

    def _told(self, pane: int, event: Event) -> Event:
        """An event as the demo's visitors see it."""
        if isinstance(event, Done) and event.finish_reason == "length":
            spent = event.generated_tokens == self._cut.get(pane) or (
                self.meters[pane].short
                and event.generated_tokens < (self.panes[pane].max_new_tokens or 0)
            )
            return replace(event, finish_reason="budget") if spent else event
        if isinstance(event, Failed) and event.kind in _PLAIN and event.message:
            return replace(event, message=_PLAIN[event.kind])
        return event


async def read_demo(services: Services, request: Request, token: str) -> DemoLink:
    """A demo for who asks, here and on its page.

    Raises:
        NotFound: The link does not work; one and the same for all that do not.
        Busy: The address has tried out too many.
    """
    async with services.guesses.counted(principal_of(request.scope).address):
        link = await services.store.demos.get(token)
    return replace(link, demo=with_engines(link.demo, services.engines.ids))


def demo_routes(services: Services) -> APIRouter:
    """The owner's routes, and below a token those that need no login."""
    demos = services.store.demos
    running = Watchdog(demos, services.admission)

    async def room(request: Request) -> None:
        await services.new_links.check(principal_of(request.scope).account)

    async def existence(request: Request) -> None:
        request.state.link = await read_demo(services, request, request.path_params["token"])

    async def existence_and_tokens(request: Request) -> None:
        await existence(request)
        await services.daily_tokens.check(principal_of(request.scope).account)

    router = json_router("Demos", services.bodies)
    making = json_router("Demos", services.bodies, first=room)
    trying = json_router("Demos", services.bodies, first=existence_and_tokens)
    rendering = json_router("Demos", services.bodies, first=existence)

    def owned(link: DemoLink, request: Request) -> dict[str, Any]:
        """A link as its owner sees it."""
        return {
            **_shown(link),
            "token": link.token,
            "url": f"{own_address(request, services.settings)}/d/{link.token}",
            "spent": link.spent,
            "enabled": link.enabled,
            "expired": link.expired,
            "created": link.created,
        }

    @asynccontextmanager
    async def visit(
        scope: Scope, link: DemoLink, panes: Sequence[PaneRequest]
    ) -> AsyncGenerator[Opened, None]:
        """A stream of the demo's answers, paid for out of its budget."""
        engines = [services.engines.get(pane.engine) for pane in panes]
        infos = [(await engine.state()).info for engine in engines]
        spares = [
            spare_tokens(pane, info, services.emulation) if info else 0
            for pane, info in zip(panes, infos, strict=True)
        ]
        most = link.demo.most_tokens + sum(spares)
        reservation = await demos.reserve(link.token, most, link.demo.least_tokens)
        bill = _Bill(demos, reservation, engines, panes, spares)
        answers = open_stream(services, scope, bill.panes, engines=bill.meters, hidden=bill.over)
        try:
            async with answers as opened:
                running.begin(opened.number, link.token)
                try:
                    yield opened
                finally:
                    running.end(opened.number)
        finally:
            with anyio.CancelScope(shield=True):
                await bill.settle()

    @making.post("/api/demos", **answering(schemas.DemoData, 429, 503, status=201))
    async def create_demo(request: Request, body: TermsBody) -> Response:
        """Fixes a set-up under a link."""
        terms, who = body.terms(services.presets, services.engines.ids), principal_of(request.scope)
        await services.new_links.take(who.account)
        link = await demos.create(who.owner, terms)
        return json_answer(owned(link, request), 201)

    @router.get("/api/demos", **answering(schemas.DemosAnswer, 503))
    async def list_demos(request: Request) -> Response:
        """One's own demo links, the newest first."""
        links = await demos.all(principal_of(request.scope).owner)
        return json_answer({"demos": [owned(link, request) for link in links]})

    @router.patch("/api/demos/{token}", **answering(schemas.DemoData, 404, 429, 503))
    async def switch_demo(request: Request, token: str, body: SwitchBody) -> Response:
        """The kill switch; what other replicas are writing ends within about a second."""
        who = principal_of(request.scope)
        async with services.guesses.counted(who.address):
            link = await demos.enable(token, body.enabled, owner=who.owner)
        await running.look()
        return json_answer(owned(link, request))

    @router.delete("/api/demos/{token}", **answering(None, 404, 429, 503, status=204))
    async def delete_demo(request: Request, token: str) -> Response:
        """Deletes one's own demo link; what is being written for it ends."""
        who = principal_of(request.scope)
        async with services.guesses.counted(who.address):
            await demos.delete(token, owner=who.owner)
        await running.look()
        return Response(status_code=204)

    @router.get("/api/demos/{token}", **answering(schemas.DemoAnswer, 404, 429, 503))
    async def show_demo(request: Request, token: str) -> Response:
        """What a demo fixes, and what is left of its budget."""
        link = await read_demo(services, request, token)
        engines = dict.fromkeys(pane.engine for pane in link.demo.panes)
        states = await asyncio.gather(*[services.engines.get(each).state() for each in engines])
        return json_answer({**_shown(link), "engine": _engine(states)})

    @trying.post("/api/demos/{token}/stream", **streaming(403, 404, 429, 502, 503))
    async def stream_demo(request: Request, token: str, body: VisitBody) -> Response:
        """Answers as POST /api/stream gives them, of the demo's panes and within its budget."""
        link: DemoLink = request.state.link
        return EventStream(visit(request.scope, link, body.asked(link.demo)))

    @rendering.post("/api/demos/{token}/render", **answering(schemas.BlocksAnswer, 404, 429, 503))
    async def render_demo(request: Request, token: str, body: RenderBody) -> Response:
        """As POST /api/render, which may need a login."""
        async with in_turn(request, services.link_computing):
            blocks = await services.link_rendering.blocks(body.text)
        return json_answer({"blocks": blocks})

    add_routes(router, making, trying, rendering)
    return router


def _shown(link: DemoLink) -> dict[str, Any]:
    """A link as its visitors see it."""
    return {
        "title": link.demo.title,
        "panes": shown_panes(link.demo),
        "system": link.demo.system,
        "notes": link.demo.notes,
        "budget": link.budget,
        "left": max(0, link.left),
        "held": link.held,
        "used_up": link.left < link.demo.least_tokens,
        "expires": link.expires,
    }


def _engine(states: Sequence[EngineState]) -> dict[str, Any]:
    """The first engine's state without its address, and what all of their models are called."""
    now = states[0]
    label = models.combined(model_label(each.info) for each in states if each.info)
    return {
        "state": now.state,
        "reason": _PLAIN.get(now.state, ""),
        "progress": now.progress and asdict(now.progress),
        "model_id": now.info and now.info.model_id,
        "label": label and asdict(label),
    }
