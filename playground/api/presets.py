"""The presets: the table, and other tools' files in and out."""

from dataclasses import asdict

import anyio
from fastapi import APIRouter, Request, Response

from playground.api.http import answering, body_of
from playground.api.services import Services
from playground.auth.responses import json_answer
from playground.domain.samplers import PARAMETERS
from playground.formats import bodies
from playground.formats.exchange import read_presets, write_presets


def preset_routes(services: Services) -> APIRouter:
    """The parameters and presets of this server, and their exchange with other tools."""
    presets = services.presets
    router = APIRouter()

    @router.get("/api/presets")
    @answering
    async def list_presets(request: Request) -> Response:
        return json_answer(
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
                "formats": bodies.formats_json(),
            }
        )

    @router.post("/api/presets/import")
    @answering
    async def import_presets(request: Request) -> Response:
        """The presets of a text; what cannot be read is in `problems`, with its line."""
        text, form = bodies.parse_import(await body_of(request))
        imported = await anyio.to_thread.run_sync(read_presets, text, form)
        return json_answer(bodies.imported_json(imported))

    @router.post("/api/presets/export")
    @answering
    async def export_presets(request: Request) -> Response:
        drafts, form = bodies.parse_export(await body_of(request))
        return json_answer(bodies.exported_json(write_presets(drafts, form), form))

    return router
