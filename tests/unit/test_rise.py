"""RISE: its masks, its averages, what they tend to, and what cannot be masked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.oracles.rise import covariances, enlarged, expected_of_linear, saliency

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TextSpec, TimeSeriesSpec
from whybox_server.engine.drive import run
from whybox_server.methods.rise import RISE, RiseParams
from whybox_server.perturb.options import Baseline, BaselineKind
from whybox_server.perturb.veils import refuse_too_many


def explain(
    instance: Instance,
    model: Model,
    budget: int | None = None,
    seed: int = 0,
    outputs: int = 1,
    **params: object,
) -> Attribution:
    return explain_by(instance, answering(model, instance), budget, seed, outputs, **params)


def explain_by(
    instance: Instance,
    answer: Callable[[Query], Reply],
    budget: int | None = None,
    seed: int = 0,
    outputs: int = 1,
    **params: object,
) -> Attribution:
    chosen, rng = RiseParams(**params), np.random.default_rng(seed)  # type: ignore[arg-type]
    task = RISE.prepare(subject_of(instance, outputs, outputs), chosen, rng)
    found = run(RISE.run(task, chosen, rng), answer, budget)
    assert isinstance(found, Attribution)
    return found


def cost(instance: Instance, **params: object) -> int:
    chosen = RiseParams(**params)  # type: ignore[arg-type]
    found = RISE.cost(RISE.prepare(subject_of(instance), chosen, np.random.default_rng(0)), chosen)
    assert found.exact
    return found.rows


def masks_asked(instance: Instance, **params: object) -> Array:
    """Rows of an instance of ones over a baseline of zeros: the masks themselves."""
    asked: list[Query] = []

    def answer(query: Query) -> Reply:
        asked.append(query)
        return Reply(np.zeros((len(query.rows), 1)))

    explain_by(instance, answer, **params)
    return materialise(asked[0].rows, instance)["x0"][1:]


def picture(*shape: int, layout: str = "HW", seed: int = 0) -> Instance:
    values = np.random.default_rng(seed).random(shape)
    return instance_of(Modality.IMAGE, values, details=ImageSpec(layout))


def line(values: Array) -> Instance:
    return instance_of(Modality.TIME_SERIES, values, details=TimeSeriesSpec("T"))


def text(sentence: str) -> Instance:
    return instance_of(Modality.TEXT, np.array([sentence], object), details=TextSpec())


def of_words(weights: dict[str, float]) -> Model:
    """The sum of the weights of the words that are there."""
    return lambda i: np.array([[sum(weights.get(w, 0) for w in row[0].split())] for row in i["x0"]])


ZERO = Baseline(BaselineKind.CONSTANT)


def test_masks_are_those_of_the_paper():
    """p is kept on average within five standard errors, all in [0, 1], and some grid and shift give each."""
    ones = instance_of(Modality.IMAGE, np.ones((10, 14)), details=ImageSpec("HW"))
    masks = masks_asked(ones, num_masks=2000, cells=2, keep_probability=0.3)
    assert masks.min() >= 0
    assert masks.max() <= 1
    # A mean of one pixel varies by at most sqrt(p (1 - p) / N).
    assert np.all(np.abs(masks.mean(axis=0) - 0.3) < 5 * np.sqrt(0.21 / 2000))
    grids = [np.array(bits).reshape(2, 2) for bits in np.ndindex(2, 2, 2, 2)]
    possible = [
        whole[down : down + 10, right : right + 14]
        for whole in (enlarged(grid, 15, 21) for grid in grids)
        for down in range(5)
        for right in range(7)
    ]
    for mask in masks[:50]:
        assert min(np.abs(mask - one).max() for one in possible) < 1e-6


def test_values_are_the_papers_average_over_the_masks():
    """Equation 6 over the rows that were asked, one by one; any model."""
    ones = instance_of(Modality.IMAGE, np.ones((9, 8)), details=ImageSpec("HW"))
    masks = masks_asked(ones, num_masks=300, keep_probability=0.4)
    model: Model = lambda i: np.tanh(i["x0"][:, 2:5, 3:6].sum(axis=(1, 2)))[:, None]  # noqa: E731
    expected = saliency(model({"x0": masks})[:, 0], masks, 0.4)
    found = explain(ones, model, num_masks=300, keep_probability=0.4)
    assert np.allclose(found.values[0], expected)
    assert np.all(found.base_values == 0)


def test_centred_values_are_the_average_without_the_mean_score():
    """sum (f - mean f) M / (N p), and the mean is said."""
    ones = instance_of(Modality.IMAGE, np.ones((9, 8)), details=ImageSpec("HW"))
    masks = masks_asked(ones, num_masks=300)
    model: Model = lambda i: 7 + i["x0"][:, 2:5, 3:6].prod(axis=(1, 2))[:, None]  # noqa: E731
    scores = model({"x0": masks})[:, 0]
    found = explain(ones, model, num_masks=300, centred=True)
    assert np.allclose(found.values[0], saliency(scores - scores.mean(), masks, 0.5))
    assert found.base_values[0] == pytest.approx(scores.mean())


@pytest.mark.parametrize("centred", [False, True])
def test_values_of_a_linear_model_tend_to_their_expectation(centred):
    """Closed form over all grids and shifts; all places within five standard errors, 4000 masks."""
    rng = np.random.default_rng(1)
    x, weights, baseline = rng.normal(size=20), rng.normal(size=20), rng.normal(size=20)
    keep = 0.4
    found = explain(
        line(x),
        lambda i: (i["x0"] @ weights)[:, None],
        num_masks=4000,
        cells=4,
        keep_probability=keep,
        centred=centred,
        baseline=Baseline(BaselineKind.GIVEN, given=baseline),
    )
    expected = expected_of_linear(weights, x, baseline, 4, keep)
    if not centred:
        expected = expected + weights @ (keep * x + (1 - keep) * baseline)
    assert np.all(np.abs(found.values[0] - expected) < 5 * found.standard_errors[0])
    assert np.abs(expected).max() > 20 * found.standard_errors.max()


@pytest.mark.slow
@pytest.mark.parametrize("centred", [False, True])
def test_standard_errors_are_those_of_the_masks(centred):
    """Deviation of (estimate - expectation) / error over 200 seeds and all places within [0.85, 1.15]."""
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=12), rng.normal(size=12)
    expected = expected_of_linear(weights, x, np.zeros(12), 3, 0.5)
    if not centred:
        expected = expected + weights @ x / 2
    scores = []
    for seed in range(200):
        found = explain(
            line(x),
            lambda i: (i["x0"] @ weights)[:, None],
            seed=seed,
            num_masks=100,
            cells=3,
            centred=centred,
            baseline=ZERO,
        )
        scores.append((found.values[0] - expected) / found.standard_errors[0])
    assert 0.85 < np.std(scores) < 1.15


def test_the_pixel_that_matters_stands_out():
    """A model of pixel (20, 9) of 32 x 32: the largest value within two pixels of it."""
    instance = picture(3, 32, 32, layout="CHW")
    found = explain(instance, lambda i: i["x0"][:, 0, 20, 9][:, None], centred=True)
    y, x = np.unravel_index(found.values[0, 0].argmax(), (32, 32))
    assert max(abs(y - 20), abs(x - 9)) <= 2
    assert np.array_equal(found.values[0, 0], found.values[0, 2])  # a mask has no channels


def test_the_order_of_axes_does_not_matter():
    """CHW and HWC of one picture: the same masks, the same values, moved."""
    first = picture(3, 9, 9, layout="CHW")
    last = instance_of(Modality.IMAGE, np.moveaxis(first.inputs["x0"], 0, 2).copy(), details=ImageSpec("HWC"))
    one = explain(first, lambda i: i["x0"][:, 1, 2:4, 3].sum(axis=1)[:, None], num_masks=50)
    other = explain(last, lambda i: i["x0"][:, 2:4, 3, 1].sum(axis=1)[:, None], num_masks=50)
    assert np.allclose(np.moveaxis(one.values[0], 0, 2), other.values[0])


@pytest.mark.parametrize("layout", ["TC", "CT"])
def test_channels_of_a_series_have_masks_of_their_own(layout):
    """A model of one channel: the other's centred values are noise, its own tower over it."""
    values = np.random.default_rng(3).normal(size=(30, 2)) + 3
    array = values if layout == "TC" else values.T.copy()
    instance = instance_of(Modality.TIME_SERIES, array, details=TimeSeriesSpec(layout))
    own = (slice(None), 10, 1) if layout == "TC" else (slice(None), 1, 10)
    found = explain(instance, lambda i: i["x0"][own][:, None], centred=True, baseline=ZERO)
    map_of = found.values[0] if layout == "TC" else found.values[0].T
    errors = found.standard_errors[0] if layout == "TC" else found.standard_errors[0].T
    assert np.all(np.abs(map_of[:, 0]) < 5 * errors[:, 0])
    assert map_of[:, 1].argmax() in (9, 10, 11)
    assert map_of[:, 1].max() > 10 * np.abs(map_of[:, 0]).max()


def test_of_few_words_every_combination_is_asked_and_nothing_left_to_chance():
    """f = sum w, keep 0.3: values are E f + w (1 - p), errors 0, 1 + 2^4 rows."""
    weights = {"a": 1.0, "fine": 3.0, "dull": -2.0, "film": 0.0}
    instance = text("a fine dull film")
    found = explain(instance, of_words(weights), keep_probability=0.3)
    w = np.array(list(weights.values()))
    assert np.allclose(found.values[0], 0.3 * w.sum() + 0.7 * w)
    assert np.all(found.standard_errors == 0)
    assert cost(instance) == 17
    centred = explain(instance, of_words(weights), keep_probability=0.3, centred=True)
    assert np.allclose(centred.values[0], 0.7 * w)


def test_of_many_words_masks_are_drawn():
    """40 words, 2000 masks: within five standard errors of E f + w (1 - p)."""
    words = [f"w{i}" for i in range(40)]
    w = np.random.default_rng(4).normal(size=40)
    instance = text(" ".join(words))
    found = explain(instance, of_words(dict(zip(words, w, strict=True))))
    assert np.all(np.abs(found.values[0] - w.sum() / 2 - w / 2) < 5 * found.standard_errors[0])
    assert cost(instance) == 2001


def test_all_targets_come_from_the_same_masks():
    """Two outputs, the second -3 times the first."""
    found = explain(picture(8, 8), lambda i: i["x0"][:, 2, 2][:, None] * [1, -3], outputs=2, num_masks=50)
    assert np.allclose(found.values[1], -3 * found.values[0])


def test_the_default_baseline_is_zero_for_pictures_and_their_mean_for_series():
    """As in the paper, and as everywhere."""
    assert explain(picture(8, 8), lambda i: i["x0"][:, 0, :1], num_masks=10).baseline == "constant 0"
    assert "mean" in explain(line(np.arange(9.0)), lambda i: i["x0"][:, :1], num_masks=10).baseline


def test_background_instances_take_turns():
    """Two background series of 0 and of 1: rows blend with either."""
    details = TimeSeriesSpec("T", background=np.stack([np.zeros(6), np.ones(6)]))
    instance = instance_of(Modality.TIME_SERIES, np.full(6, 9.0), details=details)
    rows = masks_asked(instance, num_masks=200, cells=1, baseline=Baseline(BaselineKind.BACKGROUND))
    hidden = np.unique(rows[rows.max(axis=1) <= 1])
    assert hidden.tolist() == [0, 1]


def test_a_constant_model_is_said_to_be_one():
    """The paper's values are that constant, centred ones 0; a warning either way."""
    model: Model = lambda i: np.full((len(i["x0"]), 1), 3.0)  # noqa: E731
    plain, centred = (explain(picture(8, 8), model, num_masks=500, centred=c) for c in (False, True))
    assert np.all(np.abs(plain.values - 3) < 5 * plain.standard_errors)
    assert np.abs(centred.values).max() < 1e-12
    for found in (plain, centred):
        assert any("every mask scores the same" in warning for warning in found.warnings)


def test_an_instance_that_equals_its_baseline_is_said_to():
    """Black over black."""
    black = instance_of(Modality.IMAGE, np.zeros((8, 8)), details=ImageSpec("HW"))
    found = explain(black, lambda i: i["x0"][:, 0, :1], num_masks=20)
    assert any("equals the baseline" in warning for warning in found.warnings)


def test_a_spent_budget_averages_over_fewer_masks():
    """The first 99 of 4000 masks, the same numbers as if 99 had been asked for."""
    instance, model = picture(8, 8), lambda i: i["x0"][:, 3, 3][:, None]
    found = explain(instance, model, budget=100)
    assert not found.complete
    assert any("99 of 4000 masks" in warning for warning in found.warnings)
    assert found.quality[0]["masks"] == 99
    assert np.isfinite(found.standard_errors).all()


def test_a_part_of_all_combinations_is_weighted_and_has_no_errors():
    """Half of 2^7 texts: finite, near the truth, errors unknown."""
    weights = {word: float(i) for i, word in enumerate("abcdefg")}
    found = explain(text("a b c d e f g"), of_words(weights), budget=64, centred=True)
    assert not found.complete
    assert found.standard_errors is None
    assert np.corrcoef(found.values[0], np.arange(7))[0, 1] > 0.9


@pytest.mark.parametrize("budget", [0, 1, 2])
def test_a_budget_too_small_for_two_masks_is_an_error(budget):
    """One mask says nothing of its error."""
    with pytest.raises(BudgetSpent):
        explain(picture(8, 8), lambda i: i["x0"][:, 0, :1], budget=budget)


@pytest.mark.parametrize(
    ("instance", "params", "field"),
    [
        (picture(6, 9), {"cells": 7}, "cells"),
        (text("two words"), {"cells": 2}, "cells"),
        (picture(6, 9), {"baseline": Baseline(BaselineKind.DELETE)}, "baseline.kind"),
        (picture(224, 224), {"cells": 224, "num_masks": 1_000_000}, "num_masks"),
        (instance_of(Modality.IMAGE, np.full((8, 8), np.nan), details=ImageSpec("HW")), {}, "instances"),
    ],
)
def test_what_cannot_be_masked_is_refused_by_name(instance, params, field):
    """One violation each."""
    with pytest.raises(InvalidRequest) as refused:
        cost(instance, **params)
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_side_of_few_places_has_as_many_cells():
    """A series of three steps and of one: no error, finite values."""
    for steps in (1, 3):
        found = explain(
            line(np.arange(1.0, 1 + steps)), lambda i: i["x0"].sum(axis=1)[:, None], baseline=ZERO
        )
        assert np.isfinite(found.values).all()
        assert f"{steps} random cells" in found.segmentation


def test_other_inputs_of_a_picture_stay_as_they_are():
    """Said in a warning, and true of every row."""
    instance = instance_of(Modality.IMAGE, np.ones((8, 8)), np.array([3.0]), details=ImageSpec("HW"))
    seen: list[Array] = []

    def model(inputs: object) -> Array:
        seen.append(inputs["x1"])  # type: ignore[index]
        return inputs["x0"][:, 0, :1]  # type: ignore[index]

    found = explain(instance, model, num_masks=20)
    assert np.all(seen[0] == 3)
    assert any("'x0' alone" in warning for warning in found.warnings)


def test_the_oracles_covariances_are_those_of_masks():
    """Against 20,000 masks of six steps: what the closed form rests on, within five standard errors."""
    masks = masks_asked(line(np.ones(6)), num_masks=20_000, cells=2, baseline=ZERO)
    assert np.allclose(np.cov(masks.T), covariances(6, 2, 0.5), atol=5 * 0.25 / np.sqrt(20_000))


def test_limits_are_on_all_cells_together():
    """2^28 cells fit, one mask more does not."""
    refuse_too_many(2**20, 2**8)
    with pytest.raises(InvalidRequest):
        refuse_too_many(2**20 + 1, 2**8)
