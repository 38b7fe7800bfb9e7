"""whybox beside a model server and a Redis, each a process on loopback, as in one pod: what the model server's
coming and going means to those who ask for explanations. The server of whybox is never restarted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.e2e.serving import Server, running
from tests.http_calls import Http, http_address
from tests.peers.models import MODELS
from tests.redis import redis_server
from tests.sidecar.model_process import ModelServer, kserves, ours

import whybox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # four processes start, and others may use the cores

SERVED = MODELS["net"]
X = SERVED.rows["x"][0]
SPEC = whybox.ModelSpec.tabular(output="scores", score="probability")
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
CALLERS, PATIENCE_S, SHORT_S = 3, 60.0, 2.0
ENOUGH = 6  # answers, before something happens and after
CLEAR = ("ENDPOINT_UNREACHABLE", "DEADLINE", "")  # the last: gRPC's own deadline came first


@pytest.fixture(params=[ours, kserves], ids=["ours", "kserve"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModelServer]:
    """A model server that does not run yet."""
    (tmp_path / "net.onnx").write_bytes(SERVED.graph)
    server = request.param(tmp_path, "net")
    yield server
    server.end()


@pytest.fixture
def behind(away: ModelServer) -> ModelServer:
    """One that runs."""
    away.start()
    return away


@contextmanager
def beside(behind: ModelServer, folder: Path) -> Iterator[Server]:
    """A server of whybox that knows it as endpoints/net."""
    limits = {"rows_per_call": 16, "timeout_s": 10}
    net = {"url": behind.url, "protocol": behind.protocol, "model": "net", "revision": "1", "limits": limits}
    (folder / "endpoints.yaml").write_text(yaml.safe_dump({"endpoints": {"net": net}}))
    with (
        redis_server() as redis,
        running(
            "--endpoints", str(folder / "endpoints.yaml"), "--redis", redis.url, "--trust-uploads", models=None
        ) as server,
    ):
        yield server


def ask(client: whybox.Client, seed: int, model: str | bytes = "endpoints/net", spec: whybox.ModelSpec | None = None):
    return client.explain(model, X, "lime", target=1, space="probability", seed=seed, num_samples=120, spec=spec)


@dataclass
class Callers:
    """Ask for explanations, one after the other and each with a seed of its own, so that no cache knows the rows."""

    address: str
    values: dict[int, np.ndarray] = field(default_factory=dict)
    failures: list[whybox.ExplainError] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def call(self, first: int) -> None:
        seed = first
        with whybox.Client(self.address, timeout=PATIENCE_S) as client:
            while not self.over.is_set():
                try:
                    self.values[seed] = ask(client, seed).values
                except whybox.ExplainError as failure:
                    self.failures.append(failure)
                seed += CALLERS

    def answered_more(self) -> None:
        """Wait until explanations come."""
        before, patience = len(self.values), time.monotonic() + PATIENCE_S
        while len(self.values) < before + ENOUGH:
            assert time.monotonic() < patience, self.failures
            time.sleep(0.02)


@contextmanager
def calling(address: str) -> Iterator[Callers]:
    callers = Callers(address)
    threads = [threading.Thread(target=callers.call, args=(first,)) for first in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        callers.over.set()
        for thread in threads:
            thread.join()


def test_a_model_server_is_restarted_under_load(behind: ModelServer, tmp_path: Path) -> None:
    """Once in peace and once killed: who is waiting gets what the graph itself says, and nobody a wrong number."""
    with beside(behind, tmp_path) as server, calling(server.address) as callers:
        for how in (signal.SIGTERM, signal.SIGKILL):
            callers.answered_more()
            behind.end(how)
            behind.start()
        callers.answered_more()
        callers.over.set()
        with whybox.Client(server.address) as client:
            expected = {seed: ask(client, seed, SERVED.graph, SPEC).values for seed in list(callers.values)}
        assert server.process.poll() is None
    assert not callers.failures
    for seed, values in expected.items():
        np.testing.assert_allclose(callers.values[seed], values, atol=1e-5)  # float32, in batches of other sizes


def test_a_model_server_that_stays_away_is_said_and_is_found_again(behind: ModelServer, tmp_path: Path) -> None:
    """Who allows two seconds hears within them who did not answer; the next call after its return is answered."""
    with beside(behind, tmp_path) as server, whybox.Client(server.address) as client:
        before = ask(client, 0)
        behind.end()
        with pytest.raises(whybox.ExplainError) as failed:
            client.explain("endpoints/net", X, "lime", target=1, seed=1, num_samples=120, timeout=SHORT_S)
        assert failed.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert failed.value.reason in CLEAR
        assert "Traceback" not in str(failed.value)
        assert ask(client, 0).values.tobytes() == before.values.tobytes(), "the cache needs no model server"
        behind.start()
        after = ask(client, 2)
        np.testing.assert_allclose(after.values, ask(client, 2, SERVED.graph, SPEC).values, atol=1e-5)


def test_readiness_waits_for_the_predictor_and_follows_it(away: ModelServer) -> None:
    """KServe's controller says where it is and no more. Who asks too early hears 503, and why; both wires agree."""
    flags = ("--model_name", "net", "--predictor_host", away.url.partition("://")[2], "--http-listen", "127.0.0.1:0")
    protocol = ("--predictor_protocol", "grpc-v2") if away.protocol == "oip-grpc" else ()
    with running(*flags, *protocol, models=None) as server:
        http = Http(http_address(server), server)
        assert http.call("GET", "/v2/health/live").status == 200
        early = http.post("/v1/models/net:explain", {"instances": [X.tolist()]})
        assert (early.status, list(early.json)) == (503, ["error"])
        assert "net" in early.json["error"]
        for turn in range(2):
            until_ready(http, ready=False)
            away.start()
            until_ready(http, ready=True)
            body = {"instances": [X.tolist()], "parameters": {"num_samples": 120, "seed": turn, "targets": [1]}}
            answer = http.post("/v1/models/net:explain", body)
            assert answer.status == 200, answer.json
            with whybox.Client(server.address) as client:
                e = client.explain("endpoints/net", X, "lime", target=1, seed=turn, num_samples=120)
            (explanation,) = answer.json["explanations"]
            np.testing.assert_array_equal(explanation["attribution"]["values"]["data"][0], e.values)
            away.end(signal.SIGKILL)
        assert not [line for line in server.raw if "Traceback" in line]


def until_ready(http: Http, *, ready: bool) -> None:
    """Wait until both wires say so."""
    patience = time.monotonic() + PATIENCE_S
    said: tuple[int, int] = (0, 0)
    wanted = (200, SERVING) if ready else (503, NOT_SERVING)
    with grpc.insecure_channel(http.server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while said != wanted:
            said = http.call("GET", "/v2/health/ready").status, check(HealthCheckRequest(service="readiness")).status
            assert time.monotonic() < patience, said
            time.sleep(0.05)
