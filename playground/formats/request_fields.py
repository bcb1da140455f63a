"""What a text says of a request beside its preset: the system text, stop sequences and the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from playground.formats.python_call import NOT_SHOWN
from playground.formats.values import LeftOut

_SYSTEM: Final = frozenset(
    {"system", "systemPrompt", "pre_prompt", "system message", "developer message"}
    | {"-sys", "--system-prompt"}
)
_STOP: Final = frozenset(
    {"stop", "stop_sequence", "stopStrings", "antiprompt", "-r", "--reverse-prompt"}
)
_SEED: Final = frozenset({"seed", "sampler_seed", "sampling_seed", "-s", "--seed"})


@dataclass(frozen=True, slots=True)
class RequestFields:
    """Values of a request, empty or None where the text has none."""

    system: str = ""
    stop: tuple[str, ...] = ()
    seed: int | None = None


def request_fields(left_out: Sequence[LeftOut]) -> RequestFields:
    """The values that belong to a request among those that no preset has, whole."""
    systems: list[str] = []
    stops: list[str] = []
    seed = None
    for each in left_out:
        value = each.value
        if not each.effect or value == NOT_SHOWN:
            continue
        if each.name in _SYSTEM and isinstance(value, str):
            systems.append(value)
        elif each.name in _STOP:
            texts = value if isinstance(value, list) else [value]
            stops += [text for text in texts if isinstance(text, str) and text]
        elif each.name in _SEED and type(value) is int and value >= 0:
            seed = value
    return RequestFields("\n\n".join(systems), tuple(dict.fromkeys(stops)), seed)
