"""Rules, contrasts, regions, masks and flip sets as a caller reads them, and in other forms."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from tests.wire import results

from whybox import ExplainError, Explanation, findings
from whybox.v1 import explanation_pb2 as pb

MESSAGES = {
    findings.Predicate: (pb.Predicate, set(), set()),
    findings.Example: (pb.Example, set(), set()),
    findings.Rule: (pb.Rule, {"units"}, set()),
    findings.Counterpart: (pb.Counterpart, {"subject"}, {"inputs"}),
    findings.Contrast: (pb.Contrast, {"units"}, set()),
    findings.Regions: (pb.Regions, {"units"}, set()),
    findings.Mask: (pb.Mask, {"units", "masked_scores", "hidden_scores"}, {"masked_score", "hidden_score"}),
    findings.FlipSet: (pb.FlipSet, set(), set()),
}


def explained(name: str) -> Explanation:
    return Explanation(results.EVERY[name]())


@pytest.mark.parametrize(("kind", "about"), MESSAGES.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_findings_have_the_fields_of_their_messages(
    kind: type[Any], about: tuple[type[Message], set[str], set[str]]
) -> None:
    """A field that is added to the proto must be added to the view, or be named here as read elsewhere."""
    message, left_out, added = about
    expected = set(message.DESCRIPTOR.fields_by_name) - left_out | added
    assert {field.name for field in fields(kind)} == expected


def test_a_rule_says_what_it_needs_and_what_is_certified() -> None:
    """Every number of the message, under its own name."""
    rule = explained("rule of a row").rule
    assert [p.text for p in rule.predicates] == ["income > 1000", "city = Bern"]
    assert (rule.predicates[0].segment, rule.predicates[0].precision, rule.predicates[0].coverage) == (
        1,
        0.75,
        0.5,
    )
    assert (rule.precision, rule.lower_bound, rule.confidence, rule.coverage) == (1.0, 0.9375, 0.9996, 0.25)
    assert (rule.samples, rule.threshold, rule.threshold_met) == (1200, 0.95, True)
    assert [example.agrees for example in rule.examples] == [True, False]


def test_a_contrast_has_both_sides_with_values_target_and_score() -> None:
    """values are the explained input's, in the model's units."""
    contrast = explained("contrast of a row").contrast
    assert contrast.pertinent_positive is not None
    assert contrast.pertinent_negative is not None
    assert contrast.pertinent_positive.values.tolist() == [30.0, 1100.0, 1.0]
    assert contrast.pertinent_negative.values.tolist() == [41.0, 1200.0, 2.0]
    assert contrast.pertinent_negative.target.label == "no"
    assert (contrast.pertinent_positive.score, contrast.pertinent_negative.score) == (1.5, 0.5)
    assert contrast.pertinent_negative.segments == (2,)
    assert (contrast.pertinent_negative.l1, contrast.pertinent_negative.l2) == (1.5, 1.25)
    assert list(contrast.pertinent_negative.inputs) == ["x"]


def test_a_side_that_was_not_found_is_none_with_its_reason() -> None:
    """Never an array of zeros."""
    contrast = explained("contrast of a text").contrast
    assert contrast.pertinent_negative is None
    assert contrast.negative_reason == "words are only taken away here"
    assert contrast.pertinent_positive is not None
    assert contrast.pertinent_positive.values.item() == "  good"
    assert contrast.positive_reason == ""


def test_regions_are_in_the_order_of_choice() -> None:
    """With f after each addition."""
    regions = explained("regions of a picture").regions
    assert (regions.segments, regions.scores, regions.empty_score) == ((3, 1), (2.0, 2.5), -1.0)
    assert regions.guarantee == "none: greedy"


def test_a_mask_is_one_of_each_target() -> None:
    """e and e[0] are the first one; the second has its own places and scores."""
    e = explained("mask of a picture")
    second = e["no"].mask
    assert (e.mask.masked_score, e.mask.hidden_score) == (2.25, -1.0)
    assert (second.masked_score, second.hidden_score) == (1.25, -2.0)
    assert e[0].mask.values.tolist() == e.mask.values.tolist()
    assert (e.mask.values.sum(axis=0) > 0).tolist() == [True] * 4 + [False] * 4
    assert (second.values.sum(axis=1) > 0).tolist() == [True] * 4 + [False] * 4
    assert [one.target.label for one in e] == ["yes", "no"]
    assert len(e.message.mask.masked_scores) == 2, "taking one must not change the whole"


def test_a_flip_set_says_what_the_answer_becomes() -> None:
    """Beside the attribution that found it; None for one that did not look."""
    e = explained("flip set of a row")
    assert e.flip_set is not None
    assert (e.flip_set.segments, e.flip_set.flipped, e.flip_set.after.label) == ((1, 2), True, "no")
    e.message.attribution.ClearField("flip_set")
    assert e.flip_set is None


@pytest.mark.parametrize(
    ("name", "kind", "values", "unit"),
    [
        ("rule of a row", "rule", [0, 1, 1], ""),
        ("contrast of a row", "contrast", [0, 1, -1], ""),
        ("contrast of a text", "contrast", [0, 0, 1], ""),
        ("regions of a picture", "regions", [0, 0.5, 0, 2], "logit"),
        ("flip set of a row", "attribution", [0.25, 2, -0.5], "log2 odds"),
    ],
)
def test_every_kind_has_values_by_segment(name: str, kind: str, values: list[float], unit: str) -> None:
    """Marks for rules and contrasts, gains for regions; as many as names, and a unit where they have one."""
    e = explained(name)
    assert (e.kind, e.values.tolist(), e.unit) == (kind, values, unit)
    assert e.values.dtype == np.float64
    assert len(e.names) == e.values.size


def test_a_unit_that_is_not_told_is_that_of_the_score() -> None:
    """As for every attribution before there were others."""
    e = explained("flip set of a row")
    e.message.attribution.unit = ""
    assert e.unit == "logit"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rule of a row", [("income", 1.0), ("city", 1.0)]),
        ("contrast of a row", [("income", 1.0), ("city", -1.0)]),
        ("regions of a picture", [("segment 3", 2.0), ("segment 1", 0.5)]),
        ("flip set of a row", [("income", 2.0), ("city", -0.5), ("age", 0.25)]),
    ],
)
def test_lists_name_what_is_marked(name: str, expected: list[tuple[str, float]]) -> None:
    """Largest first; what a rule does not need is not on its list."""
    assert explained(name).as_list() == expected


def test_heat_maps_have_the_resolution_of_the_instance() -> None:
    """Oracle: the label map looked up, and the mask itself."""
    by_hand = np.array([0, 0.5, 0, 2.0])[results.QUARTERS]
    regions, mask = explained("regions of a picture"), explained("mask of a picture")
    assert regions.heatmap().tolist() == by_hand.tolist()
    assert regions.segments is not None
    assert regions.segments[0].tolist() == results.QUARTERS.tolist()
    assert mask.segments is None
    assert mask.heatmap().tolist() == mask.values.tolist() == mask.mask.values.tolist()
    assert mask.names[9] == "place [1, 1]"
    assert mask.as_list()[0] == ("place [0, 0]", 1.0)


def test_in_the_game_of_deletion_what_had_to_go_is_what_counts() -> None:
    """The mask keeps its own meaning: 0 marks what had to go."""
    e = Explanation(results.mask("deletion: the smallest region without which the score falls"))
    assert e.values.tolist() == (1 - e.mask.values).tolist()


def test_a_mask_of_moments_holds_for_every_channel() -> None:
    """(time, channels), although the model has its channels first."""
    e = explained("mask of a series")
    assert e.mask.values.tolist() == [1, 1, 1, 0, 0, 0]
    assert e.heatmap().tolist() == e.values.tolist() == [[1, 1]] * 3 + [[0, 0]] * 3


@pytest.mark.parametrize("name", results.EVERY)
def test_what_is_no_attribution_has_no_fit_and_no_base(name: str) -> None:
    """None, empty and False in place of an exception: a reader may ask without knowing the kind."""
    e = explained(name)
    assert (e.base_value, e.standard_errors, e.quality, e.additive) == (None, None, {}, False)


@pytest.mark.parametrize("asked", ["rule", "contrast", "regions", "mask"])
def test_another_kind_than_there_is_is_refused_by_name(asked: str) -> None:
    """The message says which kind it is."""
    with pytest.raises(ExplainError, match=f"no {asked}: its result is attribution"):
        getattr(explained("flip set of a row"), asked)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rule of a row", "IF income > 1000 AND city = Bern: precision 1, at least 0.938, coverage 0.25"),
        ("contrast of a row", "positive 'yes' by income, negative 'no' by city"),
        ("contrast of a text", "positive 'yes' by good, negative none"),
        ("regions of a picture", "segment 3; segment 1: f(S) 2.5"),
        ("mask of a picture", "mask (8, 8) of mean 0.5, masked score 2.25"),
        ("flip set of a row", "income +2, city -0.5, age +0.25, 2 flip it to 'no'"),
    ],
)
def test_the_repr_says_what_was_found(name: str, found: str) -> None:
    """On one line."""
    assert repr(explained(name)).endswith(f"logit 2.5, 85 rows; {found}>")


def test_an_empty_rule_and_a_rule_that_is_not_certified_say_so() -> None:
    """A reader must not take either for an answer."""
    e = explained("rule of a row")
    del e.message.rule.predicates[:]
    e.message.rule.threshold_met = False
    assert "IF always" in repr(e)
    assert "NOT MET" in repr(e)
    assert e.as_list() == []


@pytest.mark.parametrize("name", results.EVERY)
def test_json_and_npz_lose_nothing_of_any_kind(name: str, tmp_path: Path) -> None:
    """Equal messages after the way there and back."""
    e = explained(name)
    e.to_npz(tmp_path / "e.npz")
    assert Explanation.from_json(e.to_json()) == e
    assert Explanation.from_npz(tmp_path / "e.npz") == e


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("rule of a row", {"values": [[0, 1, 1]], "predicates": ["income > 1000", "city = Bern"]}),
        ("contrast of a row", {"values": [[0, 1, -1]], "pertinent_negative.x": [41, 1200, 2]}),
        ("contrast of a text", {"pertinent_positive.x": "  good", "names": ["so", "very", "good"]}),
        ("regions of a picture", {"chosen": [3, 1], "scores": [2, 2.5], "values": [[0, 0.5, 0, 2]]}),
        ("mask of a series", {"mask": [[1, 1, 1, 0, 0, 0], [0.5, 0.5, 0.5, 0, 0, 0]]}),
    ],
)
def test_an_npz_has_the_arrays_of_its_kind(name: str, arrays: dict[str, Any], tmp_path: Path) -> None:
    """For numpy alone, without pickle."""
    explained(name).to_npz(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert {key: file[key].tolist() for key in arrays} == arrays


def test_alibi_gets_a_rule_under_its_own_names() -> None:
    """The keys that alibi's Anchors have; lists per predicate; JSON as it is."""
    found = json.loads(json.dumps(explained("rule of a row").to_alibi(), allow_nan=False))
    assert set(found) == {"meta", "data"}
    assert set(found["meta"]) == {"name", "type", "explanations", "params", "version"}
    assert found["meta"]["name"] == "AnchorTabular"
    data = found["data"]
    assert data["anchor"] == ["income > 1000", "city = Bern"]
    assert (data["precision"], data["coverage"]) == (1.0, 0.25)
    raw = data["raw"]
    assert (raw["feature"], raw["mean"], raw["coverage"]) == ([1, 2], [0.75, 1.0], [0.5, 0.25])
    assert raw["examples"][-1]["covered_true"] == ["age = 50, income = 2000"]
    assert raw["examples"][-1]["covered_false"] == ["age = 20, income = 1500"]
    assert raw["examples"][0]["covered_true"] == []
    assert (raw["success"], raw["num_preds"], raw["prediction"]) == (True, 85, [0])
    assert raw["instance"] == ["41", "1200", "Bern"]
    assert {"all_precision", "names", "precision"} <= set(raw)


@pytest.mark.parametrize(
    ("name", "kind", "instance"),
    [("rule of a picture", "AnchorImage", [128] * 3), ("rule of a text", "AnchorText", "so very good")],
)
def test_alibi_names_its_anchors_by_what_they_read(name: str, kind: str, instance: object) -> None:
    """Pictures also bring their segments."""
    found = explained(name).to_alibi()
    assert found["meta"]["name"] == kind
    shown = found["data"]["raw"]["instance"]
    assert (shown[0][0] if kind == "AnchorImage" else shown) == instance
    assert ("segments" in found["data"]) == (kind == "AnchorImage")


def test_alibi_gets_a_contrast_under_its_own_names() -> None:
    """The keys that alibi's CEM has, with the batch axis; what was not found is null."""
    found = json.loads(json.dumps(explained("contrast of a row").to_alibi(), allow_nan=False))
    assert found["meta"]["name"] == "CEM"
    assert found["data"] == {
        "PN": [[41.0, 1200.0, 2.0]],
        "PP": [[30.0, 1100.0, 1.0]],
        "PN_pred": 1,
        "PP_pred": 0,
        "grads_graph": None,
        "grads_num": None,
        "X": [["41", "1200", "Bern"]],
        "X_pred": 0,
    }
    text = explained("contrast of a text").to_alibi()["data"]
    assert (text["PN"], text["PN_pred"], text["X"]) == (None, None, ["so very good"])


@pytest.mark.parametrize("name", ["regions of a picture", "mask of a picture", "flip set of a row"])
def test_what_alibi_has_no_form_for_is_refused(name: str) -> None:
    """In words, with another way."""
    with pytest.raises(ExplainError, match="rules and contrasts"):
        explained(name).to_alibi()


@pytest.mark.parametrize("name", ["rule of a row", "mask of a picture"])
def test_shap_has_no_form_for_what_is_no_attribution(name: str) -> None:
    """Not even by force: marks are no contributions."""
    with pytest.raises(ExplainError, match="no form for"):
        explained(name).to_shap(force=True)
