"""The weighted ridge fit, its standard errors, and the choice of features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge, lars_path
from tests.oracles.lime import weighted_ridge

from whybox_server.core.rows import Array
from whybox_server.methods.selection import FeatureSelection, forward, highest_weights, lasso_path, select
from whybox_server.methods.surrogate import Sparsity, fit


def problem(seed: int, n: int = 60, d: int = 7, t: int = 2) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    features = (rng.random((n, d)) < 0.5).astype(float)
    scores = features @ rng.normal(size=(d, t)) + 0.5 * rng.normal(size=(n, t))
    return features, rng.random(n) + 0.05, scores


def sums(features: Array, weights: Array, scores: Array) -> tuple[Array, Array]:
    """Centred X'WX and X'Wy."""
    x = features - np.average(features, axis=0, weights=weights)
    y = scores - np.average(scores, weights=weights)
    return x.T @ (weights[:, None] * x), x.T @ (weights * y)


@pytest.mark.parametrize("ridge", [0.0, 1.0, 30.0])
def test_every_target_is_the_weighted_ridge_of_the_normal_equations(ridge: float) -> None:
    """Oracle: loops and elimination in tests/oracles; 1e-9, for 60 rows are summed in another order."""
    features, weights, scores = problem(0)
    found = fit(features, weights, scores, ridge)
    for t in range(scores.shape[1]):
        beta, intercept = weighted_ridge(features.tolist(), scores[:, t].tolist(), weights.tolist(), ridge)
        np.testing.assert_allclose(found.coefficients[t], beta, atol=1e-9)
        np.testing.assert_allclose(found.intercepts[t], intercept, atol=1e-9)


@pytest.mark.parametrize("d", [5, 100], ids=["more rows", "more features"])
def test_the_fit_is_that_of_scikit_learn_whichever_system_is_smaller(d: int) -> None:
    """Oracle: sklearn's Ridge with sample weights, which does not penalise its intercept either."""
    features, weights, scores = problem(1, n=40, d=d)
    found = fit(features, weights, scores, ridge=1.0)
    peer = Ridge(alpha=1.0).fit(features, scores, sample_weight=weights)
    np.testing.assert_allclose(found.coefficients, peer.coef_, atol=1e-9)
    np.testing.assert_allclose(found.intercepts, peer.intercept_, atol=1e-9)
    for t in range(scores.shape[1]):
        one = Ridge(alpha=1.0).fit(features, scores[:, t], sample_weight=weights)
        assert found.weighted_r2[t] == pytest.approx(one.score(features, scores[:, t], weights), abs=1e-9)


def test_the_standard_errors_are_hc3_of_the_full_design() -> None:
    """Oracle: the sandwich with an explicit column of ones, hat matrix and all, without row 0."""
    features, weights, scores = problem(2, t=1)
    design = np.column_stack([features, np.ones(len(features))])
    bread = np.linalg.inv(design.T @ (weights[:, None] * design))
    residual = scores[:, 0] - design @ bread @ design.T @ (weights * scores[:, 0])
    hat = np.diag(design @ bread @ design.T @ np.diag(weights))
    meat = (weights * residual / (1 - hat)) ** 2
    meat[0] = 0
    variance = np.diag(bread @ design.T @ (meat[:, None] * design) @ bread)
    found = fit(features, weights, scores, ridge=0.0).standard_errors
    assert found is not None
    np.testing.assert_allclose(found[0], np.sqrt(variance[:-1]), rtol=1e-9)


def test_rows_drawn_together_count_as_one_observation() -> None:
    """Each draw twice: clustered errors exceed the naive ones by sqrt(2), for nothing new was seen."""
    features, weights, scores = problem(3, n=1000)
    order = np.concatenate([[0], np.repeat(np.arange(1, 1000), 2)])
    twice = (features[order], weights[order], scores[order], 0.0)
    naive, clustered = fit(*twice).standard_errors, fit(*twice, per_draw=2).standard_errors
    assert naive is not None
    assert clustered is not None
    np.testing.assert_allclose(clustered, np.sqrt(2) * naive, rtol=1e-9)


def test_there_are_no_standard_errors_without_spare_rows() -> None:
    """Seven features and an intercept pass through eight rows: nothing is left to judge them by."""
    features, weights, scores = problem(4, n=8)
    assert fit(features, weights, scores, ridge=1.0).standard_errors is None


def test_features_that_never_change_get_nothing() -> None:
    """A constant column is the intercept's; its coefficient is 0 with and without a penalty."""
    features, weights, scores = problem(5)
    features[:, 3] = 1.0
    for ridge in (0.0, 1.0):
        found = fit(features, weights, scores, ridge)
        np.testing.assert_allclose(found.coefficients[:, 3], 0, atol=1e-12)


def test_twin_features_share_the_weight_of_one() -> None:
    """Without a penalty the shortest of all best solutions splits it evenly."""
    features, weights, scores = problem(6)
    twins = np.column_stack([features, features[:, 0]])
    alone, shared = fit(features, weights, scores, 0.0), fit(twins, weights, scores, 0.0)
    np.testing.assert_allclose(shared.coefficients[:, 0], alone.coefficients[:, 0] / 2, atol=1e-9)
    np.testing.assert_allclose(shared.coefficients[:, -1], alone.coefficients[:, 0] / 2, atol=1e-9)


def test_a_constant_score_is_explained_by_its_intercept_alone() -> None:
    """Exact zeros, not small numbers: the centring starts from the first score."""
    features, weights, _ = problem(7)
    found = fit(features, weights, np.full((60, 1), 0.1), ridge=1.0)
    assert not found.coefficients.any()
    assert found.intercepts[0] == 0.1
    assert found.weighted_r2[0] == 1


@pytest.mark.parametrize("seed", range(20))
def test_forward_selection_takes_the_best_next_feature(seed: int) -> None:
    """Oracle: one least-squares fit of scikit-learn per candidate, the best weighted R^2 wins."""
    features, weights, scores = problem(seed, t=1)
    chosen: list[int] = []
    for _ in range(6):
        quality = {}
        for j in set(range(features.shape[1])) - set(chosen):
            x = features[:, [*chosen, j]]
            quality[j] = LinearRegression().fit(x, scores, weights).score(x, scores, weights)
        chosen.append(max(quality, key=quality.__getitem__))
    for count in (1, 3, 6):
        assert forward(*sums(features, weights, scores[:, 0]), count) == chosen[:count]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_the_lasso_path_takes_features_in_the_order_of_lars(seed: int, count: int) -> None:
    """Oracle: sklearn's lars_path on the same centred, weighted data; the knot before one too many.

    Correlated features, so that some leave the path again on the way. Between two knots all those are
    active that are not zero at either.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 10)) @ rng.normal(size=(10, 10))
    weights, scores = rng.random(40) + 0.05, features @ rng.normal(size=10) + 3 * rng.normal(size=40)
    root = np.sqrt(weights)
    x = (features - np.average(features, axis=0, weights=weights)) * root[:, None]
    y = (scores - np.average(scores, weights=weights)) * root
    knots = (lars_path(x, y, method="lasso")[2] != 0).T  # (knots, d)
    over = np.flatnonzero((knots[:-1] | knots[1:]).sum(axis=1) > count)
    expected = np.flatnonzero(knots[over[0] if len(over) else -1])
    assert sorted(lasso_path(*sums(features, weights, scores), count)) == expected.tolist()


def test_the_lasso_path_passes_over_twins_and_constants() -> None:
    """A copy of an active feature adds nothing, and a constant never correlates."""
    features, weights, scores = problem(8, t=1)
    odd = np.column_stack([features, features[:, 2], np.ones(60)])
    chosen = lasso_path(*sums(odd, weights, scores[:, 0]), 9)
    assert len(chosen) == 7
    assert len({2, 7} & set(chosen)) == 1
    assert 8 not in chosen


def test_the_highest_weights_are_those_times_the_instance() -> None:
    """Coefficients 3, 2, 1 at an instance of (0.1, 1, 5): contributions .3, 2, 5."""
    features = np.random.default_rng(9).normal(size=(400, 3))
    gram, moment = sums(features, np.ones(400), features @ [3.0, 2.0, 1.0])
    assert highest_weights(gram, moment, np.array([0.1, 1.0, 5.0]), 2) == [2, 1]


@pytest.mark.parametrize("how", FeatureSelection)
def test_each_target_keeps_its_own_features_and_the_others_get_zero(how: FeatureSelection) -> None:
    """Target 0 reads columns 1 and 4, target 1 columns 0 and 6; nothing else may be kept."""
    features, weights, _ = problem(10)
    scores = np.column_stack([features[:, 1] - 2 * features[:, 4], 3 * features[:, 0] + features[:, 6]])
    found = fit(features, weights, scores, 0.0, Sparsity(2, how, np.ones(7)))
    np.testing.assert_allclose(found.coefficients[0], [0, 1, 0, 0, -2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.coefficients[1], [3, 0, 0, 0, 0, 0, 1], atol=1e-9)
    # The intercept belongs to the kept features: both targets are 0 where all features are.
    np.testing.assert_allclose(found.intercepts, 0, atol=1e-9)
    assert found.standard_errors is not None
    assert found.standard_errors[0, 0] == 0


@pytest.mark.parametrize("how", FeatureSelection)
def test_a_constant_score_can_be_asked_for_its_best_features(how: FeatureSelection) -> None:
    """Whatever is chosen is in range and not too much; the fit gives it 0."""
    features, weights, _ = problem(11)
    gram, moment = sums(features, weights, np.full(60, 2.0))
    chosen = select(how, gram, np.zeros_like(moment), np.ones(7), 3)
    assert len(set(chosen.tolist())) == len(chosen) <= 3
    found = fit(features, weights, np.full((60, 1), 2.0), 1.0, Sparsity(3, how, np.ones(7)))
    assert not found.coefficients.any()
