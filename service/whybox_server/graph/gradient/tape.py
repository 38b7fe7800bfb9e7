"""Walks a graph backwards and lets each node's rule pass the gradient on.

The walk adds up, sums broadcast gradients back, and leaves out what nobody asked for. It knows no
operator; what cannot be differentiated was refused before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from whybox_server.graph.gradient.emit import Builder, Emit
from whybox_server.graph.gradient.facts import Facts, Shape, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path, version_of
from whybox_server.graph.gradient.table import Composite, Entry


@dataclass(frozen=True, slots=True)
class Led:
    """What came back. largest: of relevance, the largest anywhere on the way, one number per row; else ""."""

    result: Value
    largest: Value = ""


def backward(builder: Builder, path: Path, seed: Value, rules: Composite) -> Led:
    """Emit what leads `path.of`, weighted by the seed, back to `path.wrt`."""
    if not rules.relevance:
        return Led(_arrived(builder, path, walk(builder, path, [(path.of, seed)], rules)))
    e = _emit(builder, path.of)
    start = e.Mul(seed, path.of)
    sizes = [_size(e, start, e.rank(path.of))]
    found = _arrived(builder, path, walk(builder, path, [(path.of, start)], rules, sizes))
    return Led(found, e.Max(*sizes) if len(sizes) > 1 else sizes[0])


def _arrived(builder: Builder, path: Path, gradients: Mapping[Value, Value]) -> Value:
    """Zeros, if graphs inside nodes let nothing through."""
    e = _emit(builder, path.wrt)
    return gradients.get(path.wrt) or e.zeros(e.dims(path.wrt))


def walk(
    builder: Builder,
    path: Path,
    starts: Iterable[tuple[Value, Value]],
    rules: Composite,
    sizes: list[Value] | None = None,
) -> Mapping[Value, Value]:
    """From values with their gradients to the gradients of what the path begins with.

    A start that no node of the path makes keeps its own; where no gradient arrives there is no entry.
    sizes: gets the largest number per row of what a rule that divides passes on.
    """
    parts: dict[Value, list[Value]] = {}
    for name, dy in starts:
        parts.setdefault(name, []).append(dy)
    for proto in reversed(path.nodes):
        gradients = {name: _sum(builder, name, parts.pop(name)) for name in proto.output if name in parts}
        if not gradients:
            continue
        node = Node(proto, gradients, path.values, path, rules)
        entry = rules.entry(builder.facts, node, version_of(proto, path.opset), path)
        assert entry is not None, "what has no rule was refused"
        for x, dx in _passed_on(builder, node, entry):
            parts.setdefault(x, []).append(dx)
            if sizes is not None and entry.divides and _keeps_rows(builder, x, path.of):
                sizes.append(_size(_emit(builder, x), dx, len(builder.facts.shapes[x])))
    return {name: _sum(builder, name, found) for name, found in parts.items()}


def _passed_on(builder: Builder, node: Node, entry: Entry) -> Sequence[tuple[Value, Value]]:
    """Gradients of what a node reads and is wanted, each of its operand's shape."""
    facts = builder.facts
    e = _emit(builder, node.output if facts.floating(node.output) else next(iter(node.gradients)))
    dy = node.gradients.get(node.output) or (e.zeros(e.dims(node.output)) if node.output else "")
    dxs = entry.rule(e, node, dy)
    operands = node.operands
    assert len(dxs) <= len(operands), f"{node.proto.op_type} has more gradients than operands"
    pairs = [(x, dx) for x, dx in zip(operands, dxs, strict=False) if dx is not None and x in node.wanted]
    if not entry.broadcasts:
        return pairs
    return [(x, e.sum_to(dx, _met(facts, node, x), x)) for x, dx in pairs]


def _met(facts: Facts, node: Node, x: Value) -> Shape:
    """The output's shape, with 1 where x cannot have been broadcast: no other input is longer than 1 there."""
    others = [facts.shapes.get(name) for name in node.inputs if name not in ("", x)]
    shape = list(facts.shapes[node.output])
    for axis in range(-len(facts.shapes[x]), 0):
        if all(other is not None and (-axis > len(other) or other[axis] == 1) for other in others):
            shape[axis] = 1
    return tuple(shape)


def _sum(builder: Builder, name: Value, parts: Sequence[Value]) -> Value:
    return reduce(_emit(builder, name).Add, parts)


def _keeps_rows(builder: Builder, x: Value, of: Value) -> bool:
    """True if the first axis is known to be that of the rows: heads of attention may be folded into it."""
    rows = builder.facts.shapes[of][:1]
    return rows != (None,) and builder.facts.shapes[x][:1] == rows != ()


def _size(e: Emit, dx: Value, rank: int) -> Value:
    """The largest absolute number of each row, (n,)."""
    sizes = e.Abs(dx)
    return e.ReduceMax(sizes, [*range(1, rank)], keepdims=0) if rank > 1 else e.Reshape(sizes, [-1])


def _emit(builder: Builder, like: Value) -> Emit:
    """Works in the element type of this value."""
    return Emit(builder, builder.facts.kind(like))
