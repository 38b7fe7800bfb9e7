"""The same graph in double precision, for differences that float32 would drown.

No runtime has double kernels for convolutions and pools; onnx's own reference has, and is slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy import special

from whybox_server.core.rows import Array
from whybox_server.graph.walk import subgraphs

UPCAST = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})


class Erf(OpRun):
    """That of onnx 1.23 rounds to float32."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (special.erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """Its body in onnx would use the Erf of onnx (Hendrycks & Gimpel 2016)."""

    op_domain = ""

    def _run(self, x: Array, approximate: str | None = None) -> tuple[Array]:
        if approximate == "tanh":
            return (x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * 0.5 * (1 + special.erf(x / np.sqrt(2))),)


def in_double(model: ModelProto) -> ModelProto:
    """A copy whose float16 and float32 values are float64."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _upcast(copy.graph)
    return copy


def evaluator(model: ModelProto) -> ReferenceEvaluator:
    """Onnx's reference, mended; `run(None, feeds)` gives the outputs."""
    return ReferenceEvaluator(model, new_ops=[Erf, Gelu])


def doubled(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Feeds for a graph in double precision."""
    return {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in arrays.items()}


def _upcast(graph: GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        _upcast_type(value.type)
    for tensor in graph.initializer:
        _upcast_tensor(tensor)
    for node in graph.node:
        for attribute in _attributes(node):
            if (attribute.name == "to" and node.op_type == "Cast" and attribute.i in UPCAST) or (
                attribute.name == "dtype" and attribute.i in UPCAST
            ):
                attribute.i = TensorProto.DOUBLE
            elif attribute.type == AttributeProto.TENSOR:
                _upcast_tensor(attribute.t)
        for inner in subgraphs(node):
            _upcast(inner)


def _attributes(node: NodeProto) -> Iterator[AttributeProto]:
    """Those that hold numbers; a Constant's plain float becomes a tensor, which can be double."""
    for attribute in node.attribute:
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            numbers = np.asarray(attribute.f if attribute.name == "value_float" else list(attribute.floats))
            attribute.CopyFrom(
                AttributeProto(
                    name="value",
                    type=AttributeProto.TENSOR,
                    t=numpy_helper.from_array(numbers.astype(np.float32)),
                )
            )
        yield attribute


def _upcast_type(kind: TypeProto) -> None:
    if kind.tensor_type.elem_type in UPCAST:
        kind.tensor_type.elem_type = TensorProto.DOUBLE


def _upcast_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in UPCAST:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))
