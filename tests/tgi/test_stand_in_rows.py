"""Rows that are decoded together: each must come out as if it were alone."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests import graphs
from tests.stand_in.__main__ import MODEL
from tests.stand_in.rows import ROOM, Rows, SeparateRows, SharedRows, choose_rows, room_for
from tests.stand_in.runtime import Runtime


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(MODEL / "model.onnx")


@pytest.fixture(scope="module")
def kind(runtime: Runtime) -> Callable[[Runtime], Rows]:
    """The rows that the engine would choose for the bundled graph on this machine."""
    return SharedRows if isinstance(choose_rows(runtime), SharedRows) else SeparateRows


def tokens_of(key: int, runtime: Runtime) -> Iterator[int]:
    """The endless tokens of a row, each row's own."""
    random = np.random.default_rng(key)
    while True:
        yield int(random.integers(0, runtime.vocabulary))


def decode(
    rows: Rows, runtime: Runtime, plan: Mapping[int, tuple[int, int, int]]
) -> dict[int, list[NDArray[Any]]]:
    """The logits of each row, step by step. plan: key → (step it joins, steps, prompt's length)."""
    sources = {key: tokens_of(key, runtime) for key in plan}
    logits: dict[int, list[NDArray[Any]]] = {key: [] for key in plan}
    for step in range(max(join + count for join, count, _ in plan.values())):
        for key, (join, _, length) in plan.items():
            if join == step:
                prompt = [next(sources[key]) for _ in range(length)]
                rows.add(key, runtime.extend(runtime.empty(), prompt)[1])
        live = [key for key, (join, count, _) in plan.items() if join <= step < join + count]
        if not live:
            continue
        for key, values in rows.step({key: next(sources[key]) for key in live}).items():
            logits[key].append(values.copy())
        for key in live:
            if plan[key][0] + plan[key][1] == step + 1:
                rows.remove(key)
    assert len(rows) == 0
    return logits


plans = st.lists(
    # lengths around the smallest class of room, so that rows move from one class to the next
    st.tuples(st.integers(0, 6), st.integers(1, 8), st.integers(ROOM - 5, ROOM + 2)),
    min_size=1,
    max_size=6,
).map(lambda plan: dict(enumerate(plan)))


@settings(max_examples=12, deadline=None)
@given(plans)
def test_a_row_is_the_same_bits_in_any_company(
    runtime: Runtime, kind: Callable[[Runtime], Rows], plan: dict[int, tuple[int, int, int]]
) -> None:
    together = decode(kind(runtime), runtime, plan)
    for key, (_, count, length) in plan.items():
        alone = decode(kind(runtime), runtime, {key: (0, count, length)})[key]
        assert len(alone) == count
        assert all(np.array_equal(a, b) for a, b in zip(alone, together[key], strict=True))


@settings(max_examples=5, deadline=None)
@given(plans)
def test_shared_and_separate_rows_agree(
    runtime: Runtime, plan: dict[int, tuple[int, int, int]]
) -> None:
    shared = decode(SharedRows(runtime), runtime, plan)
    separate = decode(SeparateRows(runtime), runtime, plan)
    for key in plan:
        np.testing.assert_allclose(shared[key], separate[key], rtol=1e-4, atol=1e-3)


def test_a_crowd_of_the_largest_size_keeps_its_bits(
    runtime: Runtime, kind: Callable[[Runtime], Rows]
) -> None:
    plan = {key: (0, 3, 1 + 7 * key) for key in range(32)}
    together = decode(kind(runtime), runtime, plan)
    for key in (0, 7, 17, 18, 31):
        alone = decode(kind(runtime), runtime, {key: plan[key]})[key]
        assert all(np.array_equal(a, b) for a, b in zip(alone, together[key], strict=True))


def test_room_depends_on_the_length_alone_and_holds_one_token_more() -> None:
    for length in (0, 1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM):
        assert room_for(length) > length
    assert room_for(ROOM - 1) == ROOM
    assert room_for(ROOM) == 2 * ROOM


def toy(folder: Path, *, feels: str) -> Runtime:
    """A graph whose keys are its tokens. feels: what its logits see beside their own token.

    "nothing"; "neighbours": the largest token of the whole batch, as activations do that are
    quantised over it; "room": how many keys there are, unseen ones included.
    """
    every = {
        "nothing": [],
        "neighbours": [graphs.node("ReduceMax", ["tokens"], "seen")],
        "room": [
            graphs.node("Shape", ["present.0.key"], "sizes"),
            graphs.node("Cast", ["sizes"], "sizes.real", to=graphs.FLOAT),
            graphs.node("ReduceMax", ["sizes.real"], "seen"),
        ],
    }[feels]
    nodes = [
        graphs.node("Cast", ["input_ids"], "tokens", to=graphs.FLOAT),
        graphs.node("Unsqueeze", ["tokens", "axes.key"], "key"),
        graphs.node("Concat", ["past_key_values.0.key", "key"], "present.0.key", axis=2),
        *every,
        graphs.node("Add" if every else "Identity", ["tokens", "seen"][: 1 + bool(every)], "felt"),
        graphs.node("Unsqueeze", ["felt", "axes.logits"], "column"),
        graphs.node("Mul", ["column", "weights"], "logits"),
    ]
    content = graphs.model(
        nodes,
        [
            graphs.value("input_ids", graphs.INT64, "rows", "new"),
            graphs.value("past_key_values.0.key", graphs.FLOAT, "rows", 1, "past", 1),
        ],
        [
            graphs.value("logits", graphs.FLOAT, "rows", "new", 50),
            graphs.value("present.0.key", graphs.FLOAT, "rows", 1, "total", 1),
        ],
        [
            graphs.constant("axes.key", np.array([1, 3])),
            graphs.constant("axes.logits", np.array([2])),
            graphs.constant("weights", np.linspace(-1, 1, 50, dtype=np.float32)),
        ],
    )
    path = folder / f"{feels}.onnx"
    path.write_bytes(content)
    return Runtime(path)


@pytest.mark.parametrize(
    ("feels", "kind"),
    [("nothing", SharedRows), ("neighbours", SeparateRows), ("room", SeparateRows)],
)
def test_rows_that_would_feel_each_other_are_kept_apart(
    tmp_path: Path, feels: str, kind: type[SharedRows | SeparateRows]
) -> None:
    runtime = toy(tmp_path, feels=feels)
    rows = choose_rows(runtime)
    assert isinstance(rows, kind)
    plan = {key: (key, 3, 2 + key) for key in range(4)}
    together = decode(rows, runtime, plan)
    for key in plan:
        alone = decode(kind(runtime), runtime, {key: (0, *plan[key][1:])})[key]
        assert all(np.array_equal(a, b) for a, b in zip(alone, together[key], strict=True))


@pytest.mark.parametrize("takes", ["the one that comes next", "the last one"])
def test_a_row_without_finite_keys_leaves_nothing_behind(runtime: Runtime, takes: str) -> None:
    """The row that takes its place is shorter, so that much of what was there is only unseen."""
    keys = {
        name: runtime.extend(runtime.empty(), list(range(3, 3 + length)))[1]
        for name, length in (("long", 90), ("short", 5))
    }
    broken = [
        ort.OrtValue.ortvalue_from_numpy(np.full_like(value.numpy(), np.nan))
        for value in keys["long"]
    ]
    alone = SharedRows(runtime)
    alone.add(1, keys["short"])
    expected = alone.step({1: 7})[1].copy()
    rows = SharedRows(runtime)
    rows.add(0, keys["short"])
    rows.add(9, broken)
    if takes == "the one that comes next":
        rows.remove(9)
        rows.add(1, keys["short"])
    else:
        rows.add(1, keys["short"])
        rows.remove(9)
    np.testing.assert_allclose(rows.step({0: 8, 1: 7})[1], expected, rtol=1e-4, atol=1e-3)
