"""Several answers side by side as one stream of events; a chat is a comparison of one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

from playground.domain.messages import Done, Event, Failed, PaneRequest
from playground.engines.base import Engine
from playground.engines.streams import closing
from playground.generation.answer import answer
from playground.generation.batching import coalesce
from playground.generation.bridge.plan import EmulationPolicy
from playground.generation.renderer import AnswersMarkdown
from playground.telemetry.logging import request_words
from playground.telemetry.usage import AnswerUsage

# Events of all panes as they come, each with its pane's number; an empty batch says that there is
# silence.
Batches = AsyncGenerator[list[tuple[int, Event]], None]

_POLICY: Final = EmulationPolicy()
_STOPPED: Final = Failed("stopped", "Stopped.", True)

_log = logging.getLogger(__name__)


class Stop:
    """Ends one answer from outside, at once; to be asked in the event loop that writes it.

    It cancels the task at what it is waiting for, as ``asyncio.timeout`` does, so an answer that is
    never stopped costs nothing more.

    Attributes:
        ending: The event that the answer ends with.
    """

    def __init__(self) -> None:
        self.asked = False
        self.ending = _STOPPED
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def ask(self, ending: Failed = _STOPPED) -> None:
        """Has an effect once, and none on an answer that has ended."""
        if not self.asked:
            self.asked = True
            self.ending = ending
            if self._task is not None:
                self._task.cancel()

    def watch(self) -> None:
        """From here on the current task is the one to cancel."""
        self._task = task = asyncio.current_task()
        assert task is not None
        self._cancelling = task.cancelling()

    def unwatch(self) -> None:
        """From here on a stop has no effect: the answer has ended."""
        self._task = None

    def caught(self) -> bool:
        """Whether a cancellation that has just been caught was this stop, and nothing more."""
        task, self._task = self._task, None
        return self.asked and task is not None and task.uncancel() <= self._cancelling


def compare(
    engines: Sequence[Engine],
    requests: Sequence[PaneRequest],
    *,
    context_tokens: int,
    idle: float | None = None,
    stops: Sequence[Stop] = (),
    usages: Sequence[AnswerUsage] = (),
    emulation: EmulationPolicy = _POLICY,
    markdown: AnswersMarkdown | None = None,
) -> Batches:
    """Batches of (pane, event), as they come.

    Every pane is answered in a task of its own, and its events end with exactly one Done or Failed.
    After `idle` seconds without an event comes an empty batch. Closing the generator cancels all.

    Args:
        engines: One for each pane; it may be the same.
        stops: One for each pane, or none at all. A pane that is stopped ends with a Failed of kind
            "stopped", or what else the stop says, and the others go on.
        usages: One for each pane, or none at all; they say at any time what each answer has used.
        emulation: What of it the operator allows.
        markdown: Where what takes long of it is done, for all answers.
    """
    stops = stops or [Stop() for _ in requests]
    usages = usages or [AnswerUsage() for _ in requests]
    answers = [
        _answer(engine, request, context_tokens, stop, usage, emulation, markdown)
        for engine, request, stop, usage in zip(engines, requests, stops, usages, strict=True)
    ]
    return coalesce(answers, idle=idle)


async def _answer(
    engine: Engine,
    request: PaneRequest,
    context_tokens: int,
    stop: Stop,
    usage: AnswerUsage,
    emulation: EmulationPolicy,
    markdown: AnswersMarkdown | None,
) -> AsyncGenerator[Event, None]:
    """One answer; a fault of our own becomes its Failed, and leaves the other panes alone."""
    if stop.asked:
        usage.outcome = stop.ending.kind
        yield stop.ending
        return
    stop.watch()
    try:
        events = answer(
            engine,
            request,
            context_tokens=context_tokens,
            usage=usage,
            emulation=emulation,
            markdown=markdown,
        )
        async with closing(events):
            async for event in events:
                if isinstance(event, Done | Failed):
                    stop.unwatch()
                    usage.outcome = "done" if isinstance(event, Done) else event.kind
                yield event
    except asyncio.CancelledError:
        if not stop.caught():
            raise
        usage.outcome = stop.ending.kind
        yield replace(stop.ending, emulation=usage.emulation, figures=usage.figures)
    except Exception:
        _log.exception("An answer failed for a reason of the playground's own")
        usage.outcome = "internal"
        yield Failed(
            "internal",
            f"The playground itself failed at this answer; its log says how{request_words()}. "
            "Try again.",
            True,
            usage.emulation,
            usage.figures,
        )
    finally:
        stop.unwatch()
