"""The presets: the table, and other tools' files in and out."""

from dataclasses import asdict

import anyio
from fastapi import APIRouter, Request, Response

from playground.api import schemas
from playground.api.document import answering
from playground.api.http import json_router
from playground.api.services import Services
from playground.api.turns import in_turn
from playground.auth.responses import json_answer
from playground.domain.samplers import PARAMETERS
from playground.formats import bodies
from playground.formats.exchange import read_presets, write_presets


def preset_routes(services: Services) -> APIRouter:
    """The parameters and presets of this server, and their exchange with other tools."""
    presets = services.presets
    router = json_router("Presets", services.bodies)

    @router.get("/api/presets", **answering(schemas.PresetsAnswer))
    async def list_presets() -> Response:
        """The sampler's parameters, this server's presets, and the formats of other programs."""
        return json_answer(
            {
                "parameters": [asdict(parameter) for parameter in PARAMETERS],
                "presets": [
                    {
                        "id": preset.id,
                        "name": preset.name,
                        "description": preset.description,
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

    @router.post("/api/presets/import", **answering(schemas.ImportAnswer, 429))
    async def import_presets(request: Request, body: bodies.ImportBody) -> Response:
        """The presets of a text; what cannot be read is in `problems`, with its line."""
        async with in_turn(request, services.computing):
            imported = await anyio.to_thread.run_sync(read_presets, body.text, body.format)
        return json_answer(bodies.imported_json(imported))

    @router.post("/api/presets/export", **answering(schemas.ExportAnswer))
    async def export_presets(body: bodies.ExportBody) -> Response:
        """Presets as a text in a format, and what of them it cannot express."""
        exported = write_presets(body.drafts(), body.format)
        return json_answer(bodies.exported_json(exported, body.format))

    return router
