"""whybox in KServe's place for explainers: KServe's own server is the predictor, KServe's own clients are the callers.

Both are processes of KServe's SDK, in its own environment; between them is `whybox serve` with the arguments that
KServe's controller gives it.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.serving import Server, running
from tests.peers.environments import environment
from tests.peers.models import MODELS
from tests.peers.process import Peer

import whybox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # an environment may have to be made first

NET = MODELS["net"]
ROWS = NET.rows["x"][:3]
PARAMETERS = {"method": "occlusion", "seed": 7, "space": "PROBABILITY"}
PROTOCOLS = ("auto", "v1", "v2", "grpc-v2")


def asked(*jobs: dict[str, Any]) -> list[Any]:
    """What KServe's clients come to."""
    script = Path(__file__).with_name("kserve_client.py")
    command = [str(environment("kserve") / "python"), str(script)]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout[done.stdout.index("[") :])
    failed = [answer for answer in answers if "failed" in answer]
    assert not failed, failed
    return [answer["said"] for answer in answers]


def explainer(peer: Peer, protocol: str, tmp_path: Path) -> Any:
    """`whybox serve` as the controller starts it; protocols but "auto" as an operator would add them."""
    host = (peer.grpc if protocol == "grpc-v2" else peer.http).partition("://")[2]
    more = () if protocol == "auto" else ("--predictor_protocol", protocol)
    return running(
        *("--http-listen", "127.0.0.1:0", "--grpc_port=0", "--listen", "127.0.0.1:0"),
        *("--model_name", "net", "--predictor_host", host, "--http_port", "8080", "--workers", "3", *more),
        models=None,
    )


def http_of(server: Server) -> str:
    found = [line["address"] for line in server.lines if line.get("event") == "serving http"]
    return f"http://{found[0]}"


def wait_ready(server: Server) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{http_of(server)}/v2/health/ready", timeout=5):
                return
        except urllib.error.HTTPError:
            time.sleep(0.05)
    raise AssertionError("".join(server.raw[-20:]))


@pytest.fixture(scope="module", params=PROTOCOLS)
def server(request: pytest.FixtureRequest, kserve: Peer, tmp_path_factory: Any) -> Iterator[Server]:
    with explainer(kserve, request.param, tmp_path_factory.mktemp("explainer")) as found:
        wait_ready(found)
        yield found


@pytest.fixture(scope="module")
def truth() -> list[list[float]]:
    """Occlusion of the same rows by whybox on the file itself: (rows, targets, columns), nested."""
    with whybox.local() as service:
        return [service.explain(NET.graph, {"x": row}, "occlusion", seed=7, space="probability").values[None].tolist() for row in ROWS]


def values(explanation: dict[str, Any]) -> Any:
    return explanation["attribution"]["values"]["data"]


def test_arrays_and_named_tensors_are_explained_alike(server: Server, kserve: Peer, truth: Any) -> None:
    """KServe's client asks; the oracle is whybox on the ONNX file, and KServe's own predictions."""
    url = http_of(server)
    array, named, direct, passed = asked(
        {"do": "explain", "url": url, "model": "net", "body": {"instances": ROWS.tolist(), "parameters": PARAMETERS}},
        {
            "do": "explain",
            "url": url,
            "model": "net",
            "body": {"instances": [{"x": row.tolist()} for row in ROWS], "parameters": PARAMETERS},
        },
        {"do": "predict", "url": kserve.http, "model": "net", "body": {"instances": ROWS.tolist()}},
        {"do": "predict", "url": url, "model": "net", "body": {"instances": ROWS.tolist()}},
    )
    for reply in (array, named):
        np.testing.assert_allclose(reply["predictions"], direct["predictions"], rtol=1e-5)
        np.testing.assert_allclose([values(one) for one in reply["explanations"]], truth, atol=2e-5)
        assert [one["provenance"]["method"] for one in reply["explanations"]] == ["occlusion"] * 3
    np.testing.assert_allclose(passed["predictions"], direct["predictions"], rtol=1e-5)


def test_the_open_inference_protocol_carries_explanations(server: Server, truth: Any) -> None:
    """KServe's REST client, with JSON and with bytes, and its gRPC client, contents and raw."""
    rows = ROWS.tolist()
    rest = {"do": "infer", "url": http_of(server), "model": "net", "rows": rows, "parameters": PARAMETERS}
    grpc = {"do": "grpc_infer", "address": server.address, "model": "net", "rows": rows, "parameters": PARAMETERS}
    for said in asked(
        {**rest, "binary": False}, {**rest, "binary": True}, {**grpc, "raw": False}, {**grpc, "raw": True}
    ):
        assert (said["id"], said["name"], said["shape"]) == ("mine", "explanation", [3, 1])
        np.testing.assert_allclose([values(json.loads(text)) for text in said["texts"]], truth, atol=2e-5)


def test_its_clients_see_it_alive_and_ready(server: Server) -> None:
    health, grpc_health = asked(
        {"do": "health", "url": http_of(server), "model": "net"},
        {"do": "grpc_health", "address": server.address, "model": "net"},
    )
    assert health == [True] * 4
    assert grpc_health == [True] * 3


@pytest.mark.parametrize("structured", [False, True])
def test_an_event_is_answered_with_an_event(server: Server, truth: Any, structured: bool) -> None:
    """As the SDK of CloudEvents writes it, and with the attributes that KServe gives its answers."""
    body = {"instances": ROWS.tolist(), "parameters": PARAMETERS}
    [said] = asked({"do": "event", "url": http_of(server), "model": "net", "body": body, "structured": structured})
    assert said["status"] == 200, said
    if structured:
        assert said["headers"]["content-type"] == "application/cloudevents+json"
        attributes, data = said["body"], said["body"]["data"]
    else:
        attributes = {name.removeprefix("ce-"): value for name, value in said["headers"].items()}
        data = said["body"]
    assert attributes["type"] == "io.kserve.inference.response"
    assert attributes["source"] == "io.kserve.inference.net"
    assert attributes["specversion"] == "1.0"
    assert attributes["id"] not in ("", "one")
    np.testing.assert_allclose([values(one) for one in data["explanations"]], truth, atol=2e-5)
