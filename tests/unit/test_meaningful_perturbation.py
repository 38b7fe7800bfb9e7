"""Masks found by optimisation, against solutions on paper, by enumeration, and planted evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Mask
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ScoreKind, TimeSeriesSpec
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.mask_games import Game
from whybox_server.methods.meaningful_perturbation import (
    MEANINGFUL_PERTURBATION,
    MeaningfulPerturbationParams,
    prepared,
)
from whybox_server.perturb.options import Baseline, BaselineKind

from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.oracles.meaningful_perturbation import best_binary, objective, overlap

BLACK = Baseline(BaselineKind.CONSTANT)
SIDE, BLOCK = 32, 10
STRIPES = np.where(np.indices((SIDE, SIDE)).sum(axis=0) % 4 < 2, 1.0, -1.0)


def explain(subject: Subject, model: Model, budget: int | None = None, seed: int = 0, **params: object) -> Mask:
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
        subject_of(ones(6)), linear(weights), mask_size=6, size_weight=1.2, smoothness_weight=0, baseline=BLACK
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
    assert set(np.argsort(-found.values.ravel())[:9]) == set(np.argsort(-weights.ravel())[:9])


@pytest.mark.parametrize("game", [Game.DELETION, Game.PRESERVATION])
def test_the_objective_comes_near_that_of_the_best_of_all_512_masks(game):
    """Enumeration of 3 x 3 cells of a model with a product in it; soft masks may be better, not much worse."""
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
    for seed in range(2):
        instance, where = planted(seed)
        area = {"area": float(where.mean())} if game is Game.AREA else {}
        found = explain(about(instance, ScoreKind.LOGIT, 0), stripes_in(where), game=game, **area)
        region = found.values[0] < 0.5 if game is Game.DELETION else found.values[0] > 0.5
        assert overlap(region, where) >= 0.5
