r"""The little language of the corpus: text with choices in it.

    {a|b|c}      one of the alternatives, each as likely; they may nest and may be empty
    {animal}     an entry of the slot `animal`, drawn anew each time
    {~animal}    the same with Zipf weights, so that the first entries come often
    {~animal!}   the same, but mostly not one that the exchange has drawn this way before
    {animal#x}   drawn once for an exchange and kept under the name x: in a question and its answer
    {pair#x.1}   field 1 of an entry that is a list of fields
    \{ and \}    the braces themselves
An entry of a slot may itself be a template. Knows nothing of intents or tokens.
"""

import random
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

Entry = str | Sequence[str]
Slots = Mapping[str, Sequence[Entry]]
Bindings = MutableMapping[str, Entry]

REPEATS = 0.15  # so that a list sometimes repeats itself, and the penalties have work to do

_SLOT = re.compile(r"(~?)([a-z][a-z0-9_]*)(!?)(?:#([a-z0-9]+))?(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several templates."""

    alternatives: tuple["Template", ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A draw from a named list; `tag` keeps the draw, `field` picks from an entry of fields."""

    name: str
    zipf: bool
    new: bool
    tag: str
    field: int | None


Template = tuple[str | Choice | Slot, ...]


def parse(text: str) -> Template:
    """The template of a text.

    Raises:
        ValueError: Quoting the text, for an unbalanced brace.
    """
    template, end = _parse(text, 0, nested=False)
    if end != len(text):
        raise ValueError(f"A brace closes that was never opened, at {end} in {text!r}.")
    return template


def _parse(text: str, at: int, *, nested: bool) -> tuple[Template, int]:
    parts: list[str | Choice | Slot] = []
    literal = ""
    while at < len(text):
        here = text[at]
        if text[at : at + 2] in ("\\{", "\\}"):
            literal += text[at + 1]
            at += 2
            continue
        if here == "}" or (nested and here == "|"):
            break
        if here != "{":
            literal += here
            at += 1
            continue
        if literal:
            parts.append(literal)
            literal = ""
        part, at = _parse_braces(text, at + 1)
        parts.append(part)
    if literal:
        parts.append(literal)
    return tuple(parts), at


def _parse_braces(text: str, at: int) -> tuple[Choice | Slot, int]:
    slot = _SLOT.match(text, at)
    if slot and text[slot.end() : slot.end() + 1] == "}":
        zipf, name, new, tag, field = slot.groups()
        number = int(field) if field else None
        return Slot(name, bool(zipf), bool(new), tag or "", number), slot.end() + 1
    alternatives: list[Template] = []
    while True:
        template, at = _parse(text, at, nested=True)
        alternatives.append(template)
        if at >= len(text):
            raise ValueError(f"A brace is never closed in {text!r}.")
        at += 1
        if text[at - 1] == "}":
            return Choice(tuple(alternatives)), at


def expand(template: Template, slots: Slots, rng: random.Random, bindings: Bindings) -> str:
    """One text of a template. Draws that carry a tag are read from and kept in `bindings`.

    Raises:
        KeyError: For a slot that does not exist.
    """
    text = ""
    for part in template:
        if isinstance(part, str):
            text += part
        elif isinstance(part, Choice):
            text += expand(rng.choice(part.alternatives), slots, rng, bindings)
        else:
            text += _draw(part, slots, rng, bindings)
    return text


def _draw(slot: Slot, slots: Slots, rng: random.Random, bindings: Bindings) -> str:
    key = f"{slot.name}#{slot.tag}"
    if slot.tag and key in bindings:
        entry = bindings[key]
    else:
        entries = slots[slot.name]
        drawn = bindings.get(f"{slot.name}!", ())
        if slot.new and rng.random() > REPEATS:
            entries = [entry for entry in entries if entry not in drawn] or entries
        if slot.zipf:
            weights = [1 / (rank + 2) for rank in range(len(entries))]
            entry = rng.choices(entries, weights)[0]
        else:
            entry = rng.choice(entries)
        if slot.new:
            bindings[f"{slot.name}!"] = (*drawn, str(entry))
        if isinstance(entry, str):
            entry = expand(parse(entry), slots, rng, bindings)
        if slot.tag:
            bindings[key] = entry
    if isinstance(entry, str):
        return entry
    return entry[slot.field or 0]


def every(template: Template, slots: Slots) -> Iterator[str]:
    """All texts of a template, for questions (an answer would have too many)."""
    if not template:
        yield ""
        return
    first, rest = template[0], template[1:]
    heads: Iterator[str]
    if isinstance(first, str):
        heads = iter((first,))
    elif isinstance(first, Choice):
        heads = (text for choice in first.alternatives for text in every(choice, slots))
    else:
        heads = (text for entry in slots[first.name] for text in _every_entry(entry, first, slots))
    tails = tuple(every(rest, slots))
    for head in heads:
        for tail in tails:
            yield head + tail


def _every_entry(entry: Entry, slot: Slot, slots: Slots) -> Iterator[str]:
    if isinstance(entry, str):
        yield from every(parse(entry), slots)
    else:
        yield entry[slot.field or 0]
