"""KServe's V1 under arbitrary requests: answered or refused in its words, and explained as over our own gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http_calls import Answer, Http, both

from whybox.inputs import instance
from whybox.v1 import explain_pb2, explain_pb2_grpc
from whybox_server.kserve.shown import shown
from whybox_server.methods import METHODS

pytestmark = pytest.mark.slow

STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}
PATIENCE = {"x-timeout-s": "10"}


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    with both() as http:
        yield http


@pytest.fixture(scope="module")
def channel(served: Http) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.server.address) as channel:
        yield channel


def decent(answer: Answer) -> None:
    """200, or 4xx with a text and nothing else; never 5xx."""
    assert answer.headers["x-request-id"]
    if answer.status != 200:
        assert 400 <= answer.status < 500, (answer.status, answer.body)
        assert [type(value) for value in answer.json.values()] == [str]
        assert [*answer.json] == ["error"]
        assert answer.json["error"]


NUMBERS = st.integers() | st.floats(-9, 9) | st.sampled_from([10**400, -(2**64), 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=6,
)
DIGITS = st.just(np.zeros((1, 8, 8)).tolist())
COLUMNS = st.dictionaries(st.sampled_from("ab"), NUMBERS, min_size=1)
ROWS = DIGITS | COLUMNS | st.just("a good film") | st.just({"b64": "iVBORw0KGgo="}) | VALUES
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["method", "lime", "occlusion", "seed", "targets", "num_samples", "segmentation", "baseline", "spec", "tensors"]
    ),
    VALUES | st.sampled_from(["lime", "occlusion", "blur", "base64", "2", "[1]", "{}"]),
    max_size=3,
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "instances": st.lists(ROWS, max_size=3) | VALUES,
        "inputs": st.lists(ROWS, max_size=2) | st.dictionaries(st.text(max_size=3), VALUES, max_size=2) | VALUES,
        "parameters": PARAMETERS | VALUES,
        "other": VALUES,
    },
)
EVENTS = st.fixed_dictionaries(
    {name: st.text(max_size=4) for name in ("id", "source", "type", "specversion")} | {"data": ASKED},
    optional={"time": VALUES, "data_base64": VALUES, "subject": VALUES},
)
BODIES = (VALUES | ASKED | EVENTS).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "application/cloudevents+json", "text/plain", "?"]),
        "ce-id": st.sampled_from(["1", "%zz", ""]),
        "ce-type": st.just("t"),
        "ce-source": st.just("s"),
        "ce-specversion": st.sampled_from(["1.0", "0.3", "9"]),
        "ce-time": st.sampled_from(["noon", "2026-01-02T03:04:05Z"]),
        "x-whybox-method": st.sampled_from(["lime", "occlusion", "nope", ""]),
        "x-whybox-parameters": st.sampled_from(['{"num_samples": 20}', "{", "[]", '{"seed": 1e999}']),
    },
)


@settings(max_examples=150)
@given(st.sampled_from(["digits", "sentiment", "nope"]), st.sampled_from(["explain", "predict"]), BODIES, HEADERS)
def test_any_body_is_answered_or_refused(served: Http, model: str, verb: str, body: bytes, headers: dict[str, str]):
    decent(served.call("POST", f"/v1/models/{model}:{verb}", body, {**PATIENCE, **headers}))


@settings(max_examples=100)
@given(st.sampled_from(["digits", "sentiment", "breast_cancer"]), st.lists(ROWS, min_size=1, max_size=3), PARAMETERS)
def test_any_instances_and_parameters_are_answered_or_refused(
    served: Http, model: str, rows: list[Any], parameters: dict[str, Any]
):
    body = json.dumps({"instances": rows, "parameters": parameters}).encode()
    decent(served.call("POST", f"/v1/models/{model}:explain", body, PATIENCE))


@settings(max_examples=100)
@given(st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]), st.text("amx1v/:%-_.? ", max_size=12))
def test_any_path_below_v1_is_answered_or_refused(served: Http, verb: str, path: str):
    answer = served.call(verb, "/v1/" + path.replace("%", "%25").replace(" ", "%20"), b"{}" if verb != "GET" else None)
    decent(answer)
    assert ("allow" in answer.headers) == (answer.status == 405)


# Few rows each, so that a hundred of them take seconds.
SMALL = {
    "lime": {"num_samples": st.integers(10, 30), "ridge": st.floats(0.1, 2), "paired": st.booleans()},
    "kernel_shap": {"num_samples": st.integers(30, 60), "baseline": st.sampled_from(["mask", {"kind": "DELETE"}])},
    "occlusion": {"baseline": st.sampled_from(["delete", {"kind": "mask"}])},
    "erasure": {"search": st.sampled_from(["greedy", "NONE", "beam"]), "max_erased": st.integers(0, 2)},
    "shapley_sampling": {"num_permutations": st.integers(1, 3), "antithetic": st.booleans()},
    "integrated_gradients": {"steps": st.integers(-1, 3)},
}
WHOLE = {
    "seed": st.integers(0, 2**64 - 1),
    "space": st.sampled_from(["LOGIT", "PROBABILITY"]),
    "max_queries": st.integers(-1, 40),
    "targets": st.sampled_from([[{"index": 0}], [{"top": 2}], [{"index": 7}]]),
}


@st.composite
def asked(draw: Any) -> tuple[list[str], str, dict[str, Any], dict[str, Any]]:
    texts = draw(st.lists(st.sampled_from(["good film", "not so bad", "a", ""]), min_size=1, max_size=3))
    method = draw(st.sampled_from(sorted(SMALL)))
    params = draw(st.fixed_dictionaries({}, optional=SMALL[method]))
    return texts, method, params, draw(st.fixed_dictionaries({}, optional=WHOLE))


def test_v1_explains_as_our_own_grpc_does(served: Http, channel: grpc.Channel):
    """The typed RPC is the oracle, made by protobuf's own JSON: the same explanations, or an error both ways."""
    ends = set()

    @settings(max_examples=40)
    @given(asked())
    def agree(drawn: tuple[Any, ...]) -> None:
        texts, method, params, whole = drawn
        body = {"instances": texts, "parameters": {"method": method, **params, **whole, "mode": "reproducible"}}
        answer = served.post("/v1/models/sentiment:explain", body)
        expected = over_our_own_grpc(channel, *drawn)
        if isinstance(expected, grpc.StatusCode):
            assert answer.status == STATUSES[expected]
            decent(answer)
        else:
            assert answer.status == 200, answer.body
            found = [lasting(one) for one in answer.json["explanations"]]
            assert found == [lasting(json.loads(json.dumps(shown(one, body["parameters"])))) for one in expected]
        ends.add(answer.status == 200)

    agree()
    assert ends == {True, False}, "no request was answered, or none refused"


def over_our_own_grpc(
    channel: grpc.Channel, texts: list[str], method: str, params: dict[str, Any], whole: dict[str, Any]
) -> Any:
    """The explanations, or the code of the error."""
    request = explain_pb2.ExplainRequest(model="models/sentiment", instances=map(instance, texts))
    spelt = {name: full(name, value) for name, value in params.items()}
    space = {"space": f"SCORE_SPACE_{whole['space']}"} if "space" in whole else {}
    json_format.ParseDict({**whole, **space, "mode": "MODE_REPRODUCIBLE", method: spelt}, request)
    try:
        return explain_pb2_grpc.ExplanationServiceStub(channel).Explain(request, timeout=60).explanations
    except grpc.RpcError as error:
        return error.code()


def full(name: str, value: Any) -> Any:
    """Names of choices as protobuf has them."""
    kind = value.get("kind") if isinstance(value, dict) else value
    if name == "baseline":
        return {"kind": f"BASELINE_KIND_{kind.upper()}"}
    return f"FLIP_SEARCH_{value.upper()}" if name == "search" else value


def lasting(explanation: dict[str, Any]) -> dict[str, Any]:
    """Without what every call has anew."""
    kept = {name: value for name, value in explanation.items() if name != "usage"}
    return {**kept, "provenance": {**explanation["provenance"], "request_id": ""}}


def test_the_methods_that_are_compared_are_methods():
    assert {*SMALL} <= {method.name for method in METHODS}
