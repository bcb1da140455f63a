"""Presets as names and values of one level: read and written by a vocabulary."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME, Parameter, Sampler, parse_value
from playground.domain.validation import MAX_NEW_TOKENS
from playground.formats.values import Draft, Entry, Exported, LeftOut, Problem, Unreadable
from playground.formats.vocabulary import PARTS, REQUEST, SHAPING, Vocabulary

# What greedy decoding makes pointless: it takes the likeliest token whatever these say.
NARROWING: Final = ("top_k", "top_p", "min_p")
# Whose messages are no part of what was said but hold for all of it.
SYSTEM_ROLES: Final = ("system", "developer")
_LONGEST_NAME: Final = 60
# How a request, and llama.cpp's server, say that no seed was chosen.
_ANY_SEED: Final = (-1, 2**32 - 1)
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})


def interpret(
    vocabulary: Vocabulary, entries: Sequence[Entry]
) -> tuple[Draft, list[LeftOut], list[str]]:
    """The preset that the entries describe, what of them was left out, and what to know.

    A value that cannot be used is left out, and the others stay. Of two for one parameter the last
    one counts, of two limits the smaller.

    Raises:
        Unreadable: There is nothing in it that can be used.
    """
    parameters = vocabulary.parameters()
    known = vocabulary.known()
    named = [replace(entry, key=_known_name(entry.key, known)) for entry in entries]
    given: dict[str, Entry] = {}
    limits: list[Entry] = []
    sampling: bool | None = None
    left_out: list[LeftOut] = []
    unusable: list[Problem] = []
    rest: list[Entry] = []
    nearly: list[str] = []
    understood = False
    for entry in named:
        key, value, line = entry.key, entry.value, entry.line
        reason = None
        if parameter := parameters.get(key):
            if parameter.name == "top_k" and value == -1:
                value = 0  # another way to keep all
            if parameter.skips(value):
                nearly.append(taken_as_0(key, value))
                value = 0
            if reason := refusal(parameter, value):
                unusable.append(Problem(f"{parameter.name}: {reason}.", line, key))
            else:
                if parameter.name in given:
                    left_out.append(superseded(given[parameter.name]))
                given[parameter.name] = Entry(key, parse_value(parameter, value, key), line)
                understood = True
        elif key in vocabulary.limits:
            if value is None or (type(value) is int and value < 0):
                understood = True  # without a limit
            elif type(value) is not int or not 1 <= value <= MAX_NEW_TOKENS:
                reason = f"here it must be a whole number from 1 to {MAX_NEW_TOKENS:,}"
                unusable.append(Problem(f"{key}: {reason}.", line, key))
            else:
                limits.append(entry)
        elif key == "do_sample" and vocabulary.switch:
            if isinstance(value, bool | None):
                sampling = value
            else:
                reason = "it must be true or false"
                unusable.append(Problem(f"{key}: {reason}.", line, key))
        else:
            rest.append(entry)
        if reason:
            left_out.append(LeftOut(key, value, reason, line=line))
    values: dict[str, Any] = {name: entry.value for name, entry in given.items()}
    off = _off(vocabulary, rest, values)
    for entry in rest:
        texts, others = _system_texts(entry)
        left_out += texts
        if others is not None:
            left_out.append(_left_out(vocabulary, others, known, off))
    limit = min(limits, key=lambda each: each.value) if limits else None  # type: ignore[arg-type, return-value]  # ints
    left_out += [
        LeftOut(
            each.key, each.value, f"{limit.key} {limit.value} is the limit that is taken",
            effect=False, line=each.line,
        )
        for each in limits
        if limit and each is not limit
    ]  # fmt: skip
    notes = nearly + _switch(values, sampling, left_out, {each.key: each.value for each in rest})
    if not understood and not limits and not values:
        nothing = Problem(
            "There is none of the seven parameters in this, nor a limit of tokens.", 1
        )
        raise Unreadable(unusable or [nothing])
    if not values and not limits:
        reason = "what it says about sampling is nothing that the seven parameters can express"
        if any(each.effect for each in left_out) and any(
            e.value is not None for e in given.values()
        ):
            raise Unreadable([Problem(f"There is no preset in this: {reason}.", 1)])
    if not limits and not any(value is not None for value in values.values()):
        notes.append("Every parameter is unset in this text.")
    notes += [note for name, note in vocabulary.meanings.items() if values.get(name)]
    if len(limits) > 1:
        notes.append(f"There are {len(limits)} limits of tokens in this; the smallest is taken.")
    notes += _implied(vocabulary, values, sampling)
    sampler = Sampler(**{name: value for name, value in values.items() if value is not None})
    return Draft("", sampler, max_new_tokens=limit and limit.value), left_out, notes  # type: ignore[arg-type]  # an int


def refusal(parameter: Parameter, value: object) -> str | None:
    """Why a parameter cannot have a value; None for one that it can have."""
    try:
        parse_value(parameter, value, parameter.name)
    except InvalidRequest:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "it is no number"
        if parameter.integer and value != value // 1:
            return "here it must be a whole number"
        return f"here it must {parameter.rule}"
    return None


def taken_as_0(name: str, value: float) -> str:
    """What is said of a value that other programs take and that is meant as 0."""
    return f"{name} {value:g} is taken as 0, as which it is meant: the likeliest token each time."


def superseded(entry: Entry) -> LeftOut:
    """What a later value took the place of."""
    return LeftOut(
        entry.key, entry.value, "it is given twice, and the last one counts", line=entry.line
    )


def _known_name(key: str, known: Collection[str]) -> str:
    """A name as the format writes it, where a person wrote it in capitals or with hyphens."""
    if key in known or len(key) > _LONGEST_NAME:
        return key
    plain = key.strip().lower().replace("-", "_").replace(" ", "_")
    return plain if plain in known else key


def _off(
    vocabulary: Vocabulary, rest: Iterable[Entry], values: Mapping[str, object]
) -> frozenset[str]:
    """The names of values that do nothing since what they belong to is off."""
    on = {
        each.key
        for each in rest
        if each.key in vocabulary.foreign and not _neutral(vocabulary, each)
    }
    on |= {
        name
        for name, parameter in vocabulary.parameters().items()
        if values.get(parameter.name) not in (None, parameter.neutral)
    }
    return frozenset(name for name, masters in PARTS.items() if not on.intersection(masters))


def _neutral(vocabulary: Vocabulary, entry: Entry) -> bool:
    neutral = vocabulary.foreign[entry.key]
    if entry.value in _EMPTY:
        return True
    return entry.value in neutral if isinstance(neutral, tuple) else entry.value == neutral


def _switch(
    values: dict[str, Any],
    sampling: bool | None,
    left_out: list[LeftOut],
    rest: Mapping[str, object],
) -> list[str]:
    """do_sample in our words: greedy decoding is temperature 0."""
    if sampling is False:
        alpha, beams = rest.get("penalty_alpha"), rest.get("num_beams")
        top_k = values.get("top_k")
        contrastive = isinstance(alpha, int | float) and alpha > 0 and top_k != 1
        search = isinstance(beams, int) and beams > 1
        for name in ("temperature", *NARROWING):
            value = values.pop(name, None)
            if value is not None:
                used = contrastive and name == "top_k"
                reason = (
                    "it belongs to contrastive search"
                    if used
                    else "do_sample is false, so it has no effect"
                )
                left_out.append(LeftOut(name, value, reason, effect=used))
        if contrastive:
            return [f"penalty_alpha {alpha:g} is contrastive search, which is not expressed here."]
        if search:
            return [f"num_beams {beams} is beam search, which is not expressed here."]
        left_out[:] = [
            replace(each, effect=False, reason="do_sample is false, so it has no effect")
            if each.name in ("temperature", "temp", *NARROWING)
            else each
            for each in left_out
        ]
        values["temperature"] = 0.0
        return ["do_sample false is greedy decoding: temperature 0 here."]
    if sampling and not any(values.get(n) is not None for n in ("temperature", *NARROWING)):
        values["temperature"] = 1.0
        return ["do_sample true and no temperature is sampling at temperature 1."]
    return []


def _implied(
    vocabulary: Vocabulary, values: Mapping[str, object], sampling: bool | None
) -> list[str]:
    """What the program itself takes where a text names nothing, which the preset leaves unset."""
    if values.get("temperature") == 0:
        return []
    notes = []
    if vocabulary.greedy and sampling is None and _samples(values):
        notes.append(
            f"do_sample is not named: {vocabulary.program} then decodes greedily, without "
            "temperature, top_k, top_p and min_p. The preset has them."
        )
    unset = {
        name: default for name, default in vocabulary.defaults.items() if values.get(name) is None
    }
    if unset and values:
        notes.append(
            f"Not named here, so unset in the preset: {vocabulary.program} itself takes "
            f"{_listed(unset)}."
        )
    return notes


def _left_out(
    vocabulary: Vocabulary, entry: Entry, known: Set[str], off: Collection[str]
) -> LeftOut:
    key, value = entry.key, entry.value
    if key in vocabulary.other:
        reason = vocabulary.other[key]
        effect = reason in SHAPING and value not in (*_EMPTY, *_ANY_SEED, False)
        return LeftOut(key, value, reason, effect=effect, line=entry.line)
    if key in vocabulary.foreign:
        if _neutral(vocabulary, entry):
            reason = "it has no effect at this value"
            return LeftOut(key, value, reason, effect=False, line=entry.line)
        if key in off:
            reason = "what it belongs to is off"
            return LeftOut(key, value, reason, effect=False, line=entry.line)
        reason = "none of the seven parameters can express it"
        return LeftOut(key, value, reason, line=entry.line)
    reason = "this format has no such name"
    effect = value not in _EMPTY
    meant: Iterable[str] = known
    if (
        vocabulary.rest
    ):  # what is no sampler resembles none, except for the names of a letter or two
        meant = [name for name in known - vocabulary.other.keys() if len(name) > 5]
    if near := difflib.get_close_matches(key[:_LONGEST_NAME], meant, 1, 0.75):
        reason += f"; is {near[0]} meant?"
    elif vocabulary.rest:
        return LeftOut(key, value, vocabulary.rest, effect=False, line=entry.line)
    return LeftOut(key, value, reason, effect, line=entry.line)


def _system_texts(entry: Entry) -> tuple[list[LeftOut], Entry | None]:
    """The texts among messages that the panel has a field for, and the entry without them.

    They shape every answer. Where the entry holds nothing else there is none.
    """
    messages: list[Any] = entry.value if isinstance(entry.value, list) else [entry.value]
    found: list[LeftOut] = []
    others: list[Any] = []
    for each in messages:
        text = ""
        if isinstance(each, dict) and each.get("role") in SYSTEM_ROLES:
            content = each.get("content")
            parts = content if isinstance(content, list) else [content]
            texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
            text = "".join(text for text in texts if isinstance(text, str)).strip()
        if text:
            found.append(LeftOut(f"{each['role']} message", text, REQUEST, line=entry.line))
        else:
            others.append(each)
    if not found:
        return [], entry
    return found, replace(entry, value=others) if others else None


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
    if vocabulary.switch and (greedy or _samples(draft.sampler.set_values())):
        written["do_sample"] = not greedy
    if draft.max_new_tokens is not None and vocabulary.limits:
        written[vocabulary.limits[0]] = draft.max_new_tokens
    return {**written, **vocabulary.extras}


def _samples(values: Mapping[str, object]) -> bool:
    return any(values.get(name) is not None for name in ("temperature", *NARROWING))


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
