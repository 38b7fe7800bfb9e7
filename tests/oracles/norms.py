"""Normalisations in float64, where onnx's reference is another one or rounds."""

from __future__ import annotations

import numpy as np
from onnx.reference.op_run import OpRun


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


class GroupNormalization(OpRun):
    """Its body in onnx works in float32. Scales are per group before opset 21, then per channel."""

    op_domain = ""

    def _run(self, x, scale, bias, epsilon=None, num_groups=None, stash_type=None):
        groups = x.reshape(len(x), num_groups, -1)
        spread = groups.var(axis=2, keepdims=True) + (1e-5 if epsilon is None else epsilon)
        unit = ((groups - groups.mean(axis=2, keepdims=True)) / np.sqrt(spread)).reshape(x.shape)
        s, b = (
            np.repeat(each, x.shape[1] // len(each)).reshape(-1, *[1] * (x.ndim - 2))
            for each in (scale, bias)
        )
        return (unit * s + b,)


class MeanVarianceNormalization(OpRun):
    """Its body in onnx takes float32 only."""

    op_domain = ""

    def _run(self, x, axes=None):
        axes = (0, 2, 3) if axes is None else tuple(axes)
        return ((x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 1e-9),)


class LpNormalization(OpRun):
    """That of onnx 1.23 sums numbers, not their sizes."""

    op_domain = ""

    def _run(self, x, axis=None, p=None):
        return (x / np.linalg.norm(x, ord=p or 2, axis=-1 if axis is None else axis, keepdims=True),)


NORMS = [BatchNormalization, GroupNormalization, LpNormalization, LRN, MeanVarianceNormalization]
