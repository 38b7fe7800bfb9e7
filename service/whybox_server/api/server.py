"""The gRPC server itself: options, TLS, health, reflection. It knows servicers, not what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from whybox.v1 import endpoint_pb2, explain_pb2, model_pb2
from whybox_server.api.health import Health

SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (explain_pb2.DESCRIPTOR, "ExplanationService"),
        (model_pb2.DESCRIPTOR, "ModelService"),
        (endpoint_pb2.DESCRIPTOR, "EndpointService"),
    )
)
# More calls than admission takes, so that refusals come from us, with details.
MAX_CONCURRENT_RPCS = 1024
MAX_CONNECTION_AGE_MS = 600_000  # connections spread again over replicas
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
LEAST_PING_INTERVAL_MS = 30_000
MOST_PROBES = 64  # at once, on the port for health alone
PROBE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Transport:
    """Where and how to listen. Without certificate and key it is plaintext."""

    listen: str  # HOST:PORT
    message_bytes: int  # most in one message, both directions
    max_deadline_s: float
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None


def make_server(transport: Transport, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> Any:
    """A server without services or ports yet."""
    size = transport.message_bytes
    options = [
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        ("grpc.so_reuseport", 0),  # a second server on our port must fail, not share it in silence
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", int(transport.max_deadline_s * 1e3)),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
    ]
    return grpc.aio.server(interceptors=list(interceptors), options=options, maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS)


def add_port(server: Any, transport: Transport) -> int:
    """Listen, with TLS when there is a certificate. Returns the port; raises OSError when it is taken."""
    try:
        if transport.tls_cert is None or transport.tls_key is None:
            port: int = server.add_insecure_port(transport.listen)
        else:
            port = server.add_secure_port(transport.listen, credentials(transport))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {transport.listen}: {error}") from error
    if not port:
        raise OSError(f"cannot listen on {transport.listen}")
    return port


def add_health(server: Any) -> health.aio.HealthServicer:
    """grpc.health.v1, serving from the start: models are loaded when asked for."""
    servicer = Health()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


async def open_health_port(servicer: health.aio.HealthServicer, listen: str) -> tuple[Any, str]:
    """A server of its own, in plaintext, that answers for this servicer and for nothing else, and "HOST:PORT".

    For probes that speak no TLS. Raises OSError when the port is taken.
    """
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", PROBE_BYTES)]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MOST_PROBES)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = add_port(server, Transport(listen, PROBE_BYTES, 0.0))
    await server.start()
    return server, f"{listen.rpartition(':')[0]}:{port}"


async def say_serving(servicer: health.aio.HealthServicer, more: Sequence[str] = ()) -> None:
    """more: services that other folders answer."""
    for name in ("", "liveness", "readiness", "startup", *SERVICES, *more):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)


async def say_ready(servicer: health.aio.HealthServicer, ready: bool) -> None:
    """Whether this server should get requests; that it lives is another question."""
    status = health_pb2.HealthCheckResponse
    await servicer.set("readiness", status.SERVING if ready else status.NOT_SERVING)


def add_reflection(server: Any, more: Sequence[str] = (), pool: Any = None) -> None:
    """more: services that other folders answer. pool: that describes them; None: the process's own."""
    names = (*SERVICES, *more, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool)


def credentials(transport: Transport) -> grpc.ServerCredentials:
    """TLS from files that are read again at the first handshake after they changed."""
    assert transport.tls_cert is not None
    assert transport.tls_key is not None
    files = [path for path in (transport.tls_key, transport.tls_cert, transport.tls_client_ca) if path is not None]
    known = stamps_of(files)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal known
        stamps = stamps_of(files)
        if stamps == known:
            return None  # keep what is in use
        known = stamps
        return _configuration(transport)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(transport),
        fetch,  # type: ignore[arg-type]  # None means "keep it" to grpc; its stubs do not know
        require_client_authentication=transport.tls_client_ca is not None,
    )


def _configuration(transport: Transport) -> grpc.ServerCertificateConfiguration:
    assert transport.tls_cert is not None
    assert transport.tls_key is not None
    pair = (transport.tls_key.read_bytes(), transport.tls_cert.read_bytes())
    ca = None if transport.tls_client_ca is None else transport.tls_client_ca.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)


def stamps_of(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """(modification time, size) per file; a file that is being replaced counts as unchanged content (0, 0)."""
    return tuple((s.st_mtime_ns, s.st_size) if (s := _stat(path)) else (0, 0) for path in files)


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None
