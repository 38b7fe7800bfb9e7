"""Requests of the Open Inference Protocol that are refused: every violation, by its place, with what to do instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inferring import MESSAGES, read, tensor, typed

from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.infer_grpc import from_message
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

FINE = tensor(data=[1.0])


def sized(size: Any, **more: Any) -> dict:
    return tensor(parameters={"binary_data_size": size}, **more)


def refused(*args: Any, **options: Any) -> dict[str, str]:
    """What is wrong, by place."""
    with pytest.raises(InvalidRequest) as caught:
        read(*args, **options)
    return {violation.field: violation.description for violation in caught.value.violations}


def refused_over_grpc(message: pb.ModelInferRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        from_message(message)
    return {violation.field: violation.description for violation in caught.value.violations}


@pytest.mark.parametrize(
    ("body", "place", "says"),
    [
        (b"", "body", "no JSON"),
        (b"\xff", "body", "no JSON"),
        (b'{"inputs": [NaN]}', "inputs[0]", "finite"),
        (b'{"inputs": [1e999]}', "inputs[0]", "finite"),
        (b"[" * 100_000, "body", "deep"),
        ([], "body", "object"),
        (3, "body", "object"),
        ({}, "inputs", "required"),
        ({"inputs": []}, "inputs", "at least one"),
        ({"inputs": {}}, "inputs", "required"),
        ({"inputs": [3]}, "inputs[0]", "object"),
        ({"inputs": [None]}, "inputs[0]", "object"),
        ({"instances": [[1.0]]}, "instances", "here it is inputs"),
        ({"inputs": [FINE], "parametrs": {}}, "parametrs", "did you mean 'parameters'"),
        ({"inputs": [FINE], "parameters": []}, "parameters", "object"),
        ({"inputs": [FINE], "id": 3}, "id", "text"),
        ({"inputs": [FINE], "outputs": 3}, "outputs", "list"),
        ({"inputs": [FINE], "outputs": [3]}, "outputs[0]", "object"),
        ({"inputs": [FINE], "outputs": [{"name": "scores"}]}, "outputs[0].name", "'explanation'"),
        ({"inputs": [FINE], "outputs": [{"name": ["x"]}]}, "outputs[0].name", "'explanation'"),
        ({"inputs": [tensor(dtype="FP32", data=[1.0])]}, "inputs[0].dtype", "did you mean 'datatype'"),
        ({"inputs": [tensor(name=None, data=[1.0])]}, "inputs[0].name", "required"),
        ({"inputs": [tensor(name=3, data=[1.0])]}, "inputs[0].name", "text"),
        ({"inputs": [tensor(datatype="FLOAT", data=[1.0])]}, "inputs[0].datatype", "FP32"),
        ({"inputs": [tensor(datatype=["FP32"], data=[1.0])]}, "inputs[0].datatype", "FP32"),
        ({"inputs": [tensor(datatype="BF16", data=[1.0])]}, "inputs[0].datatype", "send FP32"),
        ({"inputs": [tensor(datatype="FP16", data=[1.0])]}, "inputs[0].data", "raw bytes"),
        ({"inputs": [{**FINE, "shape": 3}]}, "inputs[0].shape", "list"),
        ({"inputs": [tensor(shape=[True], data=[1.0])]}, "inputs[0].shape", "whole"),
        ({"inputs": [tensor(shape=[1.0], data=[1.0])]}, "inputs[0].shape", "whole"),
        ({"inputs": [tensor(shape=[], data=[1.0])]}, "inputs[0].shape", "axis 0 counts instances"),
        ({"inputs": [tensor(shape=[-1], data=[1.0])]}, "inputs[0].shape", "positive"),
        ({"inputs": [tensor(shape=[0, 3], data=[])]}, "inputs[0].shape", "positive"),
        ({"inputs": [tensor(shape=[2**40, 0], data=[])]}, "inputs[0].shape", "positive"),
        ({"inputs": [tensor(shape=[1025], data=[1.0] * 1025)]}, "inputs[0].shape", "at most 1024"),
        ({"inputs": [tensor(shape=[1] * 17, data=[1.0])]}, "inputs[0].shape", "at most 16"),
        ({"inputs": [tensor(shape=[1, 10**30], data=[1.0])]}, "inputs[0].data", "1 elements"),
        ({"inputs": [tensor(shape=[2, 2], data=[1.0, 2.0])]}, "inputs[0].data", "needs 4 elements"),
        ({"inputs": [tensor(shape=[1, 4], data=[[1.0, 2.0], [3.0, 4.0]])]}, "inputs[0].data", "shape [2, 2]"),
        ({"inputs": [tensor(shape=[2, 2], data=[[1.0, 2.0], [3.0]])]}, "inputs[0].data", "unequal"),
        ({"inputs": [tensor(shape=[2, 2], data=[[1.0, 2.0], 3.0])]}, "inputs[0].data[1]", "list"),
        ({"inputs": [tensor()]}, "inputs[0].data", "required"),
        ({"inputs": [tensor(data="1.0")]}, "inputs[0].data", "list"),
        ({"inputs": [tensor(data=["1.0"])]}, "inputs[0].data[0]", "number"),
        ({"inputs": [tensor(data=[None])]}, "inputs[0].data[0]", "number"),
        ({"inputs": [tensor(data=[1e39])]}, "inputs[0].data[0]", "too large for float32"),
        ({"inputs": [tensor(datatype="UINT8", data=[256])]}, "inputs[0].data[0]", "[0, 255]"),
        ({"inputs": [tensor(datatype="INT8", data=[1.5])]}, "inputs[0].data[0]", "whole"),
        ({"inputs": [tensor(datatype="BOOL", data=[1])]}, "inputs[0].data[0]", "true or false"),
        ({"inputs": [tensor(datatype="BYTES", data=[1])]}, "inputs[0].data[0]", "text"),
        ({"inputs": [FINE, FINE]}, "inputs[1].name", "inputs[0]"),
        ({"inputs": [FINE, tensor("y", [2], data=[1.0, 2.0])]}, "inputs[1].shape", "inputs[0] has 1"),
        ({"inputs": [sized(4)]}, "inputs[0].parameters.binary_data_size", "inference-header-content-length"),
        ({"inputs": [sized(True)]}, "inputs[0].parameters.binary_data_size", "bytes"),
        ({"inputs": [sized("4")]}, "inputs[0].parameters.binary_data_size", "bytes"),
    ],
)
def test_bodies_of_every_wrong_shape(body: Any, place: str, says: str):
    found = refused(body)
    assert says in found[place], found


def test_every_violation_is_listed_at_once():
    broken = {"id": 3, "inputs": [tensor(name=None), tensor(shape=[-1]), sized(-1)], "outputs": [{"name": "y"}]}
    assert refused(broken).keys() >= {
        "id",
        "inputs[0].name",
        "inputs[1].shape",
        "inputs[2].parameters.binary_data_size",
        "outputs[0].name",
    }


@pytest.mark.parametrize(
    ("inputs", "raw", "place", "says"),
    [
        ([sized(3)], b"abc", "inputs[0]", "3 bytes"),
        ([sized(5)], b"abcd", "inputs[0].parameters.binary_data_size", "4 bytes are left"),
        ([sized(-1)], b"abcd", "inputs[0].parameters.binary_data_size", "4 bytes are left"),
        ([sized(4, data=[1.0])], b"abcd", "inputs[0].data", "one of them"),
        ([FINE], b"abcd", "body", "4 bytes behind the JSON"),
        ([sized(4)], b"abcdef", "body", "2 bytes behind the JSON"),
        ([sized(4, datatype="BYTES")], b"\5\0\0\0", "inputs[0]", "middle of an element"),
        ([sized(3, datatype="BYTES")], b"\5\0\0", "inputs[0]", "middle of an element"),
        ([sized(5, datatype="BYTES")], b"\1\0\0\0\xff", "inputs[0].data[0]", "UTF-8"),
        ([sized(5, datatype="BYTES", shape=[2])], b"\1\0\0\0a", "inputs[0].data", "needs 2 elements"),
    ],
)
def test_bytes_behind_the_json_that_do_not_fit(inputs: list, raw: bytes, place: str, says: str):
    found = refused({"inputs": inputs}, raw)
    assert says in found[place], found


@pytest.mark.parametrize("header", ["", "-1", "1.0", " 3", "³", "1e3", "9" * 13, "1000"])
def test_a_header_that_is_no_length_of_the_body(header: str):
    assert "inference-header-content-length" in refused(b'{"inputs": []}', header=header or "x")


@pytest.mark.parametrize(
    ("message", "place", "says"),
    [
        (pb.ModelInferRequest(), "inputs", "at least one"),
        (typed(x=("FP32", np.ones((1, 2))), y=("FP32", np.ones((2, 2)))), "inputs[1].shape", "inputs[0] has 1"),
        (pb.ModelInferRequest(raw_input_contents=[b""]), "raw_input_contents", "1 for 0 inputs"),
        (
            pb.ModelInferRequest(inputs=[pb.InferTensor(name="x", datatype="FP32", shape=[2])]),
            "inputs[0].contents",
            "fp32_contents",
        ),
        (
            pb.ModelInferRequest(
                inputs=[
                    pb.InferTensor(
                        name="x", datatype="FP32", shape=[1], contents=pb.InferTensorContents(fp64_contents=[1])
                    )
                ]
            ),
            "inputs[0].contents",
            "got fp64_contents",
        ),
        (
            pb.ModelInferRequest(inputs=[pb.InferTensor(name="x", datatype="FP16", shape=[1])]),
            "inputs[0].contents",
            "raw_input_contents",
        ),
        (
            pb.ModelInferRequest(inputs=[pb.InferTensor(name="x", datatype="BF16", shape=[1])]),
            "inputs[0].datatype",
            "send FP32",
        ),
        (
            pb.ModelInferRequest(inputs=[pb.InferTensor(name="x", shape=[1])]),
            "inputs[0].datatype",
            "must be one of",
        ),
        (
            pb.ModelInferRequest(
                inputs=[
                    pb.InferTensor(
                        name="x", datatype="UINT8", shape=[2], contents=pb.InferTensorContents(uint_contents=[1, 256])
                    )
                ]
            ),
            "inputs[0].contents[1]",
            "[0, 255]",
        ),
        (
            pb.ModelInferRequest(
                inputs=[
                    pb.InferTensor(
                        name="x", datatype="BYTES", shape=[1], contents=pb.InferTensorContents(bytes_contents=[b"\xff"])
                    )
                ]
            ),
            "inputs[0].data[0]",
            "UTF-8",
        ),
        (
            pb.ModelInferRequest(
                inputs=[pb.InferTensor(name="x", datatype="FP32", shape=[1])], raw_input_contents=[b"abc"]
            ),
            "inputs[0]",
            "3 bytes",
        ),
        (
            pb.ModelInferRequest(
                inputs=[
                    pb.InferTensor(
                        name="x", datatype="FP32", shape=[1], contents=pb.InferTensorContents(fp32_contents=[1])
                    )
                ],
                raw_input_contents=[b"abcd"],
            ),
            "inputs[0].contents",
            "one of them",
        ),
        (
            pb.ModelInferRequest(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="y")]),
            "outputs[0].name",
            "'explanation'",
        ),
    ],
)
def test_messages_of_every_wrong_kind(message: pb.ModelInferRequest, place: str, says: str):
    found = refused_over_grpc(message)
    assert says in found[place], found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "inputs", "outputs", "parameters", "instances"])
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON | st.just("x"),
        "shape": JSON | st.lists(st.integers(-1, 3), max_size=3),
        "datatype": JSON | st.sampled_from(["FP32", "BYTES", "INT8", "UINT64", "BOOL", "FP16", "BF16"]),
        "data": JSON | st.lists(st.floats(-9, 9) | st.integers(0, 1) | st.text(max_size=2), max_size=6),
        "parameters": JSON | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9) | JSON}),
    },
)
BODIES = JSON | st.dictionaries(KEYS, JSON | st.lists(TENSORS, max_size=3), max_size=4)


@given(BODIES, st.binary(max_size=20), st.none() | st.just("") | st.text(max_size=4))
def test_any_json_and_any_bytes_behind_it_are_read_or_refused(body: Any, raw: bytes, header: str | None):
    """Never anything but a request or InvalidRequest; header "" is the right one."""
    try:
        request = read(body, raw, header)
    except InvalidRequest as error:
        assert error.violations
    else:
        assert len({len(one.array) for one in request.inputs}) == 1


@given(MESSAGES)
def test_any_message_is_read_or_refused(message: pb.ModelInferRequest):
    try:
        request = from_message(message)
    except InvalidRequest as error:
        assert error.violations
    else:
        assert len({len(one.array) for one in request.inputs}) == 1
