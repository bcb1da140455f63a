"""What of a conversation an engine has room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from playground.domain.errors import EngineError
from playground.domain.messages import Message
from playground.domain.prompt import Fit, fit
from playground.engines.base import Engine, EngineInfo

# Older turns are left out until the answer has the room it asks for, or this share of the context.
_ANSWER_SHARE: Final = 4
# The last message may take all of the context but this: a shorter answer says nothing.
_SMALLEST_ANSWER: Final = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """A prompt that fits the engine, and what is left for the answer, in tokens."""

    info: EngineInfo
    fit: Fit
    total: int

    @property
    def left(self) -> int:
        """Tokens that are left for the answer."""
        return self.total - self.fit.tokens


async def plan(
    engine: Engine,
    messages: Sequence[Message],
    max_new_tokens: int | None,
    context_tokens: int,
    before: Callable[[EngineInfo, str, int], None] = lambda info, prompt, total: None,
) -> Budget:
    """What of a conversation fits into the engine's context, or into `context_tokens` if less.

    Args:
        before: Called with a prompt whose tokens are going to be counted, the engine, and the
            tokens that prompt and answer may have together.

    Raises:
        EngineError: When the engine is not ready.
        ConversationTooLong: The last turn alone does not fit.
        InvalidRequest: For an order of roles that cannot be rendered.
    """
    state = await engine.state()
    if state.info is None:
        raise EngineError(
            state.reason, kind="loading" if state.state == "loading" else "offline", retryable=True
        )
    info = state.info
    total = min(info.max_total_tokens, context_tokens)
    share = total // _ANSWER_SHARE
    room = share if max_new_tokens is None else min(max_new_tokens, share)
    budget = min(info.max_input_tokens, total - room)
    limit = min(info.max_input_tokens, total - min(room, _SMALLEST_ANSWER))

    async def count(prompt: str) -> int:
        before(info, prompt, total)
        return await engine.count_tokens(prompt)

    return Budget(info, await fit(messages, budget, limit, count, info.prompt_format), total)
