"""What lies between a tensor and the tensor it is differentiated with respect to.

Gradients follow floating values only, and stop at operators that are constant wherever they have a
derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onnx import NodeProto, defs

from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.gradient.table import PIECEWISE_CONSTANT
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
    found = between(nodes, of, wrt, _differentiable, facts.floating)
    made = {wrt}.union(*(node.output for node in found))
    asked = {of}.union(*(reads(node) for node in found))
    return Path(of, wrt, found, frozenset(name for name in made & asked if facts.floating(name)), opset)


def between(
    nodes: Iterable[NodeProto],
    of: Value,
    wrt: Value,
    passes: Callable[[NodeProto], bool] = lambda node: True,
    carries: Callable[[Value], bool] = bool,
) -> tuple[NodeProto, ...]:
    """Nodes on any way from `wrt` to `of` through the nodes that pass and the values that carry."""
    reached, forward = {wrt}, []
    for node in nodes:
        if passes(node) and any(carries(name) and name in reached for name in reads(node)):
            reached.update(name for name in node.output if carries(name))
            forward.append(node)
    needed, found = {of}, []
    for node in reversed(forward):
        if needed.intersection(reached).intersection(node.output):
            needed.update(reads(node))
            found.append(node)
    return tuple(reversed(found)) if of in reached else ()


def version_of(node: NodeProto, opset: int) -> int:
    """The schema version that an operator of the standard domain has at this opset; 0: none."""
    if node.domain not in STANDARD or not defs.has(node.op_type):
        return 0
    try:
        return defs.get_schema(node.op_type, opset).since_version
    except defs.SchemaError:
        return 0


def _differentiable(node: NodeProto) -> bool:
    return node.op_type not in PIECEWISE_CONSTANT
