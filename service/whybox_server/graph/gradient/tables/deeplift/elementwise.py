"""Operators of one value at a time: the rescale rule (Shrikumar et al. 2017, section 3.5.2).

m dy / dx. Where dx is so small that dy / dx is mostly rounding, the derivative stands for it. With an
error of u (one ulp) in y the quotient is off by u / |dx|, and so is what the unit's inputs are given,
however well the sum of it fits; the derivative at x is off by |dx| f'', or by all of it at a kink; the
mean of both ends' derivatives by dx^2 f''' / 12. So a function with kinks, whose pieces are straight and
lose nothing to rounding, is divided down to dx = 8 u (1e-6 in float32), a smooth one to the cube root of
that (1e-2), where both errors are alike and the contribution is off by less than u.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import (
    delta,
    gradient,
    multipliers,
    over,
    quotient,
    ulp,
    with_values,
)

ROUNDING_ULPS = 8  # of a value and its reference, and of what led to them


@multipliers("Abs", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu")
def kinked(e: Emit, node: Node, m: Value) -> Gradients:
    small = e.Less(e.Abs(delta(e, node.input)), ROUNDING_ULPS * ulp(e))
    return [_rescaled(e, node, m, small, gradient(e, node, m))]


@multipliers("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Erf", "Exp", "Gelu")
@multipliers("Sigmoid", "Sin", "Sinh", "Softplus", "Tan", "Tanh")
def smooth(e: Emit, node: Node, m: Value) -> Gradients:
    small = e.Less(e.Abs(delta(e, node.input)), _cube_root(ROUNDING_ULPS * ulp(e)))
    return [_rescaled(e, node, m, small, _ends(e, node, m))]


@multipliers("Log", "Pow")
def relative(e: Emit, node: Node, m: Value) -> Gradients:
    """Smooth, but the steeper the nearer to 0: what is small is measured by |x| + |r|."""
    x, r = node.input, e.reference(node.input)
    size = e.Mul(e.Add(e.Abs(x), e.Abs(r)), _cube_root(ROUNDING_ULPS * ulp(e)))
    small = e.LessOrEqual(e.Abs(delta(e, x)), size)
    return [_rescaled(e, node, m, small, _ends(e, node, m))]


@multipliers("Sqrt")
def square_root(e: Emit, node: Node, m: Value) -> Gradients:
    """A root rises by dx / (sqrt(x) + sqrt(r)); 0 at x = r = 0, where there is no derivative."""
    return [over(e, m, e.Add(node.output, e.reference(node.output)))]


@multipliers("Reciprocal")
def reciprocal(e: Emit, node: Node, m: Value) -> Gradients:
    """The inverse of x falls by dx / (x r)."""
    return [e.Neg(e.Mul(m, e.Mul(node.output, e.reference(node.output))))]


@multipliers("Where")
def where(e: Emit, node: Node, m: Value) -> Gradients:
    """Where the choice is the reference's, that side has all of it.

    Else dy is shared in proportion to da^2 and db^2: the smallest multipliers with m_a da + m_b db = dy.
    A rectifier written by hand is so rescaled as one that is not.
    """
    condition, a, b = node.inputs
    chosen, rest = e.Where(condition, m, 0.0), e.Where(condition, 0.0, m)
    if e.reference(condition) == condition:
        return [None, chosen, rest]
    same = e.Equal(condition, e.reference(condition))
    da, db = delta(e, a), delta(e, b)
    size = e.Add(e.Mul(da, da), e.Mul(db, db))
    part = e.Mul(m, over(e, delta(e, node.output), size))
    return [None, e.Where(same, chosen, e.Mul(part, da)), e.Where(same, rest, e.Mul(part, db))]


def _cube_root(number: float) -> float:
    return float(number ** (1 / 3))


def _rescaled(e: Emit, node: Node, m: Value, small: Value, derivative: Value) -> Value:
    slope = quotient(e, delta(e, node.output), delta(e, node.input), small, 0.0)
    return e.Where(small, derivative, e.Mul(m, slope))


def _ends(e: Emit, node: Node, m: Value) -> Value:
    """The mean of m f'(x) and m f'(r)."""
    before = with_values(e, node, [e.reference(x) for x in node.inputs], e.reference(node.output))
    return e.Mul(e.Add(gradient(e, node, m), gradient(e, before, m)), 0.5)
