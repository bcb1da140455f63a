"""The HTTP API's JSON: request bodies to frozen values, events to an event stream. No I/O.

Nothing in a body is ignored: an unknown name is as wrong as a wrong value.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from playground.domain.errors import InvalidRequest
from playground.domain.messages import (
    Message,
    PaneRequest,
)
from playground.domain.presets import Preset
from playground.domain.samplers import BY_NAME, Sampler, parse_sampler
from playground.formats.native import parse_draft
from playground.formats.values import Draft

MAX_PANES: Final = 4
MAX_STOPS: Final = 3
MAX_STOP_CHARS: Final = 200
MAX_TEXT_CHARS: Final = 50_000  # an answer as long as the context has fewer
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,60}")
_ROLES: Final = ("system", "user", "assistant")
_PANE_KEYS: Final = (
    "preset",
    "sampler",
    "max_new_tokens",
    "seed",
    "stop",
    "messages",
)


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A conversation to measure, and the room that its answer asks for."""

    messages: tuple[Message, ...]
    max_new_tokens: int | None


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The answers that are asked for. blind: nobody may know yet which one is which."""

    panes: tuple[PaneRequest, ...]
    blind: bool


def parse_stream(body: object, presets: Sequence[Preset]) -> StreamRequest:
    """POST /api/stream.

    A pane's own messages replace the shared ones. A pane with a sampler has exactly its values;
    a preset beside it is what they were edited from. Raises InvalidRequest naming the field.
    """
    top = object_of(body, "", ("messages", "panes", "blind"))
    panes = top.get("panes")
    if not isinstance(panes, list) or not 1 <= len(panes) <= MAX_PANES:
        raise InvalidRequest(f"panes must be a list of 1 to {MAX_PANES} panes.", field="panes")
    shared = None
    if top.get("messages") is not None:
        shared = messages_of(top["messages"], "messages")
    blind = top.get("blind", False)
    if not isinstance(blind, bool):
        raise InvalidRequest("blind must be true or false.", field="blind")
    if blind and len(panes) == 1:
        raise InvalidRequest("There is nothing to hide with a single pane.", field="blind")
    by_id = {preset.id: preset for preset in presets}
    parsed = tuple(pane_of(pane, f"panes[{i}]", shared, by_id) for i, pane in enumerate(panes))
    if shared is not None and all(pane.get("messages") is not None for pane in panes):
        raise InvalidRequest(
            "Every pane has messages of its own, which contradict these.", field="messages"
        )
    return StreamRequest(parsed, blind)


def parse_tokenize(body: object) -> TokenizeRequest:
    """POST /api/tokenize. Raises InvalidRequest naming the field."""
    top = object_of(body, "", ("messages", "max_new_tokens"))
    return TokenizeRequest(
        messages_of(top.get("messages"), "messages"),
        whole_number(top.get("max_new_tokens"), "max_new_tokens", 1, 2**31 - 1),
    )


def parse_render(body: object) -> str:
    """POST /api/render. Raises InvalidRequest naming the field."""
    text = object_of(body, "", ("text",)).get("text")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise InvalidRequest(
            f"text must be a text of at most {MAX_TEXT_CHARS:,} characters.", field="text"
        )
    return text


def parse_code(body: object) -> tuple[str, Mapping[str, Any]]:
    """POST /api/code: prompt and parameters as sent. Raises InvalidRequest naming the field."""
    top = object_of(body, "", ("prompt", "sent"))
    prompt, sent = top.get("prompt"), top.get("sent")
    if not isinstance(prompt, str) or not prompt:
        raise InvalidRequest("prompt must be a text that is not empty.", field="prompt")
    if not isinstance(sent, dict):
        raise InvalidRequest("sent must be an object of parameters.", field="sent")
    for name, value in sent.items():
        each = value if isinstance(value, list) else [value]
        if not _NAME.fullmatch(name) or not all(isinstance(v, str | int | float) for v in each):
            raise InvalidRequest(
                f"{name} must be a name, and its value a number, a text, true or false, or a list "
                "of such.",
                field=f"sent.{name}",
            )
    return prompt, sent


def parse_nothing(body: object) -> None:
    """A request that says nothing but that it is one. Raises InvalidRequest."""
    object_of(body, "", ())


def parse_pieces(body: object) -> list[str]:
    """POST /api/pieces: the texts. Raises InvalidRequest naming the field."""
    texts = _texts(object_of(body, "", ("texts",)).get("texts"), "texts", MAX_PANES)
    for i, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARS:
            raise InvalidRequest(
                f"A text may have {MAX_TEXT_CHARS:,} characters.", field=f"texts[{i}]"
            )
    return texts


def lone_surrogate(body: object, field: str = "") -> str | None:
    """The field of a text with half of a surrogate pair, which no UTF-8 can say; ``None``: none."""
    if isinstance(body, str):
        return field or "body" if any("\ud800" <= each <= "\udfff" for each in body) else None
    inside: Iterable[tuple[str, object]] = ()
    if isinstance(body, dict):
        inside = ((f"{field}.{name}" if field else name, each) for name, each in body.items())
    elif isinstance(body, list):
        inside = ((f"{field}[{i}]", each) for i, each in enumerate(body))
    return next((found for at, each in inside if (found := lone_surrogate(each, at))), None)


def parse_reveal(body: object) -> list[str]:
    """POST /api/reveal: the seals, two for a pane. Raises InvalidRequest naming the field."""
    return _texts(object_of(body, "", ("sealed",)).get("sealed"), "sealed", 2 * MAX_PANES)


def pane_of(
    body: object,
    field: str,
    shared: tuple[Message, ...] | None,
    presets: Mapping[str, Preset],
) -> PaneRequest:
    """A pane of a request; its own messages replace the shared ones, which may be empty.

    presets: by id. Raises InvalidRequest naming the field.
    """
    pane = object_of(body, field, _PANE_KEYS)
    messages = shared
    if pane.get("messages") is not None:
        messages = messages_of(pane["messages"], f"{field}.messages")
    if messages is None:
        raise InvalidRequest("There is no conversation to answer.", field="messages")
    preset = _preset(pane.get("preset"), f"{field}.preset", presets)
    edited: tuple[str, ...] = ()
    if pane.get("sampler") is not None:
        sampler = parse_sampler(pane["sampler"], f"{field}.sampler")
        if preset:
            edited = tuple(
                name for name in BY_NAME if getattr(sampler, name) != getattr(preset.sampler, name)
            )
    else:
        sampler = preset.sampler if preset else Sampler()
    most = preset.max_new_tokens if preset else None
    if "max_new_tokens" in pane:
        most = whole_number(pane["max_new_tokens"], f"{field}.max_new_tokens", 1, 2**31 - 1)
    return PaneRequest(
        messages=messages,
        sampler=sampler,
        preset=preset.name if preset else None,
        edited=edited,
        started_from=preset.sampler if preset else None,
        max_new_tokens=most,
        seed=whole_number(pane.get("seed"), f"{field}.seed", 0, 2**64 - 1),
        stop=_stops(pane.get("stop"), f"{field}.stop"),
    )


def _preset(body: object, field: str, presets: Mapping[str, Preset]) -> Draft | None:
    """One of the server's presets by its id, or one of the browser's own, given as an object."""
    if body is None:
        return None
    if isinstance(body, dict):
        own = object_of(body, field, ("name", "sampler", "max_new_tokens"))
        try:
            return parse_draft(own)
        except InvalidRequest as error:
            raise InvalidRequest(str(error), field=f"{field}.{error.field}") from error
    preset = presets.get(body) if isinstance(body, str) else None
    if preset is None:
        raise InvalidRequest(
            f"There is no preset {body!r}; there are {', '.join(presets)}.", field=field
        )
    return Draft(preset.name, preset.sampler, preset.source, preset.max_new_tokens)


def messages_of(body: object, field: str) -> tuple[Message, ...]:
    """A conversation that can be answered. Raises InvalidRequest naming the field."""
    if not isinstance(body, list):
        raise InvalidRequest("messages must be a list of messages.", field=field)
    messages = []
    for i, each in enumerate(body):
        at = f"{field}[{i}]"
        message = object_of(each, at, ("role", "content"))
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise InvalidRequest(
                f"{role!r} is no role; there are {', '.join(_ROLES)}.", field=f"{at}.role"
            )
        if not isinstance(content, str):
            raise InvalidRequest("content must be a text.", field=f"{at}.content")
        if role == "system" and i:
            raise InvalidRequest("A system message may only stand first.", field=f"{at}.role")
        messages.append(Message(role, content))
    turns = [message for message in messages if message.role != "system"]
    if not turns:
        raise InvalidRequest("The conversation has no message to answer.", field=field)
    if turns[0].role != "user":
        raise InvalidRequest("The conversation must begin with the user.", field=field)
    if turns[-1].role == "user" and not turns[-1].content.strip():
        raise InvalidRequest("The last message is empty.", field=f"{field}[{len(messages) - 1}]")
    return tuple(messages)


def _stops(body: object, field: str) -> tuple[str, ...]:
    if body is None:
        return ()
    if not isinstance(body, list) or len(body) > MAX_STOPS:
        raise InvalidRequest(
            f"stop must be a list of at most {MAX_STOPS} stop sequences.", field=field
        )
    for i, stop in enumerate(body):
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_CHARS:
            raise InvalidRequest(
                f"A stop sequence must be a text of 1 to {MAX_STOP_CHARS} characters.",
                field=f"{field}[{i}]",
            )
    return tuple(body)


def _texts(body: object, field: str, most: int) -> list[str]:
    if (
        not isinstance(body, list)
        or not 1 <= len(body) <= most
        or not all(isinstance(text, str) for text in body)
    ):
        raise InvalidRequest(f"{field} must be a list of 1 to {most} texts.", field=field)
    return body


def whole_number(value: object, field: str, minimum: int, maximum: int) -> int | None:
    """A whole number in these bounds, or ``None``. Raises InvalidRequest naming the field."""
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value // 1
        or not minimum <= value <= maximum
    ):
        name = field.rpartition(".")[2]
        raise InvalidRequest(
            f"{name} must be a whole number from {minimum} to {maximum}, or null.", field=field
        )
    return int(value)


def object_of(body: object, field: str, known: Collection[str]) -> Mapping[str, Any]:
    """An object with no other names than the known ones. Raises InvalidRequest naming the field.

    field: its path in the body, "" for the body itself.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(f"{field or 'The body'} must be a JSON object.", field=field or "body")
    for name in body:
        if name not in known:
            raise InvalidRequest(
                f"{name} is not known here; there are {', '.join(known)}.",
                field=f"{field}.{name}" if field else name,
            )
    return body
