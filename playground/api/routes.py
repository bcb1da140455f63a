"""All routes of the API."""

from typing import Final

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.routing import Match

from playground.api.demos import demo_routes
from playground.api.engine import engine_routes, health_routes
from playground.api.http import add_routes, json_router
from playground.api.links import link_routes
from playground.api.presets import preset_routes
from playground.api.services import Services
from playground.api.shares import share_routes
from playground.api.streaming import streaming_routes
from playground.auth.responses import error_answer
from playground.domain.errors import NotFound

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def create_router(services: Services) -> APIRouter:
    """The routes of the API. Whatever is wrong is answered with ``{"error", "kind", "field"}``."""
    router = APIRouter()
    for routes in (
        streaming_routes,
        preset_routes,
        engine_routes,
        health_routes,
        link_routes,
        share_routes,
        demo_routes,
    ):
        add_routes(router, routes(services))
    return router


def other_routes(app: FastAPI) -> APIRouter:
    """What is below /api and no route.

    It stands behind all of the application's others, and before Gradio, which would answer in its
    own way.
    """
    router = json_router("")
    others = [*app.routes]

    @router.api_route("/api/{path:path}", methods=[*_METHODS], include_in_schema=False)
    async def refuse(request: Request) -> Response:
        allowed = [
            method
            for method in _METHODS
            if any(
                each.matches({**request.scope, "method": method})[0] is Match.FULL
                for each in others
            )
        ]
        if not allowed:
            raise NotFound("There is no such address. /api/docs lists those that there are.")
        return error_answer(
            405,
            f"This address takes {' and '.join(allowed)}.",
            "method",
            headers={"Allow": ", ".join(allowed)},
        )

    return router
