"""Softmax and normalisations, as chains of steps that are exact one by one.

Each is what its primitives would give (differences of logarithms, squares, roots and products), written
as one so that nothing overflows or cancels on the way. Neighbours in a batch are never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from whybox_server.graph.gradient.emit import Emit, Operand
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import (
    delta,
    log_mean,
    middle,
    multipliers,
    over,
    quotient,
)


@multipliers("Softmax")
def softmax(e: Emit, node: Node, m: Value) -> Gradients:
    """For y = exp(x - l), l = log sum exp x: m_z for z = x - l, then what l passes on to every x."""
    axes = [node.attr("axis", -1)]
    weights, dl = _log_sum_exp(e, node.input, axes)
    dz = e.Sub(delta(e, node.input), dl)
    mz = e.Mul(m, log_mean(e, node.output, e.reference(node.output), dz))
    return [e.Sub(mz, e.Mul(weights, e.ReduceSum(mz, axes, keepdims=1)))]


@multipliers("LogSoftmax")
def log_softmax(e: Emit, node: Node, m: Value) -> Gradients:
    axes = [node.attr("axis", -1)]
    weights, _ = _log_sum_exp(e, node.input, axes)
    return [e.Sub(m, e.Mul(weights, e.ReduceSum(m, axes, keepdims=1)))]


@multipliers("ReduceLogSumExp")
def reduce_log_sum_exp(e: Emit, node: Node, m: Value) -> Gradients:
    weights, dl = _log_sum_exp(e, node.input, node.optional(1) or None, node.attr("noop_with_empty_axes", 0))
    return [e.Mul(weights, e.Reshape(m, e.Shape(dl)))]


def _log_sum_exp(e: Emit, x: Value, axes: Operand, idle: int = 0) -> tuple[Value, Value]:
    """Multipliers from l = log sum exp x to x, and dl, with the axes kept.

    dl = sum_i w_i dx_i with w_i = L(exp x_i, exp r_i) / L(exp l, exp l'), L the logarithmic mean. It is
    homogeneous: all are divided by the larger of exp l and exp l' first, and are 1 at most.
    """
    r = e.reference(x)
    now, before = (e.ReduceLogSumExp(each, axes, keepdims=1, noop_with_empty_axes=idle) for each in (x, r))
    most, dl = e.Max(now, before), e.Sub(now, before)

    def mean(a: Value, b: Value, d: Value) -> Value:
        return log_mean(e, e.Exp(e.Sub(a, most)), e.Exp(e.Sub(b, most)), d)

    return e.Div(mean(x, r, delta(e, x)), mean(now, before, dl)), dl


@multipliers("LpNormalization")
def lp_norm(e: Emit, node: Node, m: Value) -> Gradients:
    """The quotient of x and |x|_p, of which d|x|_p is known for both p that there are; 0 where x is 0."""
    x, r, axes = node.input, e.reference(node.input), [node.attr("axis", -1)]
    length = e.ReduceL1 if node.attr("p", 2) == 1 else e.ReduceL2
    now, before = (length(each, axes, keepdims=1) for each in (x, r))
    if node.attr("p", 2) == 1:
        d = delta(e, x)
        slope = quotient(e, e.Sub(e.Abs(x), e.Abs(r)), d, e.Equal(d, 0.0), e.Sign(x))
    else:
        slope = over(e, e.Add(x, r), e.Add(now, before))
    below = over(e, 2.0, e.Add(now, before))
    share = e.Mul(e.ReduceSum(e.Mul(m, middle(e, node.output)), axes, keepdims=1), slope)
    return [e.Mul(e.Sub(m, share), below)]


@multipliers("LayerNormalization")
def layer_norm(e: Emit, node: Node, m: Value) -> Gradients:
    rank = e.rank(node.input)
    axes = range(node.attr("axis", -1) % rank, rank)
    return [_standardised(e, node.input, axes, node.attr("epsilon", 1e-5), e.Mul(m, node.inputs[1]))]


@multipliers("InstanceNormalization")
def instance_norm(e: Emit, node: Node, m: Value) -> Gradients:
    rank = e.rank(node.input)
    wide = e.Unsqueeze(node.inputs[1], [*range(1, rank - 1)])  # (c, 1, 1)
    return [_standardised(e, node.input, range(2, rank), node.attr("epsilon", 1e-5), e.Mul(m, wide))]


def _standardised(e: Emit, x: Value, along: Sequence[int], epsilon: float, m: Value) -> Value:
    """For u = c / b, c = x - mean(x), b^2 = mean(c^2) + epsilon, from the multiplier m of u to x's.

    dc = mean'(b) du + mean'(u) db and db = mean(mean'(c) dc) / mean'(b), mean' being that of both passes:
    as the derivative is, with u in one place and c / b, which are not the same half way, in the other.
    """
    axes = [*along]
    (c, b), (c_before, b_before) = (_centred(e, each, axes, epsilon) for each in (x, e.reference(x)))
    below = e.Div(2.0, e.Add(b, b_before))
    u = e.Mul(e.Add(e.Div(c, b), e.Div(c_before, b_before)), 0.5)
    half_way = e.Mul(e.Mul(e.Add(c, c_before), 0.5), below)
    inner = e.ReduceMean(e.Mul(m, u), axes, keepdims=1)
    dc = e.Mul(below, e.Sub(m, e.Mul(half_way, inner)))
    return e.Sub(dc, e.ReduceMean(dc, axes, keepdims=1))


def _centred(e: Emit, x: Value, axes: list[int], epsilon: float) -> tuple[Value, Value]:
    c = e.Sub(x, e.ReduceMean(x, axes, keepdims=1))
    return c, e.Sqrt(e.Add(e.ReduceMean(e.Mul(c, c), axes, keepdims=1), epsilon))
