"""What answers use: tokens and time, counted where they pass, also of an answer that breaks off."""

from bisect import bisect_left
from typing import Final

from playground.domain.messages import Emulation, Figures

# Upper bounds in seconds. The engine is read every 0.037 s, with 400 streams every 0.076 s: a
# smooth answer lies below 0.1.
GAP_BOUNDS: Final = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)


class TokenFlow:
    """The tokens of all answers of this process, as they come.

    Attributes:
        generated: Tokens so far.
        gaps: How many pauses between two batches of tokens of an answer were at most as long as
            each of GAP_BOUNDS and longer than the one before it; the last counts those that were
            longer still.
        gap_seconds: Their sum.
    """

    __slots__ = ("gap_seconds", "gaps", "generated")

    def __init__(self) -> None:
        self.generated = 0
        self.gaps = [0] * (len(GAP_BOUNDS) + 1)
        self.gap_seconds = 0.0


class AnswerUsage:
    """One answer's share.

    Attributes:
        prompt_tokens: What the engine was sent; 0 when it refused it.
        generated_tokens: So far.
        first_s: From the answer's beginning to its first token; ``None`` before there is one.
        outcome: "done", or the kind of the error that ended it ("stopped" is one); "left" while it
            is not ended, and for good when its reader left.
        emulation: What it took, once the answer has ended; ``None`` where nothing was emulated.
    """

    __slots__ = (
        *("_begun", "_first_tokens", "_flow", "_last", "emulation", "first_s"),
        *("generated_tokens", "outcome", "prompt_tokens"),
    )

    def __init__(self, flow: TokenFlow | None = None) -> None:
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.first_s: float | None = None
        self.outcome = "left"
        self.emulation: Emulation | None = None
        self._flow = flow or TokenFlow()
        self._begun = self._last = 0.0
        self._first_tokens = 0

    @property
    def figures(self) -> Figures | None:
        """Of the tokens so far; ``None`` before the first."""
        if self.first_s is None:
            return None
        took = self._last - self._begun
        later = self.generated_tokens - self._first_tokens
        return Figures(
            generated_tokens=self.generated_tokens,
            ttft_ms=1000 * self.first_s,
            duration_ms=1000 * took,
            tokens_per_second=later / (took - self.first_s) if took > self.first_s else None,
        )

    def took(self, tokens: int, begun: float, now: float) -> None:
        """Tokens came.

        Args:
            begun: On the monotonic clock.
            now: On the monotonic clock.
        """
        flow = self._flow
        self.generated_tokens += tokens
        flow.generated += tokens
        if self.first_s is None:
            self.first_s, self._begun = now - begun, begun
            self._first_tokens = tokens
        else:
            gap = now - self._last
            flow.gaps[bisect_left(GAP_BOUNDS, gap)] += 1
            flow.gap_seconds += gap
        self._last = now

    def settle(self, generated_tokens: int) -> None:
        """The engine's own count, at the end of a complete answer."""
        self._flow.generated += generated_tokens - self.generated_tokens
        self.generated_tokens = generated_tokens

    def refused(self) -> None:
        """The engine failed: a prompt that it never answered a token to was not read, either."""
        if not self.generated_tokens:
            self.prompt_tokens = 0
