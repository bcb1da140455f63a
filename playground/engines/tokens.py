"""What engines tell of a text's tokens: how many, and where each begins."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final

_COUNTS_KEPT: Final = 256


class Counts:
    """How many tokens texts have, those of the latest texts remembered.

    Args:
        count: Asks the engine.
    """

    def __init__(self, count: Callable[[str], Awaitable[int]]) -> None:
        self._count = count
        self._known: OrderedDict[bytes, int] = OrderedDict()

    async def of(self, text: str) -> int:
        """The tokens of a text. A few bytes of it are kept, and not the text."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        count = await self._count(text)
        self._known[key] = count
        if len(self._known) > _COUNTS_KEPT:
            self._known.popitem(last=False)
        return count

    def clear(self) -> None:
        """Forget all: another model counts otherwise."""
        self._known.clear()


def cut(text: str, starts: Sequence[int]) -> list[str]:
    """The text in pieces that begin at these bytes of its UTF-8, none of them empty."""
    pieces, begun, at = [], 0, 0
    wanted = sorted({start for start in starts if start > 0}, reverse=True)
    for position, character in enumerate(text):
        if wanted and at >= wanted[-1]:
            pieces.append(text[begun:position])
            begun = position
            while wanted and at >= wanted[-1]:
                wanted.pop()
        at += len(character.encode("utf-8", "surrogatepass"))
    return [piece for piece in (*pieces, text[begun:]) if piece]
