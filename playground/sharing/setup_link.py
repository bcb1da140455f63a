"""Set-up links: what stands after the ``#`` of a page's address.

    setup=1&tab=compare&column=alpacaeval,temperature:0.7:0.9,top_p:0.95,max:2048&column=…&end

`setup` stands first and is the version, `end` stands last, so that a link that was cut is noticed.
A column names its preset and the values that the preset had when the link was made; a second value
is what that one was edited to, and ``-`` is unset. Own presets, which live in one browser, are
``-own:`` and their name; ``-none`` is none. A column may name its engine (``engine:tgi``), which
the first version of links could not, and turn emulation off (``emulate:off``), which the second
could not. Every name and text is percent-encoded, so that the separators
``& = , :`` mean themselves. Nothing in a link is ignored, and nothing is guessed; what programs do
to addresses on their way is undone where it is certain what the link was (`_as_it_was`).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote, unquote_to_bytes

from playground.domain.errors import InvalidRequest
from playground.domain.names import plain_name
from playground.domain.samplers import BY_NAME, Parameter, Sampler, parse_value
from playground.formats.native import MAX_NAME_CHARS
from playground.generation.requests import MAX_PANES, MAX_STOP_CHARS, MAX_STOPS
from playground.sharing.setup import (
    DIFFERENCES,
    MAX_CHARS,
    MAX_SEED,
    NONE,
    OWN,
    TABS,
    UNSET,
    VERSION,
    Column,
    LinkError,
    Setup,
    Tab,
    Values,
)

_MAX_NEW_TOKENS: Final = 2**31 - 1
_NUMBER: Final = re.compile(r"-?\d{1,20}(\.\d{1,30})?(e[+-]?\d{1,3})?")
_WHOLE: Final = re.compile(r"\d{1,16}")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_ENGINE: Final = re.compile(r"[a-z0-9_-]{1,40}")
# The versions of links.
_ENGINES_SINCE: Final = 2
_EMULATION_SINCE: Final = 3
_OFF: Final = "off"


def parse_link(text: str) -> Setup:
    """What a link sets.

    Args:
        text: What stands after ``#``.

    Raises:
        LinkError: The link cannot be used; names the place in it.
    """
    text = _as_it_was(text.removeprefix("#"))
    head, _, rest = text.partition("&")
    version = _read_version(head)
    if len(text) > MAX_CHARS:
        raise LinkError(
            f"This link is longer than the {MAX_CHARS:,} characters that one may have. Send a "
            "snapshot instead, which may be longer.",
            field="link",
            kind="link_too_long",
        )
    *parts, last = rest.split("&")
    if last != "end":
        raise LinkError(
            "The end of this link is missing: it was cut on its way. Copy it as a whole.",
            field="end",
        )
    once, columns, stops = _sorted(parts)
    tab = _one_of(once, "tab", TABS, None)
    _check_keys(tab, once, columns, stops)
    own_seeds = "own-seeds" in once
    if own_seeds and "seed" in once:
        raise LinkError(
            "The link has one seed for all columns and one for each (own-seeds).", field="seed"
        )
    parsed = tuple(_parse_column(each, f"column[{i}]", version) for i, each in enumerate(columns))
    for i, column in enumerate(parsed):
        if column.seed is not None and not own_seeds:
            raise LinkError(
                f"The {_ORDINALS[i]} column has a seed of its own, and the link does not say "
                "own-seeds.",
                field=f"column[{i}].seed",
            )
    return Setup(
        tab=tab,
        columns=parsed,
        seed=_whole(once["seed"], "seed", 0, MAX_SEED) if "seed" in once else None,
        own_seeds=own_seeds,
        stop=tuple(_stop(each, f"stop[{i}]") for i, each in enumerate(stops)),
        system=_text(once.get("system"), "system"),
        difference=_one_of(once, "difference", DIFFERENCES, "first"),
        against=_whole(once["against"], "against", 1, len(parsed)) - 1 if "against" in once else 0,
        blind="blind" in once,
        prompt=_text(once.get("prompt"), "prompt"),
    )


_AGAIN: Final = re.compile(r"%25[0-9A-Fa-f]{2}")
_SEPARATORS: Final = re.compile(r"%(?:26|3D|2C|3A)", re.IGNORECASE)
_OF_COLUMNS: Final = re.compile(r"%(?:2C|3A)", re.IGNORECASE)
_BEHIND: Final = re.compile(r"(&end)(?:[^\w&=%]+|&.*)\Z", re.DOTALL)


def _as_it_was(text: str) -> str:
    """A link as it was before chat programs and the like changed it.

    They write ``&amp;`` for ``&``, encode the separators or all of it once more, and add what
    belongs to a sentence or to a count of clicks behind its end. No link of ours has a ``;``, one
    without ``&``, or one in which every ``%`` was encoded once more.
    """
    text = text.replace("&amp;", "&")
    again = text.count("%") == len(_AGAIN.findall(text)) > 0
    if "&" not in text and "%26" in text:
        others = _SEPARATORS.sub("", text)
        if others.count("%") == len(_AGAIN.findall(others)):
            text = unquote(text)  # all of it was encoded
        else:
            text = _SEPARATORS.sub(lambda found: unquote(found[0]), text)
    elif again:
        text = text.replace("%25", "%")
    return _BEHIND.sub(r"\1", text)


def _read_version(part: str) -> int:
    name, _, version = part.partition("=")
    if name != "setup" or not _WHOLE.fullmatch(version) or int(version) < 1:
        raise LinkError(
            "This is not a set-up link: it must begin with setup= and its version.", field="setup"
        )
    if int(version) > VERSION:
        raise LinkError(
            f"This link was made by a newer playground (version {int(version)} of links; this one "
            f"reads version {VERSION}). Ask whoever runs this server for an update.",
            field="setup",
            kind="link_too_new",
        )
    return int(version)


_FLAGS: Final = ("own-seeds", "blind")
_EVERYWHERE: Final = frozenset({"tab"})
_OF_CHAT: Final = frozenset({"tab", "seed", "system", "prompt"})
_OF_COMPARE: Final = _OF_CHAT | {"own-seeds", "blind", "difference", "against"}


def _sorted(parts: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The parts that stand once, by name, the columns and the stop sequences."""
    once: dict[str, str] = {}
    several: dict[str, list[str]] = {"column": [], "stop": []}
    for part in parts:
        name, equals, value = part.partition("=")
        if name in several and equals:
            several[name].append(value)
            continue
        if name not in _OF_COMPARE or bool(equals) == (name in _FLAGS):
            raise LinkError(
                f"{_shortened(part) or 'An empty part'} is not known in a set-up link.",
                field=_shortened(name) or "link",
            )
        if name in once:
            raise LinkError(f"{_said(name)} stands twice in this link.", field=name)
        once[name] = value
    return once, several["column"], several["stop"]


def _check_keys(
    tab: Tab, once: Mapping[str, str], columns: Sequence[str], stops: Sequence[str]
) -> None:
    fewest, most, known = 0, 0, _EVERYWHERE
    if tab == "chat":
        fewest, most, known = 1, 1, _OF_CHAT
    elif tab == "compare":
        fewest, most, known = 2, MAX_PANES, _OF_COMPARE
    if unknown := once.keys() - known:
        name = min(unknown)
        raise LinkError(f"The tab {tab} has no {_NAMES.get(name, name)}.", field=name)
    if not fewest <= len(columns) <= most:
        wanted = str(most) if fewest == most else f"{fewest} to {most}"
        raise LinkError(
            f"The tab {tab} has {wanted} column{'' if wanted == '1' else 's'}, and this link "
            f"{len(columns)}.",
            field="column",
        )
    if len(stops) > (MAX_STOPS if columns else 0):
        raise LinkError(
            f"There can be at most {MAX_STOPS if columns else 0} stop sequences.", field="stop"
        )


def _one_of(once: Mapping[str, str], name: str, known: Sequence[Any], default: Any) -> Any:
    value = once.get(name, default)
    if value not in known:
        wrong = f", not {_shortened(value)}" if value else ", and is missing"
        raise LinkError(f"{_said(name)} must be one of {', '.join(known)}{wrong}.", field=name)
    return value


def _parse_column(text: str, field: str, version: int) -> Column:
    if "," not in text and ":" not in text:  # these two were encoded on the way
        text = _OF_COLUMNS.sub(lambda found: unquote(found[0]), text)
    head, *parts = text.split(",")
    kind: Literal["server", "own", "none"] = "server"
    name = head
    if head == NONE:
        kind, name = "none", ""
    elif head.startswith(OWN):
        kind, name = "own", plain_name(_text(head.removeprefix(OWN), field))
        if not 1 <= len(name) <= MAX_NAME_CHARS:
            raise LinkError(
                f"The name of a preset has 1 to {MAX_NAME_CHARS} characters.", field=field
            )
    elif not _ID.fullmatch(head):
        raise LinkError(f"{_shortened(head)} is not the id of a preset.", field=field)
    started: dict[str, float | None] = {}
    values: dict[str, float | None] = {}
    seed = engine = None
    emulate = True
    for part in parts:
        key, *texts = part.split(":")
        at = f"{field}.{_shortened(key)}"
        if (
            key in values
            or (key == "seed" and seed is not None)
            or (key == "engine" and engine is not None)
            or (key == "emulate" and not emulate)
        ):
            raise LinkError(f"{_said(at)} stands twice.", field=at)
        if key == "seed" and len(texts) == 1:
            seed = _whole(texts[0], at, 0, MAX_SEED)
            continue
        if key == "engine" and len(texts) == 1 and version >= _ENGINES_SINCE:
            engine = _engine(texts[0], at)
            continue
        if key == "emulate" and version >= _EMULATION_SINCE:
            if texts != [_OFF]:
                raise LinkError(f"{_said(at)} says {_OFF}, or is not there.", field=at)
            emulate = False
            continue
        read = _reader(key, at)
        if not 1 <= len(texts) <= 2:
            raise LinkError(
                f"{_said(at)} must have the preset's value, and another one where it was edited.",
                field=at,
            )
        started[key], *after = (read(each) for each in texts)
        values[key] = after[0] if after else started[key]
    if kind == "none" and any(value is not None for value in started.values()):
        raise LinkError(
            f"{_said(field)} has no preset ({NONE}), and so no values but edited ones.",
            field=field,
        )
    return Column(kind, name, _values(started), _values(values), seed, engine, emulate)


def _engine(text: str, field: str) -> str:
    if not _ENGINE.fullmatch(text):
        raise LinkError(f"{_shortened(text)} is not the id of an engine.", field=field)
    return text


def _values(values: Mapping[str, Any]) -> Values:
    return Values(Sampler(**{k: v for k, v in values.items() if k != "max"}), values.get("max"))


def _reader(key: str, field: str) -> Callable[[str], float | None]:
    if key == "max":
        return lambda text: None if text == UNSET else _whole(text, field, 1, _MAX_NEW_TOKENS)
    parameter = BY_NAME.get(key)
    if parameter is None:
        raise LinkError(
            f"{_shortened(key)} is not a sampler parameter; there are {', '.join(BY_NAME)}, and "
            "max, seed, engine and emulate.",
            field=field,
        )
    return lambda text: _value(text, parameter, field)


def _value(text: str, parameter: Parameter, field: str) -> float | None:
    if text == UNSET:
        return None
    if not _NUMBER.fullmatch(text):
        raise LinkError(
            f"{_said(field)} must be a number, or {UNSET} for unset, not {_shortened(text)}.",
            field=field,
        )
    value = float(text)
    try:
        if not math.isfinite(value):
            raise InvalidRequest(f"{parameter.name} is too large.", field=field)
        return parse_value(parameter, value, field)
    except InvalidRequest as error:
        words = str(error).removeprefix(parameter.name)
        raise LinkError(f"{_said(field)}{words}", field=field) from error


def _whole(text: str, field: str, minimum: int, maximum: int) -> int:
    if not _WHOLE.fullmatch(text) or not minimum <= int(text) <= maximum:
        raise LinkError(
            f"{_said(field)} must be a whole number from {minimum} to {maximum:,}, not "
            f"{_shortened(text)}.",
            field=field,
        )
    return int(text)


def _text(encoded: str | None, field: str) -> str:
    if encoded is None:
        return ""
    try:
        if re.search("%(?![0-9A-Fa-f]{2})", encoded):
            raise ValueError
        text = unquote_to_bytes(encoded).decode()
    except ValueError as error:
        raise LinkError(
            f"{_said(field)} cannot be read: its percent-encoding was changed on the way.",
            field=field,
        ) from error
    if text != text.strip() and field in ("system", "prompt"):
        raise LinkError(f"{_said(field)} begins or ends with white space.", field=field)
    if not text or "\r" in text or "\0" in text:
        raise LinkError(
            f"{_said(field)} is empty or holds a character that a page has none of.", field=field
        )
    return text


def _stop(encoded: str, field: str) -> str:
    text = _text(encoded, field)
    if len(text) > MAX_STOP_CHARS or "\n" in text:
        raise LinkError(
            f"A stop sequence is one line of 1 to {MAX_STOP_CHARS} characters.", field=field
        )
    return text


_ORDINALS: Final = ("first", "second", "third", "fourth")
# What the page calls what a link has a short name for.
_NAMES: Final = {
    "system": "system text",
    "max": "limit of new tokens",
    "emulate": "emulation",
    "against": "column to compare with",
    "blind": "blind vote",
    "own-seeds": "seed for each column",
    "stop": "stop sequence",
}


def _said(field: str) -> str:
    """A place in a link as the page calls it, to begin a sentence with."""
    place, _, value = field.partition(".")
    name, _, number = place.partition("[")
    words = _NAMES.get(name, name)
    if number:
        words = f"{_ORDINALS[int(number[:-1])]} {words}"
    if value:
        words = f"{_NAMES.get(value, value)} of the {words}"
    return f"The {words}"


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
