"""Continuous batching: one thread runs the graph, requests join and leave between its steps.

The engine takes jobs from an event loop and hands what they write back to it, all of a step in one
call. It knows nothing of HTTP.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import onnxruntime as ort

from tgi.embedded.metrics import Metrics
from tgi.embedded.rows import Rows
from tgi.embedded.runtime import PIECE, Runtime
from tgi.embedded.sampling import Chooser, Sampling
from tgi.embedded.text import Detokeniser, Text

log = logging.getLogger(__name__)

Reason = Literal["length", "eos_token", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token as TGI reports it; text is "" while a character is incomplete."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A token was written. top: the likeliest tokens in its place, if they were asked for."""

    token: Token
    top: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer ended; comes after the last token. text: all of it, without special tokens."""

    reason: Reason
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer could not be finished."""

    message: str


Event = Written | Finished | Failed


@dataclass(eq=False)
class Job:
    """One request inside the engine, and where its events go.

    prompt: tokens, at least one. limit: new tokens, at least 1. Times are time.monotonic().
    """

    prompt: list[int]
    limit: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    top_n_tokens: int = 0
    events: "deque[Event]" = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    queued: float = field(default_factory=time.monotonic)
    started: float = 0.0

    async def take(self) -> list[Event]:
        """All events since the last call, at least one."""
        await self.arrived.wait()
        self.arrived.clear()
        taken = list(self.events)
        self.events.clear()
        return taken


class Answer:
    """A job being read or written: what the engine keeps beside the keys and values."""

    def __init__(self, job: Job, runtime: Runtime, text: Text) -> None:
        self.job = job
        self.past: list[ort.OrtValue] = runtime.empty()
        self.read = 0
        self.last = 0
        self._text = text
        self._chooser = Chooser(job.sampling, job.prompt, runtime.vocabulary)
        self._detokeniser = Detokeniser(text, job.prompt)
        self._parts: list[str] = []
        self._tail = ""
        self._kept = max(map(len, job.stop), default=0) + 1
        self._count = 0

    def write(self, logits: "object", ends: frozenset[int]) -> Iterator[Event]:
        """Choose the next token from its logits [vocabulary]."""
        choice = self._chooser.choose(logits, self.job.top_n_tokens)  # type: ignore[arg-type]
        self.last = choice.token
        self._count += 1
        text = self._detokeniser.add(choice.token)
        special = self._text.is_special(choice.token)
        if not special:
            self._parts.append(text)
        top = tuple(
            Token(token, self._text.decode([token]), logprob, self._text.is_special(token))
            for token, logprob in choice.top
        )
        yield Written(Token(choice.token, text, choice.logprob, special), top)
        reason = self._end(choice.token, text, ends)
        if reason:
            yield Finished(reason, "".join(self._parts), self._count)

    def _end(self, token: int, text: str, ends: frozenset[int]) -> Reason | None:
        # TGI's order: the limit first, then the end token, then the stop sequences. It looks for a
        # sequence at the very end of the text (or before a last newline) after each token.
        if self._count >= self.job.limit:
            return "length"
        if token in ends:
            return "eos_token"
        if self.job.stop:
            self._tail = (self._tail + text)[-max(self._kept, len(text)) :]
            if any(self._tail.endswith((stop, stop + "\n")) for stop in self.job.stop):
                return "stop_sequence"
        return None


class Engine:
    """Runs jobs. `start` it on the event loop that takes the events.

    ends: the tokens that end an answer. rows: empty rows of the runtime.
    max_batch_size: how many answers are written at the same time; the others wait.
    tokens_per_second: the most that one answer is written at; 0 is as fast as the machine goes.
    """

    def __init__(
        self,
        runtime: Runtime,
        text: Text,
        rows: Rows,
        *,
        ends: frozenset[int],
        max_batch_size: int,
        metrics: Metrics,
        tokens_per_second: float = 0.0,
    ) -> None:
        self._runtime = runtime
        self._text = text
        self._rows = rows
        self._ends = ends
        self._max_batch_size = max_batch_size
        self._metrics = metrics
        self._interval = 1 / tokens_per_second if tokens_per_second else 0.0
        self._due = 0.0
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._reading: Answer | None = None
        self._writing: dict[int, Answer] = {}
        self._next_key = 0
        self._outbox: list[tuple[Job, Event]] = []
        self._refusal: str | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._post: Callable[[list[tuple[Job, Event]]], object] = deliver

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._post = lambda batch: loop.call_soon_threadsafe(deliver, batch)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether jobs are being worked on."""
        return self._thread.is_alive() and self._refusal is None

    def submit(self, job: Job) -> None:
        """Take a job in. Its events arrive on the event loop."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Drop a job before its next token. Events may still lie on their way."""
        with self._changed:
            job.cancelled = True
            self._changed.notify()

    def abort(self, message: str) -> None:
        """End every job, present and future, with Failed, and the thread with them."""
        with self._changed:
            self._refusal = message
            self._changed.notify()

    def _run(self) -> None:
        while self._refusal is None:
            with self._changed:
                self._changed.wait_for(self._has_work, self._pause())
                self._admit()
            self._drop_cancelled()
            if self._reading:
                self._guard("prefill", self._read, self._reading)
            if self._writing and not self._pause():
                self._due = time.monotonic() + self._interval
                self._guard("decode", self._write)
            self._metrics.set("tgi_batch_current_size", len(self._writing))
            self._flush()
        with self._changed:
            jobs = [answer.job for answer in self._writing.values()] + list(self._waiting)
            if self._reading:
                jobs.append(self._reading.job)
        self._outbox += [(job, Failed(self._refusal)) for job in jobs]
        self._flush()

    def _has_work(self) -> bool:
        room = len(self._writing) < self._max_batch_size
        writes = self._writing and not self._pause()
        return bool(
            (self._waiting and room) or self._reading or writes or self._refusal is not None
        )

    def _pause(self) -> float | None:
        """Seconds until the next token may be written; None when there is nothing to wait for."""
        left = self._due - time.monotonic()
        return left if self._writing and left > 0 else None

    def _admit(self) -> None:
        while self._waiting and self._waiting[0].cancelled:
            self._waiting.popleft()
        if self._waiting and not self._reading and len(self._writing) < self._max_batch_size:
            job = self._waiting.popleft()
            job.started = time.monotonic()
            self._reading = Answer(job, self._runtime, self._text)
        self._metrics.set("tgi_queue_size", len(self._waiting))

    def _drop_cancelled(self) -> None:
        if self._reading and self._reading.job.cancelled:
            self._reading = None
        for key in [key for key, answer in self._writing.items() if answer.job.cancelled]:
            self._leave(key)

    def _leave(self, key: int) -> None:
        del self._writing[key]
        self._rows.remove(key)

    def _guard(self, method: str, work: "Callable[..., None]", *arguments: object) -> None:
        """Run a prefill or decode step; when it fails, its answers fail and the engine goes on."""
        self._metrics.count("tgi_batch_inference_count", method=method)
        begun = time.monotonic()
        try:
            work(*arguments)
        except Exception as error:
            log.exception("%s failed", method)
            self._metrics.count("tgi_batch_inference_failure", method=method)
            self._fail(method, str(error) or type(error).__name__)
            return
        self._metrics.count("tgi_batch_inference_success", method=method)
        self._metrics.observe(
            "tgi_batch_inference_duration", time.monotonic() - begun, method=method
        )

    def _fail(self, method: str, message: str) -> None:
        if method == "prefill":
            if self._reading:
                self._outbox.append((self._reading.job, Failed(message)))
            self._reading = None
            return
        self._outbox += [(answer.job, Failed(message)) for answer in self._writing.values()]
        for key in list(self._writing):
            self._leave(key)

    def _read(self, answer: Answer) -> None:
        """Read one piece of a prompt; after the last one, write the first token."""
        prompt = answer.job.prompt
        piece = prompt[answer.read : answer.read + PIECE]
        logits, answer.past = self._runtime.extend(answer.past, piece)
        answer.read += len(piece)
        if answer.read < len(prompt):
            return
        events = list(answer.write(logits, self._ends))
        self._reading = None
        self._outbox += [(answer.job, event) for event in events]
        if isinstance(events[-1], Finished):
            return
        self._next_key += 1
        self._rows.add(self._next_key, answer.past)
        answer.past = []
        self._writing[self._next_key] = answer

    def _write(self) -> None:
        """Write one token of every answer."""
        logits = self._rows.step({key: answer.last for key, answer in self._writing.items()})
        for key, values in logits.items():
            answer = self._writing[key]
            try:
                events: list[Event] = list(answer.write(values, self._ends))
            except ArithmeticError as error:
                events = [Failed(str(error))]
            self._outbox += [(answer.job, event) for event in events]
            if not isinstance(events[-1], Written):
                self._leave(key)

    def _flush(self) -> None:
        if self._outbox:
            self._post(self._outbox)
            self._outbox = []


def deliver(batch: list[tuple[Job, Event]]) -> None:
    """Put events into their jobs' boxes; runs on the event loop."""
    for job, event in batch:
        job.events.append(event)
        job.arrived.set()
