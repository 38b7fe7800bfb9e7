"""Prediction difference analysis: the paper's algorithm, closed forms, and what cannot be explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, subject_of
from tests.oracles.prediction_difference import algorithm_1, evidence_of_normal_columns

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.memo import Memo
from whybox_server.core.query import Query
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ScoreKind, TabularSpec, TimeSeriesSpec
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods import prediction_difference as module
from whybox_server.methods.prediction_difference import PREDICTION_DIFFERENCE as METHOD
from whybox_server.methods.prediction_difference import PredictionDifferenceParams
from whybox_server.perturb.removal import Sampler
from whybox_server.perturb.tiling import tile

MARGINAL, CONDITIONAL = Sampler.MARGINAL, Sampler.CONDITIONAL


def values_of(instance: Instance, outputs: int = 1) -> Subject:
    return subject_of(instance, outputs)


def probabilities_of(instance: Instance, classes: int = 2, target: int = 0) -> Subject:
    labels = tuple(map(str, range(classes)))
    targets = Targets((Choice(index=target),), labels, ScoreKind.PROBABILITY, Space.PROBABILITY)
    return Subject(instance, targets)


def explain(
    subject: Subject, model: Model, budget: int | None = None, seed: int = 0, **params: object
) -> Attribution:
    chosen, rng = PredictionDifferenceParams(**params), np.random.default_rng(seed)  # type: ignore[arg-type]
    task = METHOD.prepare(subject, chosen, rng)
    found = run(METHOD.run(task, chosen, rng), answering(model, subject.instance), budget)
    assert isinstance(found, Attribution)
    return found


def cost(subject: Subject, **params: object) -> int:
    chosen = PredictionDifferenceParams(**params)  # type: ignore[arg-type]
    found = METHOD.cost(METHOD.prepare(subject, chosen, np.random.default_rng(0)), chosen)
    assert found.exact
    return found.rows


def picture(side: int = 6, rows: int = 3, seed: int = 0) -> Instance:
    rng = np.random.default_rng(seed)
    details = ImageSpec("HW", background=rng.random((rows, side, side)))
    return instance_of(Modality.IMAGE, rng.random((side, side)), details=details)


def table(x: Array, background: Array, **spec: object) -> Instance:
    details = TabularSpec(background=background, **spec)  # type: ignore[arg-type]
    return instance_of(Modality.TABULAR, x, details=details)


def two_classes(logit: Callable[[Array], Array]) -> Model:
    """Probabilities of class 0 and 1, class 0 having this logit."""

    def model(inputs: object) -> Array:
        p = 1 / (1 + np.exp(-logit(inputs["x0"])))  # type: ignore[index]
        return np.stack([p, 1 - p], axis=1)

    return model


def weighted(weights: Array) -> Callable[[Array], Array]:
    return lambda x: (x.reshape(len(x), -1) * weights.ravel()).sum(axis=1)


def test_evidence_is_that_of_the_papers_algorithm():
    """Algorithm 1 patch by patch, all three background pictures being drawn: nothing is left to chance."""
    instance, side = picture(), 2
    weights = np.random.default_rng(1).normal(size=(6, 6))
    rows = instance.spec.details.background
    expected = algorithm_1(
        lambda p: float(1 / (1 + np.exp(-(p * weights).sum()))),
        instance.inputs["x0"],
        side,
        lambda y, x: [row[y : y + side, x : x + side] for row in rows],
        1000,
        2,
    )
    found = explain(
        probabilities_of(instance),
        two_classes(weighted(weights)),
        sampler=MARGINAL,
        patch=side,
        training_count=1000,
    )
    assert np.allclose(found.values[0], expected)
    assert np.all(found.standard_errors == 0)
    assert found.unit == "log2 odds"


@pytest.mark.parametrize("conditional", [False, True])
def test_evidence_of_normal_columns_is_what_quadrature_says(conditional):
    """Relative error over all columns with 500 draws at most 5 %, mean of ten seeds, 20,000 rows known."""
    rng = np.random.default_rng(2)
    covariance = 0.6 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    background = rng.multivariate_normal(np.zeros(5), covariance, 20_000)
    weights, x = np.array([2.0, -1.5, 1.0, 0.0, 1.5]), np.array([1.2, -0.8, -0.9, 1.0, 0.7])
    expected = evidence_of_normal_columns(weights, x, covariance, 100_000, conditional=conditional)
    subject, model = probabilities_of(table(x, background)), two_classes(weighted(weights))
    sampler = CONDITIONAL if conditional else MARGINAL
    errors = []
    for seed in range(10):
        found = explain(subject, model, seed=seed, sampler=sampler, num_samples=500)
        errors.append(np.linalg.norm(found.values[0] - expected) / np.linalg.norm(expected))
    assert np.mean(errors) <= 0.05


def test_standard_errors_are_those_of_the_draws():
    """Deviation of (estimate - all values) / error over 200 seeds within [0.8, 1.2]; half is drawn.

    Few training instances, so that Laplace's correction counts.
    """
    rng = np.random.default_rng(3)
    subject = probabilities_of(table(np.array([1.0]), rng.normal(size=(400, 1))))
    model = two_classes(lambda x: 2 * x[:, 0])
    truth = explain(subject, model, num_samples=400, training_count=5)
    assert np.all(truth.standard_errors == 0)
    scores = []
    for seed in range(200):
        found = explain(subject, model, seed=seed, num_samples=200, training_count=5)
        scores.append((found.values[0, 0] - truth.values[0, 0]) / found.standard_errors[0, 0])
    assert 0.8 < np.std(scores) < 1.2


def test_errors_of_two_draws_are_those_of_a_sample_without_repetition():
    """Two of the values 0, 3, 30: |a - b| / 2 times sqrt(1 - 2 / 3)."""
    subject = values_of(table(np.array([0.0]), np.array([[0.0], [3.0], [30.0]])))
    apart = {1.5: 3, 15.0: 30, 16.5: 27}  # mean of the pair: their difference
    for seed in range(5):
        found = explain(subject, lambda i: i["x0"], seed=seed, num_samples=2)
        assert found.standard_errors[0, 0] == pytest.approx(apart[-found.values[0, 0]] / 2 / np.sqrt(3))


def test_patches_that_overlap_average_their_errors_out():
    """Deviation of (estimate - all pictures) / error over 100 seeds within [0.8, 1.25]: pixels of four patches."""
    instance, weights = picture(4, rows=200), np.random.default_rng(12).normal(size=(4, 4))
    model: Model = lambda i: weighted(weights)(i["x0"])[:, None]  # noqa: E731
    subject, own = values_of(instance), {"sampler": MARGINAL, "patch": 2}
    truth = explain(subject, model, num_samples=200, **own)
    scores = []
    for seed in range(100):
        found = explain(subject, model, seed=seed, num_samples=10, **own)
        scores.append(((found.values - truth.values) / found.standard_errors)[0, 1:3, 1:3])
    assert 0.8 < np.std(scores) < 1.25


def test_probabilities_are_averaged_not_log_odds():
    """One column of values 0 and 4, p = sigmoid: the mean of both p, not of their log odds (which is 2)."""
    found = explain(
        probabilities_of(table(np.array([4.0]), np.array([[0.0], [4.0], [4.0], [0.0]]))),
        two_classes(lambda x: x[:, 0]),
        training_count=10**9,
    )
    p, high = (0.5 + 1 / (1 + np.exp(-4))) / 2, 1 / (1 + np.exp(-4))
    assert found.values[0, 0] == pytest.approx(log2(high / (1 - high)) - log2(p / (1 - p)), abs=1e-6)


def test_values_that_are_few_are_asked_once_with_their_frequencies():
    """9 zeros and 1 one: two rows, weights 0.9 and 0.1."""
    background = np.array([[0.0]] * 9 + [[1.0]])
    subject = values_of(table(np.array([1.0]), background))
    found = explain(subject, lambda i: i["x0"])
    assert found.values[0, 0] == pytest.approx(1 - 0.1)
    assert cost(subject) == 3


def test_certainty_is_bounded_by_the_training_count():
    """p = 1 has log2 odds (N + 1) / (K - 1), p = 0 has 1 / (N + K - 1)."""
    subject = probabilities_of(table(np.array([1.0]), np.array([[0.0], [0.0]])), classes=3)
    sure = lambda i: np.stack([i["x0"][:, 0], 1 - i["x0"][:, 0], 0 * i["x0"][:, 0]], axis=1)  # noqa: E731
    found = explain(subject, sure, training_count=500)
    assert found.values[0, 0] == pytest.approx(log2(501 / 2) - log2(1 / 502))


def test_scores_that_are_no_probabilities_are_subtracted():
    """Regression: f(x) - mean f, in the model's own unit."""
    instance = picture()
    weights = np.arange(36.0).reshape(6, 6)
    found = explain(
        values_of(instance), lambda i: weighted(weights)(i["x0"])[:, None], sampler=MARGINAL, patch=1
    )
    mean = instance.spec.details.background.mean(axis=0)
    assert np.allclose(found.values[0], weights * (instance.inputs["x0"] - mean))
    assert found.unit == ""


@pytest.mark.parametrize("sampler", [MARGINAL, CONDITIONAL])
def test_a_pixel_is_felt_in_its_patches_only(sampler):
    """A model of pixel (4, 5) of 12 x 12: non-zero exactly within k - 1 = 2 of it."""
    instance = picture(12, rows=10)
    found = explain(
        values_of(instance), lambda i: i["x0"][:, 4, 5][:, None], sampler=sampler, patch=3, surroundings=None
    )
    felt = np.zeros((12, 12), bool)
    felt[2:7, 3:8] = True
    assert np.array_equal(found.values[0] != 0, felt)


def test_what_the_surroundings_determine_is_no_evidence():
    """Each series is a slope: the value between two others follows; regardless of them it tells much."""
    rng = np.random.default_rng(4)
    lines = rng.normal(size=(60, 1)) * np.arange(12.0) + rng.normal(size=(60, 1))
    instance = instance_of(Modality.TIME_SERIES, lines[0], details=TimeSeriesSpec("T", background=lines[1:]))
    model: Model = lambda i: i["x0"][:, 5:6]  # noqa: E731
    given, alone = (
        explain(values_of(instance), model, sampler=sampler, patch=1, num_samples=20)
        for sampler in (CONDITIONAL, MARGINAL)
    )
    assert abs(given.values[0, 5]) < 0.01 * np.std(lines[:, 5])
    assert abs(alone.values[0, 5]) > 0.1 * np.std(lines[:, 5])


def test_a_column_that_repeats_another_is_no_evidence_given_it():
    """x1 = x0: f = x1 changes nothing given x0, and by x1 - mean regardless of it."""
    column = np.random.default_rng(5).normal(size=(300, 1))
    subject = values_of(table(np.array([2.0, 2.0]), np.hstack([column, column])))
    model: Model = lambda i: i["x0"][:, 1:]  # noqa: E731
    assert abs(explain(subject, model, sampler=CONDITIONAL).values[0, 1]) < 0.01
    alone = explain(subject, model, sampler=MARGINAL, num_samples=300)
    assert alone.values[0, 1] == pytest.approx(2 - column.mean())


def test_a_constant_model_has_no_evidence_and_is_said_to_have_none():
    """Zeros under both samplers, and a warning."""
    for sampler in (MARGINAL, CONDITIONAL):
        found = explain(
            probabilities_of(picture(8, rows=20)), two_classes(lambda x: np.ones(len(x))), sampler=sampler
        )
        assert np.abs(found.values).max() < 1e-9
        assert any("no part changes the score" in text for text in found.warnings)


def test_a_corner_lies_in_one_patch_and_the_middle_in_all_that_fit():
    """Counts of patches per pixel: 1 in the corner, k^2 inside; the last of a stride is moved inside."""
    counts = tile(picture(7), 3, 1).spread(np.ones((1, 25)))[0]
    assert counts[0, 0] == counts[-1, -1] == 1
    assert counts[3, 3] == 9
    strided = tile(picture(7), 3, 3)
    assert strided.spans[0] == ((0, 3), (3, 6), (4, 7))
    assert strided.spread(np.ones((1, 9)))[0].min() == 1


@pytest.mark.parametrize(
    ("side", "params", "rows"),
    [
        (28, {"patch": 4}, 1 + 25**2 * 10),
        (224, {"patch": 10, "stride": 1}, 462_251),
        (224, {"patch": 10, "stride": 4}, 1 + 55**2 * 10),
    ],
)
def test_the_cost_is_that_of_the_paper(side, params, rows):
    """1 + (n - k + 1)^2 S; with a stride s about an s^2-th of that."""
    assert cost(values_of(picture(side, rows=12)), sampler=MARGINAL, **params) == rows


def test_the_order_of_axes_does_not_matter():
    """CHW and HWC of one picture: the same draws, the same evidence, moved."""
    rng = np.random.default_rng(6)
    whole, rows = rng.random((3, 8, 8)), rng.random((20, 3, 8, 8))
    weights = rng.normal(size=(3, 8, 8))
    first = instance_of(Modality.IMAGE, whole, details=ImageSpec("CHW", background=rows))
    details = ImageSpec("HWC", background=np.moveaxis(rows, 1, 3))
    last = instance_of(Modality.IMAGE, np.moveaxis(whole, 0, 2).copy(), details=details)
    one = explain(values_of(first), lambda i: weighted(weights)(i["x0"])[:, None], sampler=CONDITIONAL)
    other = explain(
        values_of(last),
        lambda i: weighted(np.moveaxis(weights, 0, 2))(i["x0"])[:, None],
        sampler=CONDITIONAL,
    )
    assert np.allclose(np.moveaxis(one.values[0], 0, 2), other.values[0])
    assert np.array_equal(one.values[0, 0], one.values[0, 1])  # a patch has all channels


def test_a_series_loses_one_channel_at_a_time():
    """A model of channel 1 alone: channel 0 has no evidence."""
    rng = np.random.default_rng(7)
    details = TimeSeriesSpec("TC", background=rng.normal(size=(40, 20, 2)))
    instance = instance_of(Modality.TIME_SERIES, rng.normal(size=(20, 2)), details=details)
    found = explain(values_of(instance), lambda i: i["x0"][:, :, 1].sum(axis=1)[:, None])
    assert np.all(found.values[0, :, 0] == 0)
    assert np.all(found.values[0, :, 1] != 0)


def test_channels_have_laws_of_their_own():
    """One channel around 0 and one around 100, deviation 1: the mean draw of the second is 100 +- 0.3."""
    rng = np.random.default_rng(10)
    rows = rng.normal(size=(40, 2, 8, 8)) + np.array([0.0, 100.0])[:, None, None]
    instance = instance_of(Modality.IMAGE, rows[0], details=ImageSpec("CHW", background=rows[1:]))
    weights = np.zeros((2, 8, 8))
    weights[1] = 1 / 64
    model: Model = lambda i: weighted(weights)(i["x0"])[:, None]  # noqa: E731
    found = explain(values_of(instance), model, sampler=CONDITIONAL, patch=1)
    drawn = rows[0, 1] - 64 * found.values[0, 1]
    assert drawn.mean() == pytest.approx(100, abs=0.3)


def test_draws_stay_within_the_range_of_the_background():
    """Every value that a conditional row holds lies between the smallest and the largest of its channel."""
    instance = picture(10, rows=30)
    low, high = instance.spec.details.background.min(), instance.spec.details.background.max()
    seen = []

    def model(inputs: object) -> Array:
        seen.append(inputs["x0"][1:])  # type: ignore[index]
        return np.zeros((len(inputs["x0"]), 1))  # type: ignore[index]

    outlier = replace(instance, inputs={"x0": instance.inputs["x0"] * 0 + 5})
    explain(values_of(outlier), model, sampler=CONDITIONAL)
    drawn = np.concatenate(seen)
    assert np.all((drawn == 5) | ((drawn >= low) & (drawn <= high)))
    assert np.any(drawn != 5)


def test_integers_stay_integers():
    """A table of ages: rows hold whole numbers of the background's range."""
    rng = np.random.default_rng(8)
    background = rng.integers(20, 60, size=(50, 2))
    instance = table(np.array([30, 40]), background)
    seen: list[Array] = []

    def model(inputs: object) -> Array:
        seen.append(inputs["x0"])  # type: ignore[index]
        return np.zeros((len(inputs["x0"]), 1))  # type: ignore[index]

    explain(values_of(instance), model, sampler=CONDITIONAL)
    assert seen[0].dtype == instance.inputs["x0"].dtype
    assert seen[0].min() >= 20
    assert seen[0].max() < 60


def test_statistics_are_learnt_once_per_background_and_kept_with_the_model():
    """With a memo: one entry for two explanations, another one for another background, the same numbers."""
    memo, instance = Memo(), picture(12, rows=8)
    kept = replace(instance, spec=replace(instance.spec, kept=memo))
    model: Model = lambda i: i["x0"].sum(axis=(1, 2))[:, None]  # noqa: E731
    alone, first, second = (
        explain(values_of(one), model, sampler=CONDITIONAL) for one in (instance, kept, kept)
    )
    assert alone.values.tobytes() == first.values.tobytes() == second.values.tobytes()
    assert len(memo._kept) == 1  # noqa: SLF001
    other = replace(kept.spec.details, background=kept.spec.details.background + 1)
    explain(values_of(replace(kept, spec=replace(kept.spec, details=other))), model, sampler=CONDITIONAL)
    assert len(memo._kept) == 2  # noqa: SLF001


def test_many_parts_are_asked_in_queries_of_bounded_size(monkeypatch):
    """Seven rows a query instead of all: the same evidence, no query much larger, the instance asked once."""
    instance, weights = picture(), np.random.default_rng(9).normal(size=(6, 6))
    model: Model = lambda i: weighted(weights)(i["x0"])[:, None]  # noqa: E731
    whole = explain(values_of(instance), model, sampler=MARGINAL, patch=2)
    monkeypatch.setattr(module, "QUERY_ROWS", 7)
    sizes, answer = [], answering(model, instance)

    def noting(query: Query) -> object:
        sizes.append(len(query.rows))
        return answer(query)

    params, rng = PredictionDifferenceParams(sampler=MARGINAL, patch=2), np.random.default_rng(0)
    pieces = run(METHOD.run(METHOD.prepare(values_of(instance), params, rng), params, rng), noting)
    assert np.allclose(pieces.values, whole.values)
    assert max(sizes) <= 7 + 3
    assert sum(sizes) == 1 + 25 * 3


def test_a_spent_budget_leaves_no_region_out():
    """A third of the rows: labelled, and covered pixels in all four quarters, all of the right value."""
    instance = picture(8, rows=4)
    model: Model = lambda i: i["x0"].sum(axis=(1, 2))[:, None]  # noqa: E731
    found = explain(values_of(instance), model, sampler=MARGINAL, patch=1, budget=1 + 64 * 4 // 3)
    whole = explain(values_of(instance), model, sampler=MARGINAL, patch=1)
    assert not found.complete
    assert any("43 of 64 parts were not visited" in text for text in found.warnings)
    visited = found.values[0] != 0
    assert np.allclose(found.values[0][visited], whole.values[0][visited])
    assert visited.reshape(2, 4, 2, 4).any(axis=(1, 3)).all()


def test_a_budget_too_small_for_one_part_is_an_error():
    """One row: the instance alone says nothing."""
    with pytest.raises(BudgetSpent):
        explain(values_of(picture()), lambda i: i["x0"][:, 0, :1], sampler=MARGINAL, budget=1)


def test_one_draw_says_nothing_of_its_error():
    """No standard errors instead of NaN, and a warning."""
    found = explain(values_of(picture()), lambda i: i["x0"][:, 0, :1], sampler=MARGINAL, num_samples=1)
    assert found.standard_errors is None
    assert any("raise num_samples" in text for text in found.warnings)


def test_too_small_a_background_falls_back_on_the_same_place_and_says_so():
    """One picture shows 9 patches of 4 x 4, and 16 places need more; asked for by name it is an error."""
    instance = picture(6, rows=1)
    model: Model = lambda i: i["x0"][:, 0, :1]  # noqa: E731
    found = explain(values_of(instance), model, patch=1)
    assert "same place" in found.baseline
    assert any("regardless of the surroundings" in text for text in found.warnings)
    assert any("one instance only" in text for text in found.warnings)
    with pytest.raises(InvalidRequest, match="send more background instances"):
        explain(values_of(instance), model, patch=1, sampler=CONDITIONAL)


def test_categories_are_drawn_by_frequency_and_a_lonely_value_is_named():
    """Strings have no normal law; a column of one value cannot be varied."""
    background = np.array([["a", 1.0, 5.0], ["b", 2.0, 5.0], ["a", 3.0, 5.0], ["b", 4.0, 5.0]], dtype=object)
    instance = instance_of(
        Modality.TABULAR,
        np.array(["z"], dtype=object),
        np.array([2.0, 5.0]),
        details=TabularSpec(("letter", "number", "still"), background),
    )
    found = explain(
        values_of(instance),
        lambda i: np.array([[10.0 * (t[0] == "z") + n[0]] for t, n in zip(i["x0"], i["x1"], strict=True)]),
        sampler=CONDITIONAL,
    )
    assert found.values[0, 0] == pytest.approx(10)  # a category that the background does not have
    assert found.values[0, 2] == 0
    assert any("frequencies" in text and "letter" in text for text in found.warnings)
    assert any("only one value of still" in text for text in found.warnings)


def test_numbers_that_name_categories_are_not_drawn_between_them():
    """Codes 0 and 9 of a declared category: rows hold nothing else."""
    rng = np.random.default_rng(11)
    background = np.stack([rng.choice([0.0, 9.0], 50), rng.normal(size=50)], axis=1)
    instance = table(np.array([9.0, 0.5]), background, categories={0: ()})
    seen: list[Array] = []

    def model(inputs: object) -> Array:
        seen.append(inputs["x0"])  # type: ignore[index]
        return inputs["x0"][:, :1]  # type: ignore[index]

    explain(values_of(instance), model, sampler=CONDITIONAL)
    assert np.unique(seen[0][:, 0]).tolist() == [0, 9]


def test_other_inputs_of_a_picture_stay_as_they_are():
    """Said in a warning, and true of every row."""
    one = picture()
    instance = instance_of(Modality.IMAGE, one.inputs["x0"], np.array([3.0]), details=one.spec.details)
    found = explain(values_of(instance), lambda i: i["x1"] + 0 * i["x0"][:, 0, :1], sampler=MARGINAL)
    assert np.all(found.values == 0)
    assert any("'x0' alone" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"patch": 7}, "patch"),
        ({"patch": 2, "stride": 3}, "stride"),
        ({"patch": 2, "surroundings": 2}, "surroundings"),
        ({"patch": 2, "surroundings": 9}, "surroundings"),
        ({"sampler": MARGINAL, "surroundings": 5}, "surroundings"),
        ({"sampler": CONDITIONAL, "patch": 6}, "surroundings"),
    ],
)
def test_sides_that_do_not_fit_are_refused_by_name(params, field):
    """A 6 x 6 picture."""
    with pytest.raises(InvalidRequest) as refused:
        cost(values_of(picture(rows=40)), **params)
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize(
    ("instance", "field"),
    [
        (instance_of(Modality.IMAGE, np.zeros((4, 4)), details=ImageSpec("HW")), "spec.image.background"),
        (
            instance_of(Modality.TIME_SERIES, np.zeros(4), details=TimeSeriesSpec("T")),
            "spec.time_series.background",
        ),
        (instance_of(Modality.TABULAR, np.zeros(4), details=TabularSpec()), "spec.tabular.background"),
        (
            instance_of(
                Modality.IMAGE, np.zeros((4, 4)), details=ImageSpec("HW", background=np.zeros((2, 4, 5)))
            ),
            "spec.image.background",
        ),
    ],
)
def test_without_typical_instances_there_is_nothing_to_draw_from(instance, field):
    """The field is named, whatever the modality; so it is for one of another shape."""
    with pytest.raises(InvalidRequest) as refused:
        cost(values_of(instance))
    assert refused.value.violations[0].field == field


def test_a_table_has_no_patches():
    """All three strays are named at once."""
    subject = values_of(table(np.zeros(2), np.random.default_rng(0).normal(size=(9, 2))))
    with pytest.raises(InvalidRequest) as refused:
        cost(subject, patch=1, stride=1, surroundings=3)
    assert [v.field for v in refused.value.violations] == ["patch", "surroundings", "stride"]


def test_a_conditional_law_needs_more_rows_than_columns():
    """Three rows for two columns of numbers."""
    subject = values_of(table(np.zeros(2), np.random.default_rng(0).normal(size=(3, 2))))
    with pytest.raises(InvalidRequest, match="needs more than 3 background rows"):
        cost(subject, sampler=CONDITIONAL)


def test_laws_that_do_not_fit_into_memory_are_refused():
    """Surroundings of 100 a side: 10^8 covariances."""
    with pytest.raises(InvalidRequest, match="may take"):
        cost(values_of(picture(120, rows=40)), sampler=CONDITIONAL, patch=10, surroundings=100)
