"""What text an emulated answer has, where wrong tokens come at every kind of place.

The server is the stand-in, whose choice is made for it: it writes a given text, but for a token of
seven another one that min_p forbids, or the one that ends an answer.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.application import Application
from tests.servers import Server

TEXT = """Namaste: नमस्ते, দুনিয়া! \N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} \
\N{FAMILY}\N{ZERO WIDTH JOINER}\N{ROCKET}

```python
def greet(name: str) -> str:
\treturn f"¡Hola, {name}!  \\u2014 naïve"   # spaces  stay
```

The end is near\N{HORIZONTAL ELLIPSIS} and then it goes on for a while."""
STOP = "and then it goes"
A_WRONG_TOKEN_IN_SEVEN = f"""
import math, random
from tests.stand_in import __main__, sampling
from tests.stand_in.text import Text

text = Text.load(__main__.MODEL)
mark = "<|assistant|>\\n"
answer = text.encode({TEXT!r}, special=False)
places = {{text.decode(answer[:count]): count for count in range(len(answer) + 1)}}
begin = sampling.Chooser.__init__

def init(self, asked, prompt, vocabulary):
    begin(self, asked, prompt, vocabulary)
    self.chance = random.Random(asked.seed)
    self.size = vocabulary
    self.place = places.get(text.decode(prompt).rpartition(mark)[2])

def choose(self, logits, top=0):
    right = 2 if self.place in (None, len(answer)) else answer[self.place]
    wrong = self.chance.choice((2, self.chance.randrange(3, self.size)))
    wrong = 3 if wrong == right else wrong
    token, other = (wrong, right) if self.chance.random() < 1 / 7 else (right, wrong)
    self.place = self.place + 1 if self.place is not None and token == right else None
    known = ((right, math.log(0.9)), (wrong, math.log(0.1)))
    return sampling.Choice(token, dict(known)[token], known)

sampling.Chooser.__init__, sampling.Chooser.choose = init, choose
__main__.main(["--port", "0", "--max-top-n-tokens", "20"])
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with (
        Server(["-c", A_WRONG_TOKEN_IN_SEVEN]) as engine,
        Application(engine.url, emulation_restarts=1) as server,
    ):
        yield server.url


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
