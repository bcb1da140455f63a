"""What all routes share: a request's JSON in, JSON out, and the product's errors as answers."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps

import orjson
from fastapi import Request, Response
from starlette.types import Scope

from playground.auth.responses import UnreadableBody, refusal
from playground.domain.errors import InvalidRequest, PlaygroundError
from playground.generation.requests import lone_surrogate
from playground.settings import MAX_BODY_BYTES, Settings

Route = Callable[[Request], Awaitable[Response]]


def answering(route: Route) -> Route:
    """Turns the product's errors into answers."""

    @wraps(route)
    async def answered(request: Request) -> Response:
        try:
            return await route(request)
        except PlaygroundError as error:
            return refused(request.scope, error)

    return answered


def refused(scope: Scope, error: PlaygroundError) -> Response:
    """The answer to a request that cannot be done."""
    scope["refusal"] = error.kind  # for the access log
    return refusal(error)


def limiting(most_bytes: int) -> Callable[[Request], Awaitable[None]]:
    """A dependency of routes, by which `body_of` knows how large a body may be."""

    async def limit(request: Request) -> None:
        request.scope["most_bytes"] = most_bytes

    return limit


async def body_of(request: Request) -> object:
    """The JSON of a request. Its content type must say so: a form of another site cannot.

    It has at most as many bytes as `limiting` says, or MAX_BODY_BYTES.
    """
    most = request.scope.get("most_bytes", MAX_BODY_BYTES)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnreadableBody("The content type must be application/json.", status=415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise UnreadableBody(
                f"The request is larger than this server takes, which is {most:,} bytes. Shorten "
                "it, or begin a new chat.",
                status=413,
            )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _unreadable(bytes(body), error) from error


def _unreadable(body: bytes, error: ValueError) -> InvalidRequest:
    """Why a body cannot be read. Python's own parser takes what orjson does not: halves of a
    surrogate pair, which a browser sends of a text that was cut inside an emoji."""
    try:
        field = lone_surrogate(json.loads(body))
    except (ValueError, RecursionError):
        field = None
    if field is None:
        return UnreadableBody(f"The body is not JSON: {error}.", status=400)
    named = field.encode("utf-8", "replace").decode()
    return InvalidRequest(
        f"{named} holds half of a character (a lone surrogate), as when a text is cut inside an "
        "emoji. Delete it.",
        field=named,
    )


def own_address(request: Request, settings: Settings) -> str:
    """The playground's address for others, without a slash at its end: the one that is set, or the
    one that it was asked by."""
    asked = str(request.base_url.replace(path="", query="", fragment="")).rstrip("/")
    return (settings.public_url or asked).removesuffix(settings.root_path) + settings.root_path
