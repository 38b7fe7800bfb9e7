"""Forward nodes that are finished from what their gradient has computed anyway.

A Gelu and its gradient both need the error function, the dearest thing in a network of such layers but
for its products. It is done when the way back is complete, so that no rule sees another graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import sqrt

import numpy as np
from onnx import NodeProto, TensorProto, helper

from whybox_server.graph.gradient.emit import Builder
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.walk import producers, reads

FULL = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})


def reuse(builder: Builder, keep: Collection[Value]) -> None:
    """In place, for every Gelu that is not in half precision and whose gradient was taken at its own input.

    keep: values that stay although no node may read them.
    """
    graph, makers = builder.graph, producers(builder.graph)
    readers = Counter(name for node in graph.node for name in reads(node))
    readers.update([*keep, *(entry.name for entry in graph.output)])
    instead: dict[Value, list[NodeProto]] = {}
    for gelu in graph.node:
        chain = _chain(builder, gelu, makers) if gelu.op_type == "Gelu" else []
        if chain:
            scaled = _before_bias(builder, chain[0], makers, readers)
            instead[gelu.output[0]] = [*scaled, *chain[len(scaled) > 0 :], *_finished(builder, gelu, chain)]
    moved = {name for nodes in instead.values() for node in nodes for name in node.output}
    kept: list[NodeProto] = []
    for node in graph.node:
        kept += instead.get(node.output[0], [] if moved.intersection(node.output) else [node])
    del graph.node[:]
    graph.node.extend(kept)


def _chain(builder: Builder, gelu: NodeProto, makers: Mapping[Value, NodeProto]) -> list[NodeProto]:
    """From its input x: u = x / sqrt 2, erf u, 1 + erf u; nothing if its gradient needs something else."""
    x, y = gelu.input[0], gelu.output[0]
    last = builder.made.get(("Gelu", y))
    if last is None or builder.facts.kind(x) not in FULL:
        return []
    tail = makers[last]
    erf = makers[tail.input[0]]
    u = makers[erf.input[0]]
    return [u, erf, tail] if u.input[0] == x else []


def _before_bias(
    builder: Builder, u: NodeProto, makers: Mapping[Value, NodeProto], readers: Mapping[Value, int]
) -> list[NodeProto]:
    """Scales m and b, not their sum x: u = c m + c b, and a runtime makes c part of the matrix product m."""
    x, c = u.input
    add = makers.get(x)
    if add is None or add.op_type != "Add" or readers[x] != 2:  # by u and the Gelu
        return []
    products = [name for name in add.input if name in makers and makers[name].op_type == "MatMul"]
    biases = [name for name in add.input if len(builder.facts.shapes.get(name, (None, None))) == 1]
    if len(products) != 1 or len(biases) != 1 or readers[products[0]] != 1:
        return []
    names = [builder.fresh("Mul") for _ in range(2)]
    pairs = zip((*products, *biases), names, strict=True)
    scaled = [helper.make_node("Mul", [value, c], [name], name=name) for value, name in pairs]
    return [*scaled, helper.make_node("Add", names, u.output, name=u.output[0])]


def _finished(builder: Builder, gelu: NodeProto, chain: list[NodeProto]) -> list[NodeProto]:
    """Its y = x (1 + erf u) / 2 = u (1 + erf u) / sqrt 2; a MatMul behind it takes the factor in."""
    product, factors = builder.fresh("Mul"), [chain[0].output[0], chain[-1].output[0]]
    dtype = helper.tensor_dtype_to_np_dtype(builder.facts.kind(gelu.input[0]))
    root = builder.constant(np.array(sqrt(1 / 2), dtype))
    return [
        helper.make_node("Mul", factors, [product], name=product),
        helper.make_node("Mul", [product, root], gelu.output, name=gelu.name),
    ]
