"""endpoints.yaml: what it says is what is used, and what is wrong in it is told with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from whybox_server.core.spec import ScoreKind, TabularSpec
from whybox_server.serving.onnx.described import DescriptionError
from whybox_server.serving.remote.check import violations
from whybox_server.serving.remote.declared import parse, read
from whybox_server.serving.remote.endpoint import Endpoint, JsonMapping, Limits, Price, Speech

WHOLE = """
credentials:
  churn-key: {file: keys/churn, hosts: ["*.prod.svc"], prefix: "Token "}
  own: {env: CHURN_KEY}
endpoints:
  churn:
    url: https://churn.prod.svc:8443/base
    protocol: oip-rest
    model: churn
    version: "3"
    revision: "2026-11"
    output: probabilities
    gradient_model: churn_gradient
    inputs:
      - {name: x, shape: [30]}
      - {name: note, dtype: string}
      - {name: seq, dtype: int64, shape: [-1, 4]}
    spec:
      labels: [stay, leave]
      score: probability
      gradient: {output: g, seed: s}
      tabular: {feature_names: [a, b], background: rows.csv}
    headers: {x-tenant: risk}
    forward: [Authorization, traceparent]
    credential: churn-key
    limits: {requests_per_second: 2.5, concurrency: 4, rows_per_call: 16, calls_per_day: 1000}
    price: {per_call: 0.002, per_row: 0.0001, currency: EUR}
  free:
    url: http://127.0.0.1:9000/score
    protocol: json
    credential: own
    inputs: [{name: x, shape: [2]}]
    json: {request: {rows: $rows, top: 3}, scores: "result[].p", one_row_per_call: false}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    return tmp_path


def test_every_key_arrives_where_it_belongs(folder: Path) -> None:
    """Read off the text above."""
    declared = parse(WHOLE, folder)
    churn, free = declared.endpoints["endpoints/churn"], declared.endpoints["endpoints/free"]
    assert (churn.name, churn.url, churn.speech) == (
        "endpoints/churn",
        "https://churn.prod.svc:8443/base",
        Speech.OIP_REST,
    )
    assert (churn.model, churn.version, churn.revision, churn.output) == (
        "churn",
        "3",
        "2026-11",
        "probabilities",
    )
    assert [(one.name, one.dtype, one.shape) for one in churn.inputs] == [
        ("x", "float32", (30,)),
        ("note", "object", ()),
        ("seq", "int64", (None, 4)),
    ]
    assert churn.trusted
    assert churn.forward == ("authorization", "traceparent")
    assert churn.headers == {"x-tenant": "risk"}
    assert churn.limits == Limits(
        requests_per_second=2.5, concurrency=4, rows_per_call=16, calls_per_day=1000
    )
    assert churn.price == Price(0.002, 0.0001, "EUR")
    assert churn.spec.score is ScoreKind.PROBABILITY
    assert isinstance(churn.spec.details, TabularSpec)
    np.testing.assert_array_equal(churn.spec.details.background, [[1, 2], [3, 4]])
    assert free.json is not None
    assert json.loads(free.json.request) == {"rows": "$rows", "top": 3}
    assert free.json.scores == "result[].p"


def test_a_credential_is_a_reference_that_goes_to_hosts_of_the_operators_choice(folder: Path) -> None:
    """A file beside the yaml; without hosts it goes to the endpoint that it was given to, and is no caller's."""
    declared = parse(WHOLE, folder)
    key = declared.endpoints["endpoints/churn"].credential
    assert key is not None
    assert (key.name, key.file, key.prefix, key.hosts) == (
        "churn-key",
        str(folder / "keys/churn"),
        "Token ",
        ("*.prod.svc",),
    )
    own = declared.endpoints["endpoints/free"].credential
    assert own is not None
    assert own.hosts == ("127.0.0.1",)
    assert declared.credentials["own"].hosts == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("endpoints: {a: {url: 'https://h', modle: x}}", "did you mean 'model'"),
        ("endpoints: {a: {}}", "endpoints.a.url: required"),
        ("endpoints: {a: {url: 'ftp://h'}}", "endpoints.a.url"),
        ("endpoints: {a: {url: 'https://u:p@h'}}", "credential"),
        ("endpoints: {a: {url: 'https://h/?api_key=1'}}", "looks like a secret"),
        ("endpoints: {a: {url: 'https://h/f?v=2&code=abc'}}", "looks like a secret"),
        ("endpoints: {a: {url: 'https://h', protocol: rest}}", "endpoints.a.protocol must be one of auto"),
        ("endpoints: {a: {url: 'https://h', version: 3}}", "put it in quotes"),
        ("endpoints: {a: {url: 'https://h', credential: k}}", "no credential 'k'; declared are none"),
        ("endpoints: {a: {url: 'https://h', headers: {Authorization: x}}}", "looks like a secret"),
        ("endpoints: {a: {url: 'https://h', headers: {x-run: 'Bearer abc'}}}", "looks like a secret"),
        ("endpoints: {a: {url: 'https://h', forward: [Host]}}", "can be passed on"),
        ("endpoints: {a: {url: 'https://h', headers: {host: 'a b'}}}", "no header that can be declared"),
        ("endpoints: {a: {url: 'https://h', limits: {rows_per_call: 0}}}", "limits.rows_per_call: must be 1"),
        ("endpoints: {a: {url: 'https://h', limits: {rows_per_call: 1.5}}}", "whole number"),
        ("endpoints: {a: {url: 'https://h', limits: {rows: 1}}}", "unknown key 'rows' in endpoints.a.limits"),
        ("endpoints: {a: {url: 'https://h', price: {per_call: -1}}}", "price.per_call"),
        ("endpoints: {a: {url: 'https://h', inputs: [{name: x, dtype: float}]}}", "inputs"),
        ("endpoints: {a: {url: 'https://h', inputs: [{name: x}, {name: x}]}}", "no two alike"),
        ("endpoints: {a: {url: 'https://h', json: {scores: x}}}", "belongs to the protocol json"),
        ("endpoints: {a: {url: 'https://h', protocol: json, json: {scores: 'a['}}}", "json.scores"),
        ("endpoints: {a: {url: 'https://h', tls: {ca: nowhere.pem}}}", "is not a file"),
        ("endpoints: {a: {url: 'https://h', gradient_model: g}}", "spec.gradient"),
        ("endpoints: {a: {url: 'https://h', spec: {lables: [a]}}}", "endpoints.a.spec: unknown key 'lables'"),
        ("credentials: {k: {secret: abc}}", "unknown key 'secret'"),
        ("credentials: {k: {file: a, env: b}}", "either file or env"),
        (
            "{credentials: {k: {env: K, hosts: [a.example]}}, endpoints: {a: {url: 'https://h', credential: k}}}",
            "is for a.example, not for h",
        ),
        ("endpoints: [a]", "must map names"),
        ("endpoints: {a: [", "no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_remedy(folder: Path, wrong: str, words: str) -> None:
    """One mistake each."""
    with pytest.raises(DescriptionError, match=words):
        parse(wrong, folder)


@pytest.mark.parametrize("value", ["m.default.example.com", "m.example:8080", "[::1]:80"])
def test_the_operator_alone_says_whom_a_call_is_for(value: str) -> None:
    """An ingress of KServe finds the model by it; a caller could reach a neighbour with it."""
    told = Endpoint("https://h", headers={"Host": value})
    assert not violations(replace(told, trusted=True))
    assert [one.field for one in violations(told)] == ["endpoint.headers['Host']"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Neither a missing file nor a wrong one is a stack trace."""
    with pytest.raises(DescriptionError, match="none.yaml"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: 1")
    with pytest.raises(DescriptionError, match="bad.yaml: unknown key 'a'"):
        read(tmp_path / "bad.yaml")


def test_all_that_is_wrong_with_a_declaration_is_told_at_once() -> None:
    """Five mistakes, five violations, each below the field it was asked for."""
    endpoint = Endpoint(
        "https://h",
        headers={"cookie": "a"},
        limits=Limits(concurrency=0, timeout_s=0.0),
        price=Price(per_row=float("nan")),
        json=JsonMapping(),
    )
    fields = [one.field for one in violations(endpoint, "endpoint")]
    assert fields == [
        "endpoint.headers['cookie']",
        "endpoint.limits.concurrency",
        "endpoint.limits.timeout_s",
        "endpoint.price.per_row",
        "endpoint.json",
    ]
