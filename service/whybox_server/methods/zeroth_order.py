"""Slopes of a function that only says its values: antithetic probes along orthogonal directions.

The variables live in [0, 1] and probes stay there. It asks nothing itself: it makes the points and
reads the answers.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.methods.method import Rng

SMALLEST_SHARE = 0.1  # of the longest probe: shorter ones are cut off by the border and say little


def directions(count: int, variables: int, rng: Rng) -> Array:
    """Orthogonal directions of random orientation, (min(count, variables), variables).

    Each is sqrt(variables) long, so that its entries are about 1. Orthogonal ones measure more than
    independent ones of the same number (Choromanski et al. 2018, section 3); more than there are
    variables would measure the same again.
    """
    drawn = rng.standard_normal((variables, min(count, variables)))
    return np.asarray(np.linalg.qr(drawn)[0].T * np.sqrt(variables))


def probes(point: Array, along: Array, reach: float) -> Array:
    """Points to ask, (2 d, variables) in [0, 1]: point + reach u for every direction u, then point - reach u."""
    return np.clip(np.vstack([point + reach * along, point - reach * along]), 0, 1)


def slopes(points: Array, values: Array) -> Array:
    """The gradient as the differences between the two halves of `probes` tell it, (variables,).

    values: (2 d,). The shortest gradient that explains them is, of a linear function, the true one
    projected onto d random directions: on average d / variables of it, which is made good here.
    """
    half = len(points) // 2
    moves, changes = points[:half] - points[half:], values[:half] - values[half:]
    shortest = np.linalg.lstsq(moves, changes, rcond=SMALLEST_SHARE)[0]
    return np.asarray(shortest * max(1.0, points.shape[1] / half))
