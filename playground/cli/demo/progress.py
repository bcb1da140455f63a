"""How far a download is, in words, for a terminal or a log."""

import sys
import time
from collections.abc import Callable
from typing import Final

from playground.cli.terminal import printable
from playground.domain.amounts import duration
from playground.domain.amounts import size as in_words
from playground.engines.base import Progress

_TOLD_EVERY_S: Final = 30.0


def describe(progress: Progress) -> str:
    """Such as "Downloading a.gguf: 1.2 of 4.37 GB (27 %), 11 MB/s, 4 min 43 s left"."""
    words = f"{progress.what}: {in_words(progress.done)}"
    if progress.total:
        words += f" of {in_words(progress.total)} ({100 * progress.done // progress.total} %)"
    if progress.rate:
        words += f", {in_words(progress.rate)}/s"
    if progress.left_s is not None:
        words += f", {duration(progress.left_s)} left"
    return words


class Teller:
    """Tells what is reported: in one line that is written over, where a terminal reads it.

    Elsewhere a line now and then: the first, the last, and one each half minute.

    Args:
        say: Writes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._terminal = sys.stdout.isatty()
        self._told = -_TOLD_EVERY_S
        self._open = False  # whether the line is to be written over

    def __call__(self, reason: str, progress: Progress | None) -> None:
        """A sentence, or where there is none how far it is."""
        if reason or progress is None:
            if self._open:
                print(flush=True)
                self._open = False
            self._say(reason)
        elif self._terminal:
            print(f"\r{printable(describe(progress))}\x1b[K", end="", flush=True)
            self._open = True
        elif progress.done == progress.total or time.monotonic() - self._told >= _TOLD_EVERY_S:
            self._told = time.monotonic()
            self._say(describe(progress))
