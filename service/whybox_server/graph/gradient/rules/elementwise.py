"""Operators that work element by element.

Rules read y where they can, so that x need not be kept. At a kink the gradient is the one that torch
takes, and 0 outside of a clipped range.
"""

from __future__ import annotations

from math import pi, sqrt

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp

GELU_CUBIC = 0.044715  # Hendrycks and Gimpel 2016, section 2


@vjp("Add", 14, broadcasts=True)
def add(e: Emit, node: Node, dy: Value) -> Gradients:
    return [dy, dy]


@vjp("Sub", 14, broadcasts=True)
def sub(e: Emit, node: Node, dy: Value) -> Gradients:
    return [dy, e.Neg(dy)]


@vjp("Mul", 14, broadcasts=True)
def mul(e: Emit, node: Node, dy: Value) -> Gradients:
    a, b = node.inputs
    return [e.Mul(dy, b), e.Mul(dy, a)]


@vjp("Div", 14, broadcasts=True)
def div(e: Emit, node: Node, dy: Value) -> Gradients:
    da = e.Div(dy, node.inputs[1])
    return [da, e.Neg(e.Mul(da, node.output))]


@vjp("Pow", 15, broadcasts=True)
def power(e: Emit, node: Node, dy: Value) -> Gradients:
    """x^0 is constant, at x = 0 too; log x is real for positive x only."""
    x, p = node.input, e.CastLike(node.inputs[1], node.output)
    steep = e.Mul(p, e.Pow(x, e.Sub(p, 1.0)))
    dx = e.Mul(dy, e.Where(e.Equal(p, 0.0), 0.0, steep))
    log = e.Log(e.Where(e.Greater(x, 0.0), x, 1.0))
    return [dx, e.Mul(dy, e.Mul(node.output, log))]


@vjp("Sum", 13, broadcasts=True)
def total(e: Emit, node: Node, dy: Value) -> Gradients:
    return [dy for _ in node.inputs]


@vjp("Mean", 13, broadcasts=True)
def mean(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, float(len(node.inputs))) for _ in node.inputs]


@vjp("Max", 13, broadcasts=True)
@vjp("Min", 13, broadcasts=True)
def extreme(e: Emit, node: Node, dy: Value) -> Gradients:
    """Ties share evenly."""
    hits = [e.CastLike(e.Equal(x, node.output), dy) for x in node.inputs]
    share = e.Div(dy, e.Sum(*hits))
    return [e.Mul(share, hit) for hit in hits]


@vjp("Where", 16, broadcasts=True)
def where(e: Emit, node: Node, dy: Value) -> Gradients:
    condition = node.input
    return [None, e.Where(condition, dy, 0.0), e.Where(condition, 0.0, dy)]


@vjp("Neg", 13)
def neg(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(dy)]


@vjp("Abs", 13)
def absolute(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sign(node.input))]


@vjp("Sqrt", 13)
def square_root(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Mul(node.output, 2.0))]


@vjp("Reciprocal", 13)
def reciprocal(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(e.Mul(dy, e.Mul(node.output, node.output)))]


@vjp("Exp", 13)
def exp(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, node.output)]


@vjp("Log", 13)
def log(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, node.input)]


@vjp("Sin", 7)
def sin(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Cos(node.input))]


@vjp("Cos", 7)
def cos(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(e.Mul(dy, e.Sin(node.input)))]


@vjp("Erf", 13)
def erf(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Mul(e.Exp(e.Neg(e.Mul(node.input, node.input))), 2 / sqrt(pi)))]


@vjp("Tanh", 13)
def tanh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sub(1.0, e.Mul(node.output, node.output)))]


@vjp("Sigmoid", 13)
def sigmoid(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Mul(node.output, e.Sub(1.0, node.output)))]


@vjp("Softplus", 1)
def softplus(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sigmoid(node.input))]


@vjp("Relu", 14)
def relu(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Where(e.Greater(node.output, 0.0), dy, 0.0)]


@vjp("LeakyRelu", 16)
def leaky_relu(e: Emit, node: Node, dy: Value) -> Gradients:
    slope = node.attr("alpha", 0.01)
    return [e.Where(e.Greater(node.input, 0.0), dy, e.Mul(dy, slope))]


@vjp("PRelu", 16, broadcasts=True)
def learnt_relu(e: Emit, node: Node, dy: Value) -> Gradients:
    x, slope = node.inputs
    positive = e.Greater(x, 0.0)
    return [e.Where(positive, dy, e.Mul(dy, slope)), e.Where(positive, 0.0, e.Mul(dy, x))]


@vjp("Elu", 6)
def elu(e: Emit, node: Node, dy: Value) -> Gradients:
    below = e.Add(node.output, node.attr("alpha", 1.0))  # alpha e^x = y + alpha
    return [e.Where(e.Greater(node.input, 0.0), dy, e.Mul(dy, below))]


@vjp("HardSigmoid", 6)
def hard_sigmoid(e: Emit, node: Node, dy: Value) -> Gradients:
    inside = e.And(e.Greater(node.output, 0.0), e.Less(node.output, 1.0))
    return [e.Where(inside, e.Mul(dy, node.attr("alpha", 0.2)), 0.0)]


@vjp("HardSwish", 14)
def hard_swish(e: Emit, node: Node, dy: Value) -> Gradients:
    """For x max(0, min(1, x / 6 + 1/2)): slope 0 below -3, 1 above 3, x / 3 + 1/2 between."""
    x = node.input
    between = e.Mul(dy, e.Add(e.Div(x, 3.0), 0.5))
    return [e.Where(e.Greater(x, -3.0), e.Where(e.Less(x, 3.0), between, dy), 0.0)]


@vjp("Gelu", 20)
def gelu(e: Emit, node: Node, dy: Value) -> Gradients:
    """d(x F(x)) = F(x) + x F'(x), F the normal distribution or its approximation by tanh."""
    x = node.input
    square = e.Mul(x, x)
    if node.attr("approximate", "none") == "none":
        below = e.Mul(e.Add(e.Erf(e.Mul(x, sqrt(1 / 2))), 1.0), 0.5)
        density = e.Mul(e.Exp(e.Mul(square, -0.5)), 1 / sqrt(2 * pi))
    else:
        inner = e.Mul(e.Mul(x, e.Add(e.Mul(square, GELU_CUBIC), 1.0)), sqrt(2 / pi))
        t = e.Tanh(inner)
        steep = e.Mul(e.Add(e.Mul(square, 3 * GELU_CUBIC), 1.0), sqrt(2 / pi))
        below = e.Mul(e.Add(t, 1.0), 0.5)
        density = e.Mul(e.Mul(e.Sub(1.0, e.Mul(t, t)), steep), 0.5)
    return [e.Mul(dy, e.Add(below, e.Mul(x, density)))]


@vjp("Clip", 13)
def clip(e: Emit, node: Node, dy: Value) -> Gradients:
    """Bounds are scalars; a bound gets the gradient of what it holds back."""
    x, low, high = node.input, node.optional(1), node.optional(2)
    dx, d_low, d_high = dy, None, None
    if low:
        above = e.Greater(x, low)
        dx = e.Where(above, dx, 0.0)
        d_low = e.ReduceSum(e.Where(above, 0.0, dy), keepdims=0)
    if high:
        below = e.Less(x, high)
        dx = e.Where(below, dx, 0.0)
        d_high = e.ReduceSum(e.Where(below, 0.0, dy), keepdims=0)
    return [dx, d_low, d_high][: len(node.inputs)]
