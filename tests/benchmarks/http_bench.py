"""What HTTP costs over gRPC: an explanation of a 602,112-byte picture, from a client's bytes to its parsed answer."""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable
from http.client import HTTPConnection

import grpc
import numpy as np
from tests.benchmarks import nets
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import picture
from tests.http_calls import JSON, OCTETS, Http, both

from whybox.tensors import to_tensor
from whybox.v1 import explain_pb2, explain_pb2_grpc, tensor_pb2

ROUNDS = 31
MESSAGE_BYTES = 16 << 20
PATH = "/api/v1/explanations:explain"
WINDOW = nets.SIDE // 2  # five rows: little work of the model's and the method's in between


def rows() -> list[Row]:
    """Medians of differences within one round, in which the three take turns; the model's answers are all kept by then."""
    with both("--trust-uploads", models=None) as http:
        model = http.call("POST", "/api/v1/models", nets.small_cnn(), OCTETS).json["model"]["name"]
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
        with grpc.insecure_channel(http.server.address, options) as channel:
            took = measure(http, channel, model)
    plain = took["gRPC"]
    over = {name: statistics.median(np.subtract(times, plain)) * 1e3 for name, times in took.items()}
    note = f" ms (gRPC: {statistics.median(plain) * 1e3:.1f} ms)"
    return [
        at_most("HTTP over gRPC, 600 KB picture as base64: ms more", over["base64"], 10, note, digits=1),
        at_most("    as a list of numbers", over["list"], 60, " ms", digits=1),
    ]


def measure(http: Http, channel: grpc.Channel, model: str) -> dict[str, list[float]]:
    """Seconds per way and round."""
    stub, line = explain_pb2_grpc.ExplanationServiceStub(channel), HTTPConnection(http.address)
    request = explain_pb2.ExplainRequest(model=model)
    request.occlusion.window.append(WINDOW)
    array = picture()
    said = {"model": model, "occlusion": {"window": [WINDOW]}}

    def over_grpc(array: np.ndarray) -> Callable[[], object]:
        tensors = tensor_pb2.Tensors(by_name={"": to_tensor(array, "")})
        full = explain_pb2.ExplainRequest()
        full.CopyFrom(request)
        full.instances.add(tensors=tensors)
        return lambda: stub.Explain(full)

    def over_http(array: np.ndarray, data: object) -> Callable[[], object]:
        tensor = {"dtype": "FP32", "shape": list(array.shape), "data": data}
        body = json.dumps({**said, "instances": [{"tensors": {"by_name": {"": tensor}}}]}).encode()

        def call() -> object:
            line.request("POST", PATH, body, JSON)
            answer = line.getresponse()
            content = json.loads(answer.read())
            assert answer.status == 200, content
            return content

        return call

    ways = {
        "gRPC": over_grpc(array),
        "base64": over_http(array, base64.b64encode(array.tobytes()).decode()),
        "list": over_http(array, array.ravel().tolist()),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 2):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            if turn > 1:  # the model is loaded, and its answers are kept
                took[name].append(time.perf_counter() - started)
    line.close()
    return took
