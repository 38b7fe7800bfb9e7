"""`whybox.Endpoint`: what callers write, as the message that a server reads."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

import whybox
from whybox.cli.connect import egress_to
from whybox.cli.endpoints import asked_model, options
from whybox.cli.parser import make_parser
from whybox.operations import many, one
from whybox.v1 import endpoint_pb2, tensor_pb2
from whybox.wire import Ask, model_ref
from whybox_server.api.endpoints import SPEECHES, from_endpoint, to_endpoint
from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.endpoint import Speech

URL = "https://models.example.com/base"


def test_options_go_where_they_belong_by_name() -> None:
    """Fields of the endpoint, its limits and its price are told apart by their names alone."""
    made = whybox.Endpoint(
        URL,
        protocol="oip-grpc",
        model="churn",
        inputs={"x": (30,), "ids": ("int64", (None, 2)), "note": ("str", ())},
        headers={"x-tenant": "risk"},
        spec=whybox.ModelSpec.tabular(labels=["a", "b"]),
        rows_per_call=16,
        timeout_s=2.5,
        per_row=0.01,
        currency="EUR",
        json={"request": {"rows": "$rows"}, "scores": "p"},
    ).message
    assert (made.url, made.model) == (URL, "churn")
    assert made.protocol == endpoint_pb2.ENDPOINT_PROTOCOL_OIP_GRPC
    assert [(i.name, i.dtype, list(i.shape)) for i in made.inputs] == [
        ("x", tensor_pb2.DATA_TYPE_UNSPECIFIED, [30]),
        ("ids", tensor_pb2.DATA_TYPE_INT64, [-1, 2]),
        ("note", tensor_pb2.DATA_TYPE_STRING, []),
    ]
    assert (made.limits.rows_per_call, made.limits.timeout_s) == (16, 2.5)
    assert (made.price.per_row, made.price.currency) == (0.01, "EUR")
    assert json.loads(made.json.request) == {"rows": "$rows"}
    assert dict(made.headers) == {"x-tenant": "risk"}
    assert list(made.spec.labels) == ["a", "b"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Four mistakes, each by its field, with the nearest name."""
    with pytest.raises(whybox.ExplainError) as refused:
        whybox.Endpoint(URL, protocol="oip", modle="x", rows_per_call="many", headers="none", spec={"a": 1})
    said = {violation.field: violation.description for violation in refused.value.violations}
    assert "did you mean model" in said["endpoint.modle"]
    assert set(said) == {
        "endpoint.protocol",
        "endpoint.modle",
        "endpoint.limits.rows_per_call",
        "endpoint.headers",
        "endpoint.spec",
    }


def test_a_server_reads_what_a_client_writes_and_echoes_it() -> None:
    """There and back, with what is unset filled in by the defaults of the server."""
    made = whybox.Endpoint(URL, protocol="json", model="m", inputs={"x": ("float64", (2,))}, rows_per_call=3)
    read = to_endpoint(made.message, "endpoint")
    echo = from_endpoint(read)
    assert (read.speech, read.limits.rows_per_call, read.limits.concurrency) == (Speech.JSON, 3, 8)
    assert (echo.url, echo.model, echo.protocol) == (URL, "m", made.message.protocol)
    assert to_endpoint(echo, "endpoint").limits == read.limits
    assert np.dtype(read.inputs[0].dtype) == np.float64


def test_every_protocol_has_a_number() -> None:
    """The enum of the proto and the one of the server are the same list."""
    assert set(SPEECHES.values()) == set(Speech)


def test_what_only_a_server_sets_is_refused() -> None:
    """A name in a declaration, and a protocol that nobody knows."""
    with pytest.raises(InvalidRequest, match="set by the server"):
        to_endpoint(endpoint_pb2.Endpoint(name="endpoints/x", url=URL), "endpoint")
    with pytest.raises(InvalidRequest, match="EndpointProtocol"):
        to_endpoint(endpoint_pb2.Endpoint(url=URL, protocol=99), "endpoint")  # type: ignore[arg-type] # newer


def test_an_endpoint_stands_in_place_of_a_model() -> None:
    """Declared here it travels in the request; one that a server knows goes by its name."""
    declared = whybox.Endpoint(URL)
    _, request = one(declared, np.zeros(2), Ask("lime"))
    assert (request.model, request.endpoint.url) == ("", URL)
    _, request = many("endpoints/churn", np.zeros((2, 2)), Ask("lime"))
    assert (request.model, request.HasField("endpoint")) == ("endpoints/churn", False)
    known = whybox.Endpoint.of(endpoint_pb2.Endpoint(name="endpoints/churn", url=URL))
    assert model_ref(known).name == "endpoints/churn"
    assert "endpoints/churn" in repr(known)


def words(*more: str) -> argparse.Namespace:
    return make_parser().parse_args(["explain", "--input", "x.npy", "--method", "lime", *more])


def test_the_command_line_says_the_same() -> None:
    """K=V: names as texts, even those that look like numbers; JSON where JSON is meant."""
    given = words(
        *("--endpoint", URL),
        *("--endpoint-option", "version=3", "--endpoint-option", "rows_per_call=16"),
        *("--endpoint-option", 'inputs={"x": [2]}'),
    )
    made = asked_model(given)
    assert made == whybox.Endpoint(URL, version="3", rows_per_call=16, inputs={"x": (2,)})
    assert egress_to(given) == {"allow_egress": ["models.example.com"]}
    assert asked_model(words("--endpoint", "endpoints/churn")) == "endpoints/churn"
    assert egress_to(words("--endpoint", "endpoints/churn")) == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--model", "m.onnx", "--endpoint-option", "model=x"], "belongs to --endpoint"),
        (["--endpoint", "endpoints/a", "--endpoint-option", "model=x"], "declared already"),
        (["--endpoint", URL, "--endpoint-option", "model"], "NAME=VALUE"),
        (["--endpoint", URL, "--endpoint-option", "row_per_call=3"], "did you mean"),
    ],
)
def test_flags_that_do_not_fit_are_refused(more: list[str], said: str) -> None:
    """Before any server is started."""
    with pytest.raises(whybox.ExplainError, match=said):
        asked_model(words(*more))


def test_either_a_model_or_an_endpoint_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Both and neither are wrong usage."""
    for more in ([], ["--model", "m.onnx", "--endpoint", URL]):
        with pytest.raises(SystemExit):
            words(*more)
    assert "--endpoint" in capsys.readouterr().err


def test_options_are_text_where_they_are_no_json() -> None:
    """A template in JSON, a word, a number."""
    assert options(['json={"scores": "p"}', "model=12", "timeout_s=2", "forward=a"]) == {
        "json": {"scores": "p"},
        "model": "12",
        "timeout_s": 2,
        "forward": "a",
    }
