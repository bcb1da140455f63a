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

from tests.stand_in.fields import (
    Kind,
    anything,
    boolean,
    integer,
    optional,
    real,
    string,
    strings,
    struct,
    tagged,
)
from tests.stand_in.reading import Malformed, Reader
from tests.stand_in.sampling import Sampling

MAX_STOP_SEQUENCES = 4
MAX_BEST_OF = 2
PIECE = 1024  # tokens, the most that TGI writes of an answer before it asks itself for the rest


class Invalid(Exception):
    """The request is refused; TGI puts "Input validation error: " in front."""


@dataclass(frozen=True, slots=True)
class Limits:
    """max_input_tokens < max_total_tokens (prompt and answer together); both in tokens.

    Attributes:
        all_samplers: Apply presence_penalty and min_p, and frequency_penalty as OpenAI means it.
        max_top_n_tokens: How many of the likeliest tokens of a place a request may ask for.
        raw_top_tokens: Tell the likeliest tokens by the model's own probabilities, as on a CPU.
    """

    max_input_tokens: int
    max_total_tokens: int
    max_concurrent_requests: int = 256
    max_batch_size: int = 32
    all_samplers: bool = False
    max_top_n_tokens: int = 5
    raw_top_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """A checked request, but for the length of its inputs in tokens.

    Attributes:
        max_new_tokens: ``None`` takes what the limits leave.
        truncate: Keep this many tokens of the input, BOS and the last ones; ``None`` keeps all.
        top_n_tokens: From 0.
        prefill: Tell the input's tokens and their logprobs.
        grammar: Whether the answer is to follow one.
    """

    inputs: str
    sampling: Sampling
    best_of: int
    max_new_tokens: int | None
    stop: tuple[str, ...]
    truncate: int | None
    top_n_tokens: int
    details: bool
    prefill: bool
    return_full_text: bool | None
    grammar: bool


# The fields of `parameters`, with the types that TGI's deserialiser expects.
u32, u64 = integer("u32", 0, 2**32), integer("u64", 0, 2**64)
usize, i32 = integer("usize", 0, 2**64), integer("i32", -(2**31), 2**31)
PARAMETERS: Mapping[str, Kind] = {
    "best_of": optional(usize),
    "temperature": optional(real),
    "repetition_penalty": optional(real),
    "frequency_penalty": optional(real),
    "top_k": optional(i32),
    "top_p": optional(real),
    "typical_p": optional(real),
    "do_sample": boolean,
    "max_new_tokens": optional(u32),
    "return_full_text": optional(boolean),
    "stop": strings,
    "truncate": optional(usize),
    "watermark": boolean,
    "details": boolean,
    "decoder_input_details": boolean,
    "seed": optional(u64),
    "top_n_tokens": optional(u32),
    "grammar": optional(tagged("GrammarType")),
    "adapter_id": optional(string),
}
ALL_SAMPLERS: Mapping[str, Kind] = {
    **PARAMETERS,
    "presence_penalty": optional(real),
    "min_p": optional(real),
}


def read(body: bytes, *, all_samplers: bool = False, compatible: bool = False) -> dict[str, Any]:
    """A request to generate, as far as TGI's extractor looks at it: the fields it knows.

    Args:
        body: JSON.
        all_samplers: presence_penalty and min_p are fields, too.
        compatible: It is one to POST /, which may be a stream.

    Raises:
        Malformed: It is no such request; carries the status of the answer.
    """
    parameters = ALL_SAMPLERS if all_samplers else PARAMETERS
    fields = {"inputs": string, "parameters": struct("GenerateParameters", parameters)}
    if compatible:
        kind = struct("CompatGenerateRequest", {**fields, "stream": boolean}, "inputs")
    else:
        kind = struct("GenerateRequest", fields, "inputs")
    asked: dict[str, Any] = kind(Reader(body))
    return asked


def read_messages(body: bytes) -> dict[str, Any]:
    """The `messages` of a chat, each with `role` and `content` as one text, and its `tools`.

    Content may be a list of parts, of which the texts are put together, as TGI does.

    Raises:
        Malformed: It is no chat; carries the status of the answer.
    """
    kind = struct("ChatRequest", {"messages": anything, "tools": anything}, "messages")
    chat: dict[str, Any] = kind(Reader(body))
    messages = []
    for message in chat["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        if not isinstance(content, str):
            raise Malformed(
                422,
                "Failed to deserialize the JSON body into the target type: data did not match any "
                "variant of untagged enum MessageBody",
            )
        messages.append({**message, "content": content})
    return {**chat, "messages": messages}


def parse(body: Mapping[str, Any], limits: Limits, *, stream: bool) -> Generate:
    """A request to generate that was read.

    Raises:
        Invalid: A value is out of range or too long.
    """
    inputs = body["inputs"]
    # Without any parameters TGI samples, with parameters it does so only when they say so.
    given = body.get("parameters", {"do_sample": True})
    best_of = given.get("best_of")
    best_of = 1 if best_of is None else best_of
    prefill = given.get("decoder_input_details", False)
    if stream and best_of != 1:
        raise Invalid("`best_of` != 1 is not supported when streaming tokens")
    if stream and prefill:
        raise Invalid("`decoder_input_details` == true is not supported when streaming tokens")
    if best_of > MAX_BEST_OF:
        raise Invalid(f"`best_of` must be > 0 and <= {MAX_BEST_OF}. Given: {best_of}")
    warpers = ("temperature", "top_k", "top_p", "typical_p")
    sampling = given.get("do_sample") or any(given.get(name) is not None for name in warpers)
    if best_of > 1 and not sampling:
        raise Invalid("you must use sampling when `best_of` is > 1")
    sampler = _sampling(given, limits)
    stop = tuple(given.get("stop", ()))
    if given.get("max_new_tokens") == 0:
        raise Invalid("`max_new_tokens` must be strictly positive")
    if len(stop) > MAX_STOP_SEQUENCES:
        raise Invalid(
            f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {len(stop)}"
        )
    if best_of > 1 and given.get("seed") is not None:
        raise Invalid("`seed` must not be set when `best_of` > 1")
    top_n_tokens = given.get("top_n_tokens") or 0
    if top_n_tokens > limits.max_top_n_tokens:
        raise Invalid(
            f"`top_n_tokens` must be >= 0 and <= {limits.max_top_n_tokens}. Given: {top_n_tokens}"
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
        sampling=sampler,
        best_of=max(1, best_of),
        max_new_tokens=given.get("max_new_tokens"),
        stop=stop,
        truncate=truncate,
        top_n_tokens=top_n_tokens,
        details=given.get("details", False) or prefill,
        prefill=prefill,
        return_full_text=given.get("return_full_text"),
        grammar=bool(given.get("grammar")),
    )


def fit(request: Generate, length: int, limits: Limits) -> int:
    """How many new tokens TGI writes in one piece behind an input of this length.

    It writes an answer in pieces of at most 1,024 tokens and checks each by itself, with the number
    that was asked for: for 1,025 it writes 2,048.

    Raises:
        Invalid: The input is too long, or the grammar that TGI looks at last is not supported.
    """
    left = max(limits.max_total_tokens - length, 0)
    wanted = left if request.max_new_tokens is None else request.max_new_tokens
    piece = min(wanted, PIECE)
    if length + piece > limits.max_total_tokens:
        raise Invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}. "
            f"Given: {length} `inputs` tokens and {piece} `max_new_tokens`"
        )
    if length > limits.max_input_tokens:
        raise Invalid(
            f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {length}"
        )
    if request.grammar:
        raise Invalid("grammar is not supported")
    return piece


def _sampling(given: Mapping[str, Any], limits: Limits) -> Sampling:
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
    if limits.all_samplers:
        if not -2 <= value("presence_penalty", 0.0) <= 2:
            raise Invalid("`presence_penalty` must be >= -2.0 and <= 2.0")
        if not 0 <= value("min_p", 0.0) <= 1:
            raise Invalid("`min_p` must be >= 0.0 and <= 1.0")
    min_p = value("min_p", 0.0)
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
        presence_penalty=value("presence_penalty", 0.0),
        openai=limits.all_samplers,
        raw_top=limits.raw_top_tokens,
    )
