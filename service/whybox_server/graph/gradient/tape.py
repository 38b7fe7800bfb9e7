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
from whybox_server.graph.gradient.table import Entry, Table


def backward(builder: Builder, path: Path, seed: Value, table: Table) -> Value:
    """Emit the gradient of `path.of`, weighted by the seed, with respect to `path.wrt`; its name."""
    parts: dict[Value, list[Value]] = {path.of: [seed]}
    for proto in reversed(path.nodes):
        gradients = {name: _sum(builder, name, parts.pop(name)) for name in proto.output if name in parts}
        if not gradients:
            continue
        node = Node(proto, gradients, path.values)
        entry = table[proto.op_type, version_of(proto, path.opset)]
        for x, dx in _passed_on(builder, node, entry):
            parts.setdefault(x, []).append(dx)
    return _sum(builder, path.wrt, parts[path.wrt])


def _passed_on(builder: Builder, node: Node, entry: Entry) -> Sequence[tuple[Value, Value]]:
    """Gradients of a node's wanted inputs, each of its input's shape."""
    facts = builder.facts
    e = Emit(builder, facts.kinds[node.output])
    dy = node.gradients.get(node.output) or e.zeros(e.dims(node.output))
    dxs = entry.rule(e, node, dy)
    assert len(dxs) <= len(node.inputs), f"{node.proto.op_type} has more gradients than inputs"
    pairs = [(x, dx) for x, dx in zip(node.inputs, dxs, strict=False) if dx is not None and x in node.wanted]
    if not entry.broadcasts:
        return pairs
    return [(x, e.sum_to(dx, facts.shapes[node.output], x)) for x, dx in pairs]


def _sum(builder: Builder, name: Value, parts: Sequence[Value]) -> Value:
    e = Emit(builder, builder.facts.kinds[name])
    return reduce(e.Add, parts)
