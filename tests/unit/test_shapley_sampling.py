"""Shapley values from random orders: what is exact, what the errors say, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, subject_of
from tests.oracles.shapley import by_subsets

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, TabularSpec
from whybox_server.engine.drive import run
from whybox_server.methods import shapley_sampling as module
from whybox_server.methods.shapley_sampling import SHAPLEY_SAMPLING, ShapleySamplingParams
from whybox_server.methods.walks import merged, moments, rows_of
from whybox_server.perturb.options import Baseline, BaselineKind

PLAYERS = 8


def begin(instance: Instance, seed: int, targets: int, **params: object):
    chosen, rng = ShapleySamplingParams(**params), np.random.default_rng(seed)  # type: ignore[arg-type]
    task = SHAPLEY_SAMPLING.prepare(subject_of(instance, targets, targets), chosen, rng)
    return SHAPLEY_SAMPLING.cost(task, chosen), SHAPLEY_SAMPLING.run(task, chosen, rng)


def explain(
    instance: Instance,
    model: Model,
    seed: int = 0,
    budget: int | None = None,
    targets: int = 1,
    **params: object,
) -> Attribution:
    return run(begin(instance, seed, targets, **params)[1], answering(model, instance), budget)


def sizes(instance: Instance, model: Model, **params: object) -> list[int]:
    """Rows of every query."""
    asked: list[int] = []
    answer = answering(model, instance)

    def noting(query: Query) -> Reply:
        asked.append(len(query.rows))
        return answer(query)

    run(begin(instance, 0, 1, **params)[1], noting)
    return asked


def ones(players: int = PLAYERS) -> Instance:
    """Players are 1 when they are in, 0 when not."""
    return instance_of(Modality.TENSOR, np.ones(players))


def table(rows: Array) -> Instance:
    details = TabularSpec(background=rows)
    return instance_of(Modality.TABULAR, np.ones(rows.shape[1]), details=details)


def network(players: int = PLAYERS, outputs: int = 1) -> Model:
    """A drawn ReLU network: no two players alike, nothing that a line fits."""
    rng = np.random.default_rng(players)
    first, bias = rng.normal(size=(players, 16)), rng.normal(size=16)
    last = rng.normal(size=(16, outputs))
    return lambda inputs: np.maximum(inputs["x0"] @ first + bias, 0) @ last


def truth(model: Model, players: int = PLAYERS) -> list[float]:
    def worth(present: frozenset[int]) -> float:
        x = np.isin(np.arange(players), list(present)).astype(np.float64)
        return float(model({"x0": x[None]})[0, 0])

    return by_subsets(worth, players)


@pytest.mark.parametrize("antithetic", [True, False])
def test_a_linear_model_is_exact_after_two_walks(antithetic: bool):
    """Every gain is w_i, wherever in the order: no error, and none claimed."""
    weights = np.random.default_rng(0).normal(size=20)
    model = lambda inputs: inputs["x0"] @ weights[:, None]  # noqa: E731
    found = explain(ones(20), model, num_permutations=2, antithetic=antithetic)
    assert found.values[0] == pytest.approx(weights, abs=1e-12)
    assert found.standard_errors.max() < 1e-12


@pytest.mark.parametrize("antithetic", [True, False])
def test_errors_cover_the_truth_as_often_as_they_say(antithetic: bool):
    """Theory: |error| < 1.96 standard errors in 95 % of values; 60 seeds x 8 players of a network."""
    model, expected = network(), np.array(truth(network()))
    runs = [explain(ones(), model, seed, num_permutations=60, antithetic=antithetic) for seed in range(60)]
    covered = np.mean([np.abs(one.values[0] - expected) < 1.96 * one.standard_errors[0] for one in runs])
    assert 0.91 < covered < 0.98
    mean = np.mean([one.values[0] for one in runs], axis=0)
    spread = np.mean([one.standard_errors[0] for one in runs], axis=0)
    assert np.all(np.abs(mean - expected) < 4 * spread / np.sqrt(60))


def test_walking_backwards_makes_second_order_interactions_exact():
    """Of a product the second of the two gets all, on the way back the other: half each, after one order."""
    rng = np.random.default_rng(5)
    products = np.triu(rng.normal(size=(PLAYERS, PLAYERS)), 1)

    def model(inputs: dict[str, Array]) -> Array:
        return np.einsum("ni,ij,nj->n", inputs["x0"], products, inputs["x0"])[:, None]

    expected = (products.sum(axis=0) + products.sum(axis=1)) / 2
    assert explain(ones(), model, num_permutations=1).values[0] == pytest.approx(expected, abs=1e-12)
    forth = explain(ones(), model, num_permutations=1, antithetic=False)
    assert np.abs(forth.values[0] - expected).max() > 1e-3


@pytest.mark.parametrize("params", [{}, {"antithetic": False}, {"num_background": 3}])
def test_values_and_base_add_up_to_the_score_of_every_target(params):
    """Telescoping sums, so whatever was drawn."""
    instance = table(np.random.default_rng(1).normal(size=(7, PLAYERS)))
    found = explain(instance, network(outputs=3), targets=3, num_permutations=5, **params)
    total = found.base_values + found.values.sum(axis=1)
    assert total == pytest.approx(found.instance_scores, abs=1e-12)
    assert found.additive


def test_background_rows_are_drawn_evenly():
    """40 walks over 20 rows: each twice, so a linear model is exact and base is the mean score."""
    rows = np.random.default_rng(1).normal(size=(20, PLAYERS))
    weights = np.arange(1.0, PLAYERS + 1)
    found = explain(table(rows), lambda i: i["x0"] @ weights[:, None], num_permutations=40)
    assert found.values[0] == pytest.approx(weights * (1 - rows.mean(axis=0)), abs=1e-12)
    assert found.base_values[0] == pytest.approx((rows @ weights).mean(), abs=1e-12)
    assert found.standard_errors.min() > 0


def test_all_background_rows_and_a_network_meet_the_definition():
    """The worth of a coalition as a mean over all six rows; within four standard errors."""
    rows = np.random.default_rng(2).normal(size=(6, 5))
    model = network(5)

    def worth(present: frozenset[int]) -> float:
        kept = np.isin(np.arange(5), list(present))
        return float(model({"x0": np.where(kept, 1.0, rows)}).mean())

    found = explain(table(rows), model, num_permutations=300, num_background=6)
    error = np.abs(found.values[0] - by_subsets(worth, 5))
    assert np.all(error < 4 * found.standard_errors[0])
    assert found.standard_errors.max() < 0.05


def test_the_cost_is_a_row_per_step_and_background_row():
    """1 + P b (1 + 2 (M - 1)), or M - 1 once when walked forth only; a tolerance makes it a bound."""
    rows = np.random.default_rng(0).normal(size=(9, 5))
    for params, expected in (
        ({}, 1 + 100 * 9),
        ({"antithetic": False}, 1 + 100 * 5),
        ({"num_background": 4, "num_permutations": 7}, 1 + 7 * 4 * 9),
        ({"num_background": 50, "num_permutations": 7}, 1 + 7 * 9 * 9),
    ):
        stated, _ = begin(table(rows), 0, 1, **params)
        assert (stated.rows, stated.exact) == (expected, True)
        assert sizes(table(rows), network(5), **params) == [expected]
    assert not begin(table(rows), 0, 1, tolerance=0.1)[0].exact


def test_a_tolerance_ends_the_walks_as_soon_as_it_is_met():
    """Rounds of 20, 10, 15, ... permutations; the last errors are below, those of a round less are not."""
    asked = sizes(ones(), network(), num_permutations=10_000, tolerance=0.05)
    assert [asked[0] - 1, *asked[1:3]] == [20 * 15, 10 * 15, 15 * 15]
    walked = (sum(asked) - 1) // 15
    found = explain(ones(), network(), num_permutations=10_000, tolerance=0.05)
    assert found.quality[0]["permutations"] == walked < 10_000
    assert found.standard_errors.max() < 0.05
    assert found.complete
    before = explain(ones(), network(), num_permutations=walked - asked[-1] // 15, tolerance=0.05)
    assert before.standard_errors.max() >= 0.05
    assert any("tolerance 0.05 was not reached" in warning for warning in before.warnings)


def test_rounds_are_bounded_in_memory_and_change_nothing_known(monkeypatch: pytest.MonkeyPatch):
    """Queries of at most so many mask bits; moments of parts, merged, are those of the whole."""
    monkeypatch.setattr(module, "MOST_BITS", 15 * PLAYERS * 10)
    assert sizes(ones(), network(), num_permutations=25) == [1 + 150, 150, 75]
    found = explain(ones(), network(), num_permutations=2000)
    assert np.all(np.abs(found.values[0] - truth(network())) < 4 * found.standard_errors[0])


def test_merged_moments_are_those_of_all_walks_together():
    """Chan's formula against one pass."""
    instance, rng = ones(), np.random.default_rng(0)
    task = SHAPLEY_SAMPLING.prepare(subject_of(instance), ShapleySamplingParams(), rng)
    answer, full = answering(network(), instance), network()({"x0": np.ones((1, PLAYERS))})[0]

    def of(ranks: Array) -> module.Moments:
        walks = module.Walks(ranks, np.zeros((len(ranks), 1), dtype=int))
        return moments(walks, answer(Query(rows_of(task.game, walks, 0, antithetic=True))).scores, full)

    ranks = rng.permuted(np.tile(np.arange(PLAYERS), (30, 1)), axis=1)
    whole, parts = of(ranks), merged(of(ranks[:7]), of(ranks[7:]))
    assert parts.count == whole.count
    assert parts.means == pytest.approx(whole.means, abs=1e-12)
    assert parts.standard_errors == pytest.approx(whole.standard_errors, abs=1e-12)
    assert parts.empty == pytest.approx(whole.empty, abs=1e-12)


def test_a_budget_buys_whole_walks():
    """15 rows each and the instance: 46 to 60 rows are three walks, 15 rows none."""
    found = explain(ones(), network(), budget=60)
    assert found.quality[0]["permutations"] == 3
    assert not found.complete
    assert "the budget ended after 3 of 100 permutations" in found.warnings[-1]
    one = explain(ones(), network(), budget=16)
    assert one.standard_errors is None
    assert np.isfinite(one.values).all()
    with pytest.raises(BudgetSpent):
        explain(ones(), network(), budget=15)


def test_one_segment_gets_everything():
    """f(x) - f(nothing), in two rows."""
    found = explain(ones(1), network(1))
    assert found.values[0] == pytest.approx(truth(network(1), 1), abs=1e-12)


@pytest.mark.parametrize("baseline", [None, Baseline(BaselineKind.CONSTANT)])
def test_a_number_of_background_rows_needs_a_background(baseline: Baseline | None):
    """Named, with the remedy."""
    with pytest.raises(InvalidRequest, match=r"num_background: .*leave it out"):
        explain(ones(), network(), num_background=2, baseline=baseline)
