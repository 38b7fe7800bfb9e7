"""Reductions. Each first gives dy the axes back that the reduction took, with length 1."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


def _idle(node: Node) -> bool:
    """True if no axes are named and that means none."""
    return not node.optional(1) and bool(node.attr("noop_with_empty_axes", 0))


def _lifted(e: Emit, node: Node, reduced: Value) -> Value:
    """Either dy or y, with the rank of x."""
    if node.attr("keepdims", 1) or _idle(node):
        return reduced
    if node.optional(1):
        return e.Unsqueeze(reduced, node.inputs[1])
    return e.Reshape(reduced, [1] * e.rank(node.input))


@vjp("ReduceSum", 13)
def reduce_sum(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Expand(_lifted(e, node, dy), e.dims(node.input))]


@vjp("ReduceMean", 18)
def reduce_mean(e: Emit, node: Node, dy: Value) -> Gradients:
    """Size(x) / Size(y) elements share each gradient."""
    x = node.input
    count = e.CastLike(e.Div(e.Size(x), e.Size(node.output)), dy)
    return [e.Expand(_lifted(e, node, e.Div(dy, count)), e.dims(x))]


@vjp("ReduceMax", 18, 20)
@vjp("ReduceMin", 18, 20)
def reduce_extreme(e: Emit, node: Node, dy: Value) -> Gradients:
    """Ties share evenly."""
    x, dy = node.input, _lifted(e, node, dy)
    hits = e.CastLike(e.Equal(x, _lifted(e, node, node.output)), dy)
    if _idle(node):
        return [dy]
    return [e.Mul(hits, e.Div(dy, e.ReduceSum(hits, node.optional(1), keepdims=1)))]


@vjp("ReduceL2", 18)
def reduce_l2(e: Emit, node: Node, dy: Value) -> Gradients:
    """The direction x / |x|, and 0 where x is 0."""
    y, dy = _lifted(e, node, node.output), _lifted(e, node, dy)
    return [e.Mul(dy, e.Div(node.input, e.Where(e.Equal(y, 0.0), 1.0, y)))]


@vjp("ReduceLogSumExp", 18)
def reduce_log_sum_exp(e: Emit, node: Node, dy: Value) -> Gradients:
    y, dy = _lifted(e, node, node.output), _lifted(e, node, dy)
    return [e.Mul(dy, e.Exp(e.Sub(node.input, y)))]


@vjp("CumSum", 14)
def cumulative_sum(e: Emit, node: Node, dy: Value) -> Gradients:
    """The same from the other end."""
    backwards = 1 - node.attr("reverse", 0)
    return [e.CumSum(dy, node.inputs[1], exclusive=node.attr("exclusive", 0), reverse=backwards)]
