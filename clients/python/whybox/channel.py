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
RETRY_BYTES = 64 << 20  # requests up to there can be sent again; gRPC's own 256 KiB are less than a picture
REQUEST_ID = "x-request-id"
Metadata: TypeAlias = Sequence[tuple[str, str]]
Options: TypeAlias = Sequence[tuple[str, Any]]

# What a server says that is about to stop, or nobody says because it has: UNAVAILABLE, or CANCELLED for calls that
# met a closing door (gRPC's core ends those, whoever the server is; one that the caller cancels is not tried again).
# All calls may be repeated: they change nothing, or come to the same the second time. What has been paid for
# already is not asked again, because the server forbids it (grpc-retry-pushback-ms, gRFC A6).
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "whybox.v1.ExplanationService"},
                {"service": "whybox.v1.ModelService"},
                {"service": "whybox.v1.EndpointService"},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
    # Every call that is under way when a server stops may need one.
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
}
# A server that restarts is back within seconds, and the others may go by then: gRPC's own two minutes are too long.
FIRST_RECONNECT_MS, LAST_RECONNECT_MS = 100, 1000
LOOK_UP_AGAIN_MS = 2000  # a name's addresses, at most that often; gRPC's own half a minute outlasts a rollout


def channel_options(extra: Options) -> list[tuple[str, Any]]:
    """Channel arguments; the caller's own go before ours."""
    ours: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", RECEIVE_BYTES),
        ("grpc.max_send_message_length", -1),  # the server knows its own limit, and says it
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", RETRY_BYTES),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.lb_policy_name", "round_robin"),  # over all addresses of a name: a headless Service's replicas
        ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", LAST_RECONNECT_MS),
        ("grpc.dns_min_time_between_resolutions_ms", LOOK_UP_AGAIN_MS),
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
