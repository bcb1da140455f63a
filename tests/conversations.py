"""Records as the browser makes them: answers with all that the server said of them."""

import base64
import random
from typing import Any, Final

# What a database, a JSON library or a proxy may change on the way.
AWKWARD: Final = (
    "NUL \x00, escape \x1b, line separators \u2028\u2029\x85, no-break \xa0, BOM \ufeff, "
    "right to left \u202eabc\u202c, combining e\u0301 and é, 👩‍👩‍👧 𝄞, \\u0041 \"'`, "
    "</script><!--, trailing  \r\n\ttabs  "
)

RECEIPT: Final[dict[str, Any]] = {
    "engine": "TGI 3.3.7",
    "model_id": "ContextualAI/Contextual_KTO_Mistral_PairRM",
    "model_sha": None,
    "quantisation": "FP8",
    "preset": "Creative",
    "edited": ["min_p"],
    "sent": {"temperature": 1.0, "top_k": 0, "seed": 2**64 - 1, "stop": ["<|user|>"], "x": 1e-7},
    "applied": {"min_p": {"how": "unsupported", "reason": "TGI has no min_p."}},
    "prompt_tokens": 11,
    "dropped_turns": 0,
    "edits": {"min_p": {"from": 0.1, "to": None}},
    "left_out": {"min_p": "TGI has no min_p."},
    "prompt_sha256": "0" * 64,
    "prompt_format": {"id": "tulu2", "label": "TuluV2", "bos": "<s>", "stop": ["<|user|>"]},
    "system": "",
    "continued": 0,
    "note": "",
    "emulate": True,
    "emulated": {"top_p": 0.95},
    "asked": {"top_p": 0.95},
    "max_new_tokens": 2048,
}
EMULATION: Final[dict[str, Any]] = {
    "parameters": ["top_p", "presence_penalty"],
    "restarts": 3,
    "proposed": 48,
    "accepted": 45,
    "bound": 0.00041,
    "reread": 1,
    "added_ms": 41.7,
    "given_up_at": 30,
}
DONE: Final[dict[str, Any]] = {
    "finish_reason": "eos_token",
    "generated_tokens": 2**53 + 1,
    "input_tokens": 11,
    "seed": 2**64 - 1,
    "ttft_ms": 0.1,
    "duration_ms": 123456.7,
    "tokens_per_second": 5e-324,
    "emulation": EMULATION,
}


def setting(**values: Any) -> dict[str, Any]:
    return {
        "preset": "min-p",
        "name": "Creative",
        "sampler": {"temperature": 1.0, "min_p": 0.1},
        "max_new_tokens": None,
        "seed": 2**64 - 1,
        "stop": ["\n\n"],
        "system": "",
        "engine": None,
        "emulate": True,
        **values,
    }


def answer(content: str = "**Hello**", **values: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": content,
        "state": "done",
        "preset": "min-p",
        "receipt": RECEIPT,
        "done": DONE,
        "problem": None,
        "notices": ["It goes on without."],
        "emulation": EMULATION,
        **values,
    }


def column(*messages: dict[str, Any], label: str = "Creative") -> dict[str, Any]:
    said = messages or ({"role": "user", "content": AWKWARD}, answer())
    return {"label": label, "setting": setting(), "messages": list(said)}


def record(*columns: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A chat, or a comparison when there is more than one column."""
    shown = columns or (column(),)
    return {
        "format": "kto-mistral-playground",
        "version": 4,
        "kind": "chat" if len(shown) == 1 else "comparison",
        "title": "A greeting",
        "columns": list(shown),
        **values,
    }


def of_version(version: int, body: dict[str, Any]) -> dict[str, Any]:
    """The record as it was written before there were versions of messages.

    In 2 it was before there was emulation, too, and in 1 before there were several engines.
    """
    later = {3: set(), 2: {"emulate"}, 1: {"emulate", "engine"}}[version]
    told = set() if version == 3 else {"notices", "emulation"}

    def without(value: dict[str, Any], names: set[str]) -> dict[str, Any]:
        return {name: each for name, each in value.items() if name not in names}

    columns = [
        {
            **column,
            "setting": without(column["setting"], later),
            "messages": [without(message, told) for message in column["messages"]],
        }
        for column in body["columns"]
    ]
    return {**body, "version": version, "columns": columns}


def branched(**values: Any) -> dict[str, Any]:
    """A chat with two versions of its first answer: the one that was gone on with is shown.

    The other one was prefilled, and the last answer was rewritten.
    """
    said = [
        {"role": "user", "content": "Hi"},
        answer("First"),
        {"role": "user", "content": "And then?"},
        answer("Last", rewritten=True),
        answer("Well, second", after=0, prefilled=5),
    ]
    return record({**column(*said), "shown": 3}, **values)


def long_record(size: int) -> dict[str, Any]:
    """A chat of about so many bytes, which no compression would make small."""
    said = base64.b64encode(random.Random(size).randbytes(size * 3 // 4)).decode()
    return record(column({"role": "user", "content": said}, answer()))
