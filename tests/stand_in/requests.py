"""TGI's request format: from a JSON body to a checked request, or to the error that TGI gives.

Two kinds of refusal. `Malformed` is what TGI's extractor answers, as plain text, before it looks at
the request: no JSON, a wrong type, a missing field. `Invalid` is a well-formed request that asks
for something impossible; its message is TGI's own. Fields that TGI does not know are ignored, as
TGI ignores them.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tests.stand_in.sampling import Sampling

MAX_STOP_SEQUENCES = 4
MAX_TOP_N_TOKENS = 5
U64 = 2**64


class Malformed(Exception):
    """A request whose JSON is not of the types that TGI takes.

    Args:
        status: 400, 413, 415 or 422; the message is the body of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Invalid(Exception):
    """The request is refused; TGI puts "Input validation error: " in front."""


@dataclass(frozen=True, slots=True)
class Limits:
    """max_input_tokens < max_total_tokens (prompt and answer together); both in tokens.

    Attributes:
        stock: Behave as unmodified TGI does, without this server's extensions.
    """

    max_input_tokens: int
    max_total_tokens: int
    max_concurrent_requests: int = 128
    max_batch_size: int = 32
    stock: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """A checked request, but for the length of its inputs in tokens.

    Attributes:
        max_new_tokens: ``None`` takes what the limits leave.
        truncate: Keep only this many of the last tokens of the input; ``None`` keeps all.
        top_n_tokens: 0 to 5.
    """

    inputs: str
    sampling: Sampling
    add_special_tokens: bool
    max_new_tokens: int | None
    stop: tuple[str, ...]
    truncate: int | None
    top_n_tokens: int
    details: bool
    return_full_text: bool | None


# The fields of `parameters`, with the type that TGI's deserialiser expects.
FIELDS: Mapping[str, str] = {
    "best_of": "usize",
    "temperature": "f32",
    "repetition_penalty": "f32",
    "frequency_penalty": "f32",
    "top_k": "i32",
    "top_p": "f32",
    "typical_p": "f32",
    "do_sample": "a boolean",
    "max_new_tokens": "u32",
    "return_full_text": "a boolean",
    "stop": "a sequence",
    "truncate": "usize",
    "watermark": "a boolean",
    "details": "a boolean",
    "decoder_input_details": "a boolean",
    "seed": "u64",
    "top_n_tokens": "u32",
    "adapter_id": "a string",
}
EXTENSIONS: Mapping[str, str] = {"presence_penalty": "f32", "min_p": "f32"}
REQUIRED_IF_PRESENT = {"do_sample", "stop", "watermark", "details", "decoder_input_details"}
RANGES = {"usize": (0, U64), "u64": (0, U64), "u32": (0, 2**32), "i32": (-(2**31), 2**31)}


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        Malformed: A field is missing or of another type; carries the status of the answer.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(400, f"Failed to parse the request body as JSON: {error}") from None
    if not isinstance(value, dict):
        raise _mistyped("", value, "struct GenerateRequest")
    return value


def parse_inputs(body: Mapping[str, Any]) -> tuple[str, bool]:
    """The fields ``inputs`` and ``add_special_tokens``.

    Raises:
        Malformed: A field is missing or of another type; carries the status of the answer.
    """
    if "inputs" not in body:
        raise _unfit("", "missing field `inputs`")
    special = body.get("add_special_tokens", True)
    _check("inputs", body["inputs"], "a string", optional=False)
    _check("add_special_tokens", special, "a boolean", optional=False)
    return body["inputs"], special


def check_boolean(name: str, value: object) -> None:
    """Check a flag.

    Raises:
        Malformed: It is neither true nor false.
    """
    _check(name, value, "a boolean", optional=False)


def parse_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a chat, each with `role` and `content` as one text.

    Content may be a list of parts, of which the texts are put together, as TGI does.

    Raises:
        Malformed: A field is missing or of another type; carries the status of the answer.
    """
    if "messages" not in body:
        raise _unfit("", "missing field `messages`")
    _check("messages", body["messages"], "a sequence", optional=False)
    messages = []
    for place, message in enumerate(body["messages"]):
        path = f"messages[{place}]"
        if not isinstance(message, dict):
            raise _mistyped(path, message, "struct Message")
        if "role" not in message:
            raise _unfit(path, "missing field `role`")
        _check(f"{path}.role", message["role"], "a string", optional=False)
        content = message.get("content")
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict)]
            content = "".join(str(part["text"]) for part in parts if part.get("type") == "text")
        _check(f"{path}.content", content, "a string", optional=False)
        messages.append({**message, "content": content})
    return messages


def check(body: Mapping[str, Any], *, stock: bool) -> None:
    """The types of a request to generate, all that TGI's extractor looks at.

    Raises:
        Malformed: A field is missing or of another type; carries the status of the answer.
    """
    parse_inputs(body)
    given = body.get("parameters", {})
    if not isinstance(given, dict):
        raise _mistyped("parameters", given, "struct GenerateParameters")
    known = FIELDS if stock else {**FIELDS, **EXTENSIONS}
    for name, kind in known.items():
        if name in given:
            _check(
                f"parameters.{name}", given[name], kind, optional=name not in REQUIRED_IF_PRESENT
            )
    for place, sequence in enumerate(given.get("stop", ())):
        _check(f"parameters.stop[{place}]", sequence, "a string", optional=False)


def parse(body: Mapping[str, Any], limits: Limits, *, stream: bool) -> Generate:
    """A request to generate, its types checked.

    Raises:
        Invalid: A value is out of range or too long.
    """
    inputs, special = parse_inputs(body)
    # Without any parameters TGI samples, with parameters it does so only when they say so.
    given = body.get("parameters", {"do_sample": True})
    _refuse_unsupported(given, stream=stream)
    sampling = _sampling(given, stock=limits.stock)
    stop = tuple(given.get("stop", ()))
    if given.get("max_new_tokens") == 0:
        raise Invalid("`max_new_tokens` must be strictly positive")
    if len(stop) > MAX_STOP_SEQUENCES:
        raise Invalid(
            f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {len(stop)}"
        )
    top_n_tokens = given.get("top_n_tokens") or 0
    if top_n_tokens > MAX_TOP_N_TOKENS:
        raise Invalid(
            f"`top_n_tokens` must be >= 0 and <= {MAX_TOP_N_TOKENS}. Given: {top_n_tokens}"
        )
    if not inputs:
        raise Invalid("`inputs` cannot be empty")
    truncate = given.get("truncate")
    if truncate is not None and not 0 < truncate <= limits.max_input_tokens:
        raise Invalid(
            f"`truncate` must be strictly positive and less than {limits.max_input_tokens}. "
            f"Given: {truncate}"
        )
    return Generate(
        inputs=inputs,
        sampling=sampling,
        add_special_tokens=special,
        max_new_tokens=given.get("max_new_tokens"),
        stop=stop,
        truncate=truncate,
        top_n_tokens=top_n_tokens,
        details=given.get("details", False),
        return_full_text=given.get("return_full_text"),
    )


def fit(request: Generate, tokens: list[int], limits: Limits) -> tuple[list[int], int]:
    """The input's tokens after truncation, and how many new ones are allowed.

    Raises:
        Invalid: A value is out of range or too long.
    """
    if request.truncate is not None:
        tokens = tokens[-request.truncate :]
    if not tokens:
        raise Invalid("`inputs` cannot be empty")
    length, left = len(tokens), limits.max_total_tokens - len(tokens)
    # TGI checks no more than the first 1024 new tokens, and ends at the limit later.
    wanted = min(1024, max(left, 0) if request.max_new_tokens is None else request.max_new_tokens)
    if length + wanted > limits.max_total_tokens:
        raise Invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}. "
            f"Given: {length} `inputs` tokens and {wanted} `max_new_tokens`"
        )
    if length > limits.max_input_tokens:
        raise Invalid(
            f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {length}"
        )
    return tokens, left if request.max_new_tokens is None else min(left, request.max_new_tokens)


def _refuse_unsupported(given: Mapping[str, Any], *, stream: bool) -> None:
    if (given.get("best_of") or 1) != 1:
        raise Invalid(
            "`best_of` != 1 is not supported when streaming tokens"
            if stream
            else "`best_of` != 1 is not allowed for this endpoint"
        )
    if given.get("decoder_input_details"):
        raise Invalid(
            "`decoder_input_details` == true is not supported when streaming tokens"
            if stream
            else "`decoder_input_details` == true is not supported by this server"
        )
    if given.get("grammar") is not None:
        raise Invalid("grammar is not supported")
    if given.get("watermark"):
        raise Invalid("`watermark` == true is not supported by this server")
    if given.get("adapter_id") is not None:
        raise Invalid("`adapter_id` is not supported by this server")


def _sampling(given: Mapping[str, Any], *, stock: bool) -> Sampling:
    def value(name: str, neutral: float) -> float:
        found = given.get(name)
        return neutral if found is None else found

    if value("temperature", 1.0) <= 0:
        raise Invalid("`temperature` must be strictly positive")
    if value("repetition_penalty", 1.0) <= 0:
        raise Invalid("`repetition_penalty` must be strictly positive")
    if not -2 <= value("frequency_penalty", 0.0) <= 2:
        raise Invalid("`frequency_penalty` must be >= -2.0 and <= 2.0")
    for name in ("top_p", "typical_p"):
        if not 0 < value(name, 0.5) < 1:
            raise Invalid(f"`{name}` must be > 0.0 and < 1.0")
    if value("top_k", 1) <= 0:
        raise Invalid("`top_k` must be strictly positive")
    if not stock:
        if not -2 <= value("presence_penalty", 0.0) <= 2:
            raise Invalid("`presence_penalty` must be >= -2.0 and <= 2.0")
        if not 0 <= value("min_p", 0.0) <= 1:
            raise Invalid("`min_p` must be >= 0.0 and <= 1.0")
    min_p = 0.0 if stock else value("min_p", 0.0)
    # A warper that is set means sampling, as in TGI; a temperature of 1.0 counts as not set.
    sample = bool(
        given.get("do_sample")
        or value("temperature", 1.0) != 1.0
        or any(given.get(name) is not None for name in ("top_k", "top_p", "typical_p"))
        or min_p > 0
    )
    seed = given.get("seed")
    return Sampling(
        sample=sample,
        seed=secrets.randbits(64) if seed is None else seed,
        temperature=value("temperature", 1.0),
        top_k=int(value("top_k", 0)),
        top_p=value("top_p", 1.0),
        typical_p=value("typical_p", 1.0),
        min_p=min_p,
        repetition_penalty=value("repetition_penalty", 1.0),
        frequency_penalty=value("frequency_penalty", 0.0),
        presence_penalty=0.0 if stock else value("presence_penalty", 0.0),
        stock=stock,
    )


def _check(path: str, value: object, kind: str, *, optional: bool) -> None:
    if value is None and optional:
        return
    good = {"a boolean": bool, "a string": str, "a sequence": list}.get(kind)
    if good is not None:
        if isinstance(value, good):
            return
    elif not isinstance(value, bool):
        if kind == "f32" and isinstance(value, int | float):
            return
        if isinstance(value, int):
            low, high = RANGES.get(kind, (0, 0))
            if low <= value < high:
                return
            raise _unfit(path, f"invalid value: integer `{value}`, expected {kind}")
    raise _mistyped(path, value, kind)


def _mistyped(path: str, value: object, kind: str) -> Malformed:
    names = {
        bool: f"boolean `{str(value).lower()}`",
        int: f"integer `{value}`",
        float: f"floating point `{value}`",
        str: f"string {orjson.dumps(value).decode() if isinstance(value, str) else ''}",
        list: "sequence",
        dict: "map",
        type(None): "null",
    }
    return _unfit(path, f"invalid type: {names[type(value)]}, expected {kind}")


def _unfit(path: str, what: str) -> Malformed:
    where = f"{path}: " if path else ""
    return Malformed(
        422, f"Failed to deserialize the JSON body into the target type: {where}{what}"
    )
