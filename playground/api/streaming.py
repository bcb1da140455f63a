"""POST /api/stream: answers as they are written, and what belongs to them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import anyio
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from playground.api import schemas
from playground.api.document import answering, streaming
from playground.api.http import add_routes, json_router, refused
from playground.api.services import Services
from playground.api.turns import while_read
from playground.auth.middleware import principal_of
from playground.auth.responses import json_answer
from playground.domain.errors import ConversationTooLong, NotFound, PlaygroundError
from playground.domain.messages import Event, PaneRequest, Waiting
from playground.engines.base import Engine
from playground.engines.streams import closing
from playground.generation import events
from playground.generation.blind import Seal, room, sealed, shuffled
from playground.generation.budget import plan
from playground.generation.comparison import Batches, Stop, compare
from playground.generation.requests import RevealBody, StreamBody
from playground.limits.admission import Ticket
from playground.settings import Settings
from playground.telemetry.usage import AnswerUsage

KEEP_ALIVE_S: Final = 15.0
# So long what is sent may wait here for a reader. One that takes nothing, such as a computer that
# was closed, is ended sooner by the connection (`cli/connections.py`), which sees the single byte;
# a slow one leaves the kernel's buffers full for long, and is well.
READER_S: Final = 600.0
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose answers have their places.

    Attributes:
        number: The stream's id.
    """

    number: str
    batches: Batches


class EventStream(Response):
    """Batches of events as text/event-stream, ended as soon as the reader leaves.

    It is opened when it is called and closed before the call returns, so a response that is never
    called holds nothing. What refuses to open is answered as any other refusal is.

    An empty batch becomes a comment, which keeps proxies from closing.

    Args:
        opening: A stream that is not yet open.
        patience_s: A reader that takes nothing for so many seconds has left, too. Its answers would
            hold their places for as long as it likes.
    """

    def __init__(
        self, opening: AbstractAsyncContextManager[Opened], *, patience_s: float = READER_S
    ) -> None:
        super().__init__()
        self._opening = opening
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the stream, send it to its end or its reader's, and close it."""
        begun = False
        async with AsyncExitStack() as stack:
            # By hand, since Starlette's response would wait for the reader's leaving once more.
            try:
                async with while_read(receive), _Sending(send, self._patience_s) as sending:
                    opened = await stack.enter_async_context(self._opening)
                    begun = True
                    # In a task of its own, which is not resumed through all layers at each part.
                    await asyncio.create_task(_sent(opened, sending.send))
            except PlaygroundError as error:
                if begun:
                    raise
                await refused(scope, error)(scope, receive, send)
            except ClientDisconnect:
                if not begun:
                    raise


async def _sent(opened: Opened, send: Send) -> None:
    headers = [*_HEADERS, (b"x-stream-id", opened.number.encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for batch in opened.batches:
        part = events.encode(batch) if batch else events.KEEP_ALIVE
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Sending:
    """A `send` that ends the ``with`` around it, without an error, once it takes too long.

    It has one timer for all that is sent, which costs a send next to nothing.
    """

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._since: float | None = None  # while something is being sent

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            return True
        return False

    async def send(self, message: Message) -> None:
        self._since = self._loop.time()
        await self._send(message)
        self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        begun = now if self._since is None else self._since
        if now - begun >= self._seconds:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_at(begun + self._seconds, self._look)


@asynccontextmanager
async def open_stream(
    services: Services,
    scope: Scope,
    panes: Sequence[PaneRequest],
    *,
    engines: Sequence[Engine] | None = None,
    hidden: Callable[[Batches], Batches] = lambda batches: batches,
) -> AsyncGenerator[Opened, None]:
    """The answers to `panes`, at once or after a while in the queue, while it is entered.

    Args:
        services: What the routes work with.
        scope: Of the request; who sent it is the asker.
        panes: One to four.
        engines: One for each pane, in place of those that all requests share.
        hidden: What becomes of the batches on their way to the reader.

    Raises:
        Busy: The queue is full, or the account has as many answers as it may.
        ShuttingDown: This server begins no more answers.
        InvalidRequest: More panes than could ever be answered at once.
        ConversationTooLong: A prompt is longer than this server takes.
    """
    asker = principal_of(scope)
    pane_engines = engines or [services.engines.get(pane.engine) for pane in panes]
    admission, metrics = services.admission, services.metrics
    stops = [Stop() for _ in panes]
    usages = [AnswerUsage(metrics.flow) for _ in panes]

    def begin(places: Sequence[int]) -> Batches:
        return compare(
            [pane_engines[place] for place in places],
            [panes[place] for place in places],
            context_tokens=services.settings.context_tokens,
            idle=KEEP_ALIVE_S,
            stops=[stops[place] for place in places],
            usages=[usages[place] for place in places],
            emulation=services.emulation,
            markdown=services.markdown,
        )

    async def done() -> None:
        admission.leave(ticket)
        if not ticket.place:
            metrics.waited(ticket.waited_s)
        for stop, usage in zip(stops, usages, strict=True):
            if stop.asked and usage.outcome == "left":  # stopped in the queue
                usage.outcome = stop.ending.kind
            metrics.answered(usage)
        scope["figures"] = {  # for the access log
            "panes": len(panes),
            "tokens": sum(usage.generated_tokens for usage in usages),
            "waited_ms": round(1000 * ticket.waited_s),
        }
        await services.daily_tokens.count(asker.account, usages)

    await _fit(services)
    ticket = admission.enter(asker, stops)
    async with AsyncExitStack() as elsewhere:
        try:
            if services.places is not None:
                held = services.places.held(asker.account, len(panes))
                await elsewhere.enter_async_context(held)
            if services.settings.max_prompt_tokens is not None:
                # With its places: what counts a prompt is the engine, which others wait for.
                await _check_prompts(pane_engines, panes, services.settings)
        except BaseException:
            admission.leave(ticket, begun=False)
            raise
        try:
            batches = _queued(ticket, begin) if ticket.place else begin(range(len(panes)))
            async with closing(hidden(batches)) as shown:
                yield Opened(ticket.number, shown)
        finally:
            with anyio.CancelScope(shield=True):
                await done()


async def _fit(services: Services) -> None:
    """Let the line be as wide as the engine.

    Of several engines one may be free while another is not: there each engine's own line counts.
    """
    if len(services.engines.engines) == 1:
        info = (await services.engines.default.state()).info
        if info is not None:
            share = max(1, info.slots // services.settings.workers) if info.slots else None
            services.admission.fit(share or services.settings.max_streams)


async def _check_prompts(
    engines: Sequence[Engine], panes: Sequence[PaneRequest], settings: Settings
) -> None:
    """Raises ConversationTooLong. What else cannot be answered, its own pane will say."""
    for engine, pane in zip(engines, panes, strict=True):
        try:
            budget = await plan(engine, pane.messages, pane.max_new_tokens, settings.context_tokens)
        except PlaygroundError:
            continue
        if settings.max_prompt_tokens and budget.fit.tokens > settings.max_prompt_tokens:
            raise ConversationTooLong(
                f"The prompt has {budget.fit.tokens:,} tokens with its conversation, and this "
                f"server takes {settings.max_prompt_tokens:,}. Shorten it, or begin a new chat."
            )


async def _queued(ticket: Ticket, begin: Callable[[Sequence[int]], Batches]) -> Batches:
    """The place of every pane in the queue, then the answers to those not stopped there."""
    left, told = list(range(len(ticket.stops))), 0
    async with closing(ticket.waits(KEEP_ALIVE_S)) as places:
        async for place in places:
            ended = [pane for pane in left if ticket.stops[pane].asked]
            left = [pane for pane in left if pane not in ended]
            batch: list[tuple[int, Event]] = [(pane, ticket.stops[pane].ending) for pane in ended]
            if place is not None and place != told:
                told = place
                batch += [(pane, Waiting(place)) for pane in left]
            yield batch
            if not left:
                return
    async with closing(begin(left)) as batches:
        async for batch in batches:
            yield [(left[pane], event) for pane, event in batch]


def streaming_routes(services: Services) -> APIRouter:
    """The stream, the stop of one of its panes, and the opening of a blind comparison's seals."""
    router = json_router("Answers", services.bodies)

    async def tokens(request: Request) -> None:
        await services.daily_tokens.check(principal_of(request.scope).account)

    writing = json_router("Answers", services.bodies, first=tokens)
    seal = Seal(services.settings.sealing_secret())

    @writing.post("/api/stream", **streaming(429, 502, 503))
    async def stream_answers(request: Request, body: StreamBody) -> Response:
        """Answers as they are written, as server-sent events; a pane's receipt comes first."""
        asked = body.asked(services.presets, services.engines.ids)
        if not asked.blind:
            return EventStream(open_stream(services, request.scope, asked.panes))
        order = shuffled(len(asked.panes))
        return EventStream(
            open_stream(
                services,
                request.scope,
                [asked.panes[place] for place in order],
                hidden=lambda batches: sealed(batches, order, seal, room(asked.panes)),
            )
        )

    @router.delete("/api/stream/{number}/panes/{pane}", **answering(None, 404, status=204))
    async def stop_pane(request: Request, number: str, pane: str) -> Response:
        """Stops one pane of a stream of one's own; the id is its answer's header X-Stream-Id."""
        place = int(pane) if pane.isdecimal() and len(pane) <= 3 else -1
        asker = principal_of(request.scope)
        try:
            services.admission.stop(number, place, asker)
        except NotFound:  # unless another process writes it
            if services.stops is None or not await services.stops.tell(number, place, asker):
                raise
        return Response(status_code=204)

    @router.post("/api/reveal", **answering(schemas.RevealAnswer))
    async def reveal_answers(body: RevealBody) -> Response:
        """What the seals of a blind comparison hold, in their order."""
        return json_answer(
            {"opened": [seal.open(each, f"sealed[{i}]") for i, each in enumerate(body.sealed)]}
        )

    add_routes(router, writing)
    return router
