"""What lies between a tensor and the tensor it is differentiated with respect to.

Gradients follow floating values only, and stop at operators that are constant wherever they have a
derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from onnx import NodeProto, defs

from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.gradient.table import PIECEWISE_CONSTANT, STRAIGHT_THROUGH, Composite
from whybox_server.graph.walk import reads


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """nodes: those that a gradient passes, in the graph's order. values: those that have one."""

    of: Value
    wrt: Value
    nodes: tuple[NodeProto, ...]
    values: frozenset[Value]
    opset: int


def path(nodes: Iterable[NodeProto], facts: Facts, of: Value, wrt: Value, opset: int) -> Path:
    """Every node that the gradient of `of` with respect to `wrt` passes; none if nothing leads there."""
    found = between(nodes, of, wrt, differentiable, facts.floating)
    made = {wrt}.union(*(led_on(node) for node in found))
    asked = {of}.union(*(followed(node) for node in found))
    return Path(of, wrt, found, frozenset(name for name in made & asked if facts.floating(name)), opset)


def between(
    nodes: Iterable[NodeProto],
    of: Value,
    wrt: Value,
    passes: Callable[[NodeProto], bool] = lambda node: True,
    carries: Callable[[Value], bool] = bool,
) -> tuple[NodeProto, ...]:
    """Nodes on any way from `wrt` to `of` through the nodes that pass and the values that carry."""
    reached, forward = ahead(nodes, {wrt}, passes, carries)
    return behind(forward, {of}, reached)[1]


def ahead(
    nodes: Iterable[NodeProto],
    ends: Collection[Value],
    passes: Callable[[NodeProto], bool],
    carries: Callable[[Value], bool],
) -> tuple[set[Value], tuple[NodeProto, ...]]:
    """The values that depend on any of these, and the nodes that make them."""
    reached, found = {*ends}, []
    for node in nodes:
        if passes(node) and any(carries(name) and name in reached for name in followed(node)):
            reached.update(name for name in led_on(node) if carries(name))
            found.append(node)
    return reached, tuple(found)


def behind(
    nodes: Sequence[NodeProto], starts: Collection[Value], reached: Collection[Value]
) -> tuple[set[Value], tuple[NodeProto, ...]]:
    """The values that any of these is made from, and those of the nodes that make what was reached."""
    needed, found = {*starts}, []
    for node in reversed(nodes):
        if any(name in needed and name in reached for name in node.output):
            needed.update(followed(node))
            found.append(node)
    return needed, tuple(reversed(found))


def followed(node: NodeProto) -> Iterable[Value]:
    """What a node reads and a gradient may be passed to: scales of quantised numbers are held fixed."""
    return node.input[:1] if node.op_type in STRAIGHT_THROUGH else reads(node)


def led_on(node: NodeProto) -> Iterable[Value]:
    """What a node makes and a gradient may come from; of quantised numbers not the scale."""
    return node.output[:1] if node.op_type in STRAIGHT_THROUGH else node.output


def version_of(node: NodeProto, opset: int) -> int:
    """The schema version that an operator of the standard domain has at this opset; 0: none."""
    if node.domain not in STANDARD or not defs.has(node.op_type):
        return 0
    try:
        return defs.get_schema(node.op_type, opset).since_version
    except defs.SchemaError:
        return 0


def differentiable(node: NodeProto) -> bool:
    return node.op_type not in PIECEWISE_CONSTANT


def known_to(rules: Composite) -> Callable[[NodeProto, int], bool]:
    """Whether an operator at an opset needs no other form: gradients stop there, or have a rule."""

    def known(node: NodeProto, opset: int) -> bool:
        return node.op_type in PIECEWISE_CONSTANT or rules.knows((node.op_type, version_of(node, opset)))

    return known
