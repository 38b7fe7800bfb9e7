"""What many explanations say together: importance, agreement, submodular pick, groups."""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from whybox.audit.cases import Case
from whybox.audit.groups import groups, named, telling
from whybox.audit.measures import (
    agreement,
    importance,
    overlap,
    rank_correlation,
    ranks,
    sign_agreement,
    strongest,
)
from whybox.audit.pick import column_sums, submodular_pick

NUMBERS = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=8)


def made(row: int, label: str = "yes", method: str = "lime", **values: float) -> Case:
    return Case(
        row=row,
        method=method,
        kind="attribution",
        label=label,
        index=1,
        score=0.0,
        probability=None,
        unit="logit",
        complete=True,
        values=values,
        shown={},
        rows_asked=10,
        warnings=(),
        guesses=(),
        model="m",
        digest="",
        version="1",
    )


def test_importance_is_the_mean_share_of_each_explanation() -> None:
    """Worked by hand: (3/4 + 1/5) / 2 and (1/4 + 4/5) / 2; nothing but zeros counts for none."""
    found = importance([made(0, a=3.0, b=-1.0), made(1, a=-1.0, b=4.0), made(2, a=0.0, b=0.0)])
    assert [(one.name, one.share, one.supports) for one in found] == [
        ("b", pytest.approx(0.525), 0.5),
        ("a", pytest.approx(0.475), 0.5),
    ]


def test_shares_do_not_depend_on_the_scale_of_single_explanations() -> None:
    """Ten times the scores are the same importance."""
    small, large = made(0, a=3.0, b=1.0), made(0, a=30.0, b=10.0)
    assert importance([small, made(1, a=1.0, b=1.0)]) == importance([large, made(1, a=1.0, b=1.0)])


@given(NUMBERS, st.randoms(use_true_random=False))
def test_rank_correlation_is_spearmans_of_sizes(numbers: list[float], rng: object) -> None:
    """scipy's, ties included; None where it says nan."""
    other = list(numbers)
    rng.shuffle(other)
    a, b = dict(enumerate(numbers)), dict(enumerate(other))
    found = rank_correlation({str(k): v for k, v in a.items()}, {str(k): v for k, v in b.items()})
    if len(set(map(abs, numbers))) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(np.abs(numbers), np.abs(other)).statistic, abs=1e-12)


def test_equal_values_share_a_rank() -> None:
    """0.5 of a tie for places 0 and 1."""
    assert ranks(np.array([7.0, 2.0, 2.0])).tolist() == [2.0, 0.5, 0.5]


def test_overlap_and_signs_look_at_the_strongest_names_alone() -> None:
    """Top 2 of a: x, y; of b: y, z. One of two in common, and y has other signs."""
    a, b = {"x": 5.0, "y": 4.0, "z": 0.1}, {"x": 0.1, "y": -4.0, "z": 5.0}
    assert overlap(a, b, 2) == 0.5
    assert sign_agreement(a, b, 2) == 0.0
    assert sign_agreement({"x": 1.0}, {"y": 1.0}, 1) is None


def test_methods_are_compared_on_instances_and_targets_that_both_explained() -> None:
    """Row 1 is lime's alone."""
    lime = [made(0, a=3.0, b=2.0, c=1.0, d=0.5), made(1, a=1.0, b=2.0, c=3.0, d=4.0)]
    other = [made(0, method="occlusion", a=6.0, b=4.0, c=2.0, d=1.0)]
    found = agreement("lime", lime, "occlusion", other)
    assert found is not None
    assert (found.instances, found.top) == (1, 2)
    assert (found.rank, found.sign, found.overlap) == (pytest.approx(1.0), 1.0, 1.0)
    assert agreement("lime", lime[1:], "occlusion", other) is None


def test_the_pick_of_the_papers_example() -> None:
    """Ribeiro et al. 2016, figure 5: f2 counts most; with row 2 (f1, f2, f3) the last row (f4, f5) adds most,
    and not row 3, which would repeat f2 and f3.
    """
    rows = [
        made(0, f1=1.0, f2=1.0),
        made(1, f1=1.0, f2=1.0, f3=1.0),
        made(2, f2=1.0, f3=1.0),
        made(3, f2=1.0),
        made(4, f4=1.0, f5=1.0),
    ]
    wide = [made(c.row, **{**dict.fromkeys([f"g{i}" for i in range(10)], 0.0), **c.values}) for c in rows]
    found = submodular_pick(wide, 2)
    assert [pick.case.row for pick in found] == [1, 4]
    assert [set(pick.new) for pick in found] == [{"f1", "f2", "f3"}, {"f4", "f5"}]
    assert found[1].covered == pytest.approx(1.0)


@given(st.lists(st.lists(st.integers(-4, 4).map(float), min_size=6, max_size=6), min_size=2, max_size=6))
def test_the_greedy_pick_is_within_the_bound_of_the_best(table: list[list[float]]) -> None:
    """Coverage of two picks by enumeration; greedy has at least 1 - 1/e of it (Nemhauser et al. 1978)."""
    cases = [
        made(row, **{f"x{j}": value for j, value in enumerate(values)}) for row, values in enumerate(table)
    ]
    rows = [{name: case.values[name] for name in strongest(case.values, 3)} for case in cases]
    weight = {name: sqrt(total) for name, total in column_sums(rows).items()}
    whole = sum(weight.values())
    best = max(sum(weight[name] for name in {*a, *b}) for a, b in combinations(rows, 2))
    found = submodular_pick(cases, 2)
    assert (found[-1].covered * whole if found else 0.0) >= (1 - np.exp(-1)) * best - 1e-9


def test_groups_are_values_or_quarters_or_the_frequent_ones() -> None:
    """Few values as they are, many numbers cut at their quartiles, many words with the rare ones together."""
    assert named([2.0, 1.0, 2.0]) == (["2", "1", "2"], ["1", "2"])
    of, order = named([float(i) for i in range(100)])
    assert [of.count(name) for name in order] == [25, 25, 25, 25]
    of, order = named([f"w{i}" for i in range(20)] + ["w0"] * 5)
    assert order[-1] == "all others"
    assert of.count("w0") == 6


def test_a_difference_of_groups_is_told_from_chance() -> None:
    """Shares of a: 0.9 against 0.1 with little spread; one instance is never telling."""
    rng = np.random.default_rng(0)
    cases = [
        made(i, a=share, b=1 - share)
        for i in range(20)
        for share in [(0.9 if i < 10 else 0.1) + float(rng.uniform(-0.05, 0.05))]
    ]
    first, second = groups(cases, ["x"] * 10 + ["y"] * 10)
    assert (first.name, first.instances, second.name) == ("x", 10, "y")
    assert telling(first, second, "a")
    alike, same = groups(cases[:10], ["x", "y"] * 5)
    assert not telling(alike, same, "a")
    one, _ = groups(cases[9:11], ["x"] * 10 + ["y"] * 10)
    assert not telling(one, second, "a")
