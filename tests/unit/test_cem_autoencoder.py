"""CEM's autoencoder: contrasts lie nearer to what it reconstructs, and its rows are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.answering import Answer, Model, answering, instance_of
from tests.inside import NumpyInside, around_input
from tests.oracles import cem as oracle

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Contrast
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ScoreKind, TabularSpec, TextSpec
from whybox_server.core.target import Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods import reconstruction
from whybox_server.methods.cem import CEM, CemParams, Contrasts
from whybox_server.methods.estimates import GradientEstimate

AUTOENCODER = "models/usual"
AXIS = np.array([1.0, 1.0, 1.0, 0.0])  # what is usual: multiples of it
WEIGHTS = np.array([2.0, 0.5, 0.5, 1.0])
QUICK = CemParams(  # the range is 1 wide, so that amounts are values
    c_steps=4, max_iterations=100, beta=0.0, feature_range=(-0.5, 0.5)
)


def classes(instance: Instance) -> Subject:
    return Subject(instance, Targets((), ("no", "yes"), ScoreKind.LOGIT, Space.LOGIT))


def with_autoencoder(model: Model, usual: Callable[[Array], Array], instance: Instance) -> Answer:
    """Answers of the model, and of an autoencoder that flattens its one input."""
    own = answering(model, instance)
    other = answering(lambda inputs: usual(inputs["x0"].reshape(len(inputs["x0"]), -1)), instance)

    def answer(query: Query) -> Reply:
        assert query.model in ("", AUTOENCODER)
        return other(query) if query.model else own(query)

    return answer


def counted(answer: Answer, rows: dict[str, int]) -> Answer:
    """The same answers; rows by model are added up."""

    def counting(query: Query) -> Reply:
        rows[query.model] = rows.get(query.model, 0) + len(query.rows)
        return answer(query)

    return counting


def explain(subject: Subject, answer: Answer, params: CemParams, budget: int | None = None) -> Contrast:
    rng = np.random.default_rng(0)
    task = CEM.prepare(subject, params, rng)
    found = run(CEM.run(task, params, rng), answer, budget)
    assert isinstance(found, Contrast)
    return found


def border(offset: float, weights: Array = WEIGHTS) -> Model:
    """Yes where w.x > offset: logits (-s, s) / 2."""

    def model(inputs: Any) -> Array:
        s = inputs["x0"] @ weights - offset
        return np.stack([-s, s], axis=1) / 2

    return model


def projected(rows: Array) -> Array:
    """The nearest multiples of AXIS."""
    unit = AXIS / np.linalg.norm(AXIS)
    return rows @ np.outer(unit, unit)


def off_axis(values: Array) -> float:
    return float(np.linalg.norm(values - projected(values[None])[0]))


def told(params: CemParams, gamma: float) -> CemParams:
    """With the autoencoder at this weight; at 0 without."""
    return replace(params, gamma=gamma, autoencoder=AUTOENCODER if gamma else "")


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0])
def test_a_negative_is_drawn_to_what_the_autoencoder_reconstructs(gamma):
    """Within 5 % of the closed-form optimum of |d|^2 + gamma |x + d - P (x + d)|^2 on the border."""
    instance = instance_of(Modality.TENSOR, np.zeros(4))
    params = told(replace(QUICK, find=Contrasts.PERTINENT_NEGATIVE), gamma)
    found = explain(classes(instance), with_autoencoder(border(0.5), projected, instance), params)
    assert found.negative is not None
    values = found.negative.inputs["x0"]
    best = oracle.nearest_on_border_with_projection(WEIGHTS, 0.5, gamma, np.zeros(4), AXIS)
    assert WEIGHTS @ values > 0.5
    price = values @ values + gamma * off_axis(values) ** 2
    assert price < 1.05 * (best @ best + gamma * off_axis(best) ** 2)
    assert off_axis(values) == pytest.approx(off_axis(best), abs=0.015)  # .144, .093, .022


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0])
def test_a_positive_is_judged_as_the_model_sees_it_over_nothing(gamma):
    """Nothing is (-.4, ..., -.4), itself off the axis: x is that plus d, not d. Within 5 % again."""
    instance, nothing = instance_of(Modality.TENSOR, np.full(4, 0.4)), np.full(4, -0.4)
    params = replace(QUICK, find=Contrasts.PERTINENT_POSITIVE, no_info=np.array(-0.4), learning_rate=0.005)
    params = told(replace(params, feature_range=(-0.5, 0.5)), gamma)
    found = explain(classes(instance), with_autoencoder(border(0.2), projected, instance), params)
    assert found.positive is not None
    values = found.positive.inputs["x0"]
    gap = 0.2 - WEIGHTS @ nothing
    best = nothing + oracle.nearest_on_border_with_projection(WEIGHTS, gap, gamma, nothing, AXIS)
    assert np.all(np.abs(best) < 0.4), "the optimum lies inside of the box, where the closed form holds"
    prices = [np.sum((x - nothing) ** 2) + gamma * off_axis(x) ** 2 for x in (values, best)]
    assert 0.999 < prices[0] / prices[1] < 1.05


def test_the_autoencoders_rows_are_counted_and_the_cost_bounds_both():
    """Its rows are those of the model less the probe's; rows of all models stay under the stated cost."""
    instance = instance_of(Modality.TENSOR, np.full(4, 0.1))
    params = told(replace(QUICK, c_steps=2, max_iterations=50, no_info=np.array(0.0)), 1.0)
    rows: dict[str, int] = {}
    answer = counted(with_autoencoder(border(0.7), projected, instance), rows)
    explain(classes(instance), answer, params)
    task = CEM.prepare(classes(instance), params, np.random.default_rng(0))
    assert sum(rows.values()) <= CEM.cost(task, params).rows
    assert 100 < rows[AUTOENCODER] <= rows[""]
    plain = CEM.cost(task, told(params, 0.0)).rows
    assert plain < CEM.cost(task, params).rows < 2 * plain


def test_both_sides_ask_the_autoencoder_at_once():
    """Queries to it are as many as to the model, not twice as many."""
    instance = instance_of(Modality.TENSOR, np.full(4, 0.1))
    params = told(replace(QUICK, c_steps=1, max_iterations=20, no_info=np.array(0.0)), 1.0)
    asked: list[str] = []
    own = with_autoencoder(border(0.1), projected, instance)

    def noting(query: Query) -> Reply:
        asked.append(query.model)
        return own(query)

    explain(classes(instance), noting, params)
    assert asked[:2] == ["", AUTOENCODER]
    probe, iterations = asked[2], asked[3:43]
    assert probe == ""
    assert iterations == ["", AUTOENCODER] * 20


def test_with_an_autoencoder_slopes_are_felt_even_where_the_model_has_gradients():
    """Its error is no output of a graph, so that margin and error are both estimated along the same steps."""
    instance = instance_of(Modality.TENSOR, np.zeros(4))
    params = told(replace(QUICK, find=Contrasts.PERTINENT_NEGATIVE, c_steps=1), 1.0)
    inside = NumpyInside((around_input(instance, border(0.5)),))
    own, wants = with_autoencoder(border(0.5), projected, instance), set()

    def noting(query: Query) -> Reply:
        wants.add(query.want)
        return own(query)

    rng = np.random.default_rng(0)
    task = CEM.prepare(replace(classes(instance), inside=inside), params, rng)
    run(CEM.run(task, params, rng), noting)
    assert wants == {Want.SCORES}


LAMPS = instance_of(Modality.TENSOR, np.zeros(3))
SWITCHED = CemParams(find=Contrasts.PERTINENT_NEGATIVE)


def lamps() -> Answer:
    """Lamp 0 or 1 switches the answer; the autoencoder knows no lamp 0."""

    def model(inputs: Any) -> Array:
        lit = inputs["x0"][:, :2].max(axis=1) > 0
        return np.where(lit[:, None], [0.0, 1.0], [1.0, 0.0])

    return with_autoencoder(model, lambda rows: rows * [0.0, 1.0, 1.0], LAMPS)


def test_of_sets_of_one_size_the_reconstructed_one_is_taken():
    """Lamp 0 comes first, and lamp 1 is usual."""
    found = [explain(classes(LAMPS), lamps(), told(SWITCHED, gamma)).negative for gamma in (0.0, 1.0)]
    assert [negative and negative.segments for negative in found] == [(0,), (1,)]


def test_what_was_found_is_not_lost_when_the_autoencoder_cannot_be_asked_any_more():
    """One row too few for the question which of two single lamps is usual: one of them, labelled partial."""
    keys: set[bytes] = set()
    answer = lamps()

    def noting(query: Query) -> Reply:
        keys.update(query.model.encode() + key for key in query.rows.keys())
        return answer(query)

    explain(classes(LAMPS), noting, told(SWITCHED, 1.0))
    found = explain(classes(LAMPS), answer, told(SWITCHED, 1.0), budget=len(keys) - 1)
    assert not found.complete
    assert found.negative is not None
    assert len(found.negative.segments) == 1


def table(columns: int) -> Instance:
    """A row of zeros whose background has mean 0 and deviation 1."""
    background = np.random.default_rng(3).normal(size=(200, columns))
    background = (background - background.mean(axis=0)) / background.std(axis=0)
    return instance_of(Modality.TABULAR, np.zeros(columns), details=TabularSpec(background=background * 3))


def stump(inputs: Any) -> Array:
    """Yes where x0 > 3, as a tree says it; 3 is one deviation."""
    return np.where(inputs["x0"][:, :1] > 3, [0.1, 0.9], [0.8, 0.2])


def test_a_move_is_not_shortened_into_what_is_unusual():
    """Usual are multiples of two deviations: 2 is farther than the shortest, 1.125, and is taken."""
    instance = table(6)
    params = replace(
        CemParams(find=Contrasts.PERTINENT_NEGATIVE),
        gradient=GradientEstimate.SEARCH,
        feature_range=(-15, 15),
    )
    answer = with_autoencoder(stump, lambda rows: 6 * np.rint(rows / 6), instance)
    moved = []
    for gamma in (0.0, 10.0):
        found = explain(classes(instance), answer, told(params, gamma)).negative
        assert found is not None
        assert found.segments == (0,)
        moved.append(found.inputs["x0"][0] / 3)
    assert moved == pytest.approx([1.125, 2.0])


@pytest.mark.parametrize("gradient", [GradientEstimate.RANDOM_DIRECTIONS, GradientEstimate.SEARCH])
def test_a_budget_may_end_at_any_question_to_either_model(gradient):
    """Of both together; what is found is an answer, and labelled partial, or there is a reason."""
    instance = table(4)
    params = told(replace(QUICK, beta=0.1, feature_range=(), c_steps=2, gradient=gradient), 0.1)
    params = replace(params, find=Contrasts.PERTINENT_NEGATIVE)
    rows: dict[str, int] = {}
    answer = with_autoencoder(border(2.0), projected, instance)
    explain(classes(instance), counted(answer, rows), params)
    needed = sum(rows.values())
    for budget in (1, 2, 3, *range(4, 76, 3), 200, needed // 2, needed - 1):
        try:
            found = explain(classes(instance), answer, params, budget)
        except BudgetSpent:
            assert budget < 4
            continue
        if found.complete:
            continue
        assert any("budget" in warning for warning in found.warnings)
        assert (found.negative is None) == bool(found.negative_reason)
        if found.negative is not None:
            assert found.negative.scores.argmax() == 1


def test_long_rows_are_reconstructed_some_at_a_time(monkeypatch):
    """Two rows per question instead of all: the same negative, bit for bit."""
    instance = table(4)
    params = replace(QUICK, find=Contrasts.PERTINENT_NEGATIVE, feature_range=(), c_steps=1)
    params = told(replace(params, max_iterations=50), 1.0)
    answer, sizes = with_autoencoder(border(2.0), projected, instance), []

    def noting(query: Query) -> Reply:
        sizes.append(len(query.rows) if query.model else 0)
        return answer(query)

    whole = explain(classes(instance), answer, params)
    monkeypatch.setattr(reconstruction, "CELLS", 8)
    again = explain(classes(instance), noting, params)
    assert max(sizes) == 2
    assert whole.negative is not None
    assert again.negative is not None
    assert again.negative.inputs["x0"].tobytes() == whole.negative.inputs["x0"].tobytes()


def test_a_model_that_answers_other_numbers_is_no_autoencoder():
    """Refused after the first four rows, by the parameter's name."""
    instance, rows = table(4), dict[str, int]()
    answer = counted(with_autoencoder(border(2.0), lambda some: some[:, :3], instance), rows)
    with pytest.raises(InvalidRequest, match=r"^cem.autoencoder: 'models/usual' answers 3 .* has 4"):
        explain(classes(instance), answer, told(QUICK, 1.0))
    assert sum(rows.values()) == 4


def test_words_are_not_reconstructed():
    """A text holds no numbers."""
    instance = instance_of(Modality.TEXT, np.array(["a fine film"], object), details=TextSpec())
    with pytest.raises(InvalidRequest, match=r"^cem.autoencoder: reconstructs numbers"):
        CEM.prepare(classes(instance), told(CemParams(), 1.0), np.random.default_rng(0))


def test_the_autoencoder_is_the_only_further_model():
    """By the parameter that names it; none without."""
    assert CEM.others(told(QUICK, 1.0)) == {"autoencoder": AUTOENCODER}
    assert CEM.others(QUICK) == {}
