"""Names of models as engines say them, and as people see them."""

import re
from typing import Final

LONGEST: Final = 200
# A name of the Hub has a slash too, but begins with none of these.
_PATH: Final = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|(?i:file:)")


def shown_name(name: str) -> str:
    """A model's name without the folders of the server's machine, and of a length to be shown."""
    if _PATH.match(name):
        name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return name[:LONGEST]
