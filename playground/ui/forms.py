"""The page's forms as HTML, made from the sampler table and the presets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from playground.domain.presets import Preset
from playground.domain.samplers import PARAMETERS, Sampler
from playground.ui.rendering import render

OWN: Final = "-own"  # no preset of the server can have this id
_STARTERS: Final = (
    "Write a Python function that adds two numbers.",
    "Tell me a story about a lighthouse.",
    "How do I choose a temperature?",
    "Name ten animals.",
)
_COMPARISON_STARTERS: Final = (
    "Tell me a story about a lighthouse.",
    "Name ten animals.",
    "How do I choose a temperature?",
)


def preset_panel(preset: Preset) -> str:
    """All seven parameters of a preset, what it is for and where it comes from.

    Each is a slider and a field beside it; an empty field is unset and shows a dash.
    """
    return render(
        "preset",
        slot=preset.id,
        sampler=preset.sampler,
        description=preset.description,
        source=preset.source,
    )


def own_panel() -> str:
    """The panel of the presets that live in the browser, which fills it."""
    return render("preset", slot=OWN, sampler=Sampler(), description="", source="")


def request_panel(presets: Sequence[Preset], engines: Mapping[str, str]) -> str:
    """What belongs to a request beside the sampler, and the tables that the browser works from."""
    parameters = [asdict(parameter) for parameter in PARAMETERS]
    values = [
        {
            "id": preset.id,
            "name": preset.name,
            "description": preset.description,
            "source": preset.source,
            "default": preset.default,
            "sampler": preset.sampler.set_values(),
            "max_new_tokens": preset.max_new_tokens,
        }
        for preset in presets
    ]
    return render(
        "request",
        parameters=json.dumps(parameters),
        presets=json.dumps(values),
        engines=json.dumps([{"id": key, "name": name} for key, name in engines.items()]),
        several_engines=len(engines) > 1,
    )


def conversation(presets: Sequence[Preset]) -> str:
    """The conversation, empty with a few ways to start, and the composer below it."""
    return render("conversation", starters=_STARTERS, preset=presets[0].name)


def comparison() -> str:
    """The board of columns, empty, and the composer that all columns share."""
    return render("comparison", starters=_COMPARISON_STARTERS)
