"""Masks found by optimisation, against solutions on paper, by enumeration, and planted evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.inside import NumpyInside, around_input
from tests.oracles.meaningful_perturbation import best_binary, objective, overlap

from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Mask
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ScoreKind, TimeSeriesSpec
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.mask_games import Game, margins
from whybox_server.methods.meaningful_perturbation import (
    MEANINGFUL_PERTURBATION,
    MeaningfulPerturbationParams,
)
from whybox_server.methods.zeroth_order import directions, probes, slopes
from whybox_server.perturb.blending import blend
from whybox_server.perturb.options import Baseline, BaselineKind

BLACK = Baseline(BaselineKind.CONSTANT)
SIDE, BLOCK = 32, 10
STRIPES = np.where(np.indices((SIDE, SIDE)).sum(axis=0) % 4 < 2, 1.0, -1.0)


def explain(
    subject: Subject, model: Model, budget: int | None = None, seed: int = 0, **params: object
) -> Mask:
    settings = MeaningfulPerturbationParams(**params)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    task = MEANINGFUL_PERTURBATION.prepare(subject, settings, rng)
    steps = MEANINGFUL_PERTURBATION.run(task, settings, rng)
    found = run(steps, answering(model, subject.instance), budget)
    assert isinstance(found, Mask)
    return found


def picture(array: Array) -> Instance:
    return instance_of(Modality.IMAGE, array, details=ImageSpec("HW"))


def ones(side: int) -> Instance:
    return picture(np.ones((side, side)))


def linear(weights: Array) -> Model:
    """f(x0) = w . x0."""
    return lambda inputs: inputs["x0"].reshape(len(inputs["x0"]), -1) @ weights.reshape(-1, 1)


def three(weights: Array) -> Model:
    """f_k(x0) = w_k . x0; weights: (3, *shape)."""
    return lambda inputs: np.einsum("nij,kij->nk", inputs["x0"], weights)


def repeated(weights: Array, rows: int) -> Array:
    return np.broadcast_to(weights, (rows, *weights.shape))


def planted(seed: int) -> tuple[Instance, Array]:
    """Noise, and stripes in one block of it: the picture, and where the block is."""
    rng = np.random.default_rng(seed)
    top, left = rng.integers(2, SIDE - BLOCK - 2, 2)
    where = np.zeros((SIDE, SIDE), bool)
    where[top : top + BLOCK, left : left + BLOCK] = True
    return picture(rng.normal(0, 0.3, (SIDE, SIDE)) + 1.2 * STRIPES * where), where


def stripes_in(where: Array) -> Model:
    """Two logits, 40 apart as the stripes of the block are there or not: a softmax says 1 - 2e-9 or so."""

    def logits(inputs: dict[str, Array]) -> Array:
        seen = (inputs["x0"] * STRIPES)[:, where].mean(axis=1)
        return np.stack([40 * (seen - 0.5), np.zeros(len(seen))], axis=1)

    return logits  # type: ignore[return-value]


def softmax(model: Model) -> Model:
    def probabilities(inputs: dict[str, Array]) -> Array:
        exp = np.exp(model(inputs) - model(inputs).max(axis=1, keepdims=True))
        return exp / exp.sum(axis=1, keepdims=True)

    return probabilities  # type: ignore[return-value]


def about(instance: Instance, kind: ScoreKind, *outputs: int) -> Subject:
    choices = tuple(Choice(index=i) for i in outputs)
    space = Space.VALUE if kind is ScoreKind.VALUE else Space.LOGIT
    return Subject(instance, Targets(choices, ("striped", "plain"), kind, space))


def test_a_linear_model_loses_the_cells_with_more_evidence_than_the_weight():
    """Cells are pixels, absent is 0: f(m) = w.m, so a cell goes if w / sum(w) > lambda1 / cells, TV off."""
    weights = np.random.default_rng(1).uniform(0, 1, (6, 6))
    goes = weights / weights.sum() > 1.2 / 36
    found = explain(
        subject_of(ones(6)),
        linear(weights),
        mask_size=6,
        size_weight=1.2,
        smoothness_weight=0,
        baseline=BLACK,
    )
    close = np.abs(weights / weights.sum() * 36 - 1.2) < 0.02  # a hundredth of the range is not resolved
    assert np.array_equal((found.values[0] < 0.5)[~close], goes[~close])
    assert np.minimum(found.values[0], 1 - found.values[0])[~close].max() < 0.05


def test_what_preservation_keeps_is_what_deletion_hides_in_a_linear_model():
    """Keeping a cell gains w / sum(w) and costs lambda1 / cells: the same threshold from the other side."""
    weights = np.random.default_rng(1).uniform(0, 1, (6, 6))
    asked = {"mask_size": 6, "size_weight": 1.0, "smoothness_weight": 0.0, "baseline": BLACK}
    hidden = explain(subject_of(ones(6)), linear(weights), **asked).values[0]
    kept = explain(subject_of(ones(6)), linear(weights), game=Game.PRESERVATION, **asked).values[0]
    close = np.abs(weights / weights.sum() * 36 - 1) < 0.02
    assert np.abs(hidden + kept - 1)[~close].max() < 0.05


def test_the_area_game_keeps_the_best_cells_of_a_linear_model():
    """Of area 9/36 the nine largest weights; the mean of the mask is the area."""
    weights = np.random.default_rng(3).permutation(36).reshape(6, 6) / 36
    found = explain(
        subject_of(ones(6)),
        linear(weights),
        game=Game.AREA,
        area=0.25,
        mask_size=6,
        smoothness_weight=0,
        baseline=BLACK,
    )
    assert found.values[0].mean() == pytest.approx(0.25, abs=1e-6)
    best = np.sort(weights.ravel())[-9:].sum()
    assert (found.values[0] * weights).sum() >= 0.99 * best


@pytest.mark.parametrize("game", [Game.DELETION, Game.PRESERVATION])
def test_the_objective_comes_near_that_of_the_best_of_all_512_masks(game):
    """Enumeration of 3 x 3 cells of a model with a product in it; soft ones may be better."""
    weights = np.array([[0.1, 0.3, 0], [0, 2, 1], [0, 0.2, 0]])

    def model(inputs: dict[str, Array]) -> Array:
        z = inputs["x0"]
        return ((z * weights).sum(axis=(1, 2)) + 2 * z[:, 1, 1] * z[:, 1, 2])[:, None]

    def value(mask: Array) -> float:
        share = float(model({"x0": mask[None]})[0, 0] / (weights.sum() + 2))
        return objective(game.value, mask, share, 1.0, 0.1)

    found = explain(
        subject_of(ones(3)),
        model,  # type: ignore[arg-type]
        game=game,
        mask_size=3,
        size_weight=1.0,
        baseline=BLACK,
    )
    _, best = best_binary(value, (3, 3))
    assert value(found.values[0]) <= best + 0.02
    assert f"the objective is {value(found.values[0]):.3f}" in " ".join(found.warnings)


@pytest.mark.parametrize("game", list(Game))
def test_evidence_behind_a_saturated_softmax_is_found_by_the_margin(game):
    """A planted block of a tenth of the picture: intersection over union with it is at least 0.5."""
    instance, where = planted(1)
    area = {"area": float(where.mean())} if game is Game.AREA else {}
    found = explain(about(instance, ScoreKind.LOGIT, 0), stripes_in(where), game=game, **area)
    region = found.values[0] < 0.5 if game is Game.DELETION else found.values[0] > 0.5
    assert overlap(region, where) >= 0.5


def test_no_cell_is_worth_hiding_for_a_saturated_softmax_and_the_block_is_for_its_margin():
    """Why the margin: slopes at the whole mask against lambda1 / cells, which a cell must overcome.

    The game for the probability stays where nothing is hidden, with an overlap of 0 for any lambda1
    above 1e-6; the cells that the margin's slopes pick lie in the block.
    """
    instance, where = planted(0)
    veil = blend(instance, 7, Baseline(), np.random.default_rng(0))
    points = probes(np.ones(49), directions(49, 49, np.random.default_rng(0)), 0.05)
    rows = materialise(veil.rows(points), instance)
    logits = stripes_in(where)
    subject = about(instance, ScoreKind.LOGIT, 0)
    by_margin = slopes(np.zeros(49), points, margins(logits(rows), 0, subject.targets)) / 49  # of range 49
    by_probability = slopes(np.zeros(49), points, softmax(logits)(rows)[:, 0])
    assert np.abs(by_probability).max() < 1e-6 / 49
    picked = veil.enlarged((by_margin > 2 / 49).astype(float)) > 0.5
    assert overlap(picked, where) >= 0.5


def test_half_of_the_evidence_leaves_no_trace_in_a_saturated_probability():
    """Hiding a quarter of the block: the probability moves by less than 1e-3, the margin by a tenth."""
    instance, where = planted(0)
    array = instance.inputs["x0"]
    top, left = np.argwhere(where)[0]
    quarter = array.copy()
    quarter[top : top + BLOCK // 2, left : left + BLOCK // 2] = 0
    model, rows = stripes_in(where), {"x0": np.stack([array, quarter])}
    margin = model(rows)[:, 0]
    assert np.ptp(softmax(model)(rows)[:, 0]) < 1e-3
    assert margin[1] < 0.9 * margin[0]


@pytest.mark.slow
def test_a_detector_with_two_things_to_see_is_silenced_only_without_both():
    """The maximum of two planted cells: deletion hides both, preservation keeps the stronger one alone.

    A second cell that is kept costs a weight of 4 / 49 and no score: it takes long to go.
    """

    def model(inputs: dict[str, Array]) -> Array:
        z = inputs["x0"]
        return np.maximum(z[:, 1, 1], 0.9 * z[:, 5, 5])[:, None]

    asked = {"mask_size": 7, "smoothness_weight": 0.0, "baseline": BLACK}
    hidden = explain(subject_of(ones(7)), model, **asked).values[0] < 0.5  # type: ignore[arg-type]
    longer = {"game": Game.PRESERVATION, "iterations": 300, "size_weight": 4.0}
    kept = explain(subject_of(ones(7)), model, **longer, **asked).values[0] > 0.5  # type: ignore[arg-type]
    assert hidden[1, 1]
    assert hidden[5, 5]
    assert kept[1, 1]
    assert not kept[5, 5]
    assert hidden.sum() == 2
    assert kept.sum() == 1


def test_the_span_of_time_that_counts_is_found():
    """100 steps, a wave in 20 of them on one of two channels: overlap at least 0.5."""
    steps = np.arange(100)
    where = (steps >= 40) & (steps < 60)
    wave = np.sin(steps)
    series = np.stack([wave * where, np.cos(steps / 9)], axis=1)
    instance = instance_of(Modality.TIME_SERIES, series, details=TimeSeriesSpec("TC"))
    found = explain(subject_of(instance), lambda inputs: (inputs["x0"][:, :, 0] @ (wave * where))[:, None])
    assert found.values.shape == (1, 100)
    assert overlap(found.values[0] < 0.5, where) >= 0.5
    assert "28 cells" in found.segmentation
    assert "blur" in found.baseline


def test_every_target_gets_a_mask_of_its_own_in_the_same_queries():
    """Two outputs read one corner each; both are found, and there are no more rounds than for one."""
    weights = np.zeros((2, 6, 6))
    weights[0, :2, :2] = weights[1, 4:, 4:] = 1
    instance = ones(6)
    asked: list[Query] = []

    def answer(query: Query) -> Reply:
        asked.append(query)
        rows = materialise(query.rows, instance)["x0"]
        return Reply(np.einsum("nij,kij->nk", rows, weights))

    settings = MeaningfulPerturbationParams(mask_size=6, baseline=BLACK, iterations=40)
    rng = np.random.default_rng(0)
    task = MEANINGFUL_PERTURBATION.prepare(subject_of(instance, 2, 2), settings, rng)
    found = run(MEANINGFUL_PERTURBATION.run(task, settings, rng), answer)
    assert isinstance(found, Mask)
    for mask, own in zip(found.values, weights, strict=True):
        assert overlap(mask < 0.5, own > 0) == 1
    assert len(asked) == 1 + 40 + 1
    assert sum(len(query.rows) for query in asked) == MEANINGFUL_PERTURBATION.cost(task, settings).rows
    assert np.allclose(found.hidden_scores, 0)
    assert np.allclose(
        found.masked_scores, [(m * w).sum() for m, w in zip(found.values, weights, strict=True)]
    )


def test_gradients_of_the_model_are_used_where_there_are_any():
    """Exact slopes of a margin between three linear logits: the threshold solution, and 2 rows per step."""
    weights = np.random.default_rng(4).uniform(0, 1, (3, 6, 6))
    weights[1:] *= 0.2
    instance = ones(6)
    model = three(weights)
    inside = NumpyInside((around_input(instance, model, lambda values, _: repeated(weights, len(values))),))
    answer = answering(model, instance, inside)
    asked: list[Query] = []

    def noting(query: Query) -> Reply:
        asked.append(query)
        return answer(query)

    settings = MeaningfulPerturbationParams(size_weight=1.0, smoothness_weight=0.0, baseline=BLACK)
    rng = np.random.default_rng(0)
    targets = Targets((Choice(index=0),), ("a", "b", "c"), ScoreKind.LOGIT, Space.LOGIT)
    task = MEANINGFUL_PERTURBATION.prepare(Subject(instance, targets, inside), settings, rng)
    found = run(MEANINGFUL_PERTURBATION.run(task, settings, rng), noting)
    assert isinstance(found, Mask)
    rival = 1 + int(np.argmax(weights[1:].sum(axis=(1, 2))))
    net = weights[0] - weights[rival]
    close = np.abs(net / net.sum() * 36 - 1) < 0.05
    assert np.array_equal((found.values[0] < 0.5)[~close], (net / net.sum() > 1 / 36)[~close])
    led_back = [int(query.target[0]) for query in asked if query.want is Want.GRADIENT]
    assert set(led_back) == {0, rival}
    assert len(asked) == 1 + 2 * 300 + 1
    assert not any("zeroth-order" in warning for warning in found.warnings)
    assert found.segmentation.endswith("slopes are the model's own gradients")


@pytest.mark.parametrize("game", [Game.DELETION, Game.PRESERVATION])
def test_own_gradients_need_fewer_rows_than_felt_slopes_for_an_objective_that_is_no_worse(game):
    """A planted block under 7 x 7 cells for both: a seventh of the rows."""
    instance, where = planted(1)
    slope = np.stack([40 * STRIPES * where / where.sum(), np.zeros((SIDE, SIDE))])
    place = around_input(instance, stripes_in(where), lambda values, _: repeated(slope, len(values)))
    reached = {}
    for inside in (NumpyInside((place,)), None):
        answer, rows = answering(stripes_in(where), instance, inside), 0

        def counting(query: Query) -> Reply:
            nonlocal rows
            rows += len(query.rows)
            return answer(query)

        settings, rng = MeaningfulPerturbationParams(game, mask_size=7), np.random.default_rng(0)
        subject = replace(about(instance, ScoreKind.LOGIT, 0), inside=inside)
        task = MEANINGFUL_PERTURBATION.prepare(subject, settings, rng)
        found = run(MEANINGFUL_PERTURBATION.run(task, settings, rng), counting)
        said = next(text for text in found.warnings if "the objective is" in text)
        reached[inside is None] = rows, float(said.split("the objective is ")[1].split()[0])
    assert reached[False][0] * 6 < reached[True][0]
    assert reached[False][1] <= reached[True][1] + 0.005


def test_a_model_without_a_gradient_is_felt_and_the_reason_is_said():
    """Its graph does not lead to the input."""
    instance = ones(6)
    place = around_input(instance, linear(np.eye(6)))
    elsewhere = replace(place, site=replace(place.site, name="other"))
    subject = replace(subject_of(instance), inside=NumpyInside((elsewhere,)))
    found = explain(subject, linear(np.eye(6)), iterations=1, baseline=BLACK)
    assert any("slopes were estimated, for the model has no gradient: " in text for text in found.warnings)
    assert "slopes are estimated from scores" in found.segmentation


def test_without_gradients_the_answer_says_that_it_is_an_approximation():
    found = explain(subject_of(ones(6)), linear(np.eye(6)), iterations=1, baseline=BLACK)
    assert any("zeroth-order" in warning for warning in found.warnings)
    assert (
        found.game
        == "deletion: the smallest region without which the score falls; played for the value itself"
    )


def test_pictures_are_blurred_unless_asked_otherwise():
    rough = picture(np.random.default_rng(0).normal(size=(8, 8)))
    assert "blur" in explain(subject_of(rough), linear(np.eye(8)), iterations=1).baseline


def test_a_budget_that_ends_leaves_the_best_masks_so_far():
    """More rows, a better or equal objective; what was reached is said; too few for the first look raise."""
    weights = np.zeros((6, 6))
    weights[2:4, 2:4] = 1

    def share(found: Mask) -> float:
        mask = found.values[0]
        return objective("deletion", mask, float((mask * weights).sum()) / 4, 2.0, 0.1)

    asked = {"mask_size": 6, "baseline": BLACK}
    whole = explain(subject_of(ones(6)), linear(weights), **asked)
    reached = [whole]
    for budget in (1000, 200, 11):
        reached.append(explain(subject_of(ones(6)), linear(weights), budget, **asked))
        assert not reached[-1].complete
        assert any("the budget ended the work after" in warning for warning in reached[-1].warnings)
    assert whole.complete
    assert np.all(np.diff([share(found) for found in reached]) >= 0)
    with pytest.raises(BudgetSpent, match="11 more rows"):
        explain(subject_of(ones(6)), linear(weights), 10, **asked)


def test_an_area_that_the_budget_did_not_let_it_reach_is_said():
    found = explain(
        subject_of(ones(6)), linear(np.eye(6)), 60, game=Game.AREA, area=0.25, mask_size=6, baseline=BLACK
    )
    assert any("not yet 0.25" in warning for warning in found.warnings)


@pytest.mark.parametrize(("game", "idle"), [(Game.DELETION, 1.0), (Game.PRESERVATION, 0.0), (Game.AREA, 0.1)])
def test_a_constant_model_is_said_to_be_one_and_asked_once(game, idle):
    """Nothing has to go and nothing has to stay; eleven rows."""
    found = explain(subject_of(ones(6)), linear(np.zeros((6, 6))), 11, game=game)
    assert found.complete
    assert np.allclose(found.values, idle)
    assert any("the score is the same however much" in warning for warning in found.warnings)


def test_evidence_against_the_target_is_not_deleted():
    """A model that sees only what speaks against it: nothing goes, and the reader is told why."""
    found = explain(subject_of(ones(6)), linear(-np.ones((6, 6))), mask_size=6, baseline=BLACK)
    assert np.allclose(found.values, 1)
    assert any("does not lower the score" in warning for warning in found.warnings)


def test_a_mask_that_costs_more_than_it_brings_stays_whole():
    """lambda1 so large that no cell is worth it: m = 1, and the score is the instance's."""
    found = explain(subject_of(ones(6)), linear(np.eye(6)), mask_size=6, size_weight=50.0, baseline=BLACK)
    assert np.allclose(found.values, 1)
    assert found.masked_scores[0] == found.instance_scores[0] == 6
    assert any("lower size_weight" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"area": 0.2}, "area"),
        ({"game": Game.AREA, "size_weight": 1.0}, "size_weight"),
        ({"mask_size": 224, "directions": 1000}, "mask_size"),
        ({"baseline": Baseline(BaselineKind.DELETE)}, "baseline.kind"),
    ],
)
def test_options_without_effect_and_rounds_without_room_are_refused(params, field):
    with pytest.raises(InvalidRequest) as caught:
        explain(subject_of(ones(224)), linear(np.ones((224, 224))), **params)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_an_input_of_truths_has_nothing_to_blend():
    with pytest.raises(MethodUnsupported, match="occlusion"):
        explain(subject_of(picture(np.ones((6, 6), bool))), linear(np.ones((6, 6))))


def test_other_inputs_stay_as_they_are_and_the_answer_says_so():
    instance = instance_of(Modality.IMAGE, np.ones((6, 6)), np.array([3.0]), details=ImageSpec("HW"))

    def model(inputs: dict[str, Array]) -> Array:
        assert np.all(inputs["x1"] == 3)
        return inputs["x0"].sum(axis=(1, 2))[:, None]

    found = explain(subject_of(instance), model, iterations=2, baseline=BLACK)  # type: ignore[arg-type]
    assert any("'x0' alone" in warning for warning in found.warnings)


def test_noise_comes_from_the_seed():
    """The same seed, the same bytes; another seed, another background."""
    asked = {"baseline": Baseline(BaselineKind.NOISE), "iterations": 3}
    rough = picture(np.random.default_rng(0).normal(size=(8, 8)))
    first, again, other = (
        explain(subject_of(rough), linear(np.eye(8)), seed=seed, **asked) for seed in (1, 1, 2)
    )
    assert first.values.tobytes() == again.values.tobytes()
    assert first.hidden_scores.tobytes() == again.hidden_scores.tobytes() != other.hidden_scores.tobytes()
