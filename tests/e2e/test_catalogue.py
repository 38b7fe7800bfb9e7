"""Every method on every bundled model, through a real socket: the known evidence, the same bytes, the bounds.

What is claimed about a model is asked of onnxruntime directly, with none of whybox in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from tests.e2e.catalogue import (
    CASES,
    DECIDES_NOTHING,
    MODALITY,
    NOT_INSIDE,
    SENTENCE,
    SLOPES,
    Case,
    cases,
    instance,
    probabilities,
    result,
)
from tests.e2e.serving import MODELS, Server, running

import whybox
from whybox import cli
from whybox_server.core.spec import Modality
from whybox_server.methods import METHOD, METHODS

BUDGETS = (7, 60)
SEVEN, POSITIVE, PULSE, MALIGNANT = 7, 1, 1, 0
SIZES = ("radius", "perimeter", "area", "concave points")  # what a large tumour has more of
PULSE_STEPS = slice(64, 91)  # steps 70 to 85, and what segments and patches add at both ends
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def of_model(model: str, *without: str) -> pytest.MarkDecorator:
    chosen = [case for case in cases(model) if case.method not in without]
    return pytest.mark.parametrize("case", chosen, ids=str)


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Server]:
    """A server that keeps no predictions."""
    with running("--cache-mib", "0") as started:
        yield started


# The known evidence


@of_model("texture", "anchors", "cem", *SLOPES)
def test_the_brick_half_speaks_for_brick(client: whybox.Client, case: Case) -> None:
    """The picture is brick on the left and grass on the right, by construction."""
    heat = case.ask(client).heatmap()
    assert heat.shape == (224, 224)
    left, right = heat[:, :112].sum(), heat[:, 112:].sum()
    assert left > max(2 * right, 0)


def test_guided_slopes_lie_where_the_maps_see_brick(client: whybox.Client) -> None:
    """Slopes have either sign, so that their sizes count."""
    heat = np.abs(Case("texture", "guided_grad_cam").ask(client).heatmap())
    assert heat[:, :112].sum() > 2 * heat[:, 112:].sum()


def test_the_grass_half_alone_keeps_the_answer_grass(client: whybox.Client) -> None:
    """In quarters: the rule and the pertinent positive are the right half, and a change of it is the negative."""
    rule = Case("texture", "anchors").ask(client)
    assert rule.target.label == "grass"
    assert {predicate.segment for predicate in rule.rule.predicates} == {1, 3}
    assert rule.rule.threshold_met
    contrast = Case("texture", "cem").ask(client).contrast
    assert contrast.pertinent_positive is not None
    assert set(contrast.pertinent_positive.segments) == {1, 3}
    assert contrast.pertinent_negative is not None
    assert set(contrast.pertinent_negative.segments) <= {1, 3}
    assert contrast.pertinent_negative.target.label == "brick"


@pytest.mark.parametrize("method", ["occlusion", "shapley_sampling", "streak", "erasure"])
def test_paper_without_ink_says_nothing(client: whybox.Client, method: str) -> None:
    """With "absent" being white paper, hiding paper changes nothing: exactly 0, and ink says the rest.

    Not of fits to samples, which spread their error over all segments.
    """
    ink = instance("digits")[0] > 0
    heat = Case("digits", method).ask(client, baseline=0.0).heatmap()
    assert np.abs(heat[~ink]).max() <= 1e-9
    assert heat[ink].sum() > 1


@of_model("digits", "anchors", "cem", "streak")
def test_ink_says_more_than_paper(client: whybox.Client, case: Case) -> None:
    """Also where "absent" is something else: the mean of what is inked is above the mean of what is not."""
    ink = instance("digits")[0] > 0
    heat = case.ask(client).heatmap()
    assert heat[ink].mean() > 1.5 * heat[~ink].mean()


@of_model("breast_cancer", "anchors", "cem")
def test_the_size_of_the_tumour_speaks_for_malignant(client: whybox.Client, case: Case) -> None:
    """Two of the three strongest columns are sizes, and both count for it."""
    e = case.ask(client)
    assert e.target.label == "malignant"
    strongest = [value for name, value in e.as_list()[:3] if name.endswith(SIZES)]
    assert len(strongest) >= 2
    assert min(strongest) > 0


def test_a_large_tumour_is_malignant_whatever_else(client: whybox.Client) -> None:
    """Rule and pertinent positive are about sizes alone; the rule holds on the patient."""
    rule = Case("breast_cancer", "anchors").ask(client).rule
    assert rule.threshold_met
    assert all(predicate.text.split(" >")[0].endswith(SIZES) for predicate in rule.predicates)
    e = Case("breast_cancer", "cem").ask(client)
    kept = e.contrast.pertinent_positive
    assert kept is not None
    assert all(e.names[segment].endswith(SIZES) for segment in kept.segments)


@of_model("diabetes")
def test_the_body_mass_index_moves_the_regressor_most(client: whybox.Client, case: Case) -> None:
    """As the trees say for this patient, whose index is far above the mean."""
    e = case.ask(client)
    assert e.target.space == "value"
    name, value = e.as_list()[0]
    assert name == "bmi"
    assert value > 0


@of_model("sentiment", "anchors", "cem")
def test_the_word_of_praise_is_the_evidence(client: whybox.Client, case: Case) -> None:
    """The only word of opinion that the model knows."""
    e = case.ask(client)
    assert e.target.label == "positive"
    (word, most), (_, next_most) = e.as_list()[:2]
    assert word == "wonderful"
    assert most > 5 * abs(next_most)


@of_model("events", "anchors", "cem", "meaningful_perturbation")
def test_the_pulse_is_found(client: whybox.Client, case: Case) -> None:
    """Steps 70 to 85 of channel b: the largest value, and far above the mean elsewhere."""
    e = case.ask(client)
    assert e.target.label == "pulse"
    heat = e.heatmap()  # (time, channels)
    step, channel = np.unravel_index(heat.argmax(), heat.shape)
    assert 70 <= step <= 85
    assert channel == 1
    elsewhere = np.abs(heat).sum() - np.abs(heat[PULSE_STEPS, 1]).sum()
    shares = np.array([27, heat.size - 27])  # of places
    assert heat[PULSE_STEPS, 1].sum() / shares[0] > 5 * elsewhere / shares[1]


def test_the_time_of_the_pulse_is_found(client: whybox.Client) -> None:
    """By a mask, which is over time alone."""
    heat = Case("events", "meaningful_perturbation").ask(client).heatmap()
    assert 70 <= heat[:, 1].argmax() <= 85
    assert heat[PULSE_STEPS].sum() > 0.5 * heat.sum()


def test_a_rule_and_a_contrast_name_the_pulse(client: whybox.Client) -> None:
    """Every predicate and every segment is a span of channel b that meets the pulse."""
    spans = {"b, steps 64-70", "b, steps 71-76", "b, steps 77-83", "b, steps 84-89"}
    rule = Case("events", "anchors").ask(client)
    assert rule.rule.predicates
    assert {rule.names[predicate.segment] for predicate in rule.rule.predicates} <= spans
    e = Case("events", "cem").ask(client)
    kept, changed = e.contrast.pertinent_positive, e.contrast.pertinent_negative
    assert kept is not None
    assert changed is not None
    assert {e.names[segment] for segment in (*kept.segments, *changed.segments)} <= spans


# What is claimed of the model


@pytest.mark.parametrize("model", ["texture", "digits", "breast_cancer", "events"])
def test_the_model_says_of_a_contrast_what_the_answer_says(client: whybox.Client, model: str) -> None:
    """The positive is of the instance's class and the negative is not, as onnxruntime has it; scores too."""
    e = Case(model, "cem").ask(client)
    own = e.target.index
    positive, negative = e.contrast.pertinent_positive, e.contrast.pertinent_negative
    assert positive is not None
    assert negative is not None
    p = probabilities(model, np.stack([positive.values, negative.values]).astype(np.float32))
    assert p[0].argmax() == own == positive.target.index
    assert p[1].argmax() == negative.target.index != own
    np.testing.assert_allclose(p[0, own], positive.target.probability, rtol=1e-3)
    np.testing.assert_allclose(p[1].max(), negative.target.probability, rtol=1e-3)


def without(words: list[str], kept: tuple[bool, ...]) -> str:
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def test_a_rule_on_words_is_as_precise_as_all_its_texts(client: whybox.Client) -> None:
    """Every subset of the words, asked of onnxruntime: the rule's true precision is within its claim."""
    words = SENTENCE.split()
    rule = Case("sentiment", "anchors").ask(client, batch_size=200).rule
    masks = list(product([False, True], repeat=len(words)))
    texts = np.array([without(words, mask) for mask in masks], dtype=object)
    positive = probabilities("sentiment", texts).argmax(axis=1) == POSITIVE
    held = np.array([all(mask[predicate.segment] for predicate in rule.predicates) for mask in masks])
    assert rule.threshold_met
    assert held.mean() == pytest.approx(rule.coverage)
    assert positive[held].mean() >= rule.threshold - 0.05
    assert positive[held].mean() == pytest.approx(rule.precision, abs=0.05)


def test_the_least_text_with_the_same_answer_is_one_word(client: whybox.Client) -> None:
    """Asked of onnxruntime: that word alone is positive, and nothing at all is not."""
    e = Case("sentiment", "cem").ask(client)
    kept = e.contrast.pertinent_positive
    assert kept is not None
    (segment,) = kept.segments
    p = probabilities("sentiment", np.array([SENTENCE.split()[segment], ""], dtype=object))
    assert p.argmax(axis=1).tolist() == [POSITIVE, 1 - POSITIVE]
    assert e.contrast.pertinent_negative is None
    assert "erasure" in e.contrast.negative_reason


def test_the_words_of_a_flip_set_flip_the_answer(client: whybox.Client) -> None:
    """Cut out in the order given: only the last one flips it, as onnxruntime has it."""
    flip = Case("sentiment", "erasure").ask(client).flip_set
    assert flip is not None
    assert flip.flipped
    words = SENTENCE.split()
    gone = [set(flip.segments[: i + 1]) for i in range(len(flip.segments))]
    texts = [without(words, tuple(i not in some for i in range(len(words)))) for some in gone]
    said = probabilities("sentiment", np.array(texts, dtype=object)).argmax(axis=1).tolist()
    assert said == [POSITIVE] * (len(texts) - 1) + [1 - POSITIVE]


def test_the_scores_of_chosen_regions_are_the_models(client: whybox.Client) -> None:
    """f(S) after each addition, with onnxruntime on digits of which S alone is shown."""
    e = Case("digits", "streak").ask(client, baseline=0.0, space="probability")
    digit, chosen = instance("digits"), e.regions.segments
    shown = np.stack([np.where(np.isin(e.segments, chosen[:n]), digit, 0) for n in range(len(chosen) + 1)])
    p = probabilities("digits", shown.astype(np.float32))[:, SEVEN]
    np.testing.assert_allclose(e.regions.empty_score, p[0], rtol=1e-3)
    np.testing.assert_allclose(e.regions.scores, p[1:] - p[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["kernel_shap", "shapley_sampling"])
@pytest.mark.parametrize("model", ["texture", "digits", "breast_cancer", "diabetes", "sentiment", "events"])
def test_shapley_values_add_up_to_the_score(client: whybox.Client, method: str, model: str) -> None:
    """Base value and values, to the rounding of float32."""
    e = Case(model, method).ask(client)
    assert e.additive
    assert e.base_value is not None
    np.testing.assert_allclose(e.base_value + e.values.sum(), e.target.score, rtol=1e-4, atol=1e-4)


# The same answer


@every_case
def test_a_plan_is_kept_and_a_second_answer_is_the_same(client: whybox.Client, case: Case) -> None:
    """Rows asked: the plan's number where it is exact, else at most that; then everything is in the cache."""
    plan = client.plan(**case.arguments)
    first, again = case.ask(client), case.ask(client)
    assert first.usage.rows_planned == plan.rows[0]
    assert first.usage.rows_asked <= plan.rows[0]
    assert first.usage.rows_asked == plan.rows[0] or not plan.exact
    assert first.complete
    assert np.isfinite(first.values).all()
    assert again.usage.rows_sent == 0
    assert result(again) == result(first)


@pytest.mark.parametrize("case", cases("digits"), ids=str)
def test_neither_cache_nor_upload_changes_a_byte(
    client: whybox.Client, forgetful: Server, case: Case
) -> None:
    """REPRODUCIBLE: the model of the folder, with a cache, and the same file sent to a server without one."""
    data = (MODELS / "digits" / "1" / "model.onnx").read_bytes()
    described = {
        "labels": [str(digit) for digit in range(10)],
        "output": "probabilities",
        "score": "probability",
        "layout": "CHW",
        "black": 0.0,
        "white": 16.0,
        "background": np.load(MODELS / "digits" / "background.npz")["background"],
    }
    spec = whybox.ModelSpec.from_dict({"modality": "image", **described})
    theirs = case.ask(client, mode="reproducible")
    with whybox.Client(forgetful.address) as other:
        mine = case.ask(other, mode="reproducible", model=data, spec=spec)
    assert mine.usage.rows_cached == 0
    assert mine.provenance.model_digest == theirs.provenance.model_digest
    assert result(mine) == result(theirs)


@pytest.mark.parametrize("case", [*cases("digits"), *cases("events"), *cases("sentiment")], ids=str)
def test_neighbours_in_a_batch_change_no_byte(forgetful: Server, case: Case) -> None:
    """Others of one call share its batches; REPRODUCIBLE gives each instance what it gets alone."""
    given = {**case.arguments, "mode": "reproducible"}
    model, one, method = (given.pop(name) for name in ("model", "inputs", "method"))
    others = (
        [f"{one} indeed", "dull dull words as we saw"] if isinstance(one, str) else [one[..., ::-1], one / 2]
    )
    with whybox.Client(forgetful.address) as client:
        alone = client.explain(model, one, method, **given)
        together = client.explain_many(model, [others[0], one, others[1]], method, **given)
    assert result(together[1]) == result(alone)
    assert result(together[0]) != result(alone)


# Budgets


@pytest.mark.parametrize("most", BUDGETS)
@every_case
def test_a_budget_is_kept_and_said(client: whybox.Client, case: Case, most: int) -> None:
    """Never more different rows; the error, or an answer that says it is partial, and never NaN."""
    try:
        e = case.ask(client, max_queries=most)
    except whybox.ExplainError as refused:
        assert refused.reason == "QUERY_BUDGET_EXCEEDED"
        assert "max_queries" in str(refused)
        return
    assert e.usage.rows_unique <= most
    assert np.isfinite(e.values).all()
    assert np.isfinite(e.heatmap()).all()
    assert e.complete or e.warnings
    assert not e.complete or case.ask(client).usage.rows_unique <= most


# Which methods apply


@pytest.mark.parametrize("model", MODALITY)
def test_the_server_says_which_methods_apply(client: whybox.Client, model: str) -> None:
    """Empty for those that answer with their defaults, and a reason for those that refuse the model."""
    said = {method.name: method.not_applicable for method in client.methods(f"models/{model}")}
    for name, reason in said.items():
        assert reason is not None
        try:
            client.plan(f"models/{model}", instance(model), name)
        except whybox.ExplainError as refused:
            assert refused.reason in ("METHOD_UNSUPPORTED_FOR_MODEL", "INVALID_FIELD")
            assert reason, f"{name} refuses: {refused}"
        else:
            assert not reason


@pytest.mark.parametrize("method", sorted(name for _, name in DECIDES_NOTHING))
def test_a_regressor_has_no_decision_to_explain(client: whybox.Client, method: str) -> None:
    """Refused with other methods that do, which the list of methods says as well."""
    with pytest.raises(whybox.ExplainError) as refused:
        client.explain("models/diabetes", instance("diabetes"), method)
    assert refused.value.reason == "METHOD_UNSUPPORTED_FOR_MODEL"
    assert "lime" in str(refused.value)
    said = {one.name: one.not_applicable for one in client.methods("models/diabetes")}
    assert "decision" in (said[method] or "")


def test_the_command_line_says_which_methods_apply(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """One verdict per method: a regressor of tables has no decision, and is no picture or series."""
    assert cli.main(["methods", "--for", "models/diabetes", "--server", server.address]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(" fits this model") == 7
    assert said.count("does not fit this model: it needs a decision") == len(DECIDES_NOTHING)
    elsewhere = [method for method in METHODS if Modality.TABULAR not in method.modalities]
    assert said.count("does not fit this model: it does not explain tabular models") == len(elsewhere)
    assert said.count("constant between its thresholds") == len(METHODS) - 7 - len(DECIDES_NOTHING) - len(
        elsewhere
    )


@pytest.mark.parametrize(("model", "method"), sorted(NOT_INSIDE))
def test_what_cannot_be_looked_into_says_why_and_what_can(
    client: whybox.Client, model: str, method: str
) -> None:
    """Forests, words, networks without the maps that a method reads: refused by name, never answered."""
    said = {one.name: one.not_applicable for one in client.methods(f"models/{model}")}
    if MODALITY[model] in METHOD[method].modalities:
        with pytest.raises(whybox.ExplainError) as refused:
            client.explain(f"models/{model}", instance(model), method)
        assert refused.value.reason == "METHOD_UNSUPPORTED_FOR_MODEL"
        assert refused.value.details["alternatives"]
    assert said[method]
