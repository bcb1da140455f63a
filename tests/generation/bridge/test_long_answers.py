"""Answers above the 1,024 tokens up to which TGI holds to a limit, with characters over each seam.

The server is the stand-in, whose choice is made for it: what comes next is always the next byte of
the same character.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.application import Application
from tests.servers import Server

FACE = "\N{SLIGHTLY SMILING FACE}"  # four tokens
ONE_FACE_AFTER_THE_OTHER = f"""
from tests.stand_in import __main__, sampling
from tests.stand_in.text import Text

text = Text.load(__main__.MODEL)
[first] = text.encode("x", special=False)
face = text.encode({FACE!r}, special=False)
assert len(face) == 4
begin = sampling.Chooser.__init__

def init(self, asked, prompt, vocabulary):
    begin(self, asked, prompt, vocabulary)
    self.last = prompt[-1]

def choose(self, logits, top=0):
    if self.last in face:
        self.last = face[(face.index(self.last) + 1) % 4]
    else:
        self.last = face[0] if self.last == first else first
    return sampling.Choice(self.last, -0.1)

sampling.Chooser.__init__, sampling.Chooser.choose = init, choose
__main__.main(["--port", "0", "--max-total-tokens", "6144"])
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with Server(["-c", ONE_FACE_AFTER_THE_OTHER]) as engine, Application(engine.url) as server:
        yield server.url


GO = {"messages": [{"role": "user", "content": "Go."}]}


def answer(site: str, **pane: object) -> tuple[str, dict[str, Any]]:
    """The text of an answer, and its end."""
    return streamed(f"{site}/api/stream", {**GO, "panes": [pane]})


def streamed(url: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    text, name = "", ""
    with httpx.stream("POST", url, json=body, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                text += data["text"] if name == "delta" else ""
                assert name != "error", data
                if name == "done":
                    return text, data
    raise AssertionError("the answer did not end")


@pytest.mark.parametrize("limit", [1, 1023, 1024, 1025, 1500, 2048, 2049])
def test_an_answer_has_as_many_tokens_as_were_asked_for_and_loses_none(
    site: str, limit: int
) -> None:
    text, done = answer(site, sampler={"temperature": 1.0}, seed=1, max_new_tokens=limit)
    assert done["generated_tokens"] == limit
    assert done["finish_reason"] == "length"
    assert text == "x" + FACE * ((limit - 1) // 4)


def test_a_demo_with_answers_above_1024_tokens_keeps_within_its_budget(site: str) -> None:
    terms = {"title": "Faces", "panes": [{}], "budget_tokens": 2000, "max_new_tokens": 1030}
    with httpx.Client(base_url=site) as owner:
        token = owner.post("/api/demos", json=terms).json()["token"]
        demo = f"/api/demos/{token}"
        (first, one), (second, two) = [streamed(f"{site}{demo}/stream", GO) for _ in range(2)]
        refusal = owner.post(f"{demo}/stream", json=GO)
        [account] = owner.get("/api/demos").json()["demos"]
    assert first == "x" + FACE * (1029 // 4)
    assert (one["generated_tokens"], one["finish_reason"]) == (1030, "length")
    assert second == "x" + FACE * ((two["generated_tokens"] - 1) // 4)
    assert two["finish_reason"] == "budget"
    # What was on its way when the engine was left for the next request is spent as well.
    assert 2000 - 64 < 1030 + two["generated_tokens"] <= account["spent"] <= 2000
    assert account["held"] == 0
    assert (refusal.status_code, refusal.json()["kind"]) == (403, "used_up")
