"""How much is begun in one turn of the event loop, so that what runs already goes first."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

# What is begun in a turn holds up all streams for its first steps, a millisecond each.
_EACH_TURN: Final = 4


class Pace:
    """Lines of what is to be begun, one for each address; each address in its turn.

    Args:
        each_turn: What is begun in one turn of the event loop.
    """

    def __init__(self, each_turn: int = _EACH_TURN) -> None:
        self._each_turn = each_turn
        self._lines: dict[str, deque[Callable[[], None]]] = {}  # the next one's first
        self._begun = 0  # in this turn

    def enter(self, whose: str, begin: Callable[[], None]) -> None:
        """Call `begin`: at once where there is room for it in this turn, else in a later one."""
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        if self._begun < self._each_turn and not self._lines:
            self._begun += 1
            begin()
        else:
            self._lines.setdefault(whose, deque()).append(begin)

    def _turn(self) -> None:
        self._begun = 0
        if self._lines:
            asyncio.get_running_loop().call_soon(self._turn)
        while self._lines and self._begun < self._each_turn:
            whose = next(iter(self._lines))
            line = self._lines.pop(whose)
            begin = line.popleft()
            if line:
                self._lines[whose] = line  # behind the others
            self._begun += 1
            begin()
