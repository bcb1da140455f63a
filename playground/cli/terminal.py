"""Text of others, for a terminal."""

import re
from typing import Final

# ESC begins what a terminal obeys: a title, colours, another text over this one.
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A text with each control character replaced, but for the ends of lines."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
