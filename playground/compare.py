"""Several answers side by side as one stream of events; a chat is a comparison of one."""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from playground.coalesce import closing, coalesce
from playground.engines.base import Engine
from playground.messages import Delta, Event, Failed, PaneRequest
from playground.session import answer

# 30 flushes a second look continuous, and a token more or less in one does not show.
_INTERVAL_S: Final = 1 / 30

_log = logging.getLogger(__name__)


async def compare(
    engine: Engine,
    requests: Sequence[PaneRequest],
    *,
    context_tokens: int,
    idle: float | None = None,
) -> AsyncGenerator[list[tuple[int, Event]], None]:
    """Batches of (pane, event), at most 30 a second; a pane's first text goes out at once.

    Every pane is answered in a task of its own, and its events end with exactly one Done or Failed.
    After `idle` seconds without an event comes an empty batch. Closing the generator cancels all.
    """
    begun: set[int] = set()

    def begins(pane: int, event: Event) -> bool:
        if pane in begun or not isinstance(event, Delta):
            return False
        begun.add(pane)
        return True

    answers = [_answer(engine, request, context_tokens) for request in requests]
    async with closing(
        coalesce(answers, interval=_INTERVAL_S, urgent=begins, idle=idle)
    ) as batches:
        async for batch in batches:
            yield batch


async def _answer(
    engine: Engine, request: PaneRequest, context_tokens: int
) -> AsyncGenerator[Event, None]:
    """One answer; a fault of our own becomes its Failed, and leaves the other panes alone."""
    try:
        async with closing(answer(engine, request, context_tokens=context_tokens)) as events:
            async for event in events:
                yield event
    except Exception:
        _log.exception("An answer failed for a reason of the playground's own")
        yield Failed(
            "internal",
            "The playground itself failed at this answer; its log says how. Try again.",
            True,
        )
