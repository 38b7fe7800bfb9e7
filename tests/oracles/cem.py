"""Contrasts, slowly: by looking at every state of a few lamps, and in closed form for a straight border.

Dhurandhar et al. 2018: a pertinent negative only adds, a pertinent positive only keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Scores = Callable[[Sequence[int]], Sequence[float]]


def answer(scores: Sequence[float]) -> int | None:
    """The largest score's index; None when two share it."""
    best = max(scores)
    winners = [i for i, score in enumerate(scores) if score == best]
    return winners[0] if len(winners) == 1 else None


def fewest_added(lamps: Sequence[int], scores: Scores) -> int | None:
    """Fewest lamps to switch on for another answer."""
    own = answer(scores(lamps))
    sizes = [
        sum(state) - sum(lamps)
        for state in product((0, 1), repeat=len(lamps))
        if all(new >= old for new, old in zip(state, lamps, strict=True))
        and answer(scores(state)) not in (own, None)
    ]
    return min(sizes, default=None)


def fewest_kept(lamps: Sequence[int], scores: Scores) -> int:
    """Fewest of the lit lamps that are enough for the answer; none may be enough."""
    own = answer(scores(lamps))
    return min(
        sum(state)
        for state in product((0, 1), repeat=len(lamps))
        if all(new <= old for new, old in zip(state, lamps, strict=True)) and answer(scores(state)) == own
    )


def nearest_on_border(weights: Sequence[float], gap: float, beta: float) -> list[float]:
    """The d with w.d = gap > 0 of the smallest beta |d|_1 + |d|_2^2.

    Stationary where d_i = sign(w_i) max(0, lambda |w_i| - beta) / 2; lambda is found by bisection.
    """

    def at(multiplier: float) -> list[float]:
        return [(1 if w > 0 else -1) * max(0.0, multiplier * abs(w) - beta) / 2 for w in weights]

    low, high = 0.0, 1.0
    while sum(w * d for w, d in zip(weights, at(high), strict=True)) < gap:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        reached = sum(w * d for w, d in zip(weights, at(middle), strict=True))
        low, high = (middle, high) if reached < gap else (low, middle)
    return at(high)


def elastic_net(d: Sequence[float], beta: float) -> float:
    return beta * sum(map(abs, d)) + sum(x * x for x in d)


def nearest_on_border_with_projection(
    weights: Sequence[float], gap: float, gamma: float, origin: Sequence[float], axis: Sequence[float]
) -> NDArray[np.float64]:
    """The d with w.d = gap of the smallest |d|^2 + gamma |z - P z|^2, z = origin + d, P onto an axis.

    Stationary where 2 (I + gamma Q) d - lambda w = -2 gamma Q origin, Q = I - P, together with w.d = gap:
    one linear system in d and lambda.
    """
    n, w, unit = len(weights), np.array(weights), np.array(axis) / np.linalg.norm(axis)
    away = np.eye(n) - np.outer(unit, unit)
    system = np.block([[2 * (np.eye(n) + gamma * away), -w[:, None]], [w[None], np.zeros((1, 1))]])
    known = np.append(-2 * gamma * away @ origin, gap)
    return np.asarray(np.linalg.solve(system, known)[:n])
