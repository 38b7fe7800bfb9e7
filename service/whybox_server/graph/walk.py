"""Finding one's way in an ONNX graph: producers, declared shapes, what is still needed.

Nothing here changes what a graph computes, and nothing knows what its tensors mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError, infer_shapes

Shape: TypeAlias = tuple[int | None, ...]  # None: any length

SMALL_TENSOR_BYTES = 4096  # what shape arithmetic may need to read; weights are larger


def attribute(node: NodeProto, name: str) -> AttributeProto | None:
    """The attribute of this name, or None if the node leaves it to its default."""
    return next((found for found in node.attribute if found.name == name), None)


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """The node that makes each value."""
    return {output: node for node in graph.node for output in node.output if output}


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in a node's attributes: branches of an If, the body of a Scan or Loop."""
    for entry in node.attribute:
        if entry.type == AttributeProto.GRAPH:
            yield entry.g
        yield from entry.graphs


def reads(node: NodeProto) -> Iterator[str]:
    """Names of all values a node may read, those its subgraphs take from outside included."""
    yield from node.input
    yield from captured(node)


def captured(node: NodeProto) -> tuple[str, ...]:
    """Names that a node's subgraphs take from outside, each once, in the order of reading."""
    found: dict[str, None] = {}
    for graph in subgraphs(node):
        own = {*_given(graph), *(name for inner in graph.node for name in inner.output)}
        asked = [name for inner in graph.node for name in reads(inner)]
        asked += [entry.name for entry in graph.output]
        found.update(dict.fromkeys(name for name in asked if name and name not in own))
    return tuple(found)


def nodes_in(graph: GraphProto) -> Iterator[NodeProto]:
    """Those of a graph, each followed by those inside it."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes_in(inner)


def names_in(graph: GraphProto) -> Iterator[str]:
    """Of all values that a graph and the graphs inside it make."""
    yield from _given(graph)
    for node in graph.node:
        yield from node.output
        for inner in subgraphs(node):
            yield from names_in(inner)


def _given(graph: GraphProto) -> Iterator[str]:
    """Values that no node makes."""
    yield from (entry.name for entry in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)


def real_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Inputs a caller must give: old files list their initializers as inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {sparse.values.name for sparse in graph.sparse_initializer}
    return [entry for entry in graph.input if entry.name not in weights]


def shape_of(type_proto: TypeProto) -> Shape | None:
    """Declared shape of a tensor type; None when not even the rank is known."""
    if not type_proto.HasField("tensor_type") or not type_proto.tensor_type.HasField("shape"):
        return None
    dims = type_proto.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)


def inferred_shapes(model: ModelProto) -> dict[str, Shape | None]:
    """Shape of every value of the main graph as far as shape inference can tell.

    Works on a copy without large weights, so that it costs the same for any size of model. Empty for
    a graph that is not valid: whoever loads it will be told.
    """
    try:
        inferred = infer_shapes(without_weights(model))
    except (InferenceError, ValidationError, RuntimeError):
        return {}
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    return {value.name: shape_of(value.type) for value in values}


def without_weights(model: ModelProto) -> ModelProto:
    """The same graph with every large initializer turned into an input of its type and shape."""
    bare = ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    bare.graph.name = model.graph.name
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    bare.graph.node.extend(node for node in model.graph.node if not holds_large_tensor(node))
    known = {entry.name for entry in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= SMALL_TENSOR_BYTES:
            bare.graph.initializer.append(tensor)
        elif tensor.name not in known:
            bare.graph.input.append(input_like(tensor, tensor.name))
    for node in filter(holds_large_tensor, model.graph.node):
        for entry in node.attribute:
            if entry.HasField("t") and node.output and node.output[0] not in known:
                bare.graph.input.append(input_like(entry.t, node.output[0]))
    return bare


def holds_large_tensor(node: NodeProto) -> bool:
    """True for a Constant that is a weight."""
    return node.op_type == "Constant" and node.ByteSize() > SMALL_TENSOR_BYTES


def input_like(tensor: TensorProto, name: str) -> ValueInfoProto:
    """An input with the type and shape of a tensor."""
    value = ValueInfoProto(name=name)
    value.type.tensor_type.elem_type = tensor.data_type
    value.type.tensor_type.shape.SetInParent()
    for length in tensor.dims:
        value.type.tensor_type.shape.dim.add(dim_value=length)
    return value


def prune(graph: GraphProto) -> None:
    """Remove, in place, every node and initializer that no output needs any more."""
    made_by = producers(graph)
    needed: set[str] = set()
    stack = [output.name for output in graph.output]
    while stack:
        name = stack.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in made_by:
            stack.extend(reads(made_by[name]))
    kept = [node for node in graph.node if needed.intersection(node.output)]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    if len(kept) == len(graph.node) and len(weights) == len(graph.initializer):
        return
    del graph.node[:]
    graph.node.extend(kept)
    if len(weights) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(weights)
    del graph.value_info[:]
