"""The presets: named sets of sampler values, read from a TOML file.

The file has ``version = 1`` and a ``[[preset]]`` table each: id, name, source, max_new_tokens
(optional) and ``[preset.sampler]`` with the values that are set.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playground.errors import InvalidRequest, PlaygroundError
from playground.samplers import Sampler, parse_sampler

BUNDLED: Final = Path(__file__).with_name("presets.toml")
_VERSION: Final = 1
_KEYS: Final = frozenset({"id", "name", "source", "max_new_tokens", "sampler"})
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class PresetsError(PlaygroundError):
    """The file cannot be used. The message names the file, the preset, the key and the reason."""

    kind = "presets"


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset.

    id: lower-case letters, digits and hyphens; what requests and links name.
    source: where the values come from, for people.
    max_new_tokens: at least 1; ``None`` takes what the context leaves.
    """

    id: str
    name: str
    source: str
    sampler: Sampler
    max_new_tokens: int | None = None


def load_presets(path: Path | None = None) -> tuple[Preset, ...]:
    """The presets of a file, in its order; those that come with the project without one.

    Raises PresetsError when the file cannot be read or anything in it is not as described above.
    """
    path = path or BUNDLED
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PresetsError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PresetsError(f"{path} is not a TOML file: {error}.") from error
    if document.get("version") != _VERSION:
        raise PresetsError(
            f"{path}: version must be {_VERSION}, not {document.get('version', 'missing')}."
        )
    if unknown := document.keys() - {"version", "preset"}:
        raise PresetsError(f"{path}: {min(unknown)} is not known here; write [[preset]] tables.")
    tables = document.get("preset")
    if not isinstance(tables, list) or not tables:
        raise PresetsError(f"{path}: there is no [[preset]] table.")
    presets = tuple(_parse(path, number, table) for number, table in enumerate(tables, 1))
    seen: set[str] = set()
    for preset in presets:
        if preset.id in seen:
            raise PresetsError(f"{path}, preset {preset.id}: id is used twice.")
        seen.add(preset.id)
    return presets


def _parse(path: Path, number: int, table: object) -> Preset:
    if not isinstance(table, Mapping):
        raise PresetsError(f"{path}, preset {number}: must be a [[preset]] table.")
    where = f"{path}, preset {table.get('id', number)}"
    if unknown := table.keys() - _KEYS:
        raise PresetsError(
            f"{where}: {min(unknown)} is not known; there are {', '.join(sorted(_KEYS))}."
        )
    texts = {}
    for key in ("id", "name", "source"):
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise PresetsError(f"{where}: {key} must be a text that is not empty.")
        texts[key] = value
    if not _ID.fullmatch(texts["id"]):
        raise PresetsError(
            f"{where}: id must be at most 40 lower-case letters, digits and hyphens."
        )
    most = table.get("max_new_tokens")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise PresetsError(f"{where}: max_new_tokens must be a whole number from 1, not {most}.")
    try:
        sampler = parse_sampler(table.get("sampler", {}))
    except InvalidRequest as error:
        raise PresetsError(f"{where}: {error.field}: {error}") from error
    return Preset(**texts, sampler=sampler, max_new_tokens=most)
