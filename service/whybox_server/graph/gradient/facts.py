"""What is known of a graph's values before anything runs: element types, shapes, constants.

A length is a number, a symbol (equal symbols are equal lengths), or None. Nothing is guessed: whoever
needs more than is known refuses the node, or emits operators that find it out. Which node makes a value
and which read it is known too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, TypeProto, numpy_helper

from whybox_server.core.rows import Array
from whybox_server.graph.walk import producers, reads

Value: TypeAlias = str  # a tensor of the graph, by its name; "" is an optional input left out
Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...]

FLOATING = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})

# What quantised models do with whole numbers that stand for real ones, without looking at them.
MOVES = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """kinds: `TensorProto` element types. shapes: only of values whose rank is known.

    quantised: whole numbers that stand for real ones, which a gradient passes: the type of the latter.
    """

    kinds: dict[Value, int]
    shapes: dict[Value, Shape]
    constants: Mapping[Value, TensorProto]
    quantised: Mapping[Value, int] = field(default_factory=dict)
    makers: Mapping[Value, NodeProto] = field(default_factory=dict)
    readers: Mapping[Value, Sequence[NodeProto]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: GraphProto) -> Facts:
        """Of a graph after shape inference."""
        entries = [*graph.input, *graph.value_info, *graph.output]
        kinds = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
        known = {entry.name: shape for entry in entries if (shape := _shape(entry.type)) is not None}
        kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        known |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        constants = {tensor.name: tensor for tensor in graph.initializer}
        quantised = _quantised(graph, kinds)
        return cls(kinds, known, constants, quantised, producers(graph), _readers(graph))

    def note(self, value: Value, like: Value) -> Value:
        """An emitted value has the type and shape of another, so that rules take it for an operand."""
        self.kinds[value], self.shapes[value] = self.kinds[like], self.shapes[like]
        return value

    def within(self, outer: Facts) -> Facts:
        """Of a graph in a node of another graph, from which it may read."""
        return Facts(
            {**outer.kinds, **self.kinds},
            {**outer.shapes, **self.shapes},
            {**outer.constants, **self.constants},
            {**outer.quantised, **self.quantised},
            {**outer.makers, **self.makers},
            {**outer.readers, **self.readers},
        )

    def floating(self, name: Value) -> bool:
        """False only for what surely holds no real numbers; unknown types are looked at."""
        return bool(name) and self.kind(name) in FLOATING | {TensorProto.UNDEFINED}

    def kind(self, name: Value) -> int:
        """The element type of its gradient: its own, or that of what it stands for; UNDEFINED: not known."""
        return self.quantised.get(name) or self.kinds.get(name, TensorProto.UNDEFINED)

    def lengths(self, name: Value) -> tuple[int, ...] | None:
        """The shape if it is known in full."""
        shape = self.shapes.get(name)
        numbers = tuple(length for length in shape or () if isinstance(length, int))
        return numbers if shape is not None and len(numbers) == len(shape) else None

    def array(self, name: Value) -> Array | None:
        """The numbers of a constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))


def _readers(graph: GraphProto) -> dict[Value, list[NodeProto]]:
    found: dict[Value, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(reads(node)):
            found.setdefault(name, []).append(node)
    return found


def _quantised(graph: GraphProto, kinds: Mapping[Value, int]) -> Mapping[Value, int]:
    found: dict[Value, int] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            found[node.output[0]] = kinds.get(node.input[1], TensorProto.FLOAT)  # the type of its scale
        elif node.op_type == "DynamicQuantizeLinear":
            found[node.output[0]] = TensorProto.FLOAT
        elif node.op_type in MOVES and node.input[0] in found:
            moved = [name for name in node.output if kinds.get(name) == kinds.get(node.input[0])]
            found.update(dict.fromkeys(moved, found[node.input[0]]))
    return found


def _shape(kind: TypeProto) -> Shape | None:
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in kind.tensor_type.shape.dim
    )
