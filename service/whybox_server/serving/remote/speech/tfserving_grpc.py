"""TensorFlow Serving over gRPC: `PredictionService/Predict`, with messages of our own making."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Answer, Described, Exchange, GrpcCall, Refused
from whybox_server.serving.remote.speech.row_values import count, each
from whybox_server.serving.remote.speech.tf_signature import (
    DEFAULT,
    Signature,
    Tensor,
    described,
    no_model,
    require_model,
    undescribed,
)
from whybox_server.serving.remote.speech.tf_tensor import from_tensor, to_tensor
from whybox_server.serving.remote.stubs.tensorflow_serving import predict_pb2 as pb

M = TypeVar("M", bound=Message)

SERVICE = "/tensorflow.serving.PredictionService"
SIGNATURES = "signature_def"
NOT_FOUND, UNIMPLEMENTED = 404, 501
FRAME_BYTES = 64  # of a tensor, around its values
REMEDY = "check the protocol and `output`"


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that is not there, and for what it does not have."""
    require_model(endpoint)
    request = pb.GetModelMetadataRequest(model_spec=_spec(endpoint, ""), metadata_field=[SIGNATURES])
    try:
        answer = yield GrpcCall(f"{SERVICE}/GetModelMetadata", request.SerializeToString())
    except Refused as refused:
        if refused.status == NOT_FOUND:
            raise no_model(endpoint) from refused
        if refused.status != UNIMPLEMENTED:
            raise
        return undescribed(endpoint, Speech.TFSERVING_GRPC, endpoint.version)
    reply = _parsed(pb.GetModelMetadataResponse(), answer)
    served = reply.model_spec.version.value
    version = str(served) if served else endpoint.version
    return described(endpoint, Speech.TFSERVING_GRPC, _signatures(reply), version)


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    if described.batched:
        return (yield from _ask(endpoint, described, rows))
    return (yield from each(rows, lambda one: _ask(endpoint, described, one)))


def _ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    """One call."""
    dtypes = {one.name: one.dtype for one in described.inputs}
    sent = {name: array if described.batched else array[0] for name, array in rows.items()}
    request = pb.PredictRequest(
        model_spec=_spec(endpoint, described.manner["signature"]),
        inputs={name: to_tensor(np.asarray(array, dtypes[name])) for name, array in sent.items()},
        output_filter=[described.output] if described.output else [],
    )
    answer = yield GrpcCall(f"{SERVICE}/Predict", request.SerializeToString(), asks=True)
    reply = _parsed(pb.PredictResponse(), answer)
    name = described.output or _only(reply)
    if name not in reply.outputs:
        raise ModelOutputInvalid(f"the reply has {len(reply.outputs)} outputs and no {name!r}; {REMEDY}")
    array = from_tensor(reply.outputs[name], name, endpoint.limits.reply_bytes)
    return _rows(array, count(rows), name, batched=described.batched)


def bytes_per_row(described: Described, rows: Mapping[str, Array]) -> int:
    """Raw numbers, and texts at their longest."""
    return sum(FRAME_BYTES + len(name) + _bytes_of(array) for name, array in rows.items())


def _bytes_of(array: Array) -> int:
    if array.dtype.kind == "O":
        return max((sum(len(str(text).encode()) + 8 for text in np.ravel(row)) for row in array), default=0)
    return int(prod(array.shape[1:])) * array.dtype.itemsize


def _rows(array: Array, n: int, name: str, *, batched: bool) -> Array:
    """(n, outputs) scores, or (n, 1) texts."""
    rows = array if batched else array[np.newaxis]
    if rows.ndim == 0 or len(rows) != n:
        held = f"{len(rows)} rows" if rows.ndim else "one number"
        raise ModelOutputInvalid(f"output {name!r} holds {held}, and {n} were asked; {REMEDY}")
    flat = rows.reshape(n, -1)
    if flat.shape[1] == 0:
        raise ModelOutputInvalid(f"output {name!r} holds rows without scores; {REMEDY}")
    return flat if flat.dtype in (object, np.float64) else flat.astype(np.float32)


def _only(reply: pb.PredictResponse) -> str:
    """The output that nobody named, of a server that says nothing beforehand."""
    if len(reply.outputs) != 1:
        raise ModelOutputInvalid(f"the reply has {len(reply.outputs)} outputs: name one of them in `output`")
    return next(iter(reply.outputs))


def _spec(endpoint: Endpoint, signature: str) -> pb.ModelSpec:
    spec = pb.ModelSpec(name=endpoint.model, signature_name="" if signature == DEFAULT else signature)
    if endpoint.version.isdecimal():
        spec.version.value = int(endpoint.version)
    elif endpoint.version:
        spec.version_label = endpoint.version
    return spec


def _signatures(reply: pb.GetModelMetadataResponse) -> dict[str, Signature]:
    """The map travels as Any, whose type has another package's name: its bytes are what counts."""
    found = _parsed(pb.SignatureDefMap(), Answer(reply.metadata[SIGNATURES].value))
    return {
        name: Signature(
            {key: _tensor(info) for key, info in one.inputs.items()},
            {key: _tensor(info) for key, info in one.outputs.items()},
        )
        for name, one in found.signature_def.items()
    }


def _tensor(info: pb.TensorInfo) -> Tensor:
    known = info.dtype in pb.DataType.values()
    dims = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return Tensor(
        pb.DataType.Name(info.dtype) if known else "", None if info.tensor_shape.unknown_rank else dims
    )


def _parsed(message: M, answer: Answer) -> M:
    try:
        message.ParseFromString(answer.body)
    except DecodeError as error:
        name = message.DESCRIPTOR.name
        raise ModelOutputInvalid(f"the reply is no {name}; is this TensorFlow Serving?") from error
    return message
