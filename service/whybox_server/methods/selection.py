"""Which features a sparse surrogate keeps.

All three ways read two sums only, of the centred and weighted design: gram = X'WX, (d, d), and
moment = X'Wy, (d,). They know nothing of rows, masks or models.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from whybox_server.core.rows import Array

COLLINEAR = 1e-10  # share of a feature's spread left by the others, below which it says nothing new
RANKING_RIDGE = 0.01  # the reference implementation's penalty while it ranks


class FeatureSelection(Enum):
    """How features are chosen when there are more than may stay."""

    FORWARD = "forward"
    HIGHEST_WEIGHTS = "highest_weights"
    LASSO_PATH = "lasso_path"


def select(how: FeatureSelection, gram: Array, moment: Array, origin: Array, count: int) -> Array:
    """Indices of at most `count` features, ascending. origin: features of the instance, (d,)."""
    match how:
        case FeatureSelection.FORWARD:
            chosen = forward(gram, moment, count)
        case FeatureSelection.HIGHEST_WEIGHTS:
            chosen = highest_weights(gram, moment, origin, count)
        case FeatureSelection.LASSO_PATH:
            chosen = lasso_path(gram, moment, count)
    return np.array(sorted(chosen), dtype=np.intp)


def forward(gram: Array, moment: Array, count: int) -> list[int]:
    """Add the feature that raises the weighted R^2 of a least-squares fit most, again and again.

    Whatever a chosen feature explains is swept out of the others, so that a step costs d^2.
    """
    gram, moment = gram.copy(), moment.copy()
    spread = gram.diagonal().copy()
    chosen: list[int] = []
    while len(chosen) < count:
        left = gram.diagonal()
        free = left > COLLINEAR * spread
        free[chosen] = False
        if not free.any():
            break
        gain = np.full(len(moment), -np.inf)
        gain[free] = moment[free] ** 2 / left[free]
        best = int(np.argmax(gain))
        share = gram[best] / gram[best, best]
        moment -= share * moment[best]
        gram -= np.outer(share, gram[best])
        chosen.append(best)
    return chosen


def highest_weights(gram: Array, moment: Array, origin: Array, count: int) -> list[int]:
    """The largest |coefficient x feature of the instance| of a ridge fit; ties by index."""
    coefficients = np.linalg.solve(gram + RANKING_RIDGE * np.eye(len(gram)), moment)
    return [int(j) for j in np.argsort(-np.abs(coefficients * origin), kind="stable")[:count]]


def lasso_path(gram: Array, moment: Array, count: int) -> list[int]:
    """The features active when the LASSO path would take up one more than `count`.

    Efron, Hastie, Johnstone & Tibshirani 2004, section 3.1: along equiangular steps all active
    features keep one common correlation; whichever coefficient meets zero leaves.
    """
    size = len(moment)
    beta = np.zeros(size)
    active: list[int] = []
    barred = gram.diagonal() <= COLLINEAR * gram.diagonal().max(initial=0.0)
    tiny = COLLINEAR * np.abs(moment).max(initial=0.0)
    left = -1  # the feature that has just left: its correlation is still the common one
    while True:
        correlation = moment - gram @ beta
        free = ~barred
        free[[*active, left] if left >= 0 else active] = False
        common = np.abs(correlation[active or free]).max(initial=0.0)
        if common <= tiny or (not active and not free.any()):
            return active
        step, joins, leaves = common, -1, -1
        if active:
            signs = np.sign(correlation[active])
            direction = np.linalg.solve(gram[np.ix_(active, active)], signs)
            slope = gram[:, active] @ direction
            step, joins = first_to_join(correlation, slope, common, free)
            step, leaves = first_to_leave(beta[active], direction, step)
            beta[active] += step * direction
        else:
            joins = int(np.argmax(np.where(free, np.abs(correlation), -1.0)))
        left = -1
        if leaves >= 0:
            left = active.pop(leaves)
            beta[left] = 0.0
        elif joins < 0 or len(active) == count:
            return active
        elif adds_nothing(gram, active, joins):
            barred[joins] = True
        else:
            active.append(joins)


def first_to_join(correlation: Array, slope: Array, common: float, free: Array) -> tuple[float, int]:
    """The step after which a free feature's correlation equals the active ones', and which; -1: none."""
    best, joins = common, -1
    for sign in (1.0, -1.0):
        gap, closing = common - sign * correlation, 1.0 - sign * slope
        able = free & (closing > COLLINEAR)
        steps = np.full(len(slope), np.inf)
        steps[able] = np.maximum(gap[able], 0.0) / closing[able]
        j = int(np.argmin(steps))
        if steps[j] < best * (1 - COLLINEAR):
            best, joins = float(steps[j]), j
    return best, joins


def first_to_leave(beta: Array, direction: Array, limit: float) -> tuple[float, int]:
    """The step after which an active coefficient is zero, and its place; -1: none within the limit."""
    steps = np.full(len(beta), np.inf)
    towards = beta * direction < 0
    steps[towards] = -beta[towards] / direction[towards]
    j = int(np.argmin(steps))
    return (float(steps[j]), j) if steps[j] < limit else (limit, -1)


def adds_nothing(gram: Array, active: list[int], feature: int) -> bool:
    """True if the active features explain this one."""
    if not active:
        return False
    across = gram[active, feature]
    explained = across @ np.linalg.solve(gram[np.ix_(active, active)], across)
    return bool(gram[feature, feature] - explained <= COLLINEAR * gram[feature, feature])
