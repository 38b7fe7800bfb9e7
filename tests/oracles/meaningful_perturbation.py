"""Games of masks cell by cell and pixel by pixel, and their solutions by trying every mask.

Slow on purpose.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from whybox_server.core.rows import Array


def blended(instance: Array, background: Array, mask: Array) -> Array:
    """Phi(x; m) of Fong & Vedaldi 2017, section 4.1: x m + b (1 - m), pixel by pixel; HW."""
    found = np.zeros(instance.shape)
    for at in np.ndindex(instance.shape):
        found[at] = instance[at] * mask[at] + background[at] * (1 - mask[at])
    return found


def total_variation(mask: Array) -> float:
    """Sum over cells of (dx^2 + dy^2)^(3/2), in cells per side of a picture."""
    height, width = mask.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            down = mask[y + 1, x] - mask[y, x] if y + 1 < height else 0.0
            right = mask[y, x + 1] - mask[y, x] if x + 1 < width else 0.0
            total += (down**2 + right**2) ** 1.5
    return total / np.sqrt(height * width)


def objective(game: str, mask: Array, share: float, size_weight: float, smoothness_weight: float) -> float:
    """Equations 3 and 4 with the score as a share of its range; "area" has no size term."""
    smooth = smoothness_weight * total_variation(mask)
    if game == "deletion":
        return share + size_weight * float(np.mean(1 - mask)) + smooth
    return -share + (size_weight * float(np.mean(mask)) if game == "preservation" else 0.0) + smooth


def best_binary(value: Callable[[Array], float], cells: tuple[int, int]) -> tuple[Array, float]:
    """The mask of zeros and ones with the smallest value, out of all of them."""
    masks = (np.reshape(bits, cells) for bits in itertools.product([0.0, 1.0], repeat=cells[0] * cells[1]))
    return min(((mask, value(mask)) for mask in masks), key=lambda pair: pair[1])


def adam(gradients: list[Array], rate: float) -> Array:
    """Where Kingma & Ba's algorithm 1 has gone after these gradients, its v one number for all variables."""
    moved = np.zeros(gradients[0].shape)
    v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        v = 0.999 * v + 0.001 * sum(g * g for g in gradient) / len(gradient)
        for i in range(len(moved)):
            m = sum(0.1 * 0.9 ** (t - s) * gradients[s - 1][i] for s in range(1, t + 1))
            moved[i] -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return moved


def overlap(found: Array, truth: Array) -> float:
    """Intersection over union of two sets of places, bool."""
    return float((found & truth).sum() / (found | truth).sum())
