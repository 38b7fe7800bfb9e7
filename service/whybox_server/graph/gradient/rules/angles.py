"""Circular and hyperbolic functions and their inverses."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


@vjp("Sin", 7)
def sin(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Cos(node.input))]


@vjp("Cos", 7)
def cos(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(e.Mul(dy, e.Sin(node.input)))]


@vjp("Tan", 7)
def tan(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Add(_square(e, node.output), 1.0))]


@vjp("Sinh", 9)
def sinh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Cosh(node.input))]


@vjp("Cosh", 9)
def cosh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sinh(node.input))]


@vjp("Tanh", 13)
def tanh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Mul(dy, e.Sub(1.0, _square(e, node.output)))]


@vjp("Asin", 7)
def arc_sin(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Sqrt(e.Sub(1.0, _square(e, node.input))))]


@vjp("Acos", 7)
def arc_cos(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Neg(e.Div(dy, e.Sqrt(e.Sub(1.0, _square(e, node.input)))))]


@vjp("Atan", 7)
def arc_tan(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Add(_square(e, node.input), 1.0))]


@vjp("Asinh", 9)
def area_sinh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Sqrt(e.Add(_square(e, node.input), 1.0)))]


@vjp("Acosh", 9)
def area_cosh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Sqrt(e.Sub(_square(e, node.input), 1.0)))]


@vjp("Atanh", 9)
def area_tanh(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Div(dy, e.Sub(1.0, _square(e, node.input)))]


def _square(e: Emit, x: Value) -> Value:
    return e.Mul(x, x)
