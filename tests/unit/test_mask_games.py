"""The parts of meaningful perturbation: variation, projection, margins, slopes, steps, blends."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import instance_of, materialise
from tests.oracles import meaningful_perturbation as oracle
from tests.oracles import rise

from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ScoreKind
from whybox_server.core.target import Link, Space, Targets
from whybox_server.methods.adam import adam, resting
from whybox_server.methods.mask_games import (
    Game,
    Rules,
    gradient,
    margin_slopes,
    margins,
    objective,
    onto_area,
    total_variation,
)
from whybox_server.methods.mask_players import halfway, noticed, seated
from whybox_server.methods.zeroth_order import directions, probes, slopes
from whybox_server.perturb.blending import Blending, blend
from whybox_server.perturb.options import Baseline, BaselineKind

SCORES = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 3.5]])


def targets(kind: ScoreKind, link: Link = Link.SOFTMAX) -> Targets:
    return Targets((), ("a", "b", "c"), kind, Space.LOGIT, link)


def numerical(f, at: Array) -> Array:
    """Central differences, (*at.shape)."""
    found = np.zeros(at.shape)
    for i in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[i] = 1e-6
        found[i] = (f(at + step) - f(at - step)) / 2e-6
    return found


@pytest.mark.parametrize("side", [2, 7, 28])
def test_a_straight_edge_across_the_picture_varies_by_one_at_every_resolution(side):
    """side differences of 1, in cells per side; a constant mask varies by 0."""
    edge = np.zeros((side, side))
    edge[:, side // 2 :] = 1
    assert total_variation(edge)[0] == pytest.approx(1)
    assert total_variation(edge.T)[0] == pytest.approx(1)
    assert total_variation(np.full((side, side), 0.3))[0] == 0


def test_a_step_of_a_series_varies_by_one_and_two_halves_by_a_quarter():
    """|1|^3, and 2 |1/2|^3."""
    assert total_variation(np.array([0.0, 0, 1, 1]))[0] == 1
    assert total_variation(np.array([0.0, 0.5, 1, 1]))[0] == 0.25


def test_variation_is_that_of_the_slow_sum_over_cells():
    mask = np.random.default_rng(0).uniform(size=(4, 6))
    assert total_variation(mask)[0] == pytest.approx(oracle.total_variation(mask), rel=1e-12)


@pytest.mark.parametrize("game", list(Game))
@pytest.mark.parametrize("shape", [(4, 5), (7,)])
def test_the_gradient_of_the_objective_is_that_of_its_differences(game, shape):
    """The score a linear function of the mask; central differences, to 1e-8 of curvature and rounding."""
    rng = np.random.default_rng(2)
    rules, weights = Rules(game, 1.3, 0.7, 0.1), rng.normal(size=shape)
    mask = rng.uniform(size=shape)
    found = gradient(rules, mask, weights)
    expected = numerical(lambda m: objective(rules, m, float((m * weights).sum())), mask)
    assert np.allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("game", list(Game))
def test_the_objective_is_that_of_the_paper(game):
    mask = np.random.default_rng(2).uniform(size=(4, 5))
    found = objective(Rules(game, 1.3, 0.7, 0.1), mask, 0.4)
    assert found == pytest.approx(oracle.objective(game.value, mask, 0.4, 1.3, 0.7), rel=1e-12)


@pytest.mark.parametrize("area", [0.02, 0.3, 0.97])
def test_the_projection_onto_an_area_is_the_nearest_mask_of_that_area(area):
    """Of a closest point p in a convex set: (m - p).(z - p) <= 0 for every z of the set."""
    rng = np.random.default_rng(5)
    mask = rng.normal(0.5, 1, (5, 5))
    found = onto_area(mask, area)
    assert found.mean() == pytest.approx(area, abs=1e-12)
    assert found.min() >= 0
    assert found.max() <= 1
    for _ in range(50):
        other = onto_area(rng.normal(0.5, 1, (5, 5)), area)
        assert ((mask - found) * (other - found)).sum() <= 1e-9


def test_margins_do_not_depend_on_whether_logits_or_their_softmax_are_said():
    """log p_i - log p_j is z_i - z_j."""
    p = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
    expected = [[1.5, -3.5], [-3.0, -0.5], [-1.5, 0.5]]
    for index, own in enumerate(expected):
        assert np.allclose(margins(SCORES, index, targets(ScoreKind.LOGIT)), own)
        assert np.allclose(margins(p, index, targets(ScoreKind.PROBABILITY)), own)


def test_outputs_by_themselves_play_for_their_logit_and_values_for_themselves():
    p = 1 / (1 + np.exp(-SCORES))
    assert np.allclose(margins(SCORES, 1, targets(ScoreKind.LOGIT, Link.SIGMOID)), SCORES[:, 1])
    assert np.allclose(margins(p, 1, targets(ScoreKind.PROBABILITY, Link.SIGMOID)), SCORES[:, 1])
    assert np.allclose(margins(SCORES[:, :1], 0, targets(ScoreKind.LOGIT)), SCORES[:, 0])
    assert np.allclose(margins(p[:, :1], 0, targets(ScoreKind.PROBABILITY)), SCORES[:, 0])
    assert np.allclose(margins(SCORES, 1, targets(ScoreKind.VALUE)), SCORES[:, 1])


def test_a_probability_of_exactly_one_has_a_finite_margin():
    p = np.array([[1.0, 0, 0]])
    assert np.isfinite(margins(p, 0, targets(ScoreKind.PROBABILITY))).all()
    assert np.isfinite(margins(p[:, :1], 0, targets(ScoreKind.PROBABILITY))).all()


@pytest.mark.parametrize("kind", list(ScoreKind))
@pytest.mark.parametrize("link", list(Link))
@pytest.mark.parametrize("index", [0, 1, 2])
def test_slopes_of_a_margin_are_those_of_its_differences(kind, link, index):
    scores = np.array([0.5, 0.2, 0.3])
    asked = targets(kind, link)
    expected = numerical(lambda row: float(margins(row[None], index, asked)[0]), scores)
    found = np.zeros(3)
    for output, slope in margin_slopes(scores, index, asked).items():
        found[output] = slope
    assert np.allclose(found, expected, atol=1e-6)


def test_directions_are_orthogonal_and_no_more_than_there_are_variables():
    """u.v = 0 and u.u = variables."""
    drawn = directions(20, 49, np.random.default_rng(0))
    assert np.allclose(drawn @ drawn.T, 49 * np.eye(20), atol=1e-10)
    assert directions(20, 6, np.random.default_rng(0)).shape == (6, 6)


def test_a_guess_that_is_corrected_again_and_again_becomes_the_gradient():
    """w.m with 20 of 49 directions per step, at the middle and near a corner: to rounding after 80 steps."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=49)
    for point in (np.full(49, 0.5), rng.uniform(0.9, 1, 49)):
        guess = np.zeros(49)
        for _ in range(80):
            asked = probes(point, directions(20, 49, rng), 0.5)
            assert asked.min() >= 0
            assert asked.max() <= 1
            guess = slopes(guess, asked, asked @ weights)
        assert np.allclose(guess, weights, atol=1e-6)


def test_all_directions_at_once_give_the_gradient_of_a_linear_function():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=9)
    asked = probes(np.full(9, 0.5), directions(9, 9, rng), 0.1)
    assert np.allclose(slopes(np.zeros(9), asked, asked @ weights), weights, atol=1e-10)


def test_adam_goes_where_the_slow_one_goes():
    rng = np.random.default_rng(0)
    state, at, given = resting(3), np.zeros(3), []
    for _ in range(5):
        given.append(rng.normal(size=3))
        state, move = adam(state, given[-1], 0.1)
        at = at + move
    assert np.allclose(at, oracle.adam(given, 0.1), rtol=1e-9)


def test_the_way_starts_where_half_of_the_score_is_gone():
    """Margins 10, 9, 1, 0 at levels 1, .8, .2, 0: half, 5, is midway between .8 and .2."""
    levels = np.array([1.0, 0.8, 0.2, 0])
    assert halfway(levels, np.array([10.0, 9, 1, 0])) == pytest.approx(0.5)
    assert halfway(levels, np.array([10.0, 10, 10, 0])) == pytest.approx(0.1)
    assert halfway(levels, np.array([0.0, 0, 0, 5e9])) == pytest.approx(0.1)
    assert halfway(levels, np.array([3.0, 1, 1, 3])) == 0.5


def test_a_player_counts_in_shares_of_the_range_and_remembers_the_best_mask():
    """Scores 10 to 2 in levels 1 to 0, half at .2: shares 1 and 0; a worse mask later is not remembered."""
    rules, levels = Rules(Game.DELETION, 1.0, 0.0, 0.1), np.array([1.0, 0.4, 0])
    said = np.array([[10.0], [10.0], [2.0]])
    player = seated(rules, 0, targets(ScoreKind.VALUE), levels, said, (2, 2))
    assert player is not None
    assert (player.share(said[0]), player.share(said[2])) == (1, 0)
    assert player.start == pytest.approx(0.2)
    mask = np.array([0.0, 1, 1, 1])
    better = noticed(rules, (2, 2), player, mask, said[2])
    assert better.best.mask is mask
    assert better.best.rank == (0, 0.25)
    assert noticed(rules, (2, 2), better, np.ones(4), said[0]).best is better.best


def veil(dtype: type = np.float64) -> Blending:
    array = np.random.default_rng(0).normal(size=(3, 9, 8)).astype(dtype)
    instance = instance_of(Modality.IMAGE, array, details=ImageSpec("CHW"))
    return blend(instance, 4, Baseline(BaselineKind.CONSTANT, 0.25), np.random.default_rng(0))


def test_masks_of_ones_and_zeros_are_the_instance_and_the_background_bit_for_bit():
    found = veil(np.float32)
    rows = materialise(found.rows(np.repeat([[1.0], [0.0]], 16, axis=1)), found.instance)["x0"]
    assert np.array_equal(rows[0], found.instance.inputs["x0"])
    assert np.all(rows[1] == 0.25)


def test_a_row_is_the_slow_blend_of_the_slowly_enlarged_mask():
    """To float32's rounding of the mask."""
    found = veil()
    grid = np.random.default_rng(3).uniform(size=(4, 4))
    enlarged = rise.enlarged(grid, 9, 8)
    assert np.allclose(found.enlarged(grid.ravel()), enlarged, atol=1e-6)
    row = materialise(found.rows(grid.reshape(1, -1)), found.instance)["x0"][0]
    for channel, own in zip(found.instance.inputs["x0"], row, strict=True):
        assert np.allclose(own, oracle.blended(channel, np.full((9, 8), 0.25), enlarged), atol=1e-5)


def test_gradients_are_pulled_back_to_cells_by_the_chain_rule():
    """G.(row(m) - row(0)) is linear in m: its slopes are the cells' gradients."""
    found = veil()
    given = np.random.default_rng(4).normal(size=(1, 3, 9, 8))
    rows = materialise(found.rows(np.vstack([np.eye(16), np.zeros(16)])), found.instance)["x0"]
    expected = ((rows[:-1] - rows[-1]) * given).sum(axis=(1, 2, 3))
    assert np.allclose(found.pulled_back(given)[0], expected, atol=1e-5)


def test_a_short_side_has_a_cell_per_place():
    array = np.zeros((3, 40))
    found = blend(
        instance_of(Modality.IMAGE, array, details=ImageSpec("HW")), 7, Baseline(), np.random.default_rng(0)
    )
    assert found.cells == (3, 7)
