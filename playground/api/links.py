"""Set-up links, checked and put into words that the page can take."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from playground.api import schemas
from playground.api.document import answering
from playground.api.http import json_router
from playground.api.services import Services
from playground.auth.responses import json_answer
from playground.domain.presets import Preset
from playground.domain.validation import Body
from playground.sharing.setup import Column, LinkError, Setup, Values
from playground.sharing.setup_link import parse_link


class LinkBody(Body):
    """A set-up link."""

    link: str = Field(
        description="What stands after the # of the page's address.",
        examples=["setup=1&tab=chat&column=min-p,temperature:1,min_p:0.1&end"],
    )


def link_routes(services: Services) -> APIRouter:
    """POST /api/links/read: what a link sets, or 422 with what is wrong with it, and where."""
    presets = services.presets
    router = json_router("Set-up links", services.bodies)

    @router.post("/api/links/read", **answering(schemas.LinkAnswer))
    async def read_link(body: LinkBody) -> Response:
        """What a set-up link sets."""
        return json_answer({"setup": _setup_json(parse_link(body.link), presets)})

    return router


def _setup_json(setup: Setup, presets: Sequence[Preset]) -> dict[str, Any]:
    return {
        "tab": setup.tab,
        "columns": [
            _column_json(column, presets, f"column[{i}]") for i, column in enumerate(setup.columns)
        ],
        "seed": setup.seed,
        "own_seeds": setup.own_seeds,
        "stop": list(setup.stop),
        "system": setup.system,
        "difference": setup.difference,
        "against": setup.against,
        "blind": setup.blind,
        "prompt": setup.prompt,
    }


def _column_json(column: Column, presets: Sequence[Preset], field: str) -> dict[str, Any]:
    """A column as the page takes it; `moved` says whether its preset has other values by now.

    The link's values are what counts. Raises LinkError for a preset that is not there.
    """
    label, moved = column.name or "No preset", False
    if column.kind == "server":
        preset = next((each for each in presets if each.id == column.name), None)
        if preset is None:
            raise LinkError(
                f"There is no preset {column.name} on this server; there are "
                f"{', '.join(each.id for each in presets)}.",
                field=field,
            )
        label = preset.name
        moved = Values(preset.sampler, preset.max_new_tokens) != column.started
    return {
        "kind": column.kind,
        "name": column.name,
        "label": label,
        "moved": moved,
        "started": _values_json(column.started),
        "values": _values_json(column.values),
        "seed": column.seed,
        "engine": column.engine,
        "emulate": column.emulate,
    }


def _values_json(values: Values) -> dict[str, Any]:
    return {"sampler": values.sampler.set_values(), "max_new_tokens": values.max_new_tokens}
