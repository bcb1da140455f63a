"""The project's own two formats: the presets file (TOML), and JSON, in which a link carries them.

The JSON is ``{"version": 1, "presets": [{"name", "source", "sampler", "max_new_tokens"}]}``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tomli_w
from pydantic import Field

from playground.domain.errors import InvalidRequest
from playground.domain.presets import VERSION, PresetsError, parse_presets
from playground.domain.samplers import Sampler
from playground.domain.validation import Body, NewTokens, SamplerValues, check
from playground.formats.source_lines import json_lines, toml_lines
from playground.formats.values import Draft, Imported, Problem

TOML: Final = "toml"
JSON: Final = "json"
JSON_VERSION: Final = 1
MAX_NAME_CHARS: Final = 60
# What a name of many parts takes to read grows with their square, in time and memory.
_MAX_DOTS: Final = 100


def read_toml(text: str) -> Imported:
    """A presets file."""
    for number, line_text in enumerate(text.split("\n"), 1):
        if line_text.count(".") > _MAX_DOTS:
            reason = f"A line of a presets file has at most {_MAX_DOTS} dots."
            return Imported(TOML, problems=(Problem(reason, number),))
    try:
        presets = parse_presets(text, "the text")
    except PresetsError as error:
        where = toml_lines(text)
        place = -1 if error.number is None else error.number
        line = where.get((place, error.key or "")) or where.get((place,))
        if found := re.search(r"at line (\d+)", str(error)):
            line = int(found[1])
        elif str(error).endswith("(at end of document)."):
            line = text.rstrip().count("\n") + 1
        return Imported(TOML, problems=(Problem(str(error), line, error.key),))
    drafts = tuple(Draft(p.name, p.sampler, p.source, p.max_new_tokens) for p in presets)
    return Imported(TOML, drafts)


def write_toml(drafts: Sequence[Draft]) -> str:
    """A presets file. The ids are made of the names."""
    taken: set[str] = set()
    presets = []
    for draft in drafts:
        name = draft.name if draft.name.strip() else "Preset"
        preset: dict[str, Any] = {"id": _id(name, taken), "name": name}
        if draft.source:
            preset["source"] = draft.source
        if draft.max_new_tokens is not None:
            preset["max_new_tokens"] = draft.max_new_tokens
        presets.append({**preset, "sampler": draft.sampler.set_values()})
    return tomli_w.dumps({"version": VERSION, "preset": presets})


def read_json(document: Mapping[str, Any], text: str) -> Imported:
    """Our JSON, as a link carries it. Nothing in it is ignored."""
    lines = json_lines(text)

    def failed(reason: str, *path: str | int) -> Imported:
        key = next((str(part) for part in reversed(path) if isinstance(part, str)), None)
        return Imported(JSON, problems=(Problem(reason, lines.get(path), key),))

    if document.get("version") != JSON_VERSION:
        return failed(
            f"This playground reads version {JSON_VERSION} of presets in JSON or in a link, and "
            f"this is version {document.get('version', 'none')!s:.40}.",
            "version",
        )
    if unknown := document.keys() - {"version", "presets"}:
        return failed(f"{min(unknown)} is not known here.", min(unknown))
    presets = document.get("presets")
    if not isinstance(presets, list) or not presets:
        return failed("presets must be a list of presets.", "presets")
    drafts = []
    for i, each in enumerate(presets):
        at = ("presets", i)
        if not isinstance(each, dict):
            return failed("A preset must be an object.", "presets")
        try:
            drafts.append(check(PresetBody, each).draft())
        except InvalidRequest as error:
            return failed(str(error), *at, *error.field.split("."))
    return Imported(JSON, tuple(drafts))


class OwnPreset(Body):
    """A preset that lives in one browser."""

    name: str = Field(default="", max_length=MAX_NAME_CHARS, examples=["Mine"])
    sampler: SamplerValues = Field(default=Sampler(), examples=[{"temperature": 0.7}])
    max_new_tokens: NewTokens | None = Field(default=None, examples=[256])

    def draft(self) -> Draft:
        """The preset as a value, without a source."""
        return Draft(self.name, self.sampler, "", self.max_new_tokens)


class PresetBody(OwnPreset):
    """A preset to be written, or as a text in JSON has it."""

    source: str = Field(default="", description="Where the values come from, for people.")

    def draft(self) -> Draft:
        """The preset as a value."""
        return Draft(self.name, self.sampler, self.source, self.max_new_tokens)


def write_json(drafts: Sequence[Draft]) -> str:
    """Our JSON, as a link carries it."""
    presets = []
    for draft in drafts:
        preset: dict[str, Any] = {"name": draft.name, "sampler": draft.sampler.set_values()}
        if draft.source:
            preset["source"] = draft.source
        if draft.max_new_tokens is not None:
            preset["max_new_tokens"] = draft.max_new_tokens
        presets.append(preset)
    document = {"version": JSON_VERSION, "presets": presets}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _id(name: str, taken: set[str]) -> str:
    """An id made of a name, that is not yet taken."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:36].strip("-") or "preset"
    found, number = words, 2
    while found in taken:
        found, number = f"{words}-{number}", number + 1
    taken.add(found)
    return found
