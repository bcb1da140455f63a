"""The corpus as values: intents read from corpus/*.toml, and the slots they draw from.

An intent file holds one table an intent; its key is the id:
    ask    questions to train on, one template a line
    say    answers, as templates, with lines of three dashes between them
    after  ids of intents, or `group/*` for a whole file: this one follows up on them
    first  true: only ever the first turn (a follow-up question asked out of the blue)
    weight how often it is drawn, 1 unless told
questions.toml has further questions by id, held_out.toml the questions that are never trained on,
synonyms.toml phrases to exchange in any question.
Knows nothing of tokens or training.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.stand_in.training.templates import Entry, Slots, Template, parse

CORPUS = Path(__file__).parent / "corpus"
SLOTS, SYNONYMS, MORE, HELD_OUT = "slots.toml", "synonyms.toml", "questions.toml", "held_out.toml"


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that people ask, how they ask it and what the model says to it."""

    id: str
    group: str
    ask: tuple[Template, ...]
    held: tuple[Template, ...]
    say: tuple[Template, ...]
    after: tuple[str, ...]
    first: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """All intents by id, the slots, and phrases with others of like meaning."""

    intents: Mapping[str, Intent]
    slots: Slots
    synonyms: Mapping[str, Sequence[str]]


@cache
def corpus() -> Corpus:
    """The whole corpus.

    Raises:
        ValueError: Names file and intent, for what is not in order.
    """
    intents: dict[str, Intent] = {}
    more, held = _read(MORE), _read(HELD_OUT)
    for path in sorted(CORPUS.glob("*.toml")):
        if path.name in (SLOTS, SYNONYMS, MORE, HELD_OUT):
            continue
        for key, table in _read(path.name).items():
            if key in intents:
                raise ValueError(f"{path.name}: the intent {key} is there twice.")
            try:
                table["ask"] += more.pop(key, "")
                intents[key] = _intent(key, path.stem, table | {"held": held.pop(key)})
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path.name}: the intent {key}: {error}") from error
    if more or held:
        raise ValueError(f"{MORE}, {HELD_OUT}: there are no intents {', '.join(more | held)}.")
    return Corpus(_resolved(intents), _slots(), _read(SYNONYMS))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((CORPUS / name).read_text("utf-8"))


def _lines(text: str) -> tuple[Template, ...]:
    return tuple(parse(line.strip()) for line in text.strip().splitlines())


def _intent(key: str, group: str, table: Mapping[str, Any]) -> Intent:
    unknown = set(table) - {"ask", "held", "say", "after", "first", "weight"}
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    return Intent(
        id=key,
        group=group,
        ask=_lines(table["ask"]),
        held=_lines(table["held"]),
        say=tuple(parse(text.strip()) for text in table["say"].strip().split("\n---\n")),
        after=tuple(table.get("after", ())),
        first=bool(table.get("first", False)),
        weight=float(table.get("weight", 1)),
    )


def _resolved(intents: Mapping[str, Intent]) -> dict[str, Intent]:
    """The intents with `group/*` in `after` replaced by the ids of that group's own openings."""
    resolved: dict[str, Intent] = {}
    for intent in intents.values():
        after: list[str] = []
        for name in intent.after:
            if name.endswith("/*"):
                group = [i.id for i in intents.values() if i.group == name[:-2] and not i.after]
                if not group:
                    raise ValueError(f"The intent {intent.id} follows {name}, which is empty.")
                after += group
            elif name in intents:
                after.append(name)
            else:
                raise ValueError(f"The intent {intent.id} follows {name}, which is not there.")
        resolved[intent.id] = Intent(
            intent.id, intent.group, intent.ask, intent.held, intent.say,
            tuple(after), intent.first, intent.weight,
        )  # fmt: skip
    return resolved


def _slots() -> dict[str, list[Entry]]:
    slots: dict[str, list[Entry]] = _read(SLOTS)
    small = range(1, 11)
    slots["sum"] = [(str(a), str(b), str(a + b)) for a in small for b in small]
    slots["difference"] = [(str(a), str(b), str(a - b)) for a in small for b in small if a >= b]
    slots["product"] = [(str(a), str(b), str(a * b)) for a in small for b in small]
    return slots
