"""What a Prometheus scrapes: figures of this process, without a name, an address or a text.

One process has one registry; replicas are scraped one by one. Values that are there anyway (the
load's, the flow's) are read when they are asked for, so that they cost nothing until then.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final, Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from playground.domain.errors import (
    Busy,
    ConversationTooLong,
    EngineErrorKind,
    Forbidden,
    InvalidRequest,
    LoginRequired,
    NotFound,
    OtherLogin,
    PlaygroundError,
    ShuttingDown,
    Spent,
    StoreError,
)
from playground.telemetry.usage import GAP_BOUNDS, AnswerUsage, TokenFlow

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATES: Final = ("ready", "loading", "offline")
# What is known to happen has its series from the start: none is drawn as zero, and the first of a
# kind is an increase. Others come when they happen.
_FAILURES: Final = (*get_args(EngineErrorKind), PlaygroundError.kind)
_REFUSALS: Final = tuple(
    each.kind
    for each in (
        Busy,
        ConversationTooLong,
        Forbidden,
        InvalidRequest,
        LoginRequired,
        NotFound,
        OtherLogin,
        ShuttingDown,
        Spent,
        StoreError,
    )
)
# How long a scrape waits for the engine and the database to say how they are.
_ASKING_S: Final = 1.0
_FIRST_BOUNDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
_REQUEST_BOUNDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which says when the process began


class Load(Protocol):
    """How much is under way, and how much may be."""

    limit: int
    queue_limit: int
    writing: int

    @property
    def waiting(self) -> int:
        """Requests in the queue."""


class Metrics:
    """The registry of one process.

    Args:
        load: Of this process.
        engine_states: Of each engine one of STATES.
        store_answers: Whether the database does; both are asked for each scrape.
        engines: The ids of all engines.
        texts_waiting: How many wait for their turn.

    Attributes:
        connections_ended: How many the server has refused or ended, by the reason; whoever counts
            them puts it here.
    """

    def __init__(
        self,
        load: Load,
        engine_states: Callable[[], Awaitable[Mapping[str, str]]],
        store_answers: Callable[[], Awaitable[bool]],
        *,
        engines: Sequence[str] = ("default",),
        texts_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self.flow = TokenFlow()
        self.connections_ended: Mapping[str, int] = {}
        self._asked_states = engine_states
        self._engines = engines
        self._store_answers = store_answers
        self._asking: asyncio.Task[None] | None = None
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Read(self, load, texts_waiting))
        self._answers = Counter(
            "playground_answers",
            "Answers that ended: done, stopped by the reader, left by the reader, or failed",
            ["outcome"],
            registry=registry,
        )
        self._errors = Counter(
            "playground_errors",
            "Answers that failed, by kind of error",
            ["kind"],
            registry=registry,
        )
        self._prompt_tokens = Counter(
            "playground_prompt_tokens", "Tokens of prompts that were answered", registry=registry
        )
        self._first = Histogram(
            "playground_time_to_first_token_seconds",
            "From an answer's beginning to its first token, the wait in line left out",
            buckets=_FIRST_BOUNDS,
            registry=registry,
        )
        self._emulated = Counter(
            "playground_emulated_answers",
            "Answers of which parameters were emulated: to the end, or given up on the way",
            ["outcome"],
            registry=registry,
        )
        self._judged = Counter(
            "playground_emulated_tokens",
            "Tokens of an engine that were judged for an emulation",
            ["verdict"],
            registry=registry,
        )
        self._restarts = Counter(
            "playground_emulation_restarts",
            "Times that an engine was asked anew within an answer that is emulated",
            registry=registry,
        )
        self._waited = Histogram(
            "playground_wait_seconds",
            "Time in line of requests that were let in",
            buckets=(0.1, 0.5, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0),
            registry=registry,
        )
        self._refusals = Counter(
            "playground_refusals",
            "Requests that were refused, by kind",
            ["kind"],
            registry=registry,
        )
        self._requests = Counter(
            "playground_requests", "Requests", ["method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "playground_request_seconds",
            "From a request to the end of its answer",
            ["route"],
            buckets=_REQUEST_BOUNDS,
            registry=registry,
        )
        self._engine_state = Gauge(
            "playground_engine_state",
            "1 for the state of each engine",
            ["engine", "state"],
            registry=registry,
        )
        self._store_up = Gauge(
            "playground_store_up", "Whether the database answers", registry=registry
        )
        Gauge(
            "playground_build_info",
            "1; what runs",
            ["version", "python"],
            registry=registry,
        ).labels(version("kto-mistral-playground"), platform.python_version()).set(1)
        for outcome in ("done", "stopped", "left", "failed"):
            self._answers.labels(outcome)
        for kind in _FAILURES:
            self._errors.labels(kind)
        for kind in _REFUSALS:
            self._refusals.labels(kind)
        for outcome in ("kept", "given_up"):
            self._emulated.labels(outcome)
        for verdict in ("accepted", "rejected"):
            self._judged.labels(verdict)
        self._show({})

    def answered(self, usage: AnswerUsage) -> None:
        """An answer ended."""
        failed = usage.outcome not in ("done", "stopped", "left")
        self._answers.labels("failed" if failed else usage.outcome).inc()
        if failed:
            self._errors.labels(usage.outcome).inc()
        self._prompt_tokens.inc(usage.prompt_tokens)
        if usage.first_s is not None:
            self._first.observe(usage.first_s)
        if (took := usage.emulation) is not None:
            self._emulated.labels("kept" if took.given_up_at is None else "given_up").inc()
            self._judged.labels("accepted").inc(took.accepted)
            self._judged.labels("rejected").inc(took.proposed - took.accepted)
            self._restarts.inc(took.restarts)

    def waited(self, seconds: float) -> None:
        """A request was let in after so long in the queue."""
        self._waited.observe(seconds)

    def refused(self, kind: str) -> None:
        """A request was refused with an error of this kind."""
        self._refusals.labels(kind).inc()

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is over.

        Args:
            route: Its template, so that there are few.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    async def text(self) -> bytes:
        """Everything, as CONTENT_TYPE. What does not answer soon keeps its last value."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.wait([self._asking], timeout=_ASKING_S)
        return generate_latest(self._registry)

    async def _ask(self) -> None:
        self._show(await self._asked_states())
        self._store_up.set(await self._store_answers())

    def _show(self, now: Mapping[str, str]) -> None:
        for engine in self._engines:
            for state in STATES:
                self._engine_state.labels(engine, state).set(state == now.get(engine))


class _Read(Collector):
    """Figures that are there anyway, read when they are asked for."""

    def __init__(self, metrics: Metrics, load: Load, texts_waiting: Callable[[], int]) -> None:
        self._metrics = metrics
        self._load = load
        self._texts_waiting = texts_waiting

    def collect(
        self,
    ) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        load, flow = self._load, self._metrics.flow
        for name, words, value in (
            ("streams", "Answers being written", load.writing),
            ("streams_limit", "Answers that may be written at a time", load.limit),
            ("waiting", "Requests in line", load.waiting),
            ("waiting_limit", "Requests that may wait in line", load.queue_limit),
            (
                "texts_waiting",
                "Texts in line to be counted, rendered or read",
                self._texts_waiting(),
            ),
        ):
            yield GaugeMetricFamily(f"playground_{name}", words, value)
        ended = CounterMetricFamily(
            "playground_connections_ended",
            "Connections that were refused or ended, by the reason",
            labels=["reason"],
        )
        for reason, count in self._metrics.connections_ended.items():
            ended.add_metric([reason], count)
        yield ended
        yield CounterMetricFamily(
            "playground_generated_tokens", "Tokens of answers", flow.generated
        )
        counts, buckets = 0, []
        for bound, count in zip((*map(str, GAP_BOUNDS), "+Inf"), flow.gaps, strict=True):
            counts += count
            buckets.append((bound, counts))
        yield HistogramMetricFamily(
            "playground_inter_token_gap_seconds",
            "Pauses between two batches of tokens of an answer; the engine is read every 0.037 s",
            buckets=buckets,
            sum_value=flow.gap_seconds,
        )
