"""Layer-wise relevance propagation, slowly: every layer a matrix, every share a number per pair of units.

A linear layer z_j = sum_i x_i w_ij + b_j, whatever its operator, is the matrix w; the contribution of
unit i to unit j is z_ij = x_i w_ij, and unit j shares its relevance r_j in proportion to some version of
these contributions (Bach et al. 2015; Montavon et al. 2017; Montavon et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STABILIZER = 1e-6


def matrix(f: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """w: (inputs, outputs) and b: (outputs,) of an affine function of one row of this shape."""
    inputs = int(np.prod(shape))
    units = np.eye(inputs).reshape(inputs, *shape)
    b = np.stack([f(np.zeros((1, *shape))).reshape(-1)])[0]
    w = np.stack([f(unit[None]).reshape(-1) - b for unit in units])
    return w, b


def shares(parts: np.ndarray, rest: np.ndarray, r: np.ndarray, epsilon: float = STABILIZER) -> np.ndarray:
    """r_i = sum_j parts_ij / (sum_i parts_ij + rest_j) r_j, with the denominator kept from zero."""
    found = np.zeros(len(parts))
    for j in range(len(r)):
        total = parts[:, j].sum() + rest[j]
        total += epsilon if total >= 0 else -epsilon
        for i in range(len(parts)):
            found[i] += parts[i, j] / total * r[j]
    return found


def epsilon(x, w, b, r, epsilon=STABILIZER):
    return shares(x[:, None] * w, b, r, epsilon)


def z_plus(x, w, b, r):
    return shares(np.maximum(x[:, None] * w, 0), np.maximum(b, 0), r)


def alpha_beta(x, w, b, r, alpha=2.0):
    negative = shares(np.minimum(x[:, None] * w, 0), np.minimum(b, 0), r)
    return alpha * z_plus(x, w, b, r) - (alpha - 1) * negative


def gamma(x, w, b, r, gamma=0.25):
    """Contributions with the sign of z_j count (1 + gamma) times."""
    parts, z = x[:, None] * w, x @ w + b
    up = shares(parts + gamma * np.maximum(parts, 0), b + gamma * np.maximum(b, 0), np.where(z >= 0, r, 0))
    down = shares(parts + gamma * np.minimum(parts, 0), b + gamma * np.minimum(b, 0), np.where(z < 0, r, 0))
    return up + down


def z_box(x, w, b, r, low, high):
    """low, high: (inputs,)."""
    parts = x[:, None] * w - low[:, None] * np.maximum(w, 0) - high[:, None] * np.minimum(w, 0)
    return shares(parts, np.zeros_like(b), r)


def flat(x, w, b, r):
    """A weight of zero is taken for no connection."""
    return shares((w != 0).astype(float), np.zeros_like(b), r)


def w_square(x, w, b, r):
    return shares(w**2, b**2, r)


def norm(xs, r):
    """Summands of one sum share its relevance."""
    total = sum(xs)
    total = total + np.where(total >= 0, STABILIZER, -STABILIZER)
    return [x / total * r for x in xs]


def winner(x, r, side):
    """Windows side by side over (c, h, w): the first largest of each takes all."""
    found = np.zeros_like(x)
    for c, i, j in np.ndindex(r.shape):
        window = x[c, i * side : (i + 1) * side, j * side : (j + 1) * side]
        at = np.unravel_index(window.argmax(), window.shape)
        found[c, i * side + at[0], j * side + at[1]] += r[c, i, j]
    return found
