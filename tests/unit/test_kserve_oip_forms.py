"""Tensors of the Open Inference Protocol in every form they may come and go: JSON, raw bytes, typed contents."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inferring import CONTENTS, NUMPY, SOME, TEXTS, arrays, over_grpc, over_rest, read, tensor, typed

from whybox_server.kserve.infer import InferOutput, InferResponse
from whybox_server.kserve.infer_grpc import from_message, to_message
from whybox_server.kserve.infer_json import to_body
from whybox_server.serving.remote.exchange import Answer
from whybox_server.serving.remote.speech import oip_grpc, oip_rest
from whybox_server.serving.remote.speech.oip import array_of
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb


def same(found: np.ndarray, given: np.ndarray) -> bool:
    """Shape, dtype and every bit; NaN is NaN."""
    alike = found.shape == given.shape and found.dtype == given.dtype
    return alike and (found.tolist() == given.tolist() if found.dtype == object else found.tobytes() == given.tobytes())


@pytest.mark.parametrize("datatype", NUMPY)
@SOME
@given(data=st.data())
def test_raw_bytes_are_the_array_again(datatype: str, data: st.DataObject):
    """Our client writes them; every bit comes through, over HTTP and gRPC, NaN and infinities, too."""
    array = data.draw(arrays(datatype, finite=False))
    for request in (over_rest({"x": array}, binary=True, x=datatype), over_grpc({"x": array}, x=datatype)):
        [one] = request.inputs
        assert (one.name, one.datatype) == ("x", datatype)
        assert same(one.array, array)


@pytest.mark.parametrize("datatype", [name for name in NUMPY if name != "FP16"])
@SOME
@given(data=st.data())
def test_json_is_the_array_again_flat_or_nested(datatype: str, data: st.DataObject):
    """Shortest decimals that round to the same number; flat as our client writes, nested as Python does."""
    array = data.draw(arrays(datatype))
    [flat] = over_rest({"x": array}, binary=False, x=datatype).inputs
    [nested] = read({"inputs": [tensor("x", array.shape, datatype, data=array.tolist())]}).inputs
    assert same(flat.array, array)
    assert same(nested.array, array)


@pytest.mark.parametrize("datatype", CONTENTS)
@SOME
@given(data=st.data())
def test_typed_contents_are_the_array_again(datatype: str, data: st.DataObject):
    array = data.draw(arrays(datatype, finite=False))
    [one] = from_message(typed(x=(datatype, array))).inputs
    assert same(one.array, array)


@given(st.lists(arrays("FP32"), min_size=2, max_size=4), st.sampled_from(["raw", "json", "grpc"]))
def test_several_tensors_keep_their_order_and_their_bytes(several: list[np.ndarray], form: str):
    """One behind the other; each takes as many bytes as it says."""
    alike = [np.resize(one, (2, *one.shape[1:])) for one in several]
    rows = {f"x{n}": array for n, array in enumerate(alike)}
    datatypes = dict.fromkeys(rows, "FP32")
    request = over_grpc(rows, **datatypes) if form == "grpc" else over_rest(rows, binary=form == "raw", **datatypes)
    assert [one.name for one in request.inputs] == [*rows]
    assert all(same(one.array, rows[one.name]) for one in request.inputs)


# Written by hand, after the text of the protocol and of Triton's binary extension.
GOLDEN = [
    ("BOOL", [[True, False]], "01 00"),
    ("UINT8", [[1, 255]], "01 ff"),
    ("UINT16", [[258]], "02 01"),
    ("UINT32", [[258]], "02 01 00 00"),
    ("UINT64", [[2**64 - 2]], "fe ff ff ff ff ff ff ff"),
    ("INT8", [[-2]], "fe"),
    ("INT16", [[1, -2]], "01 00 fe ff"),
    ("INT32", [[-2]], "fe ff ff ff"),
    ("INT64", [[-2]], "fe ff ff ff ff ff ff ff"),
    ("FP16", [[1.0, -2.0]], "00 3c 00 c0"),
    ("FP32", [[1.0, -2.0]], "00 00 80 3f 00 00 00 c0"),
    ("FP64", [[1.0]], "00 00 00 00 00 00 f0 3f"),
    ("BYTES", [["a", "", "bc"]], "01 00 00 00 61 00 00 00 00 02 00 00 00 62 63"),
    ("BYTES", [["ä"]], "02 00 00 00 c3 a4"),
]


@pytest.mark.parametrize(("datatype", "values", "raw"), GOLDEN, ids=[f"{g[0]}-{n}" for n, g in enumerate(GOLDEN)])
def test_golden_bytes(datatype: str, values: list, raw: str):
    """Little endian, row major, BOOL a byte, each element of BYTES after its length in four."""
    array = np.array(values, NUMPY[datatype])
    content = bytes.fromhex(raw)
    said = tensor("x", array.shape, datatype, parameters={"binary_data_size": len(content)})
    [one] = read({"inputs": [said]}, content).inputs
    assert same(one.array, array)
    message = pb.ModelInferRequest(raw_input_contents=[content])
    message.inputs.add(name="x", datatype=datatype, shape=array.shape)
    [one] = from_message(message).inputs
    assert same(one.array, array)


def test_null_is_what_is_not_there():
    """Clients with typed models write every field they know."""
    nulls = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor(parameters=None, data=[1.0])]}
    request = read(nulls)
    assert (request.id, request.parameters, request.binary) == ("", {}, False)


def test_id_and_parameters_come_through():
    body = {"id": "42", "parameters": {"method": "lime", "num_samples": 50}, "inputs": [tensor(data=[1.0])]}
    assert (read(body).id, read(body).parameters) == ("42", body["parameters"])
    message = typed(x=("FP32", np.ones(1)))
    message.id = "42"
    message.parameters["method"].string_param = "lime"
    message.parameters["num_samples"].int64_param = 50
    message.parameters["kernel_width"].double_param = 0.5
    request = from_message(message)
    assert (request.id, request.parameters) == ("42", {"method": "lime", "num_samples": 50, "kernel_width": 0.5})


@pytest.mark.parametrize(
    ("outputs", "all_binary", "binary"),
    [
        (None, None, False),
        (None, True, True),
        ([{"name": "explanation"}], True, True),
        ([{"name": "explanation", "parameters": {"binary_data": True}}], None, True),
        ([{"name": "explanation", "parameters": {"binary_data": False}}], True, False),
    ],
)
def test_outputs_are_binary_where_they_are_asked_to_be(outputs: list | None, all_binary: bool | None, binary: bool):
    """What an output's own parameters say goes before the request's; no parameter of the wire reaches the method."""
    parameters = {} if all_binary is None else {"binary_data_output": all_binary}
    request = read({"inputs": [tensor(data=[1.0])], "outputs": outputs, "parameters": parameters})
    assert request.binary is binary
    assert request.parameters == {}


def test_grpc_answers_raw_where_it_was_asked_raw():
    assert over_grpc({"x": np.ones((1, 2), np.float32)}, x="FP32").binary
    assert not from_message(typed(x=("FP32", np.ones((1, 2))))).binary


def response(texts: list[str]) -> InferResponse:
    array = np.empty((len(texts), 1), object)
    array[:, 0] = [text.encode() for text in texts]
    return InferResponse("m", "3", "42", (InferOutput("explanation", "BYTES", array, {"content_type": "str"}),))


@pytest.mark.parametrize("form", ["json", "raw", "typed", "grpc raw"])
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_our_own_client_reads_the_answer(form: str, texts: list[str]):
    """Texts in, the very texts out, (n, 1), in each form an answer has."""
    said = response(texts)
    if form in ("json", "raw"):
        body, headers = to_body(said, binary=form == "raw")
        [one] = oip_rest.outputs_of(Answer(body, headers))
    else:
        message = to_message(said, raw=form == "grpc raw")
        [one] = oip_grpc.outputs_of(pb.ModelInferResponse.FromString(message.SerializeToString()))
    assert (one.name, one.datatype) == ("explanation", "BYTES")
    assert array_of(one).tolist() == [[text] for text in texts]


def test_an_answer_in_json_and_with_bytes_behind_it():
    """By hand, after the text of the protocol."""
    body, headers = to_body(response(["a", "bc"]), binary=False)
    common = {"name": "explanation", "shape": [2, 1], "datatype": "BYTES"}
    outputs = [{**common, "parameters": {"content_type": "str"}, "data": ["a", "bc"]}]
    assert json.loads(body) == {"model_name": "m", "model_version": "3", "id": "42", "outputs": outputs}
    assert headers == {"content-type": "application/json"}
    body, headers = to_body(response(["a", "bc"]), binary=True)
    length = int(headers["inference-header-content-length"])
    outputs = [{**common, "parameters": {"content_type": "str", "binary_data_size": 11}}]
    assert json.loads(body[:length])["outputs"] == outputs
    assert body[length:] == bytes.fromhex("01 00 00 00 61 02 00 00 00 62 63")
    assert headers["content-type"] == "application/octet-stream"
