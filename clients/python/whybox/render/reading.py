"""An explanation's numbers as arrays, one target at a time. Knows the wire; draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from whybox.render.colors import Array
from whybox.v1 import explanation_pb2, tensor_pb2

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


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """An attribution for one target."""

    values: Array  # (s,) with segments, else (*shape)
    errors: Array | None  # like values: one standard error each
    names: tuple[str, ...]  # (s,) or empty
    segments: Mapping[str, Array]  # by input; -1 where nothing was varied
    shape: tuple[int, ...]  # of the explained input
    base: float | None
    measures: Mapping[str, float]


def finding(message: explanation_pb2.Explanation, target: int) -> Finding:
    """The attribution of target number `target`, counted within the message.

    Raises IndexError for a target that the message does not have, ValueError for a broken tensor.
    """
    explained(message, target)
    found = message.attribution
    bases = array(found.base_values) if found.HasField("base_values") else np.empty(0)
    return Finding(
        values=array(found.values)[target].astype(np.float64),
        errors=array(found.standard_errors)[target] if found.HasField("standard_errors") else None,
        names=tuple(found.names),
        segments={name: array(tensor) for name, tensor in found.segments.by_name.items()},
        shape=tuple(found.instance_shape),
        base=float(bases[target]) if target < bases.size else None,
        measures=dict(found.quality[target].measures) if target < len(found.quality) else {},
    )


def explained(message: explanation_pb2.Explanation, target: int) -> explanation_pb2.Target:
    """Target number `target` of the message; raises IndexError where there is none."""
    if not 0 <= target < len(message.targets):
        raise IndexError(f"target must be in [0, {len(message.targets) - 1}], got {target}")
    return message.targets[target]


def kind(message: explanation_pb2.Explanation) -> str:
    """How the instance can be shown: picture, text, table, series, tensor; "bare" if it was not sent."""
    return message.subject.WhichOneof("view") or "bare"


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
