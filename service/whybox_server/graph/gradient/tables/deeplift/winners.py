"""Operators that let the largest or smallest value through.

If y has grown, all of dy goes to the winner now, else to the winner on the reference. That one has
changed at least as much as y and in the same direction, so that its multiplier lies between 0 and m,
and contributions sum to dy exactly, also when the winner has changed. Ties share evenly.
"""

from __future__ import annotations

from collections.abc import Sequence

from whybox_server.graph.gradient.emit import Emit, Operand
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules.moves import put_back
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import delta, multipliers, quotient, ulp


@multipliers("Max", "Min")
def extreme(e: Emit, node: Node, m: Value) -> Gradients:
    y, r = node.output, e.reference(node.output)
    now = [e.CastLike(e.Equal(x, y), m) for x in node.inputs]
    before = [e.CastLike(e.Equal(e.reference(x), r), m) for x in node.inputs]
    up = _forward(e, node.proto.op_type.endswith("Max"), y, r)
    shares = zip(_even(e, now, e.Sum(*now)), _even(e, before, e.Sum(*before)), strict=True)
    taken = [e.Mul(m, e.Where(up, one, other)) for one, other in shares]
    return [
        e.Mul(part, _slope(e, delta(e, y), delta(e, x))) for part, x in zip(taken, node.inputs, strict=True)
    ]


@multipliers("ReduceMax", "ReduceMin", "GlobalMaxPool")
def reduce_extreme(e: Emit, node: Node, m: Value) -> Gradients:
    """Over axes that are kept with a length of 1 meanwhile."""
    x, r = node.input, e.reference(node.input)
    pools, idle = node.proto.op_type == "GlobalMaxPool", node.attr("noop_with_empty_axes", 0)
    op = "ReduceMax" if pools else node.proto.op_type
    axes: Operand = [*range(2, e.rank(x))] if pools else node.optional(1)
    y, y_reference = (getattr(e, op)(each, axes, keepdims=1, noop_with_empty_axes=idle) for each in (x, r))
    m = e.Reshape(m, e.Shape(y))

    def share(values: Value, most: Value) -> Value:
        hits = e.CastLike(e.Equal(values, most), m)
        return e.Div(hits, e.ReduceSum(hits, axes, keepdims=1, noop_with_empty_axes=idle))

    up = _forward(e, op == "ReduceMax", y, y_reference)
    part = e.Mul(m, e.Where(up, share(x, y), share(r, y_reference)))
    return [e.Mul(part, _slope(e, e.Sub(y, y_reference), delta(e, x)))]


@multipliers("MaxPool")
def max_pool(e: Emit, node: Node, m: Value) -> Gradients:
    """Window by window, at the first largest element; overlapping windows add up where they meet."""
    x, y, r = node.input, node.output, e.reference(node.output)
    attributes = {name: value for name, value in node.attributes.items() if name != "storage_order"}
    places, before = (e.several("MaxPool", 2, each, **attributes)[1] for each in (x, e.reference(x)))
    chosen = e.Where(e.GreaterOrEqual(y, r), places, before)
    change = e.Gather(e.Reshape(delta(e, x), [-1]), chosen)  # shaped like y
    return [put_back(e, chosen, e.Mul(m, _slope(e, delta(e, y), change)), x)]


def _forward(e: Emit, largest: bool, y: Value, r: Value) -> Value:
    """True where the winner now is the one that has changed at least as much as y."""
    return e.GreaterOrEqual(y, r) if largest else e.LessOrEqual(y, r)


def _even(e: Emit, hits: Sequence[Value], total: Value) -> list[Value]:
    return [e.Div(hit, total) for hit in hits]


def _slope(e: Emit, dy: Value, dx: Value) -> Value:
    """Of a winner, dy / dx lies between 0 and 1; where it hardly moves, y moves with it."""
    return quotient(e, dy, dx, e.LessOrEqual(e.Abs(dx), ulp(e)), 1.0)
