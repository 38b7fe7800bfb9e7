"""Guided backpropagation and deconvnet: the gradient, but for what a rectifier lets through.

A rectifier is what sets negative numbers to zero: Relu, and Clip or Max with a lower bound of zero
(ReLU6 is exported as a Clip). LeakyRelu, PRelu, Elu, Gelu and the like let negative numbers pass; no
paper says what these methods do with them, so they keep their gradient, as in captum and zennit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite, Gradients, Layer, Rule, Table


def _guided(gradient: Rule) -> Rule:
    """Springenberg et al. 2015, figure 1: what is positive both in the forward and the backward pass."""

    def rule(e: Emit, node: Node, dy: Value) -> Gradients:
        return gradient(e, node, e.Relu(dy))

    return rule


def _deconvnet(gradient: Rule) -> Rule:
    """Zeiler and Fergus 2014, section 2.1: what is positive in the backward pass alone."""

    def rule(e: Emit, node: Node, dy: Value) -> Gradients:
        return [e.Relu(dy) if node.wants(place) else None for place in range(len(node.inputs))]

    return rule


def _from_zero(facts: Facts, node: Node, path: Path) -> bool:
    """A Clip or Max of one tensor on the path that holds back what is negative."""
    bounds = node.inputs[1:2] if node.proto.op_type == "Clip" else node.inputs
    fixed = [facts.array(name) for name in bounds if name and name not in path.values]
    return len(fixed) == 1 and fixed[0] is not None and not fixed[0].any()


def _changed(change: Callable[[Rule], Rule], *ops: str) -> Table:
    entries = {key: entry for key, entry in GRADIENT.items() if key[0] in ops}
    return {key: replace(entry, rule=change(entry.rule)) for key, entry in entries.items()}


def _composite(change: Callable[[Rule], Rule]) -> Composite:
    bounded = Layer(_from_zero, _changed(change, "Clip", "Max"))
    return Composite({**GRADIENT, **_changed(change, "Relu")}, (bounded,))


GUIDED, DECONVNET = _composite(_guided), _composite(_deconvnet)
