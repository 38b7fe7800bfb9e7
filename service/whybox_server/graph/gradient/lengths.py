"""Gives lengths that are always equal one name, where shape inference gave each a new one.

Exporters fold a number of rows into other axes and out of them again. Who knows that it came back as what
it was knows that nothing is broadcast, and need not find out while the model runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from onnx import GraphProto, NodeProto, TensorShapeProto, ValueInfoProto, numpy_helper

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.walk import attribute

Length: TypeAlias = tuple[int, tuple[str, ...]]  # a number times symbols, sorted

ONE: Length = (1, ())
# How many of the last axes are not broadcast.
BROADCASTING = {"Add": 0, "Div": 0, "MatMul": 2, "Max": 0, "Min": 0, "Mul": 0, "Sub": 0, "Sum": 0, "Where": 0}


@dataclass(slots=True)
class _Names:
    """shapes: by value. same: what a symbol equals. seen: symbols whose meaning is settled."""

    shapes: Mapping[Value, Sequence[TensorShapeProto.Dimension]]
    constants: Mapping[Value, Array]
    seen: set[str]
    same: dict[str, Length] = field(default_factory=dict)

    def length(self, dim: TensorShapeProto.Dimension) -> Length | None:
        if dim.HasField("dim_value"):
            return dim.dim_value, ()
        return self.same.get(dim.dim_param, (1, (dim.dim_param,))) if dim.dim_param else None

    def settle(self, node: NodeProto) -> None:
        """Symbols that are new with this node mean something else, if that can be told."""
        for name in node.output:
            for axis, dim in enumerate(self.shapes.get(name, ())):
                if dim.dim_param and dim.dim_param not in self.seen:
                    found = self.meaning(node, axis, len(self.shapes[name]))
                    self.seen.add(dim.dim_param)
                    if found is not None:
                        self.same[dim.dim_param] = found

    def meaning(self, node: NodeProto, axis: int, rank: int) -> Length | None:
        if node.op_type == "Reshape":
            return self.reshaped(node, axis)
        if axis < rank - BROADCASTING.get(node.op_type, rank):
            met = {self.length(dim) for dim in self.aligned(node, axis - rank)} - {ONE}
            return met.pop() if len(met) == 1 else None
        return None

    def aligned(self, node: NodeProto, axis: int) -> Iterator[TensorShapeProto.Dimension]:
        """Lengths of the inputs at an axis counted from the end; one that is unknown for an unknown shape."""
        for name in node.input:
            dims = self.shapes.get(name)
            if dims is None:
                yield TensorShapeProto.Dimension()
            elif len(dims) >= -axis:
                yield dims[axis]

    def reshaped(self, node: NodeProto, axis: int) -> Length | None:
        """A 0 copies the length of the input there; -1 stands for all elements over the other lengths."""
        dims, target = self.shapes.get(node.input[0]), self.constants.get(node.input[1])
        if dims is None or target is None:
            return None
        flag = attribute(node, "allowzero")
        copied = flag is None or not flag.i
        lengths = [self.length(dim) for dim in dims]
        asked = [lengths[at] if to == 0 and copied else (int(to), ()) for at, to in enumerate(target)]
        if target[axis] != -1:
            return asked[axis]
        return _quotient(lengths, asked[:axis] + asked[axis + 1 :])


def name_lengths(graph: GraphProto) -> None:
    """In place, in the types of values and outputs; inputs keep the names they were declared with."""
    made = [*graph.value_info, *graph.output]
    shapes: dict[Value, Sequence[TensorShapeProto.Dimension]] = {
        entry.name: entry.type.tensor_type.shape.dim for entry in [*made, *graph.input] if _ranked(entry)
    }
    shapes |= {
        tensor.name: [TensorShapeProto.Dimension(dim_value=n) for n in tensor.dims]
        for tensor in graph.initializer
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    given = {dim.dim_param for entry in graph.input for dim in shapes.get(entry.name, ())}
    names = _Names(shapes, constants, given)
    for node in graph.node:
        names.settle(node)
    for entry in made:
        for dim in shapes.get(entry.name, ()):
            if dim.dim_param in names.same:
                _write(dim, names.same[dim.dim_param])


def _ranked(entry: ValueInfoProto) -> bool:
    return entry.type.HasField("tensor_type") and entry.type.tensor_type.HasField("shape")


def _quotient(over: Sequence[Length | None], under: Sequence[Length | None]) -> Length | None:
    """None if a length is unknown, or the quotient is no product of a whole number and symbols."""
    if None in over or None in under:
        return None
    above, below = (prod(length[0] for length in side if length) for side in (over, under))
    left = Counter(symbol for length in over if length for symbol in length[1])
    right = Counter(symbol for length in under if length for symbol in length[1])
    if below == 0 or above % below or right - left:
        return None
    return above // below, tuple(sorted((left - right).elements()))


def _write(dim: TensorShapeProto.Dimension, length: Length) -> None:
    number, symbols = length
    if not symbols:
        dim.dim_value = number
    else:
        dim.dim_param = "*".join([*([str(number)] if number > 1 else []), *symbols])
