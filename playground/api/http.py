"""What all routes share: a request's JSON in, and whatever is wrong as ``{error, kind, field}``."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from playground.api.bodies import Bodies
from playground.auth.responses import refusal
from playground.domain.errors import PlaygroundError
from playground.domain.validation import Body
from playground.settings import Settings

# What is asked before a body is read: it raises for a request that is refused whatever it brings.
First = Callable[[Request], Awaitable[None]]


async def _nothing(_: Request) -> None:
    pass


def refused(scope: Scope, error: PlaygroundError) -> Response:
    """The answer to a request that cannot be done."""
    scope["refusal"] = error.kind  # for the access log
    return refusal(error)


def json_router(tag: str, bodies: Bodies | None = None, first: First = _nothing) -> APIRouter:
    """A router whose routes take JSON, and answer the product's errors.

    In the document they stand under the tag, each by the name of its function.

    Args:
        bodies: Reads those of its routes that have one.
        first: Is asked before a body is read.
    """
    attributes = {"bodies": bodies, "first": staticmethod(first)}
    return APIRouter(
        route_class=type("Route", (_Route,), attributes),
        tags=[tag],
        generate_unique_id_function=lambda route: route.name,
    )


def add_routes(router: APIRouter, *others: APIRouter) -> None:
    """Add the routes of others, behind those that there are.

    As `include_router` with its defaults, except that FastAPI goes through what it includes router
    by router at every request, which costs a tenth of what a stream's request does.
    """
    for other in others:
        router.routes.extend(other.routes)


class _Route(APIRoute):
    """A route whose body is read and checked here, before FastAPI would."""

    bodies: Bodies | None
    first: First

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        annotation = self.body_field.field_info.annotation if self.body_field else None
        kind = cast(type[Body] | None, annotation)

        async def answered(request: Request) -> Response:
            try:
                if kind is not None:
                    assert self.bodies is not None
                    await self.first(request)
                    request = _Read(request, await self.bodies.read(request, kind))
                return await handle(request)
            except PlaygroundError as error:
                return refused(request.scope, error)

        return answered


class _Read(Request):
    """A request whose body was read: FastAPI finds nothing to check in what is of its type.

    It asks whether there is a body before it asks for it.
    """

    def __init__(self, request: Request, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value

    async def body(self) -> bytes:
        return b"read"

    async def json(self) -> object:
        return self._value


def own_address(request: Request, settings: Settings) -> str:
    """The playground's address for others, without a slash at its end.

    It is the one that is set, or the one that it was asked by.
    """
    asked = str(request.base_url.replace(path="", query="", fragment="")).rstrip("/")
    return (settings.public_url or asked).removesuffix(settings.root_path) + settings.root_path
