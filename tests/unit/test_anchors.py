"""Anchors from query to rule, on models that are a line of numpy each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from tests.answering import materialise
from tests.oracles.anchors import best_rule, precision, share

from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Rule
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import (
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)
from whybox_server.core.target import Choice, Link, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.anchors import ANCHORS, AnchorsParams
from whybox_server.methods.method import violations
from whybox_server.perturb.laws import Discretizer
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind
from whybox_server.perturb.table_predicates import ColumnConditions, column_conditions

Says = Callable[[Array], Array]  # (n, *shape) -> (n,) class numbers


@dataclass
class Asked:
    """What a model was asked."""

    rows: int = 0
    calls: int = 0


def subject(x: Array, spec: ModelSpec, *choices: Choice, link: Link = Link.SOFTMAX) -> Subject:
    return Subject(
        Instance({"x": x}, spec), Targets(choices, ("no", "yes"), ScoreKind.PROBABILITY, Space.LOGIT, link)
    )


def explain(  # noqa: PLR0913 what a run is made of
    one: Subject,
    says: Says,
    params: AnchorsParams | None = None,
    seed: int = 0,
    budget: int | None = None,
    asked: Asked | None = None,
) -> Rule:
    params, rng = params or AnchorsParams(), np.random.default_rng(seed)

    def answer(query: Query) -> Reply:
        rows = materialise(query.rows, one.instance)["x"]
        if asked is not None:
            asked.rows, asked.calls = asked.rows + len(rows), asked.calls + 1
        return Reply(np.eye(2)[says(rows)])

    found = run(ANCHORS.run(ANCHORS.prepare(one, params, rng), params, rng), answer, budget)
    assert isinstance(found, Rule)
    return found


# The planted rule: x0 >= 2 AND x3 = 1 on six columns of four categories

PLANTED = np.array([3, 0, 2, 1, 1, 0], dtype=np.float32)


def planted(rows: Array) -> Array:
    return np.asarray((rows[:, 0] >= 2) & (rows[:, 3] == 1), dtype=int)


def categories(rows: int = 1000, seed: int = 0, x: Array = PLANTED) -> Subject:
    values = np.random.default_rng(seed).integers(0, 4, size=(rows, len(x))).astype(np.float32)
    known = {column: tuple("abcd") for column in range(len(x))}
    return subject(x, ModelSpec(Modality.TABULAR, details=TabularSpec((), values, known)))


def columns(found: Rule) -> list[int]:
    return sorted(predicate.segment for predicate in found.predicates)


@pytest.mark.parametrize("strict", [False, True])
def test_the_planted_rule_is_found_for_every_seed_with_fewer_than_a_thousand_rows(strict: bool) -> None:
    """Truth by construction: both literals and no other, precision 1, coverage 1/16 up to the background's."""
    for seed in range(20):
        one, asked = categories(4000, seed), Asked()
        found = explain(one, planted, AnchorsParams(strict=strict), seed, asked=asked)
        assert columns(found) == [0, 3]
        assert found.precision == 1
        assert found.threshold_met
        assert found.complete
        assert found.coverage == pytest.approx(1 / 16, abs=0.012)
        assert asked.rows <= 1000


def test_a_rule_reads_as_one() -> None:
    """Texts with category names; precision and coverage grow and shrink along the rule; examples agree."""
    found = explain(categories(), planted)
    assert {predicate.text for predicate in found.predicates} == {"x0 = d", "x3 = b"}
    first, last = found.predicates
    assert (first.precision, first.coverage) == (pytest.approx(0.5, abs=0.15), pytest.approx(0.25, abs=0.03))
    assert (last.precision, last.coverage) == (found.precision, found.coverage)
    assert found.examples
    assert all(example.agrees for example in found.examples)
    assert all("x0 = d" in example.text and "x3 = b" in example.text for example in found.examples)
    assert found.chosen.labels == ("yes",)
    assert found.units.names[3] == "x3"


def test_the_search_finds_what_enumeration_finds() -> None:
    """Oracle: all 64 rules over all background rows; two ways to a yes, of which one covers more."""

    def says(rows: Array) -> Array:
        return np.asarray((rows[:, 1] == 0) | ((rows[:, 0] >= 2) & (rows[:, 3] == 1)), dtype=int)

    one = categories(2000)
    conditions = column_conditions(one.instance, Discretizer.QUARTILE)
    background = one.instance.spec.details.background  # type: ignore[union-attr]
    holds, agrees = conditions.on.T[:-1].tolist(), (says(background) == 1).tolist()
    truth = best_rule(holds, agrees, 0.95)
    assert truth == (1,)
    found = explain(one, says)
    assert columns(found) == list(truth)
    assert found.coverage == pytest.approx(share(holds, truth))
    assert found.lower_bound <= precision(holds, agrees, truth)


def test_rows_are_asked_once_each() -> None:
    """A background of 200 rows: never more than they and the instance, however much is drawn."""
    asked = Asked()
    found = explain(categories(200), planted, AnchorsParams(strict=True), asked=asked)
    assert asked.rows <= 201
    assert found.samples >= 45


def test_all_first_draws_of_a_level_are_one_query() -> None:
    """The planted rule takes two levels; a call per candidate would be dozens."""
    asked = Asked()
    explain(categories(4000), planted, asked=asked)
    assert asked.calls <= 16


# Numbers


def numbers(rows: int = 600, x: tuple[float, ...] = (0.9, 0.5, 0.5, 0.5)) -> Subject:
    values = np.random.default_rng(7).random((rows, len(x)))
    return subject(np.array(x), ModelSpec(Modality.TABULAR, details=TabularSpec(("a", "b", "c", "d"), values)))


def test_one_threshold_on_one_column_is_one_predicate() -> None:
    """f = [a above its third quartile]: the rule is that predicate, whatever the tolerance."""
    one = numbers()
    border = np.percentile(one.instance.spec.details.background[:, 0], 75)  # type: ignore[union-attr]
    found = explain(one, lambda rows: (rows[:, 0] > border).astype(int))
    assert [predicate.text for predicate in found.predicates] == [f"a > {border:.6g}"]
    assert found.coverage == 0.25


def test_a_tighter_predicate_takes_the_place_of_a_looser_one() -> None:
    """No rule says "a > .5 AND a > .75": the implied one goes, and adding it back changes nothing."""
    conditions = column_conditions(numbers().instance, Discretizer.QUARTILE)
    loose, tight = [p for p in range(3) if conditions.tests[p].column == 0][1:]
    assert conditions.extended((loose,), tight) == (tight,)
    assert conditions.extended((tight,), loose) is None
    assert conditions.extended((3, tight), 4) == (3, tight, 4) or conditions.tests[3].column == 1


def test_coverage_and_draws_are_those_of_the_background() -> None:
    """Every drawn row is a background row under its rule; coverage counts them by loops."""
    conditions = column_conditions(numbers().instance, Discretizer.DECILE)
    assert isinstance(conditions, ColumnConditions)
    rules, counts = [(0,), (), (2, 11)], np.array([30, 20, 40])
    drawn = conditions.draw(rules, counts, np.random.default_rng(0))
    background = conditions.rows["x"][:-1]
    assert drawn.ids is not None
    assert np.array_equal(drawn.rows.inputs["x"], background[drawn.ids])  # type: ignore[attr-defined]
    assert np.array_equal(drawn.holds, conditions.on.T[drawn.ids])
    assert drawn.holds[:30, 0].all()
    assert drawn.holds[50:][:, [2, 11]].all()
    holds = conditions.on.T[:-1].tolist()
    assert conditions.coverage(rules).tolist() == [pytest.approx(share(holds, rule)) for rule in rules]


def test_iris_has_the_short_rule_of_the_documentation() -> None:
    """A virginica of a forest of 50: petal width or length alone; precision on all such rows >= .95."""
    data = load_iris()
    forest = RandomForestClassifier(50, random_state=0).fit(data.data, data.target == 2)
    spec = ModelSpec(Modality.TABULAR, details=TabularSpec(tuple(data.feature_names), data.data))
    found = explain(subject(data.data[145], spec), lambda rows: forest.predict(rows).astype(int))
    assert found.threshold_met
    assert len(found.predicates) == 1
    assert found.predicates[0].text.startswith("petal")
    assert found.coverage >= 0.2


# Strictness


@pytest.mark.slow
def test_strict_rules_fall_short_in_fewer_runs_than_delta() -> None:
    """400 searches over labels that are noise; the true precision of every rule is known.

    Theory: with probability 1 - delta no certified rule is below the threshold, though each search
    picks the best looking of many; delta is .1, so at most 40 runs may err. As a control the reference
    rule, which promises less, certifies rules below the threshold in more than a tenth of 60 runs.
    """
    short = {True: 0, False: 0}
    for strict, runs in ((True, 400), (False, 60)):
        params = AnchorsParams(threshold=0.8, strict=strict, beam_size=2, max_predicates=1)
        for seed in range(runs):
            one = categories(300, seed, PLANTED[:4])
            labels = (np.random.default_rng(seed).random((4, 4, 4, 4)) < 0.78).astype(int)
            labels[tuple(PLANTED[:4].astype(int))] = 1

            def says(rows: Array, labels: Array = labels) -> Array:
                return np.asarray(labels[tuple(rows.astype(int).T)])

            found = explain(one, says, params, seed)
            background = one.instance.spec.details.background  # type: ignore[union-attr]
            under = np.all([background[:, c] == PLANTED[c] for c in (-1, *columns(found)) if c >= 0], axis=0)
            true = says(background)[np.broadcast_to(under, len(background))].mean()
            short[strict] += bool(found.threshold_met and true < 0.8)
    assert short[True] <= 40
    assert short[False] > 6


def test_a_certificate_says_what_it_is() -> None:
    """The reference rule admits its slack, the strict one its threshold."""
    loose, strict = (explain(categories(), planted, AnchorsParams(strict=which)) for which in (False, True))
    assert "precision > 0.9 " in loose.certificate
    assert "looked at once" in loose.certificate
    assert "precision >= 0.95" in strict.certificate
    assert strict.confidence == pytest.approx(0.9)
    assert strict.lower_bound >= 0.95
    assert loose.confidence > 0.9, "a share of delta for every rule that may be tried on a level"


# Text, pictures, series: segments that are there


def test_words_that_decide_are_the_rule() -> None:
    """A yes needs "not" and "bad"; of eight words the rule is these two, its coverage a quarter."""
    one = subject(np.array(["this film is not at all that bad"], object), ModelSpec(Modality.TEXT, details=TextSpec()))

    def says(rows: Array) -> Array:
        return np.array([int("not" in row[0].split() and "bad" in row[0].split()) for row in rows])

    found = explain(one, says)
    assert {predicate.text for predicate in found.predicates} == {"'not' is there", "'bad' is there"}
    assert found.coverage == 0.25
    assert all(("not" in e.text and "bad" in e.text) == e.agrees for e in found.examples)


def test_a_square_of_a_picture_is_the_rule() -> None:
    """The model looks at one of sixteen squares; blank is 0."""
    one = subject(np.ones((1, 8, 8), np.float32), ModelSpec(Modality.IMAGE, details=ImageSpec("CHW")))
    squares = np.kron(np.arange(16).reshape(4, 4), np.ones((2, 2), int))
    params = AnchorsParams(
        segmentation=Segmentation(SegmentationKind.GIVEN, given=squares),
        baseline=Baseline(BaselineKind.CONSTANT),
    )
    found = explain(one, lambda rows: (rows[:, 0, 2, 4] > 0).astype(int), params)
    assert columns(found) == [6]
    assert found.coverage == 0.5
    assert found.threshold_met


def test_a_series_and_a_tensor_have_rules_too() -> None:
    """Two elements of five must be there."""
    for modality, details in ((Modality.TENSOR, None), (Modality.TIME_SERIES, TimeSeriesSpec("T"))):
        one = subject(np.arange(1.0, 6.0), ModelSpec(modality, details=details))
        params = AnchorsParams(
            segmentation=Segmentation(SegmentationKind.ELEMENTS), baseline=Baseline(BaselineKind.CONSTANT)
        )
        found = explain(one, lambda rows: ((rows[:, 0] > 0) & (rows[:, 3] > 0)).astype(int), params)
        assert columns(found) == [0, 3]


# Decisions


def test_labels_alone_are_enough() -> None:
    """Scores squeezed to a hair's breadth around even give the same rule, bit for bit."""
    one, rng = categories(), np.random.default_rng(0)
    params = AnchorsParams()

    def answer(query: Query) -> Reply:
        rows = materialise(query.rows, one.instance)["x"]
        return Reply(0.5 + 1e-6 * (np.eye(2)[planted(rows)] - 0.5))

    squeezed = run(ANCHORS.run(ANCHORS.prepare(one, params, rng), params, rng), answer)
    assert isinstance(squeezed, Rule)
    assert replace(squeezed, instance_scores=0, chosen=0, units=0).predicates == explain(one, planted).predicates  # type: ignore[arg-type]


def test_one_probability_is_a_yes_or_a_no() -> None:
    """A single sigmoid output: the rule of a yes, and of a no, which is said."""
    one = categories()
    targets = Targets((), ("fraud",), ScoreKind.PROBABILITY, Space.LOGIT, Link.SIGMOID)
    for x, word in ((PLANTED, None), (np.array([0, 0, 2, 1, 1, 0], np.float32), "says no to 'fraud'")):
        asked = Subject(Instance({"x": x}, one.instance.spec), targets)
        params, rng = AnchorsParams(), np.random.default_rng(0)

        def answer(query: Query, asked: Subject = asked) -> Reply:
            return Reply(planted(materialise(query.rows, asked.instance)["x"])[:, None] * 0.8 + 0.1)

        found = run(ANCHORS.run(ANCHORS.prepare(asked, params, rng), params, rng), answer)
        assert isinstance(found, Rule)
        assert columns(found) == ([0, 3] if word is None else [0])
        assert any(word in text for text in found.warnings) if word else not found.warnings


def test_targets_that_the_model_does_not_say_are_refused_or_named() -> None:
    """Only "no": refused with what it says. Both: the one it says, and a warning about the other."""
    one = categories()
    no = Subject(one.instance, replace(one.targets, choices=(Choice(label="no"),)))
    with pytest.raises(InvalidRequest, match="the model says 'yes'"):
        explain(no, planted)
    both = Subject(one.instance, replace(one.targets, choices=(Choice(top=2),)))
    found = explain(both, planted)
    assert found.chosen.labels == ("yes",)
    assert any("'no'" in text for text in found.warnings)


# Bad input and partial answers


def test_a_constant_model_has_the_empty_rule() -> None:
    """Precision 1, coverage 1, nothing to hold."""
    found = explain(categories(), lambda rows: np.ones(len(rows), int))
    assert found.predicates == ()
    assert (found.precision, found.coverage, found.threshold_met) == (1, 1, True)


def test_a_threshold_that_no_rule_reaches_is_said() -> None:
    """Labels by the parity of four columns' noise: not met, a warning with remedies, no NaN."""
    one = numbers(x=(0.9, 0.1, 0.5, 0.5))
    found = explain(one, lambda rows: (np.floor(rows.sum(axis=1) * 1e4).astype(int) + 1) % 2)
    if found.predicates:
        assert 0 < found.precision < 1
    assert not found.threshold_met
    assert found.complete
    assert found.certificate.startswith("not reached")
    assert any("no rule was certified" in text for text in found.warnings)


def test_max_predicates_ends_the_search() -> None:
    """One predicate is too few for the planted rule."""
    found = explain(categories(), planted, AnchorsParams(max_predicates=1))
    assert len(found.predicates) == 1
    assert not found.threshold_met


def test_stop_on_first_takes_the_first_level_that_has_a_rule() -> None:
    """Never more rows than the full search."""
    first, whole = Asked(), Asked()
    explain(categories(), planted, AnchorsParams(stop_on_first=True), asked=first)
    explain(categories(), planted, asked=whole)
    assert first.rows <= whole.rows


def test_a_spent_budget_gives_the_best_so_far() -> None:
    """One row is the instance's own: the error passes. From two on a rule, labelled."""
    with pytest.raises(BudgetSpent):
        explain(categories(), planted, budget=1)
    for budget in (2, 30, 200):
        asked = Asked()
        found = explain(categories(), planted, budget=budget, asked=asked)
        assert asked.rows <= budget
        assert not found.complete
        assert not found.threshold_met
        assert any("ended early" in text for text in found.warnings)


def test_a_category_unseen_in_the_background_has_no_rule_of_its_own() -> None:
    """No background row shares it, so no rule names it, and the search goes on without it."""
    unseen = PLANTED.copy()
    unseen[2] = 9
    found = explain(categories(x=PLANTED), planted)
    one = categories()
    other = Subject(Instance({"x": unseen}, one.instance.spec), one.targets)
    assert columns(explain(other, planted)) == columns(found)


def test_a_table_without_background_is_refused_with_a_remedy() -> None:
    """Unless a baseline says what hidden columns look like."""
    one = subject(PLANTED, ModelSpec(Modality.TABULAR, details=TabularSpec()))
    with pytest.raises(InvalidRequest, match=r"spec\.tabular\.background.*needs 2 or more"):
        explain(one, planted)
    found = explain(one, planted, AnchorsParams(baseline=Baseline(BaselineKind.CONSTANT)))
    assert columns(found) == [0, 3]


def test_a_model_of_one_value_makes_no_decision() -> None:
    """Refused before anything is asked, with alternatives."""
    one = categories()
    value = Subject(one.instance, Targets((), ("price",), ScoreKind.VALUE, Space.VALUE))
    with pytest.raises(MethodUnsupported, match="one number"):
        ANCHORS.prepare(value, AnchorsParams(), np.random.default_rng(0))


def test_stray_options_are_refused() -> None:
    """Borders for a text, no borders for a table, and numbers outside their ranges."""
    text = subject(np.array(["a b"], object), ModelSpec(Modality.TEXT, details=TextSpec()))
    with pytest.raises(InvalidRequest, match="discretizer"):
        explain(text, planted, AnchorsParams(discretizer=Discretizer.DECILE))
    with pytest.raises(InvalidRequest, match="QUARTILE or DECILE"):
        explain(categories(), planted, AnchorsParams(discretizer=Discretizer.CONTINUOUS))
    wrong = AnchorsParams(threshold=1.5, delta=0, tau=-1, beam_size=0, batch_size=0)
    assert [violation.field for violation in violations(wrong)] == [
        "threshold", "delta", "tau", "beam_size", "batch_size",
    ]
