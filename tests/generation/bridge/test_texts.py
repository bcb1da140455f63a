"""What text an emulated answer has, where wrong tokens come at every kind of place."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.application import Application
from tests.wrong_tokens import TEXT, wrong_tokens

STOP = "and then it goes"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with (
        wrong_tokens() as engine,
        Application(engine.url, emulation_restarts=1) as server,
    ):
        while not emulating(server.url):
            pass
        yield server.url


def emulating(site: str) -> bool:
    """Whether it is known by now that the engine's probabilities allow it."""
    state = httpx.get(f"{site}/api/engine").raise_for_status().json()
    return bool(state["applied"]["min_p"]["how"] == "emulated")


def answer(site: str, **pane: object) -> tuple[str, dict[str, Any]]:
    """The text of an answer, and its end."""
    body = {"messages": [{"role": "user", "content": "Go."}], "panes": [pane]}
    text, name = "", ""
    with httpx.stream("POST", f"{site}/api/stream", json=body, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                text += data["text"] if name == "delta" else ""
                assert name not in ("error", "notice"), data
                if name == "done":
                    return text, data
    raise AssertionError("the answer did not end")


def test_a_text_with_emoji_code_and_indic_script_comes_through_to_the_last_byte(site: str) -> None:
    restarts = 0
    for seed in range(3):
        text, done = answer(site, sampler={"temperature": 1.0, "min_p": 0.3}, seed=seed)
        assert text == TEXT
        assert (done["finish_reason"], done["emulation"]["bound"]) == ("eos_token", 0)
        restarts += done["emulation"]["restarts"]
    assert restarts > 30


def test_a_stop_sequence_that_restarts_cut_in_pieces_stops(site: str) -> None:
    cut = 0
    for seed in range(3):
        text, done = answer(
            site, sampler={"temperature": 1.0, "min_p": 0.3}, seed=seed, stop=[STOP]
        )
        assert done["finish_reason"] == "stop_sequence"
        assert text == TEXT[: TEXT.index(STOP)].rstrip()
        cut += done["emulation"]["restarts"]
    assert cut > 30
