"""A stream's events as server-sent events, and what they say as types. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NotRequired

import orjson
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from playground.domain.digest import digest
from playground.domain.messages import (
    Applied,
    Block,
    Delta,
    Done,
    Emulation,
    Event,
    Failed,
    Figures,
    Notice,
    Receipt,
    Sealed,
    Waiting,
)

KEEP_ALIVE: Final = b": keep-alive\n\n"

# How the API's types are shown in its document: with these docstrings, and with no other names.
exact: Final = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))


@exact
class AppliedData(TypedDict):
    """How the engine treats a parameter, and why."""

    how: Literal["native", "emulated", "unsupported"]
    reason: str


# "from" is no name of Python's.
EditData = TypedDict("EditData", {"from": float | None, "to": float | None})
EditData.__doc__ = "The preset's value of a parameter, and the one asked for; null is unset."
exact(EditData)


@exact
class WaitingData(TypedDict):
    """The answer is not begun: its request waits in the queue."""

    place: int
    """From 1."""


@exact
class PromptFormatData(TypedDict):
    """How a conversation is written as a model's prompt."""

    id: str
    """As PLAYGROUND_PROMPT_FORMAT has it."""
    label: str
    bos: str
    """The token that the engine puts in front of the prompt, "" for none."""
    stop: Sequence[str]
    """The stop sequences that the format needs, before those of the request."""
    default_system: str
    """What is sent in the place of an empty system text, "" for nothing."""


@exact
class ReceiptData(TypedDict):
    """What was sent to the engine for an answer, exactly, and what was not sent and why."""

    engine: str
    """Its name and version, for people."""
    engine_id: str
    """By which the server names it, and a request can."""
    model_id: str
    model_sha: str | None
    quantisation: str
    """Such as FP8 or Q4_K_M, "" where it is not known."""
    preset: str | None
    """The name of the preset that the values started from."""
    edited: Sequence[str]
    """What differs from the preset: names of parameters, and max_new_tokens for the limit."""
    sent: Mapping[str, object]
    """The engine's own parameters."""
    applied: Mapping[str, AppliedData]
    """Of every parameter how the engine treats it."""
    prompt_tokens: int
    dropped_turns: int
    """How many of the oldest turns were left out, so that the rest fits."""
    edits: Mapping[str, EditData]
    left_out: Mapping[str, str]
    """Of each parameter that was set and not sent, the reason."""
    prompt: str
    """The text that was sent, without the token that the engine puts in front."""
    prompt_sha256: str
    prompt_format: PromptFormatData
    system: str
    """The system text as it was written."""
    continued: int
    """How many characters of the answer were there before."""
    note: str
    """What else there is to know, "" for nothing."""
    emulate: bool
    """Whether parameters that the engine lacks might be emulated."""
    emulated: Mapping[str, float]
    """The values that are applied to the engine's tokens by the playground, and so are not sent."""
    asked: Mapping[str, float]
    """Of each parameter that was set, the value."""
    max_new_tokens: int | None
    """Of the whole answer, which may be asked for in several requests."""


@exact
class DeltaData(TypedDict):
    """Text to append to the running block."""

    text: str


@exact
class BlockData(TypedDict):
    """A complete block of Markdown as HTML: it replaces the running text."""

    index: int
    """From 0."""
    html: str


@exact
class NoticeData(TypedDict):
    """Something that a reader must know while the answer goes on."""

    text: str
    """A sentence."""


@exact
class EmulationData(TypedDict):
    """What it took to make parameters take effect that the engine does not apply."""

    parameters: Sequence[str]
    """Those that were emulated."""
    restarts: int
    """How often the engine was asked anew behind what was accepted."""
    proposed: int
    """Tokens of the engine that were judged."""
    accepted: int
    """Of these."""
    bound: float
    """The most by which the choice of a token was off, on average, from 0 to 1; 0 is exact."""
    reread: int
    """Restarts at which the engine read the accepted text in other tokens."""
    added_ms: float
    """Time in which nothing came because a restart was under way."""
    given_up_at: int | None
    """The tokens after which it was given up, null where it lasted to the end."""


@exact
class DoneData(TypedDict):
    """The answer ended by itself."""

    finish_reason: str
    """eos_token, stop_sequence or length; budget where a demo's budget cut the answer short."""
    generated_tokens: int
    input_tokens: int
    seed: int | None
    """The one that was taken, also where the request had none."""
    ttft_ms: float | None
    """From the request's arrival to the first text; null without any."""
    duration_ms: float
    tokens_per_second: float | None
    """Between the first and the last token; null where all came at once."""
    emulation: EmulationData | None
    """null where nothing was emulated."""


@exact
class FiguresData(TypedDict):
    """What was written of an answer that did not end by itself."""

    generated_tokens: int
    ttft_ms: float
    """From the request's arrival to the first token."""
    duration_ms: float
    """From the request's arrival to the last token."""
    tokens_per_second: float | None
    """Between the first and the last token; null where all came at once."""


@exact
class FailedData(TypedDict):
    """The answer did not end by itself. What was written before stays."""

    kind: str
    """As of a refusal, or stopped, closed, too_slow."""
    message: str
    retryable: bool
    emulation: NotRequired[EmulationData]
    """What it took until then, where something was emulated."""
    figures: NotRequired[FiguresData]
    """Where a token came."""


def encode(batch: Sequence[tuple[int, Event]]) -> bytes:
    """Events as they are sent. A pane's deltas that follow each other become one."""
    parts: list[bytes] = []
    texts: dict[int, list[str]] = {}
    for pane, event in batch:
        if isinstance(event, Delta):
            texts.setdefault(pane, []).append(event.text)
            continue
        if pane in texts:
            parts.append(_delta(pane, texts.pop(pane)))
        name, data = named(event)
        parts.append(_event(name, {"pane": pane, **data}))
    parts.extend(_delta(pane, pieces) for pane, pieces in texts.items())
    return b"".join(parts)


def named(event: Event) -> tuple[str, Mapping[str, object]]:
    """An event's name and its data as JSON, without its pane."""
    return _NAMED[type(event)](event)


def applied_json(applied: Mapping[str, Applied]) -> dict[str, AppliedData]:
    """How each parameter is treated, by its name."""
    return {name: {"how": each.how, "reason": each.reason} for name, each in applied.items()}


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _delta(pane: int, texts: Sequence[str]) -> bytes:
    return _event("delta", {"pane": pane, "text": "".join(texts)})


def _waiting(waiting: Waiting) -> tuple[str, WaitingData]:
    return "waiting", {"place": waiting.place}


def _receipt(receipt: Receipt) -> tuple[str, ReceiptData]:
    return "receipt", {
        "engine": receipt.engine,
        "engine_id": receipt.engine_id,
        "model_id": receipt.model_id,
        "model_sha": receipt.model_sha,
        "quantisation": receipt.quantisation,
        "preset": receipt.preset,
        "edited": list(receipt.edits),
        "sent": receipt.sent,
        "applied": applied_json(receipt.applied),
        "prompt_tokens": receipt.prompt_tokens,
        "dropped_turns": receipt.dropped_turns,
        "edits": {name: {"from": a, "to": b} for name, (a, b) in receipt.edits.items()},
        "left_out": receipt.left_out,
        "prompt": receipt.prompt,
        "prompt_sha256": digest(receipt.prompt),
        "prompt_format": {
            "id": receipt.prompt_format.id,
            "label": receipt.prompt_format.label,
            "bos": receipt.prompt_format.bos,
            "stop": receipt.prompt_format.stop,
            "default_system": receipt.prompt_format.default_system,
        },
        "system": receipt.system,
        "continued": receipt.continued,
        "note": receipt.note,
        "emulate": receipt.emulate,
        "emulated": receipt.emulated,
        "asked": receipt.asked,
        "max_new_tokens": receipt.max_new_tokens,
    }


def _block(block: Block) -> tuple[str, BlockData]:
    return "block", {"index": block.index, "html": block.html}


def _done(done: Done) -> tuple[str, DoneData]:
    return "done", {
        "finish_reason": done.finish_reason,
        "generated_tokens": done.generated_tokens,
        "input_tokens": done.input_tokens,
        "seed": done.seed,
        "ttft_ms": _rounded(done.ttft_ms, 1),
        "duration_ms": round(done.duration_ms, 1),
        "tokens_per_second": _rounded(done.tokens_per_second, 2),
        "emulation": None if done.emulation is None else _emulation(done.emulation),
    }


def _emulation(took: Emulation) -> EmulationData:
    return {
        "parameters": took.parameters,
        "restarts": took.restarts,
        "proposed": took.proposed,
        "accepted": took.accepted,
        "bound": took.bound,
        "reread": took.reread,
        "added_ms": round(took.added_ms, 1),
        "given_up_at": took.given_up_at,
    }


def _notice(notice: Notice) -> tuple[str, NoticeData]:
    return "notice", {"text": notice.text}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _failed(failed: Failed) -> tuple[str, FailedData]:
    data: FailedData = {
        "kind": failed.kind,
        "message": failed.message,
        "retryable": failed.retryable,
    }
    if failed.emulation is not None:
        data["emulation"] = _emulation(failed.emulation)
    if failed.figures is not None:
        data["figures"] = _figures(failed.figures)
    return "error", data


def _figures(figures: Figures) -> FiguresData:
    return {
        "generated_tokens": figures.generated_tokens,
        "ttft_ms": round(figures.ttft_ms, 1),
        "duration_ms": round(figures.duration_ms, 1),
        "tokens_per_second": _rounded(figures.tokens_per_second, 2),
    }


def _sealed(sealed: Sealed) -> tuple[str, dict[str, object]]:
    return sealed.name, {**sealed.shown, "sealed": sealed.token}


_NAMED: Final[Mapping[type, Callable[[Any], tuple[str, Mapping[str, object]]]]] = {
    Waiting: _waiting,
    Receipt: _receipt,
    Block: _block,
    Notice: _notice,
    Done: _done,
    Failed: _failed,
    Sealed: _sealed,
}
