"""What servers of OpenAI's completions send: models, answers, events, refusals. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson

from playground.domain.errors import EngineError
from playground.engines import tokens
from playground.engines.base import Written
from playground.engines.http import MISREAD, read_json
from playground.engines.names import shown_name
from tgi import decoding, errors

_NAMED: Final = 5
_NO_ROUTE: Final = (404, 405, 501)


def is_missing(error: EngineError) -> bool:
    """Whether an error says that the server has no such route."""
    cause = error.__cause__
    return isinstance(cause, errors.ProtocolError) and cause.status in _NO_ROUTE


def choose(cards: Sequence[dict[str, Any]], model: str | None, url: str) -> dict[str, Any]:
    """The model to ask for.

    Raises:
        EngineError: It is not there, or none is named and there are several.
    """
    names = [str(card["id"]) for card in cards]
    if not names:
        raise wrong(f"{url} serves no model: load one there.")
    told = [shown_name(name) for name in names]
    if model is not None:
        if model in names:
            return cards[names.index(model)]
        if told.count(model) == 1:
            return cards[told.index(model)]
        reason = f"{url} has no model {model}"
    else:
        own = [card for card in cards if not card.get("parent")]  # the others are adapters to one
        if len({str(card.get("root") or card["id"]) for card in own}) == 1:
            return own[0]
        reason = f"{url} serves {len(names)} models"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    raise wrong(
        f"{reason}: PLAYGROUND_ENGINE_MODEL has to name one of {', '.join(told[:_NAMED])}{more}."
    )


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> errors.TGIError:
    """The error of an answer with this status, in the server's words.

    They stand in `error.message`, in `message` (SGLang), in `error` or in `detail`.
    """
    words = _words(body)
    if status == 401:
        return errors.Unauthorized(
            "The server asks for an API key, or does not know the one given "
            "(PLAYGROUND_ENGINE_API_KEY)" + (f": {words}" if words else "."),
            status=status,
        )
    if status in _NO_ROUTE and not (words and b"model" in body):
        return errors.ProtocolError(
            f"The server has no such route (status {status}): is the address right, and what "
            "PLAYGROUND_ENGINE says of it?",
            status=status,
        )
    if 400 <= status < 500 and status not in (400, 403, 413, 415, 422, 424, 429):
        return errors.ValidationFailed(
            f"The server refuses the request (status {status})" + (f": {words}" if words else "."),
            status=status,
        )
    return decoding.error_answer(status, headers, orjson.dumps({"error": words}) if words else body)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Attributes:
        reason: Why the text ended, "" while it goes on.
    """

    text: str = ""
    tokens: int = 0
    reason: str = ""
    usage: Mapping[str, int] | None = None
    done: bool = False


def read_event(data: str) -> Event:
    """An event from its data.

    Raises:
        TGIError: It is an error of the server's, or no event of a completion.
    """
    if data.strip() == "[DONE]":
        return Event(done=True)
    event = read_json(data)
    with understood("v1/completions"):
        if event.get("error") or event.get("object") == "error":
            raise _failure(event, data)
        [choice] = event["choices"] or [{}]  # none where the usage is told
        text = choice.get("text", "")
        if not isinstance(text, str):
            raise TypeError("its text is no string")
        ids = choice.get("token_ids")
        # Where the tokens are not told, a piece of text counts as one.
        count = int(bool(text)) if ids is None else len(ids)
        return Event(text, count, _reason(choice), _usage(event.get("usage")))


def _usage(told: Mapping[str, Any] | None) -> Mapping[str, int] | None:
    """The counts of an answer that are told."""
    if told is None:
        return None
    names = ("prompt_tokens", "completion_tokens")
    return {name: tokens.told(told[name]) for name in names if told.get(name) is not None}


def _reason(choice: Mapping[str, Any]) -> str:
    """Why a text ended, in the playground's words.

    A server that says "stop" and not what stopped it is taken to mean the end of the text.
    """
    match choice.get("finish_reason"):
        case None:
            return ""
        case "length":
            return "length"
        case "stop":
            matched = choice.get("stop_reason", choice.get("matched_stop"))
            return "stop_sequence" if isinstance(matched, str) else "eos_token"
        case "abort":
            raise errors.IncompleteStream(
                "The text is not complete: the server aborted it. Try again, or look at its log.",
                status=200,
            )
        case other:
            raise errors.GenerationFailed(
                "The server ended the text before it was complete, and says "
                f"“{decoding.said(other)}”.",
                status=200,
            )


def _failure(event: Mapping[str, Any], data: str) -> errors.TGIError:
    """The error that an event stands for, by its code where that is one of HTTP's."""
    error = event.get("error")
    code = (error if isinstance(error, dict) else event).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return refusal(status, {}, data.encode())


def read_answer(answer: Mapping[str, Any]) -> Written:
    """A whole answer. Each likeliest token is told as "token_id:" and its number."""
    [choice] = answer["choices"]
    if not isinstance(choice["text"], str):
        raise TypeError("its text is no string")
    tops = (choice.get("logprobs") or {}).get("top_logprobs") or ()
    return Written(
        choice["text"],
        tokens.told(answer["usage"]["completion_tokens"]),
        tokens.numbers(choice.get("token_ids") or []),
        tuple(
            {
                int(name.removeprefix("token_id:")): tokens.likeliness(value)
                for name, value in top.items()
            }
            for top in tops
        ),
        tokens.numbers(choice.get("prompt_token_ids") or []),
    )


@contextmanager
def understood(path: str) -> Iterator[None]:
    """What does not look as it should leaves as ProtocolError."""
    try:
        yield
    except MISREAD as error:
        raise errors.ProtocolError(
            f"What the server answers at /{path} is none of OpenAI's API "
            f"({decoding.misread(error)}): is the address right?",
            status=200,
        ) from error


def shown(card: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a model, without the server's folders and what is new in each answer."""
    kept = {name: value for name, value in card.items() if name not in ("created", "permission")}
    for name in ("id", "root", "parent"):
        if isinstance(kept.get(name), str):
            kept[name] = shown_name(kept[name])
    return kept


def _words(body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    return decoding.excerpt(found) if isinstance(found, str) else ""


def wrong(message: str) -> EngineError:
    """The error of a server that is not what it is taken for."""
    return EngineError(message, kind="protocol", retryable=False)
