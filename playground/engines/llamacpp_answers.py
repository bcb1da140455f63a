"""What the answers of llama.cpp's server mean. No I/O."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from playground.domain.messages import Applied
from playground.domain.prompt_formats import PromptFormat, recognise
from playground.domain.samplers import BY_NAME
from playground.engines import tokens as counts
from playground.engines.base import EngineInfo, Finish, Probabilities, Seeds, Written
from playground.engines.http import MISREAD, read_json
from playground.engines.names import shown_name, shown_words
from playground.engines.tokens import cut
from tgi import decoding, errors

_COUNTS_PROMPT: Final = (
    "Counts the prompt's tokens, too. In llama.cpp a long conversation makes this penalty stronger."
)
_APPLIED: Final[Mapping[str, Applied]] = {
    **dict.fromkeys(BY_NAME, Applied("native")),
    "frequency_penalty": Applied("native", _COUNTS_PROMPT),
    "presence_penalty": Applied("native", _COUNTS_PROMPT),
}

# 2**32 - 1 draws one, and what is higher is cut to 32 bits.
SEEDS: Final = 2**32 - 1
_REPEATS: Final = Seeds(
    "alone",
    "The same seed repeats only if nothing else is being generated at the same time. llama.cpp's "
    f"seeds end at {SEEDS - 1}; a higher one begins again at 0.",
)
# It has no limit of its own.
_STOPS: Final = 64

_FINISHED: Final = {"eos": "eos_token", "limit": "length", "word": "stop_sequence"}


@dataclass(frozen=True, slots=True)
class Event:
    """A part of an answer, and how many tokens the answer has up to it."""

    text: str
    tokens: int
    finish: Finish | None


@contextmanager
def understood(route: str) -> Iterator[None]:
    """Raises ProtocolError where an answer is not llama.cpp's."""
    try:
        yield
    except MISREAD as error:
        raise errors.ProtocolError(
            f"What answers at /{route} is not llama.cpp ({decoding.misread(error)}); is the "
            "address right?",
            status=200,
        ) from error


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> errors.TGIError:
    """The error for an answer with another status than 200."""
    try:
        answer = read_json(body)["error"]
        if answer["type"] == "exceed_context_size_error":
            return errors.ValidationFailed(
                f"The prompt has {answer['n_prompt_tokens']:d} tokens, and llama.cpp takes "
                f"{answer['n_ctx'] - 1:d} at most.",
                status=status,
            )
    except (errors.ProtocolError, KeyError, TypeError, ValueError):
        pass  # a proxy's words, or nothing
    if status == 404:
        return errors.ProtocolError(
            "What answers there is not llama.cpp: it has no such route (status 404). Is the "
            "address right?",
            status=status,
        )
    return decoding.error_answer(status, headers, body)


def event(data: str) -> Event | None:
    """One event of an answer, ``None`` while the prompt is read."""
    fields = read_json(data)
    with understood("completion"):
        if "error" in fields:
            raise _broken(fields["error"], data)
        if "prompt_progress" in fields:
            return None
        text, tokens = fields["content"], counts.told(fields["tokens_predicted"])
        if not isinstance(text, str):
            raise TypeError("content is no string")
        if not fields["stop"]:
            return Event(text, tokens, None)
        seed = fields["generation_settings"]["seed"]
        if type(seed) is not int:
            raise TypeError("its seed is no number")
        reason = _FINISHED[fields["stop_type"]]
        read = counts.told(fields["tokens_evaluated"])
        return Event(text, tokens, Finish(reason, tokens, read, seed))


def _broken(error: Mapping[str, Any], data: str) -> errors.TGIError:
    """What an error means that comes inside a stream."""
    if "Context size" in str(error["message"]):
        return errors.IncompleteStream(
            "The text is not complete: the context that all answers of this llama.cpp share is "
            "full. Try again when others have ended.",
            status=200,
        )
    return refusal(int(error.get("code", 500)), {}, data.encode())


def info(
    props: Mapping[str, Any],
    models: Mapping[str, Any],
    form: PromptFormat | None,
    quantisation: str,
) -> EngineInfo:
    """What /props and /v1/models say."""
    meta = models["data"][0].get("meta") or {}
    path = str(props["model_path"])
    model_id = _model_id(str(props.get("model_alias") or path))
    build = re.match(r"b[1-9]\d*", str(props.get("build_info", "")))
    context = counts.room(props["default_generation_settings"]["n_ctx"])
    return EngineInfo(
        kind="llamacpp",
        name=f"llama.cpp {build[0]}" if build else "llama.cpp",
        model_id=model_id,
        model_sha=None,
        quantisation=_quantisation(str(props.get("model_ftype") or meta.get("ftype") or ""))
        or quantisation
        or _named_quantisation(path),
        max_input_tokens=context - 1,
        max_total_tokens=context,
        max_stop_sequences=_STOPS,
        applied=_APPLIED,
        seeds=_REPEATS,
        probabilities=Probabilities("final", counts.told(meta.get("n_vocab") or 0)),
        prompt_format=form
        or recognise(model_id, props.get("chat_template"), props.get("eos_token")),
        slots=max(1, counts.told(props["total_slots"])),
        raw=shown_words(told(props)),
    )


def told(props: Mapping[str, Any]) -> dict[str, object]:
    """The answer of /props for people, without the folders of the server's machine."""
    paths = {name: _base(str(props[name])) for name in ("model_path", "model_alias")}
    return {**props, **paths}


def _base(path: str) -> str:
    """A file's name; a name of the Hub, which has one slash, stays whole."""
    if path.lower().endswith(".gguf"):
        path = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    return shown_name(path)


def _model_id(alias: str) -> str:
    return re.sub(r"(?i)\.gguf$", "", _base(alias))


def _quantisation(ftype: str) -> str:
    """llama.cpp's words for how a file is quantised as people write them."""
    words = re.sub(r"\(guessed\)|^all | mix\b| - [\d.]+ bpw.*", "", ftype).strip()
    return re.sub(r" - (Small|Medium|Large)$", lambda size: f"_{size[1][0]}", words)


def _named_quantisation(path: str) -> str:
    """As a file's name has it, such as model.Q4_K_M.gguf."""
    found = re.search(r"(?i)[.-](I?Q\d\w*|BF16|F16|F32)\.gguf$", path)
    return found[1].upper() if found else ""


def pieces(text: str, tokens: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text in pieces; a piece is a string, or bytes where it is no whole character."""
    with understood("tokenize"):
        parts = [_bytes(token["piece"]) for token in tokens]
    joined, whole = b"".join(parts), text.encode()
    added = len(joined) - len(whole)
    if joined[added:] != whole or joined[:added].strip():
        raise errors.ProtocolError(
            "The pieces that llama.cpp cuts a text into do not make up the text.", status=200
        )
    starts, at = [], -added  # some vocabularies put a space in front
    for part in parts:
        starts.append(at)
        at += len(part)
    return cut(text, starts)


def _bytes(piece: object) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if not isinstance(piece, list):  # of a number, bytes() would make so many zeros
        raise TypeError("a piece is neither a string nor bytes")
    return bytes(piece)


def written(answer: Mapping[str, Any], prompt: Sequence[int]) -> Written:
    """A whole answer.

    Of a character that is several tokens, the last one alone has probabilities.
    """
    if not isinstance(answer["content"], str):
        raise TypeError("content is no string")
    tokens = counts.numbers(answer["tokens"])
    told = iter(answer.get("completion_probabilities") or ())
    likeliest: list[Mapping[int, float]] = []
    entry = next(told, None)
    if entry is not None:
        for token in tokens:
            if entry is not None and entry["id"] == token:
                tops = entry["top_probs"]
                likeliest.append({top["id"]: math.log(top["prob"]) for top in tops if top["prob"]})
                entry = next(told, None)
            else:
                likeliest.append({})
    return Written(
        answer["content"],
        counts.told(answer["tokens_predicted"]),
        tokens,
        tuple(likeliest),
        counts.numbers(prompt),
    )
