"""The presets: named sets of sampler values, read from a TOML file.

The file has ``version = 2`` and a ``[[preset]]`` table each: id, name, description and source (both
optional), default (optional, true in one of them: what a new visitor begins with), max_new_tokens
(optional) and ``[preset.sampler]`` with the values that are set. Files of version 1 had neither
default nor description, and asked for a source; they are read as they are.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playground.domain.errors import InvalidRequest, PlaygroundError
from playground.domain.names import plain_name
from playground.domain.samplers import Sampler, parse_sampler, shown_number
from playground.domain.validation import MAX_NEW_TOKENS

BUNDLED: Final = Path(__file__).with_name("presets.toml")
VERSION: Final = 2
_KEYS: Final = {
    1: frozenset({"id", "name", "source", "max_new_tokens", "sampler"}),
    2: frozenset({"id", "name", "description", "source", "default", "max_new_tokens", "sampler"}),
}
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class PresetsError(PlaygroundError):
    """The file cannot be used. The message names the file, the preset, the key and the reason.

    Args:
        number: Which preset, from 0.
        key: The one that is wrong. Both None for the file as a whole.
    """

    kind = "presets"

    def __init__(self, message: str, *, number: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.number = number
        self.key = key


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset.

    Attributes:
        id: Lower-case letters, digits and hyphens; what requests and links name.
        source: Where the values come from, for people; "" when nobody said.
        description: What to expect of it, in one sentence; "" when nobody said.
        max_new_tokens: At least 1; ``None`` takes what the context leaves.
        default: Whether a new visitor begins with it; of a file at most one is.
    """

    id: str
    name: str
    source: str
    sampler: Sampler
    max_new_tokens: int | None = None
    default: bool = False
    description: str = ""


def load_presets(path: Path | None = None) -> tuple[Preset, ...]:
    """The presets of a file, in its order; those that come with the project without one.

    Raises:
        PresetsError: When the file cannot be read or anything in it is not as described above.
    """
    path = path or BUNDLED
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PresetsError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PresetsError(f"{path} is not a TOML file: {error}.") from error
    return parse_presets(text, str(path))


def parse_presets(text: str, where: str) -> tuple[Preset, ...]:
    """The presets of a file's text.

    Args:
        where: Its name, for messages.

    Raises:
        PresetsError: The text is no presets file.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PresetsError(f"{where} is not a TOML file: {error}.") from error
    version = document.get("version")
    if type(version) is not int or version not in _KEYS:
        raise PresetsError(
            f"{where}: version must be {VERSION} or one before it, not {_shown(version)}.",
            key="version",
        )
    if unknown := document.keys() - {"version", "preset"}:
        raise PresetsError(
            f"{where}: {min(unknown)} is not known here; write [[preset]] tables.",
            key=min(unknown),
        )
    tables = document.get("preset")
    if not isinstance(tables, list) or not tables:
        raise PresetsError(f"{where}: there is no [[preset]] table.")
    presets = tuple(_parse(where, number, table, version) for number, table in enumerate(tables))
    seen: set[str] = set()
    for number, preset in enumerate(presets):
        if preset.id in seen:
            raise PresetsError(
                f"{where}, preset {preset.id}: id is used twice.", number=number, key="id"
            )
        seen.add(preset.id)
    if sum(preset.default for preset in presets) > 1:
        raise PresetsError(f"{where}: more than one preset is the default.", key="default")
    return presets


def _parse(path: str, number: int, table: object, version: int) -> Preset:
    if not isinstance(table, Mapping):
        raise PresetsError(f"{path}, preset {number + 1}: must be a [[preset]] table.")
    where = f"{path}, preset {table.get('id', number + 1)}"

    def wrong(key: str, words: str) -> PresetsError:
        return PresetsError(f"{where}: {key} {words}", number=number, key=key)

    if unknown := table.keys() - _KEYS[version]:
        raise wrong(min(unknown), f"is not known; there are {', '.join(sorted(_KEYS[version]))}.")
    texts: dict[str, Any] = {}
    for key in ("id", "name", "source", "description"):
        value = table.get(key)
        if key == "name" and isinstance(value, str):
            value = plain_name(value)
        optional = key == "description" or (key == "source" and version > 1)
        if value is None and optional:
            value = ""
        elif not isinstance(value, str) or not (value.strip() or optional):
            raise wrong(key, "must be a text that is not empty.")
        texts[key] = value
    if not _ID.fullmatch(texts["id"]):
        raise wrong("id", "must be at most 40 lower-case letters, digits and hyphens.")
    most = table.get("max_new_tokens")
    if most is not None and (type(most) is not int or not 1 <= most <= MAX_NEW_TOKENS):
        words = f"must be a whole number from 1 to {MAX_NEW_TOKENS:,}, not {_shown(most)}."
        raise wrong("max_new_tokens", words)
    default = table.get("default", False)
    if not isinstance(default, bool):
        raise wrong("default", "must be true or false.")
    try:
        sampler = parse_sampler(table.get("sampler", {}))
    except InvalidRequest as error:
        raise PresetsError(
            f"{where}: {error.field}: {error}",
            number=number,
            key=error.field.rpartition(".")[2],
        ) from error
    return Preset(**texts, sampler=sampler, max_new_tokens=most, default=default)


def _shown(value: object) -> str:
    """What stands in a file in the place of a number."""
    if value is None:
        return "missing"
    if isinstance(value, int | float):
        return shown_number(value)
    return f"of the kind {type(value).__name__}"
