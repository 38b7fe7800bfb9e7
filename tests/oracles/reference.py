"""Running ONNX graphs in float64 with numpy: onnx's reference, and what it lacks.

No runtime has double precision kernels for convolutions and pools, and central differences need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_pad
from tests.oracles.norms import NORMS
from tests.oracles.recurrent import RECURRENT
from tests.oracles.windows import WINDOWS

from whybox_server.graph.double import Erf, Gelu


class Pad(op_pad.Pad_18):
    """That of onnx 1.23 takes no negative pads: here what they cut off is cut off first."""

    op_domain = ""

    def _run(self, data, pads, constant_value=None, axes=None, mode=None):
        every = np.zeros((2, data.ndim), np.int64)
        every[:, range(data.ndim) if axes is None else axes] = pads.reshape(2, -1)
        kept = zip(np.maximum(-every[0], 0), data.shape + np.minimum(every[1], 0), strict=True)
        inner = data[tuple(slice(begin, end) for begin, end in kept)]
        return super()._run(inner, np.maximum(every, 0).reshape(-1), constant_value, None, mode)


class GatherElements(OpRun):
    """That of onnx 1.23 takes no more than 64 numbers along a line."""

    op_domain = ""

    def _run(self, data, indices, axis=None):
        axis = (axis or 0) % data.ndim
        near = tuple(slice(None) if at == axis else slice(length) for at, length in enumerate(indices.shape))
        return (np.take_along_axis(data[near], indices, axis),)


class DequantizeLinear(OpRun):
    """onnx 1.23 lacks those before opset 19."""

    op_domain = ""

    def _run(self, q, scale, zero=None, axis=None, block_size=None, output_dtype=None):
        shape = (
            [-1, *[1] * (q.ndim - 1 - (1 if axis is None else axis) % q.ndim)]
            if scale.size > 1
            else scale.shape
        )
        lowest = 0 if zero is None else zero.astype(np.int64).reshape(shape)
        return ((q.astype(np.int64) - lowest).astype(scale.dtype) * scale.reshape(shape),)


OURS = [*NORMS, *RECURRENT, *WINDOWS, DequantizeLinear, Erf, GatherElements, Gelu, Pad]


Arrays = Mapping[str, np.ndarray]


def evaluator(model: ModelProto) -> Callable[[Arrays], dict[str, np.ndarray]]:
    """A function from inputs to all outputs by name."""
    names = [entry.name for entry in model.graph.output]
    reference = ReferenceEvaluator(model, new_ops=OURS)
    return lambda feeds: dict(zip(names, reference.run(names, dict(feeds)), strict=True))


def run(model: ModelProto, feeds: Arrays) -> dict[str, np.ndarray]:
    """All outputs by name, once."""
    return evaluator(model)(feeds)
