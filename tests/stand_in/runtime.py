"""A decoder graph in ONNX Runtime: what it wants, what it gives, and running it.

Runs the graphs that are exported for the Hugging Face Hub: ``input_ids`` in, ``logits`` out, keys
and values as ``past_key_values.N.key|value`` in and ``present.N.key|value`` out, each
[rows, heads, tokens, size]. Of the other inputs only those that the graph declares are fed. The
runtime knows nothing of text, requests or sampling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

# A long prompt is read in pieces, so that running answers need not wait for all of it, and so that
# the logits of a piece ([piece, vocabulary]) stay small. The pieces depend on the prompt alone.
PIECE = 256

KINDS: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
FED = frozenset(
    {"input_ids", "attention_mask", "position_ids", "use_cache_branch", "num_logits_to_keep"}
)


class UnsupportedGraph(Exception):
    """The graph is not a decoder that this runtime can run; the message says why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of keys or values. past and present are its names; shape is [heads, size]."""

    past: str
    present: str
    heads: int
    size: int
    kind: type[np.generic]


class Runtime:
    """A loaded graph. Not safe for threads: one thread runs it.

    Args:
        path: The .onnx file, its external data beside it.
        config: The model's config.json, asked for the sizes of keys and values where the graph
            itself leaves them open.

    Raises:
        UnsupportedGraph: When the file is no decoder with keys and values.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise UnsupportedGraph(f"ONNX Runtime cannot load {path.name}: {error}") from error
        inputs = {value.name: value for value in self.session.get_inputs()}
        outputs = {value.name: value for value in self.session.get_outputs()}
        self.slots = _slots(inputs, outputs, config)
        self.declared = frozenset(inputs) & FED
        self._check(inputs, outputs)
        size = outputs["logits"].shape[-1]
        self.vocabulary = size if isinstance(size, int) else int(config.get("vocab_size", 0))
        self.logits_kind = KINDS.get(outputs["logits"].type, np.float32)
        self.token_bytes = sum(
            slot.heads * slot.size * np.dtype(slot.kind).itemsize for slot in self.slots
        )

    def _check(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        if "logits" not in outputs or "input_ids" not in inputs:
            raise UnsupportedGraph(
                "The graph is no language model: it has no input_ids or gives no logits."
            )
        if any("encoder" in name for name in inputs):
            raise UnsupportedGraph(
                "The graph is the decoder of an encoder-decoder model (it asks for "
                "encoder_hidden_states); only decoder-only models can be served."
            )
        unknown = sorted(inputs.keys() - FED - {slot.past for slot in self.slots})
        if unknown:
            raise UnsupportedGraph(
                f"The graph asks for inputs that this server cannot give: {', '.join(unknown)}."
            )
        if not self.slots:
            raise UnsupportedGraph(
                "The graph has no past_key_values: it was exported without a cache. Export it "
                "with one (task text-generation-with-past)."
            )

    def feeds(
        self, tokens: NDArray[np.int64], mask: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """The inputs beside keys and values, those that the graph declares.

        Args:
            tokens: [rows, new].
            mask: [rows, past + new], 1 where a key may be seen.
            positions: [rows, new].
        """
        known = {
            "input_ids": tokens,
            "attention_mask": mask,
            "position_ids": positions,
            "use_cache_branch": np.array([mask.shape[1] > tokens.shape[1]]),
            "num_logits_to_keep": np.array(1, np.int64),
        }
        return {name: known[name] for name in self.declared}

    def empty(self) -> list[ort.OrtValue]:
        """Keys and values of one row that has read nothing yet, one a slot."""
        return [
            ort.OrtValue.ortvalue_from_numpy(np.zeros((1, slot.heads, 0, slot.size), slot.kind))
            for slot in self.slots
        ]

    def extend(
        self, past: Sequence[ort.OrtValue], tokens: Sequence[int]
    ) -> tuple[NDArray[Any], list[ort.OrtValue]]:
        """One row reads tokens behind its past, which stands there without holes.

        Gives the logits after the last token [vocabulary] and the keys and values of all.
        """
        before = past[0].shape()[2]
        count = len(tokens)
        feeds = self.feeds(
            np.array([tokens], np.int64),
            np.ones((1, before + count), np.int64),
            np.arange(before, before + count, dtype=np.int64)[None],
        )
        binding = self.session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for slot, held in zip(self.slots, past, strict=True):
            binding.bind_ortvalue_input(slot.past, held)
            binding.bind_output(slot.present)
        binding.bind_output("logits")
        self.session.run_with_iobinding(binding)
        *present, logits = binding.get_outputs()
        return logits.numpy()[0, -1], present


def _slots(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], config: Mapping[str, Any]
) -> list[Slot]:
    heads = config.get("num_key_value_heads") or config.get("num_attention_heads")
    size = config.get("head_dim")
    if not size and config.get("hidden_size") and config.get("num_attention_heads"):
        size = config["hidden_size"] // config["num_attention_heads"]
    presents = {
        name.replace("present_key_values", "present").replace("present", "past_key_values"): name
        for name in outputs
        if name.startswith("present")
    }
    slots = []
    for name, value in inputs.items():
        if not name.startswith("past_key_values"):
            continue
        if name not in presents:
            raise UnsupportedGraph(f"The graph reads {name} and gives nothing that continues it.")
        if value.type not in KINDS:
            raise UnsupportedGraph(f"The graph keeps {name} as {value.type}, not as floats.")
        shape = value.shape
        if len(shape) != 4:
            raise UnsupportedGraph(
                f"The graph keeps {name} as {shape}; [rows, heads, tokens, size] is needed."
            )
        own_heads = shape[1] if isinstance(shape[1], int) else heads
        own_size = shape[3] if isinstance(shape[3], int) else size
        if not own_heads or not own_size:
            raise UnsupportedGraph(
                f"Neither the graph nor config.json says how many heads {name} has."
            )
        slots.append(Slot(name, presents[name], own_heads, own_size, KINDS[value.type]))
    return slots
