"""One turn of one pane: budget, prompt, stream, and the events that come of them."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from functools import cache
from typing import Final, cast

from playground.domain.errors import EngineError, InvalidRequest, PlaygroundError
from playground.domain.messages import (
    Block,
    Delta,
    Done,
    Event,
    Failed,
    Notice,
    PaneRequest,
)
from playground.engines.base import (
    Chunk,
    Engine,
    EngineInfo,
    Finish,
    GenerationRequest,
    SteppedEngine,
)
from playground.engines.streams import closing
from playground.generation.bridge.plan import (
    EmulationPolicy,
    Plan,
    plan_generation,
    without_emulation,
)
from playground.generation.bridge.writing import Bridge
from playground.generation.budget import plan
from playground.generation.early import EarlyStream
from playground.generation.markdown import Blocks
from playground.generation.receipt import receipt
from playground.generation.renderer import AnswersMarkdown
from playground.generation.stop_sequences import StopFilter
from playground.telemetry.usage import AnswerUsage

# Drawn seeds have 32 bits, so that they are whole numbers in every browser.
_SEEDS: Final = 2**32
# A text that is continued can have thousands of blocks; after so many events others go on.
_AT_A_TIME: Final = 100
_POLICY: Final = EmulationPolicy()
# What a tokenizer adds to a text: BOS, and perhaps a space.
_ADDED: Final = 8


class _Writing:
    """The answer's text on its way to events: stop sequences, what is continued, Markdown."""

    def __init__(self, stops: Sequence[str], continued: str, markdown: AnswersMarkdown) -> None:
        self._markdown = markdown
        self._filter = StopFilter(stops, strip_start=not continued)
        self._blocks = Blocks()
        self._before = continued

    @property
    def stopped(self) -> bool:
        return self._filter.stopped

    async def feed(self, text: str) -> list[Delta | Block]:
        text = self._filter.feed(text)
        return await self._with_before(text) if text else []

    async def flush(self, *, complete: bool) -> list[Delta | Block]:
        """The rest. A complete answer has its beginning even if nothing was added to it."""
        rest = self._filter.flush()
        events = await self._with_before(rest) if rest or complete else []
        return events + await self._markdown.take(self._blocks.flushing())

    async def _with_before(self, text: str) -> list[Delta | Block]:
        before, self._before = self._before, ""
        return await self._markdown.take(self._blocks.feeding(before + text))


def _most_tokens(prompt: str) -> int:
    """As many as a tokenizer may make of it: each stands for a byte at least."""
    return len(prompt.encode("utf-8", "surrogatepass")) + _ADDED


@cache
def _is_stepped(kind: type[Engine]) -> bool:
    """Whether such an engine tells its tokens; to find out takes long."""
    return issubclass(kind, SteppedEngine)


def _too_many_stops(info: EngineInfo) -> str:
    most, needed = info.max_stop_sequences, len(info.prompt_format.stop)
    words = f"{info.name} takes {most} stop sequences"
    if not needed:
        return f"{words}."
    return (
        f"{words}, and {info.prompt_format.label} needs {needed} of them to end an answer: "
        f"{max(most - needed, 0)} may be your own."
    )


async def answer(
    engine: Engine,
    request: PaneRequest,
    *,
    context_tokens: int,
    usage: AnswerUsage | None = None,
    emulation: EmulationPolicy = _POLICY,
    markdown: AnswersMarkdown | None = None,
) -> AsyncGenerator[Event, None]:
    """The events of one answer, the last of them Done or Failed, and only the last.

    The deltas joined are the whole answer: one that continues the assistant's last message begins
    with that message's text. The text holds no stop sequence, no white space at its end, and none
    at its start unless it is continued. Closing the generator closes the engine's stream at once.

    Args:
        usage: Says at any time what the answer has used.
        emulation: What of it the operator allows.
        markdown: Where what takes long is done, for all answers.
    """
    arrived = time.monotonic()
    usage = usage or AnswerUsage()
    writing: _Writing | None = None
    bridge: Bridge | None = None
    early: tuple[Plan, EarlyStream[Chunk | Finish]] | None = None
    stepped = cast(SteppedEngine, engine) if _is_stepped(type(engine)) else None
    emulate = request.emulate and emulation.allowed and stepped is not None
    seed = secrets.randbelow(_SEEDS) if request.seed is None else request.seed

    def planned(info: EngineInfo, prompt: str, max_new_tokens: int) -> Plan:
        stops = tuple(dict.fromkeys((*info.prompt_format.stop, *request.stop)))
        if len(stops) > info.max_stop_sequences:
            raise InvalidRequest(_too_many_stops(info), field="stop")
        asked = GenerationRequest(prompt, request.sampler, max_new_tokens, seed, stops)
        return plan_generation(asked, info, emulate=emulate)

    def begin(info: EngineInfo, prompt: str, total: int) -> None:
        """Ask for an answer that has its room in any case while the prompt is being counted."""
        nonlocal early
        most, size = request.max_new_tokens, _most_tokens(prompt)
        if early or most is None or size > min(info.max_input_tokens, total - most):
            return
        made = planned(info, prompt, most)
        if not made.bridged:
            early = made, EarlyStream(engine.stream(made.request))

    try:
        budget = await plan(engine, request.messages, request.max_new_tokens, context_tokens, begin)
        text = budget.fit.prompt.text
        most = min(request.max_new_tokens or budget.left, budget.left)
        if early and (early[0].request.prompt, early[0].max_new_tokens) != (text, most):
            await early[1].aclose()  # the tokenizer makes more of the prompt than any should
            early = None
        made = early[0] if early else planned(budget.info, text, most)
        sent = engine.parameters(made.request)
        applied = budget.info.applied if emulate else without_emulation(budget.info.applied)
        yield receipt(
            request, made, sent, budget, applied, emulate=request.emulate and emulation.allowed
        )
        writing = _Writing(
            made.request.stop, budget.fit.prompt.continued, markdown or AnswersMarkdown()
        )
        first_text = first = last = 0.0
        tokens = first_tokens = 0
        finish: Finish | None = None
        usage.prompt_tokens = budget.fit.tokens
        if made.bridged:
            assert stepped is not None, "its longest request would not be known"
            bridge = Bridge(stepped, budget.info, made, budget.fit.tokens, emulation)
        items: AsyncGenerator[Chunk | Finish | Notice, None] | EarlyStream[Chunk | Finish]
        if bridge:
            items = bridge.write()
        elif early:
            items = early[1]
        else:
            items = engine.stream(made.request)
        async with closing(items) as stream:
            async for item in stream:
                if isinstance(item, Notice):
                    yield item
                    continue
                if isinstance(item, Finish):
                    finish = item
                    usage.settle(finish.generated_tokens)
                    break
                if writing.stopped:
                    break  # the engine did not see the stop sequence that we saw
                last = time.monotonic()
                tokens += item.tokens
                usage.took(item.tokens, arrived, last)
                if not first:
                    first, first_tokens = last, tokens
                for i, event in enumerate(await writing.feed(item.text), 1):
                    if i % _AT_A_TIME == 0:
                        await asyncio.sleep(0)
                    first_text = first_text or last
                    yield event
            # Inside: the stream's end may take a while, and nothing here depends on it.
            if finish is None and not writing.stopped:
                raise EngineError(
                    "The engine ended without saying that the answer is complete.",
                    kind="incomplete",
                    retryable=True,
                )
            for i, event in enumerate(await writing.flush(complete=True), 1):
                if i % _AT_A_TIME == 0:
                    await asyncio.sleep(0)
                first_text = first_text or last
                yield event
            ended = time.monotonic()
            generated = finish.generated_tokens if finish else tokens
            rate = (generated - first_tokens) / (last - first) if last > first else None
            yield Done(
                finish_reason=finish.reason if finish and not writing.stopped else "stop_sequence",
                generated_tokens=generated,
                input_tokens=finish.input_tokens if finish else budget.fit.tokens,
                seed=seed,
                ttft_ms=1000 * (first_text - arrived) if first_text else None,
                duration_ms=1000 * (ended - arrived),
                tokens_per_second=rate,
                emulation=bridge.emulation if bridge else None,
            )
    except PlaygroundError as error:
        usage.refused()
        for event in await writing.flush(complete=False) if writing else ():
            yield event
        took = bridge.emulation if bridge else None
        yield Failed(error.kind, str(error), error.retryable, took, usage.figures)
    finally:
        usage.emulation = bridge.emulation if bridge else None
        if early:
            await early[1].aclose()
