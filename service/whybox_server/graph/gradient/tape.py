"""Walks a graph backwards and lets each node's rule pass the gradient on.

The walk adds up, sums broadcast gradients back, and leaves out what nobody asked for. It knows no
operator; what cannot be differentiated was refused before it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from whybox_server.graph.gradient.emit import Builder, Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path, version_of
from whybox_server.graph.gradient.table import Composite, Entry


def backward(builder: Builder, path: Path, seed: Value, rules: Composite) -> Value:
    """Emit what leads `path.of`, weighted by the seed, back to `path.wrt`; the result's name."""
    start = _emit(builder, path.of).Mul(seed, path.of) if rules.relevance else seed
    parts: dict[Value, list[Value]] = {path.of: [start]}
    for proto in reversed(path.nodes):
        gradients = {name: _sum(builder, name, parts.pop(name)) for name in proto.output if name in parts}
        if not gradients:
            continue
        node = Node(proto, gradients, path.values)
        entry = rules.entry(builder.facts, node, version_of(proto, path.opset), path)
        assert entry is not None, "what has no rule was refused"
        for x, dx in _passed_on(builder, node, entry):
            parts.setdefault(x, []).append(dx)
    return _sum(builder, path.wrt, parts[path.wrt])


def _passed_on(builder: Builder, node: Node, entry: Entry) -> Sequence[tuple[Value, Value]]:
    """Gradients of a node's wanted inputs, each of its input's shape."""
    facts = builder.facts
    e = _emit(builder, node.output)
    dy = node.gradients.get(node.output) or e.zeros(e.dims(node.output))
    dxs = entry.rule(e, node, dy)
    assert len(dxs) <= len(node.inputs), f"{node.proto.op_type} has more gradients than inputs"
    pairs = [(x, dx) for x, dx in zip(node.inputs, dxs, strict=False) if dx is not None and x in node.wanted]
    if not entry.broadcasts:
        return pairs
    return [(x, e.sum_to(dx, facts.shapes[node.output], x)) for x, dx in pairs]


def _sum(builder: Builder, name: Value, parts: Sequence[Value]) -> Value:
    return reduce(_emit(builder, name).Add, parts)


def _emit(builder: Builder, like: Value) -> Emit:
    """Works in the element type of this value."""
    return Emit(builder, builder.facts.kinds[like])
