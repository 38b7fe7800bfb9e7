"""Random points on ways from many baselines: what their mean tends to, and how fast."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import instance_of, look
from tests.models.bent import ROW, ZERO, around, around_bent, bent, tensor
from tests.oracles.integrated_gradients import expected

from whybox_server.core.instance import Instance
from whybox_server.core.spec import Modality, TabularSpec
from whybox_server.methods.gradient_shap import GRADIENT_SHAP

BACKGROUND = np.random.default_rng(6).normal(size=(12, 4))


def typical() -> Instance:
    return instance_of(Modality.TABULAR, ROW, details=TabularSpec(("a", "b", "c", "d"), BACKGROUND))


def test_expected_gradients_tend_to_the_mean_of_integrated_gradients_over_the_background():
    """Within five of their own standard errors, which are those of independent draws: an upper bound."""
    truth = expected(lambda x: float(bent(x[None])[0, 0]), ROW, BACKGROUND, steps=200)
    offs = []
    for seed in range(8):
        found = look(GRADIENT_SHAP, typical(), around_bent(typical()), outputs=2, seed=seed, num_samples=240)
        offs.append((found.values[0] - truth) / found.standard_errors[0])
        assert np.allclose(found.base_values, bent(BACKGROUND).mean(axis=0))
    assert np.abs(offs).max() < 5
    assert np.sqrt(np.square(offs).mean()) < 1.1
    assert "12" in found.baseline


def test_the_error_of_expected_gradients_falls_with_the_samples():
    """n^-1/2 or faster: 16 times the samples, at most 0.4 of the error (0.25 for independent draws)."""
    truth = expected(lambda x: float(bent(x[None])[0, 0]), ROW, BACKGROUND, steps=200)

    def error(samples: int) -> float:
        runs = [
            look(GRADIENT_SHAP, typical(), around_bent(typical()), outputs=2, seed=s, num_samples=samples)
            for s in range(12)
        ]
        return float(np.sqrt(np.mean([(one.values[0] - truth) ** 2 for one in runs])))

    assert error(480) < 0.4 * error(30)


def test_noise_is_part_of_the_way():
    """A linear model gives w (x + noise - b): mean w (x - b), deviation w times the noise, over the root of n."""
    weights, n = np.array([1.0, -2.0, 0.5, 3.0]), 500
    inside = around(tensor(), lambda x: x @ weights)
    found = look(GRADIENT_SHAP, tensor(), inside, baselines=(ZERO,), noise=0.2, num_samples=n)
    deviation = np.abs(weights) * 0.2 * np.ptp(ROW) / np.sqrt(n)
    assert np.allclose(found.standard_errors[0], deviation, rtol=0.2)
    assert np.abs((found.values[0] - weights * ROW) / deviation).max() < 5


def test_a_budget_leaves_as_many_points_as_it_allows():
    """1 instance, 12 baselines, and 2 targets x 20 points of 53 rows."""
    found = look(GRADIENT_SHAP, typical(), around_bent(typical()), outputs=2, budget=53)
    assert not found.complete
    assert found.quality[0]["samples"] == 20
    assert any("20 of 200" in text for text in found.warnings)


def test_the_first_points_are_a_fair_sample_of_all():
    """f = x^4 from 0: a tenth of the points, as a budget leaves, tells the same mean as all of them."""
    instance = tensor(np.array([1.0]))
    inside = around(instance, lambda x: x[:, 0] ** 4)
    found = look(GRADIENT_SHAP, instance, inside, baselines=(ZERO,), num_samples=1000, budget=102)
    assert found.quality[0]["samples"] == 100
    assert abs(found.values[0, 0] - 1) < 5 * found.standard_errors[0, 0]


def test_noise_moves_the_end_of_a_way_and_not_its_beginning():
    """f = |x|^2 / 2: the sum is the mean of f(x + noise) - f(x'), which is f(x) - f(x') + 4 s^2 / 2."""
    inside = around(tensor(), lambda x: (x**2).sum(axis=1) / 2)
    found = look(GRADIENT_SHAP, tensor(), inside, baselines=(ZERO,), noise=1.0, num_samples=4000)
    expected_sum = (ROW**2).sum() / 2 + 4 * np.ptp(ROW) ** 2 / 2
    assert found.values[0].sum() == pytest.approx(expected_sum, rel=0.1)
