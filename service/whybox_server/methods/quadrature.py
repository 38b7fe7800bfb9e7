"""Where along [0, 1] an integrand is looked at, and how much each place counts."""

from __future__ import annotations

from enum import Enum

import numpy as np
from scipy.special import roots_legendre

from whybox_server.core.rows import Array


class PathRule(Enum):
    """How an integral becomes a sum."""

    GAUSS_LEGENDRE = "gauss_legendre"
    RIEMANN_LEFT = "riemann_left"
    RIEMANN_MIDDLE = "riemann_middle"
    RIEMANN_RIGHT = "riemann_right"
    TRAPEZOID = "trapezoid"


FEWEST = {PathRule.TRAPEZOID: 2}  # both ends


def fewest(rule: PathRule) -> int:
    """Places that a rule needs at least."""
    return FEWEST.get(rule, 1)


def quadrature(rule: PathRule, steps: int) -> tuple[Array, Array]:
    """Places in [0, 1] in ascending order, and their shares, which sum to 1; (steps,) each.

    Gauss-Legendre is exact for polynomials of degree 2 steps - 1; for smooth integrands the error of
    left and right sums falls as 1 / steps, of middle sums and trapezoids as 1 / steps^2.
    """
    even = np.full(steps, 1 / steps)
    match rule:
        case PathRule.GAUSS_LEGENDRE:
            nodes, weights = roots_legendre(steps)  # on [-1, 1]
            return (nodes + 1) / 2, weights / 2
        case PathRule.RIEMANN_LEFT:
            return np.arange(steps) / steps, even
        case PathRule.RIEMANN_MIDDLE:
            return (np.arange(steps) + 0.5) / steps, even
        case PathRule.RIEMANN_RIGHT:
            return np.arange(1, steps + 1) / steps, even
        case PathRule.TRAPEZOID:
            shares = np.full(steps, 1 / (steps - 1))
            shares[[0, -1]] /= 2
            return np.linspace(0, 1, steps), shares
