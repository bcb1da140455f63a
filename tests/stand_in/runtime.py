"""A decoder graph in ONNX Runtime: running it over the keys and values of what was read before.

``input_ids`` in, ``logits`` out, keys and values as ``past_key_values.N.key|value`` in and
``present.N.key|value`` out, each [rows, heads, tokens, size]. The runtime knows nothing of text,
requests or sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

# A long prompt is read in pieces, so that running answers need not wait for all of it, and so that
# the logits of a piece ([piece, vocabulary]) stay small. The pieces depend on the prompt alone.
PIECE = 256

FED = frozenset({"input_ids", "attention_mask", "position_ids"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of keys or values. past and present are its names; shape is [heads, size]."""

    past: str
    present: str
    heads: int
    size: int


class Runtime:
    """A loaded graph. Not safe for threads: one thread runs it.

    Args:
        path: The .onnx file.
        threads: Of ONNX Runtime inside one run.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = self.session.get_inputs()
        self.declared = FED & {value.name for value in inputs}
        self.slots = [
            Slot(
                value.name,
                value.name.replace("past_key_values", "present"),
                heads=value.shape[1],
                size=value.shape[3],
            )
            for value in inputs
            if value.name.startswith("past_key_values")
        ]
        [self.vocabulary] = (
            int(value.shape[-1]) for value in self.session.get_outputs() if value.name == "logits"
        )
        self.token_bytes = sum(slot.heads * slot.size for slot in self.slots) * 4

    def feeds(
        self, tokens: NDArray[np.int64], mask: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """The inputs beside keys and values, those that the graph declares.

        Args:
            tokens: [rows, new].
            mask: [rows, past + new], 1 where a key may be seen.
            positions: [rows, new].
        """
        known = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
        return {name: known[name] for name in self.declared}

    def empty(self) -> list[ort.OrtValue]:
        """Keys and values of one row that has read nothing yet, one a slot."""
        return [
            ort.OrtValue.ortvalue_from_numpy(np.zeros((1, slot.heads, 0, slot.size), np.float32))
            for slot in self.slots
        ]

    def extend(
        self, past: Sequence[ort.OrtValue], tokens: Sequence[int]
    ) -> tuple[NDArray[Any], list[ort.OrtValue]]:
        """One row reads tokens behind its past, which stands there without holes.

        Gives the logits after each token [new, vocabulary] and the keys and values of all.
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
        return logits.numpy()[0], present
