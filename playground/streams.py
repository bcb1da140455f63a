"""The streams that this process is writing: how many answers, and who can stop one of them.

An id is known to the process that writes the stream and to its reader, and to nobody else.
"""

import secrets
from collections.abc import Sequence
from typing import Final

from playground.compare import Stop
from playground.errors import Busy, NotFound

_ID_BYTES: Final = 16  # 128 bits: an id cannot be guessed


class Streams:
    """At most `most` answers at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0
        self._running: dict[str, Sequence[Stop]] = {}

    def begin(self, stops: Sequence[Stop]) -> str:
        """Take a place for each pane; the id of the stream. Raises Busy without enough places."""
        if self._now + len(stops) > self._most:
            raise Busy(
                f"{self._now} answers are being written, and this server writes {self._most} at a "
                "time. Try again in a moment."
            )
        self._now += len(stops)
        number = secrets.token_hex(_ID_BYTES)
        self._running[number] = stops
        return number

    def end(self, number: str) -> None:
        """Give the places back."""
        self._now -= len(self._running.pop(number))

    def stop(self, number: str, pane: int) -> None:
        """Stop one pane; the engine's connection closes at once, and the others go on.

        A pane that has ended is left as it is. Raises NotFound for a stream or pane that is not
        being written here: it has ended, or another replica writes it. Then its reader can still
        stop it by leaving.
        """
        stops = self._running.get(number, ())
        if not 0 <= pane < len(stops):
            raise NotFound("This server is writing no such answer; it may have ended already.")
        stops[pane].ask()
