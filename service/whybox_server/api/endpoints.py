"""Endpoints on the wire: declarations in, and out without anything that could be a secret."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from whybox.v1 import endpoint_pb2 as pb
from whybox.v1 import tensor_pb2
from whybox_server.api.spec import from_spec, to_spec
from whybox_server.api.tensors import CODES, DTYPES
from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, Input, JsonMapping, Limits, Price, Speech, Tls

T = TypeVar("T", Limits, Price, JsonMapping, Tls)

SPEECHES: dict[pb.EndpointProtocol, Speech] = {
    cast("pb.EndpointProtocol", number): Speech(
        name.removeprefix("ENDPOINT_PROTOCOL_").lower().replace("_", "-")
    )
    for name, number in pb.EndpointProtocol.items()
    if number
}
SPEECH_NUMBERS = {speech: number for number, speech in SPEECHES.items()}
PLAIN = ("url", "model", "version", "revision", "output", "gradient_model")


def to_endpoint(message: pb.Endpoint, field: str) -> Endpoint:
    """What a caller declares; the credential's name is read by whoever knows credentials. Raises InvalidRequest."""
    if message.name:
        raise InvalidRequest.of(f"{field}.name", "is set by the server; leave it empty")
    if message.protocol and message.protocol not in SPEECHES:
        raise InvalidRequest.of(
            f"{field}.protocol", f"must be one of EndpointProtocol, got {message.protocol}"
        )
    return Endpoint(
        **{name: getattr(message, name) for name in PLAIN},
        speech=SPEECHES.get(message.protocol, Speech.AUTO),
        inputs=tuple(_input(one, f"{field}.inputs[{n}]") for n, one in enumerate(message.inputs)),
        spec=to_spec(message.spec, f"{field}.spec"),
        headers=dict(message.headers),
        forward=tuple(name.lower() for name in message.forward),
        limits=_over(Limits(), message.limits),
        price=_over(Price(), message.price),
        json=_over(JsonMapping(), message.json) if message.HasField("json") else None,
        tls=_over(Tls(), message.tls),
    )


def from_endpoint(endpoint: Endpoint) -> pb.Endpoint:
    """The declaration as it is used; background rows are left out."""
    message = pb.Endpoint(
        name=endpoint.name,
        **{name: getattr(endpoint, name) for name in PLAIN},
        protocol=SPEECH_NUMBERS[endpoint.speech],
        inputs=[from_input(one.name, np.dtype(one.dtype), one.shape) for one in endpoint.inputs],
        spec=from_spec(endpoint.spec),
        headers=endpoint.headers,
        forward=endpoint.forward,
        credential="" if endpoint.credential is None else endpoint.credential.name,
        limits=pb.EndpointLimits(**dataclasses.asdict(endpoint.limits)),
        price=pb.EndpointPrice(**dataclasses.asdict(endpoint.price)),
        tls=pb.EndpointTls(**dataclasses.asdict(endpoint.tls)),
    )
    if endpoint.json is not None:
        message.json.CopyFrom(pb.JsonMapping(**dataclasses.asdict(endpoint.json)))
    return message


def from_rows(rows: list[RowInfo]) -> list[pb.EndpointInput]:
    return [from_input(row.name, row.dtype, row.shape) for row in rows]


def from_input(name: str, dtype: np.dtype[np.generic], shape: tuple[int | None, ...]) -> pb.EndpointInput:
    number = tensor_pb2.DATA_TYPE_STRING if dtype.kind == "O" else CODES[dtype]
    return pb.EndpointInput(
        name=name, dtype=number, shape=[-1 if length is None else length for length in shape]
    )


def _input(message: pb.EndpointInput, field: str) -> Input:
    if message.dtype and message.dtype not in DTYPES and message.dtype != tensor_pb2.DATA_TYPE_STRING:
        raise InvalidRequest.of(f"{field}.dtype", f"must be one of DataType, got {message.dtype}")
    text = message.dtype == tensor_pb2.DATA_TYPE_STRING
    dtype = "object" if text else np.dtype(DTYPES.get(message.dtype, "<f4")).name
    return Input(message.name, dtype, tuple(None if length < 0 else length for length in message.shape))


def _over(defaults: T, message: object) -> T:
    """What the message sets over the defaults; 0 and "" are unset."""
    given = {entry.name: getattr(message, entry.name) for entry in dataclasses.fields(defaults)}
    return replace(defaults, **{name: value for name, value in given.items() if value})
