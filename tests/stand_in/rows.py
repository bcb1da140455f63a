"""The keys and values of the rows that are decoded together.

Two ways to keep them, one interface. `SharedRows` decodes rows in common runs of the graph.
`SeparateRows` decodes them one after the other, where a row would feel its neighbours: that depends
on the matrix kernels of the machine. `choose_rows` tries them and decides, so that a seed repeats
its answer bit for bit in any company.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tests.stand_in.runtime import Runtime

# The smallest room for past tokens; each further class of room is twice as large.
ROOM = 128
# How many rows `choose_rows` tries together: enough to meet the blocks of four, six and twelve rows
# in which matrix kernels work.
CROWD = 13


class Rows(Protocol):
    """Rows have keys of the caller's choice. Nothing here is safe for threads."""

    def __len__(self) -> int: ...

    def add(self, key: int, past: Sequence[ort.OrtValue]) -> None:
        """Take in a row that has read its prompt, as `Runtime.extend` gives it."""

    def remove(self, key: int) -> None:
        """Drop a row."""

    def step(self, tokens: Mapping[int, int]) -> dict[int, NDArray[Any]]:
        """Every row reads its token. Gives each row's logits [vocabulary], valid until the next."""


class SeparateRows:
    """Each row by itself, exactly as if it were alone."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pasts: dict[int, list[ort.OrtValue]] = {}

    def __len__(self) -> int:
        return len(self._pasts)

    def add(self, key: int, past: Sequence[ort.OrtValue]) -> None:
        """A row with what it has read."""
        self._pasts[key] = list(past)

    def remove(self, key: int) -> None:
        """Forget a row."""
        del self._pasts[key]

    def step(self, tokens: Mapping[int, int]) -> dict[int, NDArray[Any]]:
        """Every row reads its token, by itself."""
        logits = {}
        for key, token in tokens.items():
            read, self._pasts[key] = self._runtime.extend(self._pasts[key], [token])
            logits[key] = read[-1]
        return logits


class SharedRows:
    """Rows in common runs of the graph, one run for each class of room.

    How much room a row gets depends on its own length alone. That matters: floating-point sums over
    keys depend in their last bit on how many there are, unseen ones included, and a row must not
    change with the length of its neighbours. It also spares short rows the room of long ones.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._groups: dict[int, Group] = {}
        self._rooms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def add(self, key: int, past: Sequence[ort.OrtValue]) -> None:
        """A row with what it has read."""
        self._put(key, [value.numpy()[0] for value in past])

    def _put(self, key: int, past: Sequence[NDArray[Any]]) -> None:
        room = room_for(past[0].shape[1])
        if room not in self._groups:
            self._groups[room] = Group(self._runtime, room)
        self._groups[room].add(key, past)
        self._rooms[key] = room

    def remove(self, key: int) -> None:
        """Forget a row; a class of room without rows goes, too."""
        room = self._rooms.pop(key)
        self._groups[room].remove(key)
        if not self._groups[room].keys:
            del self._groups[room]

    def step(self, tokens: Mapping[int, int]) -> dict[int, NDArray[Any]]:
        """Every row reads its token; one that is full moves to more room before."""
        for group in list(self._groups.values()):
            for key in group.full():
                past = group.past_of(key)
                self.remove(key)
                self._put(key, past)
        logits: dict[int, NDArray[Any]] = {}
        for group in self._groups.values():
            values = group.step([tokens[key] for key in group.keys])
            logits.update(zip(group.keys, values, strict=True))
        return logits


def room_for(length: int) -> int:
    """The room of a row that holds this many past tokens and is about to read one more."""
    room = ROOM
    while room <= length:
        room *= 2
    return room


class Group:
    """Rows of one class of room, decoded in one run.

    A row's tokens stand from the left, then comes unseen room, and the graph appends the new token
    behind it; its key and value are then moved to the row's next place. So joining and leaving copy
    one row, and a step copies one token a row.
    """

    def __init__(self, runtime: Runtime, room: int) -> None:
        self._runtime = runtime
        self._room = room
        self.keys: list[int] = []
        self._lengths = np.zeros(0, np.int64)
        self._past: list[NDArray[Any]] = []
        self._mask = np.zeros((0, room + 1), np.int64)
        self._tokens = np.zeros((0, 1), np.int64)
        self._positions = np.zeros((0, 1), np.int64)
        self._binding: ort.IOBinding | None = None
        self._feeds: dict[str, NDArray[Any]] = {}  # bound by address: they must stay alive
        self._present: list[NDArray[Any]] = []
        self._logits = np.zeros((0, 1, 0), np.float32)

    def add(self, key: int, past: Sequence[NDArray[Any]]) -> None:
        """A row with what it has read, at the end.

        Args:
            key: By which it is known.
            past: Its keys and values, one a slot, [heads, tokens, size].
        """
        row, length = len(self.keys), past[0].shape[1]
        if row == len(self._mask):
            self._grow(max(1, 2 * row))
        for held, new in zip(self._past, past, strict=True):
            _fill(held[row], new)
        self.keys.append(key)
        self._lengths = np.append(self._lengths, length)
        self._show(row)
        self._binding = None

    def remove(self, key: int) -> None:
        """The last row moves to the place of the one that leaves."""
        row, last = self.keys.index(key), len(self.keys) - 1
        moved, length = self.keys.pop(), self._lengths[last]
        if row != last:
            self.keys[row] = moved
            self._lengths[row] = length
            for held in self._past:
                _fill(held[row], held[last, :, :length])
            self._show(row)
        self._lengths = self._lengths[:last].copy()
        self._binding = None

    def full(self) -> list[int]:
        """The rows that have no room left for what they have just read."""
        return [self.keys[row] for row in np.flatnonzero(self._lengths >= self._room)]

    def past_of(self, key: int) -> list[NDArray[Any]]:
        """What a row has read, one array a slot, [heads, tokens, size]."""
        row = self.keys.index(key)
        return [held[row, :, : self._lengths[row]].copy() for held in self._past]

    def step(self, tokens: Sequence[int]) -> NDArray[Any]:
        """Every row reads its token, in the order of the keys. Gives logits [rows, vocabulary]."""
        if self._binding is None:
            self._binding = self._bind(len(self.keys))
        self._tokens[:, 0] = tokens
        self._positions[:, 0] = self._lengths
        self._runtime.session.run_with_iobinding(self._binding)
        rows = np.arange(len(self.keys))
        for held, new in zip(self._past, self._present, strict=True):
            held[rows, :, self._lengths] = new[:, :, self._room]
        self._mask[rows, self._lengths] = 1
        self._lengths += 1
        return self._logits[:, -1]

    def _show(self, row: int) -> None:
        self._mask[row, : self._room] = np.arange(self._room) < self._lengths[row]

    def _grow(self, capacity: int) -> None:
        count = len(self.keys)
        past = [
            np.zeros((capacity, slot.heads, self._room, slot.size), np.float32)
            for slot in self._runtime.slots
        ]
        for new, old in zip(past, self._past, strict=False):
            new[:count] = old[:count]
        self._past = past
        self._mask = np.ones((capacity, self._room + 1), np.int64)
        for row in range(count):
            self._show(row)

    def _bind(self, count: int) -> ort.IOBinding:
        """Tie the graph's inputs and outputs to the arrays of this many rows."""
        self._tokens = np.zeros((count, 1), np.int64)
        self._positions = np.zeros((count, 1), np.int64)
        self._feeds = self._runtime.feeds(self._tokens, self._mask[:count], self._positions)
        self._logits = np.empty((count, 1, self._runtime.vocabulary), np.float32)
        self._present = [
            np.empty((count, slot.heads, self._room + 1, slot.size), np.float32)
            for slot in self._runtime.slots
        ]
        binding = self._runtime.session.io_binding()
        given = dict(self._feeds)
        for slot, held in zip(self._runtime.slots, self._past, strict=True):
            given[slot.past] = held[:count]
        for name, value in given.items():
            binding.bind_input(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
        wanted = {
            slot.present: new for slot, new in zip(self._runtime.slots, self._present, strict=True)
        }
        wanted["logits"] = self._logits
        for name, value in wanted.items():
            binding.bind_output(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
        return binding


def _fill(held: NDArray[Any], new: NDArray[Any]) -> None:
    """A row's keys or values [heads, room, size], and nothing of the row that stood there.

    Unseen room counts for nothing only while it is finite: what is no number stays none under the
    mask, and one broken answer would break those that follow in its place.
    """
    length = new.shape[1]
    held[:, :length] = new
    held[:, length:] = 0


def choose_rows(runtime: Runtime) -> Rows:
    """Rows for a graph: shared where the graph keeps rows apart to the last bit, else separate.

    Tries it: rows of several lengths must give the same bits alone and in crowds of several sizes,
    and nearly the values that they give without unseen room. This warms the graph up as well.
    """
    names = np.random.default_rng(0).integers(0, runtime.vocabulary, 32).tolist()
    pasts = [runtime.extend(runtime.empty(), names[: 3 + 2 * key])[1] for key in range(CROWD)]
    tokens = {key: names[-1 - key] for key in range(CROWD)}

    def run(rows: Rows, keys: Sequence[int]) -> dict[int, NDArray[Any]]:
        for key in keys:
            rows.add(key, pasts[key])
        return rows.step({key: tokens[key] for key in keys})

    try:
        alone = {key: run(SharedRows(runtime), [key])[key] for key in range(CROWD)}
        crowds = [run(SharedRows(runtime), range(size)) for size in range(2, CROWD + 1)]
    except Exception:  # ONNX Runtime has no class of its own for all its errors
        return SeparateRows(runtime)
    plain = run(SeparateRows(runtime), range(CROWD))
    apart = all(np.array_equal(crowd[key], alone[key]) for crowd in crowds for key in crowd)
    right = all(np.allclose(alone[key], plain[key], rtol=1e-3, atol=1e-2) for key in plain)
    return SharedRows(runtime) if apart and right else SeparateRows(runtime)
