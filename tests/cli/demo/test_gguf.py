"""What a GGUF file says of itself, and what is no such file."""

import os
import struct
import threading
from pathlib import Path

import pytest

from playground.cli.demo.errors import ModelError
from playground.cli.demo.gguf import Header, read_header
from playground.cli.demo.room import Layout, lay_out
from playground.cli.demo.sources import find_model
from tests.gguf import gguf

MISTRAL: dict[str, str | int] = {
    "general.name": "Contextual KTO Mistral PairRM",
    "general.file_type": 15,
    "llama.context_length": 32768,
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
}


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def header(key: str, kind: int, value: bytes) -> bytes:
    """A file without weights, and one value of it."""

    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words)) + words.encode()

    said = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    said += text(key) + struct.pack("<I", kind) + value
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + said + bytes(64)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as refusal:
        read_header(path)
    return str(refusal.value)


def test_a_header_is_read(tmp_path: Path) -> None:
    assert read_header(written(tmp_path, gguf(MISTRAL))) == Header(
        architecture="llama",
        name="Contextual KTO Mistral PairRM",
        quantisation="Q4_K_M",
        context=32768,
        bytes_per_token=131072,  # two vectors of 8 heads of 128 numbers of 2 bytes, in 32 layers
    )


def test_the_model_that_comes_along_is_read() -> None:
    path = find_model(None).fetch(lambda *_: None, threading.Event())
    header = read_header(path)
    assert (header.architecture, header.quantisation, header.context) == ("llama", "Q4_1", 8192)
    assert header.bytes_per_token == 2 * 2 * 30 * 3 * 64


def test_what_is_no_gguf_is_said(tmp_path: Path) -> None:
    for content in (b"", b"GG", b"PK\x03\x04 a zip file", b"\x80\x02pickled"):
        message = refused(written(tmp_path, content))
        assert "is no GGUF file" in message
    assert refused(tmp_path / "none.gguf").endswith(
        "none.gguf cannot be read: No such file or directory."
    )


def test_a_file_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    whole = gguf(MISTRAL)
    for length in (*range(4, len(whole) - 25_600, 7), len(whole) - 25_600, len(whole) - 1):
        message = refused(written(tmp_path, whole[:length]))
        if length < len(whole) - 26_000:
            assert "damaged or cut" in message or "The file is cut" in message
    assert f"has {len(whole) - 1:,} of {len(whole):,} bytes" in message
    read_header(written(tmp_path, whole))


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63) + b"key",
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 3) + b"key" + struct.pack("<I", 99),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 3) + b"key" + struct.pack("<IIQ", 9, 8, 2**62),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 3) + b"key" + struct.pack("<IIQ", 9, 9, 1),
        gguf({"general.alignment": 0}),
        gguf({"llama.context_length": "many"}),
        header("llama.context_length", 5, struct.pack("<i", -5)),
        header("llama.context_length", 6, struct.pack("<f", 100.5)),
        header("llama.context_length", 7, b"\1"),
        header("llama.block_count", 9, struct.pack("<IQf", 6, 1, 2.5)),
        header("llama.block_count", 9, struct.pack("<IQi", 5, 1, -1)),
        header("general.alignment", 5, struct.pack("<i", -32)),
        header("general.alignment", 6, struct.pack("<f", 0.5)),
    ],
    ids=range(17),
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "does not hold together" in refused(written(tmp_path, content))


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited for, for ever."""
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(ModelError, match="is no file"):
            read_header(path)
    with pytest.raises(ModelError, match="is no file"):
        find_model(str(pipe))


@pytest.mark.parametrize("given", ["a\0.gguf", "a" * 5000 + ".gguf", "~nouser/x.gguf", "~nouser"])
def test_a_path_that_cannot_be_is_said(given: str) -> None:
    with pytest.raises(ModelError, match=r"NUL|too long|home directory"):
        find_model(given)


def test_the_context_is_as_large_as_memory_allows() -> None:
    header = Header("llama", "", "Q4_K_M", 32768, 131072)
    gib = 2**30

    def layout(free: int | None, known: Header = header) -> Layout:
        return lay_out(known, 4_370_000_000, "The model", free)

    assert layout(None) == layout(32 * gib) == Layout(4, 8192)
    assert layout(8 * gib) == Layout(4, 4096)
    assert layout(6 * gib) == Layout(2, 4096)
    assert layout(5 * gib) == Layout(2, 2048)
    assert layout(32 * gib, Header("llama", "", "", 2048, 131072)) == Layout(4, 2048)
    with pytest.raises(ModelError) as refusal:
        layout(4 * gib)
    assert "it takes 4.94 GB with the smallest context, and 4.29 GB are free" in str(refusal.value)
