"""Tensors on the wire to numpy arrays and back."""

from __future__ import annotations

import math

import numpy as np

from whybox.v1 import tensor_pb2 as pb
from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array

DTYPES: dict[pb.DataType, str] = {
    pb.DATA_TYPE_BOOL: "?",
    pb.DATA_TYPE_INT8: "<i1",
    pb.DATA_TYPE_INT16: "<i2",
    pb.DATA_TYPE_INT32: "<i4",
    pb.DATA_TYPE_INT64: "<i8",
    pb.DATA_TYPE_UINT8: "<u1",
    pb.DATA_TYPE_UINT16: "<u2",
    pb.DATA_TYPE_UINT32: "<u4",
    pb.DATA_TYPE_UINT64: "<u8",
    pb.DATA_TYPE_FP16: "<f2",
    pb.DATA_TYPE_FP32: "<f4",
    pb.DATA_TYPE_FP64: "<f8",
}
CODES = {np.dtype(code): number for number, code in DTYPES.items()}


def to_array(tensor: pb.Tensor, field: str) -> Array:
    """The array a tensor describes; strings become objects. Raises InvalidRequest naming the field."""
    shape = tuple(tensor.shape)
    if any(length < 0 for length in shape):
        raise InvalidRequest.of(f"{field}.shape", f"lengths must not be negative, got {shape}")
    count = math.prod(shape)
    if tensor.dtype == pb.DATA_TYPE_STRING:
        if len(tensor.strings) != count:
            raise InvalidRequest.of(f"{field}.strings", f"shape {shape} needs {count}, got {len(tensor.strings)}")
        texts = np.empty(count, dtype=object)
        texts[:] = list(tensor.strings)
        return texts.reshape(shape)
    if tensor.dtype not in DTYPES:
        raise InvalidRequest.of(f"{field}.dtype", f"must be one of DataType, got {tensor.dtype}")
    dtype = np.dtype(DTYPES[tensor.dtype])
    needed = count * dtype.itemsize
    if len(tensor.data) != needed:
        raise InvalidRequest.of(
            f"{field}.data", f"{dtype.name} {shape} needs {needed} bytes, got {len(tensor.data)}"
        )
    return np.frombuffer(tensor.data, dtype).reshape(shape)


def from_array(array: Array) -> pb.Tensor:
    """The tensor of an array of numbers, booleans or strings."""
    array = np.asarray(array)
    if array.dtype.kind in "OUS":
        strings = [value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()]
        return pb.Tensor(dtype=pb.DATA_TYPE_STRING, shape=array.shape, strings=strings)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return pb.Tensor(dtype=CODES[little.dtype], shape=array.shape, data=little.tobytes())
