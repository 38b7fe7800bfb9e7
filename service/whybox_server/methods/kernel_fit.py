"""The regression of KernelSHAP: from what coalitions are worth to Shapley values and their errors.

All targets at once. It knows nothing of rows, masks of pixels or models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.methods.coalitions import Drawn

FULL_LEVERAGE = 1e-9  # a draw that the fit must pass through says nothing about the noise


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the model said, averaged over each coalition's background rows."""

    full: Array  # (t,) the instance's score
    base: Array  # (t,) of nothing, over all background rows
    worth: Array  # (n, t)
    empty: Array  # (n, t) of nothing, over the coalition's own background rows
    shared: bool  # all coalitions have the same background rows


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Values of all targets; standard_errors is None when too few draws tell nothing about it."""

    values: Array  # (t, players)
    standard_errors: Array | None  # (t, players)
    weighted_r2: Array  # (t,), 1 when the game is additive


def solve(drawn: Drawn, told: Told) -> Solution:
    """Weighted least squares under the constraint that the values sum to full - empty.

    phi = (full - empty) / M + beta with beta summing to 0, so that the share of a coalition's size can
    be taken from both sides: worth - empty - (full - empty) |S| / M = (z - |S| / M) . beta. `empty` on the
    left is that of the coalition's own background rows, so that how these differ cancels.
    """
    players = drawn.masks.shape[1]
    share = drawn.masks.mean(axis=1, keepdims=True)  # (n, 1)
    response = told.worth - told.empty - (told.full - told.empty) * share  # (n, t)
    design = drawn.masks - share  # (n, players), every row sums to 0
    weighted = design * drawn.weights[:, None]
    gram = weighted.T @ design
    # Rows of the design say nothing about the mean of beta: this term, and nothing else, makes it 0.
    inverse = np.linalg.inv(gram + (gram.trace() or 1.0) / players**2)
    pull = weighted @ inverse  # (n, players): beta = pull' response
    beta = pull.T @ response  # (players, t)
    residual = response - design @ beta
    return Solution(
        values=((told.full - told.base) / players + beta).T,
        standard_errors=standard_errors(
            drawn, pull, residual, np.einsum("ij,ij->i", pull, design), shared=told.shared
        ),
        weighted_r2=explained(drawn.weights, told.worth, residual),
    )


def explained(weights: Array, worth: Array, residual: Array) -> Array:
    """Weighted R^2, (t,); 1 where the worth of all coalitions is the same."""
    if not len(weights):
        return np.ones(worth.shape[1])
    total = weights @ (worth - np.average(worth, axis=0, weights=weights)) ** 2
    return np.asarray(1 - weights @ residual**2 / np.where(total > 0, total, 1))


def standard_errors(
    drawn: Drawn, pull: Array, residual: Array, leverage: Array, *, shared: bool
) -> Array | None:
    """Spread of the values over other draws, (t, players); None without two draws left to chance.

    Each draw moves the values by pull x residual: a linearised ratio estimator under sampling without
    replacement, (1 - chance) being the finite population correction (Särndal, Swensson & Wretman 1992,
    section 5.5). With background rows of its own no draw is certain, and the correction is left out:
    an upper estimate. Residuals are divided by 1 - leverage, the share that the fit has not absorbed.
    """
    starts = np.arange(0, len(pull), drawn.per_draw)
    chances = drawn.chances if shared else np.zeros_like(drawn.chances)
    random = chances < 1
    count = int(random.sum())
    shape = (residual.shape[1], pull.shape[1])
    if drawn.exact and shared:
        return np.zeros(shape)
    if count < 2:  # a spread needs two
        return None
    spare = np.maximum(1 - np.add.reduceat(leverage, starts), FULL_LEVERAGE)[random, None]
    uncertain = (1 - chances[random]) * count / (count - 1)
    found = np.empty(shape)
    for t, column in enumerate(residual.T):
        moved = np.add.reduceat(pull * column[:, None], starts)[random] / spare  # (count, players)
        found[t] = np.sqrt(uncertain @ (moved - moved.mean(axis=0)) ** 2)
    return found
