"""Bounds how much a runtime would compute, and keep, from constants alone when it loads a model.

Runtimes fold nodes whose inputs are all constant: 34 doubling Concats, 1.4 KB of file, become
gigabytes. Here the same constants are followed through the graph by their shapes. Small ones are
evaluated, because they are often the shapes of others; of large ones only the size is taken. What a
graph computes from its inputs is not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    defs,
    helper,
    numpy_helper,
    shape_inference,
)
from onnx.reference import ReferenceEvaluator

from whybox_server.core.errors import ModelRejected
from whybox_server.core.rows import Array
from whybox_server.graph.walk import attribute, shape_of, subgraphs

SMALL = 4096  # elements of a constant that may be the shape of another one; evaluated, not bounded
ELEMENT_BYTES = 8
# Where shape inference cannot tell: outputs of these have at most this many elements (an index per
# axis) per element of all their inputs,
MOST_PER_ELEMENT = 8
BOUNDED_BY_SUM = frozenset(
    [
        "NonZero",
        "Unique",
        "Compress",
        "NonMaxSuppression",
        "Cast",
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Flatten",
        "Slice",
        "Concat",
        "Neg",
        "Abs",
        "Not",
        "Sqrt",
        "Floor",
        "Ceil",
        "ReduceSum",
        "ReduceProd",
        "ReduceMax",
        "ReduceMin",
        "TopK",
    ]
)
# and outputs of these at most as many as all their inputs multiplied.
BOUNDED_BY_PRODUCT = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Mod",
        "Equal",
        "Less",
        "Greater",
        "LessOrEqual",
        "GreaterOrEqual",
        "And",
        "Or",
        "Min",
        "Max",
        "Where",
        "Gather",
        "GatherND",
    ]
)
EVALUATED_IR_VERSION = 8  # of the one-node models that are evaluated; the reference reads any
STANDARD = frozenset({"", "ai.onnx"})
SHAPES = frozenset({"Shape", "Size"})


@dataclass(frozen=True, slots=True, eq=False)
class _Value:
    """What is known of a value. data: only of small constants. bound: where the type tells no size."""

    type: TypeProto | None
    constant: bool = False
    data: Array | None = None
    bound: int | None = None

    @property
    def elements(self) -> int | None:
        """At most this many; None if nobody knows."""
        shape = shape_of(self.type) if self.type is not None else None
        return self.bound if shape is None or None in shape else prod(length or 0 for length in shape)


@dataclass(slots=True)
class _Folding:
    """Bytes a runtime would fold so far, of those it may."""

    opsets: Mapping[str, int]
    limit: int
    total: int = 0

    def add(self, node: NodeProto, elements: int) -> None:
        self.total += elements * ELEMENT_BYTES
        if self.total > self.limit:
            raise ModelRejected(
                f"node {node.name or node.op_type!r} belongs to constants that would grow to more than "
                f"{self.limit} bytes when the model is loaded; fold or shrink them before exporting",
                rule="GROWTH",
            )


def check_growth(model: ModelProto, limit_bytes: int) -> None:
    """Raises ModelRejected, rule GROWTH, if constants fold into more bytes or cannot be bounded.

    An element counts as 8 bytes. The model's own functions must be inlined already.
    """
    opsets = {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import
    }
    _walk(model.graph, {}, _Folding(opsets, limit_bytes))


def _walk(graph: GraphProto, outer: Mapping[str, _Value], folding: _Folding) -> None:
    values = {**outer}
    for entry in chain(graph.input, graph.value_info):
        values[entry.name] = _Value(entry.type)
    for tensor in graph.initializer:
        values[tensor.name] = _constant(tensor)
    for node in graph.node:
        for inner in subgraphs(node):
            _walk(inner, values, folding)
        values |= _outputs(node, values, folding)


def _outputs(node: NodeProto, values: Mapping[str, _Value], folding: _Folding) -> dict[str, _Value]:
    given = attribute(node, "value") if node.op_type == "Constant" else None
    if given is not None and given.HasField("t"):
        return {node.output[0]: _constant(given.t)}
    unknown = _Value(None)
    inputs = {name: values.get(name, unknown) for name in node.input if name}
    types = _types(node, inputs, folding)
    found = {name: _Value(types.get(name)) for name in node.output if name}
    if node.op_type in SHAPES:
        (source,) = inputs.values()
        if source.elements is not None and source.type is not None:
            return {node.output[0]: _size_of(node, source.type)}
    if any(graph is not None for graph in subgraphs(node)) or not all(v.constant for v in inputs.values()):
        return found
    return _folded(node, inputs, found, folding)


def _folded(
    node: NodeProto, inputs: Mapping[str, _Value], found: Mapping[str, _Value], folding: _Folding
) -> dict[str, _Value]:
    """Outputs of a node that a runtime folds: bounded, and evaluated if they are small."""
    sizes = {name: _bound(node, inputs, value) for name, value in found.items()}
    for size in sizes.values():
        folding.add(node, size)
    small = max(sizes.values(), default=0) <= SMALL and all(
        value.data is not None for value in inputs.values()
    )
    data = _evaluated(node, inputs, folding) if small else {}
    return {
        name: _Value(
            _type_of(data.get(name), value.type), constant=True, data=data.get(name), bound=sizes[name]
        )
        for name, value in found.items()
    }


def _type_of(data: Array | None, otherwise: TypeProto | None) -> TypeProto | None:
    """The type of an evaluated constant is better known than inferred."""
    if data is None:
        return otherwise
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(data.dtype), data.shape)


def _bound(node: NodeProto, inputs: Mapping[str, _Value], output: _Value) -> int:
    """At most this many elements. Raises ModelRejected if nothing is known."""
    if output.elements is not None:
        return output.elements
    sizes = [value.elements for value in inputs.values()]
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        if node.op_type in BOUNDED_BY_SUM or node.domain not in STANDARD:
            return MOST_PER_ELEMENT * sum(known)
        if node.op_type in BOUNDED_BY_PRODUCT:
            return prod(known)
    raise ModelRejected(
        f"the size of the constant made by node {node.name or node.op_type!r} cannot be told before it is "
        "computed; fold constants before exporting",
        rule="GROWTH",
    )


def _types(node: NodeProto, inputs: Mapping[str, _Value], folding: _Folding) -> Mapping[str, TypeProto]:
    """Types of a node's outputs by ONNX's own shape inference; what it cannot tell is missing."""
    domain = "" if node.domain in STANDARD else node.domain
    if any(value.type is None for value in inputs.values()) or domain not in folding.opsets:
        return {}
    try:
        schema = defs.get_schema(node.op_type, folding.opsets[domain], domain)
        return shape_inference.infer_node_outputs(
            schema,
            node,
            {name: value.type for name, value in inputs.items() if value.type is not None},
            {name: numpy_helper.from_array(v.data, name) for name, v in inputs.items() if v.data is not None},
            opset_imports=[helper.make_opsetid(name, version) for name, version in folding.opsets.items()],
        )
    except (defs.SchemaError, shape_inference.InferenceError, ValueError, RuntimeError):
        return {}


def _constant(tensor: TensorProto) -> _Value:
    kind = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    small = prod(tensor.dims) <= SMALL and tensor.data_type != TensorProto.STRING
    return _Value(kind, constant=True, data=numpy_helper.to_array(tensor) if small else None)


def _size_of(node: NodeProto, source: TypeProto) -> _Value:
    """The value of a Shape or Size node whose input has a declared shape: runtimes fold it too."""
    shape = np.array(shape_of(source), dtype=np.int64)
    if node.op_type == "Size":
        shape = np.array(shape.prod(), dtype=np.int64)
    else:
        start, end = attribute(node, "start"), attribute(node, "end")
        shape = shape[start.i if start is not None else 0 : end.i if end is not None else None]
    return _Value(helper.make_tensor_type_proto(TensorProto.INT64, shape.shape), constant=True, data=shape)


def _evaluated(node: NodeProto, inputs: Mapping[str, _Value], folding: _Folding) -> dict[str, Array]:
    """The outputs of a node with small inputs and outputs; nothing if the reference cannot tell."""
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_value_info(name, value.type)
            for name, value in inputs.items()
            if value.type is not None
        ],
        [helper.make_empty_tensor_value_info(name) for name in names],
    )
    opsets = [helper.make_opsetid(name, version) for name, version in folding.opsets.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=EVALUATED_IR_VERSION)
    try:
        results = ReferenceEvaluator(model).run(None, {name: value.data for name, value in inputs.items()})
    except Exception:  # noqa: BLE001  an operator that the reference lacks, or a graph that cannot run
        return {}
    return {
        name: result for name, result in zip(names, results, strict=True) if isinstance(result, np.ndarray)
    }
