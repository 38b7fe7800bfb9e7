"""What a model takes and gives, as its graph declares it.

Shapes are those of one row once the batch axis is known; what the numbers mean is the business of
`meaning`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from whybox_server.core.errors import ModelRejected
from whybox_server.core.spec import BatchAxis
from whybox_server.graph.walk import Shape, real_inputs, shape_of

DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.BOOL: np.dtype(bool),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.INT32: np.dtype(np.int32),
    TensorProto.INT64: np.dtype(np.int64),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.UINT32: np.dtype(np.uint32),
    TensorProto.UINT64: np.dtype(np.uint64),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.STRING: np.dtype(object),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output as declared: the batch axis is part of the shape.

    dtype: object stands for strings. shape: None for an axis of any length, or for an unknown rank.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None

    def __str__(self) -> str:
        return described(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class RowInfo:
    """One row of an input, without the batch axis. shape: () if the rank is not declared."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs of a model, and how rows are laid into them. rows: rows of a call if that is fixed."""

    inputs: tuple[TensorInfo, ...]
    batch: BatchAxis
    rows: int | None = None

    def row_shape(self, info: TensorInfo) -> Shape | None:
        """Shape of one row of an input; None if its rank is not declared."""
        if info.shape is None or self.batch is BatchAxis.NONE:
            return info.shape
        return info.shape[1:]

    @property
    def row_infos(self) -> tuple[RowInfo, ...]:
        """One row of each input."""
        return tuple(RowInfo(info.name, info.dtype, self.row_shape(info) or ()) for info in self.inputs)


def described(dtype: np.dtype[Any], shape: Iterable[int | None] | None) -> str:
    """An array in words: "float32 (?, 3, 224, 224)"."""
    name = "string" if dtype.kind == "O" else dtype.name
    if shape is None:
        return f"{name} of any shape"
    return f"{name} ({', '.join('?' if length is None else str(length) for length in shape)})"


def inputs_of(model: ModelProto) -> tuple[TensorInfo, ...]:
    """Inputs a caller must give. Raises ModelRejected for one that holds no array of a known type."""
    found = tuple(map(_info, real_inputs(model.graph)))
    unknown = [
        entry.name for entry, info in zip(real_inputs(model.graph), found, strict=True) if info is None
    ]
    if unknown:
        raise ModelRejected(
            f"input {unknown[0]!r} is neither an array of numbers nor of strings", rule="INPUT_TYPE"
        )
    return tuple(info for info in found if info is not None)


def outputs_of(model: ModelProto) -> tuple[TensorInfo, ...]:
    """Outputs that are arrays; a ZipMap's sequence of maps is shown as the array it will become."""
    shown = []
    for entry in model.graph.output:
        info = _info(entry)
        if info is None and entry.type.HasField("sequence_type"):
            info = TensorInfo(entry.name, np.dtype(np.float32), (None, None))
        if info is not None:
            shown.append(info)
    return tuple(shown)


def _info(entry: ValueInfoProto) -> TensorInfo | None:
    dtype = DTYPES.get(entry.type.tensor_type.elem_type)
    if not entry.type.HasField("tensor_type") or dtype is None:
        return None
    return TensorInfo(entry.name, dtype, shape_of(entry.type))
