"""Slopes, their sizes, their products and their means, on models whose slopes are known on paper."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import instance_of, look
from tests.inside import NumpyInside, around_input, joined, looked_up
from tests.oracles.integrated_gradients import slope as slope_by_hand

from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.methods.gradient import GRADIENT
from whybox_server.methods.gradient_x_input import GRADIENT_X_INPUT
from whybox_server.methods.moments import OF_VARIANCE, Moments
from whybox_server.methods.saliency import SALIENCY
from whybox_server.methods.smooth_grad import SMOOTH_GRAD, Smoothing

WEIGHTS = np.random.default_rng(0).normal(size=(2, 3, 4, 5))  # of two outputs
PICTURE = np.random.default_rng(1).random((3, 4, 5))


def picture() -> Instance:
    return instance_of(Modality.IMAGE, PICTURE, details=ImageSpec("CHW"))


def bent(x: Array) -> Array:
    """tanh of two weighted sums, (n, 3, 4, 5) -> (n, 2): its slope is (1 - tanh^2) w."""
    return np.tanh(np.einsum("nchw,ochw->no", x, WEIGHTS) / 4)


def bent_inside(instance: Instance) -> NumpyInside:
    return NumpyInside((around_input(instance, lambda x: bent(x["x0"])),))


def square_inside(instance: Instance) -> NumpyInside:
    """f = sum x^2 / 2, whose slope is x: noise on x is noise on the slope."""
    model = lambda x: (x["x0"].reshape(len(x["x0"]), -1) ** 2).sum(axis=1, keepdims=True) / 2  # noqa: E731
    return NumpyInside((around_input(instance, model, lambda values, x: values[:, None]),))


def test_the_gradient_is_the_slope_with_its_sign():
    """(1 - tanh^2) w on paper, for both outputs; central differences answer."""
    found = look(GRADIENT, picture(), bent_inside(picture()), outputs=2)
    expected = (1 - bent(PICTURE[None])[0] ** 2)[:, None, None, None] * WEIGHTS / 4
    assert found.values.shape == (2, 3, 4, 5)
    assert np.allclose(found.values, expected, atol=1e-9)
    assert found.unit == "per unit of input"
    assert not found.additive
    assert [one["largest_slope"] for one in found.quality] == pytest.approx(
        np.abs(expected).max(axis=(1, 2, 3)), abs=1e-8
    )


def test_saliency_is_the_size_of_the_slope_and_its_maximum_over_channels_on_request():
    """|slope|; as the paper draws it, every channel of a place holds the largest of its three."""
    slopes = look(GRADIENT, picture(), bent_inside(picture()), outputs=2).values
    sizes = look(SALIENCY, picture(), bent_inside(picture()), outputs=2).values
    drawn = look(SALIENCY, picture(), bent_inside(picture()), outputs=2, channel_maximum=True).values
    assert np.array_equal(sizes, np.abs(slopes))
    assert np.array_equal(drawn, np.repeat(np.abs(slopes).max(axis=1, keepdims=True), 3, axis=1))


def test_a_maximum_over_channels_needs_channels():
    """A table has none; the parameter is named."""
    row = instance_of(Modality.TABULAR, np.ones(3), details=TabularSpec(("a", "b", "c")))
    with pytest.raises(InvalidRequest, match="channel_maximum: "):
        look(SALIENCY, row, square_inside(row), channel_maximum=True)


def test_slope_times_value_sums_to_the_score_of_a_linear_model_and_says_how_far_it_is_otherwise():
    """w x; for f = x^2 / 2 the sum is x^2, twice the score."""
    row = instance_of(Modality.TABULAR, np.array([1.0, -2.0, 3.0]), details=TabularSpec(("a", "b", "c")))
    weights = np.array([0.5, 2.0, -1.0])
    linear = NumpyInside((around_input(row, lambda x: (x["x0"] * weights).sum(axis=1, keepdims=True)),))
    found = look(GRADIENT_X_INPUT, row, linear)
    assert np.allclose(found.values[0], weights * row.inputs["x0"], atol=1e-8)
    assert found.quality[0]["conservation_gap"] < 1e-8
    assert found.units.names == ("a", "b", "c")
    squared = look(GRADIENT_X_INPUT, row, square_inside(row))
    assert squared.quality[0]["conservation_gap"] == pytest.approx(7.0)


def test_columns_of_several_inputs_have_their_own_slopes_by_name():
    """A product across inputs, read at the row that they are joined to: each one's slope is the other."""
    instance = instance_of(Modality.TENSOR, np.array([2.0, 3.0]), np.array([5.0]))
    product = lambda x: x["x0"][:, :1] * x["x0"][:, 1:] * x["x1"]  # noqa: E731
    found = look(GRADIENT, instance, NumpyInside((joined(instance, product),)))
    assert np.allclose(found.values[0], [15.0, 10.0, 6.0], atol=1e-7)
    assert len(found.units.names) == 3
    assert set(found.units.segments) == {"x0", "x1"}


def test_tokens_get_the_sum_over_their_vectors():
    """f = sum w . v_t^2 / 2: slope w v at the place, slope times value w v^2, summed per token."""
    table, weights = np.random.default_rng(3).normal(size=(9, 4)), np.array([1.0, -1.0, 2.0, 0.5])
    ids = instance_of(Modality.TEXT, np.array([3, 1, 3]), details=TextSpec())
    score = lambda v: (v**2 @ weights / 2).sum(axis=1, keepdims=True)  # noqa: E731
    inside = NumpyInside((looked_up("x0", table, 3, score),))
    vectors = table[[3, 1, 3]]
    slopes, products = look(GRADIENT, ids, inside), look(GRADIENT_X_INPUT, ids, inside)
    assert slopes.units.names == ("token 3", "token 1", "token 3 (2)")
    assert np.allclose(slopes.values[0], (vectors * weights).sum(axis=1), atol=1e-8)
    assert np.allclose(products.values[0], (vectors**2 * weights).sum(axis=1), atol=1e-8)


def test_a_flat_score_is_said_to_be_flat():
    """Zeros, and a word that another method looks further."""
    inside = NumpyInside((around_input(picture(), lambda x: np.full((len(x["x0"]), 1), 2.0)),))
    found = look(GRADIENT, picture(), inside)
    assert not found.values.any()
    assert "integrated_gradients" in found.warnings[0]


def test_the_mean_over_noise_is_the_slope_of_the_mean_score():
    """f = x^2 / 2 has the slope x, so copies with noise s R have mean x, variance (s R)^2 and mean square
    x^2 + (s R)^2; five standard errors, which are those of the moments of a normal law.
    """
    n, share = 400, 0.2
    wide = share * np.ptp(PICTURE)
    inside = square_inside(picture())
    runs = {
        one: look(SMOOTH_GRAD, picture(), inside, statistic=one, num_samples=n, noise=share)
        for one in Smoothing
    }
    truths = {
        Smoothing.MEAN: (PICTURE, wide / np.sqrt(n)),
        Smoothing.SQUARED: (PICTURE**2 + wide**2, None),
        Smoothing.VARIANCE: (np.full(PICTURE.shape, wide**2), wide**2 * np.sqrt(2 / n)),
    }
    for statistic, (truth, error) in truths.items():
        found = runs[statistic]
        off = np.abs(found.values[0] - truth) / found.standard_errors[0]
        assert off.max() < 5
        assert 0.7 < np.sqrt((off**2).mean()) < 1.3
        if error is not None:
            assert np.allclose(found.standard_errors[0], error, rtol=0.35)
    assert runs[Smoothing.MEAN].unit == "per unit of input"
    assert "squared" in runs[Smoothing.VARIANCE].unit


def test_smoothing_a_linear_score_changes_nothing():
    """The slope is the same everywhere: mean w, variance 0, errors 0."""
    inside = NumpyInside(
        (around_input(picture(), lambda x: np.einsum("nchw,ochw->no", x["x0"], WEIGHTS), constant_slope),)
    )
    mean = look(SMOOTH_GRAD, picture(), inside, outputs=2, num_samples=9)
    variance = look(SMOOTH_GRAD, picture(), inside, outputs=2, num_samples=9, statistic=Smoothing.VARIANCE)
    assert np.allclose(mean.values, WEIGHTS, rtol=1e-14)
    assert not mean.standard_errors.any()
    assert not variance.values.any()


def constant_slope(values: Array, _inputs: object) -> Array:
    return np.broadcast_to(WEIGHTS, (len(values), *WEIGHTS.shape))


def test_noise_has_the_range_of_what_it_is_added_to():
    """A picture: its own range. A series: each channel's. A table: each column's in the background."""
    rows = np.array([[0.0, 100.0], [1.0, 500.0], [0.5, 300.0]])
    spec = TabularSpec(("a", "b"), rows)
    cases = [
        (picture(), np.full(PICTURE.shape, np.ptp(PICTURE))),
        (
            instance_of(
                Modality.TIME_SERIES, np.array([[0.0, 5.0], [1.0, 25.0]]), details=TimeSeriesSpec("TC")
            ),
            np.array([[1.0, 20.0], [1.0, 20.0]]),
        ),
        (instance_of(Modality.TABULAR, np.array([0.5, 600.0]), details=spec), np.array([1.0, 500.0])),
    ]
    for instance, expected in cases:
        found = look(
            SMOOTH_GRAD,
            instance,
            square_inside(instance),
            statistic=Smoothing.VARIANCE,
            num_samples=600,
            noise=0.1,
        )
        assert np.allclose(np.sqrt(found.values[0]) / 0.1, expected, rtol=0.2)


def test_a_table_without_a_background_says_what_its_noise_is():
    """A share of each value."""
    row = instance_of(Modality.TABULAR, np.array([1.0, 100.0]), details=TabularSpec(("a", "b")))
    found = look(
        SMOOTH_GRAD, row, square_inside(row), statistic=Smoothing.VARIANCE, num_samples=500, noise=0.1
    )
    assert np.allclose(np.sqrt(found.values[0]), [0.1, 10.0], rtol=0.2)
    assert any("background" in text for text in found.warnings)


def test_a_budget_leaves_as_many_samples_as_it_allows():
    """1 + 2 targets x 7 samples of 15 rows; two samples are the least."""
    inside = bent_inside(picture())
    found = look(SMOOTH_GRAD, picture(), inside, outputs=2, num_samples=40, budget=15)
    assert not found.complete
    assert found.quality[0]["samples"] == 7
    assert any("7 of 40" in text for text in found.warnings)
    whole = look(SMOOTH_GRAD, picture(), inside, outputs=2, num_samples=40)
    assert np.abs(found.values - whole.values).max() < 0.2
    with pytest.raises(BudgetSpent):
        look(SMOOTH_GRAD, picture(), inside, outputs=2, num_samples=40, budget=4)


@pytest.mark.parametrize("method", [GRADIENT, SALIENCY, GRADIENT_X_INPUT, SMOOTH_GRAD], ids=lambda m: m.name)
def test_an_input_that_is_not_there_and_numbers_that_are_none_are_refused_by_name(method):
    """The parameter and the nearest names; the index of the NaN."""
    with pytest.raises(InvalidRequest, match="input: "):
        look(method, picture(), bent_inside(picture()), outputs=2, input="x1")
    broken = PICTURE.copy()
    broken[0, 1, 2] = np.nan
    instance = instance_of(Modality.IMAGE, broken, details=ImageSpec("CHW"))
    with pytest.raises(InvalidRequest, match=r"NaN at index \(0, 1, 2\)"):
        look(method, instance, bent_inside(instance), outputs=2)


def test_whole_numbers_that_are_not_looked_up_have_no_slope():
    """The graph's own words, with the alternatives."""
    ids = instance_of(Modality.TENSOR, np.array([1, 2]))
    with pytest.raises(MethodUnsupported, match="no real numbers"):
        around_input(ids, lambda x: x["x0"])


def test_moments_are_those_of_numpy_far_from_zero():
    """Mean, unbiased variance and fourth central moment of numbers around 10^6; 1e-6 of what they are."""
    numbers = 1e6 + np.random.default_rng(5).normal(size=(50, 3))
    moments = Moments(OF_VARIANCE)
    for row in numbers:
        moments.add(row)
    variance = numbers.var(axis=0, ddof=1)
    fourth = ((numbers - numbers.mean(axis=0)) ** 4).mean(axis=0)
    assert np.allclose(moments.mean(), numbers.mean(axis=0), rtol=1e-14)
    assert np.allclose(moments.variance(), variance, rtol=1e-6)
    assert np.allclose(moments.error_of_mean(), np.sqrt(variance / 50), rtol=1e-6)
    assert np.allclose(moments.error_of_variance(), np.sqrt((fourth - 47 / 49 * variance**2) / 50), rtol=1e-6)


def test_the_doors_differences_are_the_slopes_of_the_model():
    """The numpy inside against an oracle that goes element by element."""
    instance = picture()
    found = look(GRADIENT, instance, bent_inside(instance), outputs=2).values
    by_hand = slope_by_hand(lambda x: float(bent(x[None])[0, 1]), PICTURE)
    assert np.allclose(found[1], by_hand, atol=1e-9)
