"""Findings of the core become messages: every field at its place, checked against the core's own numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from whybox.tensors import from_tensor
from whybox.v1 import explanation_pb2 as pb
from whybox.v1 import spec_pb2
from whybox_server.api.encode import from_answer
from whybox_server.api.results import add_result
from whybox_server.core.explanation import (
    Attribution,
    Contrast,
    Counterpart,
    Example,
    Finding,
    FlipSet,
    Mask,
    Predicate,
    Regions,
    Rule,
    Units,
)
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, ScoreKind, TabularSpec
from whybox_server.core.target import Choice, Chosen, Link, Space, Targets
from whybox_server.engine.task import Answer, Provenance
from whybox_server.serving.lane import Mode, Usage

LABELS = ("no", "yes", "perhaps")
SCORES = np.array([0.0, 2.0, 1.0])
COLUMNS = ("age", "city")
TABLE = TabularSpec(COLUMNS, None, {1: ("Bern", "Basel", "Chur")})
ROW = {"x": np.array([41.0, 0.0], np.float32)}
UNITS = Units("x", (2,), COLUMNS, {"x": np.array([0, 1])})


def chosen(*indices: int, kind: ScoreKind = ScoreKind.LOGIT, labels: tuple[str, ...] = LABELS) -> Chosen:
    choices = tuple(Choice(index=i) for i in indices)
    space = Space.VALUE if kind is ScoreKind.VALUE else Space.LOGIT
    return Chosen(indices, Targets(choices, labels, kind, space, Link.SIGMOID))


def row_of(found: Chosen) -> Subject:
    return Subject(Instance(ROW, ModelSpec(modality=Modality.TABULAR, details=TABLE)), found.targets)


def encoded(finding: Finding, subject: Subject | None = None) -> pb.Explanation:
    message = pb.Explanation()
    add_result(finding, subject or row_of(finding.chosen), message)
    return message


def attribution(**more: Any) -> Attribution:
    given: dict[str, Any] = {
        "values": np.array([[0.5, -1.0], [0.25, 0.0]]),
        "instance_scores": SCORES,
        "base_values": np.array([1.0, -1.0]),
    }
    return Attribution(chosen(1, 0), UNITS, **(given | more))


def rule() -> Rule:
    return Rule(
        chosen(1),
        UNITS,
        SCORES,
        (Predicate("age > 40", 0, 0.75, 0.5), Predicate("city = Bern", 1, 1.0, 0.25)),
        precision=1.0,
        lower_bound=0.9375,
        confidence=0.9996,
        coverage=0.25,
        samples=1200,
        threshold=0.95,
        threshold_met=True,
        certificate="certified",
        examples=(Example("age = 50", agrees=True), Example("age = 20", agrees=False)),
    )


def side(*values: float, scores: Any = (3.0, 2.0, 1.0), segments: tuple[int, ...] = (1,)) -> Counterpart:
    return Counterpart({"x": np.array(values, np.float32)}, np.array(scores), segments, l1=1.5, l2=1.25)


def contrast(positive: Counterpart | None, negative: Counterpart | None, **more: Any) -> Contrast:
    return Contrast(chosen(1), UNITS, SCORES, positive, negative, **more)


def regions() -> Regions:
    return Regions(chosen(1), UNITS, SCORES, (1, 0), (2.0, 2.5), -1.0, "none")


def mask() -> Mask:
    values = np.array([[0.0, 1.0], [0.5, 0.25]])
    units = Units("x", (2,))
    return Mask(
        chosen(1, 0), units, SCORES, values, "deletion: all", np.array([1.0, 2.0]), np.array([3.0, 4.0])
    )


def test_an_attribution_keeps_its_numbers_names_and_units() -> None:
    """FP64 whatever came in; label maps INT32; nothing is set that was not found."""
    found = encoded(
        attribution(quality=({"weighted_r2": 0.5}, {"weighted_r2": 0.25}), additive=True)
    ).attribution
    assert from_tensor(found.values).tolist() == [[0.5, -1.0], [0.25, 0.0]]
    assert from_tensor(found.base_values).tolist() == [1.0, -1.0]
    assert from_tensor(found.segments.by_name["x"]).dtype == np.int32
    assert [dict(one.measures) for one in found.quality] == [{"weighted_r2": 0.5}, {"weighted_r2": 0.25}]
    assert (list(found.names), list(found.instance_shape), found.input) == (list(COLUMNS), [2], "x")
    assert found.additive
    assert not found.HasField("standard_errors")
    assert not found.HasField("flip_set")
    assert found.unit == ""


def test_errors_unit_and_flip_set_of_an_attribution_are_sent_when_there_are_any() -> None:
    """What the model says without the flip set is its highest score then, not the target's."""
    flip = FlipSet((1, 0), flipped=True, scores=np.array([0.5, -1.0, 0.25]))
    finding = attribution(standard_errors=np.full((2, 2), 0.125), unit="log2 odds", flip_set=flip)
    found = encoded(finding).attribution
    assert from_tensor(found.standard_errors).tolist() == [[0.125] * 2] * 2
    assert found.unit == "log2 odds"
    assert (list(found.flip_set.segments), found.flip_set.flipped) == ([1, 0], True)
    assert (found.flip_set.after.index, found.flip_set.after.label, found.flip_set.after.score) == (
        0,
        "no",
        0.5,
    )
    assert found.flip_set.after.space == pb.SCORE_SPACE_LOGIT
    assert found.flip_set.after.probability == pytest.approx(1 / (1 + np.exp(-0.5)), rel=1e-12)  # a sigmoid


def test_of_a_single_value_the_target_itself_is_said() -> None:
    """There is no class to be the highest; a value is no probability."""
    value = chosen(0, kind=ScoreKind.VALUE, labels=("price",))
    flip = FlipSet((0,), flipped=False, scores=np.array([-7.0]))
    finding = replace(attribution(), chosen=value, instance_scores=np.array([3.0]), flip_set=flip)
    after = encoded(finding).attribution.flip_set.after
    assert (after.label, after.score, after.space) == ("price", -7.0, pb.SCORE_SPACE_VALUE)
    assert not after.HasField("probability")


def test_without_segments_there_are_none_on_the_wire() -> None:
    """A value per element belongs to the input itself."""
    found = encoded(replace(attribution(), units=Units("x", (2,)))).attribution
    assert not found.HasField("segments")
    assert (list(found.instance_shape), found.input) == ([2], "x")


def test_a_rule_keeps_every_number() -> None:
    """Predicates in their order, examples with what the model says of them."""
    found = encoded(rule()).rule
    assert [(p.text, p.segment, p.precision, p.coverage) for p in found.predicates] == [
        ("age > 40", 0, 0.75, 0.5),
        ("city = Bern", 1, 1.0, 0.25),
    ]
    assert (found.precision, found.lower_bound, found.confidence, found.coverage) == (
        1.0,
        0.9375,
        0.9996,
        0.25,
    )
    assert (found.samples, found.threshold, found.threshold_met) == (1200, 0.95, True)
    assert found.certificate == "certified"
    assert [(example.text, example.agrees) for example in found.examples] == [
        ("age = 50", True),
        ("age = 20", False),
    ]
    assert_units(found.units)


def assert_units(units: pb.Units) -> None:
    assert (list(units.names), list(units.instance_shape), units.input) == (list(COLUMNS), [2], "x")
    assert from_tensor(units.segments.by_name["x"]).tolist() == [0, 1]


def test_both_sides_of_a_contrast_are_sent_with_what_the_model_says_of_them() -> None:
    """Its own answer, its own inputs, and a view in which categories have their names."""
    found = encoded(
        contrast(side(41, 0, scores=SCORES, segments=(0,)), side(41, 2), positive_reason="")
    ).contrast
    positive, negative = found.pertinent_positive, found.pertinent_negative
    assert (positive.target.label, negative.target.label) == ("yes", "no")
    assert (positive.target.score, negative.target.score) == (2.0, 3.0)
    assert (list(positive.segments), list(negative.segments)) == ([0], [1])
    assert from_tensor(negative.values.by_name["x"]).tolist() == [41.0, 2.0]
    assert from_tensor(negative.values.by_name["x"]).dtype == np.float32
    assert (negative.l1, negative.l2) == (1.5, 1.25)
    assert list(negative.subject.table.values) == ["41", "Chur"]
    assert list(negative.subject.table.names) == list(COLUMNS)
    assert_units(found.units)


@pytest.mark.parametrize("missing", ["pertinent_positive", "pertinent_negative"])
def test_a_side_that_is_missing_is_unset_and_has_its_reason(missing: str) -> None:
    """Unset is not the same as zeros."""
    sides = {"pertinent_positive": side(41, 0), "pertinent_negative": side(41, 2), missing: None}
    finding = contrast(*sides.values(), positive_reason="p", negative_reason="n")  # type: ignore[misc]
    found = encoded(finding).contrast
    assert not found.HasField(missing)
    assert found.HasField("pertinent_negative" if missing == "pertinent_positive" else "pertinent_positive")
    assert (found.positive_reason, found.negative_reason) == ("p", "n")


def test_a_counterpart_of_a_picture_is_a_picture() -> None:
    """Shown as the instance is: grey in the spec's own range."""
    spec = ModelSpec(modality=Modality.IMAGE, details=ImageSpec("CHW", 0.0, 2.0))
    units = Units("x", (1, 2, 2), ("all",), {"x": np.zeros((1, 2, 2), np.int32)})
    found = chosen(1)
    subject = Subject(Instance({"x": np.zeros((1, 2, 2), np.float32)}, spec), found.targets)
    one = Counterpart({"x": np.full((1, 2, 2), 1.0, np.float32)}, SCORES, (0,), 1.0, 1.0)
    message = encoded(Contrast(found, units, SCORES, None, one), subject).contrast
    pixels = from_tensor(message.pertinent_negative.subject.picture)
    assert (pixels.shape, pixels.dtype) == ((2, 2, 3), np.uint8)
    assert set(pixels.ravel().tolist()) == {128}  # the middle of [0, 2]


def test_a_counterpart_of_a_text_is_cut_as_the_text_is() -> None:
    """Pieces that are gone are empty, so that both texts have the same segments."""
    spec = ModelSpec(modality=Modality.TEXT)
    units = Units("x", (), ("so", "good"), {}, ("so", " ", "good"), (0, -1, 1))
    found = chosen(1)
    subject = Subject(Instance({"x": np.array("so good", object)}, spec), found.targets)
    one = Counterpart({"x": np.array(" good", object)}, SCORES, (1,), 1.0, 1.0, ("", " ", "good"))
    message = encoded(Contrast(found, units, SCORES, one, None), subject).contrast
    text = message.pertinent_positive.subject.text
    assert (list(text.pieces), list(text.segments)) == (["", " ", "good"], [0, -1, 1])
    assert from_tensor(message.pertinent_positive.values.by_name["x"]).item() == " good"


def test_regions_keep_their_order() -> None:
    """And the score of nothing, above which f is."""
    found = encoded(regions()).regions
    assert (list(found.segments), list(found.scores)) == ([1, 0], [2.0, 2.5])
    assert (found.empty_score, found.guarantee) == (-1.0, "none")
    assert_units(found.units)


def test_a_mask_is_sent_for_every_target() -> None:
    """(targets, *places), with the scores that each was played for."""
    found = encoded(mask()).mask
    assert from_tensor(found.values).tolist() == [[0.0, 1.0], [0.5, 0.25]]
    assert (list(found.masked_scores), list(found.hidden_scores)) == ([1.0, 2.0], [3.0, 4.0])
    assert found.game == "deletion: all"
    assert not found.units.HasField("segments")
    assert (list(found.units.instance_shape), found.units.input) == ([2], "x")


EVERY = {
    "attribution": attribution,
    "rule": rule,
    "contrast": lambda: contrast(side(41, 0), side(41, 2)),
    "regions": regions,
    "mask": mask,
}


@pytest.mark.parametrize("kind", EVERY)
def test_an_answer_of_any_kind_carries_the_same_facts(kind: str) -> None:
    """Targets, subject, warnings, completeness, baseline, cut, usage and provenance; `result` is of its kind."""
    finding = replace(
        EVERY[kind](), complete=False, warnings=("stopped",), baseline="zeros", segmentation="columns"
    )
    origin = Provenance(
        "models/m",
        "sha256-00",
        "m",
        "2",
        7,
        Mode.REPRODUCIBLE,
        {"numpy": "2"},
        "CPU",
        {"CPU": 3},
        ("g",),
        "r",
    )
    usage = Usage(rows_asked=9, batches=4, fill_sum=3.0, wall_s=0.25)
    message = from_answer(Answer(0, row_of(finding.chosen), finding, usage, origin))
    assert message.WhichOneof("result") == kind
    assert [(t.index, t.label, t.score) for t in message.targets][0] == (1, "yes", 2.0)
    assert len(message.targets) == len(finding.chosen.indices)
    assert (message.complete, list(message.warnings)) == (False, ["stopped"])
    assert (message.provenance.baseline, message.provenance.segmentation) == ("zeros", "columns")
    assert dict(message.provenance.nodes) == {"CPU": 3}
    assert (message.provenance.seed, message.provenance.mode) == (7, pb.MODE_REPRODUCIBLE)
    assert (message.usage.rows_asked, message.usage.mean_fill, message.usage.wall_ms) == (9, 0.75, 250.0)
    assert message.subject.modality == spec_pb2.MODALITY_TABULAR
    assert list(message.subject.table.values) == ["41", "Bern"]


def test_every_result_of_the_contract_has_an_encoder() -> None:
    """A result that is added to the proto must be added here."""
    assert {field.name for field in pb.Explanation.DESCRIPTOR.oneofs_by_name["result"].fields} == set(EVERY)
