"""Takes out of a graph what is known before it runs: constants, shapes, names for other names.

Exporters leave thousands of such nodes; a rule wants to see the numbers behind them.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from math import ceil, prod

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.walk import reads, subgraphs

LARGEST = 4096  # elements of a result; larger ones are left to the runtime
RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"})


def fold(model: ModelProto, keep: Collection[Value]) -> None:
    """In place; values in `keep` stay what they are."""
    graph = model.graph
    facts = Facts.of(infer_shapes(model, data_prop=True).graph)
    fixed = {*keep, *_captured(graph)}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    other_names: dict[Value, Value] = {}
    kept = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = other_names.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in fixed:
            other_names[node.output[0]] = node.input[0]
            continue
        results = _results(model, node, facts, constants)
        if results is None or fixed.intersection(node.output):
            kept.append(node)
            continue
        constants.update(results)
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in results.items())
    del graph.node[:]
    graph.node.extend(kept)


def _captured(graph: GraphProto) -> set[Value]:
    """Names that subgraphs read from outside."""
    inside = chain.from_iterable(subgraphs(node) for node in graph.node)
    return {name for inner in inside for node in inner.node for name in reads(node)}


def _results(
    model: ModelProto, node: NodeProto, facts: Facts, constants: dict[Value, Array]
) -> dict[Value, Array] | None:
    """Outputs by name; None if they depend on what is not known, or are large."""
    lengths = facts.lengths(node.input[0]) if node.op_type in ("Shape", "Size") else None
    if lengths is not None:
        return {node.output[0]: _measure(node, np.array(lengths, np.int64))}
    needed = [name for name in node.input if name]
    if node.domain not in STANDARD or node.op_type in RANDOM or any(True for _ in subgraphs(node)):
        return None
    if not needed and node.op_type != "Constant":
        return None
    if any(name not in constants for name in needed):
        return None
    inputs = {name: constants[name] for name in needed}
    sizes = [_size(facts, node, name, inputs) for name in node.output if name]
    if any(size is None or prod(size) > LARGEST for size in sizes):
        return None
    return _evaluated(model, node, inputs)


def _size(facts: Facts, node: NodeProto, name: Value, inputs: dict[Value, Array]) -> tuple[int, ...] | None:
    """Of an output; for a Range it may be known only now that its bounds are."""
    known = facts.lengths(name)
    if known is not None or node.op_type != "Range":
        return known
    start, limit, step = (inputs[bound].item() for bound in node.input)
    return (max(ceil((limit - start) / step), 0),)


def _measure(node: NodeProto, lengths: Array) -> Array:
    if node.op_type == "Size":
        return np.array(lengths.prod(), np.int64)
    bounds = {entry.name: entry.i for entry in node.attribute}
    return lengths[bounds.get("start", 0) : bounds.get("end")]


def _evaluated(model: ModelProto, node: NodeProto, inputs: dict[Value, Array]) -> dict[Value, Array] | None:
    """None for an operator that the reference lacks, or numbers that it cannot work with."""
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in names],
    )
    one = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        results = ReferenceEvaluator(one).run(None, inputs)
    except Exception:  # noqa: BLE001  the reference raises whatever numpy raises
        return None
    arrays = dict(zip(names, map(np.asarray, results), strict=True))
    return arrays if all(array.dtype.kind in "biuf" for array in arrays.values()) else None
