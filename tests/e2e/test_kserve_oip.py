"""The Open Inference Protocol against a real server: explanations as one tensor of texts, over REST and gRPC."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.e2e.serving import INPUTS
from tests.http_calls import Answer, Http, both
from tests.inferring import MESSAGES, NUMPY, tensor, typed
from tests.models.nets import mlp
from tests.remote.onnx_rest import onnx_rest
from tests.remote.speaking import spoken
from tests.remote.web import Request, Response, web

from whybox.v1 import explain_pb2, explain_pb2_grpc, explanation_pb2
from whybox_server.api.tensors import from_array
from whybox_server.kserve.shown import shown
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.speech import oip_grpc, oip_rest
from whybox_server.serving.remote.speech.oip import elements_of
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

DIGIT = np.load(INPUTS / "digit.npy").astype(np.float32)  # (1, 8, 8)
DIGITS = np.stack([DIGIT, DIGIT[:, ::-1]])  # (2, 1, 8, 8)
ROWS = 60
LIME = {"method": "lime", "num_samples": ROWS, "seed": 3, "mode": "REPRODUCIBLE"}
SERVICE = "inference.GRPCInferenceService"
SOON_S = 60
LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    """Whatever the tests sent it, it met no defect of ours."""
    with both("--message-mib", "2") as http:
        yield http
        assert not [line for line in http.server.raw if "defect" in line or "Traceback" in line]


@pytest.fixture(scope="module")
def channel(served: Http) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.server.address) as channel:
        yield channel


def called(channel: grpc.Channel, method: str, request: Any, response: Any, **options: Any) -> Any:
    """As a client of another language would: by the service's name on the wire."""
    call = channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, response.FromString)
    return call(request, timeout=SOON_S, **options)


def infer(channel: grpc.Channel, request: pb.ModelInferRequest, **options: Any) -> pb.ModelInferResponse:
    return called(channel, "ModelInfer", request, pb.ModelInferResponse, **options)


def refused(channel: grpc.Channel, method: str, request: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        called(channel, method, request, pb.ModelInferResponse)
    return caught.value


def over_our_own_grpc(channel: grpc.Channel, instances: list[explain_pb2.Instance], model: str = "digits") -> list[Any]:
    """The oracle: what the typed RPC says of the same, as the facade would write it."""
    request = explain_pb2.ExplainRequest(
        model=f"models/{model}", instances=instances, seed=3, mode=explanation_pb2.MODE_REPRODUCIBLE
    )
    request.lime.num_samples = ROWS
    answer = explain_pb2_grpc.ExplanationServiceStub(channel).Explain(request)
    return [lasting(shown(one, LIME)) for one in answer.explanations]


def lasting(explanation: Mapping[str, Any]) -> Any:
    """Without what every call has anew: times, and who called."""
    kept = {name: value for name, value in explanation.items() if name not in ("usage", "parameters")}
    kept["provenance"] = {name: value for name, value in kept["provenance"].items() if name != "request_id"}
    return json.loads(json.dumps(kept))


def pixels(array: np.ndarray) -> list[explain_pb2.Instance]:
    found = []
    for one in array:
        instance = explain_pb2.Instance()
        instance.tensors.by_name["image"].CopyFrom(from_array(one))
        found.append(instance)
    return found


def body(array: np.ndarray = DIGITS, **more: Any) -> dict[str, Any]:
    one = tensor("any", array.shape, "FP32", data=array.tolist())
    return {"inputs": [one], "parameters": LIME, **more}


def explained(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer.body
    [output] = answer.json["outputs"]
    assert (output["name"], output["datatype"], output["parameters"]) == ("explanation", "BYTES", {"content_type": "str"})
    assert output["shape"] == [len(output["data"]), 1]
    return [json.loads(text) for text in output["data"]]


@pytest.mark.parametrize("path", ["infer", "explain"])
def test_rest_says_what_our_own_grpc_says(served: Http, channel: grpc.Channel, path: str):
    """Same instances, method, parameters and seed: the same explanations but for times and ids."""
    answer = served.post(f"/v2/models/digits/{path}", body(id="42"))
    assert [lasting(one) for one in explained(answer)] == over_our_own_grpc(channel, pixels(DIGITS))
    assert (answer.json["model_name"], answer.json["id"]) == ("digits", "42")


def test_raw_bytes_say_what_json_says(served: Http, channel: grpc.Channel):
    """In and out: the JSON's length in the header, as many bytes behind it as it claims."""
    one = tensor("any", DIGITS.shape, "FP32", parameters={"binary_data_size": DIGITS.nbytes})
    head = json.dumps({"inputs": [one], "parameters": {**LIME, "binary_data_output": True}}).encode()
    octets = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
    answer = served.call("POST", "/v2/models/digits/infer", head + DIGITS.tobytes(), octets)
    assert answer.status == 200, answer.body
    length = int(answer.headers[LENGTH])
    [output] = json.loads(answer.body[:length])["outputs"]
    raw = answer.body[length:]
    assert output["parameters"] == {"content_type": "str", "binary_data_size": len(raw)}
    texts = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        texts.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    assert [lasting(json.loads(text)) for text in texts] == over_our_own_grpc(channel, pixels(DIGITS))


@pytest.mark.parametrize("raw", [True, False])
def test_grpc_says_what_our_own_grpc_says(channel: grpc.Channel, raw: bool):
    """Raw in, raw out; typed in, typed out. Parameters as texts, as clients without fractions write them."""
    request = typed(any=("FP32", DIGITS))
    request.model_name, request.id = "digits", "42"
    for name, value in LIME.items():
        request.parameters[name].string_param = str(value)
    if raw:
        request.inputs[0].ClearField("contents")
        request.raw_input_contents.append(DIGITS.tobytes())
    answer = infer(channel, request)
    [output] = oip_grpc.outputs_of(answer)
    assert bool(answer.raw_output_contents) is raw
    assert answer.outputs[0].HasField("contents") is not raw
    assert (answer.id, answer.model_name, list(output.shape)) == ("42", "digits", [2, 1])
    assert answer.outputs[0].parameters["content_type"].string_param == "str"
    texts = output.values if output.raw is None else elements_of(output, output.raw)
    assert [lasting(json.loads(text)) for text in texts] == over_our_own_grpc(channel, pixels(DIGITS))


@pytest.mark.parametrize("speech", [Speech.OIP_REST, Speech.OIP_GRPC])
def test_our_own_client_of_the_protocol_takes_us_for_a_model_server(served: Http, speech: Speech):
    """Over real sockets: it finds the inputs, sends rows its own way, and gets a text per row."""
    url = f"http://{served.address}" if speech is Speech.OIP_REST else f"grpc://{served.server.address}"
    module = oip_rest if speech is Speech.OIP_REST else oip_grpc
    endpoint = Endpoint(url, model="digits", speech=speech)
    described = spoken(endpoint, module.describe(endpoint))
    [one] = described.inputs
    assert (one.name, one.dtype, one.shape) == ("image", np.float32, (1, 8, 8))
    assert described.output == "explanation"
    texts = spoken(endpoint, module.ask(endpoint, described, {"image": DIGITS}))
    assert texts.shape == (2, 1)
    for text in texts[:, 0]:
        assert json.loads(text)["provenance"]["method"] == "lime"


def test_texts_are_bytes(served: Http, channel: grpc.Channel):
    one = tensor("whatever", [2, 1], "BYTES", data=["a good film", "a bad film"])
    answer = served.post("/v2/models/sentiment/infer", {"inputs": [one], "parameters": LIME})
    texts = [explain_pb2.Instance(text=text) for text in one["data"]]
    assert [lasting(found) for found in explained(answer)] == over_our_own_grpc(channel, texts, "sentiment")


def test_columns_are_a_tables_row(served: Http, channel: grpc.Channel):
    """A tensor per column, as MLServer writes data frames; the order of columns does not matter."""
    names, values = ((INPUTS / "patient.csv").read_text().splitlines()[at].split(",") for at in (0, 1))
    numbers = dict(zip(names, map(float, values), strict=True))
    inputs = [tensor(name, [1, 1], "FP64", data=[number]) for name, number in sorted(numbers.items())]
    answer = served.post("/v2/models/breast_cancer/infer", {"inputs": inputs, "parameters": LIME})
    record = explain_pb2.Record(fields={name: explain_pb2.Value(number=number) for name, number in numbers.items()})
    expected = over_our_own_grpc(channel, [explain_pb2.Instance(record=record)], "breast_cancer")
    assert [lasting(found) for found in explained(answer)] == expected


@pytest.mark.parametrize("nested", [True, False])
def test_method_and_parameters_where_mlserver_and_headers_have_them(served: Http, channel: grpc.Channel, nested: bool):
    """`explain_parameters` of the request, as an object or as a text; what is named in a header is under it."""
    inner = LIME if nested else json.dumps(LIME)
    answer = served.post(
        "/v2/models/digits/infer",
        body(parameters={"explain_parameters": inner}),
        **{"x-whybox-method": "lime", "x-whybox-parameters": '{"num_samples": 7}'},
    )
    assert [lasting(one) for one in explained(answer)] == over_our_own_grpc(channel, pixels(DIGITS))


def silent_predictor(request: Request) -> Response:
    """Says that its model has no inputs, as many servers do; what it predicts is the sum of all it gets."""
    if not request.path.startswith("/v2/models/m"):
        return Response(404, {"error": "no such path"})
    if request.method == "GET":
        return Response(200, {"name": "m", "versions": [], "platform": "", "inputs": [], "outputs": []})
    inputs = [np.array(one["data"]).reshape(one["shape"]) for one in request.json["inputs"]]
    total = sum(array.reshape(len(array), -1).sum(axis=1) for array in inputs)
    data = np.stack([total, -total], axis=1)
    output = {"name": "scores", "datatype": "FP64", "shape": list(data.shape), "data": data.ravel().tolist()}
    return Response(200, {"model_name": "m", "id": "1", "outputs": [output]})


def test_a_predictor_that_does_not_say_what_it_takes_is_asked_as_the_caller_asked():
    """The callers' tensors tell names, datatypes and shapes; every input goes to the predictor under its name.

    The model is a sum: occluded by zero, every element of an instance is its own attribution. Calls are metered by
    KServe's names.
    """
    one = [tensor("pixels", [2, 3], "FP32", data=[1, 2, 3, 4, 5, 6])]
    two = [tensor("a", [2, 1], "FP64", data=[1, 2]), tensor("b", [2, 2], "FP64", data=[3, 4, 5, 6])]
    parameters = {"method": "occlusion", "targets": 0, "baseline": 0}
    with web(silent_predictor) as predictor, behind_us(predictor.url) as served:
        for inputs, values in ((one, [[1, 2, 3], [4, 5, 6]]), (two, [[1, 3, 4], [2, 5, 6]])):
            predictor.seen.clear()
            answer = served.post("/v2/models/m/infer", {"inputs": inputs, "parameters": parameters})
            assert [one["attribution"]["values"]["data"] for one in explained(answer)] == [[row] for row in values]
            names = {one["name"] for request in predictor.asked for one in request.json["inputs"]}
            assert names == {one["name"] for one in inputs}
        told = served.call("GET", "/metrics").body.decode()
        for phase in ("preprocess", "explain", "postprocess"):
            assert f'request_{phase}_seconds_count{{model_name="m"}} 2.0' in told


def behind_us(url: str) -> Any:
    return both("--model-name", "m", "--predictor-host", url.removeprefix("http://"), models=None)


def test_the_versions_of_a_predictors_model_are_ours():
    """What it says it serves is said on; another one is not there."""
    with onnx_rest({"m": mlp(np.float32).SerializeToString()}, version="7") as predictor, behind_us(predictor.url) as served:
        assert served.call("GET", "/v2/models/m").json["versions"] == ["7"]
        x = tensor("x", [1, 5], "FP32", data=[1, 2, 3, 4, 5])
        answer = served.post("/v2/models/m/versions/7/infer", {"inputs": [x], "parameters": {"method": "occlusion"}})
        assert (answer.status, answer.json["model_version"]) == (200, "7")
        assert served.call("GET", "/v2/models/m/versions/8").status == 404


def test_we_are_not_ready_before_our_predictor_is():
    """Over both wires; alive all the same, and an explanation says why there is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
    with behind_us(address) as served, grpc.insecure_channel(served.server.address) as channel:
        assert served.call("GET", "/v2/health/live").status == 200
        for path, said in (("/v2/health/ready", {}), ("/v2/models/m/ready", {"name": "m"})):
            answer = served.call("GET", path)
            assert answer.status == 503
            assert said | {"ready": False} == {name: value for name, value in answer.json.items() if name != "error"}
        assert called(channel, "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
        assert not called(channel, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse).ready
        assert not called(channel, "ModelReady", pb.ModelReadyRequest(name="m"), pb.ModelReadyResponse).ready
        answer = served.post("/v2/models/m/infer", body())
        assert (answer.status, [*answer.json]) == (503, ["error"])


def test_health_and_metadata_over_rest(served: Http):
    assert served.call("GET", "/v2/health/live").json == {"live": True}
    assert served.call("GET", "/v2/health/ready").json == {"ready": True}
    server = served.call("GET", "/v2").json
    assert (server["name"], server["extensions"]) == ("whybox", ["binary_tensor_data"])
    assert {"digits", "sentiment"} <= set(served.call("GET", "/v2/models").json["models"])
    for path in ("/v2/models/digits", "/v2/models/digits/versions/1"):
        assert served.call("GET", path).json == {
            "name": "digits",
            "versions": ["1"],
            "platform": "whybox",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
            "outputs": [{"name": "explanation", "datatype": "BYTES", "shape": [-1, 1]}],
        }
        assert served.call("GET", f"{path}/ready").json == {"name": "digits", "ready": True}


def test_health_and_metadata_over_grpc(served: Http, channel: grpc.Channel):
    """What REST says, in messages."""
    assert called(channel, "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
    assert called(channel, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse).ready
    assert called(channel, "ModelReady", pb.ModelReadyRequest(name="digits"), pb.ModelReadyResponse).ready
    assert called(channel, "ModelReady", pb.ModelReadyRequest(name="digits", version="1"), pb.ModelReadyResponse).ready
    server = called(channel, "ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)
    said = served.call("GET", "/v2").json
    assert {"name": server.name, "version": server.version, "extensions": list(server.extensions)} == said
    model = called(channel, "ModelMetadata", pb.ModelMetadataRequest(name="digits"), pb.ModelMetadataResponse)
    said = served.call("GET", "/v2/models/digits").json
    assert (model.name, list(model.versions), model.platform) == (said["name"], said["versions"], said["platform"])
    for tensors, expected in ((model.inputs, said["inputs"]), (model.outputs, said["outputs"])):
        found = [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in tensors]
        assert found == expected


def test_reflection_tells_the_service_by_the_protocols_names(channel: grpc.Channel):
    """Name, methods and message types as clients of the protocol generate them."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(**question: str) -> Any:
        [answer] = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]))
        return answer

    listed = {one.name for one in ask(list_services="").list_services_response.service}
    assert listed >= {SERVICE, "whybox.v1.ExplanationService"}
    [file] = ask(file_containing_symbol=SERVICE).file_descriptor_response.file_descriptor_proto
    described = descriptor_pb2.FileDescriptorProto.FromString(file)
    [service] = described.service
    assert (described.package, service.name) == ("inference", "GRPCInferenceService")
    types = {method.name: (method.input_type, method.output_type) for method in service.method}
    assert types["ModelInfer"] == (".inference.ModelInferRequest", ".inference.ModelInferResponse")
    assert ask(file_containing_symbol="whybox.v1.ExplanationService").file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload", "ModelStreamInfer", "Explain"])
def test_what_we_do_not_offer_is_unimplemented(channel: grpc.Channel, method: str):
    assert refused(channel, method, pb.ServerLiveRequest()).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/nope/ready", 404),
        ("GET", "/v2/models/digits/versions/2", 404),
        ("GET", "/v2/models/digits/versions/2/ready", 404),
        ("POST", "/v2/models/nope/infer", 404),
        ("POST", "/v2/models/digits/versions/2/infer", 404),
        ("GET", "/v2/models/digits/infer", 405),
        ("POST", "/v2/models/digits", 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/di%2Fgits/infer", 404),
    ],
)
def test_what_is_not_there_is_said_as_kserve_says_it(served: Http, verb: str, path: str, status: int):
    answer = served.call(verb, path, json.dumps(body()).encode() if verb == "POST" else None)
    assert answer.status == status, answer.body
    assert [*answer.json] == ["error"]
    assert ("allow" in answer.headers) == (status == 405)
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"{", "no JSON"),
        (body(outputs=[{"name": "scores"}]), "leave outputs out"),
        (body(DIGIT), "give [1, 1, 8, 8]"),
        (body(DIGITS[:, :, :3]), "must be float32 (1, 8, 8)"),
        (body(parameters={"method": "lyme"}), "did you mean lime"),
        (body(parameters={"num_sampels": 3}), "num_samples"),
        (body(parameters={"num_samples": -3}), "num_samples"),
        (body(parameters={"targets": 99}), "99"),
    ],
)
def test_a_bad_request_is_told_what_to_do(served: Http, request_: Any, says: str):
    content = request_ if isinstance(request_, bytes) else json.dumps(request_).encode()
    answer = served.call("POST", "/v2/models/digits/infer", content)
    assert answer.status == 400, answer.body
    assert says in answer.json["error"]


def test_errors_over_grpc_are_those_of_our_own_services(channel: grpc.Channel):
    """The code of the table, and details that a program can read."""
    unknown = refused(channel, "ModelInfer", pb.ModelInferRequest(model_name="nope"))
    assert unknown.code() is grpc.StatusCode.INVALID_ARGUMENT  # inputs are looked at first
    request = typed(x=("FP32", DIGITS))
    request.model_name = "nope"
    assert refused(channel, "ModelInfer", request).code() is grpc.StatusCode.NOT_FOUND
    assert refused(channel, "ModelMetadata", pb.ModelMetadataRequest(name="nope")).code() is grpc.StatusCode.NOT_FOUND
    broken = refused(channel, "ModelInfer", pb.ModelInferRequest(model_name="digits"))
    status = rpc_status.from_call(broken)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [one.field for one in bad.field_violations] == ["inputs"]


def test_the_request_id_comes_back_and_stands_in_for_an_id(served: Http):
    answer = served.post("/v2/models/digits/infer", body(), **{"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == answer.json["id"] == "mine-1"
    assert explained(answer)[0]["provenance"]["request_id"] == "mine-1"


# Minutes of work, were it not ended.
LONG = {"method": "rise", "num_masks": 20_000}
PHOTO = tensor("image", [1, 3, 224, 224], "FP32", parameters={"binary_data_size": 4 * 3 * 224 * 224})


def long_request() -> tuple[bytes, dict[str, str]]:
    head = json.dumps({"inputs": [PHOTO], "parameters": LONG}).encode()
    return head + bytes(4 * 3 * 224 * 224), {LENGTH: str(len(head))}


def test_a_deadline_ends_the_work(served: Http):
    """Partial answers are fine, minutes of work are not."""
    content, headers = long_request()
    answer = served.call("POST", "/v2/models/texture/infer", content, {**headers, "x-timeout-s": "0.5"})
    if answer.status == 200:
        assert not explained(answer)[0].get("complete")
    else:
        assert answer.status == 504
        assert "deadline" in answer.json["error"]


def test_a_caller_that_leaves_ends_the_work(served: Http):
    content, headers = long_request()
    lines = [f"{name}: {value}" for name, value in {**headers, "host": "a", "content-length": len(content)}.items()]
    head = "\r\n".join(["POST /v2/models/texture/explain HTTP/1.1", *lines, "x-request-id: left", "", ""])
    host, _, port = served.address.partition(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + content)
        time.sleep(0.5)
    patience = time.monotonic() + SOON_S
    while not any(one["request_id"] == "left" and one["outcome"] == "CANCELLED" for one in served.server.calls()):
        assert time.monotonic() < patience, served.server.calls()
        time.sleep(0.02)


def test_a_body_over_the_limit_is_refused(served: Http):
    """2 MiB of tensors, as over gRPC, in at most 8 MiB of JSON."""
    long = served.call("POST", "/v2/models/digits/infer", b" " * (9 << 20))
    raw = bytes(3 << 20)
    head = json.dumps({"inputs": [tensor("x", [1, len(raw)], "UINT8", parameters={"binary_data_size": len(raw)})]})
    wide = served.call("POST", "/v2/models/digits/infer", head.encode() + raw, {LENGTH: str(len(head))})
    for answer in (long, wide):
        assert (answer.status, [*answer.json]) == (413, ["error"])
        assert "--message-mib" in answer.json["error"]


def test_probes_leave_no_lines_in_the_log(served: Http):
    """Between the lines of two calls there is none."""
    served.call("GET", "/v2", headers={"x-request-id": "first"})
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert served.call("GET", path).status == served.call("HEAD", path).status == 200
    served.call("GET", "/v2", headers={"x-request-id": "last"})
    patience = time.monotonic() + SOON_S
    while "last" not in (ids := [line["request_id"] for line in served.server.calls()]):
        assert time.monotonic() < patience
        time.sleep(0.02)
    assert ids.index("last") == ids.index("first") + 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.just("image") | VALUES,
        "shape": st.just([1, 2]) | VALUES,
        "datatype": st.sampled_from([*NUMPY]) | VALUES,
        "data": st.just([1, 2]) | VALUES,
    },
    optional={"parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}) | VALUES},
)
BODIES = VALUES | st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=2) | VALUES},
    optional={
        "parameters": st.dictionaries(
            st.sampled_from(["method", "lime", "seed", "targets", "explain_parameters", "num_samples"]), VALUES
        ),
        "outputs": VALUES,
        "id": VALUES,
    },
)


@settings(max_examples=150)
@given(BODIES, st.binary(max_size=12), st.none() | st.just("") | st.integers(-1, 300))
@pytest.mark.parametrize("model", ["digits", "sentiment"])
def test_any_body_is_answered_or_refused(served: Http, model: str, said: Any, raw: bytes, header: Any):
    """200 or 4xx in KServe's words, never 500; header "" is the right one."""
    head = json.dumps(said).encode()
    length = {} if header is None else {LENGTH: str(len(head) if header == "" else header)}
    answer = served.call("POST", f"/v2/models/{model}/infer", head + raw, {**length, "x-timeout-s": "60"})
    assert answer.status == 200 or 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.status == 200 or [*answer.json] == ["error"]


@settings(max_examples=150)
@given(MESSAGES)
@pytest.mark.parametrize("model", ["digits", "sentiment"])
def test_any_message_is_answered_or_refused(channel: grpc.Channel, model: str, message: pb.ModelInferRequest):
    """With a status that says whose fault it is: the caller's."""
    message.model_name = model
    try:
        answer = infer(channel, message)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), error
    else:
        assert answer.outputs[0].name == "explanation"
