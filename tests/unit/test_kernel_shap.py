"""KernelSHAP against the definition, on games whose values are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, subject_of
from tests.oracles.shapley import Game, by_orders, by_subsets

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, TabularSpec
from whybox_server.engine.drive import run
from whybox_server.methods.coalitions import draw, fewest, plan
from whybox_server.methods.kernel_shap import KERNEL_SHAP, KernelShapParams, question
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind


def explain(
    instance: Instance,
    model: Model,
    seed: int = 0,
    budget: int | None = None,
    targets: int = 1,
    **params: object,
) -> Attribution:
    chosen, rng = KernelShapParams(**params), np.random.default_rng(seed)  # type: ignore[arg-type]
    task = KERNEL_SHAP.prepare(subject_of(instance, targets, targets), chosen, rng)
    return run(KERNEL_SHAP.run(task, chosen, rng), answering(model, instance), budget)


def cost(instance: Instance, **params: object) -> int:
    chosen = KernelShapParams(**params)  # type: ignore[arg-type]
    found = KERNEL_SHAP.cost(
        KERNEL_SHAP.prepare(subject_of(instance), chosen, np.random.default_rng(0)), chosen
    )
    assert found.exact
    return found.rows


def tensor(*values: float) -> Instance:
    return instance_of(Modality.TENSOR, np.array(values, dtype=np.float64))


def ones(players: int) -> Instance:
    """Players are 1 when they are in, 0 when not."""
    return tensor(*[1.0] * players)


def table(rows: Array) -> Instance:
    columns = rows.shape[1]
    return instance_of(Modality.TABULAR, np.ones(columns), details=TabularSpec(background=rows))


def network(players: int, outputs: int = 1) -> Model:
    """A drawn ReLU network: no two players alike, nothing that a line fits."""
    rng = np.random.default_rng(players)
    first, bias = rng.normal(size=(players, 16)), rng.normal(size=16)
    last = rng.normal(size=(16, outputs))
    return lambda inputs: np.maximum(inputs["x0"] @ first + bias, 0) @ last


def worth_of(model: Model, players: int) -> Game:
    @cache
    def worth(present: frozenset[int]) -> float:
        x = np.isin(np.arange(players), list(present)).astype(np.float64)
        return float(model({"x0": x[None]})[0, 0])

    return worth


def two_relus(inputs: dict[str, Array]) -> Array:
    """captum's BasicModel_MultiLayer, class 0: -1 + relu(s - 10) + 3 relu(s + 1), s the sum."""
    s = inputs["x0"].sum(axis=1, keepdims=True)
    return -1 + np.maximum(s - 10, 0) + 3 * np.maximum(s + 1, 0)


GROUPS = Segmentation(SegmentationKind.GIVEN, given=np.array([0, 0, 1]))


@pytest.mark.parametrize(
    ("x", "params", "expected"),
    [
        ((20, 50, 30), {}, [76.66667, 196.66667, 116.66667]),
        ((2, 10, 3), {}, [7, 32.5, 10.5]),
        ((20, 50, 30), {"segmentation": GROUPS}, [275, 115]),
        (
            (20, 50, 30),
            {"baseline": Baseline(BaselineKind.GIVEN, given=np.array([10.0, 20, 10]))},
            [40, 120, 80],
        ),
    ],
)
def test_captums_numbers_for_two_relus(x, params, expected):
    """The expected values of captum's own tests for KernelShap; of a group, that of its members."""
    assert explain(tensor(*x), two_relus, **params).values[0] == pytest.approx(expected, abs=1e-5)


def boolean(truth: Callable[..., float]) -> Model:
    return lambda inputs: np.array([[float(truth(*row))] for row in (inputs["x0"] > 0.5).astype(int)])


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (lambda a, b, c: a and b, [0.5, 0.5, 0]),
        (lambda a, b, c: a or b, [0.5, 0.5, 0]),
        (lambda a, b, c: a != b, [0, 0, 0]),
        (lambda a, b, c, d: a and (b or c), [2 / 3, 1 / 6, 1 / 6, 0]),
        (lambda a, b, c: 80 * (a and b) + 10 * a, [50, 40, 0]),
        (lambda a, b, c, d: a + b + c >= 2, [1 / 3, 1 / 3, 1 / 3, 0]),
    ],
    ids=["and", "or", "xor", "a(b|c)", "80ab+10a", "majority"],
)
def test_boolean_games_are_exact(truth, expected):
    """Values on paper; the last player of each is a dummy."""
    found = explain(ones(len(expected)), boolean(truth))
    assert found.values[0] == pytest.approx(expected, abs=1e-12)
    assert found.quality[0]["exact"] == 1
    assert not found.standard_errors.any()


@pytest.mark.parametrize("players", range(1, 7))
@pytest.mark.parametrize("paired", [True, False])
def test_small_games_are_what_the_definition_says(players: int, paired: bool):
    """Both oracles: over all subsets, and over all orders."""
    model = network(players)
    expected = by_subsets(worth_of(model, players), players)
    assert by_orders(worth_of(model, players), players) == pytest.approx(expected, abs=1e-9)
    assert explain(ones(players), model, paired=paired).values[0] == pytest.approx(expected, abs=1e-9)


def test_twelve_players_are_exact():
    """4096 coalitions; the definition, within 1e-9."""
    model = network(12)
    found = explain(ones(12), model, num_samples=4096)
    assert found.values[0] == pytest.approx(by_subsets(worth_of(model, 12), 12), abs=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_a_linear_model_is_exact_from_a_sample(paired: bool):
    """w_i (x_i - b_i) within 1e-12 of rounding, 20 players, few coalitions; nothing is uncertain."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=20), np.concatenate([rng.normal(size=4), np.zeros(16)])
    found = explain(tensor(*x), lambda i: i["x0"] @ weights[:, None], num_samples=100, paired=paired)
    assert found.values[0] == pytest.approx(weights * x, abs=1e-12)
    assert found.standard_errors.max() < 1e-12
    assert found.quality[0]["weighted_r2"] == pytest.approx(1)


def test_values_add_up_to_the_score_and_all_targets_share_the_rows():
    """base value + sum = instance's score, per target; each target is as if asked alone."""
    model = network(15, outputs=3)
    found = explain(ones(15), model, targets=3, num_samples=200)
    assert found.base_values + found.values.sum(axis=1) == pytest.approx(found.instance_scores, abs=1e-12)
    alone = explain(ones(15), lambda inputs: model(inputs)[:, :1], num_samples=200)
    assert found.values[0] == pytest.approx(alone.values[0], abs=1e-12)
    assert found.additive


def test_every_coalition_is_averaged_over_the_same_background_rows():
    """The definition, with the worth of a coalition written out as a mean over seven rows."""
    rows = np.random.default_rng(3).normal(size=(7, 4))
    model = network(4)

    def worth(present: frozenset[int]) -> float:
        kept = np.isin(np.arange(4), list(present))
        return float(model({"x0": np.where(kept, 1.0, rows)}).mean())

    found = explain(table(rows), model)
    assert found.values[0] == pytest.approx(by_subsets(worth, 4), abs=1e-9)
    assert found.base_values[0] == pytest.approx(float(model({"x0": rows}).mean()))
    assert cost(table(rows)) == 1 + 15 * 7


def test_two_sampled_values_in_three_errors_cover_the_truth():
    """Theory: |error| < 1.96 standard errors in 95 % of values; 60 seeds x 12 players of a network."""
    model = network(12)
    truth = explain(ones(12), model, num_samples=4096).values
    for params in ({"num_samples": 300}, {"num_samples": 300, "paired": False}):
        runs = [explain(ones(12), model, seed, **params) for seed in range(60)]
        covered = np.mean([np.abs(one.values - truth) < 1.96 * one.standard_errors for one in runs])
        assert 0.92 < covered < 0.98
        bias = np.mean([one.values - truth for one in runs], axis=0)
        spread = np.mean([one.standard_errors for one in runs], axis=0)
        assert np.all(np.abs(bias) < 4 * spread / np.sqrt(60) + 0.1 * spread)


def test_pairs_make_second_order_interactions_exact():
    """v(S) - v(not S) of products of two is linear in S, so a paired sample leaves no error."""
    rng = np.random.default_rng(5)
    products = np.triu(rng.normal(size=(16, 16)), 1)

    def model(inputs: dict[str, Array]) -> Array:
        return np.einsum("ni,ij,nj->n", inputs["x0"], products, inputs["x0"])[:, None]

    expected = (products.sum(axis=0) + products.sum(axis=1)) / 2  # each product is shared alike
    found = explain(ones(16), model, num_samples=80)
    assert found.values[0] == pytest.approx(expected, abs=1e-10)
    unpaired = explain(ones(16), model, num_samples=80, paired=False)
    assert np.abs(unpaired.values[0] - expected).max() > 1e-3


@pytest.mark.parametrize(("players", "coalitions"), [(5, 20), (12, 100), (30, 2108), (41, 90), (300, 2648)])
@pytest.mark.parametrize("paired", [True, False])
def test_a_plan_spends_what_it_is_given_on_different_coalitions(players: int, coalitions: int, paired: bool):
    """No coalition twice, all singletons and their complements, as many as planned, none empty or full."""
    spending = plan(players, coalitions, paired=paired)
    masks = draw(spending, np.random.default_rng(1)).masks
    assert len(masks) == spending.draws * spending.per_draw == coalitions - 2
    assert len(np.unique(masks, axis=0)) == len(masks)
    sizes = masks.sum(axis=1)
    assert sizes.min() == 1
    assert sizes.max() == players - 1
    assert np.sum(sizes == 1) == np.sum(sizes == players - 1) == players
    if paired:
        assert np.array_equal(masks[::2], ~masks[1::2])
        halves = masks[::2][2 * sizes[::2] == players]
        assert halves[:, 0].all()  # so that no pair comes twice, the other way round


def test_sizes_that_fit_are_complete():
    """With 2108 coalitions of 12, 4096 there are, small sizes are asked whole."""
    spending = plan(12, 2108, paired=True)
    masks = draw(spending, np.random.default_rng(0)).masks
    for size in (1, 2, 3):
        assert np.sum(masks.sum(axis=1) == size) == comb(12, size)


@pytest.mark.parametrize("paired", [True, False])
def test_weights_are_those_of_the_kernel_on_average(paired: bool):
    """Sum of weights by size over 400 draws against 1 / (h (M - h)), 5 % of sampling error."""
    spending = plan(10, 60, paired=paired)
    sums = np.zeros(11)
    for seed in range(400):
        drawn = draw(spending, np.random.default_rng(seed))
        np.add.at(sums, drawn.masks.sum(axis=1), drawn.weights)
    sizes = np.arange(1, 10)
    assert sums[1:10] / 400 == pytest.approx(1 / (sizes * (10 - sizes)), rel=0.05)


def test_all_coalitions_are_asked_when_they_fit_and_a_sample_otherwise():
    """Rows, exactly: 2^M, or what was asked for; per background row."""
    assert cost(ones(5)) == 32
    assert cost(ones(12), num_samples=500) == 500
    assert cost(ones(12), num_samples=501) == 500  # pairs
    assert cost(ones(12), num_samples=501, paired=False) == 501
    assert cost(ones(30)) == 2 * 30 + 2048
    rows = np.random.default_rng(0).normal(size=(150, 12))
    assert cost(table(rows), num_samples=500) == 1 + 150 + 498 * 100
    assert cost(table(rows), num_samples=500, num_background=7) == 1 + 150 + 498 * 7
    assert cost(table(rows), num_samples=500, num_background=999) == 1 + 150 + 498 * 150
    assert cost(table(rows), num_samples=4096, num_background=7) == 1 + 4095 * 7


def test_an_exact_game_is_over_the_same_background_rows_and_says_how_many():
    """100 of 150 by default, all of them when asked for; a dummy stays one."""
    rows = np.random.default_rng(0).normal(size=(150, 3))
    found = explain(table(rows), lambda inputs: np.abs(inputs["x0"][:, :2]).prod(axis=1, keepdims=True))
    assert "averaged over 100 of 150 background rows; raise num_background for more" in found.warnings
    assert abs(found.values[0, 2]) < 1e-12
    assert explain(table(rows), network(3), num_background=150).warnings == ()


def test_a_sample_deals_its_draws_all_background_rows():
    """Three of 40 rows per pair: base is the mean of all 40, and errors cover the exact values."""
    rows = np.random.default_rng(3).normal(size=(40, 10))
    instance, model = table(rows), network(10)
    truth = explain(instance, model, num_samples=1024)
    params = {"num_samples": 400, "num_background": 3}
    runs = [explain(instance, model, seed, **params) for seed in range(60)]
    assert "each coalition is averaged over its own 3 of 40 background rows" in runs[0].warnings
    assert runs[0].base_values == pytest.approx(truth.base_values, abs=1e-12)
    total = runs[0].base_values + runs[0].values.sum(axis=1)
    assert total == pytest.approx(runs[0].instance_scores, abs=1e-12)
    covered = np.mean([np.abs(one.values - truth.values) < 1.96 * one.standard_errors for one in runs])
    assert 0.91 < covered < 0.99
    mean = np.mean([one.values for one in runs], axis=0)
    spread = np.mean([one.standard_errors for one in runs], axis=0)
    assert np.all(np.abs(mean - truth.values) < 4.5 * spread / np.sqrt(60))
    assert np.mean([one.values.std() for one in runs]) > 3 * spread.mean()


def test_levels_of_background_rows_cancel():
    """Rows that differ in level only, and a mean: exact, though every draw has rows of its own."""
    rows = np.random.default_rng(4).normal(size=(30, 1)) * np.ones(14)
    found = explain(
        table(rows), lambda i: i["x0"].mean(axis=1, keepdims=True), num_samples=100, num_background=2
    )
    assert found.values[0] == pytest.approx((1 - rows.mean()) / 14, abs=1e-12)
    assert found.standard_errors.max() < 1e-12


def test_a_pair_has_the_same_background_rows_and_all_rows_come_alike_often():
    """Otherwise even interactions would not cancel; 49 pairs x 3 of 20 rows: each 7 or 8 times."""
    instance, params = table(np.zeros((20, 14))), KernelShapParams(num_samples=100, num_background=3)
    task = KERNEL_SHAP.prepare(subject_of(instance), params, np.random.default_rng(0))
    places = question(task, np.random.default_rng(1)).places
    assert np.array_equal(places[::2], places[1::2])
    assert set(np.bincount(places[::2].ravel(), minlength=20).tolist()) == {7, 8}


def test_a_budget_first_costs_coalitions_then_background_rows():
    """12 players, 10 background rows: 300 rows leave 30 coalitions, 101 rows 4 background rows."""
    instance = table(np.random.default_rng(0).normal(size=(10, 12)))
    for budget, backgrounds in ((300, 10), (101, 4), (26, 1)):
        found = explain(instance, network(12), budget=budget, num_samples=500)
        assert not found.complete
        assert found.quality[0]["background_rows"] == backgrounds
        assert found.quality[0]["coalitions"] >= fewest(12)
        assert f"of 500 coalitions over {backgrounds} of 10 background rows" in " ".join(found.warnings)
        total = found.base_values + found.values.sum(axis=1)
        assert total == pytest.approx(found.instance_scores, abs=1e-9)
    with pytest.raises(BudgetSpent):
        explain(instance, network(12), budget=25, num_samples=500)


def test_the_fewest_coalitions_claim_no_precision():
    """Singletons and their complements alone: values, a warning, and no standard error."""
    found = explain(ones(12), network(12), num_samples=26)
    assert found.standard_errors is None
    assert any("raise num_samples" in warning for warning in found.warnings)
    assert "exact" not in found.quality[0]


@pytest.mark.parametrize(
    ("instance", "params", "field", "remedy"),
    [
        (ones(30), {"num_samples": 61}, "num_samples", "ask at least 62"),
        (ones(30), {"num_samples": 10_000_000}, "num_samples", "ask at most 559240"),
        (ones(3), {"num_background": 5}, "num_background", "leave it out"),
        (
            table(np.zeros((5, 3))),
            {"num_background": 5, "baseline": Baseline(BaselineKind.MEAN)},
            "num_background",
            "leave it out",
        ),
        (
            table(np.random.default_rng(0).normal(size=(2000, 30))),
            {"num_background": 2000, "num_samples": 5000},
            "num_background",
            "use at most 446",
        ),
        (ones(3), {"baseline": Baseline(BaselineKind.BACKGROUND)}, "baseline.kind", "BACKGROUND"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(instance, params, field, remedy):
    """The field is named, and what to do instead."""
    with pytest.raises(InvalidRequest) as caught:
        cost(instance, **params)
    assert caught.value.violations[0].field == field
    assert remedy in caught.value.violations[0].description


def test_one_round_whose_first_row_is_the_instance():
    """A single query."""
    asked: list[Query] = []

    def zeros(query: Query) -> Reply:
        asked.append(query)
        return Reply(np.zeros((len(query.rows), 1)))

    params, rng = KernelShapParams(num_samples=100), np.random.default_rng(0)
    found = run(KERNEL_SHAP.run(KERNEL_SHAP.prepare(subject_of(ones(9)), params, rng), params, rng), zeros)
    assert len(asked) == 1
    assert not found.values.any()
