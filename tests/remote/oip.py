"""Servers of the Open Inference Protocol as functions: a call in, an answer out, no wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tests.remote.speaking import held

from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, Call, Described, GrpcCall
from whybox_server.serving.remote.speech import oip_rest
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

ENDPOINT = Endpoint("http://127.0.0.1:1", model="m")
X = np.arange(6, dtype=np.float32).reshape(3, 2)
TWO = [{"name": "scores", "datatype": "FP32", "shape": [-1, 2]}]
ONE_INPUT = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]


def rest(
    inputs: Any = ONE_INPUT,
    outputs: Any = TWO,
    reply: Callable[[dict], Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **more: Any,
) -> Callable[[Call], Answer]:
    """Says this of its model, and `reply` of a request; by default, its first input as "scores"."""
    about = {"name": "m", "platform": "", "inputs": inputs, "outputs": outputs, **more}

    def answer(call: Call) -> Answer:
        if call.path == "/v2":
            return Answer(json.dumps(server or {"name": "ours", "extensions": []}).encode())
        if call.method == "GET":
            return Answer(json.dumps(about).encode())
        said = (reply or echo)(
            json.loads(call.body[: int(call.headers.get(oip_rest.JSON_BYTES, len(call.body)))]),
        )
        return said if isinstance(said, Answer) else Answer(json.dumps(said).encode())

    return answer


def echo(request: dict) -> dict:
    first = request["inputs"][0]
    return {
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": first["shape"], "data": first["data"]}],
    }


def grpc(reply: pb.ModelInferResponse | Callable[[pb.ModelInferRequest], pb.ModelInferResponse]):
    def answer(call: GrpcCall) -> Answer:
        if call.method.endswith("ModelMetadata"):
            tensors = {
                key: [pb.ModelMetadataResponse.TensorMetadata(**one) for one in said]
                for key, said in (("inputs", ONE_INPUT), ("outputs", TWO))
            }
            return Answer(pb.ModelMetadataResponse(name="m", **tensors).SerializeToString())
        said = reply(pb.ModelInferRequest.FromString(call.body)) if callable(reply) else reply
        return Answer(said.SerializeToString())

    return answer


def described(answer: Callable[[Call], Answer], endpoint: Endpoint = ENDPOINT) -> Described:
    return held(oip_rest.describe(endpoint), answer)


def asked(answer: Callable[[Call], Answer], rows: Mapping[str, np.ndarray], endpoint: Endpoint = ENDPOINT):
    return held(oip_rest.ask(endpoint, described(answer, endpoint), rows), answer)


def binary(outputs: list[dict], raw: bytes, length: str | None = None) -> Answer:
    head = json.dumps({"outputs": outputs}).encode()
    return Answer(head + raw, {oip_rest.JSON_BYTES: str(len(head)) if length is None else length})


def claims(size: Any) -> dict:
    return {"name": "scores", "datatype": "FP32", "shape": [3, 2], "parameters": {"binary_data_size": size}}
