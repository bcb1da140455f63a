"""Values as serde_json names them in its errors."""

from decimal import Decimal


def number_words(value: float) -> str:
    """A number as serde_json writes it: of a float always one part of it."""
    if isinstance(value, int):
        return f"integer `{value}`"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits)).rstrip("0") or "0"
    point = len(digits) + exponent if value else 1
    if point > 16 or point <= -5:
        mantissa = written[0] + ("." + written[1:] if written[1:] else "")
        text = f"{mantissa}e{point - 1}"
    elif point <= 0:
        text = "0." + "0" * -point + written
    else:
        text = f"{written[:point]:0<{point}}.{written[point:] or '0'}"
    return f"floating point `{'-' if sign else ''}{text}`"


def quoted(text: str) -> str:
    """A string as Rust shows it to be debugged."""
    return '"' + "".join(map(_shown, text)) + '"'


def _shown(letter: str) -> str:
    if letter in _SHORT:
        return _SHORT[letter]
    return letter if letter.isprintable() else f"\\u{{{ord(letter):x}}}"


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", '"': '\\"', "\\": "\\\\"}
