"""A weighted linear fit of scores on features, for all targets at once, with standard errors.

    beta = (X'WX + ridge I)^-1 X'Wy      X, y centred at their weighted means: the intercept is free

It knows nothing of masks, tables or models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.methods.selection import FeatureSelection, select

RANK = 1e-10  # singular values below this share of the largest count as zero
FULL_LEVERAGE = 1e-9  # a row that the fit must pass through says nothing about the noise


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """A linear model per target."""

    coefficients: Array  # (t, d); 0 for features that were not selected
    intercepts: Array  # (t,)
    standard_errors: Array | None  # (t, d); None: as many coefficients as rows
    weighted_r2: Array  # (t,), 1 is a perfect fit, and the fit of a constant

    def at(self, features: Array) -> Array:
        """What it predicts for one row of features, (d,): (t,)."""
        return np.asarray(self.intercepts + self.coefficients @ features)


@dataclass(frozen=True, slots=True, eq=False)
class Centred:
    """Design and response, centred at the weighted means and multiplied by sqrt(weight)."""

    design: Array  # (n, d)
    response: Array  # (n, t)
    feature_means: Array  # (d,)
    score_means: Array  # (t,)
    shares: Array  # (n,) weight / sum of weights: a row's pull on the intercept


@dataclass(frozen=True, slots=True)
class Sparsity:
    """At most `count` features per target."""

    count: int
    how: FeatureSelection
    origin: Array  # (d,) features of the instance


def fit(
    features: Array,
    weights: Array,
    scores: Array,
    ridge: float,
    sparsity: Sparsity | None = None,
    per_draw: int = 1,
) -> Surrogate:
    """Fit all targets; row 0 is the instance, the others are random draws of `per_draw` rows each.

    features (n, d), weights (n,) >= 0 with a positive sum, scores (n, t), ridge >= 0. With ridge 0
    and features that depend on each other the coefficients are the shortest of all best ones.
    """
    centred = centre(features, weights, scores)
    if sparsity is None or sparsity.count >= features.shape[1]:
        beta, errors = solve(centred, ridge, per_draw)
    else:
        beta, errors = solve_sparse(centred, ridge, per_draw, sparsity)
    residual = centred.response - centred.design @ beta
    total = np.sum(centred.response**2, axis=0)  # (t,)
    return Surrogate(
        coefficients=beta.T,
        intercepts=centred.score_means - centred.feature_means @ beta,
        standard_errors=None if errors is None else errors.T,
        weighted_r2=1 - np.sum(residual**2, axis=0) / np.where(total > 0, total, 1),
    )


def centre(features: Array, weights: Array, scores: Array) -> Centred:
    """Remove the weighted means, then weight the rows."""
    shares = weights / weights.sum()
    root = np.sqrt(weights)[:, None]
    feature_means = shares @ features
    # Taken from the first score, so that the mean of a constant is that constant to the last bit.
    changes = scores - scores[0]
    offset = shares @ changes
    response = (changes - offset) * root
    return Centred((features - feature_means) * root, response, feature_means, scores[0] + offset, shares)


def solve_sparse(
    centred: Centred, ridge: float, per_draw: int, sparsity: Sparsity
) -> tuple[Array, Array | None]:
    """A fit per target on the features selected for it: (d, t) twice."""
    design, response = centred.design, centred.response
    gram, moments = design.T @ design, design.T @ response
    beta, errors = np.zeros_like(moments), np.zeros_like(moments)
    for t, moment in enumerate(moments.T):
        kept = select(sparsity.how, gram, moment, sparsity.origin, sparsity.count)
        part = replace(centred, design=design[:, kept], response=response[:, [t]])
        found, spread = solve(part, ridge, per_draw)
        beta[kept, t] = found[:, 0]
        if spread is None:
            return beta, None
        errors[kept, t] = spread[:, 0]
    return beta, errors


def solve(centred: Centred, ridge: float, per_draw: int) -> tuple[Array, Array | None]:
    """Coefficients and their standard errors, (d, t) each; no errors without spare rows."""
    design, response = centred.design, centred.response
    n, d = design.shape
    if d + 2 > n:
        # (X'X + r I)^-1 X' = X' (XX' + r I)^-1: the smaller of the two systems is solved.
        return design.T @ (inverse(design @ design.T, ridge) @ response), None
    pull = design @ inverse(design.T @ design, ridge)  # (n, d): beta = pull' response
    beta = pull.T @ response
    residual = response - design @ beta
    leverage = np.einsum("ij,ij->i", pull, design) + centred.shares
    return beta, standard_errors(pull, residual, leverage, per_draw)


def inverse(gram: Array, ridge: float) -> Array:
    """(gram + ridge I)^-1; the pseudo-inverse where there is no penalty to make it regular."""
    if ridge == 0:
        return np.linalg.pinv(gram, rcond=RANK, hermitian=True)
    return np.asarray(np.linalg.inv(gram + ridge * np.eye(len(gram))))


def standard_errors(pull: Array, residual: Array, leverage: Array, per_draw: int) -> Array:
    """Standard errors over random draws of the rows, (d, t): the sandwich of White 1980, variant HC3.

    The surrogate is wrong on purpose, so its residuals are no noise of one size: each row brings its
    own. HC3 (MacKinnon & White 1985) divides a residual by 1 - leverage, the share of it that the
    fit has not absorbed. The rows of one draw are dependent: their pulls are summed before squaring
    (Liang & Zeger 1986). Row 0, the instance, is not drawn and adds nothing.
    """
    spare = np.maximum(1 - leverage, FULL_LEVERAGE)[:, None]
    left = residual / spare  # (n, t)
    if per_draw == 1:
        return np.asarray(np.sqrt((pull[1:] ** 2).T @ left[1:] ** 2))
    starts = np.arange(1, len(pull), per_draw)
    drawn = [np.add.reduceat(pull * column[:, None], starts, axis=0) for column in left.T]
    return np.asarray(np.sqrt(np.stack([np.sum(one**2, axis=0) for one in drawn], axis=1)))
