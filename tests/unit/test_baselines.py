"""What "absent" looks like, by kind and modality."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.answering import instance_of

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.perturb import fills
from whybox_server.perturb.background import Background
from whybox_server.perturb.baselines import background_of
from whybox_server.perturb.layout import Axes
from whybox_server.perturb.options import Baseline, BaselineKind

Kind = BaselineKind
PICTURE = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)


def of_picture(baseline: Baseline, array: Array = PICTURE, seed: int = 0) -> Background:
    instance = instance_of(Modality.IMAGE, array, details=ImageSpec("CHW"))
    return background_of(instance, baseline, np.random.default_rng(seed))


def of_table(baseline: Baseline, *arrays: Array, **spec: object) -> Background:
    instance = instance_of(Modality.TABULAR, *arrays, details=TabularSpec(**spec))  # type: ignore[arg-type]
    return background_of(instance, baseline, np.random.default_rng(0))


@pytest.mark.parametrize("sigma", [2.0, 5.0, 22.4])
def test_blur_is_a_gaussian_convolution_with_mirrored_borders(sigma: float):
    """scipy.ndimage is the oracle. The discrete Gaussian differs from the sampled one by O(1/sigma^2)."""
    sides = Axes((1, 2), 0)
    ours = fills.blur(PICTURE.astype(np.float64), sides, sigma)
    theirs = gaussian_filter(PICTURE.astype(np.float64), (0, sigma, sigma), truncate=8)
    assert np.abs(ours - theirs).max() < 0.05 / sigma**2
    assert np.allclose(ours.mean(axis=(1, 2)), PICTURE.mean(axis=(1, 2)), rtol=1e-6)


def test_blur_of_one_bright_pixel_is_never_negative_and_spreads_by_sigma():
    """A kernel of probabilities whose variance is sigma^2 along each axis, even for small sigma."""
    point = np.zeros((101, 101))
    point[50, 50] = 1
    blurred = fills.blur(point, Axes((0, 1)), 0.7)
    distance = np.arange(101) - 50
    assert blurred.min() > -1e-12
    assert np.isclose((blurred.sum(axis=1) * distance**2).sum(), 0.7**2, rtol=1e-9)


def test_blur_is_the_default_of_pictures_and_says_its_sigma():
    """A tenth of the longest side, at least 5 pixels."""
    assert of_picture(Baseline()).words == "Gaussian blur, sigma 5 pixels"
    wide = np.zeros((1, 10, 224), np.float32)
    assert of_picture(Baseline(), wide).words == "Gaussian blur, sigma 22.4 pixels"
    assert of_picture(Baseline(Kind.BLUR, sigma=3)).words == "Gaussian blur, sigma 3 pixels"


def test_the_mean_of_a_picture_is_per_channel():
    """Three numbers, each everywhere in its channel."""
    values = of_picture(Baseline(Kind.MEAN)).values["x0"]
    assert values.shape == (1, 3, 20, 30)
    assert values.dtype == np.float32
    assert np.allclose(values[0, :, 4, 5], PICTURE.mean(axis=(1, 2)))
    assert np.ptp(values, axis=(2, 3)).max() == 0


def test_noise_has_the_deviation_of_each_channel_and_depends_on_the_seed_alone():
    """Mean and deviation within 5 standard errors of 600 draws; the same seed, the same noise."""
    picture = PICTURE * np.array([1.0, 10.0, 100.0], np.float32)[:, None, None]
    noise = of_picture(Baseline(Kind.NOISE), picture).values["x0"][0]
    spread = picture.std(axis=(1, 2))
    assert (np.abs(noise.mean(axis=(1, 2)) - picture.mean(axis=(1, 2))) < 5 * spread / np.sqrt(600)).all()
    assert np.allclose(noise.std(axis=(1, 2)), spread, rtol=5 / np.sqrt(2 * 600))
    assert np.array_equal(noise, of_picture(Baseline(Kind.NOISE), picture).values["x0"][0])
    assert not np.array_equal(noise, of_picture(Baseline(Kind.NOISE), picture, seed=1).values["x0"][0])


@pytest.mark.parametrize("kind", [Kind.BLUR, Kind.MEAN, Kind.NOISE])
def test_computed_values_of_an_integer_picture_are_rounded_and_stay_in_range(kind: Kind):
    """uint8 in, uint8 out; noise around 250 must not wrap to 0."""
    picture = np.random.default_rng(1).integers(200, 256, size=(1, 12, 12)).astype(np.uint8)
    values = of_picture(Baseline(kind), picture).values["x0"]
    assert values.dtype == np.uint8
    assert values.min() > 100


def test_a_constant_must_be_a_value_of_the_inputs_type():
    """1.5 and 300 are no uint8, 1e6 is no float16; 0.1 is a float32 up to rounding."""
    assert of_picture(Baseline(Kind.CONSTANT, value=0.1)).values["x0"].dtype == np.float32
    for value, dtype in ((1.5, np.uint8), (300, np.uint8), (-1, np.uint8), (1e6, np.float16)):
        with pytest.raises(InvalidRequest, match=r"baseline\.value: .* is no value of"):
            of_picture(Baseline(Kind.CONSTANT, value=value), PICTURE.astype(dtype))


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (Baseline(Kind.GIVEN), r"baseline\.given: kind GIVEN needs values"),
        (Baseline(Kind.GIVEN, given=np.zeros(7)), r"baseline\.given: .* does not broadcast"),
        (Baseline(Kind.GIVEN, given=np.array("a", object)), r"baseline\.given: the model takes float32"),
        (Baseline(Kind.GIVEN, given=np.array(np.nan)), r"baseline\.given: nan is no value"),
        (Baseline(Kind.DELETE), r"baseline\.kind: DELETE does not apply to image instances; use BLUR"),
        (Baseline(Kind.CONSTANT, value=np.inf), r"baseline\.value: must be finite"),
        (Baseline(sigma=-1), r"baseline\.sigma: must be positive"),
    ],
)
def test_a_wrong_baseline_names_its_field_and_the_remedy(baseline: Baseline, message: str):
    """One message per mistake."""
    with pytest.raises(InvalidRequest, match=message):
        of_picture(baseline)


def test_given_values_broadcast():
    """One number per channel."""
    values = of_picture(Baseline(Kind.GIVEN, given=np.array([1, 2, 3]).reshape(3, 1, 1))).values["x0"]
    assert values[0, :, 0, 0].tolist() == [1, 2, 3]


def test_the_mean_of_a_table_is_that_of_its_background():
    """Means of numbers, rounded for integers; the most frequent of strings and of declared categories."""
    table = np.array([[1.0, 10, "red", 2], [2.0, 11, "blue", 7], [6.0, 13, "red", 7]], dtype=object)
    found = of_table(
        Baseline(),
        np.array([9.0], np.float32),
        np.array([9], np.int64),
        np.array(["green"], object),
        np.array([9.0], np.float32),
        background=table,
        categories={3: ()},
    )
    assert [found.values[f"x{i}"][0, 0] for i in range(4)] == [3.0, 11, "red", 7.0]
    assert found.values["x1"].dtype == np.int64
    assert found.words == "mean of 3 background rows (of categories the most frequent)"


def test_without_a_background_a_table_falls_back_to_zero_and_says_so():
    """The default warns; asking for MEAN or BACKGROUND by name is an error with a remedy."""
    found = of_table(Baseline(), np.ones(2), np.array(["a"], object))
    assert found.values["x0"].tolist() == [[0, 0]]
    assert found.values["x1"].tolist() == [[""]]
    assert "no background rows are known" in found.warnings[0]
    for kind in (Kind.MEAN, Kind.BACKGROUND):
        with pytest.raises(
            InvalidRequest, match=rf"baseline\.kind: {kind.name} needs typical rows; give spec\.tab"
        ):
            of_table(Baseline(kind), np.ones(2))


def test_background_rows_are_alternatives_in_the_models_types():
    """k rows, split over the inputs; one row alone is used with a warning."""
    found = of_table(
        Baseline(Kind.BACKGROUND),
        np.zeros(2, np.float32),
        np.zeros(1, np.int32),
        background=np.arange(9).reshape(3, 3),
    )
    assert found.count == 3
    assert found.values["x0"].tolist() == [[0, 1], [3, 4], [6, 7]]
    assert found.values["x1"].tolist() == [[2], [5], [8]]
    assert found.values["x1"].dtype == np.int32
    assert found.warnings == ()
    alone = of_table(Baseline(Kind.BACKGROUND), np.zeros(2), background=np.ones((1, 2)))
    assert "one row only" in alone.warnings[0]


@pytest.mark.parametrize(
    ("table", "dtype", "message"),
    [
        (np.ones((4, 3)), np.float32, r"has shape \(4, 3\); the instance has 2 columns"),
        (np.array([[1, np.nan]]), np.float32, "column 1 holds NaN"),
        (np.array([[1, 2.5]]), np.int64, "column 1 holds values that int64 does not"),
        (np.array([["a", 1]], object), np.float32, "column 0 holds text"),
    ],
)
def test_a_background_that_does_not_fit_is_refused(table: Array, dtype: type, message: str):
    """Width, missing numbers, fractions for integers, text for numbers."""
    with pytest.raises(InvalidRequest, match=r"spec\.tabular\.background: .*" + message):
        of_table(Baseline(Kind.BACKGROUND), np.zeros(2, dtype), background=table)


def test_given_values_for_several_inputs_are_one_per_column():
    """Strings and numbers in one object array."""
    values = np.array([1.5, "blue"], object)
    found = of_table(Baseline(Kind.GIVEN, given=values), np.zeros(1, np.float32), np.array(["red"], object))
    assert found.values["x0"].tolist() == [[1.5]]
    assert found.values["x1"].tolist() == [["blue"]]
    with pytest.raises(InvalidRequest, match=r"baseline\.given: .*one per column, \(2,\)"):
        of_table(Baseline(Kind.GIVEN, given=np.zeros(1)), np.zeros(1), np.zeros(1))


def test_a_number_cannot_stand_for_a_string():
    """CONSTANT for a table with a string column."""
    with pytest.raises(
        InvalidRequest, match=r"baseline\.kind: CONSTANT is a number and input 'x0' holds strings"
    ):
        of_table(Baseline(Kind.CONSTANT), np.array(["red"], object))


def test_series_use_their_own_mean_by_default_and_their_background_on_request():
    """Per channel, whatever the layout; the background has the instance's shape."""
    array = np.array([[1.0, 2, 3], [10, 20, 30]])
    rows = np.arange(12.0).reshape(2, 2, 3)
    spec = TimeSeriesSpec("CT", background=rows)
    instance = instance_of(Modality.TIME_SERIES, array, details=spec)
    rng = np.random.default_rng(0)
    assert background_of(instance, Baseline(), rng).values["x0"][0].tolist() == [[2] * 3, [20] * 3]
    assert np.array_equal(background_of(instance, Baseline(Kind.BACKGROUND), rng).values["x0"], rows)
    wrong = instance_of(Modality.TIME_SERIES, array, details=TimeSeriesSpec("CT", background=rows[:, :1]))
    with pytest.raises(InvalidRequest, match=r"spec\.time_series\.background: has shape \(2, 1, 3\)"):
        background_of(wrong, Baseline(Kind.BACKGROUND), rng)
    without = instance_of(Modality.TIME_SERIES, array, details=TimeSeriesSpec("CT"))
    with pytest.raises(InvalidRequest, match=r"give spec\.time_series\.background"):
        background_of(without, Baseline(Kind.BACKGROUND), rng)


@pytest.mark.parametrize(
    ("spec", "kind", "expected"),
    [
        (TextSpec(mask_id=103), None, 103),
        (TextSpec(pad_id=1), None, 1),
        (TextSpec(mask_id=103, pad_id=1), Kind.PAD, 1),
    ],
)
def test_hidden_token_ids_become_the_mask_or_the_pad(spec: TextSpec, kind: Kind | None, expected: int):
    """The mask where there is one, else the pad; PAD on request."""
    instance = instance_of(Modality.TEXT, np.array([5, 6]), details=spec)
    found = background_of(instance, Baseline(kind), np.random.default_rng(0))
    assert found.values["x0"].tolist() == [[expected, expected]]
    assert str(expected) in found.words


def test_tensors_become_zero_and_say_so():
    """The default of a modality that means nothing."""
    instance = instance_of(Modality.TENSOR, np.ones((2, 2)), np.ones(3))
    found = background_of(instance, Baseline(), np.random.default_rng(0))
    assert found.words == "constant 0"
    assert [values.tolist() for values in found.values.values()] == [[[[0, 0], [0, 0]]], [[0, 0, 0]]]
