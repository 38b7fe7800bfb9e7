"""A server in TensorFlow Serving's shape, REST and gRPC, strict where the real one is. No tensorflow.

Its models, by name:
    scores    x (n, 3) float -> probabilities (n, 2), logits (n, 2)
    pair      x (n, 2) float, note_bytes (n,) text -> score (n,): the sum of x and the text's length
    single    x (3,) float, no batch axis -> probabilities (2,)
    summary   like scores, and a scalar `loss`, so that only columns can be asked
    words     x (n, 3) float -> label (n,) text
    odd       like scores; the first row's answer is NaN
    custom    like scores, under the signature "classify" alone
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tests.remote.web import Request, Response, Web, web

from whybox_server.core.rows import Array
from whybox_server.serving.remote.speech.tf_tensor import NAMES, from_tensor, to_tensor
from whybox_server.serving.remote.stubs.tensorflow_serving import predict_pb2 as pb

WEIGHTS = np.array([[1.0, -1.0], [0.5, 0.25], [-2.0, 0.125]])
LABELS = ("no", "yes")
VERSION = "7"
SERVICE = "tensorflow.serving.PredictionService"
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]  # -1: any


@dataclass(frozen=True)
class Model:
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    run: Callable[[Arrays], dict[str, Array]]
    signature: str = "serving_default"


def probabilities(x: Array) -> Array:
    """The oracle: softmax of x W, (n, 2)."""
    logits = np.asarray(x, np.float64) @ WEIGHTS
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def scores(feeds: Arrays) -> dict[str, Array]:
    x = feeds["x"]
    return {
        "probabilities": probabilities(x).astype(np.float32),
        "logits": (np.asarray(x, np.float64) @ WEIGHTS).astype(np.float32),
    }


def pair(feeds: Arrays) -> dict[str, Array]:
    lengths = np.array([len(text) for text in feeds["note_bytes"]])
    return {"score": feeds["x"].sum(axis=1) + lengths}


def odd(feeds: Arrays) -> dict[str, Array]:
    found = scores(feeds)
    found["probabilities"][0] = np.nan
    return found


def words(feeds: Arrays) -> dict[str, Array]:
    best = probabilities(feeds["x"]).argmax(axis=1)
    return {"label": np.array([LABELS[at] for at in best], object)}


X, P = Tensor("DT_FLOAT", (-1, 3)), Tensor("DT_FLOAT", (-1, 2))
TWO = {"logits": P, "probabilities": P}
MODELS = {
    "scores": Model({"x": X}, TWO, scores),
    "pair": Model(
        {"x": Tensor("DT_FLOAT", (-1, 2)), "note_bytes": Tensor("DT_STRING", (-1,))},
        {"score": Tensor("DT_FLOAT", (-1,))},
        pair,
    ),
    "single": Model(
        {"x": Tensor("DT_FLOAT", (3,))},
        {"probabilities": Tensor("DT_FLOAT", (2,))},
        lambda feeds: {"probabilities": probabilities(feeds["x"][None])[0].astype(np.float32)},
    ),
    "summary": Model(
        {"x": X},
        {**TWO, "loss": Tensor("DT_FLOAT", ())},
        lambda feeds: {**scores(feeds), "loss": np.array(0.5, np.float32)},
    ),
    "words": Model({"x": X}, {"label": Tensor("DT_STRING", (-1,))}, words),
    "odd": Model({"x": X}, TWO, odd),
    "custom": Model({"x": X}, TWO, scores, "classify"),
}


class Wrong(Exception):
    """What the real server answers with 400 or INVALID_ARGUMENT."""


@contextmanager
def rest(metadata: bool = True) -> Iterator[Web]:
    """Over HTTP; without metadata, only predictions are answered, as behind many gateways."""
    with web(lambda request: answer(request, metadata=metadata)) as server:
        yield server


def answer(request: Request, *, metadata: bool) -> Response:
    path, _, verb = request.path.removeprefix("/v1/models/").partition(":")
    name, *rest = path.split("/")
    if request.method == "GET" and not metadata:
        return Response(404, {"error": "Not found"})
    version = rest[1] if len(rest) > 1 else VERSION
    if name not in MODELS or version != VERSION:
        return Response(404, {"error": f"Servable not found for request: Latest({name})"})
    model = MODELS[name]
    if request.method == "GET":
        return Response(200, described(name, model) if rest[-1:] == ["metadata"] else STATUS)
    try:
        if verb != "predict":
            raise Wrong(f"no verb {verb!r}")
        return Response(200, predicted(model, json.loads(request.body)))
    except Wrong as wrong:
        return Response(400, {"error": str(wrong)})


STATUS = {
    "model_version_status": [
        {"version": "6", "state": "END", "status": {"error_code": "OK", "error_message": ""}},
        {"version": VERSION, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    ]
}


def described(name: str, model: Model) -> dict[str, Any]:
    """As protobuf writes it in JSON: 64-bit numbers are texts."""

    def infos(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        return {
            key: {
                "dtype": one.dtype,
                "tensor_shape": {
                    "dim": [{"size": str(length), "name": ""} for length in one.shape],
                    "unknown_rank": False,
                },
                "name": f"serving_default_{key}:0",
            }
            for key, one in tensors.items()
        }

    one = {
        "inputs": infos(model.inputs),
        "outputs": infos(model.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    init = {"inputs": {}, "outputs": {}, "method_name": ""}
    signatures = {model.signature: one, "__saved_model_init_op": init}
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def predicted(model: Model, body: Any) -> dict[str, Any]:
    """Rows are answered by rows, columns by columns; a single output loses its name."""
    if body.get("signature_name", "serving_default") != model.signature:
        raise Wrong("Serving signature name not found in signature def")
    if ("instances" in body) == ("inputs" in body):
        raise Wrong('Request must have one of "instances" or "inputs"')
    by_row = "instances" in body
    if by_row and any(
        tensor.shape[:1] != (-1,) for tensor in (*model.inputs.values(), *model.outputs.values())
    ):
        raise Wrong("Tensor has no batch dimension: use columns")
    given = body["instances"] if by_row else body["inputs"]
    feeds = by_row_feeds(model, given) if by_row else by_column_feeds(model, given)
    outputs = {name: encoded(name, array) for name, array in model.run(feeds).items()}
    if not by_row:
        return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    return {
        "predictions": [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
    }


def by_row_feeds(model: Model, rows: list[Any]) -> dict[str, Array]:
    if all(isinstance(row, dict) and row.keys() == model.inputs.keys() for row in rows):
        return {name: array_of(name, one, [row[name] for row in rows]) for name, one in model.inputs.items()}
    if len(model.inputs) > 1:
        raise Wrong("JSON value has no named inputs")
    ((name, one),) = model.inputs.items()
    return {name: array_of(name, one, rows)}


def by_column_feeds(model: Model, columns: Any) -> dict[str, Array]:
    if not isinstance(columns, dict) or columns.keys() != model.inputs.keys():
        raise Wrong("inputs do not match the signature")
    return {name: array_of(name, one, columns[name]) for name, one in model.inputs.items()}


def array_of(name: str, tensor: Tensor, values: Any) -> Array:
    if tensor.dtype == "DT_STRING":
        if not all(isinstance(value, dict) and value.keys() == {"b64"} for value in values):
            raise Wrong(f"{name} must be in base64")
        return np.array([base64.b64decode(value["b64"]).decode() for value in values], object)
    return fitting(name, tensor, np.array(values, np.float32))


def fitting(name: str, tensor: Tensor, array: Array) -> Array:
    fits = len(array.shape) == len(tensor.shape)
    if not fits or any(want not in (-1, got) for got, want in zip(array.shape, tensor.shape, strict=True)):
        raise Wrong(f"{name} has the wrong shape")
    return array


def encoded(name: str, array: Array) -> Any:
    return array.tolist()


@contextmanager
def over_grpc(typed: bool = False, metadata: bool = True) -> Iterator[str]:
    """The URL of a server over gRPC. typed: answers by value, and leaves out what is repeated at the end."""

    def predict(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictResponse:
        model = found(request.model_spec, context)
        if (request.model_spec.signature_name or "serving_default") != model.signature:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such signature")
        feeds = {}
        for name, one in model.inputs.items():
            if pb.DataType.Name(request.inputs[name].dtype) != one.dtype:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "wrong dtype")
            try:
                feeds[name] = fitting(name, one, from_tensor(request.inputs[name], name, 1 << 20))
            except Wrong as wrong:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(wrong))
        outputs = model.run(feeds)
        wanted = list(request.output_filter) or list(outputs)
        make = by_value if typed else to_tensor
        return pb.PredictResponse(outputs={name: make(outputs[name]) for name in wanted})

    def get(
        request: pb.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> pb.GetModelMetadataResponse:
        if not metadata:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "hidden")
        model = found(request.model_spec, context)
        reply = pb.GetModelMetadataResponse(model_spec=pb.ModelSpec(name=request.model_spec.name))
        reply.model_spec.version.value = int(VERSION)
        one = pb.SignatureDef(inputs=infos(model.inputs), outputs=infos(model.outputs))
        held = pb.SignatureDefMap(signature_def={model.signature: one})
        reply.metadata["signature_def"].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
        reply.metadata["signature_def"].value = held.SerializeToString()
        return reply

    methods = {
        "Predict": grpc.unary_unary_rpc_method_handler(
            predict, pb.PredictRequest.FromString, pb.PredictResponse.SerializeToString
        ),
        "GetModelMetadata": grpc.unary_unary_rpc_method_handler(
            get, pb.GetModelMetadataRequest.FromString, pb.GetModelMetadataResponse.SerializeToString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def found(spec: pb.ModelSpec, context: grpc.ServicerContext) -> Model:
    version = spec.version.value if spec.WhichOneof("version_choice") else int(VERSION)
    if spec.name not in MODELS or version != int(VERSION):
        context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
    return MODELS[spec.name]


def infos(tensors: Mapping[str, Tensor]) -> dict[str, pb.TensorInfo]:
    dims = pb.TensorShapeProto.Dim
    return {
        name: pb.TensorInfo(
            dtype=one.dtype, tensor_shape=pb.TensorShapeProto(dim=[dims(size=length) for length in one.shape])
        )
        for name, one in tensors.items()
    }


def by_value(array: Array) -> pb.TensorProto:
    """Float values by type, repeated ones at the end left out."""
    tensor = pb.TensorProto(dtype=NAMES[array.dtype])
    tensor.tensor_shape.dim.extend(pb.TensorShapeProto.Dim(size=length) for length in array.shape)
    if array.dtype == object:
        tensor.string_val.extend(text.encode() for text in array.ravel())
        return tensor
    values = array.ravel().tolist()
    while len(values) > 1 and values[-1] == values[-2]:
        values.pop()
    tensor.float_val.extend(values)
    return tensor
