"""The file with several engines: which there are, and where each of them answers.

TOML, a table for each engine in the order in which they are offered; the first is the default::

    [[engine]]
    id = "tgi"                      # by which requests, links and records name it
    name = "FP8 on TGI"             # for people
    url = "http://127.0.0.1:8080"

    [[engine]]
    id = "featherless"
    name = "Featherless"
    kind = "openai"                 # auto, where it is not said, asks the server
    url = "https://api.featherless.ai/v1"
    key_file = "featherless.key"    # beside this file, or with its whole path
    model = "ContextualAI/Contextual_KTO_Mistral_PairRM"
    quantisation = "FP8"            # where the engine does not tell
    prompt_format = "tulu2"         # where the model does not decide

Nothing in it is ignored: an unknown name is as wrong as a wrong value. A key stands in a file of
its own and never here, since this file is one that is shown to others.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError

from playground.domain.errors import InvalidRequest
from playground.domain.names import plain_name
from playground.domain.prompt_formats import FORMATS
from playground.domain.validation import Body, broken, check
from playground.engines.base import EngineAddress
from playground.engines.registry import DEFAULT
from playground.settings import EngineChoice, SettingsError, header_text, plain_address

_ID: Final = re.compile(r"[a-z0-9_-]{1,40}")
_EXAMPLE: Final = """For example:
[[engine]]
id = "tgi"
name = "FP8 on TGI"
url = "http://127.0.0.1:8080"
"""


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise broken('id must be 1 to 40 of a-z, 0-9, _ and -, such as "tgi".')
    if text == DEFAULT:
        raise broken(f'id must not be "{DEFAULT}", which always means the first engine.')
    return text


def _url(text: str) -> str:
    try:
        return plain_address(text)
    except ValidationError:
        raise broken("url must be an http:// or https:// address.") from None
    except ValueError:
        raise broken(
            "url must hold no name, no password and no query, which pages show: use key_file."
        ) from None


def _format(text: str) -> str:
    if text not in FORMATS:
        raise broken(f"prompt_format must be one of {', '.join(FORMATS)}.")
    return text


class _EngineTable(Body):
    id: Annotated[str, AfterValidator(_id)]
    name: Annotated[str, Field(max_length=80)] = ""
    kind: EngineChoice = "auto"
    url: Annotated[str, AfterValidator(_url)]
    key_file: str | None = None
    model: str | None = None
    quantisation: Annotated[str, Field(max_length=40)] = ""
    prompt_format: Annotated[str, AfterValidator(_format)] | None = None


class _EnginesFile(Body):
    engine: Annotated[list[_EngineTable], Field(min_length=1)]


def read_engines(path: Path) -> tuple[EngineAddress, ...]:
    """The engines of a file, in its order.

    Raises:
        SettingsError: The file cannot be used; says which entry, what is wrong, and an example.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = check(_EnginesFile, document).engine
    except OSError as error:
        raise SettingsError(
            f"PLAYGROUND_ENGINES_FILE is {path}, which cannot be read: {error.strerror}."
        ) from error
    except InvalidRequest as error:
        raise _wrong(path, str(error), document, error.field) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"It is not a TOML file: {error}.") from error
    ids: set[str] = set()
    addresses = []
    for number, table in enumerate(tables):
        place = f"engine[{number}]"
        if table.id in ids:
            raise _wrong(path, f'id "{table.id}" stands twice.', document, place)
        ids.add(table.id)
        try:
            key = _key(path, table.key_file)
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or "it must hold one line of ASCII characters"
            raise _wrong(
                path, f"key_file {table.key_file} cannot be used: {words}.", document, place
            ) from error
        addresses.append(
            EngineAddress(
                id=table.id,
                kind=table.kind,
                url=table.url,
                name=" ".join(plain_name(table.name).split()),
                api_key=key,
                model=table.model,
                quantisation=" ".join(table.quantisation.split()),
                prompt_format=FORMATS[table.prompt_format] if table.prompt_format else None,
            )
        )
    return tuple(addresses)


def _key(path: Path, name: str | None) -> str | None:
    if name is None:
        return None
    return header_text((path.parent / Path(name).expanduser()).read_text(encoding="utf-8").strip())


def _wrong(path: Path, words: str, document: Any = None, field: str = "") -> SettingsError:
    """What is wrong, with the entry that it is in by its place and its id."""
    where = str(path)
    if entry := re.match(r"engine\[(\d+)\]", field):
        number = int(entry[1])
        table = document["engine"][number]
        id_ = table.get("id") if isinstance(table, dict) else None
        where += f", entry {number + 1}" + (f" ({id_})" if isinstance(id_, str) else "")
    return SettingsError(f"PLAYGROUND_ENGINES_FILE: {where}: {words} {_EXAMPLE}")
