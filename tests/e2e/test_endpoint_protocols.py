"""One model behind every protocol, explained through the whole service: the protocol must not matter."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from tests.remote.generic import NAMES, generic
from tests.remote.tfserving import LABELS, over_grpc, rest
from tests.remote.torchserve import torchserve

import whybox
from whybox import Endpoint, ExplainError, ModelSpec

ROW = np.array([0.3, -0.2, 0.5], np.float32)
BACKGROUND = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
SPEC = ModelSpec.tabular(background=BACKGROUND, feature_names=NAMES, labels=LABELS, score="probability")
X = {"x": ("float32", (3,))}
ROWS = 64
LIME = {"seed": 3, "num_samples": ROWS}
TOLERANCE = 1e-4  # some servers answer in float32; a logit near 0.5 keeps six digits of it

# Each is a function of the server's URL, by the server that it needs.
ENDPOINTS = {
    "tfserving-rest": ("rest", {"protocol": "tfserving-rest", "model": "scores"}),
    "tfserving-grpc": ("grpc", {"protocol": "tfserving-grpc", "model": "scores"}),
    "auto over HTTP": ("rest", {"model": "scores"}),
    "auto over gRPC": ("grpc", {"model": "scores"}),
    "rows alone": ("rest", {"protocol": "tfserving-rest", "model": "single"}),
    "kserve-v1": (
        "rest",
        {"protocol": "kserve-v1", "model": "scores", "output": "probabilities", "inputs": X},
    ),
    "torchserve": ("torchserve", {"protocol": "torchserve", "model": "named", "inputs": X}),
    "json, lists": (
        "generic",
        {"path": "/lists", "json": {"request": {"rows": "$rows"}, "scores": "result.scores"}},
    ),
    "json, one score": (
        "generic",
        {"path": "/records", "json": {"request": {"items": "$records"}, "scores": "items[*].score"}},
    ),
    "json, sorted": (
        "generic",
        {
            "path": "/sorted",
            "json": {"request": {"inputs": "$rows"}, "scores": "[*][*].score", "labels": "[*][*].label"},
        },
    ),
    "json, one row": (
        "generic",
        {
            "path": "/one",
            "json": {"request": {"row": "$row"}, "scores": "probabilities", "one_row_per_call": True},
        },
    ),
}


@pytest.fixture(scope="module")
def servers():
    """One of each kind."""
    with ExitStack() as stack:
        enter = stack.enter_context
        yield {
            "rest": enter(rest()).url,
            "grpc": enter(over_grpc()),
            "torchserve": enter(torchserve()).url,
            "generic": enter(generic()).url,
        }


@pytest.fixture(scope="module")
def client(servers):
    """It hangs up before the servers do."""
    with whybox.local(allow_egress=["127.0.0.0/8"]) as client:
        yield client


def endpoint(servers, name: str, spec: ModelSpec = SPEC) -> Endpoint:
    server, declared = ENDPOINTS[name]
    if server != "generic":
        return Endpoint(servers[server], spec=spec, **declared)
    return Endpoint(
        servers[server] + declared["path"], protocol="json", json=declared["json"], inputs=X, spec=spec
    )


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_explanation_is_the_same_whatever_the_protocol(client, servers, name):
    """Same seed, same rows: LIME's numbers differ by no more than float32 does."""
    wanted = client.explain(endpoint(servers, "json, lists"), ROW, "lime", **LIME)
    found = client.explain(endpoint(servers, name), ROW, "lime", **LIME)
    np.testing.assert_allclose(found.values, wanted.values, atol=TOLERANCE)
    assert found.target.label == wanted.target.label


@pytest.mark.parametrize("method", ["anchors"])
def test_labels_are_enough_for_a_method_that_reads_labels(client, servers, method):
    declared = {"request": {"rows": "$rows"}, "labels": "labels"}
    labels = Endpoint(servers["generic"] + "/labels", protocol="json", json=declared, inputs=X, spec=SPEC)
    assert client.explain(labels, ROW, method, seed=3).target.label == "yes"


def test_methods_that_read_scores_say_why_labels_are_not_enough(client, servers):
    declared = {"request": {"rows": "$rows"}, "labels": "labels"}
    labels = Endpoint(servers["generic"] + "/labels", protocol="json", json=declared, inputs=X, spec=SPEC)
    with pytest.raises(ExplainError, match="labels alone"):
        client.explain(labels, ROW, "lime", **LIME)


def test_a_path_that_finds_nothing_says_what_the_reply_is(client, servers):
    declared = {"request": {"rows": "$rows"}, "scores": "result.score"}
    wrong = Endpoint(servers["generic"] + "/lists", protocol="json", json=declared, inputs=X, spec=SPEC)
    with pytest.raises(ExplainError, match=r"`result.score` finds nothing.*correct json\.scores"):
        client.explain(wrong, ROW, "lime", **LIME)
