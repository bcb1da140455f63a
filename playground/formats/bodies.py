"""Import and export as the HTTP API speaks of them: JSON bodies to values and back. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from playground.domain.errors import InvalidRequest
from playground.formats.exchange import FORMATS, SEVERAL
from playground.formats.native import parse_draft
from playground.formats.values import Draft, Exported, Imported, LeftOut

_MAX_PRESETS: Final = 100


def parse_import(body: object) -> tuple[str, str | None]:
    """POST /api/presets/import: the text and its format, ``None`` to detect it.

    Raises InvalidRequest naming the field.
    """
    fields = _fields(body, "text", "format")
    text, form = fields.get("text"), fields.get("format")
    if not isinstance(text, str):
        raise InvalidRequest("text must be a text.", field="text")
    return text, _format(form) if form is not None else None


def parse_export(body: object) -> tuple[list[Draft], str]:
    """POST /api/presets/export: the presets and the format. Raises InvalidRequest."""
    fields = _fields(body, "presets", "format")
    presets = fields.get("presets")
    if not isinstance(presets, list) or not 1 <= len(presets) <= _MAX_PRESETS:
        raise InvalidRequest(
            f"presets must be a list of 1 to {_MAX_PRESETS} presets.", field="presets"
        )
    drafts = []
    for i, each in enumerate(presets):
        if not isinstance(each, dict):
            raise InvalidRequest("A preset must be an object.", field=f"presets[{i}]")
        try:
            drafts.append(parse_draft(each))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), field=f"presets[{i}].{error.field}") from error
    return drafts, _format(fields.get("format"))


def imported_json(imported: Imported) -> dict[str, Any]:
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
        "left_out": _left_out(imported.left_out),
        "problems": [asdict(problem) for problem in imported.problems],
        "notes": imported.notes,
    }


def exported_json(exported: Exported, form: str) -> dict[str, Any]:
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
    """What matters first. A value of any kind is shown as it can be."""
    ordered = sorted(left_out, key=lambda each: not each.effect)
    return [asdict(each) | {"value": _shown(each.value)} for each in ordered]


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _fields(body: object, *known: str) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.", field="body")
    for name in body:
        if name not in known:
            raise InvalidRequest(
                f"{name} is not known here; there are {', '.join(known)}.", field=name
            )
    return body


def _format(value: object) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        raise InvalidRequest(
            f"format must be one of {', '.join(FORMATS)}, not {value!r}.", field="format"
        )
    return value
