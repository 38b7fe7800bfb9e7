"""gRPC and HTTP give equal answers for every RPC: the same messages, or the same errors to the last detail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http_calls import JSON, OCTETS, Answer, Http, both, transcoded
from tests.messages import messages
from tests.models.nets import mlp
from tests.remote.generic import generic

from whybox.tensors import to_tensor
from whybox.v1 import endpoint_pb2, explain_pb2, explanation_pb2, model_pb2, tensor_pb2

pytestmark = pytest.mark.slow

SERVICES = ("ExplanationService", "ModelService", "EndpointService")
METHODS = {
    method.name: method
    for name in SERVICES
    for method in descriptor_pool.Default().FindServiceByName(f"whybox.v1.{name}").methods
}
FILE = mlp(np.float32).SerializeToString()
UPLOADED = f"models/sha256-{hashlib.sha256(FILE).hexdigest()}"
THERE = "endpoints/there"
REQUEST_ID = "the-same-for-both"
# Random addresses would be looked up, one by one, and refused alike.
UNSET = {f"whybox.v1.{name}.endpoint" for name in ("ExplainRequest", "ProbeEndpointRequest")}
NAMES = ("models/sentiment", "models/sentiment/versions/1", "models/nope", "models/a b/ü%?", UPLOADED, THERE, "endpoints/nope")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with generic() as web:
        yield web.url


@pytest.fixture(scope="module")
def server(url: str) -> Iterator[tuple[Http, grpc.Channel]]:
    flags = ("--trust-uploads", "--inline-endpoints", "--allow-egress", "127.0.0.1")
    with both(*flags) as http, grpc.insecure_channel(http.server.address) as channel:
        yield http, channel


def ask_grpc(channel: grpc.Channel, name: str, sent: list[Message]) -> list[Message] | status_pb2.Status:
    """The answers, or the status of the error."""
    method = METHODS[name]
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    made = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{name}"
    call = getattr(channel, kind)(path, type(sent[0]).SerializeToString, made.FromString)
    metadata = (("x-request-id", REQUEST_ID),)
    try:
        answer = call(iter(sent) if method.client_streaming else sent[0], metadata=metadata, timeout=60)
        return list(answer) if method.server_streaming else [answer]
    except grpc.RpcError as error:
        return rpc_status.from_call(error)


def ask_http(http: Http, name: str, sent: list[Message]) -> list[Message] | status_pb2.Status:
    method = METHODS[name]
    if method.client_streaming:
        header, chunks = sent[0].header, [part.chunk for part in sent[1:]]
        headers = {**OCTETS, "x-request-id": REQUEST_ID, "x-size-bytes": str(header.size_bytes)}
        headers |= {"x-sha256": header.sha256} if header.sha256 else {}
        answer = http.call("POST", "/api/v1/models", b"".join(chunks), headers)
    else:
        verb, path, body = transcoded(method, sent[0])
        answer = http.call(verb, path, body, {**JSON, "x-request-id": REQUEST_ID})
    return read(answer, method)


def read(answer: Answer, method: Any) -> list[Message] | status_pb2.Status:
    assert answer.headers["x-request-id"] == REQUEST_ID
    if answer.status != 200:
        return json_format.Parse(answer.body, status_pb2.Status())
    made = message_factory.GetMessageClass(method.output_type)
    lines = answer.body.splitlines() if method.server_streaming else [answer.body]
    if lines[-1].startswith(b'{"error"'):
        return json_format.ParseDict(json.loads(lines[-1])["error"], status_pb2.Status())
    return [json_format.Parse(line, made()) for line in lines]


def alike(answer: list[Message] | status_pb2.Status) -> list[Message] | dict[str, Any]:
    """Without what no two calls share: times, what the cache knew, how often progress was told, who was done first."""
    if isinstance(answer, status_pb2.Status):
        return json_format.MessageToDict(answer)  # its details are bytes, in which maps have no order
    for message in answer:
        if isinstance(message, explain_pb2.ExplainResponse):
            for explanation in message.explanations:
                explanation.ClearField("usage")
        elif isinstance(message, explain_pb2.ExplainStreamResponse):
            if message.HasField("explanation"):  # clearing a field of a message that is not there makes it be there
                message.explanation.explanation.ClearField("usage")
            if message.HasField("plan"):
                message.plan.ClearField("seconds")
        elif isinstance(message, explain_pb2.PlanExplainResponse):
            message.plan.ClearField("seconds")
    told = [one for one in answer if not (hasattr(one, "progress") and one.HasField("progress"))]
    return sorted(told, key=lambda one: one.explanation.index if hasattr(one, "explanation") else 0)


def settle(channel: grpc.Channel, url: str) -> None:
    """One model and one endpoint of callers, whatever was created or deleted."""
    header = model_pb2.CreateModelRequest(header=model_pb2.ModelHeader(size_bytes=len(FILE)))
    ask_grpc(channel, "CreateModel", [header, model_pb2.CreateModelRequest(chunk=FILE)])
    ask_grpc(channel, "DeleteEndpoint", [endpoint_pb2.DeleteEndpointRequest(name="endpoints/new")])
    made = endpoint_pb2.CreateEndpointRequest(endpoint_id="there", endpoint=declared(url))
    ask_grpc(channel, "CreateEndpoint", [made])


def resettle(name: str, channel: grpc.Channel, url: str) -> None:
    """Between calls of a kind that creates or deletes; the others find things as they left them."""
    if name.startswith(("Create", "Delete")):
        settle(channel, url)


def declared(url: str, **more: Any) -> endpoint_pb2.Endpoint:
    return endpoint_pb2.Endpoint(
        url=f"{url}/lists",
        protocol=endpoint_pb2.ENDPOINT_PROTOCOL_JSON,
        inputs=[endpoint_pb2.EndpointInput(name="x", dtype=tensor_pb2.DATA_TYPE_FP64, shape=[3])],
        json=endpoint_pb2.JsonMapping(request='{"rows": "$rows"}', scores="result.scores"),
        revision="1",
        **more,
    )


def row(length: int) -> Any:
    return st.lists(st.floats(-3, 3, width=32), min_size=length, max_size=length)


def tensors(values: Any, dtype: type = np.float32) -> tensor_pb2.Tensors:
    return tensor_pb2.Tensors(by_name={"x": to_tensor(np.array(values, dtype), "")})


@st.composite
def explain(draw: Any) -> explain_pb2.ExplainRequest:
    """Mostly right; sometimes another model, no method, or arrays that do not fit."""
    rarely = draw(st.integers(0, 7)) == 7
    model = "models/nope" if rarely else draw(st.sampled_from(["models/sentiment", UPLOADED, UPLOADED, THERE]))
    request = explain_pb2.ExplainRequest(model=model, seed=draw(st.integers(0, 3)), mode=explanation_pb2.MODE_REPRODUCIBLE)
    for _ in range(draw(st.sampled_from([1, 1, 2, 0]))):
        if model == "models/sentiment":
            request.instances.add(text=draw(st.sampled_from(["good film", "not so bad", ""])))
        else:
            length = 3 if (model == THERE) != rarely else 5
            request.instances.add(tensors=tensors(draw(row(length)), np.float64 if model == THERE else np.float32))
    match draw(st.integers(0, 5)):
        case 0 | 1:
            request.lime.num_samples = draw(st.integers(20, 60))
        case 2:
            request.occlusion.SetInParent()
        case 3:
            request.integrated_gradients.steps = draw(st.integers(0, 4))
        case _ if not rarely:
            request.erasure.SetInParent()
    if draw(st.booleans()):
        request.targets.add(top=draw(st.sampled_from([1, 2, 2, 0])))
        request.render.append(explanation_pb2.RENDER_FORMAT_TEXT)
    request.max_queries = draw(st.sampled_from([0, 0, 0, 0, 3, -1]))
    return request


@st.composite
def uploads(draw: Any) -> list[Message]:
    """The model, cut short, something else, or with a wrong digest; in one chunk or several."""
    data = draw(st.sampled_from([FILE, FILE[:-9], b"junk", b""]))
    announced = len(data) + draw(st.sampled_from([0, 0, -1, 1]))
    digest = draw(st.sampled_from(["", hashlib.sha256(data).hexdigest(), "0" * 64]))
    header = model_pb2.ModelHeader(size_bytes=announced, sha256=digest)
    cuts = range(0, len(data), 500)
    chunks = [model_pb2.CreateModelRequest(chunk=data[at : at + 500]) for at in cuts]
    return [model_pb2.CreateModelRequest(header=header), *chunks]


def pages(made: Any) -> Any:
    return st.builds(made, page_size=st.integers(-1, 3), page_token=st.sampled_from(["", "models/events", THERE]))


def named(made: Any, *prefixes: str) -> Any:
    fitting = [name for name in NAMES if name.startswith(prefixes)]
    return st.builds(made, name=st.sampled_from(fitting))


def requests(name: str, url: str) -> Any:
    """What is sent, as the messages of the call."""
    inputs = st.lists(row(5), min_size=1, max_size=3).map(tensors)
    match name:
        case "Explain":
            one: Any = explain()
        case "ExplainStream" | "PlanExplain":
            one = explain().map(lambda request: made_of(name)(request=request))
        case "ListMethods":
            one = st.builds(explain_pb2.ListMethodsRequest, model=st.sampled_from(["", *NAMES]))
        case "CreateModel":
            return uploads()
        case "GetModel" | "DeleteModel":
            one = named(made_of(name), "models/")
        case "ListModels" | "ListEndpoints":
            one = pages(made_of(name))
        case "Predict":
            models = st.just(UPLOADED) | st.sampled_from(NAMES)
            one = st.builds(model_pb2.PredictRequest, model=models, inputs=inputs)
        case "CreateEndpoint":
            model = st.sampled_from(["", "m"])
            ids = st.sampled_from(["new", "there", "", "a/b"])
            endpoint = st.builds(declared, st.just(url), model=model, name=st.sampled_from(["", "", "x"]))
            one = st.builds(endpoint_pb2.CreateEndpointRequest, endpoint_id=ids, endpoint=endpoint)
        case "GetEndpoint" | "DeleteEndpoint":
            one = named(made_of(name), "endpoints/")
        case "ProbeEndpoint":
            probe = endpoint_pb2.ProbeEndpointRequest
            one = named(probe, "endpoints/") | st.builds(probe, endpoint=st.just(declared(url)))
    return one.map(lambda message: [message])


def made_of(name: str) -> type[Message]:
    return message_factory.GetMessageClass(METHODS[name].input_type)


@pytest.mark.parametrize("name", METHODS)
def test_both_wires_say_the_same(name: str, server: tuple[Http, grpc.Channel], url: str) -> None:
    """gRPC is the oracle, for requests that are mostly right."""
    http, channel = server
    ends = set()
    settle(channel, url)

    @settings(max_examples=25)
    @given(requests(name, url))
    def agree(sent: list[Message]) -> None:
        resettle(name, channel, url)
        expected = alike(ask_grpc(channel, name, sent))
        resettle(name, channel, url)
        assert alike(ask_http(http, name, sent)) == expected
        ends.add(isinstance(expected, list))

    agree()
    assert True in ends, "no request was answered"


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.client_streaming])
def test_both_wires_refuse_the_same(name: str, server: tuple[Http, grpc.Channel], url: str) -> None:
    """gRPC is the oracle, for arbitrary messages."""
    http, channel = server
    names = st.sampled_from([one for one in NAMES if one.startswith("models/" if "Model" in name else "endpoints/")])
    settle(channel, url)

    @settings(max_examples=25)
    @given(messages(made_of(name), without=UNSET), names)
    def agree(sent: Message, held: str) -> None:
        if "name" in sent.DESCRIPTOR.fields_by_name:
            sent.name = held  # a path holds a name of its kind only
        elif name == "Predict":
            sent.model = held
        resettle(name, channel, url)
        expected = alike(ask_grpc(channel, name, [sent]))
        resettle(name, channel, url)
        assert alike(ask_http(http, name, [sent])) == expected

    agree()
