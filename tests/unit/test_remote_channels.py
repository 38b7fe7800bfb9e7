"""Calls over gRPC: bytes in, bytes out, to an address that was judged, with a status that says whose fault it is."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import trustme
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from whybox_server.core.errors import EgressDenied
from whybox_server.serving.remote.endpoint import Credential, Endpoint, Limits, Tls
from whybox_server.serving.remote.exchange import Answer, GrpcCall, Refused, Unreachable
from whybox_server.serving.remote.transport.carrier import Carrier, carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

HOME = Dialler(egress_of(["127.0.0.0/8"]))
TOKEN = "correct-horse-battery-staple"
PATIENT_S = 20.0
HURRIED_S = 0.2


class Service(grpc.GenericRpcHandler):
    """Answers by the method's name; remembers every call's metadata and authority."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.peers: set[str] = set()
        self.over = threading.Event()

    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name == "Missing":
            return None
        return grpc.unary_unary_rpc_method_handler(getattr(self, name.lower()))

    def told(self, context) -> None:
        self.seen.append(dict(context.invocation_metadata()))
        self.peers.add(context.peer())

    def echo(self, request: bytes, context) -> bytes:
        self.told(context)
        context.send_initial_metadata((("x-served-by", "a test"),))
        return request

    def authority(self, request: bytes, context) -> bytes:
        return context._rpc_event.call_details.host

    def big(self, request: bytes, context) -> bytes:
        return bytes(int(request))

    def slow(self, request: bytes, context) -> bytes:
        self.over.wait()
        return b""

    def fail(self, request: bytes, context) -> bytes:
        """Aborts with the code named, and repeats what it was told."""
        self.told(context)
        told = self.seen[-1].get("authorization", "")
        context.abort(grpc.StatusCode[request.decode()], f"no:\n{told} is not welcome")

    def wait(self, request: bytes, context) -> bytes:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", request.decode()),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "later")

    def wait_info(self, request: bytes, context) -> bytes:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromMilliseconds(1500)
        status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message="quota")
        detail = any_pb2.Any()
        detail.Pack(info)
        status.details.append(detail)
        context.abort_with_status(rpc_status.to_status(status))


def started(service: Service, credentials: grpc.ServerCredentials | None = None, port: int = 0):
    server = grpc.server(ThreadPoolExecutor(4), handlers=[service], options=[("grpc.so_reuseport", 0)])
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    return server, bound


@pytest.fixture(scope="module")
def peer() -> Iterator[tuple[Service, int]]:
    service = Service()
    server, port = started(service)
    yield service, port
    service.over.set()
    server.stop(0).wait()


@pytest.fixture
def way(peer) -> Iterator[Carrier]:
    carrier = carrier_to(Endpoint(f"grpc://127.0.0.1:{peer[1]}"), HOME, Wallet())
    yield carrier
    carrier.close()


def ask(way: Carrier, method: str, body: bytes = b"", timeout_s: float = PATIENT_S) -> Answer:
    return way.exchange(GrpcCall(f"/t.T/{method}", body, {"x-of-the-call": "1"}), timeout_s)


def refused(way: Carrier, method: str, body: bytes = b"") -> Refused:
    with pytest.raises(Refused) as caught:
        ask(way, method, body)
    return caught.value


def test_bytes_come_back_as_they_are(way: Carrier, peer) -> None:
    """Body and metadata, both ways; the call is marked as synthetic."""
    answer = ask(way, "Echo", b"\x00\xffabc")
    assert answer.body == b"\x00\xffabc"
    assert answer.headers["x-served-by"] == "a test"
    told = peer[0].seen[-1]
    assert told["x-of-the-call"] == "1"
    assert told["seldon-skip-logging"] == "true"
    assert told["user-agent"].startswith("whybox")


def test_calls_share_a_channel(peer) -> None:
    """Four threads, eight calls, one connection besides the one that found the address."""
    way = carrier_to(Endpoint(f"http://localhost:{peer[1]}"), HOME, Wallet())
    peer[0].peers.clear()
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: ask(way, "Echo", b"x").body, range(8)))) == 1
    assert len(peer[0].peers) == 1
    way.close()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("UNIMPLEMENTED", 501),
        ("DEADLINE_EXCEEDED", 504),
    ],
)
def test_a_status_of_the_server_is_its_word(way: Carrier, code: str, status: int) -> None:
    """Also the one that our own side of the wire uses when time is over, as long as it is not."""
    error = refused(way, "Fail", code.encode())
    assert error.status == status
    assert error.text == "no: is not welcome"


def test_unavailable_is_nobody_s_word_in_particular(way: Carrier) -> None:
    """gRPC does not say who said it; what comes with metadata came from a server."""
    with pytest.raises(Unreachable):
        ask(way, "Fail", b"UNAVAILABLE")
    assert ask(way, "Echo", b"1").body == b"1"


def test_a_method_that_is_not_served_is_unimplemented(way: Carrier) -> None:
    """By this a protocol can be told from another."""
    assert refused(way, "Missing").status == 501


def test_a_reply_over_the_cap_is_too_large(peer) -> None:
    """The limit is the endpoint's; a byte less is fine."""
    way = carrier_to(Endpoint(f"grpc://127.0.0.1:{peer[1]}", limits=Limits(reply_bytes=1000)), HOME, Wallet())
    assert len(ask(way, "Big", b"1000").body) == 1000
    assert refused(way, "Big", b"1001").status == 413
    way.close()


def test_a_request_over_the_servers_cap_is_too_large(way: Carrier) -> None:
    """4 MiB is what gRPC servers take if nobody told them otherwise."""
    assert refused(way, "Echo", bytes((4 << 20) + 1)).status == 413


def test_who_is_slow_is_late(way: Carrier) -> None:
    """The deadline is the call's."""
    with pytest.raises(Unreachable) as caught:
        ask(way, "Slow", timeout_s=HURRIED_S)
    assert caught.value.late
    assert caught.value.sent


@pytest.mark.parametrize(
    ("said", "seconds"), [(b"250", 0.25), (b"0", 0.0), (b"-1", math.inf), (b"soon", math.inf)]
)
def test_pushback_is_passed_on(way: Carrier, said: bytes, seconds: float) -> None:
    """Negative or unreadable means that it wants no retry (gRFC A6)."""
    assert refused(way, "Wait", said).retry_after_s == seconds


def test_retry_info_is_passed_on(way: Carrier) -> None:
    """As Google's services say it."""
    assert refused(way, "Wait_info").retry_after_s == 1.5
    assert refused(way, "Missing").retry_after_s is None


def test_nobody_there_is_said_before_anything_is_sent(peer) -> None:
    """A port that was just let go."""
    server, port = started(Service())
    server.stop(0).wait()
    way = carrier_to(Endpoint(f"grpc://127.0.0.1:{port}"), HOME, Wallet())
    with pytest.raises(Unreachable, match="refused") as caught:
        ask(way, "Echo")
    assert not caught.value.sent
    way.close()


def test_a_server_that_went_away_is_found_again() -> None:
    """After a restart on the same port the next calls work; the one in between says that nobody is there."""
    server, port = started(Service())
    way = carrier_to(Endpoint(f"grpc://127.0.0.1:{port}"), HOME, Wallet())
    assert ask(way, "Echo", b"1").body == b"1"
    server.stop(0).wait()
    with pytest.raises(Unreachable):
        ask(way, "Echo", b"2")
    with pytest.raises(Unreachable) as caught:
        ask(way, "Echo", b"2")
    assert not caught.value.sent
    server, _ = started(Service(), port=port)
    assert ask(way, "Echo", b"3").body == b"3"
    way.close()
    server.stop(0).wait()


def test_a_secret_is_in_the_metadata_and_in_no_error(peer) -> None:
    """The server repeats it; we do not."""
    endpoint = Endpoint(f"grpc://127.0.0.1:{peer[1]}", credential=Credential(env="KEY"), trusted=True)
    way = carrier_to(endpoint, HOME, Wallet(environment={"KEY": TOKEN}))
    error = refused(way, "Fail", b"UNAUTHENTICATED")
    assert peer[0].seen[-1]["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(error)
    assert "***" in error.text
    way.close()


def test_proxy_variables_are_not_read(peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-core would honour them."""
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    way = carrier_to(Endpoint(f"grpc://localhost:{peer[1]}"), HOME, Wallet())
    assert ask(way, "Echo", b"1").body == b"1"
    way.close()


def test_no_channel_is_opened_to_a_place_that_may_not_be_asked(peer) -> None:
    """Without the operator's leave the server beside us hears nothing."""
    before = len(peer[0].seen)
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(EgressDenied):
            ask(carrier_to(Endpoint(f"grpc://{host}:{peer[1]}"), Dialler(), Wallet()), "Echo")
    assert len(peer[0].seen) == before


def test_the_name_is_what_certificates_are_checked_against(tmp_path: Path) -> None:
    """The channel goes to an address, the certificate is for the name; another name, or authority, is refused."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert = authority.issue_cert("localhost")
    chain = b"".join(part.bytes() for part in cert.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(cert.private_key_pem.bytes(), chain)])
    server, port = started(Service(), credentials)

    def echo(host: str, tls: Tls) -> bytes:
        way = carrier_to(Endpoint(f"grpcs://{host}:{port}", tls=tls, trusted=True), HOME, Wallet())
        try:
            return ask(way, "Echo", b"1").body
        finally:
            way.close()

    tls = Tls(ca=str(tmp_path / "ca.pem"))
    assert echo("localhost", tls) == b"1"
    for host, other in (("127.0.0.1", tls), ("localhost", Tls())):
        with pytest.raises(Unreachable) as caught:
            echo(host, other)
        assert caught.value.lasting
    server.stop(0).wait()


def test_a_declared_host_does_not_change_whose_certificate_is_asked_for(tmp_path: Path) -> None:
    """It is for what stands behind an ingress; who we speak with is decided by the URL."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    cert = authority.issue_cert("other.example")
    chain = b"".join(part.bytes() for part in cert.cert_chain_pems)
    server, port = started(Service(), grpc.ssl_server_credentials([(cert.private_key_pem.bytes(), chain)]))
    tls = Tls(ca=str(tmp_path / "ca.pem"))
    endpoint = Endpoint(f"grpcs://localhost:{port}", tls=tls, headers={"Host": "other.example"}, trusted=True)
    way = carrier_to(endpoint, HOME, Wallet())
    with pytest.raises(Unreachable, match="certificate"):
        ask(way, "Echo")
    way.close()
    server.stop(0).wait()


def test_a_declared_host_is_what_an_ingress_sees(peer) -> None:
    """In plaintext, inside a cluster: the authority of every call."""
    endpoint = Endpoint(f"grpc://127.0.0.1:{peer[1]}", headers={"Host": "model.ns.example"}, trusted=True)
    way = carrier_to(endpoint, HOME, Wallet())
    assert ask(way, "Authority").body == b"model.ns.example"
    way.close()
