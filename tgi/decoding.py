"""What TGI's answers mean: JSON to huggingface_hub's types, errors to typed ones. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import orjson
from huggingface_hub import (
    TextGenerationOutput,
    TextGenerationStreamOutput,
    TextGenerationStreamOutputStreamDetails,
    TextGenerationStreamOutputToken,
)

from tgi.errors import (
    GenerationFailed,
    IncompleteStream,
    Overloaded,
    ProtocolError,
    TGIError,
    Timeout,
    Unauthorized,
    Unhealthy,
    ValidationFailed,
)

EXCERPT_CHARS: Final = 200
_WORDS_CHARS: Final = 2_000
_DEEPEST: Final = 32
_A = TypeVar("_A")
# Whoever names a longer time means "not soon"; no digits are too many to be read.
RETRY_AFTER_MAX_S: Final = 86_400.0

# TGI's words: InferError::error_type in its router/src/infer/mod.rs, and its health check.
_BY_TYPE: Final[Mapping[str, type[TGIError]]] = {
    "overloaded": Overloaded,
    "validation": ValidationFailed,
    "template_error": ValidationFailed,
    "missing_template_variable": ValidationFailed,
    "tool_error": ValidationFailed,
    "generation": GenerationFailed,
    "stream_serialization_error": GenerationFailed,
    "incomplete_generation": IncompleteStream,
    "incomplete_generation_stream": IncompleteStream,
    "healthcheck": Unhealthy,
}
# 502 comes from a proxy whose server is away, 504 from one that lost patience.
_BY_STATUS: Final[Mapping[int, type[TGIError]]] = {
    400: ValidationFailed,
    401: Unauthorized,
    403: Unauthorized,
    413: ValidationFailed,
    415: ValidationFailed,
    422: ValidationFailed,
    424: GenerationFailed,
    429: Overloaded,
    500: GenerationFailed,
    502: Unhealthy,
    503: Unhealthy,
    504: Timeout,
}
_MEANING: Final[Mapping[type[TGIError], str]] = {
    Overloaded: "The server has as many requests as it takes; try again in a moment",
    ValidationFailed: "The server refuses the request",
    GenerationFailed: "The model failed while it generated; try again, or look at the server's log",
    IncompleteStream: "The server ended the text before it was complete; try again",
    Unhealthy: "The server cannot serve now: it is loading the model, or its model process died",
    Unauthorized: "The server asks for an API key, or does not know the one given",
    Timeout: "A proxy in front of the server waited too long for it; try again",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text as /tokenize gives it.

    Both places are 0 for a token that the tokenizer added, such as BOS. By them a token's text is
    found: TGI's own `text` takes them for characters.

    Attributes:
        start: Where it begins in the text, in bytes of its UTF-8, as the `encode` of the tokenizers
            crate counts, which TGI calls.
        stop: Where it ends, likewise.
    """

    id: int
    text: str
    start: int
    stop: int


def stream_output(data: str) -> TextGenerationStreamOutput:
    """One event of /generate_stream.

    Raises:
        TGIError: The typed one that an error event stands for.
        ProtocolError: It is neither a token nor an error.
    """
    event = _object(data)
    if "error" in event:
        raise _from_body(event, 200, None)
    try:
        token = event["token"]
        if not isinstance(token["text"], str):
            raise TypeError("token.text is no string")
        for name in ("id", "logprob", "special"):
            token[name]  # raises KeyError
        event["token"] = _build(TextGenerationStreamOutputToken, token)
        event["index"]  # raises KeyError
        for name in ("generated_text", "details", "top_tokens"):
            event.setdefault(name, None)
        if event["details"] is not None:
            event["details"] = _build(TextGenerationStreamOutputStreamDetails, event["details"])
        if event["top_tokens"] is not None:
            event["top_tokens"] = [
                _build(TextGenerationStreamOutputToken, each) for each in event["top_tokens"]
            ]
    except (KeyError, TypeError) as error:
        raise ProtocolError(
            f"The server sent an event that is not TGI's ({misread(error)}): {excerpt(data)}"
        ) from error
    return _build(TextGenerationStreamOutput, event)


def output(body: bytes) -> TextGenerationOutput:
    """The answer of /generate.

    Raises:
        ProtocolError: When it is none.
    """
    answer = _object(body)
    if not isinstance(answer.get("generated_text"), str):
        raise ProtocolError(f"The answer has no generated_text: {excerpt(body)}", status=200)
    try:
        return TextGenerationOutput.parse_obj_as_instance(answer)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ProtocolError(
            f"The answer is not TGI's ({misread(error)}): {excerpt(body)}", status=200
        ) from error


def info(body: bytes) -> dict[str, Any]:
    """The answer of /info.

    Raises:
        ProtocolError: When it is no object, or nested too deeply.
    """
    return shallow(_object(body))


def tokens(body: bytes) -> list[Token]:
    """The answer of /tokenize.

    Raises:
        ProtocolError: When it is none.
    """
    answer = _json(body)
    try:
        if not isinstance(answer, list):
            raise TypeError("it is no list")
        if any(type(each[name]) is not int for each in answer for name in ("id", "start", "stop")):
            raise TypeError("a place is no number")
        return [Token(each["id"], each["text"], each["start"], each["stop"]) for each in answer]
    except (KeyError, TypeError) as error:
        raise ProtocolError(
            f"The answer is no list of tokens ({misread(error)}): {excerpt(body)}", status=200
        ) from error


def count(body: bytes) -> int:
    """How many tokens the answer of /tokenize has; the whole of it is looked at, not read.

    The key stands once in each token, and nowhere else: inside a text its quotes would be escaped.

    Raises:
        ProtocolError: When it is no list of tokens.
    """
    found = body.count(b'"id":') if body.startswith(b"[{") and body.endswith(b"}]") else 0
    return found or len(tokens(body))


def error_answer(status: int, headers: Mapping[str, str], body: bytes) -> TGIError:
    """The typed error for an answer whose status is not 200, whatever its body.

    That may be TGI's JSON, the plain text of a refused request, nothing at all (401) or a proxy's
    page.
    """
    retry_after = _seconds(headers.get("retry-after"))
    if 300 <= status < 400:
        return ProtocolError(
            f"The server redirects to {excerpt(headers.get('location', 'nowhere'))} "
            f"(status {status}): "
            f"use the address that it names.",
            status=status,
        )
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or "error" not in answer:
        answer = {"error": excerpt(body)} if body.strip() else {}
    return _from_body(answer, status, retry_after)


def excerpt(data: str | bytes) -> str:
    """The beginning of what a server sent, on one line and short enough for a message."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + " …"


def misread(error: Exception) -> str:
    """Why an answer could not be read, for a message: of a KeyError, the name that is missing."""
    words = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return excerpt(words or type(error).__name__)


def said(value: object) -> str:
    """What a server sent as JSON, for a message: a text as it is, anything else as JSON."""
    return excerpt(value if isinstance(value, str) else orjson.dumps(value))


def shallow(answer: _A) -> _A:
    """The same answer.

    Raises:
        ProtocolError: It is nested more deeply than any that is meant to be read.
    """
    level: list[Any] = [answer]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return answer
    raise ProtocolError("What the server says of itself is nested too deeply.", status=200)


def _from_body(answer: Mapping[str, Any], status: int, retry_after: float | None) -> TGIError:
    error_type = answer.get("error_type")
    kind = _BY_TYPE.get(str(error_type)) or _BY_STATUS.get(status)
    if kind is None and status >= 500:
        kind = Unhealthy
    if kind is None and status == 200:
        kind = GenerationFailed
    words = answer.get("error")
    if isinstance(words, Mapping):  # OpenAI's shape, which proxies and successors of TGI use
        words = words.get("message")
    words = _cut(words)
    if kind is None:
        message = (
            f"Status {status} is none that the engine gives: check that the address is that of one"
        )
        kind = ProtocolError
    else:
        message = _MEANING[kind]
    return kind(
        f"{message}: {words}" if words else f"{message}.",
        status=status,
        error_type=excerpt(error_type) if isinstance(error_type, str) else None,
        retry_after=retry_after,
    )


def _cut(words: object) -> str:
    """What a server says is wrong, which may be of any kind and length."""
    text = words if isinstance(words, str) else said(words) if words else ""
    return text if len(text) <= _WORDS_CHARS else text[:_WORDS_CHARS] + " …"


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3): digits or a date, None for anything else."""
    if not retry_after:
        return None
    if re.fullmatch("[0-9]+", retry_after):
        return min(float(retry_after), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(retry_after)
        # Without a zone, as in C's asctime, or with the zone -0000 a date is naive: it means GMT.
        left = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):  # the latter for a year of many digits
        return None
    return min(max(0.0, left), RETRY_AFTER_MAX_S)


def _json(data: str | bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(
            f"The server sent what is no JSON ({error}): {excerpt(data)}", status=200
        ) from error


def _object(data: str | bytes) -> dict[str, Any]:
    answer = _json(data)
    if not isinstance(answer, dict):
        raise ProtocolError(f"The server sent no object: {excerpt(data)}", status=200)
    return answer


_T = TypeVar("_T", bound=dict[str, Any])


def _build(cls: type[_T], fields: dict[str, Any]) -> _T:
    """An instance of one of huggingface_hub's types, which are dataclass and dict at once.

    Their own constructor copies every value (23 µs a token, `parse_obj` 40 µs); a stream has no
    time for that, and this takes 1.4 µs. Raises TypeError when `fields` is no dict.
    """
    if type(fields) is not dict:
        raise TypeError(f"{fields!r} is no object")
    instance = cls.__new__(cls)
    dict.update(instance, fields)
    vars(instance).update(fields)
    return instance
