"""The server as KServe's controller starts it: its arguments, the manifest's variables, its ports and its probes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as Call
from urllib.request import urlopen

import grpc
import numpy as np
import onnxruntime as ort
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.deploy.dockerfile import FINAL, environment_of
from tests.deploy.manifests import DEPLOY, appended, objects, settings_of
from tests.e2e.serving import MODELS
from tests.redis import free_port
from tests.remote.onnx_rest import answer as onnx_answer
from tests.remote.web import Request, Response, Web, web

import whybox

WAIT_S = 30
NAME = "diabetes"
STATUS = health_pb2.HealthCheckResponse.ServingStatus
ROW = [62.0, 2.0, 33.3, 114.0, 182.0, 114.0, 38.0, 5.0, 5.01, 96.0]


@dataclass
class Predictor:
    """KServe's ONNX predictor, as far as it matters: V2 over HTTP. up: it has its model."""

    server: Web
    session: ort.InferenceSession
    up: bool = False

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("http://")

    def answer(self, request: Request) -> Response:
        if not self.up:
            return Response(503, {"error": "the model is being loaded"})
        if request.path == f"/v2/models/{NAME}/ready":
            return Response(200, {"name": NAME, "ready": True})
        return onnx_answer(request, {NAME: self.session}, "1")

    def said(self, row: list[float]) -> float:
        """What the file itself says of a row."""
        given = np.array([row], np.float32)
        return float(np.ravel(self.session.run(None, {self.session.get_inputs()[0].name: given})[0])[0])


@dataclass
class Pod:
    """A container of the manifest as a process. lines: of its log."""

    http: str
    grpc: str
    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def get(self, path: str) -> int:
        return self.ask(path)[0]

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON. curl's own content type, because its callers say no other."""
        data = None if body is None else json.dumps(body).encode()
        call = Call(f"http://{self.http}{path}", data, headers)
        try:
            with urlopen(call, timeout=WAIT_S) as reply:
                return reply.status, json.load(reply)
        except HTTPError as error:
            return error.code, json.load(error)

    def health(self, service: str) -> int:
        with grpc.insecure_channel(self.grpc) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S).status)

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


def until(true: Any) -> bool:
    end = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


@contextmanager
def started(predictor: str, *more: str, **variables: str) -> Iterator[Pod]:
    """The explainer of the manifest on free ports: KServe's own, 8080 and 8081, may be taken here."""
    http, rpc = free_port(), free_port()
    manifest = next(
        one for _, one in objects() if one["kind"] == "InferenceService" and one["metadata"]["name"] == NAME
    )
    (container,) = manifest["spec"]["explainer"]["containers"]
    controllers = appended(NAME, predictor)
    controllers[controllers.index("--http_port") + 1] = str(http)
    own = {**environment_of(FINAL), **settings_of(container)}
    own = {name: value for name, value in own.items() if name != "WHYBOX_LISTEN"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHYBOX_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "whybox_server", *container["args"], "--grpc_port", str(rpc), *more, *controllers],
        env={**environment, **own, "WHYBOX_METRICS_LISTEN": "127.0.0.1:0", **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    pod, serving = Pod(f"127.0.0.1:{http}", f"127.0.0.1:{rpc}", process), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            pod.lines.append(json.loads(line))
            if pod.lines[-1]["event"] == "serving":
                serving.set()
        serving.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert serving.wait(WAIT_S)
        assert pod.said("serving"), pod.lines
        yield pod
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(WAIT_S)
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
    assert ended == 0


@contextmanager
def predictor() -> Iterator[Predictor]:
    (file,) = (MODELS / NAME).glob("*/model.onnx")
    session = ort.InferenceSession(file.read_bytes())
    found: list[Predictor] = []
    with web(lambda request: found[0].answer(request)) as server:
        found.append(Predictor(server, session))
        yield found[0]


@pytest.mark.slow
def test_an_explainer_is_alive_at_once_and_ready_when_its_predictor_is() -> None:
    """Both ports, all probes, before and after; then an explanation whose numbers are those of the model's file."""
    with predictor() as behind, started(behind.host, "--unknown_flag", "x") as pod:
        assert pod.get("/v2/health/live") == 200
        assert pod.get("/v2/health/ready") == 503
        assert pod.health("liveness") == pod.health("startup") == STATUS.SERVING
        assert pod.health("readiness") == STATUS.NOT_SERVING
        assert pod.get(f"/v1/models/{NAME}") == 503
        behind.up = True
        assert until(lambda: pod.get("/v2/health/ready") == 200)
        assert until(lambda: pod.health("readiness") == STATUS.SERVING)
        assert pod.ask(f"/v1/models/{NAME}") == (200, {"name": NAME, "ready": True})

        status, told = pod.ask(f"/v1/models/{NAME}:explain", {"instances": [ROW]})
        assert status == 200, told
        assert len(told["predictions"]) == len(told["explanations"]) == 1
        assert np.ravel(told["predictions"][0])[0] == pytest.approx(behind.said(ROW), rel=1e-5)
        (found,) = told["explanations"]
        assert found["provenance"]["method"] == "lime", "the manifest's WHYBOX_EXPLAIN_METHOD"
        assert found["usage"]["rows_planned"] == 500, "and its WHYBOX_EXPLAIN_PARAMETERS"
        with whybox.Client(pod.grpc) as client:
            assert client.explain(f"endpoints/{NAME}", np.array(ROW, np.float32), "occlusion").complete
    ignored = {line["flag"]: line["level"] for line in pod.said("flag ignored")}
    assert ignored == {"--workers": "info", "--unknown_flag": "warning"}


@pytest.mark.slow
def test_the_walk_through_the_readme_ends_where_it_says() -> None:
    """Method by variable, by header and by body, in its own words; and metrics on the port that KServe looks at."""
    section = (
        (DEPLOY / "README.md").read_text().partition("### Deploy, wait, ask")[2].partition("### What the gateway")[0]
    )
    examples = re.findall(r"```bash\n(curl.*?)\n```", section, re.DOTALL)
    methods = []
    with predictor() as behind, started(behind.host) as pod:
        behind.up = True
        assert until(lambda: pod.get("/v2/health/ready") == 200)
        for example in examples:
            path = re.search(r"http://localhost:8080(\S+)", example)
            headers = dict(one.split(": ", 1) for one in re.findall(r"-H '([^']*)'", example))
            body = re.search(r"-d '([^']*)'", example)
            assert path
            assert body
            status, told = pod.ask(path[1], json.loads(body[1]), **headers)
            assert status == 200, told
            provenance = told["explanations"][0]["provenance"]
            methods.append((provenance["method"], provenance.get("seed", 0)))
        assert methods == [("lime", 0), ("kernel_shap", 7), ("occlusion", 0)]
        with urlopen(f"http://{pod.http}/metrics", timeout=WAIT_S) as reply:
            metrics = reply.read().decode()
    assert f'request_explain_seconds_count{{model_name="{NAME}"}} 3.0' in metrics
    assert re.search(rf'whybox_endpoint_calls_total{{endpoint="endpoints/{NAME}"}} [1-9]', metrics)


@pytest.mark.slow
def test_a_file_beside_the_predictor_is_explained_from_inside() -> None:
    """The second manifest's way: WHYBOX_MODELS, a name of its own, a method that the predictor cannot serve.

    And a variable wins over a flag of KServe's: this predictor speaks no V1.
    """
    variables = {"WHYBOX_MODELS": str(MODELS), "WHYBOX_PREDICTOR_PROTOCOL": "v2"}
    with predictor() as behind, started(behind.host, "--predictor_protocol", "v1", **variables) as pod:
        behind.up = True
        assert until(lambda: pod.get("/v2/health/ready") == 200)
        asked = {"instances": [np.zeros((1, 8, 8)).tolist()], "parameters": {"method": "gradient"}}
        status, told = pod.ask("/v1/models/digits:explain", asked)
        assert (status, told.get("error")) == (200, None)
        status, told = pod.ask(f"/v1/models/{NAME}:explain", {"instances": [ROW], "parameters": {"method": "gradient"}})
        assert status == 400
        assert "declares no gradient_model" in told["error"]
    (line,) = pod.said("KServe's flag gives way to ours")
    assert (line["setting"], line["kserve"], line["ours"]) == ("predictor_protocol", "v1", "v2")
