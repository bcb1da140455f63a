"""What the samplers do to the bundled model's answers, through the whole product."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.application import Application
from tests.servers import ROOT

STORY = "Tell me a story about a lighthouse."
CORPUS = ROOT / "tests/stand_in/training/corpus"


@pytest.fixture(scope="module")
def site(stand_in_url: str) -> Iterator[str]:
    with Application(stand_in_url) as server:
        yield server.url


def answer(site: str, question: str, **pane: object) -> str:
    """The whole answer, by the deltas of the event stream."""
    body = {"messages": [{"role": "user", "content": question}], "panes": [pane]}
    text, ended = "", False
    with httpx.stream("POST", f"{site}/api/stream", json=body, timeout=60) as response:
        assert response.status_code == 200
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                assert name != "error", data
                text += data["text"] if name == "delta" else ""
                ended = ended or name == "done"
    assert ended
    return text


def readable(text: str) -> float:
    """The share of a text's words that the model was taught."""
    known = set(re.findall(r"[a-z']+", " ".join(p.read_text() for p in CORPUS.iterdir()).lower()))
    words = re.findall(r"[a-z']+", text.lower())
    return sum(word in known for word in words) / len(words)


def test_the_same_seed_and_preset_give_the_same_answer(site: str) -> None:
    first = answer(site, STORY, preset="min-p", seed=11)
    assert answer(site, STORY, preset="min-p", seed=11) == first
    assert answer(site, STORY, preset="min-p", seed=12) != first


def test_temperature_0_is_greedy(site: str) -> None:
    greedy = answer(site, STORY, sampler={"temperature": 0}, seed=1)
    assert answer(site, STORY, sampler={"temperature": 0}, seed=2) == greedy
    assert answer(site, STORY, sampler={"temperature": 2, "top_k": 1}, seed=3) == greedy


def test_the_three_presets_tell_three_stories(site: str) -> None:
    presets = ("alpacaeval", "huggingchat", "min-p")
    assert len({answer(site, "tell me a story", preset=p, seed=7) for p in presets}) == 3


def test_min_p_makes_a_hot_answer_readable_again(site: str) -> None:
    hot = {"temperature": 1.6}
    seeds = range(6)
    wild = [readable(answer(site, STORY, sampler=hot, seed=s, max_new_tokens=150)) for s in seeds]
    tamed = [
        readable(answer(site, STORY, sampler={**hot, "min_p": 0.1}, seed=s, max_new_tokens=150))
        for s in seeds
    ]
    assert sum(wild) / len(wild) < 0.9
    assert sum(tamed) / len(tamed) > 0.97
