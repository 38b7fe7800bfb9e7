"""Integrated gradients by central differences and a fine sum, element by element, and what sums of few
points are for powers.

Slow on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from whybox_server.core.rows import Array

Score = Callable[[Array], float]  # (*shape) -> a number
STEP = 1e-5


def slope(score: Score, x: Array) -> Array:
    """Central differences, one element at a time."""
    found = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        up, down = x.astype(float), x.astype(float)
        up[at] += STEP
        down[at] -= STEP
        found[at] = (score(up) - score(down)) / (2 * STEP)
    return found


def attributions(score: Score, x: Array, baseline: Array, steps: int = 2000) -> Array:
    """Equation 1 of Sundararajan, Taly & Yan 2017 by the middles of many equal pieces."""
    total = np.zeros(x.shape)
    for step in range(steps):
        total += slope(score, baseline + (step + 0.5) / steps * (x - baseline))
    return (x - baseline) * total / steps


def expected(score: Score, x: Array, baselines: Sequence[Array], steps: int = 500) -> Array:
    """Equation 3 of Erion et al. 2021: the mean over baselines."""
    return np.mean([attributions(score, x, one, steps) for one in baselines], axis=0)


def sum_of_powers(places: Array, shares: Array, degree: int) -> float:
    """What a rule makes of the integral of x^degree over [0, 1], which is 1 / (degree + 1)."""
    return float(sum(share * place**degree for place, share in zip(places, shares, strict=True)))
