"""The port for health alone: plaintext beside TLS, and nothing behind it but what probes may know."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.e2e.serving import INPUTS, Server, running

import whybox
from whybox.v1 import explain_pb2, explain_pb2_grpc, model_pb2, model_pb2_grpc
from whybox_server.probe import main as probe

WAIT_S = 20
PICTURE = INPUTS / "brick_and_grass.png"
PROBES = ("startup", "readiness", "liveness", "")
STATUS = health_pb2.HealthCheckResponse.ServingStatus


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificate, key and authority of a server at localhost, as the overlay `tls` mounts them."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    issued = authority.issue_cert("localhost")
    found = {name: folder / f"{name}.pem" for name in ("cert", "key", "ca")}
    found["key"].write_bytes(issued.private_key_pem.bytes())
    found["cert"].write_bytes(issued.cert_chain_pems[0].bytes())
    authority.cert_pem.write_to_path(str(found["ca"]))
    return found


@contextmanager
def encrypted(tls: dict[str, Path], *flags: str) -> Iterator[tuple[Server, str]]:
    """A server with TLS and a health port, and that port's address."""
    files = ("--tls-cert", str(tls["cert"]), "--tls-key", str(tls["key"]))
    with running("--listen", "localhost:0", *files, "--health-listen", "127.0.0.1:0", *flags) as server:
        (line,) = [line for line in server.lines if line["event"] == "serving health"]
        yield server, str(line["address"])


@contextmanager
def asking(address: str) -> Iterator[tuple[grpc.Channel, Any]]:
    with grpc.insecure_channel(address) as channel:
        yield channel, health_pb2_grpc.HealthStub(channel)


@pytest.fixture(scope="module")
def both(tls: dict[str, Path]) -> Iterator[tuple[Server, str]]:
    with encrypted(tls) as found:
        yield found


def test_probes_without_tls_are_answered_beside_a_port_with_it(tls: dict[str, Path], both: tuple[Server, str]) -> None:
    """Kubernetes' gRPC probes, by the health protocol itself and by our own command; the other port stays as it was."""
    server, address = both
    with asking(address) as (_, health):
        for service in PROBES:
            asked = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(asked, timeout=WAIT_S).status == STATUS.SERVING, service
    assert probe([address, "--service", "readiness"], {}) == 0
    assert probe([server.address, "--service", "readiness", "--timeout", "1"], {}) == 1
    with whybox.Client(server.address, tls_ca=tls["ca"]) as client:
        assert client.models()


def test_nothing_else_is_answered_there(both: tuple[Server, str]) -> None:
    """Explanations, models and reflection are no methods of that port; nor does it take messages of any size."""
    with asking(both[1]) as (channel, health):
        stubs: Any = explain_pb2_grpc.ExplanationServiceStub(channel), model_pb2_grpc.ModelServiceStub(channel)
        for call, request in (
            (stubs[0].Explain, explain_pb2.ExplainRequest()),
            (stubs[0].ListMethods, explain_pb2.ListMethodsRequest()),
            (stubs[1].ListModels, model_pb2.ListModelsRequest()),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call(request, timeout=WAIT_S)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as refused:
            question = reflection_pb2.ServerReflectionRequest(list_services="")
            next(
                reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]), timeout=WAIT_S)
            )
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as refused:
            health.Check(health_pb2.HealthCheckRequest(service="x" * 10_000), timeout=WAIT_S)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.slow
def test_a_server_that_drains_says_so_there_until_it_ends(tls: dict[str, Path]) -> None:
    """It is the same servicer: not serving from SIGTERM on, and answering for as long as a call still runs."""
    asked, started = health_pb2.HealthCheckRequest(service="readiness"), threading.Event()
    with encrypted(tls, "--drain-s", "600") as (server, address), asking(address) as (_, health):
        with whybox.Client(server.address, tls_ca=tls["ca"]) as client:

            def explain() -> None:
                with pytest.raises(whybox.ExplainError):
                    client.explain("models/texture", PICTURE, "lime", num_samples=200_000, on_progress=progress)

            def progress(*_: object) -> None:
                started.set()

            told = health.Watch(asked, timeout=WAIT_S)
            assert next(told).status == STATUS.SERVING
            call = threading.Thread(target=explain)  # of minutes
            call.start()
            assert started.wait(WAIT_S)
            server.process.send_signal(signal.SIGTERM)
            assert next(told).status == STATUS.NOT_SERVING
            for _ in range(3):
                assert health.Check(asked, timeout=WAIT_S).status == STATUS.NOT_SERVING
            assert server.process.poll() is None
            told.cancel()
            server.process.kill()
            call.join()


@pytest.mark.slow
def test_a_taken_port_is_said_at_start(both: tuple[Server, str]) -> None:
    """Exit status 1, and the address on stderr; a server whose probes nobody answers would be killed later."""
    _, taken = both
    command = [sys.executable, "-m", "whybox_server", "--listen", "127.0.0.1:0", "--health-listen", taken]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert taken in second.stderr
