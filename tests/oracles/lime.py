"""LIME's fit, slowly and readably, from masks and scores: loops and normal equations.

Ribeiro, Singh & Guestrin 2016, section 3.4, with the kernel and the ridge of the authors' own code:
minimise sum_i w_i (y_i - b - beta.z_i)^2 + ridge |beta|^2 over b and beta.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt


def lime_fit(
    masks: Sequence[Sequence[float]], scores: Sequence[float], width: float, ridge: float
) -> tuple[list[float], float]:
    """Coefficients and intercept for masks (1 keeps), with cosine distances from the full mask."""
    weights = [exp(-(cosine_distance(mask) ** 2) / (2 * width**2)) for mask in masks]
    return weighted_ridge(masks, scores, weights, ridge)


def cosine_distance(mask: Sequence[float]) -> float:
    """Between a mask and a vector of ones; 1 where nothing is kept."""
    kept, size = sum(mask), len(mask)
    return 1.0 if kept == 0 else 1 - kept / (sqrt(kept) * sqrt(size))


def weighted_ridge(
    rows: Sequence[Sequence[float]], scores: Sequence[float], weights: Sequence[float], ridge: float
) -> tuple[list[float], float]:
    """Normal equations with a column of ones, whose coefficient is not penalised."""
    size = len(rows[0]) + 1
    matrix = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for row, score, weight in zip(rows, scores, weights, strict=True):
        z = [*map(float, row), 1.0]
        for j in range(size):
            right[j] += weight * z[j] * score
            for k in range(size):
                matrix[j][k] += weight * z[j] * z[k]
    for j in range(size - 1):
        matrix[j][j] += ridge
    solution = gauss(matrix, right)
    return solution[:-1], solution[-1]


def gauss(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a linear system by elimination with row exchanges."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for j in range(size):
        pivot = max(range(j, size), key=lambda i: abs(rows[i][j]))
        rows[j], rows[pivot] = rows[pivot], rows[j]
        for i in range(j + 1, size):
            factor = rows[i][j] / rows[j][j]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[j], strict=True)]
    solution = [0.0] * size
    for j in reversed(range(size)):
        known = sum(rows[j][k] * solution[k] for k in range(j + 1, size))
        solution[j] = (rows[j][size] - known) / rows[j][j]
    return solution
