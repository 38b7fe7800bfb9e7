"""Numpy arrays to `whybox.v1.Tensor` and back, for every element type of the wire.

It refuses to guess: an array whose elements have no wire type is refused by name.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whybox.errors import ExplainError, invalid
from whybox.v1 import tensor_pb2

Array: TypeAlias = NDArray[Any]

DTYPES: dict[tensor_pb2.DataType, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_BOOL: np.dtype("?"),
    tensor_pb2.DATA_TYPE_INT8: np.dtype("i1"),
    tensor_pb2.DATA_TYPE_INT16: np.dtype("<i2"),
    tensor_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    tensor_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    tensor_pb2.DATA_TYPE_UINT16: np.dtype("<u2"),
    tensor_pb2.DATA_TYPE_UINT32: np.dtype("<u4"),
    tensor_pb2.DATA_TYPE_UINT64: np.dtype("<u8"),
    tensor_pb2.DATA_TYPE_FP16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_FP32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FP64: np.dtype("<f8"),
}
_WIRE = {dtype: wire for wire, dtype in DTYPES.items()}
_STRING_KINDS = "OSUT"  # numpy's kinds: object, bytes, str, variable-width str


def to_tensor(value: object, field: str) -> tensor_pb2.Tensor:
    """A tensor of the same shape and element type; objects become strings.

    field: path of the tensor in the request, for the message of the error.
    Raises ExplainError for ragged lists and for elements that have no wire type.
    """
    array = as_array(value, field)
    if array.dtype.kind in _STRING_KINDS:
        return _string_tensor(array, field)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _WIRE:
        known = ", ".join(sorted(d.name for d in _WIRE))
        raise invalid(field, f"elements are {array.dtype}; convert them to one of {known}, or str")
    data = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return tensor_pb2.Tensor(dtype=_WIRE[dtype], shape=array.shape, data=data)


def from_tensor(tensor: tensor_pb2.Tensor) -> Array:
    """An array of the machine's own byte order that nobody else holds; STRING gives objects.

    Raises ExplainError when the tensor contradicts itself.
    """
    shape = tuple(tensor.shape)
    if tensor.dtype == tensor_pb2.DATA_TYPE_STRING:
        flat: Array = np.array(list(tensor.strings), dtype=object)
    elif tensor.dtype in DTYPES:
        wire = DTYPES[tensor.dtype]
        if len(tensor.data) % wire.itemsize:
            raise _broken(f"{len(tensor.data)} bytes are no whole number of {wire.name}")
        flat = np.frombuffer(tensor.data, dtype=wire).astype(wire.newbyteorder("="))
    else:
        raise _broken(f"element type {tensor.dtype} is unknown")
    if flat.size != np.prod(shape, dtype=object):
        raise _broken(f"{flat.size} elements do not fill the shape {shape}")
    return flat.reshape(shape)


def as_array(value: object, field: str) -> Array:
    """`numpy.asarray`, with a ragged list refused in words."""
    try:
        return np.asarray(value)
    except ValueError as error:
        message = f"rows have different lengths or elements are no numbers ({error}); pass an array"
        raise invalid(field, message) from error


def _string_tensor(array: Array, field: str) -> tensor_pb2.Tensor:
    strings = [_text(value, field) for value in array.ravel()]
    return tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_STRING, shape=array.shape, strings=strings)


def _text(value: object, field: str) -> str:
    """One element as it travels: mixed tables arrive as objects, so numbers are written out."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise invalid(field, f"holds bytes that are no UTF-8 ({error}); decode them first") from error
    if not isinstance(value, str | int | float | bool | np.generic):
        raise invalid(field, f"holds {value!r}; every element must be a number or a string")
    text = str(value)
    if not text.isascii():
        _refuse_surrogates(text, field)
    return text


def _refuse_surrogates(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise invalid(field, f"is no valid Unicode text ({error}); clean it first") from error


def _broken(message: str) -> ExplainError:
    said = f"a tensor of the answer is broken: {message}"
    return ExplainError(said, code="INTERNAL", reason="", remote=True)
