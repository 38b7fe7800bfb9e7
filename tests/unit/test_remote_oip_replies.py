"""Replies of the Open Inference Protocol, over HTTP and gRPC, true ones and others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.remote.oip import ENDPOINT, X, asked, binary, claims, grpc, rest
from tests.remote.speaking import held

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.serving.remote.exchange import Answer
from whybox_server.serving.remote.speech import oip_grpc
from whybox_server.serving.remote.speech.oip import DTYPES, raw_of
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb


def test_a_binary_reply_is_read_in_order() -> None:
    """A label first, of another length; the chosen output is the second one."""
    label = {"name": "label", "datatype": "INT64", "shape": [3], "parameters": {"binary_data_size": 24}}
    said = rest(reply=lambda _: binary([label, claims(24)], bytes(24) + X.tobytes()))
    np.testing.assert_array_equal(asked(said, {"x": X}), X)


@pytest.mark.parametrize(
    "answer",
    [
        binary([claims(25)], X.tobytes()),
        binary([claims(-4)], X.tobytes() + bytes(4)),
        binary([claims("24")], X.tobytes()),
        binary([claims(True)], X.tobytes()),
        binary([claims(23)], X.tobytes()),
        binary([claims(24)], X.tobytes(), "99999"),
        binary([claims(24)], X.tobytes(), "-5"),
        binary([claims(24)], X.tobytes(), "9" * 5000),
        Answer(b"<html>no</html>", {"content-type": "text/html"}),
        Answer(b""),
        Answer(b"[" * 100_000),
        {"outputs": None},
        {"error": "no"},
        [],
        {"outputs": [None]},
        {"outputs": [{"name": 1, "datatype": "FP32", "shape": [3, 2], "data": []}]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": ["3", 2], "data": []}]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [3, 2]}]},
        {"outputs": [{"name": "other", "datatype": "FP32", "shape": [3, 2], "data": [0] * 6}]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": [0] * 6}]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [], "data": 1}]},
    ],
)
def test_what_is_no_answer_is_refused(answer: Any) -> None:
    """Every one of them with ModelOutputInvalid, whose text is short and quotes no content."""
    with pytest.raises(ModelOutputInvalid) as caught:
        asked(rest(reply=lambda _: answer), {"x": X})
    assert len(caught.value.message) < 300


FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT64": "int64_contents",
    "UINT16": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


@pytest.mark.parametrize("datatype", FIELDS)
def test_typed_and_raw_contents_say_the_same(datatype: str) -> None:
    """Over gRPC a reply may use either, whatever the request did; here each field holds two columns of numbers."""
    array = (X > 2).astype(DTYPES[datatype])
    shape = {"name": "scores", "datatype": datatype, "shape": [3, 2]}
    contents = pb.InferTensorContents(**{FIELDS[datatype]: array.ravel().tolist()})
    typed = pb.ModelInferResponse(outputs=[pb.InferTensor(**shape, contents=contents)])
    raws = [bytes(raw_of(datatype, array))]
    raw = pb.ModelInferResponse(outputs=[pb.InferTensor(**shape)], raw_output_contents=raws)
    empty = pb.InferTensor(**shape, contents=pb.InferTensorContents())
    both = pb.ModelInferResponse(outputs=[empty], raw_output_contents=raws)
    for reply in (typed, raw, both):
        answer = grpc(reply)
        said = held(oip_grpc.describe(ENDPOINT), answer)
        scores = held(oip_grpc.ask(ENDPOINT, said, {"x": X}), answer)
        np.testing.assert_array_equal(scores, array.astype(float))


def test_raw_and_typed_contents_may_be_mixed() -> None:
    """KServe does so: raw contents are those of the outputs without typed ones, in order."""
    label = pb.InferTensor(
        name="label",
        datatype="INT64",
        shape=[3],
        contents=pb.InferTensorContents(int64_contents=[0, 1, 2]),
    )
    scores = pb.InferTensor(name="scores", datatype="FP32", shape=[3, 2])
    answer = grpc(pb.ModelInferResponse(outputs=[label, scores], raw_output_contents=[X.tobytes()]))
    said = held(oip_grpc.describe(ENDPOINT), answer)
    np.testing.assert_array_equal(held(oip_grpc.ask(ENDPOINT, said, {"x": X}), answer), X)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"\xff\xff\xff"),
        Answer(pb.ModelInferResponse().SerializeToString()),
        Answer(pb.ModelInferResponse(raw_output_contents=[b"abc"]).SerializeToString()),
        Answer(
            pb.ModelInferResponse(
                outputs=[pb.InferTensor(name="scores", datatype="BF16", shape=[3, 2])],
            ).SerializeToString(),
        ),
        Answer(
            pb.ModelInferResponse(
                outputs=[pb.InferTensor(name="scores", datatype="FP32", shape=[3, 2])],
            ).SerializeToString(),
        ),
    ],
)
def test_what_is_no_answer_over_grpc_is_refused(answer: Answer) -> None:
    said = held(oip_grpc.describe(ENDPOINT), grpc(pb.ModelInferResponse()))
    with pytest.raises(ModelOutputInvalid):
        held(oip_grpc.ask(ENDPOINT, said, {"x": X}), lambda call: answer)
