"""Tables of relevance: a rule for every linear operator, and one for each of the rest."""

from __future__ import annotations

from functools import partial

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Entry, Gradients, Refusal, Rule, Table
from whybox_server.graph.lrp.linear import BIAS, CONVOLUTIONS, PRODUCTS, linear
from whybox_server.graph.lrp.nodes import mixed, moves, passes, sums
from whybox_server.graph.lrp.rules import LinearRule, Params, stable


def base(params: Params) -> Table:
    """For all nodes but the linear layers."""
    return {**moves(), **passes(), **sums(params.stabilizer), **mixed()}


def layers(rule: LinearRule, params: Params, *ops: str) -> Table:
    """For the linear layers of these operators; none named: all."""
    return {
        key: Entry(
            partial(_linear, rule, params, entry.rule),
            refuses=partial(_not_linear, entry.refuses),
            divides=True,
        )
        for key, entry in GRADIENT.items()
        if key[0] in (ops or (*CONVOLUTIONS, *PRODUCTS))
    }


def _linear(rule: LinearRule, params: Params, gradient: Rule, e: Emit, node: Node, r: Value) -> Gradients:
    if node.wants(0) and node.wants(1):
        return _bilinear(gradient, params, e, node, r)
    layer = linear(e, node, gradient, zero_bias=params.zero_bias)
    return [*[None] * layer.place, rule(layer, r, params)]


def _bilinear(gradient: Rule, params: Params, e: Emit, node: Node, r: Value) -> Gradients:
    """Two tensors that both depend on what is explained, as in attention: each gets half.

    Achtibat et al. 2024, proposition 3.3: shared by the summands of z, and evenly in each.
    """
    q = e.Div(e.Mul(r, 0.5), stable(e, node.output, params.stabilizer))
    given = gradient(e, node, q)[:2]
    return [e.Mul(x, dx) for x, dx in zip(node.inputs, given, strict=False) if dx is not None]


def _not_linear(gradient: Refusal, facts: Facts, node: Node) -> str:
    if node.proto.op_type == "Einsum" and len(node.inputs) != 2:
        return "it has not two operands; export it as products of two"
    if node.wants(BIAS):
        return f"its bias {node.inputs[BIAS]!r} depends on what is explained"
    return gradient(facts, node)
