"""Open Inference Protocol over gRPC: `inference.GRPCInferenceService`, rows as raw contents.

Replies may have raw contents or typed ones, whatever the request had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Answer, Described, Exchange, GrpcCall, Refused
from whybox_server.serving.remote.speech.json_text import NOT_THERE
from whybox_server.serving.remote.speech.oip import DTYPES, Tensor, raw_of
from whybox_server.serving.remote.speech.oip_feeds import ID, bytes_per_row, datatype_of, feeds
from whybox_server.serving.remote.speech.oip_model import (
    Metadata,
    Says,
    check_there,
    chosen_model,
    described_by,
    says,
)
from whybox_server.serving.remote.speech.oip_scores import scores_of
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

M = TypeVar("M", bound=Message)

__all__ = ["ask", "bytes_per_row", "describe"]

SERVICE = "/inference.GRPCInferenceService/"
# How KServe's own client says which protocol it speaks; its routers look at it.
METADATA: Mapping[str, str] = {"request_type": "grpc_v2", "response_type": "grpc_v2"}
LOW_7, HIGH = 0x7F, 0x80
LENGTH_DELIMITED = 2  # a wire type, in the lowest three bits of a tag
RAW_CONTENTS = bytes([pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | LENGTH_DELIMITED])
FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that is not there, and for inputs nobody tells."""
    model = endpoint.model or chosen_model((yield from _models()))
    request = pb.ModelMetadataRequest(name=model, version=endpoint.version)
    try:
        answer = yield _call("ModelMetadata", request)
    except Refused as refused:
        if refused.status not in NOT_THERE:
            raise
        check_there(model, (yield from _models()))
        if not endpoint.inputs:
            raise
        return described_by(endpoint, Speech.OIP_GRPC, model, None, {})
    metadata = metadata_of(_read(answer, pb.ModelMetadataResponse()))
    return described_by(endpoint, Speech.OIP_GRPC, model, metadata, {})


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    parts = []
    for feed in feeds(described, rows):
        request = _request(endpoint, described, feed.arrays)
        raw = [raw_of(one.datatype, feed.arrays[one.name]) for one in request.inputs]
        answer = yield GrpcCall(f"{SERVICE}ModelInfer", with_raw(request, raw), METADATA, asks=True)
        outputs = outputs_of(_read(answer, pb.ModelInferResponse()))
        parts.append(scores_of(endpoint, described, outputs, feed.sent)[: feed.counted])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def metadata_of(said: pb.ModelMetadataResponse) -> Metadata:
    """Raises ModelOutputInvalid."""
    return Metadata(
        tuple(map(_says, said.inputs)),
        tuple(map(_says, said.outputs)),
        tuple(said.versions),
        parameters_of(said),
    )


def outputs_of(reply: pb.ModelInferResponse) -> list[Tensor]:
    """In the reply's order. Raises ModelOutputInvalid.

    KServe mixes raw contents and typed ones; then raw ones are those of outputs that have no others.
    """
    raw = list(reply.raw_output_contents)
    whole = len(raw) == len(reply.outputs)
    bare = [whole or (bool(raw) and not one.HasField("contents")) for one in reply.outputs]
    if sum(bare) != len(raw):
        raise ModelOutputInvalid(
            f"the reply has raw contents of {len(raw)} outputs where {sum(bare)} need them"
        )
    found = iter(raw)
    return [
        _tensor(one, next(found) if is_raw else None) for one, is_raw in zip(reply.outputs, bare, strict=True)
    ]


def _request(endpoint: Endpoint, described: Described, feed: Mapping[str, Array]) -> pb.ModelInferRequest:
    datatypes = {name: datatype_of(described, name, array) for name, array in feed.items()}
    request = pb.ModelInferRequest(
        model_name=described.manner["model"],
        model_version=endpoint.version,
        id=ID,
        inputs=[
            pb.InferTensor(name=name, datatype=datatypes[name], shape=array.shape)
            for name, array in feed.items()
        ],
    )
    for one in request.inputs:
        one.parameters["bias-ignore"].string_param = "true"  # TrustyAI's mark of rows that nobody sent
    if described.output:
        request.outputs.add(name=described.output)
    return request


def with_raw(request: pb.ModelInferRequest, raw: Iterable[bytes | memoryview]) -> bytes:
    """The request with these raw contents: written behind it, since a message would copy them twice more."""
    parts: list[bytes | memoryview] = [request.SerializeToString()]
    for one in raw:
        parts += (RAW_CONTENTS, varint(len(one)), one)
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their high bit set."""
    parts = []
    while number > LOW_7:
        parts.append(number & LOW_7 | HIGH)
        number >>= 7
    return bytes([*parts, number])


def _call(method: str, request: Message) -> GrpcCall:
    return GrpcCall(SERVICE + method, request.SerializeToString(), METADATA)


def _read(answer: Answer, into: M) -> M:
    try:
        into.ParseFromString(answer.body)
    except DecodeError as error:
        raise ModelOutputInvalid("the reply is no message of the Open Inference Protocol") from error
    return into


def _tensor(one: pb.InferTensor, raw: bytes | None) -> Tensor:
    """Without raw contents, the field of its type; without that, too, it is empty."""
    field = FIELDS.get(one.datatype)
    if raw is None and field is None and one.datatype in DTYPES:
        raise ModelOutputInvalid(f"the reply has an output of {one.datatype} without raw contents")
    values = getattr(one.contents, field) if raw is None and field is not None else ()
    return Tensor(one.name, one.datatype, tuple(one.shape), raw, list(values))


def _says(one: Any) -> Says:
    return says(one.name, one.datatype, list(one.shape), parameters_of(one))


def parameters_of(message: Any) -> dict[str, Any]:
    """Values by name, whichever type they have."""
    found = {}
    for name, parameter in message.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, kind) if kind else ""
    return found


def _models() -> Exchange[list[str] | None]:
    """Names of all models; None if the server does not say, as KServe does not."""
    try:
        answer = yield _call("RepositoryIndex", pb.RepositoryIndexRequest())
        return [one.name for one in _read(answer, pb.RepositoryIndexResponse()).models]
    except (Refused, ModelOutputInvalid):
        return None
