"""Running ONNX graphs in float64 with numpy: onnx's reference, and what it lacks.

No runtime has double precision kernels for convolutions and pools, and central differences need it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

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
        sizes = [s * (n - 1) + o + p for s, n, o, p in zip(strides, x.shape[2:], extra, spans, strict=True)]
        full = np.zeros((len(x), group, w.shape[1], *sizes), x.dtype)
        grouped = x.reshape(len(x), group, -1, *x.shape[2:])
        kernels = w.reshape(group, -1, *w.shape[1:])
        for at in itertools.product(*map(range, x.shape[2:])):
            for tap in itertools.product(*map(range, w.shape[2:])):
                place = [i * s + t * d for i, s, t, d in zip(at, strides, tap, dilations, strict=True)]
                full[(..., *place)] += np.einsum("ngc,gcm->ngm", grouped[(..., *at)], kernels[(..., *tap)])
        cut = [slice(p, n - q) for p, n, q in zip(pads, sizes, pads[rank:], strict=False)]
        y = full.reshape(len(x), -1, *sizes)[(..., *cut)]
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class Erf(OpRun):
    """That of onnx 1.23 rounds to float32."""

    op_domain = ""

    def _run(self, x):
        return (special.erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """Its body in onnx would use the Erf of onnx."""

    op_domain = ""

    def _run(self, x, approximate=None):
        if approximate == "tanh":
            return (x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * 0.5 * (1 + special.erf(x / np.sqrt(2))),)


class LRN(OpRun):
    """That of onnx 1.23 leaves the last neighbour out."""

    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        squares = np.zeros_like(x)
        for channel in range(x.shape[1]):
            near = slice(max(channel - (size - 1) // 2, 0), channel + size // 2 + 1)
            squares[:, channel] = (x[:, near] ** 2).sum(axis=1)
        return ((x * (bias + alpha / size * squares) ** -beta).astype(x.dtype),)


class BatchNormalization(OpRun):
    """That of onnx 1.23 is another one before opset 14."""

    op_domain = ""

    def _run(self, x, scale, bias, mean, var, epsilon=None, momentum=None, spatial=None, training_mode=None):
        s, b, m, v = (each.reshape(-1, *[1] * (x.ndim - 2)) for each in (scale, bias, mean, var))
        return (s * (x - m) / np.sqrt(v + (1e-5 if epsilon is None else epsilon)) + b,)


class MaxPool(OpRun):
    """That of onnx 1.23 counts indices wrongly where pads and strides of 1 meet. The first largest wins."""

    op_domain = ""

    def _run(self, x, **given):
        given = {key: value for key, value in given.items() if value is not None}
        kernel, rank = given["kernel_shape"], x.ndim - 2
        strides, dilations = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
        begins, ends = np.split(np.array(given.get("pads", [0] * 2 * rank)), 2)
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        rests = np.array(x.shape[2:]) + begins + ends - spans
        out = (-(-rests // strides) if given.get("ceil_mode") else rests // strides) + 1
        out -= (out - 1) * strides >= x.shape[2:] + begins
        places = np.arange(x.size).reshape(x.shape)
        y, indices = np.empty((*x.shape[:2], *out), x.dtype), np.empty((*x.shape[:2], *out), np.int64)
        for at in itertools.product(*map(range, out)):
            windows = [
                [t for t in range(i * s - b, i * s - b + p, d) if 0 <= t < n]
                for i, s, b, p, d, n in zip(at, strides, begins, spans, dilations, x.shape[2:], strict=True)
            ]
            seen = np.ix_(range(x.shape[0]), range(x.shape[1]), *windows)
            flat, where = (each[seen].reshape(*x.shape[:2], -1) for each in (x, places))
            first = flat.argmax(axis=2)[..., None]
            y[(..., *at)] = np.take_along_axis(flat, first, 2)[..., 0]
            indices[(..., *at)] = np.take_along_axis(where, first, 2)[..., 0]
        return y, indices


class Pad(op_pad.Pad_18):
    """That of onnx 1.23 takes no negative pads: here what they cut off is cut off first."""

    op_domain = ""

    def _run(self, data, pads, constant_value=None, axes=None, mode=None):
        every = np.zeros((2, data.ndim), np.int64)
        every[:, range(data.ndim) if axes is None else axes] = pads.reshape(2, -1)
        kept = zip(np.maximum(-every[0], 0), data.shape + np.minimum(every[1], 0), strict=True)
        inner = data[tuple(slice(begin, end) for begin, end in kept)]
        return super()._run(inner, np.maximum(every, 0).reshape(-1), constant_value, None, mode)


OURS = [BatchNormalization, ConvTranspose, Erf, Gelu, LRN, MaxPool, Pad]


Arrays = Mapping[str, np.ndarray]


def evaluator(model: ModelProto) -> Callable[[Arrays], dict[str, np.ndarray]]:
    """A function from inputs to all outputs by name."""
    names = [entry.name for entry in model.graph.output]
    reference = ReferenceEvaluator(model, new_ops=OURS)
    return lambda feeds: dict(zip(names, reference.run(names, dict(feeds)), strict=True))


def run(model: ModelProto, feeds: Arrays) -> dict[str, np.ndarray]:
    """All outputs by name, once."""
    return evaluator(model)(feeds)
