"""One turn of one pane: budget, prompt, stream, and the events that come of them."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, cast

from playground.domain.errors import EngineError, InvalidRequest, PlaygroundError
from playground.domain.messages import (
    Applied,
    Block,
    Delta,
    Done,
    Event,
    Failed,
    Message,
    Notice,
    PaneRequest,
    Receipt,
)
from playground.domain.prompt import Fit, fit
from playground.domain.samplers import Sampler
from playground.engines.base import Engine, EngineInfo, Finish, GenerationRequest, SteppedEngine
from playground.engines.streams import closing
from playground.generation.bridge.plan import (
    EmulationPolicy,
    Plan,
    plan_generation,
    without_emulation,
)
from playground.generation.bridge.writing import Bridge
from playground.generation.markdown import Blocks
from playground.generation.renderer import AnswersMarkdown
from playground.generation.stop_sequences import StopFilter
from playground.telemetry.usage import AnswerUsage

# Older turns are left out until the answer has the room it asks for, or this share of the context.
_ANSWER_SHARE: Final = 4
# The last message may take all of the context but this: a shorter answer says nothing.
_SMALLEST_ANSWER: Final = 64
# Drawn seeds have 32 bits, so that they are whole numbers in every browser.
_SEEDS: Final = 2**32
# A text that is continued can have thousands of blocks; after so many events others go on.
_AT_A_TIME: Final = 100
_POLICY: Final = EmulationPolicy()


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
    engine: Engine, messages: Sequence[Message], max_new_tokens: int | None, context_tokens: int
) -> Budget:
    """What of a conversation fits into the engine's context, or into `context_tokens` if less.

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
    return Budget(
        info, await fit(messages, budget, limit, engine.count_tokens, info.prompt_format), total
    )


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


@cache
def _is_stepped(kind: type[Engine]) -> bool:
    """Whether such an engine tells its tokens; to find out takes long."""
    return issubclass(kind, SteppedEngine)


def left_out(
    sampler: Sampler,
    sent: Mapping[str, object],
    applied: Mapping[str, Applied],
    emulated: Collection[str] = (),
) -> dict[str, str]:
    """Of each parameter that is set, was not sent and is not emulated, the reason."""
    reasons = {}
    greedy = sampler.temperature is not None and sent.get("do_sample") is False
    for parameter, value in sampler:
        name = parameter.name
        said = name in sent or not sent.keys().isdisjoint(parameter.names.values())
        if value is None or said or name in emulated:
            continue
        if applied[name].how == "emulated" and not greedy:
            continue
        if applied[name].how == "unsupported":
            reasons[name] = applied[name].reason
        elif greedy:
            reasons[name] = "Greedy decoding takes the likeliest token; do_sample false says it."
        elif name == "top_p" and value != parameter.neutral:
            reasons[name] = f"{value!r} is 1 in the engine's 32 bits."
        elif name == "temperature":
            reasons[name] = "1 is the engine's own temperature; do_sample true says to sample."
        else:
            reasons[name] = f"{value:g} has no effect."
    return reasons


def _note(sampler: Sampler, sent: Mapping[str, object]) -> str:
    """What follows from all that is sent, and from no single parameter."""
    if sent.get("do_sample") is False and sampler.temperature is None:
        return (
            "Greedy: there is no temperature, and nothing among what is sent for the engine to "
            "sample within, so it takes the likeliest token each time and the seed has no effect."
        )
    return ""


def _pieces(made: Plan) -> str:
    """That one answer takes several requests, where it does."""
    longest, whole = made.request.max_new_tokens, made.max_new_tokens
    if whole == longest:
        return ""
    return (
        f"The engine holds to max_new_tokens up to {longest:,} only, so an answer of up to "
        f"{whole:,} is asked for in several requests, each behind what is there."
    )


def _too_many_stops(info: EngineInfo) -> str:
    most, needed = info.max_stop_sequences, len(info.prompt_format.stop)
    words = f"{info.name} takes {most} stop sequences"
    if not needed:
        return f"{words}."
    return (
        f"{words}, and {info.prompt_format.label} needs {needed} of them to end an answer: "
        f"{max(most - needed, 0)} may be your own."
    )


def _edits(request: PaneRequest) -> dict[str, tuple[float | None, float | None]]:
    """Of each edited parameter the value before and after."""
    if request.started_from is None:
        return {}
    return {
        name: (getattr(request.started_from, name), getattr(request.sampler, name))
        for name in request.edited
    }


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
    try:
        budget = await plan(engine, request.messages, request.max_new_tokens, context_tokens)
        form = budget.info.prompt_format
        stops = tuple(dict.fromkeys((*form.stop, *request.stop)))
        if len(stops) > budget.info.max_stop_sequences:
            raise InvalidRequest(_too_many_stops(budget.info), field="stop")
        generation = GenerationRequest(
            prompt=budget.fit.prompt.text,
            sampler=request.sampler,
            max_new_tokens=min(request.max_new_tokens or budget.left, budget.left),
            seed=secrets.randbelow(_SEEDS) if request.seed is None else request.seed,
            stop=stops,
        )
        stepped = cast(SteppedEngine, engine) if _is_stepped(type(engine)) else None
        emulate = request.emulate and emulation.allowed and stepped is not None
        made = plan_generation(generation, budget.info, emulate=emulate)
        sent = engine.parameters(made.request)
        applied = budget.info.applied if emulate else without_emulation(budget.info.applied)
        yield Receipt(
            engine=budget.info.name,
            engine_id=request.engine,
            model_id=budget.info.model_id,
            model_sha=budget.info.model_sha,
            quantisation=budget.info.quantisation,
            preset=request.preset,
            edited=request.edited,
            sent=sent,
            applied=applied,
            prompt_tokens=budget.fit.tokens,
            dropped_turns=budget.fit.dropped_turns,
            edits=_edits(request),
            left_out=left_out(request.sampler, sent, applied, made.emulated),
            note=" ".join(filter(None, (_note(request.sampler, sent), _pieces(made), form.note))),
            prompt=generation.prompt,
            prompt_format=form,
            system=request.messages[0].content if request.messages[0].role == "system" else "",
            continued=len(budget.fit.prompt.continued),
            emulate=request.emulate and emulation.allowed,
            emulated=made.emulated,
            asked=request.sampler.set_values(),
            max_new_tokens=made.max_new_tokens,
        )
        writing = _Writing(stops, budget.fit.prompt.continued, markdown or AnswersMarkdown())
        first_text = first = last = 0.0
        tokens = first_tokens = 0
        finish: Finish | None = None
        usage.prompt_tokens = budget.fit.tokens
        if made.bridged:
            assert stepped is not None, "its longest request would not be known"
            bridge = Bridge(stepped, budget.info, made, budget.fit.tokens, emulation)
        items = bridge.write() if bridge else engine.stream(made.request)
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
                seed=generation.seed,
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
