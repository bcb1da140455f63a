"""Texts in which nobody would see anything."""

import re
from itertools import chain
from typing import Final
from unicodedata import category

# White space, controls and formats are told by their category. These are letters and marks of
# theirs that nothing is drawn for (Unicode: Default_Ignorable_Code_Point), and empty Braille.
_UNSEEN: Final = frozenset(
    map(
        chr,
        chain(
            (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            range(0x180B, 0x1810),
            range(0xFE00, 0xFE10),
            range(0xE0100, 0xE01F0),
        ),
    )
)
_EMPTY: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_PLAIN: Final = re.compile(r"[^\W_]", re.ASCII)


def is_blank(text: str) -> bool:
    """Whether a text is empty to the eye; ui/static/lib/text.js says the same in the browser."""
    if _PLAIN.search(text):
        return False
    return all(each in _UNSEEN or category(each) in _EMPTY for each in text)
