"""TensorFlow's TensorProto and numpy arrays, in both encodings: raw content, and values by type.

A message cannot claim more than it is allowed to become: a shape of a billion with one value, which
stands for all of them, is refused before anything is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.speech.tf_signature import DTYPES
from whybox_server.serving.remote.stubs.tensorflow_serving import predict_pb2 as pb

NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}
# Field that holds values of a type; those of 16 bits hold what the bits spell.
FIELDS: Mapping[str, str] = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_HALF": "half_val",
    "DT_BFLOAT16": "half_val",
    "DT_INT64": "int64_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
    "DT_BOOL": "bool_val",
    "DT_STRING": "string_val",
    **dict.fromkeys(("DT_INT8", "DT_INT16", "DT_INT32", "DT_UINT8", "DT_UINT16"), "int_val"),
}
BITS16 = np.dtype(np.uint16)
STORED: Mapping[str, np.dtype[Any]] = {**DTYPES, "DT_HALF": BITS16, "DT_BFLOAT16": BITS16}
MOST_AXES = 32
REMEDY = "check the protocol and `output`"


def to_tensor(array: Array) -> pb.TensorProto:
    """Numbers as raw content, texts by value."""
    tensor = pb.TensorProto(dtype=NAMES[array.dtype])
    tensor.tensor_shape.dim.extend(pb.TensorShapeProto.Dim(size=length) for length in array.shape)
    if array.dtype.kind == "O":
        tensor.string_val.extend(str(value).encode("utf-8", "surrogatepass") for value in array.ravel())
    else:
        tensor.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return tensor


def from_tensor(tensor: pb.TensorProto, name: str, most_bytes: int) -> Array:
    """The array; bfloat16 becomes float32, texts become objects.

    name: of the output, for messages. Raises ModelOutputInvalid for one that is no tensor, or would
    take more than `most_bytes`.
    """
    kind = pb.DataType.Name(tensor.dtype) if tensor.dtype in pb.DataType.values() else ""
    if kind not in FIELDS:
        raise ModelOutputInvalid(f"output {name!r} is of a type that holds no scores; {REMEDY}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    size = prod(shape)
    if tensor.tensor_shape.unknown_rank or any(length < 0 for length in shape):
        raise ModelOutputInvalid(f"output {name!r} does not say what shape it has; {REMEDY}")
    dtype = STORED[kind]
    if len(shape) > MOST_AXES or size == 0:
        raise ModelOutputInvalid(
            f"output {name!r} holds no scores but a shape of {len(shape)} axes; {REMEDY}"
        )
    if size * dtype.itemsize > most_bytes:
        raise ModelOutputInvalid(f"output {name!r} is as large as {size} values; raise limits.reply_bytes")
    values = (
        _content(tensor, dtype, name, size)
        if tensor.tensor_content
        else _values(tensor, kind, dtype, name, size)
    )
    return _floats(values, kind).reshape(shape)


def _content(tensor: pb.TensorProto, dtype: np.dtype[Any], name: str, size: int) -> Array:
    if dtype.kind == "O" or len(tensor.tensor_content) != size * dtype.itemsize:
        raise _unequal(name, size)
    return np.frombuffer(tensor.tensor_content, dtype.newbyteorder("<")).astype(dtype)


def _values(tensor: pb.TensorProto, kind: str, dtype: np.dtype[Any], name: str, size: int) -> Array:
    """The last value stands for all that are missing."""
    given = getattr(tensor, FIELDS[kind])
    if len(given) > size or not given:
        raise _unequal(name, size)
    said = [text.decode("utf-8", "replace") for text in given] if kind == "DT_STRING" else given
    values = np.empty(size, dtype)
    try:
        values[: len(given)] = np.fromiter(said, dtype, len(given))
    except (OverflowError, ValueError) as error:
        raise ModelOutputInvalid(f"output {name!r} holds numbers beyond its type; {REMEDY}") from error
    values[len(given) :] = values[len(given) - 1]
    return values


def _floats(values: Array, kind: str) -> Array:
    if kind == "DT_HALF":
        return values.view(np.float16)
    if kind == "DT_BFLOAT16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _unequal(name: str, size: int) -> ModelOutputInvalid:
    return ModelOutputInvalid(
        f"output {name!r} is declared as {size} values and holds another number; {REMEDY}"
    )
