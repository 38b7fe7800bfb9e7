"""A Scan by the roles of its values: what goes from step to step, what is read and written step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import GraphProto, NodeProto

from whybox_server.graph.gradient.emit import Builder, Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.walk import prune


@dataclass(frozen=True, slots=True)
class State:
    """Goes from step to step. enters, leaves: its names in the body; initial, final: outside."""

    enters: Value
    initial: Value
    leaves: Value = ""
    final: Value = ""


@dataclass(frozen=True, slots=True)
class Tape:
    """Read or written step by step, along this axis. inner: its name in the body; outer: outside.

    reverse: 1 if the last step comes first.
    """

    inner: Value
    outer: Value
    axis: int = 0
    reverse: int = 0

    @property
    def rewound(self) -> Tape:
        """The same tape, when the steps are taken from the last to the first."""
        return replace(self, reverse=1 - self.reverse)


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """A Scan's parts, in its order."""

    body: GraphProto
    states: tuple[State, ...]
    reads: tuple[Tape, ...]
    writes: tuple[Tape, ...]

    @classmethod
    def of(cls, proto: NodeProto) -> Loop:
        node = Node(proto)
        body: GraphProto = node.attr("body", None)
        count = len(proto.input) - node.attr("num_scan_inputs", 0)
        inner_in, inner_out = ([entry.name for entry in side] for side in (body.input, body.output))
        outer_out = [*proto.output, *[""] * (len(inner_out) - len(proto.output))]
        states = zip(inner_in[:count], proto.input[:count], inner_out[:count], outer_out[:count], strict=True)
        return cls(
            body,
            tuple(State(*names) for names in states),
            _tapes(node, "input", inner_in[count:], proto.input[count:]),
            _tapes(node, "output", inner_out[count:], outer_out[count:]),
        )


def _tapes(node: Node, side: str, inner: Sequence[Value], outer: Sequence[Value]) -> tuple[Tape, ...]:
    axes = node.attr(f"scan_{side}_axes", [0] * len(inner))
    ways = node.attr(f"scan_{side}_directions", [0] * len(inner))
    return tuple(Tape(*one) for one in zip(inner, outer, axes, ways, strict=True))


def nested(builder: Builder, facts: Facts, graph: GraphProto) -> Builder:
    """A builder for a graph in a node of the builder's graph: none of its names shadows another."""
    return Builder(graph, facts, names=builder.names)


def close(inner: Builder, outputs: Sequence[Value]) -> GraphProto:
    """The graph with these outputs, without what they do not need.

    Runtimes want an operator before every output, and no output twice.
    """
    e, graph = Emit(inner, 0), inner.graph
    del graph.input[:], graph.output[:], graph.value_info[:]
    for name in [e.Identity(value) for value in outputs]:
        graph.output.add(name=name)
    prune(graph)
    return graph


def looped(
    e: Emit, body: GraphProto, states: Sequence[State], reads: Sequence[Tape], writes: Sequence[Tape]
) -> list[Value]:
    """A Scan whose closed body has the states' and then the tapes' outputs: what they are outside."""
    for name in (*(state.enters for state in states), *(tape.inner for tape in reads)):
        body.input.add(name=name)
    return e.several(
        "Scan",
        len(states) + len(writes),
        *(state.initial for state in states),
        *(tape.outer for tape in reads),
        body=body,
        num_scan_inputs=len(reads),
        scan_input_axes=[tape.axis for tape in reads],
        scan_input_directions=[tape.reverse for tape in reads],
        scan_output_axes=[tape.axis for tape in writes] or None,
        scan_output_directions=[tape.reverse for tape in writes] or None,
    )
