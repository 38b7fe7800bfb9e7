"""Operators that write numbers into a tensor, at places that are given.

Both kinds are one mathematics: `put` writes updates into a tensor with a reduction, `take` reads a
tensor where it would write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules.reduce import others
from whybox_server.graph.gradient.table import Gradients, vjp

Put: TypeAlias = Callable[[Value, Value, str | None], Value]
Take: TypeAlias = Callable[[Value], Value]


@vjp("ScatterElements", 18)
def scatter_elements(e: Emit, node: Node, dy: Value) -> Gradients:
    indices, axis = node.inputs[1], node.attr("axis", 0)

    def put(x: Value, updates: Value, reduction: str | None) -> Value:
        return e.ScatterElements(x, indices, updates, axis=axis, reduction=reduction)

    return _scattered(e, node, dy, put, lambda x: e.GatherElements(x, indices, axis=axis))


@vjp("ScatterND", 18)
def scatter_slices(e: Emit, node: Node, dy: Value) -> Gradients:
    indices = node.inputs[1]

    def put(x: Value, updates: Value, reduction: str | None) -> Value:
        return e.ScatterND(x, indices, updates, reduction=reduction)

    return _scattered(e, node, dy, put, lambda x: e.GatherND(x, indices))


def _scattered(e: Emit, node: Node, dy: Value, put: Put, take: Take) -> Gradients:
    """What was replaced has no gradient, what was added has that of its place."""
    reduction = node.attr("reduction", "none")
    if reduction == "none":
        return [put(dy, e.zeros(e.dims(node.inputs[2])), None), None, take(dy)]
    if reduction == "add":
        return [dy, None, take(dy)]
    return (_factors if reduction == "mul" else _extremes)(e, node, dy, put, take)


def _factors(e: Emit, node: Node, dy: Value, put: Put, take: Take) -> Gradients:
    """Each is multiplied by all others at its place."""
    x, updates = node.input, node.inputs[2]
    zero, zero_update = e.Equal(x, 0.0), e.Equal(updates, 0.0)
    product = put(e.Where(zero, 1.0, x), e.Where(zero_update, 1.0, updates), "mul")
    count = put(e.CastLike(zero, dy), e.CastLike(zero_update, dy), "add")
    d_updates = e.Mul(take(dy), others(e, updates, take(product), take(count)))
    return [e.Mul(dy, others(e, x, product, count)), None, d_updates]


def _extremes(e: Emit, node: Node, dy: Value, put: Put, take: Take) -> Gradients:
    """Ties share evenly."""
    x, y, updates = node.input, node.output, node.inputs[2]
    hit = e.CastLike(e.Equal(x, y), dy)
    hit_updates = e.CastLike(e.Equal(updates, take(y)), dy)
    share = e.Div(dy, put(hit, hit_updates, "add"))
    return [e.Mul(share, hit), None, e.Mul(take(share), hit_updates)]
