"""What engines say of themselves, as people see it: names of models, and all of it."""

import re
from collections.abc import Mapping
from typing import Final

import orjson

from playground.domain.names import plain_name

LONGEST: Final = 200
# Bytes of what an engine says of itself that pages ask for again and again.
_MOST_SAID: Final = 65_536
# A name of the Hub has a slash too, but begins with none of these.
_PATH: Final = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|(?i:file:)")


def shown_name(name: str) -> str:
    """A model's name without the folders of the server's machine, and of a length to be shown."""
    if _PATH.match(name):
        name = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return plain_name(name)[:LONGEST]


def shown_words(said: Mapping[str, object]) -> Mapping[str, object]:
    """What an engine says of itself; nothing where that is more than can be shown."""
    return said if len(orjson.dumps(said)) <= _MOST_SAID else {}
