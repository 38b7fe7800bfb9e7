"""Prediction difference analysis as its paper writes it down, patch by patch and draw by draw.

Slow on purpose. Also the closed forms against which samplers are measured: a linear logit of normal
columns needs a one-dimensional integral only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whybox_server.core.rows import Array


def log2_odds(p: float, training_count: float, classes: int) -> float:
    """Section 3: odds after Laplace's correction p <- (p N + 1) / (N + K)."""
    corrected = (p * training_count + 1) / (training_count + classes)
    return float(np.log2(corrected / (1 - corrected)))


def algorithm_1(
    probability: Callable[[Array], float],
    picture: Array,
    side: int,
    draws: Callable[[int, int], list[Array]],
    training_count: float,
    classes: int,
) -> Array:
    """Evidence per pixel of a picture (height, width); draws(y, x): values for the patch from there."""
    height, width = picture.shape
    evidence, counts = np.zeros(picture.shape), np.zeros(picture.shape)
    own = log2_odds(probability(picture), training_count, classes)
    for y in range(height - side + 1):
        for x in range(width - side + 1):
            total, drawn = 0.0, draws(y, x)
            for values in drawn:
                other = picture.copy()
                other[y : y + side, x : x + side] = values
                total += probability(other)
            without = log2_odds(total / len(drawn), training_count, classes)
            evidence[y : y + side, x : x + side] += own - without
            counts[y : y + side, x : x + side] += 1
    return evidence / counts


def mean_probability(centre: float, width: float) -> float:
    """E sigmoid(z) for z ~ N(centre, width^2), by Gauss-Hermite quadrature with 80 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float(weights @ (1 / (1 + np.exp(-(centre + width * nodes)))) / weights.sum())


def evidence_of_normal_columns(
    weights: Array, x: Array, covariance: Array, training_count: float, *, conditional: bool
) -> Array:
    """Weight of evidence of each column for p = sigmoid(weights . x), columns ~ N(0, covariance)."""
    found = []
    for i in range(len(x)):
        rest = np.delete(np.arange(len(x)), i)
        centre, variance = 0.0, covariance[i, i]
        if conditional:
            slope = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, i])
            centre, variance = slope @ x[rest], covariance[i, i] - slope @ covariance[rest, i]
        logit = weights[rest] @ x[rest] + weights[i] * centre
        without = mean_probability(logit, abs(weights[i]) * np.sqrt(variance))
        own = 1 / (1 + np.exp(-(weights @ x)))
        found.append(log2_odds(own, training_count, 2) - log2_odds(without, training_count, 2))
    return np.array(found)
