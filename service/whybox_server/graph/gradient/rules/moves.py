"""Operators that pick, repeat or place numbers: what was read twice gets two gradients.

Where nothing better is known, positions are followed: the same operator applied to 0, 1, 2, ... says
where each number of y came from, and its gradient is added there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whybox_server.graph.gradient.emit import Emit, Operand
from whybox_server.graph.gradient.facts import Shape, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


def put_back(e: Emit, places: Value, dy: Value, x: Value, dims: Operand = None) -> Value:
    """Zeros like x with each dy added at its place in the flattened x; dims: if they are not those of x."""
    zeros = e.zeros(e.Reshape(e.Size(x), [1]))
    added = e.ScatterElements(zeros, e.Reshape(places, [-1]), e.Reshape(dy, [-1]), axis=0, reduction="add")
    return e.Reshape(added, dims or e.dims(x))


@vjp("Compress", 11)
@vjp("GatherND", 13)
@vjp("Tile", 13)
def followed(e: Emit, node: Node, dy: Value) -> Gradients:
    """For any operator that only moves numbers of its first input."""
    return [_follow(e, node, dy, node.inputs[1:])]


def _follow(e: Emit, node: Node, dy: Value, others: Sequence[Value | None]) -> Value:
    x = node.input
    count = e.Range(np.array(0), e.Size(x), np.array(1))
    emit = getattr(e, node.proto.op_type)
    return put_back(e, emit(e.Reshape(count, e.dims(x)), *others, **node.attributes), dy, x)


@vjp("Gather", 13)
def gather(e: Emit, node: Node, dy: Value) -> Gradients:
    """One index that is known, such as a class token's, is a slice."""
    x, axis = node.input, node.attr("axis", 0) % e.rank(node.input)
    index, length = e.facts.array(node.inputs[1]), e.shape(x)[axis]
    if index is None or index.ndim or not isinstance(length, int):
        return followed(e, node, dy)
    at = int(index) % length
    shape = (*e.shape(node.output)[:axis], 1, *e.shape(node.output)[axis:])
    return [_padded(e, e.Unsqueeze(dy, [axis]), shape, axis, at, length - at - 1)]


@vjp("Slice", 13)
def cut(e: Emit, node: Node, dy: Value) -> Gradients:
    """Zeros around dy; positions are followed for steps or bounds that are not known."""
    x, shape = node.input, list(e.shape(node.output))
    given = [e.facts.array(name) if name else None for name in node.inputs[1:]]
    starts, ends = given[:2]
    axes, steps = (*given[2:], None, None)[:2]
    steps = np.ones(1) if not node.optional(4) else steps
    axes = np.arange(len(starts) if starts is not None else 0) if not node.optional(3) else axes
    if starts is None or ends is None or axes is None or steps is None or (steps != 1).any():
        return followed(e, node, dy)
    lengths = [e.shape(x)[axis] for axis in axes]
    if not all(isinstance(length, int) for length in lengths):
        return followed(e, node, dy)
    for axis, start, end, length in zip(axes % len(shape), starts, ends, lengths, strict=True):
        first, last, _ = slice(int(start), int(end)).indices(int(length or 0))
        last = max(first, last)
        dy = _padded(e, dy, tuple(shape), int(axis), first, int(length or 0) - last)
        shape[axis] = length
    return [dy]


def _padded(e: Emit, dy: Value, shape: Shape, axis: int, before: int, after: int) -> Value:
    """dy, of this shape, between zeros. Not by Pad, which GPU providers lack at newer versions."""

    def zeros(count: int) -> Value:
        dims = [*shape[:axis], count, *shape[axis + 1 :]]
        known = [length for length in dims if isinstance(length, int)]
        if len(known) == len(dims):
            return e.zeros(known)
        return e.zeros(e.ScatterElements(e.Shape(dy), [axis], [count], axis=0))

    parts = [zeros(before)] * bool(before) + [dy] + [zeros(after)] * bool(after)
    return e.Concat(*parts, axis=axis) if len(parts) > 1 else dy


@vjp("Pad", 18, 19, 21)
def pad(e: Emit, node: Node, dy: Value) -> Gradients:
    """Constant pads are cut off; what was mirrored or repeated is added where it came from."""
    pads, axes = node.inputs[1], node.optional(3)
    if node.attr("mode", "constant") != "constant":
        return [_follow(e, node, dy, [pads, None, axes or None])]
    known = e.facts.array(pads)
    if known is None or (known < 0).any():
        dx = e.Pad(dy, e.Neg(pads), None, axes or None)
    else:
        begins, ends = np.split(known, 2)
        last = np.where(ends > 0, -ends, np.iinfo(np.int64).max)
        dx = e.Slice(dy, begins, last, axes or [*range(len(begins))])
    if not node.wants(2):
        return [dx]
    every, kept = e.ReduceSum(dy, keepdims=0), e.ReduceSum(dx, keepdims=0)
    return [dx, None, e.Sub(every, kept)]


@vjp("GatherElements", 13)
def gather_elements(e: Emit, node: Node, dy: Value) -> Gradients:
    x, indices = node.inputs
    zeros = e.zeros(e.dims(x))
    return [e.ScatterElements(zeros, indices, dy, axis=node.attr("axis", 0), reduction="add")]


@vjp("TopK", 11)
def top_k(e: Emit, node: Node, dy: Value) -> Gradients:
    indices = e.builder.extra_output(node.proto, 1)
    axis = node.attr("axis", -1) % e.rank(node.input)
    return [e.ScatterElements(e.zeros(e.dims(node.input)), indices, dy, axis=axis)]
