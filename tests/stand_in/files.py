"""The files of a model in a folder, laid out as on the Hugging Face Hub."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUNDLED = Path(__file__).parent / "model"

# The graphs of an export, best first for a CPU: eight bits are the fastest and still good, four
# bits save memory, sixteen only disk. Each may lie in onnx/ or at the top.
GRAPHS = (
    "model_int8.onnx",
    "model_quantized.onnx",
    "model_uint8.onnx",
    "model_q8.onnx",
    "model.onnx",
    "model_q4.onnx",
    "model_bnb4.onnx",
    "model_fp16.onnx",
    "model_q4f16.onnx",
    "decoder_model_merged_quantized.onnx",
    "decoder_model_merged.onnx",
)


class NoModel(Exception):
    """The model cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Files:
    """A model on this disk.

    Attributes:
        graph: The .onnx file.
        tokenizer: The folder of tokenizer.json.
        sha: The commit on the Hub.
    """

    name: str
    graph: Path
    tokenizer: Path
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    sha: str | None = None


def choose_graph(names: Iterable[str]) -> str | None:
    """The best graph among the paths of a repository, ``None`` if there is none to choose."""
    found = set(names)
    for graph in GRAPHS:
        for path in (f"onnx/{graph}", graph):
            if path in found:
                return path
    return None


def external_data(graph: str, names: Sequence[str]) -> list[str]:
    """The files that hold a graph's weights beside it, such as model.onnx_data."""
    return sorted(
        name
        for name in names
        if name != graph and name.startswith((f"{graph}_data", f"{graph}.data"))
    )


def open_folder(folder: Path, name: str) -> Files:
    """The model of a folder, laid out as on the Hub.

    Raises:
        NoModel: The model cannot be had; the text says why and what to do.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx")]
    graph = choose_graph(names)
    if graph is None:
        raise NoModel(
            f"There is no ONNX graph in {folder}. Expected one of {', '.join(GRAPHS)}, "
            "there or in its folder onnx/."
        )
    return read_files(folder, graph, name)


def read_files(folder: Path, graph: str, name: str, sha: str | None = None) -> Files:
    """A model whose graph is known.

    Raises:
        NoModel: The model cannot be had; the text says why and what to do.
    """
    if not (folder / "tokenizer.json").is_file():
        raise NoModel(f"{name} has no tokenizer.json, and without one its text cannot be read.")
    tokenizer_config = dict(read_json(folder / "tokenizer_config.json"))
    template = folder / "chat_template.jinja"  # newer exports keep it in a file of its own
    if template.is_file():
        tokenizer_config["chat_template"] = template.read_text(encoding="utf-8")
    return Files(
        name=name,
        graph=folder / graph,
        tokenizer=folder,
        config=read_json(folder / "config.json"),
        tokenizer_config=tokenizer_config,
        generation_config=read_json(folder / "generation_config.json"),
        sha=sha,
    )


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object, {} where there is no such file.

    Raises:
        NoModel: For anything else.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NoModel(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise NoModel(f"{path} is not a JSON object.")
    return value
