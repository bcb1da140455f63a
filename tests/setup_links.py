"""A set-up as a link's text."""

import re
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from playground.sharing.setup import NONE, OWN, UNSET, VERSION, Column, Setup

_PLAIN: Final = 1e-6  # from here on, browsers write a number without an exponent


def format_link(setup: Setup) -> str:
    """The link's text, without ``#``. It may be too long to be read again."""
    engines = any(column.engine is not None for column in setup.columns)
    off = not all(column.emulate for column in setup.columns)
    version = VERSION if off else 2 if engines else 1
    parts = [f"setup={version}", f"tab={setup.tab}"]
    parts += [f"column={_format_column(column)}" for column in setup.columns]
    if setup.seed is not None:
        parts.append(f"seed={setup.seed}")
    if setup.own_seeds:
        parts.append("own-seeds")
    parts += [f"stop={_encoded(stop)}" for stop in setup.stop]
    if setup.system:
        parts.append(f"system={_encoded(setup.system)}")
    if setup.difference != "first":
        parts.append(f"difference={setup.difference}")
    if setup.against:
        parts.append(f"against={setup.against + 1}")
    if setup.blind:
        parts.append("blind")
    if setup.prompt:
        parts.append(f"prompt={_encoded(setup.prompt)}")
    return "&".join([*parts, "end"])


def _encoded(text: str) -> str:
    """As the page encodes: a text's own %41 never looks like one that was encoded twice."""
    return re.sub(
        "%25([0-9A-Fa-f])(?=[0-9A-Fa-f])",
        lambda found: f"%25%{ord(found[1]):X}",
        quote(text, safe="-_."),
    )


def _format_column(column: Column) -> str:
    match column.kind:
        case "none":
            parts = [NONE]
        case "own":
            parts = [OWN + _encoded(column.name)]
        case "server":
            parts = [column.name]
    before, after = column.started, column.values
    pairs = [
        *((p.name, getattr(before.sampler, p.name), value) for p, value in after.sampler),
        ("max", before.max_new_tokens, after.max_new_tokens),
    ]
    for name, was, value in pairs:
        if was is not None or value is not None:
            edited = "" if was == value else f":{_number(value)}"
            parts.append(f"{name}:{_number(was)}{edited}")
    if column.seed is not None:
        parts.append(f"seed:{column.seed}")
    if column.engine is not None:
        parts.append(f"engine:{column.engine}")
    if not column.emulate:
        parts.append("emulate:off")
    return ",".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return UNSET
    if value == int(value):
        return str(int(value))
    if abs(value) >= _PLAIN:
        return f"{Decimal(repr(value)):f}"
    return repr(value).replace("e-0", "e-")
