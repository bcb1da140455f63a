"""The types that the fields of a request have, each a function that reads one from a body.

They are those of Rust that TGI's own structures have, and what they say of another type is serde's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from tests.stand_in.reading import Reader
from tests.stand_in.words import number_words

Kind = Callable[[Reader], Any]


def string(reader: Reader) -> str:
    """A string."""
    return reader.text() if reader.peek() == b'"' else reader.mistyped("a string")


def boolean(reader: Reader) -> bool:
    """true or false."""
    return bool(reader.ident()) if reader.peek() in (b"t", b"f") else reader.mistyped("a boolean")


def integer(name: str, low: int, end: int) -> Kind:
    """An integer from low up to end; `name` is Rust's."""

    def read(reader: Reader) -> int:
        found = reader.peek()
        if not found or found not in b"-0123456789":
            reader.mistyped(name)
        value = reader.number()
        if isinstance(value, float):
            reader.refuse(f"invalid type: {number_words(value)}, expected {name}", data=True)
        if not low <= value < end:
            reader.refuse(f"invalid value: {number_words(value)}, expected {name}", data=True)
        return value

    return read


def real(reader: Reader) -> float:
    """A number in 32 bits."""
    found = reader.peek()
    if not found or found not in b"-0123456789":
        reader.mistyped("f32")
    with np.errstate(over="ignore"):
        return float(np.float32(reader.number()))


def strings(reader: Reader) -> list[str]:
    """A list of strings."""
    if reader.peek() != b"[":
        reader.mistyped("a sequence")
    reader.at += 1
    found: list[str] = []
    if (following := reader.peek()) == b"]":
        reader.at += 1
        return found
    if not following:
        reader.refuse("EOF while parsing a list")
    while True:
        reader.path.append(f"[{len(found)}]")
        found.append(string(reader))
        reader.path.pop()
        if reader.close(b"]", "list"):
            return found
        if reader.peek() == b"]":
            reader.refuse("trailing comma", ahead=1)
        if not reader.peek():
            reader.refuse("EOF while parsing a value", ahead=1)


def optional(kind: Kind) -> Kind:
    """null, or a value of this type."""
    return lambda reader: reader.ident() if reader.peek() == b"n" else kind(reader)


def struct(name: str, fields: Mapping[str, Kind], required: str | None = None) -> Kind:
    """An object with these fields, and any others. Gives those that were there.

    Args:
        name: Rust's.
        fields: The type of each.
        required: The one that must not be missing.
    """

    def read(reader: Reader) -> dict[str, Any]:
        if reader.peek() != b"{":
            reader.mistyped(f"struct {name}")
        reader.at += 1
        values: dict[str, Any] = {}
        key = reader.key(first=True)
        while key is not None:
            if key in values:
                reader.peek()
                reader.refuse(f"duplicate field `{key}`", data=True)
            reader.colon()
            reader.path.append(f".{key}")
            if key in fields:
                values[key] = fields[key](reader)
            else:
                reader.skip()
            reader.path.pop()
            key = reader.key(first=False)
        if required is not None and required not in values:
            reader.refuse(f"missing field `{required}`", data=True)
        return values

    return read


def anything(reader: Reader) -> Any:
    """A value of any type."""
    reader.peek()
    begin = reader.at
    reader.skip()
    try:
        return orjson.loads(reader.body[begin : reader.at])
    except orjson.JSONDecodeError as error:  # in what may be passed over: half a character
        reader.refuse(str(error))


def tagged(name: str) -> Kind:
    """An object that says its own type. Gives that there is one, and looks no further."""

    def read(reader: Reader) -> bool:
        if reader.peek() != b"{":
            reader.mistyped(f"adjacently tagged enum {name}")
        reader.skip()
        return True

    return read
