"""TGI's HTTP routes over the engine: reading requests, writing answers and events."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from jinja2 import TemplateError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tgi.embedded import requests
from tgi.embedded.batching import Engine, Event, Failed, Finished, Job, Token, Written
from tgi.embedded.metrics import Metrics
from tgi.embedded.requests import Generate, Invalid, Limits, Malformed
from tgi.embedded.text import MissingTemplate, Text

MAX_BODY = 2_000_000  # bytes; TGI's --payload-limit
KEEP_ALIVE = 15.0  # seconds of silence before a comment is sent, as in TGI

Json = dict[str, Any]


class Refused(Exception):
    """An answer of TGI's form {"error", "error_type"}, with its status outside of streams."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": message, "error_type": kind}


class Service:
    """What the routes share. info: the body of /info; model_id: its name there."""

    def __init__(
        self, engine: Engine, text: Text, limits: Limits, metrics: Metrics, info: Json
    ) -> None:
        self.engine = engine
        self.text = text
        self.limits = limits
        self.metrics = metrics
        self.info = info
        self.running = 0

    def admit(self) -> None:
        """Count a request in. Raises Refused when there are too many."""
        if self.running >= self.limits.max_concurrent_requests:
            self.metrics.count("tgi_request_failure", err="overloaded")
            raise Refused(429, "overloaded", "Model is overloaded")
        self.running += 1

    def job(self, body: Mapping[str, Any], *, stream: bool) -> tuple[Generate, Job]:
        """Check a request and make it a job. Raises Malformed or Refused."""
        begun = time.monotonic()
        try:
            request = requests.parse(body, self.limits, stream=stream)
            tokens = self.text.encode(request.inputs, special=request.add_special_tokens)
            tokens, limit = requests.fit(request, tokens, self.limits)
        except Invalid as error:
            self.metrics.count("tgi_request_failure", err="validation")
            raise Refused(422, "validation", f"Input validation error: {error}") from None
        self.metrics.observe("tgi_request_input_length", len(tokens))
        self.metrics.observe("tgi_request_max_new_tokens", limit)
        self.metrics.observe("tgi_request_validation_duration", time.monotonic() - begun)
        job = Job(tokens, limit, request.sampling, request.stop, request.top_n_tokens)
        return request, job

    def failure(self, event: Failed) -> Refused:
        self.metrics.count("tgi_request_failure", err="generation")
        message = f"Request failed during generation: {event.message}"
        return Refused(424, "generation", message)

    def success(self, job: Job, tokens: int, arrived: float) -> dict[str, str]:
        """Count an answer that ended by itself. Gives TGI's headers about it."""
        now = time.monotonic()
        inference = now - job.started
        durations = {
            "tgi_request_duration": now - arrived,
            "tgi_request_queue_duration": job.started - job.queued,
            "tgi_request_inference_duration": inference,
            "tgi_request_mean_time_per_token_duration": inference / tokens,
        }
        self.metrics.count("tgi_request_success")
        self.metrics.observe("tgi_request_generated_tokens", tokens)
        for name, seconds in durations.items():
            self.metrics.observe(name, seconds)
        return {
            "x-compute-type": "cpu",
            "x-compute-time": str(now - arrived),
            "x-total-time": str(round((now - arrived) * 1000)),
            "x-validation-time": str(round((job.queued - arrived) * 1000)),
            "x-queue-time": str(round((job.started - job.queued) * 1000)),
            "x-inference-time": str(round(inference * 1000)),
            "x-time-per-token": str(round(inference / tokens * 1000)),
            "x-prompt-tokens": str(len(job.prompt)),
            "x-generated-tokens": str(tokens),
        }


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
        return _json(service.text.pieces(text, special=special))

    async def chat_tokenize(request: Request) -> Response:
        service.metrics.count("tgi_request_count")
        chat = requests.decode(await _body(request))
        prompt = _render(service.text, requests.parse_messages(chat))
        pieces = service.text.pieces(prompt, special=False)
        return _json({"tokenize_response": pieces, "templated_text": prompt})

    async def generate(request: Request) -> Response:
        return await _generate(service, request, requests.decode(await _body(request)))

    async def generate_stream(request: Request) -> Response:
        service.metrics.count("tgi_request_count")
        return EventStream(service, requests.decode(await _body(request)))

    async def either(request: Request) -> Response:
        """TGI's compatibility route: `stream` decides, and one answer comes in a list."""
        body = requests.decode(await _body(request))
        stream = body.get("stream", False)
        requests.check_boolean("stream", stream)
        if stream:
            service.metrics.count("tgi_request_count")
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
    except MissingTemplate:
        message = "Template error: template not found"
    except TemplateError as error:
        message = f"Template error: {error}"
    raise Refused(422, "template_error", message)


async def _generate(
    service: Service, request: Request, body: Json, *, wrap: bool = False
) -> Response:
    service.metrics.count("tgi_request_count")
    arrived = time.monotonic()
    service.admit()
    try:
        asked, job = service.job(body, stream=False)
        watcher = asyncio.create_task(_watch(service, job, request.receive))
        try:
            service.engine.submit(job)
            events: list[Event] = []
            while not events or isinstance(events[-1], Written):
                events += await job.take()
                if job.cancelled:
                    raise ClientDisconnect
        finally:
            watcher.cancel()
            service.engine.cancel(job)
    finally:
        service.running -= 1
    *written, last = events
    if isinstance(last, Failed):
        raise service.failure(last)
    assert isinstance(last, Finished)
    answer: Json = {"generated_text": _whole(asked, last.text)}
    if asked.details:
        tokens = [event for event in written if isinstance(event, Written)]
        answer["details"] = {
            "finish_reason": last.reason,
            "generated_tokens": last.tokens,
            "seed": _seed(asked),
            "prefill": [],
            "tokens": [_token(event.token) for event in tokens],
        }
        if asked.top_n_tokens:
            answer["details"]["top_tokens"] = [
                [_token(token) for token in event.top] for event in tokens
            ]
    headers = service.success(job, last.tokens, arrived)
    headers["x-compute-characters"] = str(len(asked.inputs))
    return _json([answer] if wrap else answer, headers=headers)


class EventStream(Response):
    """The answer of /generate_stream: 200 at once, and errors as events."""

    def __init__(self, service: Service, body: Json) -> None:
        text, _ = requests.parse_inputs(body)
        super().__init__(
            media_type="text/event-stream",
            headers={
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                "x-compute-type": "cpu",
                "x-compute-characters": str(len(text)),
            },
        )
        del self.headers["content-length"]
        self._service = service
        self._body = body
        self._arrived = time.monotonic()
        self._index = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service

        async def write(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        async def start() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        try:
            service.admit()
        except Refused as error:
            await start()
            await write(_event(error.body), more=False)
            return
        try:
            try:
                asked, job = service.job(self._body, stream=True)
            except Refused as error:
                await start()
                await write(_event(error.body), more=False)
                return
            await start()
            service.engine.submit(job)
            watcher = asyncio.create_task(_watch(service, job, receive))
            try:
                await self._relay(asked, job, write)
            finally:
                watcher.cancel()
                service.engine.cancel(job)
        finally:
            service.running -= 1

    async def _relay(self, asked: Generate, job: Job, write: Any) -> None:
        loop = asyncio.get_running_loop()
        quiet = loop.time()
        timer = loop.call_later(KEEP_ALIVE, job.arrived.set)
        try:
            while not job.cancelled:
                events = await job.take()
                if not events:
                    if loop.time() - quiet >= KEEP_ALIVE / 2:
                        await write(b":\n\n")
                        quiet = loop.time()
                    timer = loop.call_later(KEEP_ALIVE, job.arrived.set)
                    continue
                quiet = loop.time()
                ended = not isinstance(events[-1], Written)
                await write(b"".join(self._lines(asked, job, events)), more=not ended)
                if ended:
                    return
        finally:
            timer.cancel()

    def _lines(self, asked: Generate, job: Job, events: list[Event]) -> list[bytes]:
        lines = []
        for place, event in enumerate(events):
            if isinstance(event, Failed):
                lines.append(_event(self._service.failure(event).body))
            elif isinstance(event, Written):
                self._index += 1
                following = events[place + 1] if place + 1 < len(events) else None
                end = following if isinstance(following, Finished) else None
                lines.append(_event(self._token_event(asked, job, event, end)))
        return lines

    def _token_event(self, asked: Generate, job: Job, event: Written, end: Finished | None) -> Json:
        body: Json = {"index": self._index, "token": _token(event.token)}
        if event.top:
            body["top_tokens"] = [_token(token) for token in event.top]
        body |= {"generated_text": None, "details": None}
        if end:
            self._service.success(job, end.tokens, self._arrived)
            body["generated_text"] = _whole(asked, end.text)
            if asked.details:
                body["details"] = {
                    "finish_reason": end.reason,
                    "generated_tokens": end.tokens,
                    "seed": _seed(asked),
                    "input_length": len(job.prompt),
                }
        return body


async def _watch(service: Service, job: Job, receive: Receive) -> None:
    """Drop the job as soon as its reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    service.metrics.count("tgi_request_failure", err="dropped")
    service.engine.cancel(job)
    job.arrived.set()


def _whole(asked: Generate, text: str) -> str:
    return asked.inputs + text if asked.return_full_text else text


def _seed(asked: Generate) -> int | None:
    return asked.sampling.seed if asked.sampling.sample else None


def _token(token: Token) -> Json:
    return {
        "id": token.id,
        "text": token.text,
        "logprob": token.logprob,
        "special": token.special,
    }


def _event(body: Json) -> bytes:
    return b"data:" + orjson.dumps(body) + b"\n\n"


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
