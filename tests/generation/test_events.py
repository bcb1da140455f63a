"""Events as bytes: their names, their data, and what becomes one."""

import orjson
import pytest

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
from playground.domain.prompt_formats import LLAMA3
from playground.generation.events import KEEP_ALIVE, applied_json, encode, named

RECEIPT = Receipt(
    engine="TGI 3.3.7",
    engine_id="tgi",
    model_id="some/model",
    model_sha="0123abc",
    preset="Creative",
    sent={"temperature": 0.7},
    applied={"min_p": Applied("unsupported", "Why.")},
    prompt_tokens=4,
    dropped_turns=1,
    edits={"min_p": (0.1, None)},
    left_out={"min_p": "Why."},
    prompt="<|user|>\nHi\n",
    system="Be brief.",
    continued=3,
    prompt_format=LLAMA3,
    note="A note.",
    quantisation="Q4_K_M",
    emulate=False,
    emulated={"min_p": 0.1},
    max_new_tokens=2048,
)
EMULATION = Emulation(("top_p", "min_p"), 3, 40, 37, 0.00041, 1, 12.3456, 20)
EMULATION_DATA = {
    "parameters": ["top_p", "min_p"],
    "restarts": 3,
    "proposed": 40,
    "accepted": 37,
    "bound": 0.00041,
    "reread": 1,
    "added_ms": 12.3,
    "given_up_at": 20,
}


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (Waiting(3), "waiting", {"place": 3}),
        (Block(2, "<p>é</p>\n"), "block", {"index": 2, "html": "<p>é</p>\n"}),
        (
            Failed("busy", "Why.", True),
            "error",
            {"kind": "busy", "message": "Why.", "retryable": True},
        ),
        (
            Failed("stopped", "Stopped.", True, EMULATION, Figures(3, 12.34, 56.78, 9.876)),
            "error",
            {
                "kind": "stopped",
                "message": "Stopped.",
                "retryable": True,
                "emulation": EMULATION_DATA,
                "figures": {
                    "generated_tokens": 3,
                    "ttft_ms": 12.3,
                    "duration_ms": 56.8,
                    "tokens_per_second": 9.88,
                },
            },
        ),
        (Sealed("done", "abc", {"a": 1}), "done", {"a": 1, "sealed": "abc"}),
        (
            Done("length", 9, 11, 7, 12.3456, 98.7654, 45.6789),
            "done",
            {
                "finish_reason": "length",
                "generated_tokens": 9,
                "input_tokens": 11,
                "seed": 7,
                "ttft_ms": 12.3,
                "duration_ms": 98.8,
                "tokens_per_second": 45.68,
                "emulation": None,
            },
        ),
        (
            Done("length", 0, 11, None, None, 98.74, None, EMULATION),
            "done",
            {
                "finish_reason": "length",
                "generated_tokens": 0,
                "input_tokens": 11,
                "seed": None,
                "ttft_ms": None,
                "duration_ms": 98.7,
                "tokens_per_second": None,
                "emulation": EMULATION_DATA,
            },
        ),
        (
            RECEIPT,
            "receipt",
            {
                "engine": "TGI 3.3.7",
                "engine_id": "tgi",
                "model_id": "some/model",
                "model_sha": "0123abc",
                "quantisation": "Q4_K_M",
                "preset": "Creative",
                "edited": ["min_p"],
                "sent": {"temperature": 0.7},
                "applied": {"min_p": {"how": "unsupported", "reason": "Why."}},
                "prompt_tokens": 4,
                "dropped_turns": 1,
                "edits": {"min_p": {"from": 0.1, "to": None}},
                "left_out": {"min_p": "Why."},
                "prompt": "<|user|>\nHi\n",
                "prompt_sha256": digest("<|user|>\nHi\n"),
                "prompt_format": {
                    "id": "llama3",
                    "label": "Llama 3",
                    "bos": "<|begin_of_text|>",
                    "stop": ["<|eot_id|>", "<|end_of_text|>"],
                    "default_system": "",
                },
                "system": "Be brief.",
                "continued": 3,
                "note": "A note.",
                "emulate": False,
                "emulated": {"min_p": 0.1},
                "asked": {},
                "max_new_tokens": 2048,
            },
        ),
        (Notice("A sentence."), "notice", {"text": "A sentence."}),
    ],
)
def test_each_event_has_its_name_and_its_data(
    event: Event, name: str, data: dict[str, object]
) -> None:
    assert orjson.loads(orjson.dumps(named(event)[1])) == data
    assert named(event)[0] == name
    assert encode([(1, event)]) == (
        b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"pane": 1, **named(event)[1]}))
    )


def test_a_panes_deltas_that_follow_each_other_are_one() -> None:
    batch: list[tuple[int, Event]] = [
        (0, Delta("a")),
        (1, Delta("x")),
        (0, Delta("b\n")),
        (0, Block(0, "<p>ab</p>")),
        (0, Delta("c")),
        (1, Delta("é")),
    ]
    assert encode(batch).decode().strip("\n").split("\n\n") == [
        'event: delta\ndata: {"pane":0,"text":"ab\\n"}',
        'event: block\ndata: {"pane":0,"index":0,"html":"<p>ab</p>"}',
        'event: delta\ndata: {"pane":1,"text":"xé"}',
        'event: delta\ndata: {"pane":0,"text":"c"}',
    ]


def test_nothing_is_no_event_and_a_sign_of_life_is_a_comment() -> None:
    assert encode([]) == b""
    assert KEEP_ALIVE.startswith(b":")
    assert KEEP_ALIVE.endswith(b"\n\n")


def test_how_parameters_are_treated_is_said_by_name() -> None:
    applied = {"top_k": Applied("native"), "min_p": Applied("emulated", "So.")}
    assert applied_json(applied) == {
        "top_k": {"how": "native", "reason": ""},
        "min_p": {"how": "emulated", "reason": "So."},
    }
