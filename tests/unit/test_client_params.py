"""Parameters go by the descriptors: by name, typed, and all violations at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whybox import ExplainError
from whybox.descriptors import enum_name, enum_names
from whybox.params import from_text, set_method
from whybox.tensors import to_tensor
from whybox.v1 import explain_pb2, method_pb2
from whybox.v1.method_pb2 import Baseline, LimeParams, OcclusionParams, Segmentation


def built(method: str, **params: Any) -> Any:
    request = explain_pb2.ExplainRequest()
    set_method(request, method, params)
    return getattr(request, method)


METHODS = [field.name for field in explain_pb2.ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_proto_can_be_chosen_without_parameters(method: str) -> None:
    """The oneof is set even when its message is empty; new methods are found by themselves."""
    request = explain_pb2.ExplainRequest()
    set_method(request, method, {})
    assert request.WhichOneof("method") == method


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_of_every_method_takes_a_value_of_its_type(method: str) -> None:
    """What a descriptor offers can be set, from Python and from the shell, to the same message."""
    for name, field in explain_pb2.ExplainRequest.DESCRIPTOR.fields_by_name[
        method
    ].message_type.fields_by_name.items():
        text = "true" if field.cpp_type == field.CPPTYPE_BOOL else "2"
        if field.enum_type is not None:
            text = next(iter(enum_names(field.enum_type)))
        from_shell = built(method, **from_text(method, [f"{name}={text}"]))
        is_text = field.enum_type is not None or field.cpp_type == field.CPPTYPE_STRING
        value: Any = text if is_text else True if text == "true" else 2
        assert from_shell == built(method, **{name: value})
        assert [set_field.name for set_field, _ in from_shell.ListFields()] == [name]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"baseline": "blur"}, LimeParams(baseline=Baseline(kind=method_pb2.BASELINE_KIND_BLUR))),
        ({"baseline": 0.5}, LimeParams(baseline=Baseline(kind=method_pb2.BASELINE_KIND_CONSTANT, value=0.5))),
        ({"baseline": 0}, LimeParams(baseline=Baseline(kind=method_pb2.BASELINE_KIND_CONSTANT, value=0))),
        (
            {"baseline": {"kind": "blur", "sigma": 3}},
            LimeParams(baseline=Baseline(kind=method_pb2.BASELINE_KIND_BLUR, sigma=3)),
        ),
        (
            {"segmentation": [0, 1]},
            LimeParams(
                segmentation=Segmentation(
                    kind=method_pb2.SEGMENTATION_KIND_GIVEN, given=to_tensor(np.array([0, 1]), "")
                )
            ),
        ),
        (
            {"segmentation": {"given": np.array([0, 1])}},
            LimeParams(
                segmentation=Segmentation(
                    kind=method_pb2.SEGMENTATION_KIND_GIVEN, given=to_tensor(np.array([0, 1]), "")
                )
            ),
        ),
        ({"segmentation": 100}, LimeParams(segmentation=Segmentation(count=100))),
        (
            {"segmentation": "SLIC"},
            LimeParams(segmentation=Segmentation(kind=method_pb2.SEGMENTATION_KIND_SLIC)),
        ),
        ({"discretizer": "quartile"}, LimeParams(discretizer=method_pb2.DISCRETIZER_QUARTILE)),
        ({"num_samples": np.int64(9), "ridge": np.float32(2)}, LimeParams(num_samples=9, ridge=2.0)),
        ({"sample_around_instance": False}, LimeParams(sample_around_instance=False)),
        ({"num_samples": None}, LimeParams()),
    ],
)
def test_shorthands_mean_the_message_they_stand_for(params: dict[str, Any], message: LimeParams) -> None:
    """Written out by hand on the right."""
    assert built("lime", **params) == message


@pytest.mark.parametrize("window", [(15, 15), [15, 15], np.array([15, 15])])
def test_a_list_may_be_any_sequence(window: Any) -> None:
    """And one number stands for a list of one."""
    assert built("occlusion", window=window) == OcclusionParams(window=[15, 15])
    assert built("occlusion", window=15) == OcclusionParams(window=[15])


def test_all_violations_are_told_at_once_with_the_nearest_names() -> None:
    """Four wrong parameters, four violations, each with its path."""
    with pytest.raises(ExplainError) as refused:
        built(
            "lime", num_sample=5, discretizer="quartiles", paired="yes", baseline={"kind": "blurr", "sigm": 2}
        )
    said = {v.field: v.description for v in refused.value.violations}
    assert set(said) == {
        "lime.num_sample",
        "lime.discretizer",
        "lime.paired",
        "lime.baseline.kind",
        "lime.baseline.sigm",
    }
    assert "num_samples" in said["lime.num_sample"]
    assert "did you mean quartile" in said["lime.discretizer"]
    assert "True or False" in said["lime.paired"]
    assert "blur" in said["lime.baseline.kind"]
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


@pytest.mark.parametrize("value", [1.5, "many", True, float("nan"), float("inf"), 2**40, [1, 2]], ids=str)
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    """Neither fractions, words, booleans, what is no number, nor what is too large for the field."""
    with pytest.raises(ExplainError) as refused:
        built("lime", num_samples=value)
    assert refused.value.violations[0].field == "lime.num_samples"


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    """Near names first."""
    with pytest.raises(ExplainError, match="did you mean occlusion"):
        built("oclusion")
    with pytest.raises(ExplainError, match="there are .*lime, .*occlusion"):
        built("xyz")


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("window=15,16", [15, 16]),
        ("window=(15, 16)", [15, 16]),
        ("window=15", [15]),
        ("baseline=0.5", 0.5),
        ("baseline=mean", "mean"),
        ('baseline={"kind": "blur", "sigma": 3}', {"kind": "blur", "sigma": 3}),
    ],
)
def test_the_shell_writes_what_python_writes(pair: str, value: Any) -> None:
    """Text is typed by the descriptor of its field."""
    assert from_text("occlusion", [pair]) == {pair.partition("=")[0]: value}


def test_an_array_comes_from_a_file(tmp_path: Any) -> None:
    """segmentation=@FILE.npy is the array in the file."""
    np.save(tmp_path / "cut.npy", np.array([0, 0, 1]))
    values = from_text("lime", [f"segmentation=@{tmp_path}/cut.npy"])
    assert values["segmentation"].tolist() == [0, 0, 1]


def test_wrong_pairs_are_all_told() -> None:
    """No "=", an unknown name, a word for a number, a word for a truth, broken JSON, a missing file."""
    pairs = ["x", "widow=1", "num_samples=ten", "paired=maybe", "baseline={", "segmentation=@none.npy"]
    with pytest.raises(ExplainError) as refused:
        from_text("lime", pairs)
    assert len(refused.value.violations) == len(pairs)


def test_a_choice_of_a_newer_server_is_shown_by_its_number() -> None:
    """An old client reads a new server without failing."""
    assert enum_name(method_pb2.BaselineKind.DESCRIPTOR, 99) == "99"
    assert enum_name(method_pb2.BaselineKind.DESCRIPTOR, 0) is None
