"""Answers of an exported model, through the runtime and the samplers that serve it."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.stand_in.runtime import Runtime
from tests.stand_in.sampling import Chooser, Sampling
from tests.stand_in.training.tokenizer import EOS, USER, special

GREEDY = Sampling()


class Model:
    """The files of a folder, ready to answer."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.runtime = Runtime(folder / "model.onnx")
        self.eos = special(self.tokenizer, EOS)

    def answer(self, prompt: str, sampling: Sampling = GREEDY, limit: int = 400) -> str:
        """The answer to a rendered prompt, up to EOS, a user's marker or `limit` tokens."""
        ids: list[int] = self.tokenizer.encode(prompt).ids
        chooser = Chooser(sampling, ids, self.runtime.vocabulary)
        logits, past = self.runtime.extend(self.runtime.empty(), ids)
        written: list[int] = []
        while len(written) < limit:
            token = chooser.choose(logits[-1]).token
            if token == self.eos:
                break
            written.append(token)
            logits, past = self.runtime.extend(past, [token])
        text: str = self.tokenizer.decode(written)
        return text.split(USER)[0]
