"""Import and export as the HTTP API speaks of them: JSON bodies to values and back. No I/O."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from pydantic import Field
from pydantic.types import GetPydanticSchema
from pydantic_core import core_schema, to_json

from playground.domain.validation import Body
from playground.formats.exchange import FORMATS, MAX_CHARS, SEVERAL
from playground.formats.native import PresetBody
from playground.formats.request_fields import request_fields
from playground.formats.values import Draft, Exported, Imported, LeftOut

_MAX_PRESETS: Final = 100

Format = Annotated[str, GetPydanticSchema(lambda _, __: core_schema.literal_schema([*FORMATS]))]


class ImportBody(Body):
    """A text that holds presets."""

    text: str = Field(max_length=MAX_CHARS, examples=['{"temperature": 0.7, "top_k": 40}'])
    format: Format | None = Field(
        default=None, description="null finds out which it is.", examples=["openai"]
    )


class ExportBody(Body):
    """Presets to be written in a format."""

    presets: Annotated[
        list[PresetBody], Field(fail_fast=True, min_length=1, max_length=_MAX_PRESETS)
    ] = Field(examples=[[{"name": "Mine", "sampler": {"temperature": 0.7}}]])
    format: Format = Field(examples=["tgi"])

    def drafts(self) -> list[Draft]:
        """The presets to write."""
        return [preset.draft() for preset in self.presets]


def imported_json(imported: Imported) -> dict[str, Any]:
    """What was read, as the page takes it."""
    return {
        "format": imported.format,
        "label": FORMATS.get(imported.format, ""),
        "presets": [
            {
                "name": draft.name,
                "source": draft.source,
                "sampler": draft.sampler.set_values(),
                "max_new_tokens": draft.max_new_tokens,
            }
            for draft in imported.drafts
        ],
        "request": asdict(request_fields(imported.left_out)),
        "left_out": _left_out(imported.left_out),
        "problems": [asdict(problem) for problem in imported.problems],
        "notes": imported.notes,
    }


def exported_json(exported: Exported, form: str) -> dict[str, Any]:
    """A written text, as the page takes it."""
    return {
        "format": form,
        "label": FORMATS[form],
        "text": exported.text,
        "suffix": exported.suffix,
        "left_out": _left_out(exported.left_out),
        "notes": exported.notes,
    }


def formats_json() -> list[dict[str, Any]]:
    """The formats, for a choice: id, label and whether one text holds several presets."""
    return [
        {"id": name, "label": label, "several": name in SEVERAL} for name, label in FORMATS.items()
    ]


def _left_out(left_out: Sequence[LeftOut]) -> list[dict[str, Any]]:
    """What matters first. A value of any kind is shown as it can be, JSON for what is no text."""
    ordered = sorted(left_out, key=lambda each: not each.effect)
    return [asdict(each) | {"value": _shown(each.value)} for each in ordered]


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    text = value if isinstance(value, str) else to_json(value, inf_nan_mode="constants").decode()
    return text if len(text) <= 80 else text[:79] + "…"
