"""An explanation as a caller reads it: numbers, targets, and other forms that can be read back."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.wire import examples

from whybox import ExplainError, Explanation, views
from whybox.tensors import to_tensor
from whybox.v1 import explain_pb2, explanation_pb2, model_pb2, tensor_pb2

MESSAGES = {
    views.Target: explanation_pb2.Target,
    views.Usage: explanation_pb2.Usage,
    views.Provenance: explanation_pb2.Provenance,
    views.Plan: explain_pb2.Plan,
    views.Parameter: explain_pb2.ParameterInfo,
    views.Method: explain_pb2.MethodInfo,
    views.TensorInfo: model_pb2.TensorInfo,
    views.Model: model_pb2.Model,
}


@pytest.fixture
def e() -> Explanation:
    return Explanation(examples.attribution())


@pytest.mark.parametrize(("kind", "message"), MESSAGES.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_views_have_the_fields_of_their_messages(kind: type[Any], message: type[Message]) -> None:
    """A field that is added to the proto must be added to the view (a plan also has its response's notes)."""
    extra = {"notes"} if kind is views.Plan else set()
    assert {field.name for field in fields(kind)} == set(message.DESCRIPTOR.fields_by_name) | extra


def test_numbers_are_those_of_the_first_target(e: Explanation) -> None:
    """The target axis is gone; the units are the target's."""
    assert e.values.tolist() == examples.VALUES[0].tolist()
    assert e.base_value == 1.0
    assert e.standard_errors is not None
    assert e.standard_errors.tolist() == examples.ERRORS[0].tolist()
    assert e.quality == {"weighted_r2": 0.875}
    assert e.segments is not None
    assert e.segments.tolist() == [0, 1, 2, 3]
    assert (e.target.label, e.target.index, e.target.space, e.target.probability) == ("yes", 1, "logit", 0.75)


def test_every_target_can_be_had_alone(e: Explanation) -> None:
    """By position, by label, from the end, and one after the other; base + sum = score for each."""
    assert len(e) == 2
    assert e[1] == e["no"] == e[-1] == list(e)[1]
    assert e[1].values.tolist() == examples.VALUES[1].tolist()
    assert (len(e[1]), e[1].quality, e[1].target.label) == (1, {"weighted_r2": 0.5}, "no")
    for one in e:
        assert one.base_value is not None
        assert one.base_value + one.values.sum() == one.target.score
    assert len(e) == 2, "taking one must not change the whole"


def test_a_target_that_was_not_asked_for_is_an_error_of_the_caller(e: Explanation) -> None:
    """As with lists and dicts; a label gets the nearest one."""
    with pytest.raises(IndexError):
        e[2]
    with pytest.raises(KeyError, match="did you mean yes"):
        e["yess"]


def test_lists_begin_with_the_largest_whatever_its_sign(e: Explanation) -> None:
    """as_list goes by name, as_map by position: two columns may have the same name."""
    assert e.as_list() == [("income", -2.0), ("age", 1.25), ("age", 0.5), ("city", 0.0)]
    assert e.as_map() == {
        1: [(1, -2.0), (3, 1.25), (0, 0.5), (2, 0.0)],
        0: [(1, 2.0), (0, -0.5), (3, 0.25), (2, 0.0)],
    }


def test_values_per_element_are_named_by_their_place() -> None:
    """In the order of values.ravel()."""
    e = Explanation(examples.picture())
    assert e.values.shape == (2, 40, 40)
    assert e.segments is None
    assert e.names[:2] == ("x[0, 0, 0]", "x[0, 0, 1]")
    assert e.names[-1] == "x[1, 39, 39]"
    assert not e.complete
    assert e.base_value is None
    assert e.quality == {}


def test_usage_and_provenance_are_plain_attributes(e: Explanation) -> None:
    """Enums by their names, maps as dicts."""
    assert (e.usage.rows_planned, e.usage.rows_unique, e.usage.queued_ms) == (64, 50, 0.0)
    assert (e.provenance.seed, e.provenance.mode, e.provenance.method) == (7, "fast", "lime")
    assert e.provenance.libraries == {"numpy": "2.0", "onnxruntime": "1.23"}
    assert e.warnings == ("city was never varied",)


def test_the_repr_is_one_short_line(e: Explanation) -> None:
    """What was explained, how well known, and the strongest parts."""
    assert repr(e) == (
        "<Explanation lime of 'yes' (1) and 1 more: logit 0.75, 64 rows; income -2, age +1.25, age +0.5>"
    )
    assert "PARTIAL" in repr(Explanation(examples.picture()))


@pytest.mark.parametrize("message", [examples.attribution(), examples.picture()], ids=["row", "picture"])
def test_json_and_npz_lose_nothing(message: explanation_pb2.Explanation, tmp_path: Path) -> None:
    """Equal serialised bytes after the way there and back, NaN and rendered pictures included."""
    e = Explanation(message)
    e.to_json(tmp_path / "e.json")
    e.to_npz(tmp_path / "e.npz")
    back = [
        Explanation.from_json((tmp_path / "e.json").read_text()),
        Explanation.from_npz(tmp_path / "e.npz"),
    ]
    expected = message.SerializeToString(deterministic=True)
    assert [one.message.SerializeToString(deterministic=True) for one in back] == [expected] * 2


@given(
    arrays.arrays(np.float64, arrays.array_shapes(max_dims=3, max_side=4, min_side=0)),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_json_keeps_every_float_and_every_label(values: np.ndarray, label: str) -> None:
    """repr of a double is exact; NaN and infinities are words, as in protobuf's own JSON."""
    message = explanation_pb2.Explanation()
    message.targets.add(label=label, score=float(values.ravel()[0]) if values.size else 0.0)
    message.attribution.values.CopyFrom(to_tensor(values[None], ""))
    text = Explanation(message).to_json()
    back = Explanation.from_json(text)
    assert np.array_equal(back.values, values, equal_nan=True)
    known = ~np.isnan(values)  # a NaN has no sign
    assert np.array_equal(np.signbit(back.values[known]), np.signbit(values[known]))
    assert back.message.targets[0].label == label


@pytest.mark.parametrize("dtype", [d for d in tensor_pb2.DataType.values() if d])
@pytest.mark.parametrize("size", [3, 5000])
def test_json_keeps_every_dtype(dtype: int, size: int) -> None:
    """Listed when small, packed when large."""
    array = np.arange(size) % 2
    tensor = to_tensor(array.astype(str) if dtype == tensor_pb2.DATA_TYPE_STRING else array, "")
    if dtype != tensor_pb2.DATA_TYPE_STRING:
        from whybox.tensors import DTYPES

        tensor = to_tensor(array.astype(DTYPES[dtype]), "")  # type: ignore[index]
    message = explanation_pb2.Explanation()
    message.targets.add()
    message.subject.tensor.CopyFrom(tensor)
    assert Explanation.from_json(Explanation(message).to_json()).message == message


def test_json_also_speaks_the_words_of_vertex(e: Explanation) -> None:
    """Names that other readers know; a name that comes twice is kept twice."""
    first = json.loads(e.to_json())["attributions"][0]
    assert first == {
        "outputIndex": 1,
        "outputDisplayName": "yes",
        "instanceOutputValue": 0.75,
        "baselineOutputValue": 1.0,
        "approximationError": 0.0,
        "featureAttributions": {"age": 0.5, "income": -2.0, "city": 0.0, "age (2)": 1.25},
    }


def test_the_arrays_of_an_npz_are_for_numpy(e: Explanation, tmp_path: Path) -> None:
    """Without whybox: values (targets, ...), segments, names; no pickle."""
    e.to_npz(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert file["values"].tolist() == examples.VALUES.tolist()
        assert file["segments.x"].tolist() == [0, 1, 2, 3]
        assert file["names"].tolist() == list(examples.COLUMNS)
        assert file["target_label"].tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x"}', '{"format": "whybox.v1.Explanation", "a": 1}']
)
def test_foreign_json_is_refused(text: str) -> None:
    """In words, with what to pass instead."""
    with pytest.raises(ExplainError, match="no explanation that whybox wrote"):
        Explanation.from_json(text)


def test_a_foreign_npz_is_refused(tmp_path: Path) -> None:
    """An archive of other arrays."""
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with pytest.raises(ExplainError, match="no explanation that whybox wrote"):
        Explanation.from_npz(tmp_path / "x.npz")


def test_a_result_of_a_newer_kind_has_no_values_and_says_so() -> None:
    """An old client shows what it can: targets and usage stay readable."""
    message = examples.attribution()
    message.ClearField("attribution")
    e = Explanation(message)
    with pytest.raises(ExplainError, match="newer kind"):
        _ = e.values
    assert e.target.label == "yes"
    assert "yes" in repr(e)
    assert e[1].target.label == "no"
    assert Explanation.from_json(e.to_json()) == e


def test_an_attribution_has_no_form_in_alibi(e: Explanation) -> None:
    """Said, with another way."""
    with pytest.raises(ExplainError, match="rules and contrasts"):
        e.to_alibi()


def test_shap_is_refused_what_does_not_add_up(e: Explanation) -> None:
    """shap's plots add the values up to the score."""
    e.message.attribution.additive = False
    with pytest.raises(ExplainError, match="force=True"):
        e.to_shap()


def test_a_missing_shap_is_said_with_its_remedy(e: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no dependency."""
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ExplainError, match="pip install shap"):
        e.to_shap()


def test_shap_gets_values_base_data_and_errors(e: Explanation) -> None:
    """One target: (features,); several: (features, targets). Where shap is installed."""
    shap = pytest.importorskip("shap")
    one, both = e[0].to_shap(), e.to_shap()
    assert isinstance(one, shap.Explanation)
    assert one.values.tolist() == examples.VALUES[0].tolist()
    assert one.base_values == 1.0
    assert one.feature_names == list(examples.COLUMNS)
    assert both.values.tolist() == examples.VALUES.T.tolist()
    assert both.output_names == ["yes", "no"]
    e.message.attribution.additive = False
    with pytest.warns(UserWarning, match="do not add up"):
        e.to_shap(force=True)


def test_pictures_pages_and_text_come_from_the_renderer(e: Explanation, tmp_path: Path) -> None:
    """Written to the path and returned alike; the notebook's frame escapes the page."""
    assert e.to_png(tmp_path / "e.png") == (tmp_path / "e.png").read_bytes()
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert e.to_html(tmp_path / "e.html") == (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "income" in e.to_text()
    assert e._repr_html_().count("<") == 2
    assert e.heatmap().shape == (4,)
