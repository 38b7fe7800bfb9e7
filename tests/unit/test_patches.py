"""Statistics of patches and normal laws given the rest: algebra, and what draws tend to."""

from __future__ import annotations

import numpy as np
import pytest

from whybox_server.perturb.patches import MOST_PATCHES, Gaussian, fit, fit_patches, patch_laws


def law(dims: int = 4, seed: int = 0) -> Gaussian:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dims, dims))
    return Gaussian(rng.normal(size=dims), root @ root.T, 1)


def test_a_conditional_law_is_the_one_of_the_precision_matrix():
    """Covariance of the asked is the inverse of their block of the precision, up to the jitter."""
    one, asked, known = law(), np.array([1, 3]), np.array([0, 2])
    values = np.random.default_rng(1).normal(size=(3, 4))
    precision = np.linalg.inv(one.covariance)
    covariance = np.linalg.inv(precision[np.ix_(asked, asked)])
    off = values[:, known] - one.mean[known]
    centre = one.mean[asked] - off @ precision[np.ix_(known, asked)] @ covariance
    found = one.given(asked)
    assert np.allclose(found.centre(values), centre, rtol=1e-3, atol=1e-3)
    assert np.allclose(found.root @ found.root.T, covariance, rtol=1e-3, atol=1e-4)


def test_draws_have_the_mean_and_covariance_of_their_law():
    """20,000 draws: within five standard errors."""
    found, n = law().given(np.array([0, 1])), 20_000
    values = np.random.default_rng(2).normal(size=(1, 4))
    drawn = found.draw(values, np.random.default_rng(3).standard_normal((1, n, 2)))[0]
    covariance = found.root @ found.root.T
    assert np.all(np.abs(drawn.mean(axis=0) - found.centre(values)[0]) < 5 * np.sqrt(np.diag(covariance) / n))
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < 5 * scale * np.sqrt(2 / n))


def test_a_number_that_others_determine_hardly_varies():
    """x1 = 2 x0: its draws are 2 x0 within a thousandth of its deviation."""
    x0 = np.random.default_rng(4).normal(size=500)
    found = fit(np.stack([x0, 2 * x0], axis=1)).given(np.array([1]))
    assert found.centre(np.array([[1.5, 0.0]]))[0, 0] == pytest.approx(3, abs=1e-3)
    assert found.root[0, 0] < 5e-3


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_numbers_that_never_vary_stay_what_they_are(value):
    """A constant background: no NaN, and draws equal it to the digits of single precision."""
    found = fit_patches(np.full((3, 6), value), (3,)).given(np.array([1]))
    drawn = found.draw(np.full((1, 3), value), np.ones((1, 4, 1)))
    assert np.allclose(drawn, value, rtol=1e-5, atol=1e-12)


def test_patches_of_all_positions_are_one_population():
    """Mean and covariance of every 2 x 3 patch, listed one by one."""
    pictures = np.random.default_rng(5).random((4, 5, 6))
    patches = [p[y : y + 2, x : x + 3].ravel() for p in pictures for y in range(4) for x in range(4)]
    found = fit_patches(pictures, (2, 3))
    assert found.count == len(patches)
    assert np.allclose(found.mean, np.mean(patches, axis=0))
    assert np.allclose(found.covariance, np.cov(np.array(patches).T, bias=True))


def test_of_many_patches_a_spread_sample_is_looked_at_always_the_same():
    """White noise of variance 1/12: identity within five standard errors, twice the same bytes."""
    noise = np.random.default_rng(6).random((3, 120, 120))
    found, again = fit_patches(noise, (2, 2)), fit_patches(noise, (2, 2))
    assert found.count == MOST_PATCHES
    assert found.covariance.tobytes() == again.covariance.tobytes()
    assert np.allclose(found.covariance, np.eye(4) / 12, atol=5 / 12 / np.sqrt(MOST_PATCHES))


def test_the_place_of_a_patch_in_its_surroundings_is_respected():
    """A patch at the right end of its surroundings knows the two numbers left of it, in order."""
    walk = np.cumsum(np.random.default_rng(7).normal(size=(50, 1, 60)), axis=2)
    laws = patch_laws(walk, (3,), (1,), ((0,), (1,), (2,)))
    (right,), (middle,) = laws.laws[(2,)], laws.laws[(1,)]
    assert right.known.tolist() == [0, 1]
    assert right.slope[0] == pytest.approx([0, 1], abs=0.05)  # a random walk goes on from its last value
    assert middle.slope[0] == pytest.approx([0.5, 0.5], abs=0.05)  # and passes midway between two
