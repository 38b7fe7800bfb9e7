"""Checks that every tensor stored in a model is there, in full, in the file itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from whybox_server.core.errors import ModelRejected

BITS: dict[int, int] = {
    TensorProto.FLOAT: 32,
    TensorProto.UINT8: 8,
    TensorProto.INT8: 8,
    TensorProto.UINT16: 16,
    TensorProto.INT16: 16,
    TensorProto.INT32: 32,
    TensorProto.INT64: 64,
    TensorProto.BOOL: 8,
    TensorProto.FLOAT16: 16,
    TensorProto.DOUBLE: 64,
    TensorProto.UINT32: 32,
    TensorProto.UINT64: 64,
    TensorProto.COMPLEX64: 64,
    TensorProto.COMPLEX128: 128,
    TensorProto.BFLOAT16: 16,
    TensorProto.FLOAT8E4M3FN: 8,
    TensorProto.FLOAT8E4M3FNUZ: 8,
    TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8,
    TensorProto.UINT4: 4,
    TensorProto.INT4: 4,
    TensorProto.FLOAT4E2M1: 4,
}
BYTE = 8
PACKED_BITS = 4  # two elements share an entry of int32_data
FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def check_tensors(model: ModelProto, graphs: Sequence[GraphProto], nodes: Sequence[NodeProto]) -> None:
    """Refuse tensors that lie elsewhere or are not what they are declared as.

    Raises ModelRejected: EXTERNAL_DATA for a tensor in another file, TENSOR_SIZE for one whose data do
    not fill its dims exactly.
    """
    for tensor in _tensors(model, graphs, nodes):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ModelRejected(
                f"tensor {tensor.name!r} lies in another file; save the model with all data in one file",
                rule="EXTERNAL_DATA",
            )
        _check_size(tensor)


def _tensors(
    model: ModelProto, graphs: Sequence[GraphProto], nodes: Sequence[NodeProto]
) -> Iterator[TensorProto]:
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in (*nodes, *(node for function in model.functions for node in function.node)):
        for entry in node.attribute:
            yield from _of_attribute(entry)
    for function in model.functions:
        for entry in function.attribute_proto:
            yield from _of_attribute(entry)


def _of_attribute(entry: AttributeProto) -> Iterator[TensorProto]:
    if entry.HasField("t"):
        yield entry.t
    yield from entry.tensors
    for sparse in (entry.sparse_tensor, *entry.sparse_tensors) if _has_sparse(entry) else ():
        yield from (sparse.values, sparse.indices)


def _has_sparse(entry: AttributeProto) -> bool:
    return entry.HasField("sparse_tensor") or bool(entry.sparse_tensors)


def _check_size(tensor: TensorProto) -> None:
    elements = prod(tensor.dims)
    if any(length < 0 for length in tensor.dims):
        raise ModelRejected(f"tensor {tensor.name!r} has a negative length", rule="TENSOR_SIZE")
    bits = BITS.get(tensor.data_type)
    if tensor.data_type == TensorProto.STRING:
        wanted, held = elements, len(tensor.string_data)
    elif bits is None:
        raise ModelRejected(f"tensor {tensor.name!r} has an unknown element type", rule="TENSOR_SIZE")
    elif tensor.HasField("raw_data"):
        wanted, held = -(-elements * bits // BYTE), len(tensor.raw_data)
    else:
        wanted, held = _entries(tensor.data_type, elements, bits), _held(tensor)
    if wanted != held:
        shape = "x".join(map(str, tensor.dims)) or "scalar"
        raise ModelRejected(
            f"tensor {tensor.name!r} is declared as {shape} but the file holds another amount of data",
            rule="TENSOR_SIZE",
        )


def _entries(data_type: int, elements: int, bits: int) -> int:
    """Entries of the typed field that holds this many elements."""
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * elements
    return -(-elements // 2) if bits == PACKED_BITS else elements


def _held(tensor: TensorProto) -> int:
    return sum(len(getattr(tensor, name)) for name in FIELDS)
