"""Ways from baselines to instances: sums that are known on paper, and by which error they miss."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import instance_of, look
from tests.inside import NumpyInside, around_input, joined, looked_up
from tests.models.bent import ROW, ZERO, around, around_bent, bent, tensor
from tests.oracles.integrated_gradients import attributions, sum_of_powers

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.query import Query, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, TabularSpec, TextSpec
from whybox_server.methods import probing
from whybox_server.methods.comparison import missed
from whybox_server.methods.gradient_shap import GRADIENT_SHAP
from whybox_server.methods.integrated_gradients import INTEGRATED_GRADIENTS
from whybox_server.methods.quadrature import PathRule, quadrature
from whybox_server.perturb.options import Baseline, BaselineKind


@pytest.mark.parametrize("output", [0, 1])
def test_it_is_the_integral_of_the_slope(output):
    """Against 2000 pieces of central differences, element by element; both targets in one pass."""
    found = look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(ZERO,))
    by_hand = attributions(lambda x: float(bent(x[None])[0, output]), ROW, np.zeros(4))
    assert np.allclose(found.values[output], by_hand, atol=1e-6)


def test_the_values_and_the_base_sum_to_the_score():
    """Completeness (proposition 1), which `completeness_gap` states: 1e-9 for a smooth net."""
    found = look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(ZERO,))
    score, base = bent(ROW[None])[0], bent(np.zeros((1, 4)))[0]
    assert np.allclose(found.base_values, base)
    gaps = np.abs(found.values.sum(axis=1) + base - score)
    assert gaps.max() < 1e-9
    assert [one["completeness_gap"] for one in found.quality] == pytest.approx(gaps, abs=1e-12)
    assert found.additive
    assert not found.warnings


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gauss_legendre_is_exact_up_to_its_degree(steps):
    """1 / (d + 1) for all powers d up to 2 steps - 1, and not beyond."""
    rule = quadrature(PathRule.GAUSS_LEGENDRE, steps)
    for degree in range(2 * steps):
        assert sum_of_powers(*rule, degree) == pytest.approx(1 / (degree + 1), abs=1e-14)
    assert abs(sum_of_powers(*rule, 2 * steps) - 1 / (2 * steps + 1)) > 1e-8


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        (PathRule.RIEMANN_LEFT, 1),
        (PathRule.RIEMANN_RIGHT, 1),
        (PathRule.RIEMANN_MIDDLE, 2),
        (PathRule.TRAPEZOID, 2),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_gap_falls_with_the_order_of_the_rule(rule, order):
    """Twice the pieces: half or a quarter of the gap on a smooth net; shares sum to 1."""
    gaps = []
    for pieces in (40, 80):
        steps = pieces + (rule is PathRule.TRAPEZOID)
        assert quadrature(rule, steps)[1].sum() == pytest.approx(1)
        found = look(
            INTEGRATED_GRADIENTS,
            tensor(),
            around_bent(tensor()),
            outputs=2,
            baselines=(ZERO,),
            rule=rule,
            steps=steps,
        )
        gaps.append(found.quality[0]["completeness_gap"])
    assert np.log2(gaps[0] / gaps[1]) == pytest.approx(order, abs=0.1)


def test_a_product_is_shared_in_halves():
    """f = a b from 0: the slope is linear on the way, so that one step is exact: a b / 2 each."""
    instance = tensor(np.array([3.0, 4.0]))
    found = look(
        INTEGRATED_GRADIENTS,
        instance,
        around(instance, lambda x: x[:, 0] * x[:, 1]),
        steps=1,
        baselines=(ZERO,),
    )
    assert np.allclose(found.values[0], [6.0, 6.0], atol=1e-8)


def kinked(x: Array) -> Array:
    """0 up to 0.9, then steep: no rule sees where the kink is."""
    return np.asarray(np.maximum(x[:, 0] - 0.9, 0) * 10)


def test_steps_are_doubled_until_the_tolerance_is_met_and_for_those_targets_only_that_need_it():
    """A linear output is done after 16 steps, a kinked one is not; the rows asked say so."""
    instance, sizes = tensor(np.array([1.0])), []
    model = lambda x: np.stack([x["x0"][:, 0], kinked(x["x0"])], axis=1)  # noqa: E731
    inside = NumpyInside((around_input(instance, model),))
    found = look(
        INTEGRATED_GRADIENTS,
        instance,
        inside,
        outputs=2,
        baselines=(ZERO,),
        told=lambda query: sizes.append(len(query.rows)),
    )
    steps = [one["steps"] for one in found.quality]
    assert steps[0] == 16 < steps[1]
    assert all(one["relative_gap"] <= 0.01 for one in found.quality)
    doubled = [int(16 * 2**i) for i in range(1, int(np.log2(steps[1] / 16)) + 1)]
    assert sizes == [1, 1, 2 * 16, *doubled]


def test_a_tolerance_that_is_not_met_is_said():
    """A step function: its slope is 0 wherever one looks, so all of the difference is missed."""
    instance = tensor(np.array([1.0]))
    found = look(
        INTEGRATED_GRADIENTS,
        instance,
        around(instance, lambda x: np.sign(x[:, 0] - 0.123456789)),
        baselines=(ZERO,),
    )
    assert found.complete
    assert found.quality[0]["steps"] == 512
    assert found.quality[0]["relative_gap"] == pytest.approx(1)
    assert any("after 512 steps" in text for text in found.warnings)


def test_a_budget_leaves_fewer_steps_and_their_gap():
    """50 steps for each of 2 targets do not fit into 23 rows; 10 do, beside the instance and the baseline."""
    asked: list[Query] = []
    found = look(
        INTEGRATED_GRADIENTS,
        tensor(),
        around_bent(tensor()),
        outputs=2,
        baselines=(ZERO,),
        steps=50,
        budget=23,
        told=asked.append,
    )
    assert not found.complete
    assert [one["steps"] for one in found.quality] == [10, 10]
    assert sum(len(query.rows) for query in asked) <= 23
    assert any("budget" in text for text in found.warnings)
    ten = look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(ZERO,), steps=10)
    assert np.array_equal(found.values, ten.values)
    with pytest.raises(BudgetSpent):
        look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, steps=50, budget=3)


def test_a_budget_that_ends_while_steps_are_doubled_leaves_the_last_sum():
    """16 steps are there, 32 do not fit, and the 10 rows that are left are fewer than 16."""
    instance = tensor(np.array([1.0]))
    found = look(INTEGRATED_GRADIENTS, instance, around(instance, kinked), baselines=(ZERO,), budget=28)
    assert found.quality[0]["steps"] == 16
    assert not found.complete
    more = look(INTEGRATED_GRADIENTS, instance, around(instance, kinked), baselines=(ZERO,), budget=40)
    assert more.quality[0]["steps"] == 22


def test_several_baselines_are_averaged():
    """Means of the values and of the base scores, whatever their order; words name all."""
    one = Baseline(BaselineKind.GIVEN, given=np.array([0.5, 0.5, -1.0, 0.0]))
    both = look(
        INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(ZERO, one), steps=20
    )
    alone = [
        look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(b,), steps=20)
        for b in (ZERO, one)
    ]
    assert np.allclose(both.values, (alone[0].values + alone[1].values) / 2, rtol=1e-12)
    assert np.allclose(both.base_values, (alone[0].base_values + alone[1].base_values) / 2)
    assert both.baseline == "constant 0; values as given"


def test_rows_of_a_background_are_drawn_where_there_are_too_many():
    """20 of 30, said in words; the sum is right for those that were drawn."""
    rows = np.random.default_rng(4).normal(size=(30, 4))
    row = instance_of(Modality.TABULAR, ROW, details=TabularSpec(("a", "b", "c", "d"), rows))
    found = look(
        INTEGRATED_GRADIENTS,
        row,
        around_bent(row),
        outputs=2,
        baselines=(Baseline(BaselineKind.BACKGROUND),),
        steps=30,
    )
    assert "20 of 30" in found.baseline
    assert found.quality[0]["relative_gap"] < 1e-6


def test_a_baseline_that_does_not_fit_is_named_by_its_number():
    """Field and remedy."""
    wrong = Baseline(BaselineKind.GIVEN, given=np.ones(3))
    with pytest.raises(InvalidRequest, match=r"baselines\[1\]\.given: shape \(3,\)"):
        look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(ZERO, wrong))
    nan = Baseline(BaselineKind.GIVEN, given=np.array([np.nan, 0, 0, 0]))
    with pytest.raises(InvalidRequest, match=r"baselines\[0\]\.given"):
        look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(nan,))
    with pytest.raises(InvalidRequest, match="steps: TRAPEZOID needs at least 2"):
        look(
            INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, rule=PathRule.TRAPEZOID, steps=1
        )


def test_an_instance_that_is_its_own_baseline_has_nothing_to_explain():
    """All zeros and no gap, after the first try."""
    same = Baseline(BaselineKind.GIVEN, given=ROW)
    found = look(INTEGRATED_GRADIENTS, tensor(), around_bent(tensor()), outputs=2, baselines=(same,))
    assert not found.values.any()
    assert [one["relative_gap"] for one in found.quality] == [0, 0]


def test_a_gap_is_relative_to_what_cancels_where_the_difference_is_nearly_nothing():
    """Parts of 50 and -50 that miss a difference of 0 by 0.001: 0.1% of a hundredth of 100."""
    gaps, relative = missed(np.array([[50.0, -50.001], [1.0, 1.0]]), np.array([0.0, 4.0]))
    assert gaps == pytest.approx([0.001, 2.0])
    assert relative == pytest.approx([0.001 / 1.00001, 0.5])


def test_token_ids_are_joined_by_a_way_between_their_vectors():
    """f is the square of a sum over vectors; the way begins at the vector of the mask token, but padding
    stays. Against the oracle on the vectors themselves, summed per token.
    """
    table, weights = np.random.default_rng(5).normal(size=(2, 10, 3))
    ids = instance_of(Modality.TEXT, np.array([4, 7, 0, 4]), details=TextSpec(mask_id=9))
    score = lambda v: ((v * weights[:4]).sum(axis=(1, 2)) ** 2)[:, None]  # noqa: E731
    asked: list[Query] = []
    found = look(
        INTEGRATED_GRADIENTS, ids, NumpyInside((looked_up("x0", table, 4, score),)), told=asked.append
    )
    begin, end = table[[9, 9, 0, 9]], table[[4, 7, 0, 4]]
    by_hand = attributions(lambda v: float(score(v[None])[0, 0]), end, begin, steps=200).sum(axis=1)
    assert np.allclose(found.values[0], by_hand, atol=1e-6)
    assert found.values[0, 2] == 0
    assert found.units.names == ("token 4", "token 7", "token 0", "token 4 (2)")
    assert found.baseline == "mask token, id 9"
    ways = [query for query in asked if query.want is Want.GRADIENT]
    assert ways[0].probe.enters == (4, 3)


def test_columns_of_several_inputs_share_a_way():
    """f = a b c over two inputs from 0: a b c / 3 each."""
    instance = tensor(np.array([2.0, 3.0]), np.array([5.0]))
    product = lambda x: x["x0"][:, :1] * x["x0"][:, 1:] * x["x1"]  # noqa: E731
    found = look(INTEGRATED_GRADIENTS, instance, NumpyInside((joined(instance, product),)), baselines=(ZERO,))
    assert np.allclose(found.values[0], 10.0, atol=1e-7)


def test_a_budget_is_shared_by_all_ways():
    """2 targets x 2 baselines: of 30 rows 3 are the instance and the baselines, and 6 steps fit into the rest."""
    asked: list[Query] = []
    found = look(
        INTEGRATED_GRADIENTS,
        tensor(),
        around_bent(tensor()),
        outputs=2,
        baselines=(ZERO, Baseline(BaselineKind.MEAN)),
        steps=50,
        budget=30,
        told=asked.append,
    )
    assert [one["steps"] for one in found.quality] == [6, 6]
    assert sum(len(query.rows) for query in asked) == 3 + 24


@pytest.mark.parametrize(
    ("method", "params", "points"),
    [
        (INTEGRATED_GRADIENTS, {"steps": 7}, 3 * 7),
        (GRADIENT_SHAP, {"num_samples": 30, "noise": 0.1}, 30),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_gradients_may_come_in_any_number_of_pieces(monkeypatch, method, params, points):
    """Three rows at a time, across the ends of ways: the same values but for the order of sums."""
    baselines = (ZERO, Baseline(BaselineKind.MEAN), Baseline(BaselineKind.CONSTANT, 2.0))

    def told(bytes_held: int) -> tuple[Array, int]:
        monkeypatch.setattr(probing, "QUERY_BYTES", bytes_held)
        asked: list[Query] = []
        given = {**params, "baselines": baselines, "told": asked.append}
        return look(method, tensor(), around_bent(tensor()), outputs=2, **given).values, len(asked)

    whole, pieces = told(1 << 20), told(3 * 2 * 4 * 4)
    assert (whole[1], pieces[1]) == (3, 2 + -(-points // 3))
    assert np.allclose(pieces[0], whole[0], rtol=1e-12)
