"""Names that people give: of titles, presets, engines and files."""

from typing import Final

# What turns the direction of the text around it: embeddings, overrides, isolates and marks.
_TURNING: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_GONE: Final = dict.fromkeys(_TURNING)
_NUMBERED: Final = {mark: f"⟨U+{mark:04X}⟩" for mark in _TURNING}


def plain_name(name: str) -> str:
    """A name without the marks that turn the direction of what stands around it.

    Every name that comes in, or that was kept before, is taken so; the letters themselves say which
    way they are read. ui/static/lib/text.js does the same in the browser.
    """
    return name.translate(_GONE)


def unturned(text: str) -> str:
    """A text that is shown as it was sent, with these marks told by their numbers."""
    return text.translate(_NUMBERED)
