"""Replaces what has another form, node by node, from the first to the last."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.shape_inference import infer_shapes

from whybox_server.graph.gradient.emit import PREFIX, Builder, Emit
from whybox_server.graph.gradient.facts import FLOATING, Facts
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
    done = False
    for node in nodes:
        rewrite = _rewrite_of(node)
        if rewrite and _clear(facts, node) and _replaced(builder, node, rewrite):
            done = True
        else:
            graph.node.append(node)
    return done


def _clear(facts: Facts, node: NodeProto) -> bool:
    return all(facts.kinds.get(name) and name in facts.shapes for name in node.input if name)


def _replaced(builder: Builder, proto: NodeProto, rewrite: Rewrite) -> bool:
    """The replacement bears the node's name, and its outputs the outputs' names."""
    graph, start = builder.graph, len(builder.graph.node)
    kinds = [builder.facts.kinds.get(name) for name in (*proto.output, *proto.input)]
    e = Emit(builder, next((kind for kind in kinds if kind in FLOATING), TensorProto.FLOAT))
    found = rewrite(e, Node(proto))
    if found is None:
        return False
    for value, name in zip(found, proto.output, strict=False):
        if name:
            graph.node.append(helper.make_node("Identity", [value], [name], name=name))
    for made in list(graph.node)[start:]:
        made.name = f"{proto.name or proto.output[0]}/{(made.name or made.op_type).removeprefix(PREFIX)}"
    return True
