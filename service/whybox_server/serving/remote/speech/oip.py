"""Tensors of the Open Inference Protocol, however they travel: as raw bytes, as JSON, or in typed fields.

A server's reply may use another way than the request did. Lengths are compared before anything is
made of bytes, so that a shape which claims more than was sent costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array

# BF16 has no dtype in numpy: its values are held as float32, which has all of them.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(np.float32),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
DATATYPES: Mapping[np.dtype[Any], str] = {
    dtype: datatype for datatype, dtype in DTYPES.items() if datatype != "BF16"
}
LENGTH = struct.Struct("<I")  # before each element of BYTES
LOW_BITS, HALF, QUIET_NAN = 16, 0x7FFF, 0x7FC0  # of float32, below and as BF16
SHOWN = 40  # characters of a name that a server made up


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One of a reply, or of a request. raw: little endian, row major. values: numbers, texts or bytes, nested or flat."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | None = None
    values: Any = None
    role: str = "output"

    def __str__(self) -> str:
        return f"{self.role} {self.name[:SHOWN]!r}"


def raw_of(datatype: str, array: Array) -> bytes | memoryview:
    """Row-major, little endian; elements of BYTES each after their length. Not copied where that can be."""
    if datatype == "BYTES":
        encoded = [bytes_of(element) for element in array.ravel()]
        return b"".join(part for one in encoded for part in (LENGTH.pack(len(one)), one))
    wire = DTYPES[datatype].newbyteorder("<")
    laid = _bfloat16(array) if datatype == "BF16" else np.ascontiguousarray(array, wire)
    return laid.reshape(-1).view(np.uint8).data


def values_of(datatype: str, array: Array) -> list[Any]:
    """Row-major, as JSON has them."""
    if datatype == "BYTES":
        return [bytes_of(element).decode("utf-8", "replace") for element in array.ravel()]
    found: list[Any] = array.astype(DTYPES[datatype], copy=False).ravel().tolist()
    return found


def array_of(tensor: Tensor) -> Array:
    """Texts as objects, BF16 as float32. Raises ModelOutputInvalid if data and shape do not agree."""
    if tensor.datatype not in DTYPES:
        raise ModelOutputInvalid(f"{tensor} has a datatype that the Open Inference Protocol does not know")
    if any(length < 0 for length in tensor.shape):
        raise ModelOutputInvalid(f"{tensor} has a shape with negative lengths: {tensor.shape}")
    flat = _from_values(tensor) if tensor.raw is None else _from_raw(tensor, tensor.raw)
    if flat.size != prod(tensor.shape):
        raise ModelOutputInvalid(f"{tensor} has shape {tensor.shape} and {flat.size} elements")
    return flat.reshape(tensor.shape)


def raw_bytes(datatype: str, array: Array) -> int:
    """How many bytes `raw_of` makes of an array."""
    if datatype == "BYTES":
        return sum(LENGTH.size + len(bytes_of(element)) for element in array.ravel())
    return array.size * (2 if datatype == "BF16" else DTYPES[datatype].itemsize)


def bytes_of(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode("utf-8", "surrogatepass")


def _from_raw(tensor: Tensor, raw: bytes) -> Array:
    if tensor.datatype == "BYTES":
        return _texts(list(elements_of(tensor, raw)))
    dtype = np.dtype("<u2") if tensor.datatype == "BF16" else DTYPES[tensor.datatype].newbyteorder("<")
    if len(raw) != prod(tensor.shape) * dtype.itemsize:
        raise ModelOutputInvalid(
            f"{tensor} of {tensor.datatype} has shape {tensor.shape} and {len(raw)} bytes"
        )
    found: Array = np.frombuffer(raw, np.uint8 if tensor.datatype == "BOOL" else dtype)
    if tensor.datatype == "BF16":
        found = (found.astype(np.uint32) << LOW_BITS).view(np.float32)
    return found.astype(DTYPES[tensor.datatype], copy=False)


def _from_values(tensor: Tensor) -> Array:
    """Numbers of the right kind: what is no number is not made one, and null is NaN (MLServer's way)."""
    wanted = DTYPES[tensor.datatype]
    if wanted.kind == "O":
        return _texts(list(_leaves(tensor.values)))
    try:
        found = np.asarray(tensor.values)
        if found.dtype.kind == "O":
            found = np.asarray(tensor.values, np.float64)
    except (ValueError, TypeError, OverflowError):
        found = np.empty(0, object)
    kinds = "biuf" if wanted.kind == "f" else "biu"
    if found.size and found.dtype.kind not in kinds:
        raise ModelOutputInvalid(f"{tensor} of {tensor.datatype} holds something else than its numbers")
    return found.astype(wanted).ravel()


def _leaves(values: Any) -> Iterator[Any]:
    """Elements in order, however deep the lists are."""
    pending = [values]
    while pending:
        value = pending.pop()
        if isinstance(value, list | tuple):
            pending.extend(reversed(value))
        else:
            yield value


def elements_of(tensor: Tensor, raw: bytes) -> Iterator[bytes]:
    """Elements of raw BYTES. Raises ModelOutputInvalid."""
    at = 0
    while at < len(raw):
        start = at + LENGTH.size
        at = start + LENGTH.unpack_from(raw, at)[0] if start <= len(raw) else len(raw) + 1
        if at > len(raw):
            raise ModelOutputInvalid(f"{tensor} of BYTES ends in the middle of an element")
        yield raw[start:at]


def _texts(elements: list[Any]) -> Array:
    """(n,) objects."""
    found = np.empty(len(elements), object)
    found[:] = [e.decode("utf-8", "replace") if isinstance(e, bytes) else str(e) for e in elements]
    return found


def _bfloat16(array: Array) -> Array:
    """Bits of the nearest BF16, the even one of two."""
    single = np.ascontiguousarray(array, np.float32)
    bits = single.view(np.uint32)
    with np.errstate(over="ignore"):  # of a NaN's bits, which are replaced
        nearest = (bits + HALF + ((bits >> LOW_BITS) & 1)) >> LOW_BITS
    found: Array = np.where(np.isnan(single), QUIET_NAN, nearest).astype("<u2")
    return found
