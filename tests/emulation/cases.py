"""The parameters that are tested, and the texts behind which."""

from dataclasses import dataclass
from typing import Final

from playground.domain.samplers import Sampler

# Behind the first the model says the same again within three tokens, so that a penalty shows; the
# second is a turn of a chat. What is written behind either reads back as it was written.
PROMPTS: Final = ("1 1 1\nx = 1\n", "<|user|>\nNo! No! No!\n<|assistant|>\n")
# And behind this it writes for long, words that come again among them.
STORY: Final = "<|user|>\nTell me a story about a lighthouse.\n<|assistant|>\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A sampler that stock TGI does not have."""

    name: str
    sampler: Sampler


CASES: Final = (
    *(
        Case(f"min_p {min_p:g}, T {heat:g}", Sampler(temperature=heat, min_p=min_p))
        for min_p in (0.05, 0.1)
        for heat in (0.7, 1.0, 1.5)
    ),
    *(
        Case(f"presence {penalty:g}, T 1", Sampler(temperature=1.0, presence_penalty=penalty))
        for penalty in (0.5, 1.0)
    ),
    Case("frequency 0.5, T 1", Sampler(temperature=1.0, frequency_penalty=0.5)),
    Case(
        "presence 0.5, min_p 0.05, top_k 40, T 1",
        Sampler(temperature=1.0, presence_penalty=0.5, min_p=0.05, top_k=40),
    ),
    Case(
        "frequency 0.5, presence 0.5, top_p 0.9, T 0.7",
        Sampler(temperature=0.7, frequency_penalty=0.5, presence_penalty=0.5, top_p=0.9),
    ),
)
