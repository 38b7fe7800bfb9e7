"""Graphs inside a node: the body of a Scan, the branches of an If.

They are walked like the graph around them. What they read from outside counts as what they begin with,
and the state that a Scan hands from step to step closes a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from onnx import GraphProto, NodeProto

from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.loop import Loop
from whybox_server.graph.gradient.path import Path, ahead, behind, differentiable, followed
from whybox_server.graph.walk import captured, subgraphs


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """facts: of all that it may read. path: what gradients pass inside; `of`, `wrt`: the whole graph's."""

    graph: GraphProto
    facts: Facts
    path: Path


def inner_graphs(facts: Facts, proto: NodeProto, path: Path) -> Iterator[Inner]:
    """What is inside a node of this path; nothing for most."""
    outside = wanted(proto, path.values)
    if proto.op_type == "Scan":
        loop = Loop.of(proto)
        ends = {state.enters for state in loop.states if state.initial in path.values}
        ends |= {tape.inner for tape in loop.reads if tape.outer in path.values}
        starts = {state.leaves for state in loop.states if state.final in path.values}
        starts |= {tape.inner for tape in loop.writes if tape.outer in path.values}
        states = {state.enters: state.leaves for state in loop.states if facts.floating(state.initial)}
        yield _inner(loop.body, facts, path, starts, ends.union(outside), states)
    elif proto.op_type == "If":
        places = [place for place, name in enumerate(proto.output) if name in path.values]
        for graph in subgraphs(proto):
            yield _inner(graph, facts, path, {graph.output[place].name for place in places}, {*outside}, {})


def wanted(proto: NodeProto, values: Collection[Value]) -> list[Value]:
    """Those of the values that the graphs inside a node read from outside."""
    return [name for name in captured(proto) if name in values]


def _inner(
    graph: GraphProto,
    outer: Facts,
    path: Path,
    starts: set[Value],
    ends: set[Value],
    states: Mapping[Value, Value],
) -> Inner:
    """states: what enters a step -> what leaves it. Where one is reached, so is the other."""
    facts = Facts.of(graph).within(outer)
    while True:
        reached, forward = ahead(graph.node, ends, differentiable, facts.floating)
        needed, nodes = behind(forward, starts, reached)
        entered = {enters for enters, leaves in states.items() if leaves in reached}
        left = {leaves for enters, leaves in states.items() if enters in needed}
        if entered <= ends and left <= starts:
            break
        ends, starts = ends | entered, starts | left
    made = ends.union(*(node.output for node in nodes))
    read = starts.union(*(followed(node) for node in nodes))
    values = frozenset(name for name in made & read if facts.floating(name))
    return Inner(graph, facts, Path(path.of, path.wrt, nodes, values, path.opset))
