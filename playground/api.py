"""The HTTP routes: what comes in is checked whole before anything starts, what fails is JSON."""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Any, Final

import anyio
import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from playground import wire
from playground.card import CardShelf
from playground.coalesce import closing
from playground.compare import Stop, compare
from playground.engines.base import Engine
from playground.errors import (
    Busy,
    ConversationTooLong,
    EngineError,
    InvalidRequest,
    NotFound,
    PlaygroundError,
)
from playground.formats import wire as formats
from playground.formats.exchange import read_presets, write_presets
from playground.markdown import render
from playground.messages import Event
from playground.presets import Preset
from playground.proof import Prover
from playground.samplers import PARAMETERS
from playground.seal import Seal, room, sealed, shuffled
from playground.session import plan
from playground.settings import Settings
from playground.snippets import snippets
from playground.streams import Streams

# About a hundred times the context: room for long conversations, and half of what TGI takes.
MAX_BODY_BYTES: Final = 1_000_000
KEEP_ALIVE_S: Final = 15.0
_RETRY_AFTER_S: Final = 2

Route = Callable[[Request], Awaitable[Response]]


class _Unreadable(InvalidRequest):
    """A body that is not even looked into."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, field="body")
        self.status = status


class EventStream(Response):
    """Batches of events as text/event-stream, ended as soon as the reader leaves.

    The reader's leaving is listened for beside the stream, so that it is noticed while there is
    nothing to send. An empty batch becomes a comment, which keeps proxies from closing.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        batches: AsyncGenerator[list[tuple[int, Event]], None],
        number: str,
        done: Callable[[], None],
    ) -> None:
        super().__init__(
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Stream-Id": number,
            }
        )
        del self.headers["content-length"]
        self._batches = batches
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as group:

                async def leave_with_the_reader() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(leave_with_the_reader)
                await self._send(send)
                group.cancel_scope.cancel()
        finally:
            self._done()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with closing(self._batches) as batches:
            async for batch in batches:
                body = wire.encode(batch) if batch else wire.KEEP_ALIVE
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def create_router(engine: Engine, presets: Sequence[Preset], settings: Settings) -> APIRouter:
    """The routes of the API. Whatever is wrong is answered with ``{"error", "kind", "field"}``."""
    router = APIRouter()
    streams = Streams(settings.max_streams)
    seal = Seal(settings.sealing_secret())
    shelf = CardShelf(settings.model_id)
    prover = Prover(settings.tgi_url, settings.api_key())

    @router.post("/api/stream")
    @_answering
    async def stream(request: Request) -> Response:
        asked = wire.parse_stream(await _body(request), presets)
        order = shuffled(len(asked.panes)) if asked.blind else range(len(asked.panes))
        stops = [Stop() for _ in order]
        number = streams.begin(stops)
        batches = compare(
            engine,
            [asked.panes[place] for place in order],
            context_tokens=settings.context_tokens,
            idle=KEEP_ALIVE_S,
            stops=stops,
        )
        if asked.blind:
            batches = sealed(batches, order, seal, room(asked.panes))
        return EventStream(batches, number, lambda: streams.end(number))

    @router.delete("/api/stream/{number}/panes/{pane}")
    @_answering
    async def stop(request: Request) -> Response:
        """Stops one pane of a stream; the id is the header X-Stream-Id of its answer."""
        pane = request.path_params["pane"]
        known = pane.isdecimal() and len(pane) <= 3
        streams.stop(request.path_params["number"], int(pane) if known else -1)
        return Response(status_code=204)

    @router.post("/api/reveal")
    @_answering
    async def reveal(request: Request) -> Response:
        """What the seals of a blind comparison hold, in their order."""
        seals = wire.parse_reveal(await _body(request))
        return _json({"opened": [seal.open(each, f"sealed[{i}]") for i, each in enumerate(seals)]})

    @router.post("/api/pieces")
    @_answering
    async def pieces(request: Request) -> Response:
        """Texts, each cut into the engine's tokens."""
        texts = wire.parse_pieces(await _body(request))
        return _json({"pieces": [await engine.pieces(text) if text else [] for text in texts]})

    @router.get("/api/engine")
    @_answering
    async def state(request: Request) -> Response:
        now = await engine.state()
        info = now.info
        return _json(
            {
                "state": now.state,
                "since": now.since,
                "elapsed_s": round(max(0.0, time.time() - now.since), 1),
                "reason": now.reason,
                "engine": info
                and {
                    "name": info.name,
                    "model_id": info.model_id,
                    "model_sha": info.model_sha,
                    "max_input_tokens": info.max_input_tokens,
                    "max_total_tokens": min(info.max_total_tokens, settings.context_tokens),
                    "max_stop_sequences": info.max_stop_sequences,
                },
                "applied": wire.applied_json(info.applied) if info else {},
                "raw": info and info.raw,
            }
        )

    @router.get("/api/presets")
    @_answering
    async def list_presets(request: Request) -> Response:
        return _json(
            {
                "parameters": [asdict(parameter) for parameter in PARAMETERS],
                "presets": [
                    {
                        "id": preset.id,
                        "name": preset.name,
                        "source": preset.source,
                        "sampler": preset.sampler.set_values(),
                        "max_new_tokens": preset.max_new_tokens,
                        "default": preset.default,
                    }
                    for preset in presets
                ],
                "formats": formats.formats_json(),
            }
        )

    @router.post("/api/presets/import")
    @_answering
    async def import_presets(request: Request) -> Response:
        """The presets of a text; what cannot be read is in `problems`, with its line."""
        text, form = formats.parse_import(await _body(request))
        imported = await anyio.to_thread.run_sync(read_presets, text, form)
        return _json(formats.imported_json(imported))

    @router.post("/api/presets/export")
    @_answering
    async def export_presets(request: Request) -> Response:
        drafts, form = formats.parse_export(await _body(request))
        return _json(formats.exported_json(write_presets(drafts, form), form))

    @router.post("/api/code")
    @_answering
    async def code(request: Request) -> Response:
        """An answer's request as programs, from the prompt and the parameters of its receipt."""
        prompt, sent = wire.parse_code(await _body(request))
        keyed = settings.api_key() is not None
        programs = snippets(settings.tgi_url, prompt, sent, keyed=keyed)
        return _json({"snippets": [asdict(each) for each in programs]})

    @router.post("/api/proof")
    @_answering
    async def proof(request: Request) -> Response:
        """Whether the engine really applies the parameters; takes some seconds the first time."""
        wire.parse_nothing(await _body(request))
        info = (await engine.state()).info
        if info is None:
            raise EngineError("The engine is not ready.", kind="offline", retryable=True)
        return _json(asdict(await prover.proof(info)))

    @router.post("/api/tokenize")
    @_answering
    async def tokenize(request: Request) -> Response:
        asked = wire.parse_tokenize(await _body(request))
        budget = await plan(engine, asked.messages, asked.max_new_tokens, settings.context_tokens)
        return _json(
            {
                "prompt_tokens": budget.fit.tokens,
                "max_total_tokens": budget.total,
                "dropped_turns": budget.fit.dropped_turns,
                "prompt": budget.fit.prompt.text,
                "prompt_sha256": wire.digest(budget.fit.prompt.text),
            }
        )

    @router.post("/api/render")
    @_answering
    async def render_markdown(request: Request) -> Response:
        text = wire.parse_render(await _body(request))
        # In a thread: a text made for it takes seconds, which the streams have not.
        return _json({"blocks": await anyio.to_thread.run_sync(render, text)})

    @router.get("/api/card")
    @_answering
    async def card(request: Request) -> Response:
        return _json(asdict(await shelf.card()))

    @router.get("/livez")
    async def live() -> Response:
        return _json({"state": "live"})

    @router.get("/readyz")
    async def ready() -> Response:
        now = await engine.state()
        return _json(
            {"state": now.state, "reason": now.reason}, 200 if now.state == "ready" else 503
        )

    return router


def _answering(route: Route) -> Route:
    """Turns the product's errors into answers."""

    @wraps(route)
    async def answering(request: Request) -> Response:
        try:
            return await route(request)
        except PlaygroundError as error:
            return _refusal(error)

    return answering


def _refusal(error: PlaygroundError) -> Response:
    headers = {}
    match error:
        case _Unreadable():
            status = error.status
        case InvalidRequest() | ConversationTooLong():
            status = 422
        case NotFound():
            status = 404
        case Busy():
            status = 429
            headers["Retry-After"] = str(_RETRY_AFTER_S)
        case EngineError():
            status = 503 if error.retryable else 502
        case _:
            status = 500
    field = error.field if isinstance(error, InvalidRequest) else None
    return _json({"error": str(error), "kind": error.kind, "field": field}, status, headers)


async def _body(request: Request) -> object:
    """The JSON of a request. Its content type must say so: a form of another site cannot."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Unreadable("The content type must be application/json.", status=415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _Unreadable(f"The body is larger than {MAX_BODY_BYTES:,} bytes.", status=413)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _unreadable(bytes(body), error) from error


def _unreadable(body: bytes, error: ValueError) -> InvalidRequest:
    """Why a body cannot be read. Python's own parser takes what orjson does not: halves of a
    surrogate pair, which a browser sends of a text that was cut inside an emoji."""
    try:
        field = wire.lone_surrogate(json.loads(body))
    except (ValueError, RecursionError):
        field = None
    if field is None:
        return _Unreadable(f"The body is not JSON: {error}.", status=400)
    named = field.encode("utf-8", "replace").decode()
    return InvalidRequest(
        f"{named} holds half of a character (a lone surrogate), as when a text is cut inside an "
        "emoji. Delete it.",
        field=named,
    )


def _json(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(content),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        "application/json",
    )
