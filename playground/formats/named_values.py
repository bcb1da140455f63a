"""Presets as names and values of one level: read and written by a vocabulary."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME, Sampler, parse_value
from playground.domain.validation import MAX_NEW_TOKENS
from playground.formats.values import Draft, Entry, Exported, LeftOut, Problem, Unreadable
from playground.formats.vocabulary import Vocabulary

# What greedy decoding makes pointless: it takes the likeliest token whatever these say.
NARROWING: Final = ("top_k", "top_p", "min_p")


def interpret(
    vocabulary: Vocabulary, entries: Iterable[Entry]
) -> tuple[Draft, list[LeftOut], list[str]]:
    """The preset that the entries describe, what of them was left out, and what to know.

    Raises:
        Unreadable: With every value that cannot be used.
    """
    parameters = vocabulary.parameters()
    values: dict[str, Any] = {}
    limit: int | None = None
    sampling: bool | None = None
    left_out: list[LeftOut] = []
    problems: list[Problem] = []
    for entry in entries:
        key, value, line = entry.key, entry.value, entry.line
        if parameter := parameters.get(key):
            if parameter.name in values:
                problems.append(Problem(f"{parameter.name} is given twice.", line, key))
                continue
            if parameter.name == "top_k" and value == -1:
                value = 0  # another way to keep all
            if parameter.skips(value):
                left_out.append(LeftOut(key, value, f"here it must {parameter.rule}", line=line))
                continue
            try:
                values[parameter.name] = parse_value(parameter, value, key)
            except InvalidRequest as error:
                problems.append(Problem(str(error), line, key))
        elif key in vocabulary.limits:
            if value is None or value == -1:
                continue
            if type(value) is not int or not 1 <= value <= MAX_NEW_TOKENS:
                reason = f"{key} must be a whole number from 1 to {MAX_NEW_TOKENS:,}."
                problems.append(Problem(reason, line, key))
            else:
                limit = value
        elif key == "do_sample" and vocabulary.switch:
            if not isinstance(value, bool | None):
                problems.append(Problem("do_sample must be true or false.", line, key))
            else:
                sampling = value
        else:
            left_out.append(_left_out(vocabulary, entry))
    if problems:
        raise Unreadable(problems)
    notes = _switch(values, sampling, left_out)
    notes += [note for name, note in vocabulary.meanings.items() if values.get(name)]
    sampler = Sampler(**{name: value for name, value in values.items() if value is not None})
    return Draft("", sampler, max_new_tokens=limit), left_out, notes


def _switch(values: dict[str, Any], sampling: bool | None, left_out: list[LeftOut]) -> list[str]:
    """do_sample in our words: greedy decoding is temperature 0."""
    if sampling is False:
        for name in ("temperature", *NARROWING):
            value = values.pop(name, None)
            if value is not None:
                reason = "do_sample is false, so it has no effect"
                left_out.append(LeftOut(name, value, reason, effect=False))
        values["temperature"] = 0.0
        return ["do_sample false is greedy decoding: temperature 0 here."]
    if sampling and not any(values.get(n) is not None for n in ("temperature", *NARROWING)):
        values["temperature"] = 1.0
        return ["do_sample true and no temperature is sampling at temperature 1."]
    return []


def _left_out(vocabulary: Vocabulary, entry: Entry) -> LeftOut:
    key, value = entry.key, entry.value
    if key in vocabulary.other:
        return LeftOut(key, value, vocabulary.other[key], effect=False, line=entry.line)
    if key in vocabulary.foreign:
        if value is None or value == vocabulary.foreign[key]:
            reason = "it has no effect at this value"
            return LeftOut(key, value, reason, effect=False, line=entry.line)
        reason = "none of the seven parameters can express it"
        return LeftOut(key, value, reason, line=entry.line)
    reason = "this format has no such name"
    if near := difflib.get_close_matches(key, vocabulary.known(), 1, 0.75):
        reason += f"; is {near[0]} meant?"
    return LeftOut(key, value, reason, line=entry.line)


def describe(vocabulary: Vocabulary, draft: Draft) -> dict[str, object]:
    """A preset in the names of a format, without what it cannot express."""
    written: dict[str, object] = {}
    greedy = draft.sampler.temperature == 0 and vocabulary.switch
    for parameter, value in draft.sampler:
        name = parameter.names.get(vocabulary.id)
        if value is None or name is None:
            continue
        if greedy and parameter.name in ("temperature", *NARROWING):
            continue
        written[name] = value
    if vocabulary.switch and (greedy or _samples(draft.sampler)):
        written["do_sample"] = not greedy
    if draft.max_new_tokens is not None and vocabulary.limits:
        written[vocabulary.limits[0]] = draft.max_new_tokens
    return {**written, **vocabulary.extras}


def _samples(sampler: Sampler) -> bool:
    return any(getattr(sampler, name) is not None for name in ("temperature", *NARROWING))


def losses(vocabulary: Vocabulary, drafts: Sequence[Draft]) -> Exported:
    """An export without its text: what the format cannot express, and what to know about it."""
    left_out = []
    notes = []
    unset: dict[str, float] = {}
    for draft in drafts:
        for name, value in draft.sampler.set_values().items():
            if vocabulary.id not in BY_NAME[name].names:
                neutral = value == BY_NAME[name].neutral
                reason = f"this format has no {name}"
                left_out.append(LeftOut(name, value, reason, effect=not neutral))
            elif draft.sampler.temperature == 0 and vocabulary.switch and name in NARROWING:
                reason = "greedy decoding takes the likeliest token whatever it says"
                left_out.append(LeftOut(name, value, reason, effect=False))
        if draft.max_new_tokens is not None and not vocabulary.limits:
            reason = "this format has no limit of tokens"
            left_out.append(LeftOut("max_new_tokens", draft.max_new_tokens, reason))
        unset |= {
            name: default
            for name, default in vocabulary.defaults.items()
            if getattr(draft.sampler, name) is None
        }
    if unset:
        notes.append(
            f"Unset does not mean off there: where nothing is named, it takes {_listed(unset)}."
        )
    notes += [
        note
        for name, note in vocabulary.meanings.items()
        if any(getattr(draft.sampler, name) for draft in drafts)
    ]
    return Exported("", vocabulary.suffix, tuple(left_out), (*notes, *vocabulary.notes))


def _listed(values: Mapping[str, float]) -> str:
    *first, last = [f"{name} {value:g}" for name, value in values.items()]
    return f"{', '.join(first)} and {last}" if first else last
