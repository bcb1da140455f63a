"""All routes of the API."""

from fastapi import APIRouter

from playground.api.demos import demo_routes
from playground.api.engine import engine_routes
from playground.api.links import link_routes
from playground.api.presets import preset_routes
from playground.api.services import Services
from playground.api.shares import share_routes
from playground.api.streaming import streaming_routes


def create_router(services: Services) -> APIRouter:
    """The routes of the API. Whatever is wrong is answered with ``{"error", "kind", "field"}``."""
    router = APIRouter()
    for routes in (
        streaming_routes,
        preset_routes,
        engine_routes,
        link_routes,
        share_routes,
        demo_routes,
    ):
        router.include_router(routes(services))
    return router
