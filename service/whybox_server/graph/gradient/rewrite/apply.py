"""Replaces what has another form, node by node, from the first to the last."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto
from onnx.shape_inference import infer_shapes

from whybox_server.graph.gradient.emit import PREFIX, Builder, Emit
from whybox_server.graph.gradient.facts import FLOATING, Facts, Value
from whybox_server.graph.gradient.node import STANDARD, Node
from whybox_server.graph.gradient.rewrite.table import REWRITES, Rewrite


def rewritten(model: ModelProto) -> ModelProto:
    """The same model in operators that have gradient rules, as far as they are known.

    Shape inference does not see through operators of other domains, so that what follows one is
    rewritten once its own replacement tells the shapes.
    """
    while any(map(_rewrite_of, model.graph.node)):
        model = infer_shapes(model, data_prop=True)
        if not _rewrite_ready(model):
            break
    return model


def _rewrite_of(node: NodeProto) -> Rewrite | None:
    return REWRITES.get(("" if node.domain in STANDARD else node.domain, node.op_type))


def _rewrite_ready(model: ModelProto) -> bool:
    """In place; false if nothing was left to do."""
    graph = model.graph
    facts = Facts.of(graph)
    builder = Builder(graph, facts)
    nodes = list(graph.node)
    del graph.node[:]
    replaced: set[Value] = set()
    for node in nodes:
        rewrite = _rewrite_of(node)
        if rewrite and _clear(facts, node) and _replaced(builder, node, rewrite):
            replaced.update(node.output)
        else:
            graph.node.append(node)
    known = [entry for entry in graph.value_info if entry.name not in replaced]
    del graph.value_info[:]
    graph.value_info.extend(known)  # whole numbers may have become real ones
    return bool(replaced)


def _clear(facts: Facts, node: NodeProto) -> bool:
    return all(facts.kinds.get(name) and name in facts.shapes for name in node.input if name)


def _replaced(builder: Builder, proto: NodeProto, rewrite: Rewrite) -> bool:
    """The replacement bears the node's name, and its outputs the outputs' names."""
    graph, start = builder.graph, len(builder.graph.node)
    kinds = [builder.facts.kinds.get(name) for name in (*proto.output, *proto.input)]
    e = Emit(builder, next((kind for kind in kinds if kind in FLOATING), TensorProto.FLOAT))
    found = rewrite(e, Node(proto))
    if found is None:
        del graph.node[start:]
        return False
    made, known = list(graph.node)[start:], dict[Value, Value]()
    for value, name in zip(found, proto.output, strict=False):
        if not name:
            continue
        if value in known or not _renamed(made, value, name):
            made.append(graph.node.add(op_type="Identity", input=[known.get(value, value)], output=[name]))
        known.setdefault(value, name)
    for node in made:
        node.name = f"{proto.name or proto.output[0]}/{(node.name or node.op_type).removeprefix(PREFIX)}"
    return True


def _renamed(made: list[NodeProto], value: Value, name: Value) -> bool:
    """In place; false for a value that was there before."""
    if not any(value in node.output for node in made):
        return False
    for node in made:
        for names in (node.input, node.output):
            names[:] = [name if each == value else each for each in names]
    return True
