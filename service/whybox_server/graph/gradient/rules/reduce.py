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


@vjp("ReduceL1", 18)
def reduce_l1(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(_lifted(e, node, dy), e.Sign(node.input))]


@vjp("ReduceSumSquare", 18)
def reduce_squares(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(_lifted(e, node, dy), e.Mul(node.input, 2.0))]


@vjp("ReduceLogSum", 18)
def reduce_log_sum(e: Emit, node: Node, dy: Value) -> Gradients:
    """The sum is e^y."""
    share = e.Div(dy, e.Exp(node.output))
    return [e.Expand(_lifted(e, node, share), e.dims(node.input))]


@vjp("ReduceLogSumExp", 18)
def reduce_log_sum_exp(e: Emit, node: Node, dy: Value) -> Gradients:
    y, dy = _lifted(e, node, node.output), _lifted(e, node, dy)
    return [e.Mul(dy, e.Exp(e.Sub(node.input, y)))]


@vjp("ReduceProd", 18)
def reduce_product(e: Emit, node: Node, dy: Value) -> Gradients:
    """Of all others: where one is 0, only that one has a gradient."""
    x, axes = node.input, node.optional(1)
    if _idle(node):
        return [dy]
    zero = e.Equal(x, 0.0)
    product = e.ReduceProd(e.Where(zero, 1.0, x), axes, keepdims=1)
    count = e.ReduceSum(e.CastLike(zero, dy), axes, keepdims=1)
    return [e.Mul(_lifted(e, node, dy), others(e, x, product, count))]


def others(e: Emit, x: Value, product: Value, zeros: Value) -> Value:
    """The product that x is part of, without x; product: of what is not 0. zeros: how many are."""
    zero = e.Equal(x, 0.0)
    alone = e.And(zero, e.Equal(zeros, 1.0))
    rest = e.Div(product, e.Where(zero, 1.0, x))
    return e.Where(e.Or(e.Equal(zeros, 0.0), alone), rest, 0.0)


def steep(e: Emit, x: Value, p: int) -> Value:
    """Of |x|^p the derivative over p: |x|^(p - 1) sign(x)."""
    if p == 1:
        return e.Sign(x)
    return x if p == 2 else e.Mul(e.Pow(e.Abs(x), float(p - 1)), e.Sign(x))


@vjp("CumSum", 14)
def cumulative_sum(e: Emit, node: Node, dy: Value) -> Gradients:
    """The same from the other end."""
    backwards = 1 - node.attr("reverse", 0)
    return [e.CumSum(dy, node.inputs[1], exclusive=node.attr("exclusive", 0), reverse=backwards)]
