"""Operators with windows in float64, where onnx's reference lacks something."""

from __future__ import annotations

import itertools

import numpy as np
from onnx.reference.op_run import OpRun


def halves(totals, mode):
    """Begins and ends of pads with these sums."""
    less, more = np.array(totals) // 2, np.array(totals) - np.array(totals) // 2
    return (less, more) if mode == "SAME_UPPER" else (more, less)


class ConvTranspose(OpRun):
    """onnx 1.23 raises for more than one group. Every input element adds its kernel to the output."""

    op_domain = ""

    def _run(self, x, w, b=None, **given):
        given = {key: value for key, value in given.items() if value is not None}
        rank, group = x.ndim - 2, given.get("group", 1)
        strides, dilations = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
        extra, mode = given.get("output_padding", [0] * rank), given.get("auto_pad", "NOTSET")
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
        sizes = [s * (n - 1) + o + p for s, n, o, p in zip(strides, x.shape[2:], extra, spans, strict=True)]
        asked = given.get("output_shape")
        if asked is None and mode.startswith("SAME"):
            asked = np.multiply(x.shape[2:], strides)
        pads = given.get("pads", [0] * 2 * rank)
        if asked is not None:
            pads = np.concatenate(halves(np.maximum(np.array(sizes) - asked, 0), mode))
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


class MaxPool(OpRun):
    """That of onnx 1.23 counts indices wrongly where pads and strides of 1 meet. The first largest wins."""

    op_domain = ""

    def _run(self, x, **given):
        given = {key: value for key, value in given.items() if value is not None}
        kernel, rank, lengths = given["kernel_shape"], x.ndim - 2, np.array(x.shape[2:])
        strides, dilations = np.array(given.get("strides", [1] * rank)), given.get("dilations", [1] * rank)
        spans = np.array([d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)])
        begins, ends = np.split(np.array(given.get("pads", [0] * 2 * rank)), 2)
        mode = given.get("auto_pad", "NOTSET")
        if mode.startswith("SAME"):
            begins, ends = halves(
                np.maximum((-(-lengths // strides) - 1) * strides + spans - lengths, 0), mode
            )
        rests = lengths + begins + ends - spans
        out = (-(-rests // strides) if given.get("ceil_mode") else rests // strides) + 1
        out -= (out - 1) * strides >= lengths + begins
        places = np.arange(x.size).reshape(x.shape)
        if given.get("storage_order"):  # columns first
            places = places.reshape(*x.shape[:2], *lengths[::-1]).transpose(0, 1, *range(x.ndim - 1, 1, -1))
        y, indices = np.empty((*x.shape[:2], *out), x.dtype), np.empty((*x.shape[:2], *out), np.int64)
        for at in itertools.product(*map(range, out)):
            windows = [
                [t for t in range(i * s - b, i * s - b + p, d) if 0 <= t < n]
                for i, s, b, p, d, n in zip(at, strides, begins, spans, dilations, lengths, strict=True)
            ]
            seen = np.ix_(range(x.shape[0]), range(x.shape[1]), *windows)
            flat, where = (each[seen].reshape(*x.shape[:2], -1) for each in (x, places))
            first = flat.argmax(axis=2)[..., None]
            y[(..., *at)] = np.take_along_axis(flat, first, 2)[..., 0]
            indices[(..., *at)] = np.take_along_axis(where, first, 2)[..., 0]
        return y, indices


class GlobalMaxPool(OpRun):
    """That of onnx 1.23 adds axes to what is no image."""

    op_domain = ""

    def _run(self, x):
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    """onnx 1.23 has none."""

    op_domain = ""

    def _run(self, x, p=None):
        p = 2 if p is None else p
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


WINDOWS = [ConvTranspose, GlobalLpPool, GlobalMaxPool, MaxPool]
