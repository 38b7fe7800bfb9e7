"""Operators that work element by element.

Rules read y where they can, so that x need not be kept. At a kink the gradient is the one that torch
takes, and 0 outside of a clipped range.
"""

from __future__ import annotations

from math import inf, pi, sqrt
from math import log as ln

from onnx import TensorProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp

GELU_CUBIC = 0.044715  # Hendrycks and Gimpel 2016, section 2
HUGE, HUGE_HALF = 3.4e38, 65504.0  # what floats and half floats end at


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
    """x^0 is constant, at x = 0 too; a slope that is infinite at 0, or not real, is 0; so is such a log x."""
    x, p = node.input, e.Cast(node.inputs[1], to=e.kind)
    if _squares(e, node):
        return [e.Mul(dy, e.Mul(x, 2.0))]
    steep = e.Mul(p, e.Pow(x, e.Sub(p, 1.0)))
    infinite = e.And(e.Equal(x, 0.0), e.Less(p, 1.0))
    flat = e.Or(e.Or(e.Equal(p, 0.0), infinite), e.IsNaN(steep))
    dx = e.Mul(dy, e.Where(flat, 0.0, steep))
    log = e.Log(e.Where(e.Greater(x, 0.0), x, 1.0))
    return [dx, e.Mul(dy, e.Mul(node.output, log))]


def _squares(e: Emit, node: Node) -> bool:
    """True for an exponent that is 2, as in variances: kernels of Pow are slow."""
    exponent = e.facts.array(node.inputs[1])
    return exponent is not None and bool((exponent == 2).all()) and not node.wants(1)


@vjp("Mod", 13, broadcasts=True)
def remainder(e: Emit, node: Node, dy: Value) -> Gradients:
    """Of real numbers y = x - n b with a whole n."""
    x, b = node.inputs
    times = e.Round(e.Div(e.Sub(x, node.output), b))
    return [dy, e.Neg(e.Mul(dy, times))]


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
    """0 at 0, where the slope is infinite: what lies before, such as a Relu, may hold it back."""
    y = node.output
    return [e.Div(dy, e.Where(e.Equal(y, 0.0), inf, e.Mul(y, 2.0)))]


@vjp("Reciprocal", 13)
def reciprocal(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(e.Mul(dy, e.Mul(node.output, node.output)))]


@vjp("Exp", 13)
def exp(e: Emit, node: Node, dy: Value) -> Gradients:
    """What has no gradient has none where e^x overflows, too: logistic functions are written with it."""
    return [e.Mul(dy, e.Min(node.output, HUGE_HALF if e.kind == TensorProto.FLOAT16 else HUGE))]


@vjp("Log", 13)
def log(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, node.input)]


@vjp("Erf", 13)
def erf(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, _bell(e, node.input))]


def _bell(e: Emit, x: Value) -> Value:
    """Slope of the error function: 2 / sqrt(pi) exp(-x^2), its factor within the exponent."""
    return e.Exp(e.Sub(ln(2 / sqrt(pi)), e.Mul(x, x)))


@vjp("Sigmoid", 13)
def sigmoid(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Mul(node.output, e.Sub(1.0, node.output)))]


@vjp("Softplus", 1)
def softplus(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sigmoid(node.input))]


@vjp("Relu", 14)
def relu(e: Emit, node: Node, dy: Value) -> Gradients:
    """By a product, which runtimes have faster kernels for than for a choice."""
    return [e.Mul(dy, e.Cast(e.Greater(node.output, 0.0), to=e.kind))]


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
    """d(x F(x)) = F(x) + x F'(x), F the normal distribution or its approximation by tanh.

    Twice that is summed up, in the fewest passes over x; half of dy costs none after a MatMul.
    """
    x = node.input
    if node.attr("approximate", "none") == "none":
        u = e.Mul(x, sqrt(1 / 2))  # F = (1 + erf u) / 2
        tail = e.builder.made["Gelu", node.output] = e.Add(e.Erf(u), 1.0)
        twice = e.Add(tail, e.Mul(u, _bell(e, u)))
    else:
        a = sqrt(2 / pi)  # F = (1 + tanh v) / 2, v = a x + a c x^3, x v' = 3 v - 2 a x
        v = e.Mul(x, e.Add(e.Mul(e.Mul(x, x), a * GELU_CUBIC), a))
        t = e.Tanh(v)
        steep = e.Sub(e.Mul(v, 3.0), e.Mul(x, 2 * a))
        twice = e.Add(e.Add(e.Mul(steep, e.Sub(1.0, e.Mul(t, t))), t), 1.0)
    return [e.Mul(e.Mul(dy, 0.5), twice)]


@vjp("Clip", 13)
def clip(e: Emit, node: Node, dy: Value) -> Gradients:
    """Bounds are scalars; a bound gets the gradient of what it holds back.

    Only y is looked at, so that a runtime may make the Clip part of a Conv before it.
    """
    y, low, high = node.output, node.optional(1), node.optional(2)
    above, below = e.Greater(y, low) if low else "", e.Less(y, high) if high else ""
    inside = e.And(above, below) if low and high else above or below
    return [
        e.Mul(dy, e.Cast(inside, to=e.kind)) if inside else dy,
        e.ReduceSum(e.Where(above, 0.0, dy), keepdims=0) if low else None,
        e.ReduceSum(e.Where(below, 0.0, dy), keepdims=0) if high else None,
    ][: len(node.inputs)]
