"""The large constants of a model: which they are, and whether a model that holds them can be written at all.

Nothing is copied or read here, so that a model that is too large is refused before it costs memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from onnx import AttributeProto, ModelProto, TensorProto, helper

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.walk import SMALL_TENSOR_BYTES, holds_large_tensor

LARGEST_FILE = 2**31 - 2**26  # protobuf ends at 2 GB; the gradient's own nodes need a few MB of them


def vet_weights(model: ModelProto) -> None:
    """Raises MethodUnsupported if weights are not in the model, or more than one file can hold."""
    elsewhere = [
        tensor.name for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL
    ]
    if elsewhere:
        raise MethodUnsupported(
            f"the numbers of {elsewhere[0]!r} are in another file, so that no gradient can be built; save the "
            "model as one file: onnx.save(onnx.load(path), other_path)"
        )
    size = sum(map(_bytes, model.graph.initializer))
    if size > LARGEST_FILE:
        raise MethodUnsupported(
            f"the model's weights are {size / 2**30:.1f} GB, and a gradient graph is one file of at most 2 GB; "
            "export it in half precision (float16) or quantised, or ask a method that only needs scores, "
            "such as lime, kernel_shap or occlusion"
        )


def large_weights(model: ModelProto) -> Iterator[TensorProto]:
    """Initializers and Constants that need not be looked at while a graph is rewritten."""
    for tensor in model.graph.initializer:
        if tensor.ByteSize() > SMALL_TENSOR_BYTES:
            yield tensor
    for node in filter(holds_large_tensor, model.graph.node):
        for entry in node.attribute:
            if entry.type == AttributeProto.TENSOR:
                named = TensorProto()
                named.CopyFrom(entry.t)
                named.name = node.output[0]
                yield named


def _bytes(tensor: TensorProto) -> int:
    return prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
