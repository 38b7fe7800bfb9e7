"""What there is to see in a model's graph: its tensors, and which of them gradients reach.

The survey is made once per model, on the normalised graph without large weights, and costs as much
for a large model as for a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto, NodeProto

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.probe import Site
from whybox_server.graph.gradient.check import ALTERNATIVES, REMEDY, requires, unconnected
from whybox_server.graph.gradient.differentiate import PLAIN
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.normalise import normalise
from whybox_server.graph.gradient.path import between, differentiable, known_to, path
from whybox_server.graph.maps import POOLS, channel_axes
from whybox_server.graph.walk import producers, reads

# Operators behind which whole numbers are still the same numbers, one per place.
RENAMING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """inputs: that callers give, in the graph's order. scores: the tensor that is explained."""

    nodes: Sequence[NodeProto]
    facts: Facts
    inputs: tuple[Value, ...]
    scores: Value
    names: frozenset[Value]  # of the model as it came: only these can be asked for
    batched: bool
    opset: int

    def site(self, name: Value, inputs: tuple[str, ...] = ()) -> Site:
        """A tensor, without its batch axis."""
        shape = self.facts.shapes.get(name, ())
        lengths = tuple(length if isinstance(length, int) else None for length in shape)
        return Site(name, lengths[1:] if self.batched else lengths, inputs)

    def explained(self, main: Value) -> Site:
        """Where gradients for the input `main` are taken: it, or what its whole numbers are looked up as.

        Several inputs of real numbers that are only joined to one tensor are explained together.
        Raises InvalidRequest when several inputs could be meant, MethodUnsupported when none can.
        """
        real = [name for name in self.inputs if self._reached(name)]
        whole = [] if main in real else [main, *(name for name in self.inputs if name != main)]
        for name in whole:
            if (table := self._table(name)) is not None:
                return self.site(table, (name,))
        if not real:
            raise MethodUnsupported(self._nowhere(main), alternatives=ALTERNATIVES)
        if len(real) == 1:
            return self.site(real[0], (real[0],))
        joined = self._joined(real)
        if joined is None:
            raise InvalidRequest.of(
                "at", f"the model has several inputs of real numbers; name one of {', '.join(real)}"
            )
        return self.site(joined, tuple(real))

    def refusal(self, main: Value) -> str:
        """Why scores cannot be led back to the input `main`, or "" if they can."""
        try:
            at = self.explained(main).name
            way = path(self.nodes, self.facts, self.scores, at, self.opset)
            requires(way, self.nodes, self.facts, PLAIN)
        except MethodUnsupported as error:
            return str(error)
        except InvalidRequest:  # one of several inputs must be named, which a caller can do
            return ""
        return ""

    def layers(self, main: Value) -> tuple[Site, ...]:
        """Maps, channels first, that lie between an input of any type and the scores, in order."""
        if not self.batched:
            return ()
        axes = channel_axes(self.nodes, self.facts)
        made = [
            (node, name)
            for node in between(self.nodes, self.scores, main)
            for name in node.output
            if name in self.names and axes.get(name) == 1 and self.facts.floating(name)
        ]
        return tuple(replace(self.site(name), pooling=node.op_type in POOLS) for node, name in made)

    def _reached(self, name: Value) -> bool:
        """Whether this input holds real numbers on which the scores depend smoothly."""
        if not self.facts.floating(name):
            return False
        return bool(between(self.nodes, self.scores, name, differentiable, self.facts.floating))

    def _nowhere(self, main: Value) -> str:
        """Why no gradient reaches any input."""
        real = [name for name in self.inputs if self.facts.floating(name)]
        if not real:
            return (
                f"input {main!r} holds no real numbers and is not looked up in a table of vectors, so that no "
                f"gradient reaches it. {REMEDY}"
            )
        way = path(self.nodes, self.facts, self.scores, main if main in real else real[0], self.opset)
        return f"{unconnected(way, self.nodes, self.facts)}. {REMEDY}"

    def _joined(self, real: Sequence[Value]) -> Value | None:
        """The output of the one Concat that reads all of these, and that alone reads them."""
        readers = {name: [node for node in self.nodes if name in reads(node)] for name in real}
        first = readers[real[0]][:1]
        if not first or first[0].op_type != "Concat" or list(first[0].input) != list(real):
            return None
        alone = all(len(found) == 1 and found[0] is first[0] for found in readers.values())
        return first[0].output[0] if alone else None

    def _table(self, main: Value) -> Value | None:
        """The output of the Gather that looks up the whole numbers of an input; None if there is none."""
        same = {main}
        for node in self.nodes:
            if node.op_type in RENAMING and node.input[0] in same:
                same.add(node.output[0])
            is_table = node.op_type == "Gather" and node.input[1] in same and self._fixed(node.input[0])
            if is_table and self.facts.floating(node.output[0]) and node.output[0] in self.names:
                return node.output[0]
        return None

    def _fixed(self, name: Value) -> bool:
        """True for constants and weights, and what is made of them alone."""
        made_by = {output: node for node in self.nodes for output in node.output if output}
        asked = [name]
        while asked:
            one = asked.pop()
            if one in self.inputs:
                return False
            asked += list(reads(made_by[one])) if one in made_by else []
        return True


def survey(model: ModelProto, scores: Value, *, batched: bool) -> Survey:
    """Raises MethodUnsupported for a graph that cannot be normalised."""
    normal = normalise(model, {scores}, known_to(PLAIN))
    graph = normal.model.graph
    names = frozenset({*producers(model.graph), *normal.inputs})
    return Survey(tuple(graph.node), Facts.of(graph), normal.inputs, scores, names, batched, normal.opset)
