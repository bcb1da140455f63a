"""Continuous batching: one thread runs the graph, requests join and leave between its steps.

The engine takes jobs from an event loop and hands what they write back to it, all of a step in one
call. It knows nothing of HTTP.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.stand_in.answers import Answer, Event, Failed, Job, Written
from tests.stand_in.metrics import Metrics
from tests.stand_in.rows import Rows, room_for
from tests.stand_in.runtime import PIECE, Runtime
from tests.stand_in.text import Text

log = logging.getLogger(__name__)

Outbox = list[tuple[Job, Event]]


class Engine:
    """Runs jobs. `start` it on the event loop that takes the events.

    Args:
        rows: Empty rows of the runtime.
        ends: The tokens that end an answer.
        max_batch_size: How many answers are written at the same time; the others wait.
        cache_bytes: How much their keys and values may take, were each written to its limit; an
            answer that needs more is written alone.
        tokens_per_second: The most that one answer is written at; 0 is as fast as the machine goes.
        endless: The tokens that end an answer are never written.
    """

    def __init__(
        self,
        runtime: Runtime,
        text: Text,
        rows: Rows,
        *,
        ends: frozenset[int],
        max_batch_size: int,
        cache_bytes: int,
        metrics: Metrics,
        tokens_per_second: float = 0.0,
        endless: bool = False,
    ) -> None:
        self._runtime = runtime
        self._text = text
        self._rows = rows
        self._ends = ends
        self._endless = endless
        self._max_batch_size = max_batch_size
        self._cache_bytes = cache_bytes
        self._metrics = metrics
        self._interval = 1 / tokens_per_second if tokens_per_second else 0.0
        self._due = 0.0
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._reading: Answer | None = None
        self._again: deque[Answer] = deque()
        self._writing: dict[int, Answer] = {}
        self._next_key = 0
        self._outbox: Outbox = []
        self._refusal: str | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._post: Callable[[Outbox], object] = deliver

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work; what comes of it is delivered in this event loop."""
        self._post = lambda batch: loop.call_soon_threadsafe(deliver, batch)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether jobs are being worked on."""
        return self._thread.is_alive() and self._refusal is None

    def submit(self, job: Job) -> None:
        """Take a job in. Its events arrive on the event loop, which is where this is called."""
        with self._changed:
            if self._refusal is not None:
                job.put(Failed(self._refusal))
                return
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Drop a job before its next token. Events may still lie on their way."""
        with self._changed:
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
            self._changed.notify()

    def abort(self, message: str) -> None:
        """End every job, present and future, with Failed, and the thread with them."""
        with self._changed:
            self._refusal = self._refusal or message
            self._changed.notify()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            log.exception("The inference thread has failed.")
            self.abort("the inference thread has failed.")
        with self._changed:
            assert self._refusal is not None
            jobs = [answer.job for answer in self._writing.values()] + list(self._waiting)
            jobs += [answer.job for answer in self._again]
            if self._reading:
                jobs.append(self._reading.job)
            self._outbox += [(job, Failed(self._refusal)) for job in jobs]
        self._flush()

    def _work(self) -> None:
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

    def _has_work(self) -> bool:
        writes = self._writing and not self._pause()
        reads = self._reading or self._again or self._next_fits()
        return bool(reads or writes or self._refusal is not None)

    def _next_fits(self) -> bool:
        """Whether the job that waits longest can be taken up beside those that run."""
        if not self._waiting or len(self._writing) >= self._max_batch_size:
            return False
        taken = sum(self._size(answer.room) for answer in self._writing.values())
        size = self._size(len(self._waiting[0].prompt) + self._waiting[0].piece)
        return not taken or taken + size <= self._cache_bytes

    def _size(self, tokens: int) -> int:
        """Bytes of keys and values at an answer's end: those read and those written anew."""
        return 2 * room_for(tokens) * self._runtime.token_bytes

    def _pause(self) -> float | None:
        """Seconds until the next token may be written; None when there is nothing to wait for."""
        left = self._due - time.monotonic()
        return left if self._writing and left > 0 else None

    def _admit(self) -> None:
        if not self._reading and self._again:
            self._reading = self._again.popleft()
        elif not self._reading and self._next_fits():
            job = self._waiting.popleft()
            job.started = time.monotonic()
            self._reading = Answer(job, self._runtime, self._text)
        self._metrics.set("tgi_queue_size", len(self._waiting))

    def _drop_cancelled(self) -> None:
        if self._reading and self._reading.job.cancelled:
            self._reading = None
        self._again = deque(answer for answer in self._again if not answer.job.cancelled)
        for key in [key for key, answer in self._writing.items() if answer.job.cancelled]:
            self._leave(key)

    def _leave(self, key: int) -> None:
        del self._writing[key]
        self._rows.remove(key)

    def _guard(self, method: str, work: Callable[..., None], *arguments: object) -> None:
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
        prompt = answer.prompt
        piece = prompt[answer.count : answer.count + PIECE]
        logits, answer.past = self._runtime.extend(answer.past, piece)
        answer.read(logits, piece)
        if answer.count < len(prompt):
            return
        events = self._written(answer, logits[-1])
        self._reading = None
        self._outbox += [(answer.job, event) for event in events]
        if not isinstance(events[-1], Written):
            return
        if not answer.count:
            self._again.append(answer)
            return
        self._next_key += 1
        self._rows.add(self._next_key, answer.past)
        answer.past = []
        self._writing[self._next_key] = answer

    def _written(self, answer: Answer, logits: NDArray[Any]) -> list[Event]:
        if self._endless:
            logits = logits.copy()
            logits[list(self._ends)] = -np.inf
        return answer.write(logits, self._ends)

    def _write(self) -> None:
        """Write one token of every answer."""
        logits = self._rows.step({key: answer.last for key, answer in self._writing.items()})
        for key, values in logits.items():
            answer = self._writing[key]
            try:
                events = self._written(answer, values)
            except ArithmeticError as error:
                events = [Failed(str(error))]
            self._outbox += [(answer.job, event) for event in events]
            if not isinstance(events[-1], Written):
                self._leave(key)
            elif not answer.count:  # it has begun another piece
                self._leave(key)
                self._again.append(answer)

    def _flush(self) -> None:
        if self._outbox:
            self._post(self._outbox)
            self._outbox = []


def deliver(batch: Outbox) -> None:
    """Put events into their jobs' boxes; runs on the event loop."""
    for job, event in batch:
        job.put(event)
