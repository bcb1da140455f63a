"""Tiny ONNX graphs, written as protocol buffers by hand: no more of the format than tests need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, INT64 = 1, 7  # TensorProto.DataType
KINDS = {np.dtype(np.float32): FLOAT, np.dtype(np.int64): INT64}


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    """One field of a message: its number, and a number >= 0, a text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    return (
        b"".join(field(1, name) for name in inputs)
        + field(2, output)
        + field(4, kind)
        + b"".join(
            field(5, field(1, name) + field(3, value) + field(20, 2))
            for name, value in attributes.items()
        )
    )


def constant(name: str, value: NDArray[Any]) -> bytes:
    dimensions = b"".join(field(1, size) for size in value.shape)
    return dimensions + field(2, KINDS[value.dtype]) + field(8, name) + field(9, value.tobytes())


def value(name: str, kind: int, *sizes: str | int) -> bytes:
    """An input or output. A size is a number or the name of a free one."""
    shape = b"".join(
        field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in sizes
    )
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Sequence[bytes] = (),
) -> bytes:
    """The content of an .onnx file."""
    parts = ((1, nodes), (5, constants), (11, inputs), (12, outputs))
    graph = field(2, "graph") + b"".join(
        field(number, part) for number, group in parts for part in group
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))
