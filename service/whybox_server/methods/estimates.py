"""Gradients that are estimated from scores: rows around a point, and the slope they show.

Random directions are orthonormal where there are few enough segments, so that with as many
directions as segments the estimate is the central difference along every axis. Rows come in
antithetic pairs. It asks nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.methods.method import Rng

STEP = 0.01  # in scales: float32 scores of size 1 leave an error of about 1e-5 in the slope
PROBE_STEPS = (1e-3, 1e-2)
PROBES = 16  # directions per step of the probe
FLAT = 0.5  # of the probe's answers equal the centre's: the model is piecewise constant
ORTHONORMAL_CELLS = 2**17  # segments x directions: a QR of more takes over 10 ms


class GradientEstimate(Enum):
    RANDOM_DIRECTIONS = "random_directions"
    FINITE_DIFFERENCES = "finite_differences"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How slopes are felt. segments: how many numbers a slope has."""

    kind: GradientEstimate
    segments: int
    directions: int  # (of RANDOM_DIRECTIONS)

    @property
    def pairs(self) -> int:
        """Directions asked, both ways each."""
        if self.kind is GradientEstimate.FINITE_DIFFERENCES:
            return self.segments
        return min(self.directions, self.segments)

    def draw(self, rng: Rng) -> Array:
        """Directions, (pairs, segments), whose outer products have the identity as their mean sum."""
        if self.pairs == self.segments:
            return np.eye(self.segments)
        normal = rng.standard_normal((self.segments, self.pairs))
        if normal.size <= ORTHONORMAL_CELLS:
            basis = np.linalg.qr(normal)[0]
        else:
            basis = normal / np.linalg.norm(normal, axis=0)
        return np.asarray(basis.T * np.sqrt(self.segments / self.pairs))


def nudges(directions: Array) -> Array:
    """Both ways along each direction, (2 pairs, segments)."""
    return np.concatenate([STEP * directions, -STEP * directions])


def slope(directions: Array, answers: Array) -> Array:
    """The gradient, (segments,), from the answers to `nudges`, (2 pairs,).

    Unbiased for a linear function: the mean over directions u of u u' g is g.
    """
    forth, back = np.split(answers, 2)
    return np.asarray(((forth - back) / (2 * STEP)) @ directions)


def probe(segments: int, rng: Rng) -> Array:
    """Small steps in random directions, (2 PROBES, segments), of several sizes."""
    normal = rng.standard_normal((PROBES * len(PROBE_STEPS), segments))
    unit = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return np.asarray(unit * np.repeat(PROBE_STEPS, PROBES)[:, None])


def is_flat(centre: Array, scores: Array) -> bool:
    """Whether most small steps change nothing at all. centre: (outputs,); scores: (n, outputs)."""
    return bool(np.mean(np.all(scores == centre, axis=1)) > FLAT)
