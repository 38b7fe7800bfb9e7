"""Products and quotients of values that both depend on what is explained: gates, attention, norms.

With mean() that of a value and its reference, d(a b) = mean(b) da + mean(a) db exactly: the gradient of
any bilinear operator, taken half way between the two passes.

A quotient is the factor of a product: from a = y b follows dy = (da - mean(y) db) / mean(b). Exact too,
and small where a and b grow together: as a product with 1 / b, which may fall by orders of magnitude
where a grows by as many, it would give each of them huge shares that cancel.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import (
    gradients,
    middle,
    multipliers,
    with_values,
)


@multipliers("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
def bilinear(e: Emit, node: Node, m: Value) -> Gradients:
    """With one factor only that depends on what is explained, this is the gradient."""
    if sum(e.reference(x) != x for x in node.inputs) < 2:
        return gradients(e, node, m)
    return gradients(e, with_values(e, node, [middle(e, x) for x in node.inputs]), m)


@multipliers("Mul")
def multiply(e: Emit, node: Node, m: Value) -> Gradients:
    """A factor that is 1 / b is divided by."""
    a, b = node.inputs
    if _inverse(e, b):
        return _times_inverse(e, node.output, a, b, m)
    if _inverse(e, a):
        return [*reversed(_times_inverse(e, node.output, b, a, m))]
    return bilinear(e, node, m)


@multipliers("Div")
def divide(e: Emit, node: Node, m: Value) -> Gradients:
    """Where b has changed its sign, its mean may be 0: there as a product."""
    a, b = node.inputs
    if e.reference(b) == b:
        return [e.Div(m, b), None]
    square = e.Mul(b, e.reference(b))
    alike = e.Greater(square, 0.0)
    other = e.Div(middle(e, b), square)  # mean(1 / b)
    below = e.Where(alike, e.Reciprocal(e.Where(alike, middle(e, b), 1.0)), other)
    share = e.Where(alike, e.Mul(middle(e, node.output), below), e.Div(middle(e, a), square))
    return [e.Mul(m, below), e.Neg(e.Mul(m, share))]


def _inverse(e: Emit, x: Value) -> bool:
    """True for 1 / b, as exporters write norms, where b depends on what is explained."""
    maker = e.facts.makers.get(x)
    if maker is None or e.reference(x) == x:
        return False
    one = maker.op_type == "Div" and e.reference(maker.input[0]) == maker.input[0]
    return one or maker.op_type == "Reciprocal"


def _times_inverse(e: Emit, y: Value, a: Value, s: Value, m: Value) -> list[Value]:
    """For y = a s, s = 1 / b: with mean(b) = mean(s) / (s s'), dy = (s s' da + mean(y) ds) / mean(s)."""
    square = e.Mul(s, e.reference(s))
    alike = e.Greater(square, 0.0)
    below = e.Reciprocal(e.Where(alike, middle(e, s), 1.0))
    da = e.Where(alike, e.Mul(square, below), middle(e, s))
    ds = e.Where(alike, e.Mul(middle(e, y), below), middle(e, a))
    return [e.Mul(m, da), e.Mul(m, ds)]
