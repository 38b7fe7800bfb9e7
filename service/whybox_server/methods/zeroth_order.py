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
    """Points to ask, (2 d, variables) in [0, 1].

    First point + reach u for every direction u, then point - reach u.
    """
    return np.clip(np.vstack([point + reach * along, point - reach * along]), 0, 1)


def slopes(guess: Array, points: Array, values: Array) -> Array:
    """The gradient nearest to a guess, (variables,), that explains the answers to `probes`, (2 d,).

    Corrects the guess along what was probed and trusts it elsewhere (Kaczmarz 1937, by blocks). A
    guess that is passed on from step to step becomes the gradient of a linear function, without
    noise, after about variables / d steps.
    """
    half = len(points) // 2
    moves, changes = points[:half] - points[half:], values[:half] - values[half:]
    missing = changes - moves @ guess
    return np.asarray(guess + np.linalg.lstsq(moves, missing, rcond=SMALLEST_SHARE)[0])
