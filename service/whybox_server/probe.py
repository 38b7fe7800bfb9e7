"""`python -m whybox_server.probe [HOST:PORT]`: is the server on this machine serving?

For health checks that must run a command, as Docker's. It reads the server's own environment, so that both agree
where and how the server listens: on the plaintext port for health alone, if there is one, else on gRPC's own.
It knows the health protocol, and nothing else of the server.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEFAULT_LISTEN = "127.0.0.1:50051"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - what a server listens on, not we
NOT_SERVING = 1


def reachable(listen: str) -> str:
    """Where this machine reaches a server that listens there: "0.0.0.0:1" is "127.0.0.1:1"."""
    host, _, port = listen.rpartition(":")
    return f"{EVERYWHERE.get(host, host)}:{port}"


def open_channel(address: str, name: str, environment: Mapping[str, str]) -> grpc.Channel:
    """With TLS if the server has it there. Raises OSError when its files cannot be read.

    name: one that the certificate holds. The certificate itself is all that is trusted, and where callers
    must show one, the server shows its own.
    """
    certificate = environment.get("WHYBOX_TLS_CERT")
    if not certificate or address == reachable(environment.get("WHYBOX_HEALTH_LISTEN", "")):
        return grpc.insecure_channel(address)
    chain = Path(certificate).read_bytes()
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if environment.get("WHYBOX_TLS_CLIENT_CA"):
        pair = (Path(environment["WHYBOX_TLS_KEY"]).read_bytes(), chain)
    credentials = grpc.ssl_channel_credentials(chain, *pair)
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", name)])


def ask(channel: grpc.Channel, service: str, timeout_s: float) -> str:
    """A status of grpc.health.v1, "SERVING" if all is well, or why there was no answer."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Exit status 0 when it serves; otherwise 1, and one line on stderr says why."""
    listen = environment.get("WHYBOX_HEALTH_LISTEN") or environment.get("WHYBOX_LISTEN") or DEFAULT_LISTEN
    parser = argparse.ArgumentParser("whybox_server.probe", description="is the server serving?")
    parser.add_argument("address", nargs="?", default=reachable(listen), help="HOST:PORT")
    parser.add_argument("--service", default="", help="liveness, readiness, startup or a gRPC service")
    name = environment.get("WHYBOX_PROBE_NAME", "localhost")
    parser.add_argument("--name", default=name, help="with TLS: a name in the server's certificate")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds")
    arguments = parser.parse_args(argv)
    try:
        with open_channel(arguments.address, arguments.name, environment) as channel:
            status = ask(channel, arguments.service, arguments.timeout)
    except (OSError, KeyError) as error:
        status = f"cannot read the server's certificate: {error}"
    if status == "SERVING":
        return 0
    sys.stderr.write(f"{arguments.address}: {status}\n")
    return NOT_SERVING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
