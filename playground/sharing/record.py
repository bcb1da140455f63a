"""A record: one conversation or comparison as data, as the browser keeps and a snapshot freezes it.

    {"format": "kto-mistral-playground", "version": 1, "kind": "chat" or "comparison", "title": "…",
     "columns": [{"label", "setting": {…}, "messages": [{"role", "content", …}, …]}, …]}

Nothing in it is HTML, and nothing is ignored: an unknown name is as wrong as a wrong value. What
the server sent of an answer (receipt, done) may hold more than is known here, since later versions
say more. Pure; playground/ui/static/records/record_shape.js checks the same in the browser.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from unicodedata import category

import orjson

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import parse_sampler
from playground.generation.requests import (
    MAX_PANES,
    MAX_STOP_CHARS,
    MAX_STOPS,
    MAX_TEXT_CHARS,
    object_of,
)

FORMAT: Final = "kto-mistral-playground"
VERSION: Final = 1
MAX_TITLE_CHARS: Final = 200
_MAX_NAME_CHARS: Final = 200
_MAX_SEED: Final = 2**64 - 1
# A whole number beyond 64 bits has been rounded when it was read; it would not come out as it came.
_BOUND: Final = 2.0**64
_DEEPEST: Final = 8

_Shape = Callable[[object, str], object]


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was checked. text: all of it as JSON, in its own order, to be kept as it is."""

    kind: str
    title: str
    text: str


def parse_record(body: object, field: str = "record") -> Record:
    """A record as it came from outside. Raises InvalidRequest naming the place below `field`."""
    if isinstance(body, Mapping) and body.get("format") == FORMAT:
        version = body.get("version")
        if isinstance(version, int) and version > VERSION:
            raise InvalidRequest(
                f"The record was written by a newer version of the page: its version is {version}, "
                f"and this server knows {VERSION}.",
                field=f"{field}.version",
            )
    top = _fields(_TOP)(body, field)
    columns = top["columns"]
    if top["kind"] == "chat" and len(columns) != 1:
        raise InvalidRequest("A chat has exactly one column.", field=f"{field}.columns")
    if not any(column["messages"] for column in columns):
        raise InvalidRequest("Nothing is said in the record.", field=f"{field}.columns")
    return Record(top["kind"], top["title"], orjson.dumps(body).decode())


def answers(record: Mapping[str, Any]) -> list[list[str | None]]:
    """Of each column the texts of its answers; ``None`` in the place of what a user said."""
    return [
        [each["content"] if each["role"] == "assistant" else None for each in column["messages"]]
        for column in record["columns"]
    ]


def one_line(text: str, field: str, most: int = MAX_TITLE_CHARS) -> str:
    """A name in one line, without white space at its ends. Raises InvalidRequest naming `field`."""
    line = " ".join(text.split())
    if any(category(each) == "Cc" for each in line) or not 1 <= len(line) <= most:
        raise InvalidRequest(
            f"{field} must be a line of 1 to {most} characters, none of them a control character.",
            field=field,
        )
    return line


def _refusal(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field} must be {what}.", field=field)


def _text(most: int | None = None) -> _Shape:
    def shape(value: object, field: str) -> None:
        if not isinstance(value, str) or (most is not None and len(value) > most):
            raise _refusal(field, "a text" + (f" of at most {most:,} characters" if most else ""))

    return shape


def _one_of(*values: object) -> _Shape:
    def shape(value: object, field: str) -> None:
        # 1 is True and 1.0 to Python, and not to a reader of JSON.
        if not any(value == each and type(value) is type(each) for each in values):
            raise _refusal(field, f"one of {', '.join(map(str, values))}")

    return shape


def _flag(value: object, field: str) -> None:
    if not isinstance(value, bool):
        raise _refusal(field, "true or false")


def _number(value: object, field: str) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or abs(value) >= _BOUND
    ):
        raise _refusal(field, "a number of at most 64 bits")


def _whole(least: int = 0, most: int = _MAX_SEED) -> _Shape:
    def shape(value: object, field: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _refusal(field, f"a whole number from {least} to {most}")

    return shape


def _or_null(inner: _Shape) -> _Shape:
    def shape(value: object, field: str) -> None:
        if value is not None:
            inner(value, field)

    return shape


def _list(inner: _Shape, least: int = 0, most: int | None = None) -> _Shape:
    def shape(value: object, field: str) -> None:
        if not isinstance(value, list):
            raise _refusal(field, "a list")
        if len(value) < least or (most is not None and len(value) > most):
            raise _refusal(field, f"a list of {least} to {most}")
        for i, each in enumerate(value):
            inner(each, f"{field}[{i}]")

    return shape


def _table(inner: _Shape) -> _Shape:
    """An object of values that all have one shape, under any names."""

    def shape(value: object, field: str) -> None:
        if not isinstance(value, dict):
            raise _refusal(field, "an object")
        for name, each in value.items():
            inner(each, f"{field}.{name}")

    return shape


def _plain(value: object, field: str) -> None:
    """Any JSON, as deep as a receipt may be."""
    if isinstance(value, dict | list):
        if field.count(".") + field.count("[") > _DEEPEST:
            raise _refusal(field, "less deep")
        (_table(_plain) if isinstance(value, dict) else _list(_plain))(value, field)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, field)


def _fields(
    needed: Mapping[str, _Shape],
    optional: Mapping[str, _Shape] | None = None,
    *,
    more: bool = False,
) -> Callable[[object, str], Mapping[str, Any]]:
    """An object with these fields; with `more`, others may be there, too."""
    known = {**needed, **(optional or {})}

    def shape(value: object, field: str) -> Mapping[str, Any]:
        # A set: a receipt has as many other names as whoever sends it likes.
        known_here = {*known, *value} if more and isinstance(value, dict) else known
        found = object_of(value, field, known_here)
        for name in needed:
            if name not in found:
                raise InvalidRequest(f"{field}.{name} is missing.", field=f"{field}.{name}")
        for name, each in found.items():
            known.get(name, _plain)(each, f"{field}.{name}")
        return found

    return shape


def _sampler(value: object, field: str) -> None:
    _table(_number)(value, field)
    parse_sampler(value, field)


def _message(value: object, field: str) -> None:
    role = value.get("role") if isinstance(value, dict) else None
    found = (_ANSWER if role == "assistant" else _QUESTION)(value, field)
    if found.get("state") == "failed" and found["problem"] is None:
        raise InvalidRequest(f"{field}.problem must say why it failed.", field=f"{field}.problem")


_name: Final = _text(_MAX_NAME_CHARS)
_RECEIPT: Final = _fields(
    {
        "engine": _text(),
        "model_id": _text(),
        "sent": _table(_plain),
        "applied": _table(_fields({"how": _text(), "reason": _text()}, more=True)),
        "prompt_tokens": _whole(),
        "dropped_turns": _whole(),
    },
    {
        "model_sha": _or_null(_text()),
        "preset": _or_null(_text()),
        "edited": _list(_text()),
        "edits": _table(_fields({"from": _or_null(_number), "to": _or_null(_number)})),
        "left_out": _table(_text()),
        "prompt": _text(),
        "prompt_sha256": _text(),
        "system": _text(),
        "continued": _whole(),
        "note": _text(),
    },
    more=True,
)
_DONE: Final = _fields(
    {
        "finish_reason": _text(),
        "generated_tokens": _whole(),
        "input_tokens": _whole(),
        "seed": _or_null(_whole()),
        "ttft_ms": _or_null(_number),
        "duration_ms": _number,
        "tokens_per_second": _or_null(_number),
    },
    more=True,
)
_QUESTION: Final = _fields({"role": _one_of("user", "assistant"), "content": _text()})
_ANSWER: Final = _fields(
    {
        "role": _one_of("assistant"),
        "content": _text(MAX_TEXT_CHARS),
        "state": _one_of("done", "stopped", "failed"),
        "preset": _or_null(_text()),
        "receipt": _or_null(_RECEIPT),
        "done": _or_null(_DONE),
        "problem": _or_null(_fields({"kind": _text(), "message": _text(), "retryable": _flag})),
    },
    {"letter": _text(1), "chosen": _flag},
)
_SETTING: Final = _fields(
    {
        "preset": _or_null(_name),
        "name": _name,
        "sampler": _sampler,
        "max_new_tokens": _or_null(_whole(1, 2**31 - 1)),
        "seed": _or_null(_whole()),
        "stop": _list(_text(MAX_STOP_CHARS), most=MAX_STOPS),
        "system": _text(),
    }
)
_COLUMN: Final = _fields({"label": _name, "setting": _SETTING, "messages": _list(_message)})
_TOP: Final = {
    "format": _one_of(FORMAT),
    "version": _one_of(VERSION),
    "kind": _one_of("chat", "comparison"),
    "title": _text(MAX_TITLE_CHARS),
    "columns": _list(_COLUMN, 1, MAX_PANES),
}
