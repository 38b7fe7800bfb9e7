"""RISE's masks and averages pixel by pixel, and what they tend to for a linear model.

Slow on purpose.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array


def shares_of_cells(position: int, length: int, cells: int) -> Array:
    """How much each of `cells` points weighs at one of `length` positions of their linear interpolation."""
    at = (position + 0.5) * cells / length - 0.5
    found = np.zeros(cells)
    if at <= 0:
        found[0] = 1
    elif at >= cells - 1:
        found[-1] = 1
    else:
        low = int(np.floor(at))
        found[low], found[low + 1] = 1 - (at - low), at - low
    return found


def enlarged(grid: Array, height: int, width: int) -> Array:
    """Bilinear interpolation of a grid, pixel by pixel."""
    found = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            rows, columns = shares_of_cells(y, height, len(grid)), shares_of_cells(x, width, grid.shape[1])
            found[y, x] = rows @ grid.astype(float) @ columns
    return found


def saliency(scores: Array, masks: Array, keep: float) -> Array:
    """Equation 6: sum of f(x, M) M over N masks, divided by N p."""
    total = np.zeros(masks.shape[1:])
    for score, mask in zip(scores, masks, strict=True):
        total += score * mask
    return total / (len(masks) * keep)


def covariances(length: int, cells: int, keep: float) -> Array:
    """Cov[M(i), M(j)] of masks of a line, (length, length): the mean over all shifts of shared cells."""
    width = -(-length // cells)
    total, found = (cells + 1) * width, np.zeros((length, length))
    for shift in range(width):
        shares = np.array([shares_of_cells(shift + i, total, cells) for i in range(length)])
        found += shares @ shares.T
    return keep * (1 - keep) * found / width


def expected_of_linear(weights: Array, x: Array, baseline: Array, cells: int, keep: float) -> Array:
    """What E[(f - E f) M] / p is for f = weights . row over a line, exactly, (length,)."""
    return covariances(len(x), cells, keep) @ (weights * (x - baseline)) / keep
