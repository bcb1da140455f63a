"""The browser's files, and what a page's head says of them."""

import hashlib
from pathlib import Path
from typing import Final

from playground.ui import bundle
from playground.ui.rendering import render

PRODUCT: Final = "KTO Mistral playground"
STATIC: Final = Path(__file__).parent / "static"


def static_version() -> str:
    """A hash of the browser's files and of how they are put together.

    It stands in their address, so they can be cached for good.
    """
    digest = hashlib.sha256(Path(bundle.__file__).read_bytes())
    for path in sorted(each for each in STATIC.rglob("*") if each.is_file()):
        digest.update(path.relative_to(STATIC).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def address(version: str, root_path: str) -> str:
    """Where the browser's files are, as the page at the root says it."""
    return f"{root_path or '.'}/ui/{version}"


def head(version: str, root_path: str = "") -> str:
    """What the page's head needs: our stylesheets and modules, all from this server."""
    return render("head", files=address(version, root_path))
