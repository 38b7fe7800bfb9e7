"""What is asked in the Open Inference Protocol: shapes, bytes, marks and names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remote.oip import ENDPOINT, X, asked, binary, claims, described, echo, grpc, rest
from tests.remote.speaking import held

from whybox_server.core.spec import BatchAxis, ModelSpec
from whybox_server.serving.remote.exchange import Answer, HttpCall
from whybox_server.serving.remote.speech import oip_grpc, oip_rest
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb


def test_rows_go_without_an_axis_where_there_is_none() -> None:
    """(2,) -> (2,): as many calls as rows, each of the bare shape."""
    shape = [{"name": "x", "datatype": "FP32", "shape": [2]}]
    out = [{"name": "scores", "datatype": "FP32", "shape": [2]}]
    seen = []
    answer = rest(shape, out, lambda request: seen.append(request["inputs"][0]["shape"]) or echo(request))
    assert not described(answer).batched
    np.testing.assert_array_equal(asked(answer, {"x": X}), X)
    assert seen == [[2]] * 3


@pytest.mark.parametrize(("length", "calls"), [(1, 3), (2, 2), (4, 1)])
def test_a_fixed_axis_is_filled_up(length: int, calls: int) -> None:
    """With copies of the last row, whose answers are left out."""
    shape = [{"name": "x", "datatype": "FP32", "shape": [length, 2]}]
    out = [{"name": "scores", "datatype": "FP32", "shape": [length, 2]}]
    seen = []
    answer = rest(shape, out, lambda request: seen.append(request["inputs"][0]["shape"]) or echo(request))
    assert described(answer).batched == (length > 1)
    np.testing.assert_array_equal(asked(answer, {"x": X}), X)
    assert seen == [[length, 2]] * calls


def test_the_declared_axis_goes_before_the_guess() -> None:
    """(1, 2) -> (1, 2) is one row of shape (2,) by the metadata alone, and of shape (1, 2) if it says so."""
    shape = [{"name": "x", "datatype": "FP32", "shape": [1, 2]}]
    out = [{"name": "scores", "datatype": "FP32", "shape": [1, 2]}]
    assert described(rest(shape, out)).inputs[0].shape == (2,)
    none = replace(ENDPOINT, spec=ModelSpec(batch=BatchAxis.NONE))
    assert described(rest(shape, out), none).inputs[0].shape == (1, 2)


@pytest.mark.parametrize(
    "server",
    [None, {"extensions": ["binary_tensor_data"]}, {"name": "kserve", "version": "0.21.0"}],
)
def test_bytes_only_where_the_server_takes_them(server: dict | None) -> None:
    """Triton announces the extension; KServe has it since 0.14 and says nothing of it."""
    calls = []

    def answer(call: HttpCall) -> Answer:
        calls.append(call)
        return rest(server=server, reply=lambda _: binary([claims(24)], X.tobytes()))(call)

    np.testing.assert_array_equal(asked(answer, {"x": X}), X)
    assert (oip_rest.JSON_BYTES in calls[-1].headers) == (server is not None)
    assert calls[-1].body.endswith(X.tobytes()) == (server is not None)
    assert [call.asks for call in calls] == [False, False, True]


@pytest.mark.parametrize("version", ["0.13.1", "", "x.y", "9" * 5000])
def test_an_old_kserve_gets_json(version: str) -> None:
    assert "binary" not in described(rest(server={"name": "kserve", "version": version})).manner


def test_synthetic_rows_are_marked() -> None:
    """TrustyAI's monitors leave out tensors with this parameter; both wires carry it, on every input."""
    bodies = []
    asked(rest(reply=lambda request: bodies.append(request) or echo(request)), {"x": X})
    assert bodies[0]["inputs"][0]["parameters"]["bias-ignore"] == "true"
    requests = []

    def reply(request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        requests.append(request)
        tensor = pb.InferTensor(name="scores", datatype="FP32", shape=[3, 2])
        return pb.ModelInferResponse(outputs=[tensor], raw_output_contents=[X.tobytes()])

    said = held(oip_grpc.describe(ENDPOINT), grpc(reply))
    held(oip_grpc.ask(ENDPOINT, said, {"x": X}), grpc(reply))
    assert requests[0].inputs[0].parameters["bias-ignore"].string_param == "true"
    assert requests[0].raw_input_contents == [X.tobytes()]
    assert not requests[0].inputs[0].HasField("contents")


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_raw_contents_written_behind_a_message_are_its_own(raw: list[bytes]) -> None:
    """The oracle is protobuf's own serialisation, byte for byte: the field is the last one of the message."""
    request = pb.ModelInferRequest(model_name="m", inputs=[pb.InferTensor(name="x", shape=[1])])
    assert (
        oip_grpc.with_raw(request, raw)
        == pb.ModelInferRequest(
            model_name="m",
            inputs=request.inputs,
            raw_input_contents=raw,
        ).SerializeToString()
    )


def test_a_name_with_a_slash_stays_one_name() -> None:
    """Model and version are parts of a path, whatever they hold."""
    paths = []

    def answer(call: HttpCall) -> Answer:
        paths.append(call.path)
        return rest()(call)

    asked(answer, {"x": X}, replace(ENDPOINT, model="a/b c", version="1/2"))
    assert paths[-1] == "/v2/models/a%2Fb%20c/versions/1%2F2/infer"


@pytest.mark.parametrize("server", [None, {"extensions": ["binary_tensor_data"]}])
def test_the_size_of_rows_is_known_beforehand(server: dict | None) -> None:
    """Never less than half of what 100 rows really take, and never twice as much."""
    rng, sizes = np.random.default_rng(0), []
    rows = {"x": rng.normal(size=(100, 50)).astype(np.float32)}

    def answer(call: HttpCall) -> Answer:
        sizes.append(len(call.body))
        scores = {"name": "scores", "datatype": "FP32", "shape": [100, 2], "data": [0.5] * 200}
        return rest(server=server, reply=lambda _: {"outputs": [scores]})(call)

    said = described(rest(server=server))
    held(oip_rest.ask(ENDPOINT, said, rows), answer)
    each = oip_rest.bytes_per_row(said, rows)
    assert 0.5 < 100 * each / sizes[-1] < 2
    assert oip_grpc.bytes_per_row(said, rows) == 200


def test_texts_are_measured_by_the_longest() -> None:
    """A call of the shortest ones may then be smaller than it could be, but never too large."""
    rows = {"x": np.array([["a"], ["b" * 500]], object)}
    said = replace(described(rest()), manner={"datatype:x": "BYTES"})
    assert oip_grpc.bytes_per_row(said, rows) == 504
    binary_said = replace(said, manner={**said.manner, "binary": "yes"})
    assert oip_rest.bytes_per_row(binary_said, rows) >= 504
