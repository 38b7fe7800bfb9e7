"""Tensors of the Open Inference Protocol as instances of ours: axis 0 counts them, whatever else their shape says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inferring import NUMPY, SOME, arrays

from whybox.v1 import explain_pb2, explanation_pb2
from whybox_server.api.tensors import to_array
from whybox_server.core.errors import InvalidRequest, UnknownModel
from whybox_server.kserve.asked import Metadata
from whybox_server.kserve.infer import InferInput, InferRequest
from whybox_server.kserve.infer_call import check_version, instances_of, parameters_in, written
from whybox_server.serving.onnx.signature import RowInfo

FLOAT = np.dtype(np.float32)


def given_as(name: str, values: Any, datatype: str = "FP32") -> InferInput:
    return InferInput(name, datatype, np.array(values, NUMPY[datatype]))


def row(name: str, *shape: int | None) -> RowInfo:
    return RowInfo(name, FLOAT, shape)


def arrays_in(instance: explain_pb2.Instance) -> dict[str, np.ndarray]:
    return {name: to_array(tensor, name) for name, tensor in instance.tensors.by_name.items()}


@pytest.mark.parametrize("datatype", [name for name in NUMPY if name != "BYTES"])
@SOME
@given(data=st.data())
def test_an_instance_is_a_row_of_the_tensor_bit_for_bit(datatype: str, data: st.DataObject):
    """array[i], also where that is a single number; the empty name is the model's only input."""
    array = data.draw(arrays(datatype, finite=False))
    instances = instances_of([InferInput("input-0", datatype, array)], [row("x", None)])
    assert len(instances) == len(array)
    for at, instance in enumerate(instances):
        [(name, found)] = arrays_in(instance).items()
        assert name == ""
        assert found.dtype == array.dtype
        assert found.shape == array.shape[1:]
        assert found.tobytes() == array[at].tobytes()


@pytest.mark.parametrize("values", [["a", "bc"], [["a"], ["bc"]]])
def test_bytes_of_one_text_each_are_texts(values: Any):
    instances = instances_of([given_as("text", values, "BYTES")], [])
    assert [one.text for one in instances] == ["a", "bc"]


def test_bytes_of_several_texts_each_are_tensors():
    [first, second] = instances_of([given_as("words", [["a", "b"], ["c", "d"]], "BYTES")], [row("words", 2)])
    assert [arrays_in(one)[""].tolist() for one in (first, second)] == [["a", "b"], ["c", "d"]]


def test_where_nobody_says_what_the_model_takes_the_callers_name_stands():
    """One tensor or several; and nobody says that they are a table's."""
    [instance] = instances_of([given_as("pixels", [[1, 2]])], [])
    assert [*arrays_in(instance)] == ["pixels"]
    [alone] = instances_of([given_as("b", [[1, 2]])], [row("a", 2), row("b", 2)])
    assert [*arrays_in(alone)] == ["b"], "one of two inputs is called by its name, so that the other is missed"
    [instance] = instances_of([given_as("a", [[1]]), given_as("b", [[2]])], [])
    assert {name: array.shape for name, array in arrays_in(instance).items()} == {"a": (1,), "b": (1,)}


def test_several_tensors_are_inputs_by_name():
    image, age = given_as("image", np.ones((2, 3, 3))), given_as("age", [[1], [2]])
    instances = instances_of([image, age], [row("image", 3, 3), row("age", 1)])
    assert [{name: array.shape for name, array in arrays_in(one).items()} for one in instances] == [
        {"image": (3, 3), "age": (1,)}
    ] * 2


@pytest.mark.parametrize("columns", [lambda values: values, lambda values: [[value] for value in values]])
def test_columns_are_the_records_of_a_table(columns: Any):
    """One tensor per column, [n] or [n, 1], as MLServer writes data frames."""
    inputs = [
        given_as("age", columns([39, 50]), "INT64"),
        given_as("job", columns(["clerk", "farmer"]), "BYTES"),
        given_as("rich", columns([True, False]), "BOOL"),
    ]
    first, second = instances_of(inputs, [row("row", 3)])
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in first.record.fields.items()} == {
        "age": 39,
        "job": "clerk",
        "rich": 1,
    }
    assert second.record.fields["job"].text == "farmer"


def test_columns_with_the_names_of_the_inputs_are_inputs():
    """A model of several single numbers need not be a table's; and no whole number is rounded on its way."""
    inputs = [given_as("a", [[2**62 + 1]], "INT64"), given_as("b", [[2]], "INT64")]
    [instance] = instances_of(inputs, [row("b", 1), row("a", 1)])
    assert arrays_in(instance)["a"].tolist() == [2**62 + 1]


@pytest.mark.parametrize(
    ("inputs", "takes", "place"),
    [
        ([given_as("any", np.ones((3, 8, 8)))], [row("image", 3, 8, 8)], "inputs[0].shape"),
        ([given_as("any", np.ones((3, 8, 9)))], [row("image", 3, None, None)], "inputs[0].shape"),
        ([given_as("any", np.ones((1, 1)))], [row("x", 1, 1)], "inputs[0].shape"),
        ([given_as("any", np.ones(4))], [row("x", 4)], "inputs[0].shape"),
        ([given_as("a", np.ones((2, 1))), given_as("b", np.ones(2))], [row("a", 1), row("b", 2)], "inputs[1].shape"),
    ],
)
def test_a_tensor_without_the_axis_of_instances_is_told_to_have_one(
    inputs: Sequence[InferInput], takes: Sequence[RowInfo], place: str
):
    with pytest.raises(InvalidRequest) as caught:
        instances_of(inputs, takes)
    [violation] = caught.value.violations
    assert violation.field == place
    shape = list(inputs[int(place[7])].array.shape)
    assert f"give {[1, *shape]}" in violation.description


@pytest.mark.parametrize("length", [1, None])
def test_numbers_alone_are_instances_of_one_number(length: int | None):
    """(None,) takes four instances of one number as well as one of four: axis 0 counts."""
    assert len(instances_of([given_as("x", np.ones(4))], [row("x", length)])) == 4
    assert len(instances_of([given_as("x", np.ones(1))], [row("x", length)])) == 1


@pytest.mark.parametrize("nested", [{"num_samples": 50}, '{"num_samples": 50}'])
def test_mlservers_explain_parameters_are_parameters(nested: Any):
    """Its clients put them one level deeper, and over gRPC into a text; what says how a request is written is left out."""
    outer = {"method": "lime", "explain_parameters": nested, "content_type": "np", "headers": {"a": "b"}}
    assert parameters_in(InferRequest((), outer)) == {"method": "lime", "num_samples": 50}


@pytest.mark.parametrize("nested", ["{", "3", 3, [], '["a"]'])
def test_broken_explain_parameters_are_refused(nested: Any):
    with pytest.raises(InvalidRequest) as caught:
        parameters_in(InferRequest((), {"explain_parameters": nested}))
    assert caught.value.violations[0].field == "parameters.explain_parameters"


def test_a_version_that_is_not_there_is_no_model():
    two = Metadata("m", ("2",), ())
    assert check_version(two, "") is two
    assert check_version(two, "2") is two
    with pytest.raises(UnknownModel, match="there is 2"):
        check_version(two, "1")
    with pytest.raises(UnknownModel, match="leave it out"):
        check_version(Metadata("m", (), ()), "1")


def test_each_explanation_is_an_element_of_json():
    one = explanation_pb2.Explanation()
    one.usage.rows_asked = 7
    output = written([one, explanation_pb2.Explanation()], {"method": "lime"})
    assert (output.name, output.datatype, output.array.shape) == ("explanation", "BYTES", (2, 1))
    first, second = (json.loads(text) for text in output.array[:, 0])
    assert first["usage"]["rows_asked"] in (7, "7")
    assert second["parameters"] == {"method": "lime"}
