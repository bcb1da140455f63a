"""TGI's HTTP routes over the engine: reading requests, writing answers and events."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.stand_in import requests
from tests.stand_in.answers import Event, Failed, Finished, Job, Written
from tests.stand_in.reading import Malformed
from tests.stand_in.requests import Generate
from tests.stand_in.service import Json, Refused, Service, another, seed, token_json, whole
from tests.stand_in.streaming import EventStream, watch
from tests.stand_in.text import Text, apart

MAX_BODY = 2_000_000  # bytes; TGI's --payload-limit
_VARY = "origin, access-control-request-method, access-control-request-headers"
_ALLOWED = {
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "content-type",
}


def routes(service: Service) -> ASGIApp:
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
        text = requests.read(await _body(request))["inputs"]
        return await _pieces(service.text, text, lambda pieces: pieces, special=True)

    async def chat_tokenize(request: Request) -> Response:
        chat = requests.read_messages(await _body(request))
        service.metrics.count("tgi_request_count")
        if chat.get("tools"):
            message = "Tool error: tools are not supported by this server"
            raise Refused(422, "tool_error", message)
        prompt = service.text.render(chat["messages"])
        return await _pieces(
            service.text,
            prompt,
            lambda pieces: {"tokenize_response": pieces, "templated_text": prompt},
            special=False,
        )

    async def asked(request: Request, *, compatible: bool = False) -> Json:
        body = requests.read(
            await _body(request),
            all_samplers=service.limits.all_samplers,
            compatible=compatible,
        )
        service.metrics.count("tgi_request_count")
        return body

    async def generate(request: Request) -> Response:
        return await _generate(service, request, await asked(request))

    async def generate_stream(request: Request) -> Response:
        return EventStream(service, await asked(request))

    async def either(request: Request) -> Response:
        """TGI's compatibility route: `stream` decides, one answer comes in a list.

        As of a text-generation model on the Hub, the prompt stands in front of the answer.
        """
        body = await asked(request, compatible=True)
        given = body.setdefault("parameters", {"do_sample": True})
        if given.get("return_full_text") is None:
            given["return_full_text"] = True
        if body.get("stream"):
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

    def empty(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Response(status_code=error.status_code, headers=error.headers)

    application = Starlette(
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
        exception_handlers={
            Refused: refused,
            Malformed: malformed,
            ClientDisconnect: gone,
            HTTPException: empty,
        },
    )
    return allow_any_origin(application)


def allow_any_origin(application: ASGIApp) -> ASGIApp:
    """TGI's CORS: every answer is for any origin, and OPTIONS is answered for every path."""
    headers = {"access-control-allow-origin": "*", "vary": _VARY}
    preflight = Response(headers={**headers, **_ALLOWED})

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await preflight(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await application(scope, receive, sending)

    return answer


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


async def _pieces(
    text: Text, inputs: str, answer: Callable[[list[Json]], object], *, special: bool
) -> Response:
    """The answer made of a text's tokens."""
    return await apart(inputs, lambda: _json(answer(text.pieces(inputs, special=special))))


async def _generate(
    service: Service, request: Request, body: Json, *, wrap: bool = False
) -> Response:
    arrived = time.monotonic()
    with contextlib.ExitStack() as places:
        places.enter_context(service.place())
        asked, job = await service.job(body, stream=False)
        jobs = [job]
        while len(jobs) < asked.best_of:
            places.enter_context(service.place())
            jobs.append(another(job))
        watcher = asyncio.create_task(watch(service, jobs, request.receive))
        try:
            for job in jobs:
                service.engine.submit(job)
            answers = [await _whole(job) for job in jobs]
        finally:
            watcher.cancel()
            for job in jobs:
                service.engine.cancel(job)
    for last, _ in answers:
        if isinstance(last, Failed):
            raise service.failure(last)
    told = [
        _told(asked, job, last, written)
        for job, (last, written) in zip(jobs, answers, strict=True)
        if isinstance(last, Finished)
    ]
    best = max(range(len(jobs)), key=lambda place: _likelihood(answers[place][1]))
    text, details = told.pop(best)
    answer: Json = {"generated_text": text}
    if asked.details:
        if asked.best_of > 1:
            details["best_of_sequences"] = [{"generated_text": t, **rest} for t, rest in told]
        answer["details"] = details
    headers = service.success(jobs[best], details["generated_tokens"], arrived)
    headers["x-compute-characters"] = str(len(asked.inputs))
    return _json([answer] if wrap else answer, headers=headers)


async def _whole(job: Job) -> tuple[Finished | Failed, list[Written]]:
    """How an answer ended, and what was written."""
    events: list[Event] = []
    while not job.ended:
        events += await job.take()
        if job.cancelled:
            raise ClientDisconnect
    *written, last = events + job.events
    assert isinstance(last, Finished | Failed)
    return last, [event for event in written if isinstance(event, Written)]


def _told(asked: Generate, job: Job, last: Finished, written: list[Written]) -> tuple[str, Json]:
    """The text of an answer, and its details."""
    details: Json = {
        "finish_reason": last.reason,
        "generated_tokens": last.tokens,
        "seed": seed(job),
        "prefill": [asdict(token) for token in last.prefill],
        "tokens": [token_json(event.token) for event in written],
    }
    if asked.top_n_tokens:
        details["top_tokens"] = [[token_json(token) for token in event.top] for event in written]
    return whole(asked, last.text), details


def _likelihood(written: list[Written]) -> float:
    return sum(event.token.logprob for event in written) / len(written)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
