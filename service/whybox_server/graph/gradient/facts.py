"""What is known of a graph's values before anything runs: element types, shapes, constants.

A length is a number, a symbol (equal symbols are equal lengths), or None. Nothing is guessed: whoever
needs more than is known refuses the node, or emits operators that find it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from onnx import GraphProto, TensorProto, TypeProto, numpy_helper

from whybox_server.core.rows import Array

Value: TypeAlias = str  # a tensor of the graph, by its name; "" is an optional input left out
Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...]

FLOATING = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """kinds: `TensorProto` element types. shapes: only of values whose rank is known."""

    kinds: Mapping[Value, int]
    shapes: Mapping[Value, Shape]
    constants: Mapping[Value, TensorProto]

    @classmethod
    def of(cls, graph: GraphProto) -> Facts:
        """Of a graph after shape inference."""
        entries = [*graph.input, *graph.value_info, *graph.output]
        kinds = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
        known = {entry.name: shape for entry in entries if (shape := _shape(entry.type)) is not None}
        kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        known |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        return cls(kinds, known, {tensor.name: tensor for tensor in graph.initializer})

    def floating(self, name: Value) -> bool:
        """False only for what surely holds no real numbers; unknown types are looked at."""
        return bool(name) and self.kinds.get(name, TensorProto.UNDEFINED) in FLOATING | {0}

    def lengths(self, name: Value) -> tuple[int, ...] | None:
        """The shape if it is known in full."""
        shape = self.shapes.get(name)
        numbers = tuple(length for length in shape or () if isinstance(length, int))
        return numbers if shape is not None and len(numbers) == len(shape) else None

    def array(self, name: Value) -> Array | None:
        """The numbers of a constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))


def _shape(kind: TypeProto) -> Shape | None:
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in kind.tensor_type.shape.dim
    )
