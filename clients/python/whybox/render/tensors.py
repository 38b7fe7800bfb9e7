"""Tensors of the wire as arrays. The renderer has its own, so that it depends on nothing but the stubs."""

from __future__ import annotations

from math import prod

import numpy as np

from whybox.render.colors import Array
from whybox.v1 import tensor_pb2

DTYPES: dict[int, str] = {
    tensor_pb2.DATA_TYPE_BOOL: "?",
    tensor_pb2.DATA_TYPE_INT8: "<i1",
    tensor_pb2.DATA_TYPE_INT16: "<i2",
    tensor_pb2.DATA_TYPE_INT32: "<i4",
    tensor_pb2.DATA_TYPE_INT64: "<i8",
    tensor_pb2.DATA_TYPE_UINT8: "<u1",
    tensor_pb2.DATA_TYPE_UINT16: "<u2",
    tensor_pb2.DATA_TYPE_UINT32: "<u4",
    tensor_pb2.DATA_TYPE_UINT64: "<u8",
    tensor_pb2.DATA_TYPE_FP16: "<f2",
    tensor_pb2.DATA_TYPE_FP32: "<f4",
    tensor_pb2.DATA_TYPE_FP64: "<f8",
}


def array(tensor: tensor_pb2.Tensor) -> Array:
    """A tensor's elements in its shape, read-only where they are bytes.

    Raises ValueError when its type is unknown or its bytes do not fill its shape.
    """
    shape = tuple(tensor.shape)
    if tensor.dtype == tensor_pb2.DATA_TYPE_STRING:
        return np.array(list(tensor.strings), dtype=object).reshape(shape)
    if tensor.dtype not in DTYPES:
        raise ValueError(f"data type {tensor.dtype} is not known to this client; update whybox")
    dtype = np.dtype(DTYPES[tensor.dtype])
    if len(tensor.data) != prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(tensor.data)} bytes do not fill {shape} of {dtype.name}")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(shape)
