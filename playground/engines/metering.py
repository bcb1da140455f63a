"""An engine that counts what it writes, also what is never told because an answer is cut off."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Final, TypeVar

from playground.domain.errors import EngineError
from playground.engines.base import (
    Chunk,
    Engine,
    Finish,
    GenerationRequest,
    Piece,
    Step,
    SteppedEngine,
)
from playground.engines.forwarding import Forwarding
from playground.engines.streams import closing

T = TypeVar("T")

# No engine writes one answer faster, in tokens a second; and so long at most, in seconds, a stream
# is not read while something has come: its tokens are taken out of the connection on a beat.
_FASTEST: Final = 2000
_UNREAD_S: Final = 0.25


class Meter(Forwarding[Engine]):
    """An engine for one answer, which passes everything on to the one that all share.

    Args:
        most: Tokens that the answer's generations, one after the other, may take in all; what is
            asked for beyond them ends as at a limit.

    Attributes:
        used: Tokens that its generations took so far, those that are still running left out.
        short: Whether one was asked for more than was left.
    """

    def __init__(self, engine: Engine, most: int | None = None) -> None:
        super().__init__(engine)
        self._most = most
        self.used = 0
        self.short = False

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation.

        A finished one counts what the engine says, any other what came of it and what can have been
        on its way: rather some tokens too many than one too few. None counts more than it was asked
        for.
        """
        granted = self._granted(request)
        counted = self._counted(self._engine.stream(granted), granted, _tokens)
        async with closing(counted) as items:  # else it counts after whoever asks
            async for item in items:
                yield item

    async def steps(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Sequence[Step] | Finish, None]:
        """As the engine; counted as `stream` is."""
        assert isinstance(self._engine, SteppedEngine)
        granted = self._granted(request)
        if granted.max_new_tokens < 1:
            yield Finish("length", 0, 0, request.seed)
            return
        steps = self._engine.steps(granted)
        counted = self._counted(steps, granted, len)
        async with closing(counted) as items:
            async for item in items:
                yield item

    async def tokens(self, text: str) -> Sequence[Piece]:
        """As the engine cuts."""
        assert isinstance(self._engine, SteppedEngine)
        return await self._engine.tokens(text)

    def _granted(self, request: GenerationRequest) -> GenerationRequest:
        """The request with no more tokens than are left."""
        if self._most is None or request.max_new_tokens <= self._most - self.used:
            return request
        self.short = True
        return replace(request, max_new_tokens=self._most - self.used)

    async def _counted(
        self,
        items: AsyncGenerator[T | Finish, None],
        request: GenerationRequest,
        tokens: Callable[[T], int],
    ) -> AsyncGenerator[T | Finish, None]:
        told: int | None = None
        came, first, last = 0, 0.0, 0.0
        refused = False
        try:
            async with closing(items):
                async for item in items:
                    if isinstance(item, Finish):
                        told = item.generated_tokens
                    else:
                        last = time.monotonic()
                        first = first or last
                        came += tokens(item)
                    yield item
        except EngineError:
            refused = not came
            raise
        finally:
            if told is None:
                unseen = 0 if refused else _unseen(came, last - first, time.monotonic() - last)
                told = came + unseen
            self.used += max(0, min(told, request.max_new_tokens))


def _tokens(chunk: Chunk) -> int:
    return chunk.tokens


def _unseen(came: int, over: float, since: float) -> int:
    """Tokens that an engine may have written and nobody read: at least the one in hand.

    came: tokens that came over so many seconds, the last of them so many seconds ago.
    """
    if not came or since > _UNREAD_S:
        return 1  # the connection is being waited on: nothing lies in it
    pace = 2 * came / over if over > _UNREAD_S else _FASTEST
    return 1 + ceil(pace * since)
