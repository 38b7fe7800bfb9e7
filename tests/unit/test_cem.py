"""CEM against what is known: seven segments by enumeration, straight borders in closed form, bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.inside import NumpyInside, around_input
from tests.models import seven_segments
from tests.oracles import cem as oracle

from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Contrast
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.core.rows_moved import Movable, Moved
from whybox_server.core.spec import ImageSpec, Modality, ScoreKind, TabularSpec, TextSpec
from whybox_server.core.target import Choice, Link, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.cem import CEM, CemParams, Contrasts
from whybox_server.methods.contrast_search import shorten
from whybox_server.methods.estimates import Estimate, GradientEstimate, nudges, slope
from whybox_server.methods.fista import Found, Objective, shrunk
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind

DIGITS = range(10)
FEWEST_ADDED = (1, 1, 2, 1, 2, 1, 1, 2, None, 1)  # published beside the model's definition
QUICK = CemParams(c_steps=5, max_iterations=100)
NEGATIVE = replace(QUICK, find=Contrasts.PERTINENT_NEGATIVE)
POSITIVE = replace(QUICK, find=Contrasts.PERTINENT_POSITIVE)
BETA = 0.1


def classes(
    instance: Instance,
    outputs: int = 2,
    *choices: Choice,
    kind: ScoreKind = ScoreKind.LOGIT,
    space: Space = Space.LOGIT,
    link: Link = Link.SOFTMAX,
) -> Subject:
    labels = tuple(f"class {i}" for i in range(outputs))
    return Subject(instance, Targets(choices, labels, kind, space, link))


def explain(
    subject: Subject, model: Model, params: CemParams | None = None, budget: int | None = None, seed: int = 0
) -> Contrast:
    params, rng = params or QUICK, np.random.default_rng(seed)
    task = CEM.prepare(subject, params, rng)
    found = run(CEM.run(task, params, rng), answering(model, subject.instance), budget)
    assert isinstance(found, Contrast)
    return found


def border(weights: Array, offset: float = 0.0) -> Model:
    """Two classes, parted by w.x + offset = 0: logits (-s, s) / 2."""

    def model(inputs: Any) -> Array:
        s = inputs["x0"].reshape(len(inputs["x0"]), -1) @ weights + offset
        return np.stack([-s, s], axis=1) / 2

    return model


def trees(inputs: Any) -> Array:
    """Class 1 where x0 > 1 and x1 > 0.5, as a tree says it."""
    inside = (inputs["x0"][:, 0] > 1) & (inputs["x0"][:, 1] > 0.5)
    return np.where(inside[:, None], [0.1, 0.9], [0.8, 0.2])


def digit(number: int) -> Instance:
    return instance_of(Modality.TENSOR, seven_segments.TEMPLATES[number])


def lamps(inputs: Any) -> Array:
    return seven_segments.logits(inputs["x0"])


def scores_of_lamps(state: Any) -> list[float]:
    return seven_segments.logits(np.array(state, float)).tolist()


def around(values: Array, rows: int = 200, seed: int = 3) -> Instance:
    """A row of a table whose background has mean 0 and deviation 1, and reaches from -6 to 6."""
    background = np.random.default_rng(seed).normal(size=(rows, len(values)))
    background = (background - background.mean(axis=0)) / background.std(axis=0)
    background = np.concatenate([background, [[6.0] * len(values), [-6.0] * len(values)]])
    return instance_of(
        Modality.TABULAR, values, details=TabularSpec(background=background / background.std(axis=0))
    )


@pytest.mark.parametrize("number", DIGITS)
def test_a_digit_needs_the_fewest_lamps_to_become_another(number):
    """All 128 states: the size of the smallest addition, and none for 8, which has no lamp left."""
    state = seven_segments.TEMPLATES[number].astype(int).tolist()
    fewest = oracle.fewest_added(state, scores_of_lamps)
    assert fewest == FEWEST_ADDED[number]
    found = explain(classes(digit(number), 10), lamps)
    if fewest is None:
        assert found.negative is None
        assert "nothing can be added" in found.negative_reason
        return
    assert found.negative is not None
    lit = found.negative.inputs["x0"]
    assert np.count_nonzero(lit != state) == len(found.negative.segments) == fewest
    assert np.all(lit >= state)
    assert oracle.answer(scores_of_lamps(lit)) not in (number, None)


@pytest.mark.parametrize("number", DIGITS)
def test_the_fewest_lamps_that_are_enough_for_a_digit(number):
    """All 128 states; of the dark display the model says 1, so that 1 needs none at all, and is told so."""
    state = seven_segments.TEMPLATES[number].astype(int).tolist()
    found = explain(classes(digit(number), 10), lamps)
    assert found.positive is not None
    lit = found.positive.inputs["x0"]
    assert lit.sum() == len(found.positive.segments) == oracle.fewest_kept(state, scores_of_lamps)
    assert np.all(lit <= state)
    assert oracle.answer(scores_of_lamps(lit)) == number
    assert found.positive.l1 == lit.sum()
    assert any("already" in warning for warning in found.warnings) == (number == 1)


def test_the_digits_are_found_from_labels_alone():
    """One-hot answers: the same sizes, because few states are all tried."""

    def labels(inputs: Any) -> Array:
        return np.eye(10)[lamps(inputs).argmax(axis=1)]

    for number in (0, 2, 7, 9):
        found = explain(classes(digit(number), 10, kind=ScoreKind.PROBABILITY), labels)
        assert found.negative is not None
        assert len(found.negative.segments) <= FEWEST_ADDED[number]  # a tie is a label, too


@pytest.mark.parametrize(("directions", "excess"), [(5, 1.05), (3, 1.25)])
def test_a_negative_over_a_straight_border_is_nearly_the_nearest(directions, excess):
    """Within 5 % of the closed-form optimum of the elastic net; nothing is forbidden, for x is "nothing".

    With fewer directions than segments the noise of the slope leaves a longer way.
    """
    weights = np.array([2.0, -1.0, 0.5, 0.1, 0.0])
    instance = instance_of(Modality.TENSOR, np.zeros(5))
    params = CemParams(find=Contrasts.PERTINENT_NEGATIVE, directions=directions, feature_range=(-9.0, 9.0))
    found = explain(classes(instance), border(weights, -3.0), params)
    assert found.negative is not None
    moved = found.negative.inputs["x0"] / 18  # the range is the scale
    assert moved @ (18 * weights) > 3.0
    best = oracle.nearest_on_border(18 * weights, 3.0, BETA)
    assert oracle.elastic_net(moved, BETA) < excess * oracle.elastic_net(best, BETA)
    warned = any("random directions" in warning for warning in found.warnings)
    assert warned == (directions < len(weights))


def test_both_terms_of_the_elastic_net_count():
    """A gap of 2 deviations: L1 alone would move one column only, L2 shares it among both."""
    weights, instance = np.array([1.0, 0.9]), around(np.zeros(2))
    found = explain(classes(instance), border(weights, -2.0), CemParams(find=Contrasts.PERTINENT_NEGATIVE))
    assert found.negative is not None
    best = oracle.nearest_on_border(weights, 2.0, BETA)
    assert np.allclose(found.negative.inputs["x0"], best, atol=0.15)
    assert found.negative.l1 == pytest.approx(np.abs(found.negative.inputs["x0"]).sum(), rel=1e-6)


def test_a_move_that_went_too_far_is_taken_back():
    """A weight of 10^4 throws both columns one deviation away; without L1 it is L2 that brings them back."""
    params = replace(NEGATIVE, beta=0.0, c_init=1e4, c_steps=1, max_iterations=200)
    found = explain(classes(around(np.zeros(2))), border(np.array([1.0, 0.05]), -0.5), params)
    assert found.negative is not None
    assert np.all(np.abs(found.negative.inputs["x0"]) < 0.6)


def test_a_column_outside_of_the_background_stays_where_it_is():
    """The range is that of the background and the instance: -9 is not pulled to -6."""
    found = explain(classes(around(np.array([-9.0, 0.0]))), border(np.array([0.0, 1.0]), -1.0), NEGATIVE)
    assert found.negative is not None
    assert found.negative.inputs["x0"][0] == -9.0
    assert found.negative.segments == (1,)


def test_a_positive_under_a_straight_border_is_nearly_the_least():
    """Within 5 % of the closed-form optimum inside of the box between nothing and the instance."""
    weights = np.array([2.0, -1.0, 1.5, 0.1])
    found = explain(classes(around(np.array([2.0, -2.0, 2.0, 2.0]))), border(weights, -2.0), POSITIVE)
    assert found.positive is not None
    scale = around(np.zeros(4)).spec.details.background.std(axis=0)  # type: ignore[union-attr]
    kept = found.positive.inputs["x0"] / scale
    best = oracle.nearest_on_border(weights * scale, 2.0, BETA)
    assert 1 - 1e-9 < oracle.elastic_net(kept, BETA) / oracle.elastic_net(best, BETA) < 1.05
    assert np.all(np.abs(found.positive.inputs["x0"]) <= 2.0 + 1e-9)


def test_a_negative_never_comes_nearer_to_nothing_and_may_pass_beyond_it():
    """Iris as alibi shows it: petals of .7 become smaller only by crossing the mean, 0, to beyond -.7."""
    x = np.array([0.5533, -1.2830, 0.7059, 0.9223])
    found = explain(classes(around(x)), border(np.array([0.2, 0.2, 3.0, 3.0]), -1.0), NEGATIVE)
    assert found.negative is not None
    values = found.negative.inputs["x0"]
    assert np.all(np.abs(values) >= np.abs(x) - 1e-9)
    assert np.any(np.sign(values) != np.sign(x))
    assert found.negative.scores.argmax() == 0


@pytest.mark.parametrize("kappa", [0.5, 2.0])
def test_the_margin_is_at_least_kappa_at_both_contrasts(kappa):
    """In logits, the target's space."""
    params = replace(QUICK, kappa=kappa)
    found = explain(classes(around(np.full(4, 2.0))), border(np.array([1.0, 1, -0.5, 1]), 0.0), params)
    assert found.positive is not None
    assert found.negative is not None
    assert found.positive.scores[1] - found.positive.scores[0] >= kappa
    assert found.negative.scores[0] - found.negative.scores[1] >= kappa


def test_the_weight_of_the_loss_grows_until_something_is_found():
    """A weight too small by a factor of 10^5 finds nothing in one step and something in seven."""
    subject = classes(instance_of(Modality.TENSOR, np.zeros(3)))
    model = border(np.ones(3), -1.0)
    params = replace(NEGATIVE, c_init=1e-4, feature_range=(-2.0, 2.0), c_steps=1)
    task = CEM.prepare(subject, params, np.random.default_rng(0))
    descended = [explain(subject, model, replace(params, c_steps=n)) for n in (1, 8)]
    assert ["gradients led to no" in " ".join(found.warnings) for found in descended] == [True, False]
    assert not task.discrete


def test_the_models_own_gradients_lead_to_the_nearest_negative():
    """Asked as GRADIENT queries; within 5 % of the closed form."""
    weights = np.array([2.0, -1.0, 0.5])
    instance = instance_of(Modality.TENSOR, np.zeros(3))
    params = replace(NEGATIVE, feature_range=(-0.5, 0.5))
    model = border(weights, -0.5)
    inside = NumpyInside((around_input(instance, model),))
    answer, kinds = answering(model, instance, inside), set()

    def noting(query: Query) -> Reply:
        kinds.add(query.want)
        return answer(query)

    rng = np.random.default_rng(0)
    task = CEM.prepare(replace(classes(instance), inside=inside), params, rng)
    found: Any = run(CEM.run(task, params, rng), noting)
    best = oracle.nearest_on_border(weights, 0.5, BETA)
    assert oracle.elastic_net(found.negative.inputs["x0"], BETA) < 1.05 * oracle.elastic_net(best, BETA)
    assert kinds == {Want.SCORES, Want.GRADIENT}


def with_slopes(instance: Instance, model: Model, **params: Any) -> Contrast:
    """The finding where the model gives its gradient; no more rows are asked than were said."""
    inside, rng, rows = NumpyInside((around_input(instance, model),)), np.random.default_rng(0), 0
    answer = answering(model, instance, inside)

    def counting(query: Query) -> Reply:
        nonlocal rows
        rows += len(query.rows)
        return answer(query)

    settings = CemParams(**params)
    outputs = model({"x0": instance.inputs["x0"][None]}).shape[1]
    task = CEM.prepare(replace(classes(instance, outputs), inside=inside), settings, rng)
    found = run(CEM.run(task, settings, rng), counting)
    assert isinstance(found, Contrast)
    assert rows <= CEM.cost(task, settings).rows
    return found


def test_exact_slopes_lead_to_the_nearest_other_answer_and_not_to_the_strongest():
    """Classes 1 and 3 are 1 behind and gain 0.2 per step, class 2 is 2 behind and gains 2: 5 steps against 1."""
    instance = instance_of(Modality.TENSOR, np.zeros(2))

    def model(inputs: Any) -> Array:
        x = inputs["x0"]
        weak = 1 + 0.2 * x[:, 0]
        return np.stack([np.full(len(x), 2.0), weak, 2 * x[:, 1], weak], axis=1)

    found = with_slopes(instance, model, find=Contrasts.PERTINENT_NEGATIVE, feature_range=(-9.0, 9.0))
    assert found.negative is not None
    assert np.argmax(found.negative.scores) == 2
    assert found.negative.inputs["x0"] == pytest.approx([0, 1], abs=0.05)
    assert found.segmentation.endswith("slopes are the model's own gradients")


def test_an_answer_that_only_looks_nearest_is_not_the_only_one_that_is_tried():
    """Class 1 seems 0.93 steps away and is 1.68, for its tanh flattens; class 2 is 1 step away."""
    instance = instance_of(Modality.TENSOR, np.zeros(2))

    def model(inputs: Any) -> Array:
        x = inputs["x0"]
        return np.stack([np.full(len(x), 2.0), 0.6 + 1.5 * np.tanh(x[:, 0]), 2 * x[:, 1]], axis=1)

    found = with_slopes(instance, model, find=Contrasts.PERTINENT_NEGATIVE, feature_range=(-9.0, 9.0))
    assert found.negative is not None
    assert found.negative.inputs["x0"] == pytest.approx([0, 1], abs=0.05)


def test_a_positive_is_found_where_nothing_has_a_slope():
    """Lead 4 relu(x0 + x1 - 1) - 1/2, flat around nothing: from the whole instance it shrinks to 0.5625 each."""
    instance = instance_of(Modality.TENSOR, np.ones(3))

    def model(inputs: Any) -> Array:
        x = inputs["x0"]
        return np.stack([4 * np.maximum(x[:, 0] + x[:, 1] - 1, 0), np.full(len(x), 0.5)], axis=1)

    asked = {"find": Contrasts.PERTINENT_POSITIVE, "no_info": np.zeros(3), "feature_range": (0.0, 2.0)}
    found = with_slopes(instance, model, **asked)
    assert found.positive is not None
    assert found.positive.inputs["x0"] == pytest.approx([0.5625, 0.5625, 0], abs=0.02)
    felt = explain(classes(instance), model, CemParams(**asked))
    assert felt.positive is None or felt.positive.l2 > found.positive.l2
    assert "slopes are estimated" in felt.segmentation


def test_a_model_without_a_gradient_is_felt_and_the_reason_is_said():
    """Its graph does not lead to the input; the finding is that of a black box."""
    instance = instance_of(Modality.TENSOR, np.zeros(3))
    model = border(np.array([2.0, -1.0, 0.5]), -0.5)
    place = around_input(instance, model)
    blind = NumpyInside((replace(place, site=replace(place.site, name="other")),))
    params = replace(NEGATIVE, feature_range=(-0.5, 0.5))
    found = explain(replace(classes(instance), inside=blind), model, params)
    plain = explain(classes(instance), model, params)
    assert any("slopes were estimated, for the model has no gradient: " in text for text in found.warnings)
    assert found.negative is not None
    assert plain.negative is not None
    assert np.array_equal(found.negative.inputs["x0"], plain.negative.inputs["x0"])


def test_trees_are_searched_without_gradients_and_it_is_said():
    """Steps of any small size change nothing; the negative passes both thresholds and hardly more."""
    found = explain(classes(around(np.array([0.2, 0.1, 0.3])), kind=ScoreKind.PROBABILITY), trees)
    assert any("small steps change none" in warning for warning in found.warnings)
    assert found.negative is not None
    values = found.negative.inputs["x0"]
    assert set(found.negative.segments) == {0, 1}
    assert 1 < values[0] < 1.6
    assert 0.5 < values[1] < 1.1
    assert found.positive is None
    assert "says the same" in found.positive_reason


def test_categories_take_other_values():
    """Blue alone is another answer; the categories of the first column are listed, the others seen."""
    rows = np.array([["red", "old"], ["red", "new"], ["blue", "old"], ["green", "old"]], object)
    details = TabularSpec(background=rows, categories={0: ("red", "blue", "green")})
    instance = instance_of(Modality.TABULAR, np.array(["red", "old"], object), details=details)

    def model(inputs: Any) -> Array:
        return np.array([[0.0, 1.0] if row[0] == "blue" else [1.0, 0.0] for row in inputs["x0"]])

    found = explain(classes(instance), model, NEGATIVE)
    assert found.negative is not None
    assert found.negative.inputs["x0"].tolist() == ["blue", "old"]
    assert found.negative.segments == (0,)


def test_a_category_never_becomes_the_one_for_nothing():
    """Red is the most frequent and would be another answer, but it takes something away."""
    rows = np.array([["red"], ["red"], ["blue"], ["green"]], object)
    instance = instance_of(Modality.TABULAR, np.array(["blue"], object), details=TabularSpec(background=rows))

    def model(inputs: Any) -> Array:
        return np.array([[0.0, 1.0] if row[0] == "red" else [1.0, 0.0] for row in inputs["x0"]])

    found = explain(classes(instance), model, NEGATIVE)
    assert found.negative is None
    assert "none exists" in found.negative_reason


def test_the_words_of_a_text_that_are_enough():
    """Of "a fine film but dull", "fine" alone says good; what a text lacks cannot be added."""
    weights = {"fine": 2.0, "dull": -1.5, "film": 0.1}

    def model(inputs: Any) -> Array:
        s = np.array([sum(weights.get(word, 0) for word in row[0].split()) - 0.05 for row in inputs["x0"]])
        return np.stack([-s, s], axis=1)

    instance = instance_of(Modality.TEXT, np.array(["a fine film but dull"], object), details=TextSpec())
    found = explain(classes(instance), model)
    assert found.positive is not None
    assert found.units.names[found.positive.segments[0]] in ("fine", "film")
    assert len(found.positive.segments) == found.positive.l1 == 1
    assert "".join(found.positive.pieces) == found.positive.inputs["x0"][0]
    assert found.negative is None
    assert "erasure" in found.negative_reason
    with pytest.raises(MethodUnsupported, match="erasure"):
        explain(classes(instance), model, NEGATIVE)


def test_a_long_text_is_searched_by_a_beam():
    """Three of 40 words are needed together; greedy steps see each of them raise the margin."""
    words = [f"w{i}" for i in range(40)]
    needed = {"w7", "w21", "w33"}

    def model(inputs: Any) -> Array:
        s = np.array([len(needed & set(row[0].split())) - 2.5 for row in inputs["x0"]])
        return np.stack([-s, s], axis=1)

    instance = instance_of(Modality.TEXT, np.array([" ".join(words)], object), details=TextSpec())
    found = explain(classes(instance), model)
    assert found.positive is not None
    assert found.positive.segments == (7, 21, 33)


def test_a_beam_finds_a_pair_that_no_prefix_of_the_best_single_words_holds():
    """Words 1 and 2 do it together, unless one of three decoys is there, which alone look better."""
    words = [f"w{i}" for i in range(40)]

    def model(inputs: Any) -> Array:
        rows = [set(row[0].split()) for row in inputs["x0"]]
        decoys = np.array([bool(row & {"w20", "w21", "w22"}) and len(row) < 40 for row in rows])
        pairs = np.array([{"w1", "w2"} <= row for row in rows])
        s = 3.0 * (pairs & ~decoys) + 0.3 * decoys - 2.0
        return np.stack([-s, s], axis=1)

    instance = instance_of(Modality.TEXT, np.array([" ".join(words)], object), details=TextSpec())
    found = explain(classes(instance), model)
    assert found.positive is not None
    assert found.positive.segments == (1, 2)


def test_what_is_not_needed_is_pruned():
    """Of 150 words 33 are needed: prefixes of the best ones have 30 and 35."""
    words, needed = [f"w{i}" for i in range(150)], {f"w{i}" for i in range(3, 135, 4)}

    def model(inputs: Any) -> Array:
        s = np.array([len(needed & set(row[0].split())) - 32.5 for row in inputs["x0"]])
        return np.stack([-s, s], axis=1)

    instance = instance_of(Modality.TEXT, np.array([" ".join(words)], object), details=TextSpec())
    found = explain(classes(instance), model)
    assert found.positive is not None
    assert {words[i] for i in found.positive.segments} == needed


def test_every_move_is_shortened_after_the_others():
    """Two columns moved by 4 deviations where just over 1 is enough: an eighth of 4 is too little."""
    task = CEM.prepare(classes(around(np.zeros(2))), NEGATIVE, np.random.default_rng(0))
    (side,) = task.sides
    far = int(side.moves.options[np.flatnonzero(side.moves.amounts == 4.0)[0]])
    state = np.array([far, far])
    aim = Objective(lambda scores: scores[:, 0], 0.0, BETA)
    known = Found(side.moves.rows(state[None]), np.ones(1), 99.0, state=state)

    def model(inputs: Any) -> Array:
        return (inputs["x0"].min(axis=1) - 1.01)[:, None]

    found: Any = run(shorten(side, aim, known), answering(model, task.subject.instance))  # type: ignore[arg-type]
    assert np.allclose(side.measure(found.rows), 1.5, rtol=1e-6)
    assert found.net == pytest.approx(2 * (BETA * 1.5 + 1.5**2))


def test_one_sigmoid_output_is_decided_by_half():
    """s > 0 is yes and s < 0 is no; the margin is s itself in logits."""

    def model(inputs: Any) -> Array:
        return (inputs["x0"] @ np.array([1.0, 1.0]) + 1.0)[:, None]

    for values, sign in ((np.array([1.0, 1.0]), 1), (np.array([-2.0, -2.0]), -1)):
        found = explain(classes(around(values), 1, link=Link.SIGMOID), model, replace(NEGATIVE, kappa=0.5))
        assert found.negative is not None
        assert sign * found.negative.scores[0] <= -0.5


def test_nothing_there_is_what_the_caller_says_and_not_zero():
    """With no_info 0.5 the least that is enough starts from 0.5: one element leaves it."""
    instance = instance_of(Modality.TENSOR, np.array([1.0, 1.0, 0.5]))
    params = replace(POSITIVE, no_info=np.array(0.5), feature_range=(0.0, 1.0))
    found = explain(classes(instance), border(np.array([4.0, 0.5, 0.0]), -3.0), params)
    assert found.positive is not None
    values = found.positive.inputs["x0"]
    assert values[2] == 0.5
    assert np.all((values >= 0.5) & (values <= 1.0))
    assert 0.68 < values[0] < 0.75


def test_a_picture_is_moved_by_segments():
    """The bright quarter decides: it is kept alone, and a dark one made bright is the negative."""
    picture = np.zeros((1, 8, 8), np.float32)
    picture[0, :4, :4] = 1.0

    def model(inputs: Any) -> Array:
        x = inputs["x0"]
        return np.stack([x[:, 0, :4, :4].mean(axis=(1, 2)), 1.5 * x[:, 0, 4:, 4:].mean(axis=(1, 2))], axis=1)

    quarters = np.repeat(np.repeat(np.arange(4).reshape(2, 2), 4, 0), 4, 1)
    params = CemParams(
        segmentation=Segmentation(SegmentationKind.GIVEN, given=quarters),
        baseline=Baseline(BaselineKind.CONSTANT),
        gradient=GradientEstimate.FINITE_DIFFERENCES,
        max_iterations=60,
    )
    subject = classes(instance_of(Modality.IMAGE, picture, details=ImageSpec("CHW")), kind=ScoreKind.LOGIT)
    found = explain(subject, model, params)
    assert found.positive is not None
    assert found.positive.segments == (0,)
    assert found.negative is not None
    assert found.negative.segments == (3,)
    assert found.negative.inputs["x0"].dtype == np.float32
    assert found.negative.inputs["x0"].max() <= 1.0


def test_a_constant_model_has_no_contrast_and_says_why():
    """Both are None with a reason; nothing is filled with zeros."""
    found = explain(classes(around(np.ones(3))), lambda inputs: np.tile([2.0, 1.0], (len(inputs["x0"]), 1)))
    assert found.positive is None
    assert "says the same" in found.positive_reason
    assert found.negative is None
    assert "none found" in found.negative_reason
    assert found.complete


def test_a_budget_that_ends_leaves_the_best_so_far_or_the_reason():
    """Never more rows than allowed; the same contrast or a worse one; one row is not enough for anything."""
    subject, model = classes(around(np.full(4, 2.0))), border(np.array([1.0, 1, -0.5, 1]))
    whole = explain(subject, model, NEGATIVE)
    assert whole.negative is not None
    early = explain(subject, model, NEGATIVE, budget=40)
    assert not early.complete
    assert early.negative is None
    assert "budget" in early.negative_reason
    late = explain(subject, model, NEGATIVE, budget=1500)
    assert not late.complete
    assert late.negative is not None
    assert late.negative.scores.argmax() == 0
    assert late.negative.l2 >= whole.negative.l2 - 1e-9
    with pytest.raises(BudgetSpent):
        explain(subject, model, budget=1)
    one_lamp = explain(classes(digit(1), 10), lamps, NEGATIVE, budget=3)  # the digit, darkness, lamp a
    assert one_lamp.negative is not None
    assert one_lamp.negative.segments == (0,)
    assert not one_lamp.complete


def test_the_rows_of_a_negative_of_thirty_features_are_bounded_beforehand():
    """Less than a tenth of what finite differences as alibi makes them take: 10 x 1000 x (4 x 30 + 3)."""
    params = CemParams(find=Contrasts.PERTINENT_NEGATIVE)
    task = CEM.prepare(classes(around(np.ones(30))), params, np.random.default_rng(0))
    assert CEM.cost(task, params).rows <= 123_000
    assert not CEM.cost(task, params).exact


BAD = [
    (CemParams(autoencoder="models/ae"), "gamma"),
    (CemParams(gamma=1.0), "gamma"),
    (CemParams(no_info=np.array(0.0), baseline=Baseline(BaselineKind.MEAN)), "no_info"),
    (CemParams(baseline=Baseline(BaselineKind.BACKGROUND)), "baseline.kind"),
    (CemParams(feature_range=(1.0,)), "feature_range"),
    (CemParams(feature_range=(1.0, 0.0)), "feature_range"),
    (CemParams(feature_range=(-1.0, 0.5)), "feature_range"),
]


@pytest.mark.parametrize(("params", "field"), BAD)
def test_parameters_that_cannot_be_honoured_are_named(params, field):
    """InvalidRequest, with the field first."""
    with pytest.raises(InvalidRequest, match=f"^{field}"):
        explain(classes(around(np.ones(3))), border(np.ones(3)), params)


def test_a_margin_that_no_scores_have_is_refused():
    """Probabilities differ by less than 1."""
    subject = classes(around(np.ones(3)), kind=ScoreKind.PROBABILITY, space=Space.PROBABILITY)
    with pytest.raises(InvalidRequest, match=r"^kappa.*below 1 "):
        explain(subject, trees, CemParams(kappa=1.0))


def test_a_margin_beyond_the_instance_has_no_positive_and_says_so():
    """The instance is ahead by 3 and kappa is 5."""
    found = explain(classes(around(np.ones(3))), border(np.ones(3)), replace(POSITIVE, kappa=5.0, c_steps=2))
    assert found.positive is None
    assert "ahead by 3 only" in found.positive_reason
    assert found.negative_reason == "not asked for"


def test_a_single_value_is_no_decision():
    """A regression has no classes to contrast."""
    subject = subject_of(instance_of(Modality.TENSOR, np.ones(3)))
    with pytest.raises(MethodUnsupported, match="one plain value"):
        CEM.prepare(subject, CemParams(), np.random.default_rng(0))


def test_only_the_models_own_answer_is_contrasted():
    """Other targets beside it are named in a warning; without it they are refused."""
    instance, model = digit(0), lamps
    found = explain(classes(instance, 10, Choice(index=3), Choice(index=0)), model)
    assert found.chosen.indices == (0,)
    assert any("left out: class 3" in warning for warning in found.warnings)
    with pytest.raises(InvalidRequest, match="answer is 'class 0'"):
        explain(classes(instance, 10, Choice(index=3)), model)


def test_an_unknown_range_is_said():
    """A tensor has none of its own, unless it is all zeros and ones."""
    found = explain(classes(instance_of(Modality.TENSOR, np.full(3, 0.7))), border(np.ones(3)))
    assert any("no range of values is known" in warning for warning in found.warnings)
    assert any("[0, 1]" in warning for warning in explain(classes(digit(3), 10), lamps).warnings)


def test_soft_thresholds():
    """By hand: beyond the threshold by so much less, within it 0."""
    assert shrunk(np.array([3.0, 0.5, -0.5, -2.0, 1.0]), 1.0).tolist() == [2.0, 0.0, 0.0, -1.0, 0.0]


def test_a_slope_is_unbiased_and_exact_with_as_many_directions_as_segments():
    """A linear function: each draw is a projection, their mean the gradient; 1000 draws leave hundredths."""
    gradient = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 1.0])
    rng = np.random.default_rng(0)
    every = Estimate(GradientEstimate.RANDOM_DIRECTIONS, 6, 20).draw(rng)
    assert np.allclose(slope(every, nudges(every) @ gradient), gradient)
    few = Estimate(GradientEstimate.RANDOM_DIRECTIONS, 6, 2)
    drawn = [slope(u, nudges(u) @ gradient) for u in (few.draw(rng) for _ in range(1000))]
    assert np.allclose(np.mean(drawn, axis=0), gradient, atol=0.3)


def test_moved_rows_stay_in_their_limits_and_away_from_nothing():
    """Projection by hand, and twice is once: nothing 0, origin 1, range [-3, 2]."""
    shape = np.ones(3)
    part = Movable(
        "x0",
        np.dtype(np.float64),
        shape,
        shape,
        -3 * shape,
        2 * shape,
        np.arange(3, dtype=np.int32),
        0 * shape,
    )
    moved = part.at(np.array([[0.5, 5.0, -0.5], [-1.2, -3.0, -9.0]]))
    assert moved.tolist() == [[1.5, 2.0, 1.0], [-1.0, -2.0, -3.0]]
    assert np.array_equal(part.at(moved - 1.0), moved)


def test_moved_rows_are_known_by_their_amounts():
    """Equal digests for equal rows, 0 and -0 among them; others for other amounts, nudges and limits."""
    one = np.ones(2)
    part = Movable("x0", np.dtype(np.float64), one, one, -one, 9 * one, np.arange(2, dtype=np.int32))
    amounts = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]])
    first, second, third = Moved((part,), amounts, {}).keys()
    assert first == second != third
    assert Moved((part,), amounts, {}, 0.1 + 0 * amounts).keys()[0] != first
    assert Moved((replace(part, high=8 * one),), amounts, {}).keys()[0] != first
    rows = Moved((part,), amounts, {}).take(np.array([2, 0]))
    assert materialise(rows, instance_of(Modality.TENSOR, one))["x0"].tolist() == [[2.0, 1.0], [1.0, 2.0]]
