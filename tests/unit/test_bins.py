"""Bins of a column: borders, membership, draws inside, words."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from whybox_server.core.rows import Array
from whybox_server.perturb.bins import bins
from whybox_server.perturb.laws import PERCENTILES, Discretizer

QUARTILE, DECILE = PERCENTILES[Discretizer.QUARTILE], PERCENTILES[Discretizer.DECILE]


def iris(column: int) -> Array:
    return np.asarray(load_iris().data[:, column])


def test_the_quartiles_of_iris_are_those_of_the_reference() -> None:
    """Oracle: the borders that LIME's own tests pin for the petal length."""
    np.testing.assert_allclose(bins(iris(2), QUARTILE, 1.4).borders, [1.6, 4.35, 5.1])


def test_equal_deciles_are_one_border() -> None:
    """Oracle: LIME's own tests again: nine deciles of the petal width are eight borders."""
    expected = [0.2, 0.4, 1.16, 1.3, 1.5, 1.8, 1.9, 2.2]
    np.testing.assert_allclose(bins(iris(3), DECILE, 0.2).borders, expected)


def test_a_value_on_a_border_belongs_below() -> None:
    """The words say "<=": 4.35 is in "1.6 < petal length <= 4.35"."""
    found = bins(iris(2), QUARTILE, 1.4)
    assert found.of(np.array([1.6, 1.61, 4.35, 5.1, 5.11])).tolist() == [0, 1, 1, 2, 3]


def test_bins_are_described_by_their_borders() -> None:
    found = bins(iris(2), QUARTILE, 1.4)
    words = [found.describe(b, "petal length") for b in range(4)]
    assert words == [
        "petal length <= 1.6",
        "1.6 < petal length <= 4.35",
        "4.35 < petal length <= 5.1",
        "petal length > 5.1",
    ]


@pytest.mark.parametrize("column", range(4))
def test_draws_stay_inside_their_bin_and_the_data(column: int) -> None:
    """Every value drawn for a bin is in that bin again, and within the column's range."""
    data = iris(column)
    found = bins(data, DECILE, float(data[0]))
    chosen = np.repeat(np.flatnonzero(found.counts), 200)
    values = found.draw(chosen, np.random.default_rng(0))
    assert np.array_equal(found.of(values), chosen)
    assert data.min() <= values.min()
    assert values.max() <= data.max()


def test_draws_follow_the_truncated_normal() -> None:
    """Oracle: scipy's truncnorm, Kolmogorov-Smirnov; a right sampler fails once in a thousand seeds."""
    from scipy.stats import kstest, truncnorm  # noqa: PLC0415 half a second that only this test needs

    found = bins(np.random.default_rng(1).gamma(1.0, 1.0, 500), QUARTILE, 1.0)
    mean, deviation = found.means[3], found.deviations[3]
    low, high = (found.lows[3] - mean) / deviation, (found.highs[3] - mean) / deviation
    values = found.draw(np.full(4000, 3), np.random.default_rng(2))
    assert kstest(values, truncnorm(low, high, mean, deviation).cdf).pvalue > 0.001


def test_a_bin_of_one_value_gives_that_value() -> None:
    """60 % of the column are 5.0: the reference draws 0.0 for them, outside of the data."""
    rng = np.random.default_rng(3)
    data = np.concatenate([np.full(600, 5.0), rng.uniform(5.5, 9, 400)])
    found = bins(data, QUARTILE, 7.0)
    values = found.draw(np.zeros(1000, dtype=int), rng)
    assert np.all(values == 5.0)


def test_a_bin_of_nearly_one_value_is_drawn_without_domain_errors() -> None:
    """One outlier in a bin of equal numbers: a mean next to the border, a tiny acceptance if any."""
    data = np.concatenate([np.full(10_000, 1.0), [1.0 + 1e-9, 2.0, 3.0]])
    found = bins(data, (99.995,), 1.0)
    values = found.draw(np.zeros(1000, dtype=int), np.random.default_rng(4))
    assert values.min() >= 1.0
    assert values.max() <= found.borders[0]


def test_an_instance_beyond_the_data_makes_its_own_bin_possible() -> None:
    """All of the column is 1 or 2, its last border 2: the bin above is empty but for the instance."""
    found = bins(np.array([1.0, 2.0, 2.0, 2.0]), QUARTILE, 50.0)
    own = int(found.of(np.array(50.0)))
    assert found.counts[own] == 1
    assert found.draw(np.full(5, own), np.random.default_rng(5)).tolist() == [50.0] * 5
