"""TGI's HTTP routes over the engine: reading requests, writing answers and events."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from jinja2 import TemplateError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.stand_in import requests
from tests.stand_in.answers import Event, Failed, Finished, Written
from tests.stand_in.requests import Malformed
from tests.stand_in.service import Json, Refused, Service, seed, token_json, whole
from tests.stand_in.streaming import EventStream, watch
from tests.stand_in.text import MissingTemplate, Text, apart

MAX_BODY = 2_000_000  # bytes; TGI's --payload-limit


def routes(service: Service) -> Starlette:
    """The application."""

    async def health(_: Request) -> Response:
        if service.engine.healthy:
            return Response()
        return _json({"error": "unhealthy", "error_type": "healthcheck"}, 503)

    async def info(_: Request) -> Response:
        return _json(service.info)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(service.metrics.render())

    async def models(_: Request) -> Response:
        name = service.info["model_id"]
        model = {"id": name, "object": "model", "created": 0, "owned_by": name}
        return _json({"object": "list", "data": [model]})

    async def tokenize(request: Request) -> Response:
        text, special = requests.parse_inputs(requests.decode(await _body(request)))
        return await _pieces(service.text, text, lambda pieces: pieces, special=special)

    async def chat_tokenize(request: Request) -> Response:
        service.metrics.count("tgi_request_count")
        chat = requests.decode(await _body(request))
        messages = requests.parse_messages(chat)
        if chat.get("tools"):
            message = "Tool error: tools are not supported by this server"
            raise Refused(422, "tool_error", message)
        prompt = _render(service.text, messages)
        return await _pieces(
            service.text,
            prompt,
            lambda pieces: {"tokenize_response": pieces, "templated_text": prompt},
            special=False,
        )

    async def asked(request: Request) -> Json:
        service.metrics.count("tgi_request_count")
        body = requests.decode(await _body(request))
        requests.check(body, stock=service.limits.stock)
        return body

    async def generate(request: Request) -> Response:
        return await _generate(service, request, await asked(request))

    async def generate_stream(request: Request) -> Response:
        return EventStream(service, await asked(request))

    async def either(request: Request) -> Response:
        """TGI's compatibility route: `stream` decides, and one answer comes in a list."""
        body = await asked(request)
        stream = body.get("stream", False)
        requests.check_boolean("stream", stream)
        if stream:
            return EventStream(service, body)
        return await _generate(service, request, body, wrap=True)

    def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return _json(error.body, error.status)

    def malformed(_: Request, error: Exception) -> Response:
        assert isinstance(error, Malformed)
        return PlainTextResponse(str(error), error.status)

    def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    return Starlette(
        routes=[
            Route("/", health, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/ping", health, methods=["GET"]),
            Route("/info", info, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/chat_tokenize", chat_tokenize, methods=["POST"]),
            Route("/generate", generate, methods=["POST"]),
            Route("/generate_stream", generate_stream, methods=["POST"]),
            Route("/", either, methods=["POST"]),
        ],
        exception_handlers={Refused: refused, Malformed: malformed, ClientDisconnect: gone},
    )


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Malformed(415, "Expected request with `Content-Type: application/json`")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Malformed(413, "Failed to buffer the request body: length limit exceeded")
    return bytes(body)


def _render(text: Text, messages: list[Json]) -> str:
    try:
        return text.render(messages)
    except (MissingTemplate, TemplateError) as error:
        raise Refused(422, "template_error", f"Template error: {error}") from None


async def _pieces(
    text: Text, inputs: str, answer: Callable[[list[Json]], object], *, special: bool
) -> Response:
    """The answer made of a text's tokens."""
    return await apart(inputs, lambda: _json(answer(text.pieces(inputs, special=special))))


async def _generate(
    service: Service, request: Request, body: Json, *, wrap: bool = False
) -> Response:
    arrived = time.monotonic()
    with service.place():
        asked, job = await service.job(body, stream=False)
        watcher = asyncio.create_task(watch(service, job, request.receive))
        try:
            service.engine.submit(job)
            events: list[Event] = []
            while not job.ended:
                events += await job.take()
                if job.cancelled:
                    raise ClientDisconnect
            events += job.events
        finally:
            watcher.cancel()
            service.engine.cancel(job)
    *written, last = events
    if isinstance(last, Failed):
        raise service.failure(last)
    assert isinstance(last, Finished)
    answer: Json = {"generated_text": whole(asked, last.text)}
    if asked.details:
        tokens = [event for event in written if isinstance(event, Written)]
        answer["details"] = {
            "finish_reason": last.reason,
            "generated_tokens": last.tokens,
            "seed": seed(asked),
            "prefill": [],
            "tokens": [token_json(event.token) for event in tokens],
        }
        if asked.top_n_tokens:
            answer["details"]["top_tokens"] = [
                [token_json(token) for token in event.top] for event in tokens
            ]
    headers = service.success(job, last.tokens, arrived)
    headers["x-compute-characters"] = str(len(asked.inputs))
    return _json([answer] if wrap else answer, headers=headers)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
