"""The command that health checks run, against servers that serve, do not, hang, and speak TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from whybox_server.probe import main, reachable

NAME = "whybox.example.org"


@contextmanager
def serving(credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """A server of the health protocol alone: "readiness" serves, "liveness" does not."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        servicer = health.HealthServicer()
        servicer.set("readiness", health_pb2.HealthCheckResponse.SERVING)
        servicer.set("liveness", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def test_it_asks_what_the_server_was_told_to_listen_on(capfd: pytest.CaptureFixture[str]) -> None:
    """Everywhere means here; a service that is not serving, or unknown, is not healthy, and it says so."""
    with serving() as port:
        environment = {"WHYBOX_LISTEN": f"0.0.0.0:{port}"}
        assert main([], environment) == 0
        assert main(["--service", "readiness"], environment) == 0
        assert main([f"127.0.0.1:{port}", "--service", "readiness"], {}) == 0
        assert capfd.readouterr().err == ""
        assert main(["--service", "liveness"], environment) == 1
        assert capfd.readouterr().err == f"127.0.0.1:{port}: NOT_SERVING\n"
        assert main(["--service", "nobody"], environment) == 1
        assert "NOT_FOUND" in capfd.readouterr().err
    assert main([], environment) == 1
    assert "UNAVAILABLE" in capfd.readouterr().err


def test_a_port_for_health_alone_is_asked_in_plaintext(tmp_path: Path) -> None:
    """Whatever the certificate is: nothing of TLS is looked at, not even whether its files are there."""
    with serving() as port:
        environment = {
            "WHYBOX_LISTEN": "127.0.0.1:1",
            "WHYBOX_HEALTH_LISTEN": f"0.0.0.0:{port}",
            "WHYBOX_TLS_CERT": str(tmp_path / "gone.crt"),
        }
        assert main([], environment) == 0
        assert main(["--service", "liveness"], environment) == 1
        assert main(["127.0.0.1:1"], environment) == 1, "another address has the server's TLS"


def test_a_server_that_accepts_and_hangs_is_not_healthy(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert main(["--timeout", "0.2"], {"WHYBOX_LISTEN": f"127.0.0.1:{port}"}) == 1
    assert "DEADLINE_EXCEEDED" in capfd.readouterr().err


@pytest.mark.parametrize("mutual", [False, True])
def test_with_tls_it_trusts_the_servers_own_certificate_and_shows_it(tmp_path: Path, mutual: bool) -> None:
    """From the server's settings alone; another name, or another certificate, is not believed."""
    ca = trustme.CA()
    files = {}
    for which in ("own", "other"):
        pair = ca.issue_cert(NAME)
        chain = b"".join(one.bytes() for one in pair.cert_chain_pems)
        files[which] = (pair.private_key_pem.bytes(), chain)
        (tmp_path / f"{which}.key").write_bytes(files[which][0])
        (tmp_path / f"{which}.crt").write_bytes(chain)
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem.bytes())
    roots = ca.cert_pem.bytes() if mutual else None
    credentials = grpc.ssl_server_credentials([files["own"]], roots, mutual)
    with serving(credentials) as port:
        environment = {
            "WHYBOX_LISTEN": f"127.0.0.1:{port}",
            "WHYBOX_TLS_CERT": str(tmp_path / "own.crt"),
            "WHYBOX_TLS_KEY": str(tmp_path / "own.key"),
            "WHYBOX_PROBE_NAME": NAME,
        }
        if mutual:
            environment["WHYBOX_TLS_CLIENT_CA"] = str(tmp_path / "ca.crt")
        assert main(["--timeout", "10"], environment) == 0
        assert main(["--timeout", "1", "--name", "localhost"], environment) == 1
        assert main(["--timeout", "1"], {**environment, "WHYBOX_TLS_CERT": str(tmp_path / "other.crt")}) == 1
        assert main(["--timeout", "1"], {"WHYBOX_LISTEN": f"127.0.0.1:{port}"}) == 1
        assert main([], {**environment, "WHYBOX_TLS_CERT": str(tmp_path / "gone.crt")}) == 1


@pytest.mark.parametrize(
    ("listen", "here"),
    [
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "[::1]:50051"),
        ("localhost:1", "localhost:1"),
        ("10.0.0.7:1", "10.0.0.7:1"),
    ],
)
def test_everywhere_is_reached_on_loopback(listen: str, here: str) -> None:
    assert reachable(listen) == here
