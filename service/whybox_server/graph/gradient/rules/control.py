"""Operators that hold graphs: Scan and If. Their graphs are walked like the one around them.

A gradient is led to a node's inputs, and to what its graphs read from outside. Loop has no rule: how
often it runs is known only afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial

from onnx import GraphProto, NodeProto, helper

from whybox_server.graph.gradient.emit import Builder, Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.inner import Inner, inner_graphs, wanted
from whybox_server.graph.gradient.loop import Loop, State, Tape, close, looped, nested
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp
from whybox_server.graph.gradient.tape import walk
from whybox_server.graph.gradient.twin import MEASURES
from whybox_server.graph.walk import attribute, captured, reads


@vjp("If", 16, 19, 21, outputs=None)
def choose(e: Emit, node: Node, dy: Value) -> Gradients:
    """The same choice between the gradients of the branches, each of which computes its branch again."""
    assert node.path is not None
    assert node.rules is not None
    outside, copy, graphs = wanted(node.proto, node.wanted), _copied(node.proto), {}
    for entry, body in zip(copy.attribute, inner_graphs(e.facts, copy, node.path), strict=True):
        inner = nested(e.builder, body.facts, body.graph)
        outputs = dict(zip(node.outputs, (out.name for out in body.graph.output), strict=False))
        starts = [(outputs[name], gradient) for name, gradient in node.gradients.items()]
        dxs = walk(inner, body.path, starts, node.rules)
        graphs[entry.name] = close(inner, [dxs.get(name) or _zeros(inner, name) for name in outside])
    found = dict(zip(outside, e.several("If", len(outside), node.input, **graphs), strict=True))
    return [None, *map(found.get, captured(node.proto))]


@vjp("Scan", 16, 19, 21, outputs=None)
def scan(e: Emit, node: Node, dy: Value) -> Gradients:
    """The steps backwards: from the gradient of the state that leaves a step to that of the one that enters.

    What a step backwards needs of its step forwards is kept on tapes: the node gets more outputs.
    Gradients of what the body reads from outside are added up on the way.
    """
    assert node.path is not None
    copy = _copied(node.proto)
    (body,) = inner_graphs(e.facts, copy, node.path)
    back = _back(e.builder, node, Loop.of(copy), body.path.values)
    if not (back.states or back.sums or back.sought):
        return []
    forward = list(body.graph.node)
    graph = _stepped_back(nested(e.builder, body.facts, body.graph), node, body, back)
    kept = list(_kept(e.builder, node.proto, forward, graph))
    zeros = partial(_zeros, e.builder)
    states = [
        State(name, node.gradients.get(one.final) or zeros(one.initial)) for one, name in back.states.items()
    ]
    states += [State(total, zeros(name)) for name, total in back.sums.items()]
    given = [
        replace(one.rewound, inner=name, outer=node.gradients[one.outer]) for one, name in back.steps.items()
    ]
    reads, writes = [*given, *kept], [one.rewound for one in back.sought]
    found = looped(e, graph, states, reads or [back.loop.reads[0]], writes)
    names = [*(one.enters for one in back.states), *back.sums, *(one.inner for one in back.sought)]
    dxs = dict(zip(names, found, strict=True))
    entering = [*(one.enters for one in back.loop.states), *(one.inner for one in back.loop.reads)]
    return [*map(dxs.get, entering), *map(dxs.get, captured(node.proto))]


@dataclass(frozen=True, slots=True, eq=False)
class Back:
    """What a step backwards is given, and asked for; names are those of gradients inside.

    states: of what leaves a step. sums: so far, of what is read from outside. steps: of what is written.
    sought: tapes whose gradients are written.
    """

    loop: Loop
    states: dict[State, Value]
    sums: dict[Value, Value]
    steps: dict[Tape, Value]
    sought: list[Tape]


def _back(builder: Builder, node: Node, loop: Loop, values: Collection[Value]) -> Back:
    return Back(
        loop,
        {one: builder.fresh("state") for one in loop.states if one.enters in values or one.leaves in values},
        {name: builder.fresh("sum") for name in wanted(node.proto, node.wanted)},
        {one: builder.fresh("step") for one in loop.writes if one.outer in node.gradients},
        [one for one in loop.reads if one.inner in values],
    )


def _stepped_back(inner: Builder, node: Node, body: Inner, back: Back) -> GraphProto:
    """The graph of a step backwards: new gradients of states, new sums, gradients of what was read."""
    assert node.rules is not None
    count = len(inner.graph.node)
    starts = [(one.leaves, name) for one, name in back.states.items() if one.leaves in body.path.values]
    starts += [(one.inner, name) for one, name in back.steps.items()]
    dxs = walk(inner, body.path, starts, node.rules)
    results = [dxs.get(one.enters) or _none(inner, one.enters, name) for one, name in back.states.items()]
    results += [_plus(inner, name, total, dxs.get(name)) for name, total in back.sums.items()]
    results += [dxs.get(one.inner) or _zeros(inner, one.inner) for one in back.sought]
    del inner.graph.node[:count]
    return close(inner, results)


def _kept(builder: Builder, proto: NodeProto, forward: list[NodeProto], graph: GraphProto) -> Iterator[Tape]:
    """Tapes of all that the graph, steps backwards, reads of the steps forwards. Of shapes, only the shape."""
    loop = Loop.of(proto)
    rest: list[NodeProto] = []
    made = {entry.name for entry in loop.body.input}.union(*(node.output for node in forward))
    for node in graph.node:
        ahead = node.op_type in MEASURES and node.input[0] in made
        (forward if ahead else rest).append(node)
        made.update(node.output if ahead else ())
    for nodes, target in ((forward, loop.body), (rest, graph)):
        del target.node[:]
        target.node.extend(nodes)
    known = {tape.inner: tape for tape in (*loop.reads, *loop.writes) if tape.outer}
    for name in dict.fromkeys(name for node in rest for name in reads(node) if name in made):
        yield known[name].rewound if name in known else _written(builder, proto, loop.body, name).rewound


def _written(builder: Builder, proto: NodeProto, body: GraphProto, name: Value) -> Tape:
    """One more output of a Scan."""
    end, tape = builder.fresh("kept"), Tape(name, builder.fresh("kept"))
    body.node.append(helper.make_node("Identity", [name], [end]))
    proto.output.extend([*[""] * (len(body.output) - len(proto.output)), tape.outer])
    body.output.add(name=end)
    for given in ("scan_output_axes", "scan_output_directions"):
        listed = attribute(proto, given)
        if listed is not None:
            listed.ints.append(0)
    return tape


def _copied(proto: NodeProto) -> NodeProto:
    """To walk in, while the node itself stays."""
    copy = NodeProto()
    copy.CopyFrom(proto)
    return copy


def _zeros(builder: Builder, like: Value) -> Value:
    e = Emit(builder, builder.facts.kind(like))
    return e.zeros(e.dims(like))


def _none(builder: Builder, state: Value, like: Value) -> Value:
    """Zeros for a state, of the shape of the gradient at hand."""
    e = Emit(builder, builder.facts.kind(state))
    return e.zeros(e.Shape(like))


def _plus(builder: Builder, name: Value, total: Value, dx: Value | None) -> Value:
    return Emit(builder, builder.facts.kind(name)).Add(total, dx) if dx else total
