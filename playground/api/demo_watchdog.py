"""The answers of demos that this process writes, and what ends them before their time.

The kill switch is a row in the database, so it works wherever it is thrown: in the page, in another
replica, on the command line. Whoever writes answers looks at it every second.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from playground.domain.errors import StoreError
from playground.domain.messages import Failed
from playground.limits.admission import Admission
from playground.store.demos import ANSWERS_END_S, Demos

_log: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
CLOSED: Final = Failed(
    "closed",
    "This demo was closed while the answer was being written. What was written stays here.",
    False,
)
TOO_LONG: Final = Failed(
    "too_slow", f"An answer of a demo may take {ANSWERS_END_S // 60} minutes.", True
)


@dataclass(frozen=True, slots=True)
class _Answers:
    token: str
    until: float


class Watchdog:
    """Looks after answers from `begin` to `end`; while there are none, it does nothing."""

    def __init__(self, demos: Demos, admission: Admission) -> None:
        self._demos = demos
        self._admission = admission
        self._answers: dict[str, _Answers] = {}
        self._watching: asyncio.Task[None] | None = None

    def begin(self, number: str, token: str) -> None:
        """Look after the answers of one request.

        Args:
            number: The stream's id.
            token: The demo's.
        """
        self._answers[number] = _Answers(token, time.monotonic() + ANSWERS_END_S)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    def end(self, number: str) -> None:
        """Forget a stream that has ended; one that is not known is no error."""
        self._answers.pop(number, None)
        if not self._answers and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def look(self) -> None:
        """Stop what is not to go on. While the database is away, that is what took too long."""
        now = time.monotonic()
        for number, answers in self._answers.items():
            if answers.until < now:
                self._admission.cut_off(number, TOO_LONG)
        if tokens := {answers.token for answers in self._answers.values()}:
            try:
                working = await self._demos.working(tokens)
            except StoreError:  # the log says why, and the next look is in a second
                return
            for number, answers in self._answers.items():
                if answers.token in tokens - working:
                    self._admission.cut_off(number, CLOSED)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except Exception:  # or nothing would look after the answers any more
                _log.exception("What is to go on could not be seen; the next look is in a second.")
