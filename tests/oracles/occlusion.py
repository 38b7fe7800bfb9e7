"""Occlusion, slowly: one window after the other, one element after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from whybox_server.core.rows import Array


def occluded(
    f: Callable[[Array], float], x: Array, baseline: Array, window: Sequence[int], stride: Sequence[int]
) -> Array:
    """For every element the mean drop of f over the windows that cover it, (*x.shape).

    Windows start at 0, stride, 2 stride, ...; there are ceil((length - side) / stride) + 1 per axis.
    """
    sums, counts = np.zeros(x.shape), np.zeros(x.shape)
    ranges = [
        [i * s for i in range(math.ceil((length - w) / s) + 1)]
        for length, w, s in zip(x.shape, window, stride, strict=True)
    ]
    for start in itertools.product(*ranges):
        changed = x.copy()
        covered = [
            at
            for at in np.ndindex(x.shape)
            if all(lo <= i < lo + w for i, lo, w in zip(at, start, window, strict=True))
        ]
        for at in covered:
            changed[at] = baseline[at]
        drop = f(x) - f(changed)
        for at in covered:
            sums[at] += drop
            counts[at] += 1
    return sums / counts
