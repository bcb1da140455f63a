"""One answer in the making: the job that asks for it, the tokens it is written from, its end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tests.stand_in.runtime import Runtime
from tests.stand_in.sampling import Chooser, Sampling
from tests.stand_in.text import Detokeniser, Text

Reason = Literal["length", "eos_token", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token as TGI reports it; text is "" while a character is incomplete."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A token of the prompt; nothing says how likely the first one was."""

    id: int
    text: str
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Written:
    """A token was written.

    Attributes:
        top: The likeliest tokens in its place, if they were asked for.
    """

    token: Token
    top: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer ended; comes after the last token.

    Attributes:
        text: All of it, without special tokens.
        prefill: The prompt's tokens, if they were asked for.
    """

    reason: Reason
    text: str
    tokens: int
    prefill: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer could not be finished."""

    message: str


Event = Written | Finished | Failed


@dataclass(eq=False)
class Job:
    """An answer that is asked for, and its events as they come.

    All but `cancelled` and the times belongs to the event loop. Times are time.monotonic().

    Attributes:
        prompt: Tokens, at least one.
        limit: New tokens, at least 1, as they were asked for; it is held to between pieces alone.
        piece: How many of them are written in the first piece.
        following: By the text so far, the next piece's prompt and number; ``None`` where the
            context has no room for one.
        prefill: Tell the prompt's tokens.
    """

    prompt: list[int]
    limit: int
    piece: int
    following: Callable[[str], tuple[list[int], int] | None]
    sampling: Sampling
    stop: tuple[str, ...] = ()
    top_n_tokens: int = 0
    prefill: bool = False
    events: list[Event] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    cancelled: bool = False
    queued: float = field(default_factory=time.monotonic)
    started: float = 0.0

    def put(self, event: Event) -> None:
        """An event of this answer; the last one ends it."""
        self.events.append(event)
        self.ended = self.ended or not isinstance(event, Written)
        self.arrived.set()

    async def take(self) -> list[Event]:
        """Wait for `arrived`; gives the events since the last call, which may be none."""
        await self.arrived.wait()
        self.arrived.clear()
        taken, self.events = self.events, []
        return taken


class Answer:
    """A job being read or written, in pieces as TGI does it.

    A piece is a request of its own: prompt and text so far are read anew, the generator begins anew
    with the same seed, a stop sequence is looked for in the piece alone, and where a piece ends
    inside a character all of its text is lost.

    Attributes:
        prompt: Tokens that are read before those that are written.
        past: Keys and values of what was read, until the rows take them.
        count: Tokens of the prompt that were read.
        room: Tokens of prompt and piece.
        last: The token that was written last.
    """

    def __init__(self, job: Job, runtime: Runtime, text: Text) -> None:
        self.job = job
        self.last = 0
        self._runtime = runtime
        self._text = text
        self._whole = ""
        self._written = 0
        self._prefill: list[Read] = []
        self._begin(job.prompt, job.piece)

    def _begin(self, prompt: list[int], count: int) -> None:
        """A piece of so many tokens."""
        self.prompt = prompt
        self.past: list[ort.OrtValue] = self._runtime.empty()
        self.count = 0
        self.room = len(prompt) + count
        self._end = self._written + count
        self._chooser = Chooser(self.job.sampling, prompt, self._runtime.vocabulary)
        self._detokeniser = Detokeniser(self._text, prompt)
        self._parts: list[str] = []
        self._tail = ""

    def _continue(self) -> bool:
        """Begin the next piece, if there is one."""
        if self._written >= self.job.limit:
            return False
        following = self.job.following(self._whole)
        if following is None:
            return False
        self._begin(*following)
        return True

    def read(self, logits: NDArray[Any], tokens: Sequence[int]) -> None:
        """Take in that tokens of the prompt were read.

        Args:
            logits: After each of them [tokens, vocabulary].
            tokens: Those that come next in the prompt.
        """
        begin, self.count = self.count, self.count + len(tokens)
        if not self.job.prefill or self._written:
            return
        if not begin:
            self._told(tokens[0], None)
        following = self.prompt[begin + 1 : self.count + 1]
        for row, token in zip(logits.astype(np.float64), following, strict=False):
            highest = row.max()
            self._told(token, float(row[token] - highest - np.log(np.exp(row - highest).sum())))

    def _told(self, token: int, logprob: float | None) -> None:
        self._prefill.append(Read(token, self._text.decode([token]), logprob))

    def write(self, logits: NDArray[Any], ends: frozenset[int]) -> list[Event]:
        """Choose the next token from its logits [vocabulary]; the answer may end with it.

        Raises:
            ArithmeticError: When the logits are no numbers.
        """
        choice = self._chooser.choose(logits, self.job.top_n_tokens)
        self.last = choice.token
        self._written += 1
        text = self._detokeniser.add(choice.token)
        special = self._text.is_special(choice.token)
        if not special:
            self._parts.append(text)
        top = tuple(
            Token(token, self._text.decode([token]), logprob, self._text.is_special(token))
            for token, logprob in choice.top
        )
        written = Written(Token(choice.token, text, choice.logprob, special), top)
        reason = self._reason(choice.token, text, ends)
        if reason is None:
            return [written]
        if not self._detokeniser.inside:
            self._whole += "".join(self._parts)
        if reason == "length" and self._continue():
            return [written]
        return [written, Finished(reason, self._whole, self._written, tuple(self._prefill))]

    def _reason(self, token: int, text: str, ends: frozenset[int]) -> Reason | None:
        # TGI's order: the limit first, then the end token, then the stop sequences. It looks for a
        # sequence at the very end of the text (or before a last newline) after each token, and
        # when it has 300 characters of text it keeps 200: a longer sequence may be missed.
        if self._written >= self._end:
            return "length"
        if token in ends:
            return "eos_token"
        if self.job.stop:
            self._tail += text
            if len(self._tail) > 300:
                self._tail = self._tail[-200:]
            if any(self._tail.endswith((stop, stop + "\n")) for stop in self.job.stop):
                return "stop_sequence"
        return None
