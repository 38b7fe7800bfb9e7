"""Finding out which protocol a server speaks: only by metadata, only at what really answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from tests.remote import tfserving
from tests.remote.web import Response, web

from whybox_server.core.errors import EndpointRefused, EndpointUnreachable, InvalidRequest
from whybox_server.serving.remote.endpoint import Endpoint, Input, Speech
from whybox_server.serving.remote.exchange import Answer, Call, Described, HttpCall, Refused, Unreachable
from whybox_server.serving.remote.manners import manners
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.speech import PROTOCOLS, auto
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

DECLARED = (Input("x", "float32", (3,)),)
V2 = {"name": "net", "platform": "", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}
TF = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
NOBODY = "http://127.0.0.1:1"


class Server:
    """Answers paths as a table says, everything else with 404; gRPC not at all. calls: what it was asked."""

    def __init__(self, paths: Mapping[str, Any], otherwise: Exception | None = None) -> None:
        self.paths, self.calls = paths, []
        self.otherwise = otherwise or Refused(404, "no such path")

    def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        if not isinstance(call, HttpCall):
            raise Unreachable("no gRPC here")
        said = self.paths.get(call.path, self.otherwise)
        if isinstance(said, Exception):
            raise said
        return Answer(json.dumps(said).encode())


def found(answer: Callable[[Call], Answer], url: str = NOBODY, **more: Any) -> Described:
    """By `auto`, of a server that is a function; what it raises is thrown in, as the sender does."""
    exchange = auto.describe(Endpoint(url, model="net", **more))
    try:
        call = next(exchange)
        while True:
            try:
                said = answer(call)
            except (Refused, Unreachable) as failure:
                call = exchange.throw(failure)
            else:
                call = exchange.send(said)
    except StopIteration as done:
        return done.value


def over_the_wire(url: str, model: str, **more: Any) -> tuple[Described, np.ndarray]:
    endpoint = Endpoint(url, model=model, trusted=True, **more)
    with closing(carrier_to(endpoint, Dialler(egress_of(["127.0.0.0/8"])), Wallet())) as carrier:
        sender = Sender(carrier, manners(endpoint), timeout_s=10.0)
        said = sender.run(lambda: auto.describe(endpoint))
        rows = {"x": np.ones((2, *said.inputs[0].shape), said.inputs[0].dtype)}
        return said, sender.run(lambda: auto.ask(endpoint, said, rows))


@pytest.mark.parametrize(
    ("paths", "speech"),
    [
        ({"/v2/models/net": V2}, Speech.OIP_REST),
        ({"/v2": {"name": "s"}, "/v2/models/net": V2, "/v1/models/net": {"ready": True}}, Speech.OIP_REST),
        ({"/v1/models/net": {"name": "net", "ready": True}}, Speech.KSERVE_V1),
        ({"/v1/models/net": {"name": "net", "ready": "True"}}, Speech.KSERVE_V1),
        ({"/v1/models/net": TF}, Speech.TFSERVING_REST),
    ],
)
def test_a_server_is_known_by_its_metadata(paths: dict[str, Any], speech: Speech) -> None:
    """By what only one protocol says; nothing that was asked makes a model work, and so nothing is paid for."""
    server = Server(paths)
    assert found(server, inputs=DECLARED).speech == speech.value
    assert not any(call.asks for call in server.calls)


@pytest.mark.parametrize(
    "paths",
    [
        {},
        {"/v2": {"name": "anything"}},
        {"/v2": {}, "/v2/models/net": {}, "/v1/models/net": {}},
        {"/v2": [], "/v2/models/net": "hello", "/v1/models/net": [1]},
        {"/v2/models/net": {"html": "no"}, "/v1/models/net": None},
    ],
)
def test_a_server_that_answers_everything_is_not_taken_at_its_word(paths: dict[str, Any]) -> None:
    """Declared inputs notwithstanding; what was tried, and why it was given up, is in the error."""
    with pytest.raises(EndpointRefused, match="declare the protocol") as caught:
        found(Server(paths), inputs=DECLARED)
    for speech in (
        Speech.OIP_REST,
        Speech.TFSERVING_REST,
        Speech.KSERVE_V1,
        Speech.OIP_GRPC,
        Speech.TFSERVING_GRPC,
    ):
        assert speech.value in str(caught.value)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_what_every_protocol_would_meet_is_told_at_once(status: int) -> None:
    """A missing credential is no wrong protocol: the first refusal that is final ends the search."""
    server = Server({}, Refused(status, "no"))
    with pytest.raises(Refused) as caught:
        found(server)
    assert caught.value.status == status
    assert len(server.calls) == 2


def test_nobody_there_is_told_at_once() -> None:
    """No second protocol is tried where no connection can be made."""
    server = Server({}, Unreachable("connection refused", sent=False))
    with pytest.raises(Unreachable):
        found(server)
    assert len(server.calls) == 1


def test_what_answers_no_http_is_asked_over_grpc_only() -> None:
    """One attempt in HTTP, none in the HTTP of other protocols."""
    server = Server({}, Unreachable("it does not speak HTTP"))
    with pytest.raises(EndpointRefused):
        found(server)
    assert [call.path for call in server.calls if isinstance(call, HttpCall)] == ["/v2"]
    assert {call.method for call in server.calls if not isinstance(call, HttpCall)} == {
        "/inference.GRPCInferenceService/ModelMetadata",
        "/tensorflow.serving.PredictionService/GetModelMetadata",
    }


def test_a_grpc_url_is_asked_over_grpc_only() -> None:
    server = Server({"/v2/models/net": V2})
    with pytest.raises(EndpointRefused):
        found(server, "grpc://127.0.0.1:1")
    assert not any(isinstance(call, HttpCall) for call in server.calls)


def test_the_right_protocol_may_ask_for_more() -> None:
    """A server that says nothing of its inputs is found all the same, and what must be declared is told."""
    with pytest.raises(InvalidRequest, match="endpoint.inputs"):
        found(Server({"/v2/models/net": {**V2, "inputs": []}}))
    with pytest.raises(InvalidRequest, match="endpoint.inputs"):
        found(Server({"/v1/models/net": {"name": "net", "ready": True}}))


def test_tensorflow_serving_is_found_over_the_wire() -> None:
    """Our stub of it, over HTTP and over gRPC; the oracle is its own answer in the declared protocol."""
    with tfserving.rest() as server:
        said, scores = over_the_wire(server.url, "scores")
        assert said.speech == Speech.TFSERVING_REST.value
        assert scores.shape[0] == 2
    with tfserving.over_grpc() as url:
        said, again = over_the_wire(url, "scores")
        assert said.speech == Speech.TFSERVING_GRPC.value
        np.testing.assert_allclose(again, scores, rtol=1e-6)  # JSON and float32


def test_a_wrong_model_is_no_wrong_protocol() -> None:
    """TensorFlow Serving says so in words of its own, over both wires."""
    with tfserving.rest() as server, pytest.raises(InvalidRequest, match="no model 'nett'"):
        over_the_wire(server.url, "nett")
    with tfserving.over_grpc() as url, pytest.raises(InvalidRequest, match="no model 'nett'"):
        over_the_wire(url, "nett")


def test_another_web_server_is_recognised_as_none() -> None:
    """A page for every path, with status 200: the search ends with all that was tried, and within bounds."""
    with web(lambda _: Response(200, "<html>welcome</html>", "text/html")) as server:
        with pytest.raises(EndpointRefused, match="declare the protocol"):
            over_the_wire(server.url, "net", inputs=DECLARED)
        assert not server.asked


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with pytest.raises(EndpointUnreachable):
        over_the_wire(NOBODY, "net")


def test_nothing_is_asked_before_the_first_call() -> None:
    """Making the exchange makes no call; the first `next` does."""
    server = Server({"/v2/models/net": V2})
    exchange = PROTOCOLS[Speech.AUTO].describe(Endpoint(NOBODY, model="net"))
    assert server.calls == []
    assert next(exchange) == HttpCall("GET", "/v2", headers={"accept": "application/json"})
