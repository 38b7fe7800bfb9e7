"""Running ONNX graphs in float64 with numpy: onnx's reference, and what it lacks.

No runtime has double precision kernels for convolutions and pools, and central differences need it.
"""

from __future__ import annotations

import itertools

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_pad
from scipy import special


class ConvTranspose(OpRun):
    """onnx 1.23 raises for more than one group. Every input element adds its kernel to the output."""

    op_domain = ""

    def _run(self, x, w, b=None, **given):
        given = {key: value for key, value in given.items() if value is not None}
        rank, group = x.ndim - 2, given.get("group", 1)
        strides, dilations = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
        pads, extra = given.get("pads", [0] * 2 * rank), given.get("output_padding", [0] * rank)
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
        sizes = [
            s * (n - 1) + o + p for s, n, o, p in zip(strides, x.shape[2:], extra, spans, strict=True)
        ]
        full = np.zeros((len(x), group, w.shape[1], *sizes), x.dtype)
        grouped = x.reshape(len(x), group, -1, *x.shape[2:])
        kernels = w.reshape(group, -1, *w.shape[1:])
        for at in itertools.product(*map(range, x.shape[2:])):
            for tap in itertools.product(*map(range, w.shape[2:])):
                place = [i * s + t * d for i, s, t, d in zip(at, strides, tap, dilations, strict=True)]
                full[(..., *place)] += np.einsum(
                    "ngc,gcm->ngm", grouped[(..., *at)], kernels[(..., *tap)]
                )
        cut = [slice(p, n - q) for p, n, q in zip(pads, sizes, pads[rank:], strict=False)]
        y = full.reshape(len(x), -1, *sizes)[(..., *cut)]
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class Erf(OpRun):
    """That of onnx 1.23 rounds to float32."""

    op_domain = ""

    def _run(self, x):
        return (special.erf(x).astype(x.dtype),)


class LRN(OpRun):
    """That of onnx 1.23 leaves the last neighbour out."""

    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        squares = np.zeros_like(x)
        for channel in range(x.shape[1]):
            near = slice(max(channel - (size - 1) // 2, 0), channel + size // 2 + 1)
            squares[:, channel] = (x[:, near] ** 2).sum(axis=1)
        return ((x * (bias + alpha / size * squares) ** -beta).astype(x.dtype),)


class Pad(op_pad.Pad_18):
    """That of onnx 1.23 takes no negative pads: here what they cut off is cut off first."""

    op_domain = ""

    def _run(self, data, pads, constant_value=None, axes=None, mode=None):
        every = np.zeros((2, data.ndim), np.int64)
        every[:, range(data.ndim) if axes is None else axes] = pads.reshape(2, -1)
        kept = zip(np.maximum(-every[0], 0), data.shape + np.minimum(every[1], 0), strict=True)
        inner = data[tuple(slice(begin, end) for begin, end in kept)]
        return super()._run(inner, np.maximum(every, 0).reshape(-1), constant_value, None, mode)


def run(model: ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name."""
    names = [entry.name for entry in model.graph.output]
    results = ReferenceEvaluator(model, new_ops=[ConvTranspose, Erf, LRN, Pad]).run(names, feeds)
    return dict(zip(names, results, strict=True))
