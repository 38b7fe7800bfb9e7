"""Gives graphs inside nodes constants of their own.

Shape inference finds whole numbers, such as axes, only among the constants of the same graph; rules find
them only among the initializers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from whybox_server.graph.gradient.emit import Builder
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.walk import captured, subgraphs

WHOLE = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})
TYPES = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}


def settle(graph: GraphProto) -> None:
    """In place, for all graphs inside the nodes of this one. Only whole numbers are copied from outside."""
    _settle(Builder(graph, Facts({}, {}, {})), graph)


def _settle(builder: Builder, graph: GraphProto) -> None:
    constants = {node.output[0]: tensor for node in graph.node if (tensor := _constant(node)) is not None}
    constants |= {tensor.name: tensor for tensor in graph.initializer}
    known = {name: tensor for name, tensor in constants.items() if tensor.data_type in WHOLE}
    for node in graph.node:
        taken = {name: builder.fresh("taken") for name in captured(node) if name in known}
        for inner in subgraphs(node):
            _lift(inner)
            read = {name for each in inner.node for name in (*each.input, *captured(each))}
            for name in (name for name in taken if name in read):
                inner.initializer.add().CopyFrom(known[name])
                inner.initializer[-1].name = taken[name]
            _rename(inner, taken)
            _settle(builder, inner)


def _lift(graph: GraphProto) -> None:
    """Nodes that are constants become initializers."""
    kept: list[NodeProto] = []
    for node in graph.node:
        tensor = _constant(node)
        if tensor is None:
            kept.append(node)
        else:
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = node.output[0]
    del graph.node[:]
    graph.node.extend(kept)


def _constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant":
        return None
    (entry,) = node.attribute
    value = helper.get_attribute_value(entry)
    if entry.name in TYPES:
        return numpy_helper.from_array(np.array(value, TYPES[entry.name]))
    return value if isinstance(value, TensorProto) else None


def _rename(graph: GraphProto, names: Mapping[Value, Value]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for inner in subgraphs(node):
            _rename(inner, names)
