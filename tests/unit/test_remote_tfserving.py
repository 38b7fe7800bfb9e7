"""TensorFlow Serving, REST and gRPC: the same rows, the same scores, and what is wrong is said in time."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.remote.speaking import asked, held, spoken
from tests.remote.tfserving import LABELS, VERSION, over_grpc, probabilities, rest
from tests.remote.web import Response, web

from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.core.spec import ModelSpec
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, Input
from whybox_server.serving.remote.exchange import Answer, Described, GrpcCall, Refused
from whybox_server.serving.remote.speech import tfserving_grpc, tfserving_rest
from whybox_server.serving.remote.speech.tf_tensor import DTYPES, from_tensor, to_tensor
from whybox_server.serving.remote.stubs.tensorflow_serving import predict_pb2 as pb

ROWS = {"x": np.random.default_rng(5).normal(size=(6, 3)).astype(np.float32)}
TOLERANCE = 1e-6  # the server answers in float32
X = (Input("x", "float32", (3,)),)
MOST = 1 << 20


@pytest.fixture(scope="module")
def rest_url():
    with rest() as server:
        yield server.url


@pytest.fixture(scope="module")
def grpc_url():
    with over_grpc() as url:
        yield url


@pytest.fixture(params=["rest", "grpc"])
def served(request):
    """A protocol and the URL of a server that speaks it."""
    protocol = {"rest": tfserving_rest, "grpc": tfserving_grpc}[request.param]
    return protocol, request.getfixturevalue(f"{request.param}_url")


def endpoint_of(url: str, model: str, **declared) -> Endpoint:
    return Endpoint(url, model=model, trusted=True, **declared)


def described_by(rows, output: str) -> Described:
    """A model that takes such rows."""
    inputs = tuple(RowInfo(name, array.dtype, array.shape[1:]) for name, array in rows.items())
    return Described("", inputs, output, manner={"signature": "serving_default", "by": "row"})


def refusal(served, **declared) -> str:
    """What the endpoint is refused for before any row is sent."""
    protocol, url = served
    endpoint = Endpoint(url, trusted=True, **declared)
    with pytest.raises(InvalidRequest) as caught:
        spoken(endpoint, protocol.describe(endpoint))
    return str(caught.value)


def test_both_wires_say_what_the_model_says(served):
    """The oracle is the softmax of x W in numpy; of two outputs, the one that looks like scores is taken."""
    protocol, url = served
    described, scores = asked(endpoint_of(url, "scores"), protocol, ROWS)
    np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)
    assert (described.output, described.columns, described.version) == ("probabilities", 2, VERSION)
    assert [(one.name, one.dtype, one.shape) for one in described.inputs] == [("x", np.float32, (3,))]
    assert described.batched
    assert not described.notes


def test_the_declared_output_is_asked_for(served):
    """Logits are x W; they may be negative, which no probability is."""
    protocol, url = served
    _, scores = asked(endpoint_of(url, "scores", output="logits"), protocol, ROWS)
    assert scores.min() < 0
    np.testing.assert_allclose(
        np.exp(scores[:, 1] - scores[:, 0]), np.divide(*probabilities(ROWS["x"]).T[::-1]), rtol=1e-4
    )


def test_several_inputs_go_by_name_and_bytes_as_bytes(served):
    """The server takes the text of `note_bytes` in base64 only; a letter outside ASCII is one letter."""
    protocol, url = served
    rows = {"x": ROWS["x"][:2, :2], "note_bytes": np.array(["grün", ""], object)}
    described, scores = asked(endpoint_of(url, "pair"), protocol, rows)
    np.testing.assert_allclose(scores[:, 0], rows["x"].sum(axis=1) + [4, 0], rtol=1e-6)
    assert {one.name: one.shape for one in described.inputs} == {"x": (2,), "note_bytes": ()}
    assert described.columns == 1


def test_a_model_without_a_batch_axis_is_asked_row_by_row(served):
    """As many calls as rows, and the same scores."""
    protocol, url = served
    endpoint = endpoint_of(url, "single")
    described = spoken(endpoint, protocol.describe(endpoint))
    assert not described.batched
    assert described.inputs[0].shape == (3,)
    scores = spoken(endpoint, protocol.ask(endpoint, described, ROWS))
    np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)


def test_an_output_that_counts_no_rows_turns_the_question_into_columns(served):
    """The server refuses rows then, since it could not cut the scalar."""
    protocol, url = served
    _, scores = asked(endpoint_of(url, "summary"), protocol, ROWS)
    np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)


def test_the_only_signature_is_used_whatever_its_name(served):
    protocol, url = served
    described, scores = asked(endpoint_of(url, "custom"), protocol, ROWS)
    assert described.manner["signature"] == "classify"
    np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)


def test_a_declared_version_is_the_one_that_is_asked(served):
    protocol, url = served
    described, scores = asked(endpoint_of(url, "scores", version=VERSION), protocol, ROWS)
    assert described.version == VERSION
    assert scores.shape == (6, 2)


def test_nan_comes_through_as_nan(served):
    """Unquoted in JSON, which is no JSON; whoever knows the rows says which of them it is."""
    protocol, url = served
    _, scores = asked(endpoint_of(url, "odd"), protocol, ROWS)
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1:]).all()


def test_text_outputs_become_a_column_of_labels(served):
    protocol, url = served
    described, answers = asked(endpoint_of(url, "words", spec=ModelSpec(labels=LABELS)), protocol, ROWS)
    best = probabilities(ROWS["x"]).argmax(axis=1)
    assert answers[:, 0].tolist() == [LABELS[at] for at in best]
    assert described.labels_only
    assert described.columns == 2


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"model": "score"}, ["endpoint.model", "no model 'score'"]),
        ({"model": ""}, ["endpoint.model", "required"]),
        ({"model": "scores", "version": "3"}, ["version '3'"]),
        ({"model": "scores", "output": "probability"}, ["endpoint.output", "'probabilities'"]),
        ({"model": "scores", "inputs": (Input("y"),)}, ["endpoint.inputs[0].name", "'x'"]),
        ({"model": "pair", "inputs": (Input("x", "float32", (2,)),)}, ["endpoint.inputs", "note_bytes"]),
        ({"model": "words"}, ["endpoint.spec.labels"]),
    ],
)
def test_what_the_model_does_not_have_is_said_before_a_row_is_sent(served, declared, words):
    """Each refusal names the field and what to put there."""
    said = refusal(served, **declared)
    for word in words:
        assert word in said


def test_a_gateway_without_metadata_needs_declared_inputs():
    with rest(metadata=False) as server:
        said = refusal((tfserving_rest, server.url), model="scores")
        assert "endpoint.inputs" in said
        declared = endpoint_of(server.url, "scores", inputs=X, output="probabilities")
        described, scores = asked(declared, tfserving_rest, ROWS)
        np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)
        assert described.notes


def test_a_grpc_server_without_metadata_needs_declared_inputs():
    with over_grpc(metadata=False) as url:
        assert "endpoint.inputs" in refusal((tfserving_grpc, url), model="scores")
        declared = endpoint_of(url, "scores", inputs=X, output="probabilities")
        _, scores = asked(declared, tfserving_grpc, ROWS)
        np.testing.assert_allclose(scores, probabilities(ROWS["x"]), atol=TOLERANCE)


def test_replies_by_value_are_read_like_raw_ones():
    """Equal rows make equal scores, whose repetition the server leaves out."""
    rows = {"x": np.zeros((4, 3), np.float32)}
    with over_grpc(typed=True) as url:
        _, scores = asked(endpoint_of(url, "scores"), tfserving_grpc, rows)
    assert scores.tolist() == [[0.5, 0.5]] * 4


def test_the_server_is_asked_for_the_output_that_is_read_and_no_other():
    """Of a hundred outputs, one crosses the wire."""
    call = next(tfserving_grpc.ask(Endpoint("grpc://h", model="m"), described_by(ROWS, "b"), ROWS))
    assert pb.PredictRequest.FromString(call.body).output_filter == ["b"]
    assert call.asks


NUMBERS = [dtype for dtype in DTYPES.values() if dtype.kind != "O"]


@given(
    st.sampled_from(NUMBERS).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=4))
    )
)
def test_every_type_survives_the_wire(array):
    """There and back: the same bits."""
    again = from_tensor(pb.TensorProto.FromString(to_tensor(array).SerializeToString()), "y", MOST)
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


def test_a_tensor_is_written_as_tensorflow_writes_it():
    """By hand: dtype 1 in field 1, dims of field 2 in field 2, little-endian floats in field 4."""
    array = np.array([[1.5, -2.0]], np.float32)
    content = struct.pack("<2f", 1.5, -2.0)
    shape = b"\x12\x02\x08\x01" + b"\x12\x02\x08\x02"
    by_hand = b"\x08\x01" + b"\x12" + bytes([len(shape)]) + shape + b"\x22" + bytes([len(content)]) + content
    assert to_tensor(array).SerializeToString(deterministic=True) == by_hand


@pytest.mark.parametrize(
    ("wire", "values"),
    [
        (b"\x08\x01" + b"\x2a\x04" + struct.pack("<f", 0.25), [0.25] * 3),  # float_val is field 5
        (b"\x08\x02" + b"\x32\x08" + struct.pack("<d", 0.25), [0.25] * 3),  # double_val is field 6
        (b"\x08\x03" + b"\x3a\x02\x01\x02", [1, 2, 2]),  # int_val is field 7; the last value is repeated
        (b"\x08\x09" + b"\x52\x03\x01\x02\x03", [1, 2, 3]),  # int64_val is field 10
        (b"\x08\x0a" + b"\x5a\x02\x01\x00", [1, 0, 0]),  # bool_val is field 11
        (b"\x08\x13" + b"\x6a\x02\x80\x78", [1.0] * 3),  # half_val is field 13: 0x3c00 is one
        (b"\x08\x0e" + b"\x6a\x03\x80\x80\x01" + b"", None),  # 0x4000 is 2 in bfloat16
        (b"\x08\x16" + b"\x82\x01\x01\x07", [7] * 3),  # uint32_val is field 16
        (b"\x08\x17" + b"\x8a\x01\x01\x07", [7] * 3),  # uint64_val is field 17
    ],
)
def test_values_by_type_are_read_from_the_fields_of_tensorflow(wire, values):
    """Bytes put together by hand from tensor.proto; three values in one axis."""
    tensor = pb.TensorProto.FromString(wire + b"\x12\x04\x12\x02\x08\x03")
    assert from_tensor(tensor, "y", MOST).tolist() == (values or [2.0] * 3)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (pb.TensorProto(dtype="DT_FLOAT", float_val=[1]), "1000000000 values"),
        (pb.TensorProto(dtype="DT_FLOAT", tensor_content=b"abc"), "1000000000 values"),
        (pb.TensorProto(dtype="DT_INVALID", float_val=[1]), "a type that holds no scores"),
    ],
)
def test_a_message_cannot_become_larger_than_it_may(tensor, words):
    """One value that stands for a thousand million would be four gigabytes."""
    tensor.tensor_shape.dim.add(size=1_000_000_000)
    with pytest.raises(ModelOutputInvalid, match=words):
        from_tensor(tensor, "y", MOST)


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        (pb.TensorProto(dtype="DT_FLOAT"), (2,)),
        (pb.TensorProto(dtype="DT_FLOAT", float_val=[1, 2, 3]), (2,)),
        (pb.TensorProto(dtype="DT_FLOAT", tensor_content=b"1234"), (2,)),
        (pb.TensorProto(dtype="DT_INT8", int_val=[300]), (1,)),
        (pb.TensorProto(dtype="DT_FLOAT", float_val=[1]), (-1,)),
        (pb.TensorProto(dtype="DT_FLOAT", float_val=[1]), (1,) * 40),
        (pb.TensorProto(dtype="DT_FLOAT"), (0, 1 << 60, 1 << 60)),
        (pb.TensorProto(dtype="DT_STRING", tensor_content=b"12"), (2,)),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(tensor, shape):
    tensor.tensor_shape.dim.extend(pb.TensorShapeProto.Dim(size=length) for length in shape)
    with pytest.raises(ModelOutputInvalid):
        from_tensor(tensor, "y", MOST)


@given(st.binary(max_size=64))
def test_any_bytes_are_an_answer_or_a_refusal(body):
    """Whatever a server sends, nothing but ModelOutputInvalid comes of it."""
    rows = {"x": np.zeros((1, 1), np.float32)}
    exchange = tfserving_grpc.ask(Endpoint("grpc://h", model="m"), described_by(rows, "y"), rows)
    with pytest.raises(ModelOutputInvalid):
        held(exchange, lambda call: Answer(body))


REPLIES = [
    ({"predictions": [[0.5, 0.5]]}, "holds 1 rows, and 6 were asked"),
    ({"predictions": [[0.5]] * 5 + [[0.5, 0.5]]}, "`predictions`[5] is a list of 2"),
    ({"predictions": [[0.5]] * 5 + [["a word"]]}, "`predictions`[5][0] is a text, not a number"),
    ({"predictions": [[None]] * 6}, "`predictions`[0][0] is null"),
    ({"predictions": {"a": 1}}, "is an object of 1, not a list of 6 rows"),
    ({"predictions": [{"a": [1], "b": [2]}] * 6}, "without an output 'probabilities'"),
    ({"outputs": {"other": [1]}}, "without 'probabilities'"),
    ({"outputs": [{"b64": "*"}] * 6}, "not in base64"),
    ({"error": "sorry"}, "'error' among them, without `predictions`"),
    ([1, 2], "the reply is a list of 2, without"),
    ({"predictions": [[]] * 6}, "rows without scores"),
    (b"<html>sign in</html>", "a web page"),
    (b"", "empty"),
    (b"[" * 100_000, "is no JSON"),
    (b'{"predictions": [' + b"1" * 5000 + b"]}", "is no JSON"),
]


@pytest.mark.parametrize(("body", "words"), REPLIES)
def test_replies_that_do_not_fit_say_where_and_what_is_there(body, words):
    """The place, the type of what is there, and never its content."""
    raw = Response(200, body).raw
    exchange = tfserving_rest.ask(Endpoint("http://h", model="m"), described_by(ROWS, "probabilities"), ROWS)
    with pytest.raises(ModelOutputInvalid) as caught:
        held(exchange, lambda call: Answer(raw))
    said = str(caught.value)
    assert words in said
    assert "sorry" not in said
    assert "sign in" not in said
    assert "a word" not in said
    assert len(said) < 300


def test_a_web_page_in_place_of_metadata_is_not_taken_for_missing_metadata():
    """A login page answers 200 to everything; the transport refuses it, and declared inputs do not hide that."""
    with web(lambda request: Response(200, "<html>sign in</html>", "text/html")) as server:
        endpoint = endpoint_of(server.url, "scores", inputs=X)
        with pytest.raises(Refused, match="web page"):
            spoken(endpoint, tfserving_rest.describe(endpoint))


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_refusal_that_is_not_about_metadata_is_left_to_the_sender(status):
    """A missing credential must not look like a server without metadata."""

    def answer(call):
        raise Refused(status, "no")

    for protocol in (tfserving_rest, tfserving_grpc):
        endpoint = endpoint_of("http://h", "scores", inputs=X)
        with pytest.raises(Refused):
            held(protocol.describe(endpoint), answer)


def test_a_name_with_a_slash_stays_one_name():
    """A model's name cannot lead elsewhere on the server."""
    call = next(tfserving_rest.describe(endpoint_of("http://h", "../../admin")))
    assert call.path == "/v1/models/..%2F..%2Fadmin"


@pytest.mark.parametrize(
    "rows",
    [
        {"x": np.random.default_rng(0).normal(size=(40, 500)).astype(np.float32)},
        {"x": np.random.default_rng(0).integers(0, 255, size=(40, 8, 8, 3)).astype(np.uint8)},
        {"t": np.array(["short", "a text of forty letters and a bit more.."] * 10, object)},
    ],
)
@pytest.mark.parametrize("protocol", [tfserving_rest, tfserving_grpc])
def test_the_size_of_a_row_is_known_about(protocol, rows):
    """Within a quarter of what a call with these rows really takes per row, and never far below."""
    described = described_by(rows, "y")
    call = next(protocol.ask(Endpoint("http://h", model="m"), described, rows))
    really = len(call.body) / len(next(iter(rows.values())))
    said = protocol.bytes_per_row(described, rows)
    assert said >= 0.95 * really
    assert said <= 1.25 * really + 100 or rows.keys() == {"t"}
    assert isinstance(call, GrpcCall) == (protocol is tfserving_grpc)
