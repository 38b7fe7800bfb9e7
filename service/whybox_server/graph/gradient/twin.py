"""The forward pass a second time, on a reference: what rules that explain differences compare with.

What does not depend on the explained tensor (weights, masks, other inputs) is shared by both passes. The
second pass stands beside the first, not behind it in the batch, so that no row's result depends on its
neighbours and every row may have a reference of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import NodeProto, helper

from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient.emit import Builder
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.path import Path, between
from whybox_server.graph.walk import subgraphs

REFERENCE_SCORE = f"{REFERENCE}_score"
MEASURES = frozenset({"Shape", "Size"})  # the same for an instance and its reference


def twin(builder: Builder, path: Path) -> None:
    """Add the reference as an input, all that `path.of` needs of it, and its score as an output."""
    graph, facts = builder.graph, builder.facts
    between_ends = between(tuple(graph.node), path.of, path.wrt, lambda node: node.op_type not in MEASURES)
    names = {path.wrt: builder.named(REFERENCE)}
    for name in (name for node in between_ends for name in node.output if name):
        names[name] = builder.named(f"{REFERENCE}/{name}")
    for name in names.keys() & facts.kinds.keys() & facts.shapes.keys():
        facts.note(names[name], name)
    builder.references = names
    graph.node.extend([renamed(node, names) for node in between_ends])
    score = facts.note(builder.named(REFERENCE_SCORE), path.of)
    graph.node.append(helper.make_node("Identity", [names[path.of]], [score], name=score))
    for values, name in ((graph.input, names[path.wrt]), (graph.output, score)):
        values.append(helper.make_tensor_value_info(name, facts.kinds[name], facts.shapes[name]))


def renamed(node: NodeProto, names: Mapping[Value, Value]) -> NodeProto:
    """The same operator on other values, wherever it or a graph inside it reads or makes one of these."""
    twin_node = NodeProto()
    twin_node.CopyFrom(node)
    for inner in _nested(twin_node):
        inner.input[:] = [names.get(name, name) for name in inner.input]
        inner.output[:] = [names.get(name, name) for name in inner.output]
        for graph in subgraphs(inner):
            for entry in graph.output:
                entry.name = names.get(entry.name, entry.name)
    if node.output:
        twin_node.name = names.get(node.output[0], node.name)
    return twin_node


def _nested(node: NodeProto) -> Iterator[NodeProto]:
    """A node and all inside it. Names inside are not those outside: ONNX forbids it."""
    yield node
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _nested(inner)
