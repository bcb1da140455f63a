"""GGUF files: the header alone, or with weights of zeros."""

import struct
from collections.abc import Mapping

_TEXT, _NUMBER = 8, 4


def gguf(
    values: Mapping[str, str | int] | None = None,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
    *,
    architecture: str = "llama",
) -> bytes:
    """A file of version 3; the weights are 32-bit numbers, all zero."""
    said: dict[str, str | int] = {"general.architecture": architecture, **(values or {})}
    shapes = tensors if tensors is not None else {"token_embd.weight": (64, 100)}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(said))
    for key, value in said.items():
        out += _text(key)
        if isinstance(value, str):
            out += struct.pack("<I", _TEXT) + _text(value)
        else:
            out += struct.pack("<II", _NUMBER, value)
    at = 0
    for name, shape in shapes.items():
        out += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        out += struct.pack("<IQ", 0, at)
        length = 4
        for each in shape:
            length *= each
        at += -(-length // 32) * 32
    return out + b"\0" * (-len(out) % 32) + b"\0" * at


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
