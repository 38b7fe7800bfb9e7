"""How both clients reach a server: limits, retries, TLS, stubs. It opens nothing by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import grpc

from whybox.errors import invalid
from whybox.v1 import endpoint_pb2_grpc, explain_pb2_grpc, model_pb2_grpc

RECEIVE_BYTES = 64 << 20  # an explanation of a large picture, with the picture in it
REQUEST_ID = "x-request-id"
Metadata: TypeAlias = Sequence[tuple[str, str]]
Options: TypeAlias = Sequence[tuple[str, Any]]

# Only UNAVAILABLE: the request then never began, or the server said that it is about to stop.
# Everything else may have cost rows already, and would cost them again.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "whybox.v1.ExplanationService"},
                {"service": "whybox.v1.ModelService"},
                {"service": "whybox.v1.EndpointService"},
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


def channel_options(extra: Options) -> list[tuple[str, Any]]:
    """Channel arguments; the caller's own go before ours."""
    ours: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", RECEIVE_BYTES),
        ("grpc.max_send_message_length", -1),  # the server knows its own limit, and says it
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.lb_policy_name", "round_robin"),  # over all addresses of a name: a headless Service's replicas
    ]
    return list({**dict(ours), **dict(extra)}.items())  # gRPC does not say which of two equal names counts


def channel_credentials(
    credentials: grpc.ChannelCredentials | None, tls_ca: str | Path | None
) -> grpc.ChannelCredentials | None:
    """None for plain text. Raises ExplainError when the certificate file cannot be read."""
    if credentials is not None or tls_ca is None:
        return credentials
    try:
        return grpc.ssl_channel_credentials(Path(tls_ca).read_bytes())
    except OSError as error:
        raise invalid("tls_ca", f"cannot read {tls_ca} ({error.strerror}); pass a PEM file") from error


def stubs(channel: Any) -> Mapping[str, Any]:
    """Callables of all services by the name of their method; for either kind of channel."""
    explanation = explain_pb2_grpc.ExplanationServiceStub(channel)
    model = model_pb2_grpc.ModelServiceStub(channel)
    endpoint = endpoint_pb2_grpc.EndpointServiceStub(channel)
    return {**vars(explanation), **vars(model), **vars(endpoint)}


def request_metadata(metadata: Metadata) -> list[tuple[str, str]]:
    """The caller's metadata and a fresh request id, unless the caller brought one."""
    if any(key.lower() == REQUEST_ID for key, _ in metadata):
        return list(metadata)
    return [*metadata, (REQUEST_ID, uuid4().hex)]
