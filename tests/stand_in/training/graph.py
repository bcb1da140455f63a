"""The ONNX graph of the network, written node by node: no tracing, so no torch in what is made.

Its interface is that of decoder exports on the Hugging Face Hub. With B rows, S new tokens, P past
tokens, T = P + S, float32 at the border:
    input_ids, position_ids   int64 [B, S]
    attention_mask            int64 [B, T], 0 where a row is padded (on the left)
    past_key_values.N.key, .value, present.N.key, .value   [B, kv_heads, P or T, head_dim]
    logits                    [B, S, vocabulary]
Matrices are stored as float16 and cast; ONNX Runtime folds the casts when it loads the file.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.stand_in.training.network import Shape

OPSET = 18
IR_VERSION = 10

_HIDDEN = np.float32(-1e9)  # finite: a row that is all padding must not become NaN


class Graph:
    """Collects nodes and constants; every method gives the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """An array, kept once for each name."""
        name = name or f"constant_{value.dtype}_{'_'.join(map(str, value.ravel()))}"
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def whole(self, *numbers: int) -> str:
        """Whole numbers, [numbers]."""
        return self.constant(np.array(numbers, np.int64))

    def real(self, number: float) -> str:
        """One number."""
        return self.constant(np.array(number, np.float32))

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node of one output."""
        name = name or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def matrix(self, value: NDArray[np.float32], name: str) -> str:
        """A matrix, kept in float16 and used in float32."""
        half = self.constant(value.astype(np.float16), f"{name}.half")
        return self.add("Cast", half, name=name, to=TensorProto.FLOAT)

    def size(self, value: str, axis: int) -> str:
        """The length of one axis, [1]."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def normalise(self, x: str, weight: NDArray[np.float32], name: str, epsilon: float) -> str:
        """RMSNorm over the last axis."""
        square = self.add("ReduceMean", self.add("Mul", x, x), self.whole(-1), keepdims=1)
        root = self.add("Sqrt", self.add("Add", square, self.real(epsilon)))
        scaled = self.add("Div", x, root)
        return self.add("Mul", scaled, self.constant(weight, name))

    def rotate(self, x: str, cos: str, sin: str, half: int) -> str:
        """RoPE, half-split; `half` is half of the last axis."""
        low = self.add("Slice", x, self.whole(0), self.whole(half), self.whole(-1))
        high = self.add("Slice", x, self.whole(half), self.whole(2 * half), self.whole(-1))
        first = self.add("Sub", self.add("Mul", low, cos), self.add("Mul", high, sin))
        second = self.add("Add", self.add("Mul", high, cos), self.add("Mul", low, sin))
        return self.add("Concat", first, second, axis=-1)


def build(shape: Shape, weights: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """The model of a shape and its weights, under the names of Network.state_dict()."""
    graph = Graph()
    add, whole, real = graph.add, graph.whole, graph.real
    heads, kv, head = shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim
    group, epsilon = heads // kv, shape.rms_norm_eps

    # Positions: cos and sin of [B, 1, S, head / 2].
    rates = (shape.rope_theta ** -(np.arange(0, head, 2) / head)).astype(np.float32)
    position = add("Cast", "position_ids", to=TensorProto.FLOAT)
    angle = add(
        "Mul", add("Unsqueeze", position, whole(1, 3)), graph.constant(rates, "rotary.rates")
    )
    cos, sin = add("Cos", angle), add("Sin", angle)

    # Mask: 0 where a key may be seen, else -1e9; [B, 1, 1, S, T].
    total, new = graph.size("attention_mask", 1), graph.size("input_ids", 1)
    zero, one = graph.constant(np.array(0, np.int64)), graph.constant(np.array(1, np.int64))
    keys = add("Range", zero, add("Squeeze", total), one)
    queries = add("Add", add("Range", zero, add("Squeeze", new), one), add("Sub", total, new))
    causal = add("LessOrEqual", keys, add("Unsqueeze", queries, whole(1)))
    present = add("Cast", "attention_mask", to=TensorProto.BOOL)
    seen = add("And", add("Unsqueeze", present, whole(1, 2, 3)), causal)
    bias = add("Where", seen, real(0.0), real(float(_HIDDEN)))

    embedding = graph.matrix(weights["embedding.weight"], "embedding.weight")
    x = add("Gather", embedding, "input_ids")
    for index in range(shape.num_hidden_layers):

        def weight(name: str, layer: int = index) -> NDArray[np.float32]:
            return weights[f"blocks.{layer}.{name}"]

        def project(value: str, name: str, layer: int = index) -> str:
            kernel = weights[f"blocks.{layer}.{name}.weight"].T.copy()
            return add("MatMul", value, graph.matrix(kernel, f"blocks.{layer}.{name}.weight"))

        normal = graph.normalise(
            x, weight("attention_norm"), f"blocks.{index}.attention_norm", epsilon
        )
        past_key, past_value = (f"past_key_values.{index}.{part}" for part in ("key", "value"))

        def split(value: str, count: int) -> str:
            parts = add("Reshape", value, whole(0, 0, count, head))
            return add("Transpose", parts, perm=[0, 2, 1, 3])

        query = graph.rotate(split(project(normal, "query"), heads), cos, sin, head // 2)
        key = graph.rotate(split(project(normal, "key"), kv), cos, sin, head // 2)
        value = split(project(normal, "value"), kv)
        key = add("Concat", past_key, key, axis=2, name=f"present.{index}.key")
        value = add("Concat", past_value, value, axis=2, name=f"present.{index}.value")

        # The heads of a group share keys: one product for the group, [B, kv, group * S, T].
        query = add("Reshape", query, whole(0, kv, -1, head))
        query = add("Mul", query, real(head**-0.5))
        scores = add("MatMul", query, add("Transpose", key, perm=[0, 1, 3, 2]))
        apart = add("Concat", whole(0, kv, group), new, total, axis=0)
        together = add("Concat", whole(0, kv, -1), total, axis=0)
        scores = add("Add", add("Reshape", scores, apart), bias)
        shares = add("Reshape", add("Softmax", scores, axis=-1), together)
        mixed = add("MatMul", shares, value)
        mixed = add("Reshape", mixed, add("Concat", whole(0, heads), new, whole(head), axis=0))
        mixed = add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = add("Reshape", mixed, whole(0, 0, heads * head))
        x = add("Add", x, project(mixed, "output"))

        normal = graph.normalise(
            x, weight("feed_forward_norm"), f"blocks.{index}.feed_forward_norm", epsilon
        )
        gate = project(normal, "gate")
        gate = add("Mul", gate, add("Sigmoid", gate))
        x = add("Add", x, project(add("Mul", gate, project(normal, "up")), "down"))

    x = graph.normalise(x, weights["norm"], "norm", epsilon)
    add("MatMul", x, add("Transpose", embedding, perm=[1, 0]), name="logits")
    return _model(shape, graph)


def _model(shape: Shape, graph: Graph) -> onnx.ModelProto:
    def value(name: str, kind: int, *sizes: int | str) -> Any:
        return helper.make_tensor_value_info(name, kind, sizes)

    kv, head = shape.num_key_value_heads, shape.head_dim
    inputs = [
        value("input_ids", TensorProto.INT64, "batch_size", "sequence_length"),
        value("attention_mask", TensorProto.INT64, "batch_size", "total_sequence_length"),
        value("position_ids", TensorProto.INT64, "batch_size", "sequence_length"),
    ]
    outputs = [
        value("logits", TensorProto.FLOAT, "batch_size", "sequence_length", shape.vocab_size)
    ]
    for layer in range(shape.num_hidden_layers):
        for part in ("key", "value"):
            kind, batch = TensorProto.FLOAT, "batch_size"
            past, total = "past_sequence_length", "total_sequence_length"
            inputs.append(value(f"past_key_values.{layer}.{part}", kind, batch, kv, past, head))
            outputs.append(value(f"present.{layer}.{part}", kind, batch, kv, total, head))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "decoder", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tests.stand_in.training",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
