"""What all routes share: a request's JSON in, and whatever is wrong as ``{error, kind, field}``."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Scope

from playground.auth.responses import UnreadableBody, refusal
from playground.domain.errors import InvalidRequest, PlaygroundError
from playground.domain.validation import Chain, path_of, refusal_of
from playground.settings import MAX_BODY_BYTES, Settings

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def refused(scope: Scope, error: PlaygroundError) -> Response:
    """The answer to a request that cannot be done."""
    scope["refusal"] = error.kind  # for the access log
    return refusal(error)


def json_router(tag: str, most_bytes: int = MAX_BODY_BYTES) -> APIRouter:
    """A router whose routes take JSON of at most so many bytes, and answer the product's errors.

    In the document they stand under the tag, each by the name of its function.
    """
    return APIRouter(
        route_class=type("Route", (_Route,), {"most_bytes": most_bytes}),
        tags=[tag],
        generate_unique_id_function=lambda route: route.name,
    )


class _Route(APIRoute):
    """A route whose body is read here, before FastAPI would.

    Its content type must say that it is JSON, which a form of another site cannot, and it is
    refused as soon as it is too large.
    """

    most_bytes: int

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                if self.body_field is not None:
                    request = _Read(request, await _body_of(request, self.most_bytes))
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    assert self.body_field is not None  # no other parameter can be wrong
                    kind = self.body_field.field_info.annotation
                    raise refusal_of(error.errors(), kind, error.body, skipped=1) from error
            except PlaygroundError as error:
                return refused(request.scope, error)

        return answered


class _Read(Request):
    """A request whose body was read. FastAPI asks whether there is one before it asks for it."""

    def __init__(self, request: Request, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value

    async def body(self) -> bytes:
        return b"read"

    async def json(self) -> object:
        return self._value


async def _body_of(request: Request, most: int) -> object:
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
    """Why a body cannot be read.

    Python's own parser takes what orjson does not: halves of a surrogate pair, which a browser
    sends of a text that was cut inside an emoji.
    """
    try:
        field = _lone_surrogate(json.loads(body))
    except (ValueError, RecursionError):
        field = None
    if field is None:
        return UnreadableBody(f"The body is not JSON: {error}.", status=400)
    return InvalidRequest(
        f"{field} holds half of a character (a lone surrogate), as when a text is cut inside an "
        "emoji. Delete it.",
        field=field,
    )


def _lone_surrogate(body: object) -> str | None:
    """The field of a text with half of a surrogate pair, which no UTF-8 can say; ``None``: none.

    Its path is put together when it is found: to do so for every element of a body would take time
    in the product of their number and the length of their names.
    """
    left: list[tuple[Chain, object]] = [(None, body)]
    while left:
        chain, each = left.pop()
        if isinstance(each, str):
            if _SURROGATE.search(each):
                return _field(chain)
        elif isinstance(each, list):
            left += [((chain, i), inner) for i, inner in reversed(list(enumerate(each)))]
        elif isinstance(each, dict):
            for name, inner in reversed(each.items()):
                left.append(((chain, name), inner))
                if _SURROGATE.search(name):
                    left.append(((chain, name), name))
    return None


def _field(chain: Chain) -> str:
    path = path_of(chain).removeprefix(".") or "body"
    return path.encode("utf-8", "replace").decode()


def own_address(request: Request, settings: Settings) -> str:
    """The playground's address for others, without a slash at its end.

    It is the one that is set, or the one that it was asked by.
    """
    asked = str(request.base_url.replace(path="", query="", fragment="")).rstrip("/")
    return (settings.public_url or asked).removesuffix(settings.root_path) + settings.root_path
