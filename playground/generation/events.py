"""A stream's events as server-sent events. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from playground.domain.digest import digest
from playground.domain.messages import (
    Applied,
    Block,
    Delta,
    Done,
    Event,
    Failed,
    Receipt,
    Sealed,
    Waiting,
)

KEEP_ALIVE: Final = b": keep-alive\n\n"


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


def named(event: Event) -> tuple[str, dict[str, object]]:
    """An event's name and its data as JSON, without its pane."""
    return _NAMED[type(event)](event)


def applied_json(applied: Mapping[str, Applied]) -> dict[str, dict[str, str]]:
    return {name: {"how": each.how, "reason": each.reason} for name, each in applied.items()}


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _delta(pane: int, texts: Sequence[str]) -> bytes:
    return _event("delta", {"pane": pane, "text": "".join(texts)})


def _waiting(waiting: Waiting) -> tuple[str, dict[str, object]]:
    return "waiting", {"place": waiting.place}


def _receipt(receipt: Receipt) -> tuple[str, dict[str, object]]:
    return "receipt", {
        "engine": receipt.engine,
        "model_id": receipt.model_id,
        "model_sha": receipt.model_sha,
        "preset": receipt.preset,
        "edited": receipt.edited,
        "sent": receipt.sent,
        "applied": applied_json(receipt.applied),
        "prompt_tokens": receipt.prompt_tokens,
        "dropped_turns": receipt.dropped_turns,
        "edits": {name: {"from": a, "to": b} for name, (a, b) in receipt.edits.items()},
        "left_out": receipt.left_out,
        "prompt": receipt.prompt,
        "prompt_sha256": digest(receipt.prompt),
        "system": receipt.system,
        "continued": receipt.continued,
        "note": receipt.note,
    }


def _block(block: Block) -> tuple[str, dict[str, object]]:
    return "block", {"index": block.index, "html": block.html}


def _done(done: Done) -> tuple[str, dict[str, object]]:
    return "done", {
        "finish_reason": done.finish_reason,
        "generated_tokens": done.generated_tokens,
        "input_tokens": done.input_tokens,
        "seed": done.seed,
        "ttft_ms": _rounded(done.ttft_ms, 1),
        "duration_ms": round(done.duration_ms, 1),
        "tokens_per_second": _rounded(done.tokens_per_second, 2),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _failed(failed: Failed) -> tuple[str, dict[str, object]]:
    return "error", {
        "kind": failed.kind,
        "message": failed.message,
        "retryable": failed.retryable,
    }


def _sealed(sealed: Sealed) -> tuple[str, dict[str, object]]:
    return sealed.name, {**sealed.shown, "sealed": sealed.token}


_NAMED: Final[Mapping[type, Callable[[Any], tuple[str, dict[str, object]]]]] = {
    Waiting: _waiting,
    Receipt: _receipt,
    Block: _block,
    Done: _done,
    Failed: _failed,
    Sealed: _sealed,
}
