"""STREAK and greedy: the algorithm of the paper, known best sets, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.models.sixteen import sixteen
from tests.oracles import streak as oracle

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Regions
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ScoreKind, TabularSpec, TextSpec
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods import sieves
from whybox_server.methods.guarantees import ratio
from whybox_server.methods.method import violations
from whybox_server.methods.sieves import thresholds, thresholds_at_most
from whybox_server.methods.streak import STREAK, Strategy, StreakParams
from whybox_server.perturb.options import Baseline, BaselineKind

Value = Callable[[Array], Array]  # (n, segments) of zeros and ones -> (n,)
SEEDS = range(15)
EVERY_STRATEGY = pytest.mark.parametrize("strategy", Strategy)


def ones(n: int) -> Instance:
    """An instance of n ones; hidden elements are 0, so that rows are masks."""
    return instance_of(Modality.TENSOR, np.ones(n))


def of_one(f: Value) -> Model:
    return lambda inputs: f(inputs["x0"])[:, None]


def start(subject: Subject, seed: int = 0, **params: object):
    chosen, rng = StreakParams(**params), np.random.default_rng(seed)  # type: ignore[arg-type]
    task = STREAK.prepare(subject, chosen, rng)
    return STREAK.run(task, chosen, rng), STREAK.cost(task, chosen).rows


def choose(f: Value, n: int, seed: int = 0, budget: int | None = None, **params: object) -> Regions:
    steps, _ = start(subject_of(ones(n)), seed, **params)
    return run(steps, answering(of_one(f), ones(n)), budget)


def sizes(f: Value, n: int, seed: int = 0, **params: object) -> tuple[list[int], int]:
    """Rows of every query, and the bound; no row is asked twice."""
    steps, most = start(subject_of(ones(n)), seed, **params)
    asked: list[bytes] = []
    found = []

    def noting(query: Query) -> Reply:
        asked.extend(query.rows.keys())
        found.append(len(query.rows))
        return Reply(f(materialise(query.rows, ones(n))["x0"])[:, None])

    run(steps, noting)
    assert len(set(asked)) == len(asked)
    return found, most


def on_sets(f: Value, n: int) -> oracle.F:
    """f of sets, above that of nothing."""

    def value(subset: frozenset[int]) -> float:
        rows = np.zeros((2, n))
        rows[0, list(subset)] = 1
        with_them, nothing = f(rows)
        return float(with_them - nothing)

    return value


def coverage(seed: int, n: int = 14, things: int = 25) -> Value:
    """How many things the shown segments cover: monotone, submodular, whole numbers."""
    covers = np.random.default_rng(seed).random((n, things)) < 0.2
    return lambda rows: ((rows @ covers) > 0).sum(axis=1).astype(float)


def wild(seed: int, n: int = 14) -> Value:
    """Neither monotone nor submodular."""
    rng = np.random.default_rng(seed)
    inner, outer = rng.normal(size=(n, 6)) + 0.2, rng.normal(size=6) + 0.5
    return lambda rows: np.tanh(rows @ inner) @ outer


@pytest.mark.parametrize("epsilon", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("make", [coverage, wild])
@pytest.mark.parametrize("k", [1, 4])
def test_all_sieves_at_once_find_what_the_paper_finds_one_element_at_a_time(
    make, epsilon: float, k: int, monkeypatch
):
    """The oracle starts and drops thresholds as the stream goes by: powers of 1 - epsilon, and as we place them."""
    for seed in SEEDS:
        f = make(seed)
        value = on_sets(f, 14)
        rng = np.random.default_rng(seed)
        stream = [int(u) for u in rng.permutation(14)]  # what the method draws of the same seed
        kth = sorted((value(frozenset({u})) for u in range(14)), reverse=True)[k - 1] * (1 - 1e-4)
        for anchor in (k * kth, 1.0):
            monkeypatch.setattr(sieves, "anchor", lambda *_, anchor=anchor: anchor)
            found = choose(f, 14, seed, k=k, epsilon=epsilon, fill=False)
            assert set(found.segments) == oracle.streamed(value, stream, k, epsilon, anchor)


@EVERY_STRATEGY
@pytest.mark.parametrize("make", [coverage, wild])
@pytest.mark.parametrize("fill", [True, False])
def test_every_score_is_that_of_the_segments_so_far_and_none_is_lower_than_the_one_before(
    make, fill, strategy
):
    """Fresh evaluations of f; without filling every segment raises it."""
    for seed in SEEDS:
        f = make(seed)
        found = choose(f, 14, seed, k=5, strategy=strategy, fill=fill)
        value = on_sets(f, 14)
        path = found.segments
        assert list(found.scores) == pytest.approx(
            [value(frozenset(path[: i + 1])) for i in range(len(path))]
        )
        steps = np.diff([0.0, *found.scores])
        assert (steps >= 0).all() if fill else (steps > 0).all()
        assert len(set(path)) == len(path) <= 5
        assert found.empty_score == pytest.approx(float(f(np.zeros((1, 14)))[0]))
        alone = [value(frozenset({u})) for u in range(14)]
        assert not path or found.scores[-1] >= max(alone)


@pytest.mark.parametrize(
    ("k", "counts"),
    [(5, (67, 32, 11, 7, 6)), (10, (87, 41, 14, 9, 7)), (20, (107, 51, 17, 10, 9))],
)
def test_the_number_of_thresholds_is_the_papers(k: int, counts: tuple[int, ...]):
    """Measured numbers of the notes for epsilon .1, .2, .5, .7, .75, give or take one with m; their range and
    their spacing."""
    for epsilon, count in zip((0.1, 0.2, 0.5, 0.7, 0.75), counts, strict=True):
        assert thresholds_at_most(k, epsilon) <= 2 - (log(9) + 3 * log(k)) / log(1 - epsilon)
        for m in (0.03, 1.0, 7.7, 400.0):
            taus = thresholds(m, k, epsilon)
            assert abs(len(taus) - count) <= 1
            assert len(taus) <= thresholds_at_most(k, epsilon)
            least, most, rounding = (1 - epsilon) * m / (9 * k * k), m * k, 1 + 1e-8
            assert taus[0] / rounding <= most <= taus[0] / (1 - epsilon) * rounding
            assert taus[-1] * (1 - epsilon) / rounding <= least <= taus[-1] * rounding
            assert np.allclose(np.divide(taus[1:], taus[:-1]), 1 - epsilon)


@EVERY_STRATEGY
@pytest.mark.parametrize("make", [coverage, wild])
def test_no_set_is_asked_twice_and_the_cost_is_a_bound(make, strategy):
    """1 + 1 + N for the first round; then at most a row per threshold and segment, and those of greedy."""
    for seed in SEEDS:
        asked, most = sizes(make(seed), 14, seed, k=4, strategy=strategy)
        assert asked[0] == 16
        assert sum(asked) <= most
        if strategy is Strategy.GREEDY:
            assert asked[1:] == [13, 12, 11][: len(asked) - 1]


@pytest.mark.parametrize("make", [coverage, wild])
def test_sieves_advance_together_and_ask_a_row_per_segment_at_most(make):
    """Rounds after the first: fewer than segments. Rows: |I| N, the bound of the notes."""
    for seed in SEEDS:
        asked, _ = sizes(make(seed, 30), 30, seed, k=5, epsilon=0.7, fill=False)
        assert len(asked) <= 30
        assert sum(asked[1:]) <= 7 * 30


def test_a_sieve_puts_no_more_rows_at_risk_than_it_saved(monkeypatch):
    """Before every question: rows asked so far are at most segments decided, however often it was mistaken."""
    ahead = sieves.Sieve.ahead
    looked_ahead = 0

    def watched(self, sets, order):
        nonlocal looked_ahead
        assert self.asked <= self.position
        found = ahead(self, sets, order)
        looked_ahead += len(found) > 1
        return found

    monkeypatch.setattr(sieves.Sieve, "ahead", watched)
    for seed in SEEDS:
        choose(wild(seed, 30), 30, seed, k=5, epsilon=0.5)
    assert looked_ahead > 10


def test_the_bound_counts_no_set_twice_when_there_are_few_segments():
    """Three segments have eight sets."""
    assert start(subject_of(ones(3)))[1] == 8


def test_plain_greedy_takes_the_best_addition_every_time():
    """The oracle's loop; scores that leave no ties."""
    for seed in SEEDS:
        f = wild(seed)
        found = choose(f, 14, k=4, strategy=Strategy.GREEDY)
        expected = oracle.greedy(on_sets(f, 14), 14, 4)
        assert list(found.segments) == expected[: len(found.segments)]


def test_lazy_greedy_is_greedy_on_submodular_scores_with_fewer_questions():
    """Whole numbers with many ties: the same path, ties included."""
    saved = 0
    for seed in SEEDS:
        f = coverage(seed, 30)
        lazy, plain = (choose(f, 30, k=5, strategy=s) for s in (Strategy.LAZY_GREEDY, Strategy.GREEDY))
        assert lazy.segments == plain.segments == tuple(oracle.greedy(on_sets(f, 30), 30, 5))
        assert lazy.scores == plain.scores
        few, many = (sum(sizes(f, 30, k=5, strategy=s)[0]) for s in (Strategy.LAZY_GREEDY, Strategy.GREEDY))
        saved += many - few
        assert many == 2 + 30 + 29 + 28 + 27 + 26
    assert saved / len(SEEDS) > 40  # of 142


def test_of_a_sum_of_weights_the_largest_are_found_in_every_order_and_unit():
    """Modular f: the top k, whatever the seed, the epsilon and the scale of the score."""
    weights = np.random.default_rng(1).random(12) - 0.2
    top = set(np.argsort(-weights)[:3].tolist())
    for seed in range(10):
        for epsilon, scale in ((0.05, 1.0), (0.7, 1.0), (0.7, 37.0), (0.9, 1e-3)):
            f = lambda rows: scale * (rows @ weights)  # noqa: E731 used at once
            assert set(choose(f, 12, seed, k=3, epsilon=epsilon, fill=False).segments) == top
    assert set(choose(lambda rows: rows @ weights, 12, k=3, strategy=Strategy.GREEDY).segments) == top


def test_sixteen_segments_come_near_the_best_four():
    """All 1820 subsets: at least half of the best always, nine tenths on average; greedy .98."""
    shares, greedy = [], []
    for seed in range(60):
        truth = sixteen(seed)
        best = truth.best(4)
        shares.append(choose(truth.value, 16, seed, k=4).scores[-1] / best)
        greedy.append(choose(truth.value, 16, k=4, strategy=Strategy.GREEDY).scores[-1] / best)
    assert min(shares) >= 0.5
    assert np.mean(shares) >= 0.9
    assert np.mean(greedy) >= 0.98


def test_filling_takes_what_does_not_hurt_and_stops_before_what_does():
    """One helps, one is idle, two hurt: filled it is two, unfilled one."""

    def f(rows: Array) -> Array:
        return rows @ np.array([4.0, 0, -1, -2])

    for strategy in Strategy:
        assert choose(f, 4, k=3, strategy=strategy).segments == (0, 1)
        assert choose(f, 4, k=3, strategy=strategy, fill=False).segments == (0,)
    assert "2 of 3 segments were chosen" in choose(f, 4, k=3).warnings[-1]


@EVERY_STRATEGY
def test_scores_are_above_that_of_nothing(strategy):
    """A constant added to the model changes the empty score alone."""
    found = choose(lambda rows: 10 + rows @ np.array([3.0, 1, 0.5]), 3, k=2, strategy=strategy)
    assert (found.segments, found.scores, found.empty_score) in (((0, 1), (3, 4), 10), ((1, 0), (1, 4), 10))


@EVERY_STRATEGY
def test_evidence_that_needs_two_segments_is_found_by_filling(strategy):
    """AND of two: each alone is nothing, so the first is taken because it does not hurt."""
    found = choose(lambda rows: rows[:, 0] * rows[:, 1], 3, k=2, strategy=strategy)
    assert (set(found.segments), found.scores) == ({0, 1}, (0.0, 1.0))


@EVERY_STRATEGY
def test_when_every_segment_lowers_the_score_none_is_chosen_and_it_is_said(strategy):
    """An answer, not an error; finite, and complete."""
    found = choose(lambda rows: -rows.sum(axis=1), 4, strategy=strategy)
    assert (found.segments, found.scores, found.complete) == ((), (), True)
    assert "no segment alone raises the score" in found.warnings[-1]


def test_a_constant_model_has_no_regions_and_asks_one_round():
    """Differences of float32's last bits are none."""
    for f in (lambda rows: np.full(len(rows), 7.0), lambda rows: 7 + 1e-7 * np.sin(rows @ np.arange(6.0))):
        assert choose(f, 6).segments == ()
        assert "the same whatever is shown" in choose(f, 6).warnings[-1]
        assert len(sizes(f, 6)[0]) == 1


def test_a_falling_score_is_reported_beside_the_guarantee():
    """Counted over the pairs that were asked: 2 of 3 segments alone fall, and 2 of 3 additions to them."""
    found = choose(lambda rows: rows @ np.array([1.0, -1, -1]), 3, k=1, strategy=Strategy.GREEDY)
    assert "Here f is not monotone: 2 of 3 additions" in found.guarantee
    assert "None of the 3 additions" in choose(lambda rows: rows.sum(axis=1), 3, k=1).guarantee


def test_the_guarantee_is_the_formula_of_the_strategy():
    """The notes' numbers for gamma 1, .75, .5; 1 - 1/e for greedy."""
    assert [round(ratio(gamma), 4) for gamma in (1, 0.75, 0.5)] == [0.0163, 0.0080, 0.0028]
    words = {s: choose(coverage(0), 14, strategy=s, epsilon=0.5).guarantee for s in Strategy}
    assert "(1 - epsilon) gamma/2 (3 - e^(-gamma/2) - 2 sqrt(2 - e^(-gamma/2)))" in words[Strategy.STREAK]
    assert "0.0081 max f" in words[Strategy.STREAK]
    assert "1 - e^-gamma" in words[Strategy.GREEDY]
    assert "gamma 1 only" in words[Strategy.LAZY_GREEDY]
    assert all("not in general" in text for text in words.values())


@given(st.integers(0, 80), st.sampled_from(Strategy), st.booleans())
def test_any_budget_gives_the_best_so_far_or_the_error(budget: int, strategy: Strategy, fill: bool):
    """Below three rows nothing can be said; every other answer is honest about what it is."""
    f = wild(3)
    try:
        found = choose(f, 14, budget=budget, k=4, strategy=strategy, fill=fill)
    except BudgetSpent:
        assert budget < 3
        return
    assert budget >= 3
    value = on_sets(f, 14)
    path = found.segments
    assert list(found.scores) == pytest.approx([value(frozenset(path[: i + 1])) for i in range(len(path))])
    assert (np.diff([0.0, *found.scores]) >= 0).all()
    if not found.complete:
        assert f"the budget ended after {budget} rows" in found.warnings[-1]
        assert found.guarantee.startswith("None")


def test_a_budget_of_three_rows_shows_one_segment():
    """The instance, nothing, and the first segment of the stream."""
    found = choose(lambda rows: rows.sum(axis=1), 5, budget=3)
    assert found.scores == (1.0,)
    assert not found.complete


def test_a_longer_budget_is_never_worse():
    """The best of all sieves grows with what is known of them."""
    values = [choose(coverage(5), 14, budget=rows, k=4).scores[-1] for rows in range(16, 60, 4)]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("params", "message"),
    [({"k": 4}, r"k: 4 segments of 3 cannot be chosen; lower k"), ({"k": 40}, r"k: 40 segments of 3")],
)
def test_more_segments_than_there_are_is_refused(params: dict[str, object], message: str):
    """Unset it is all of them."""
    with pytest.raises(InvalidRequest, match=message):
        choose(lambda rows: rows.sum(axis=1), 3, **params)
    assert len(choose(lambda rows: rows.sum(axis=1), 3).segments) == 3


@pytest.mark.parametrize(("name", "value"), [("epsilon", 0.0), ("epsilon", 1.0), ("k", 0)])
def test_parameters_out_of_range_are_named(name: str, value: float):
    """One violation, of that field."""
    assert [v.field for v in violations(StreakParams(**{name: value}))] == [name]  # type: ignore[arg-type]


def test_one_segment_is_an_answer_too():
    """The set of all is the instance, which is asked once."""
    found = choose(lambda rows: rows.sum(axis=1), 1)
    assert (found.segments, found.scores) == ((0,), (1.0,))
    assert sizes(lambda rows: rows.sum(axis=1), 1)[0] == [2]


def test_the_first_of_several_targets_is_chosen_for_and_the_others_are_named():
    """Two outputs that want different words."""
    weights = {"good": (3.0, 0.0), "bad": (0.0, 2.0), "film": (1.0, 1.0)}
    instance = instance_of(Modality.TEXT, np.array(["good bad film"], object), details=TextSpec())

    def model(inputs: dict[str, Array]) -> Array:
        return np.array(
            [np.sum([weights[w] for w in row[0].split()] or [(0, 0)], axis=0) for row in inputs["x0"]]
        )

    steps, _ = start(subject_of(instance, outputs=2, targets=2), k=2)
    found = run(steps, answering(model, instance))
    assert [found.units.names[s] for s in found.segments] in (["good", "film"], ["film", "good"])
    assert found.chosen.labels == ("output 0",)
    assert "ask again for 'output 1'" in found.warnings[-1]


def test_scores_are_in_the_space_of_the_target():
    """A classifier's probabilities, read as log-odds: the sum of the shown weights."""
    weights, n = np.array([2.0, 1, 0.5]), 3
    targets = Targets((Choice(index=0),), ("yes",), ScoreKind.PROBABILITY, Space.LOGIT)
    steps, _ = start(Subject(ones(n), targets), k=3, strategy=Strategy.GREEDY)
    found = run(steps, answering(of_one(lambda rows: 1 / (1 + np.exp(-(rows @ weights)))), ones(n)))
    assert found.segments == (0, 1, 2)
    assert found.scores == pytest.approx((2, 3, 3.5))


def test_all_sets_take_the_same_background_row():
    """With rows drawn per set the score of nothing would not be one number."""
    background = np.array([[10.0] * 4, [20.0] * 4, [40.0] * 4])
    instance = instance_of(Modality.TABULAR, np.full(4, 50.0), details=TabularSpec(background=background))
    seen: set[float] = set()

    def model(inputs: dict[str, Array]) -> Array:
        seen.update(np.unique(inputs["x0"]).tolist())
        return inputs["x0"].sum(axis=1, keepdims=True)

    steps, _ = start(subject_of(instance), k=2, baseline=Baseline(BaselineKind.BACKGROUND))
    found = run(steps, answering(model, instance))
    assert len(seen) == 2  # the instance's value, and one background's
    assert "one of 3 background rows was drawn for all sets" in found.warnings[-1]
