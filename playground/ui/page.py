"""The browser's files, and what a page's head says of them."""

import hashlib
import re
from pathlib import Path
from posixpath import dirname, normpath
from typing import Final

from playground.ui.rendering import render

PRODUCT: Final = "KTO Mistral playground"
STATIC: Final = Path(__file__).parent / "static"
_IMPORT: Final = re.compile(r"^(?:import|export)[^;]*?from '(\.[^']+\.js)'", re.MULTILINE)


def static_version() -> str:
    """A hash of the browser's files; it stands in their address, so they can be cached for good."""
    digest = hashlib.sha256()
    for path in sorted(each for each in STATIC.rglob("*") if each.is_file()):
        digest.update(path.relative_to(STATIC).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def modules(entry: str) -> list[str]:
    """A browser's module and all that it imports at once, itself first.

    Args:
        entry: Its path in static/, and so are the others.
    """
    found = [entry]
    for name in found:  # grows while it is gone through
        named = _IMPORT.findall((STATIC / name).read_text(encoding="utf-8"))
        imported = (normpath(f"{dirname(name)}/{each}") for each in named)
        found += [each for each in dict.fromkeys(imported) if each not in found]
    return found


def head(version: str, root_path: str = "") -> str:
    """What the page's head needs: our stylesheets and modules, all from this server.

    The modules are named, so that the browser fetches them together, and not one rank of imports
    after the other.
    """
    entry, *others = modules("pages/main.js")
    files = f"{root_path or '.'}/ui/{version}"
    return render("head", files=files, entry=entry, preloads=others)
