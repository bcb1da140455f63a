"""What a GGUF file says of itself: its header is read, its weights are not.

The form is that of ggml's docs/gguf.md, versions 2 and 3, with the least significant byte first.
"""

import mmap
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playground.cli.demo.errors import ModelError
from playground.domain.amounts import size as in_words

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_STRING: Final = 8
_ARRAY: Final = 9
# How a value is stored, by its type's number.
_VALUES: Final[Mapping[int, str]] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
# More of either, and it is no header.
_MOST_VALUES: Final = 100_000
_MOST_TENSORS: Final = 1_000_000
_MOST_DIMENSIONS: Final = 4
_KEPT: Final = 256  # values of an array; those of a vocabulary are passed over

# Elements of a block of weights and its bytes, by the type's number (ggml.h, ggml-common.h).
_BLOCKS: Final[Mapping[int, tuple[int, int]]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip

# The quantisation as people write it, by `general.file_type` (llama.h).
_QUANTISATIONS: Final[Mapping[int, str]] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a model without its weights.

    Attributes:
        architecture: By which the runtime knows it, such as "llama".
        name: As its makers call it; "" where they do not.
        quantisation: Such as "Q4_K_M"; "" where it is not known.
        context: Tokens that it was trained for, 0 where it does not say.
        bytes_per_token: What a token of the context takes in memory, at 16 bits a value.
    """

    architecture: str
    name: str
    quantisation: str
    context: int
    bytes_per_token: int


def read_header(path: Path) -> Header:
    """The header of a file, which is whole as far as its length tells.

    Raises:
        ModelError: There is no such file, it is no GGUF, or it is cut.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe waits for whoever writes to it
            raise ModelError(f"{path} is no file. Give a GGUF file.")
        length = status.st_size
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ModelError(
                    f"{path} is no GGUF file: it does not begin with GGUF. llama.cpp reads models "
                    "in this form only; look for the model's name with GGUF on the Hub."
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                header, extent = _read(data)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except (struct.error, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # A header that ends in the middle, or that holds what cannot be.
        raise ModelError(
            f"{path} is damaged or cut: its header does not hold together, and it has "
            f"{in_words(length)}. Fetch it anew."
        ) from error
    if length < extent:
        raise ModelError(
            f"The file is cut: {path} has {length:,} of {extent:,} bytes. Fetch it anew."
        )
    return header


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def value(self, form: str) -> Any:
        found = struct.unpack_from(form, self._data, self.at)[0]
        self.at += struct.calcsize(form)
        return found

    def count(self, most: int) -> int:
        number = int(self.value("<Q"))
        if number > most:
            raise ValueError(f"{number} is more than there can be")
        return number

    def pass_text(self) -> None:
        length = self.count(len(self._data) - self.at)
        self.at += length

    def text(self) -> str:
        length = self.count(len(self._data) - self.at)
        self.at += length
        return self._data[self.at - length : self.at].decode("utf-8", "replace")

    def any(self, kind: int) -> Any:
        """A value of a kind; of a long array its first values."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.value(_VALUES[kind])
        of = self.value("<I")
        length = self.count(len(self._data) - self.at)
        if of == _ARRAY:
            raise ValueError("an array of arrays")
        kept = [self.any(of) for _ in range(min(length, _KEPT))]
        if of == _STRING:
            for _ in range(length - len(kept)):
                self.pass_text()
        else:
            self.at += (length - len(kept)) * struct.calcsize(_VALUES[of])
        return kept


def _read(data: mmap.mmap) -> tuple[Header, int]:
    """The header, and the bytes that a file with its tensors has."""
    reader = _Reader(data)
    reader.at = len(_MAGIC)
    if (version := reader.value("<I")) not in _VERSIONS:
        raise ValueError(f"version {version}")
    tensors, values = reader.count(_MOST_TENSORS), reader.count(_MOST_VALUES)
    said: dict[str, Any] = {}
    for _ in range(values):
        key = reader.text()
        said[key] = reader.any(reader.value("<I"))
    ends = [_tensor_end(reader) for _ in range(tensors)]
    alignment = said.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0:
        raise ValueError(f"an alignment of {alignment}")
    begin = -(-reader.at // alignment) * alignment
    return _header(said), begin + max(ends, default=0)


def _tensor_end(reader: _Reader) -> int:
    """Where the next tensor ends, counted from the first one's beginning."""
    reader.pass_text()
    dimensions = reader.value("<I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"{dimensions} dimensions")
    elements = 1
    for _ in range(dimensions):
        elements *= reader.value("<Q")
    kind, offset = reader.value("<I"), int(reader.value("<Q"))
    block, length = _BLOCKS.get(kind, (1, 0))  # of a newer type at least the beginning is known
    return offset + elements // block * length


def _header(said: Mapping[str, Any]) -> Header:
    architecture = str(said["general.architecture"])

    def number(name: str, default: int = 0) -> int:
        found = said.get(f"{architecture}.{name}", default)
        numbers = found if isinstance(found, list) else [found]  # or one for each layer
        if any(type(each) is not int or each < 0 for each in numbers):
            raise ValueError(f"{name} is {found}")
        return max(numbers, default=0)

    heads = max(1, number("attention.head_count"))
    length = number("embedding_length") // heads
    keys, values = (number(f"attention.{each}_length", length) for each in ("key", "value"))
    layers, kept = number("block_count"), number("attention.head_count_kv", heads)
    return Header(
        architecture=architecture,
        name=str(said.get("general.name", "")),
        quantisation=_QUANTISATIONS.get(said.get("general.file_type", -1), ""),
        context=number("context_length"),
        bytes_per_token=2 * layers * kept * (keys + values),
    )
