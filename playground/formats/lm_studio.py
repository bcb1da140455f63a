"""LM Studio's presets: fields with long keys, some of which have a switch; before, an object."""

from collections.abc import Mapping
from typing import Any, Final

from playground.formats.source_lines import Path
from playground.formats.values import Entry

_PREDICTION: Final = "llm.prediction."
_PREFIXES: Final = (_PREDICTION, "llm.load.", "llama.")
_SWITCHED: Final = frozenset(
    {"topPSampling", "minPSampling", "repeatPenalty", "maxPredictedTokens"}
)


def read(document: Mapping[str, Any], lines: Mapping[Path, int]) -> list[Entry]:
    """The names and values, without the keys' beginnings; what is switched off has no value."""
    entries = []
    for part in ("operation", "load"):
        fields = document.get(part)
        fields = fields.get("fields") if isinstance(fields, dict) else None
        for i, each in enumerate(fields if isinstance(fields, list) else ()):
            if not isinstance(each, dict) or not isinstance(each.get("key"), str):
                continue
            key, value = each["key"], each.get("value")
            for prefix in _PREFIXES:
                key = key.removeprefix(prefix)
            if isinstance(value, dict) and "checked" in value:
                value = value.get("value") if value["checked"] is True else None
            entries.append(Entry(key, value, lines.get((part, "fields", i, "key"))))
    former = document.get("inference_params")
    for key, value in former.items() if isinstance(former, dict) else ():
        entries.append(Entry(key, value, lines.get(("inference_params", key))))
    return entries


def document(name: str, values: Mapping[str, object]) -> dict[str, object]:
    """A preset as LM Studio keeps it today."""
    fields = [
        {
            "key": _PREDICTION + key,
            "value": {"checked": True, "value": value} if key in _SWITCHED else value,
        }
        for key, value in values.items()
    ]
    return {"name": name, "operation": {"fields": fields}, "load": {"fields": []}}
