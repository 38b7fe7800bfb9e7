"""Appends operators to a graph, so that a rule reads like its formula.

`e.Mul(dy, 0.5)` adds a Mul and returns its output's name: an attribute is an operator, a float is a
constant of the type that the node works in, a list of ints is an int64 vector, None an input left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.facts import Dim, Facts, Shape, Value
from whybox_server.graph.walk import names_in

PREFIX = "whybox_gradient/"
HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})

Operand: TypeAlias = Value | float | Sequence[int] | Array | None


@dataclass(slots=True, eq=False)
class Builder:
    """A graph that grows. Constants and shapes are made once."""

    graph: GraphProto
    facts: Facts
    count: int = 0
    made: dict[object, Value] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    references: Mapping[Value, Value] = field(default_factory=dict)  # forward value -> that on the reference

    def __post_init__(self) -> None:
        self.names.update(names_in(self.graph))

    def named(self, name: str) -> Value:
        """The name itself, if it is free."""
        if name in self.names:
            return self.fresh(name)
        self.names.add(name)
        return name

    def fresh(self, stem: str) -> Value:
        """A name that nobody has."""
        while True:
            self.count += 1
            name = f"{PREFIX}{stem}_{self.count}"
            if name not in self.names:
                self.names.add(name)
                return name

    def append(
        self, op: str, inputs: Sequence[Value], outputs: int, attributes: Mapping[str, Any]
    ) -> list[Value]:
        """One more node of the standard domain; attributes that are None are left out."""
        names = [self.fresh(op) for _ in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.graph.node.append(helper.make_node(op, inputs, names, name=names[0], **given))
        return names

    def constant(self, array: Array) -> Value:
        """An initializer; equal constants are one."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.made:
            self.made[key] = self.fresh("constant")
            self.graph.initializer.append(numpy_helper.from_array(array, self.made[key]))
        return self.made[key]

    def extra_output(self, node: NodeProto, place: int) -> Value:
        """An optional output of a forward node, asked for if nobody did so far."""
        while len(node.output) <= place:
            node.output.append("")
        node.output[place] = node.output[place] or self.fresh(node.op_type)
        return node.output[place]


@dataclass(frozen=True, slots=True, eq=False)
class Emit:
    """A builder, and the element type in which one node works."""

    builder: Builder
    kind: int

    def __getattr__(self, op: str) -> Callable[..., Value]:
        if not op[0].isupper():
            raise AttributeError(op)

        def emit(*inputs: Operand, **attributes: Any) -> Value:
            return self.several(op, 1, *inputs, **attributes)[0]

        return emit

    def several(self, op: str, outputs: int, *inputs: Operand, **attributes: Any) -> list[Value]:
        """An operator with this many outputs."""
        if self.kind in HALF and attributes.get("reduction", "none") != "none":
            return [self._in_single(op, *inputs, **attributes)]
        names = [self._value(operand) for operand in inputs]
        while names and not names[-1]:
            names.pop()
        return self.builder.append(op, names, outputs, attributes)

    def _in_single(
        self, op: str, data: Operand, places: Operand, updates: Operand, **attributes: Any
    ) -> Value:
        """The runtime cannot add half precision numbers up where several meet."""
        wide = Emit(self.builder, TensorProto.FLOAT)
        found = getattr(wide, op)(
            wide.Cast(data, to=wide.kind), places, wide.Cast(updates, to=wide.kind), **attributes
        )
        return self.Cast(found, to=self.kind)

    def _value(self, operand: Operand) -> Value:
        if operand is None or isinstance(operand, str):
            return operand or ""
        if isinstance(operand, float) or (isinstance(operand, np.ndarray) and operand.dtype.kind == "f"):
            return self.builder.constant(np.asarray(operand, helper.tensor_dtype_to_np_dtype(self.kind)))
        if isinstance(operand, np.ndarray):
            return self.builder.constant(operand)
        return self.builder.constant(np.array(operand, np.int64))

    @property
    def facts(self) -> Facts:
        return self.builder.facts

    def reference(self, x: Value) -> Value:
        """A forward value as it is on the reference; itself if it does not depend on what is explained."""
        return self.builder.references.get(x, x)

    def shape(self, x: Value) -> Shape:
        """Of a forward value; that its rank is known was checked before any rule ran."""
        return self.facts.shapes[x]

    def rank(self, x: Value) -> int:
        return len(self.shape(x))

    def dims(self, x: Value) -> Value:
        """The shape of a forward value as a tensor: a constant if it is known, else found out."""
        lengths = self.facts.lengths(x)
        if lengths is not None:
            return self._value(lengths)
        if ("Shape", x) not in self.builder.made:
            self.builder.made["Shape", x] = self.Shape(x)
        return self.builder.made["Shape", x]

    def length(self, x: Value, start: int, end: int | None = None) -> Value:
        """The lengths of axes start to end."""
        known = [length for length in self.shape(x)[start:end] if isinstance(length, int)]
        all_known = len(known) == len(self.shape(x)[start:end])
        return self._value(known) if all_known else self.Shape(x, start=start, end=end)

    def constant(self, array: Array) -> Value:
        """Numbers, in the element type of the node."""
        return self._value(array)

    def zeros(self, dims: Operand) -> Value:
        """Zeros of a shape that is a tensor."""
        kind = helper.tensor_dtype_to_np_dtype(self.kind)
        return self.ConstantOfShape(dims, value=numpy_helper.from_array(np.zeros(1, kind)))

    def identity(self, length: Value) -> Value:
        """The identity matrix; length: one number."""
        count = self.Range(np.array(0), self.Squeeze(length, [0]), np.array(1))
        return self.Cast(self.Equal(self.Unsqueeze(count, [1]), count), to=self.kind)

    def swapped(self, x: Value, rank: int) -> Value:
        """The last two axes change places."""
        return self.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])

    def sum_to(self, dy: Value, have: Shape, like: Value) -> Value:
        """Sum dy, of shape `have`, over the axes along which `like` was broadcast to it."""
        want = self.shape(like)
        lead = len(have) - len(want)
        pairs = list(zip(have[lead:], want, strict=True))
        if any(_unclear(*pair) for pair in pairs):
            return self._sum_at_run_time(dy, like)
        spread = [lead + axis for axis, (has, wants) in enumerate(pairs) if wants == 1 != has]
        if not lead and not spread:
            return dy
        summed = self.ReduceSum(dy, [*range(lead), *spread], keepdims=1)
        return self.Squeeze(summed, [*range(lead)]) if lead else summed

    def _sum_at_run_time(self, dy: Value, like: Value) -> Value:
        """The axes are found where `like` has length 1 and dy has not."""
        have, want = self.Shape(dy), self.dims(like)
        missing = self.Sub(self.Shape(have), self.Shape(want))
        padded = self.Concat(self.Expand([1], missing), want, axis=0)
        axes = self.NonZero(self.And(self.Equal(padded, [1]), self.Not(self.Equal(have, [1]))))
        summed = self.ReduceSum(dy, self.Reshape(axes, [-1]), keepdims=1, noop_with_empty_axes=1)
        return self.Reshape(summed, want)


def _unclear(has: Dim, wants: Dim) -> bool:
    """True if a length may or may not have been broadcast."""
    return not isinstance(wants, int) and has != 1 and (has is None or has != wants)
