"""Calls over HTTP against a server that misbehaves in every way we know."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from tests.remote.malicious import Server, malicious

from whybox_server.core.errors import EgressDenied, InvalidRequest
from whybox_server.serving.remote.endpoint import Credential, Endpoint, Limits, Tls
from whybox_server.serving.remote.exchange import Answer, HttpCall, Refused, Unreachable
from whybox_server.serving.remote.transport.body import Overflow, read_body
from whybox_server.serving.remote.transport.carrier import Carrier, carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

HOME = Dialler(egress_of(["127.0.0.0/8"]))
TOKEN = "correct-horse-battery-staple"
BODY = b'{"instances": [1, 2, 3]}'
PATIENT_S = 20.0  # nobody waits so long: what is refused is refused at once
HURRIED_S = 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with malicious() as server:
        yield server


@pytest.fixture
def way(server: Server) -> Iterator[Carrier]:
    carrier = carrier_to(Endpoint(server.url("")), HOME, Wallet())
    yield carrier
    carrier.close()


def ask(way: Carrier, behaviour: str, timeout_s: float = PATIENT_S) -> Answer:
    return way.exchange(
        HttpCall("POST", f"/{behaviour}", BODY, {"content-type": "application/json"}), timeout_s
    )


def refused(way: Carrier, behaviour: str) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(way, behaviour)
    return caught.value


def unreachable(way: Carrier, behaviour: str, timeout_s: float = PATIENT_S) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        ask(way, behaviour, timeout_s)
    return caught.value


def opened(endpoint: Endpoint, wallet: Wallet | None = None, dialler: Dialler = HOME) -> Carrier:
    return carrier_to(endpoint, dialler, wallet or Wallet(environment={"KEY": TOKEN}))


def test_an_honest_answer_comes_back_whole(way: Carrier, server: Server) -> None:
    """Body, status and headers are the server's; the request is ours, marked as synthetic."""
    answer = ask(way, "honest")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{"predictions": [[0.25, 0.75], [0.25, 0.75], [0.25, 0.75]]}'
    request = server.seen[-1]
    assert (request.method, request.target, request.body) == ("POST", "/honest", BODY)
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["seldon-skip-logging"] == "true"
    assert request.headers["content-type"] == "application/json"


def test_a_compressed_answer_is_the_same_answer(way: Carrier) -> None:
    """Compression is the wire's business."""
    assert ask(way, "zipped").body == ask(way, "honest").body


def test_answers_that_are_wrong_in_content_are_carried(way: Carrier) -> None:
    """Row counts and NaN are for those who know the protocol."""
    assert ask(way, "wrong-rows").body.count(b"0.75") == 4
    assert b"NaN" in ask(way, "nan").body


def test_a_connection_is_used_again(server: Server) -> None:
    """Ten calls of one thread need one connection; so do ten after refusals that were read to their end."""
    way = opened(Endpoint(server.url("")))
    before = server.connections
    for _ in range(10):
        ask(way, "honest")
    for _ in range(5):
        refused(way, "not-found")
        refused(way, "busy")
    assert server.connections == before + 1
    way.close()


def test_threads_have_connections_of_their_own_and_share_them_later(server: Server) -> None:
    """Eight threads at once get eight whole answers over at most eight connections."""
    way = opened(Endpoint(server.url("")))
    before = server.connections
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(way, "honest").body)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 8
    assert len(set(bodies)) == 1
    assert server.connections - before <= 8
    way.close()


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [
        ("html", 200, "a web page"),
        ("redirect", 302, "redirects"),
        ("not-gzip", 200, "gzip"),
        ("half-gzip", 200, "ends too early"),
        ("brotli", 200, "not asked for"),
        ("gzip-bomb", 413, "longer than"),
        ("endless", 413, "longer than"),
        ("long-length", 413, "longer than"),
        ("many-headers", 413, "headers"),
        ("too-large", 413, "too large"),
        ("not-found", 404, "Model m not found"),
        ("busy", 429, "slow down"),
    ],
)
def test_what_is_no_answer_is_refused_with_a_word(
    way: Carrier, server: Server, behaviour: str, status: int, words: str
) -> None:
    """One request each: nothing is asked twice on this level, and no redirect is followed."""
    before = len(server.seen)
    error = refused(way, behaviour)
    assert error.status == status
    assert words in error.text
    assert error.text.isprintable()
    assert len(server.seen) == before + 1


def test_a_bomb_is_not_unpacked_beyond_the_cap(server: Server) -> None:
    """With a cap of a few bytes the first piece is enough to know."""
    way = opened(Endpoint(server.url(""), limits=Limits(reply_bytes=10)))
    assert refused(way, "gzip-bomb").status == 413
    assert refused(way, "zipped").status == 413
    assert refused(way, "honest").status == 413
    way.close()


def test_a_bomb_costs_no_memory() -> None:
    """One piece of 20 KB that would become 20 MB: what is held meanwhile is about the cap of 1 KB."""
    bomb = gzip.compress(bytes(20 << 20))
    tracemalloc.start()
    with pytest.raises(Overflow):
        read_body([bomb], "gzip", 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("behaviour", ["slow-body", "slow-headers", "silence", "informational"])
def test_who_is_slow_is_late_however_busy_he_looks(way: Carrier, behaviour: str) -> None:
    """A byte now and then does not start the clock again."""
    error = unreachable(way, behaviour, HURRIED_S)
    assert error.late
    assert error.sent


def test_an_error_that_drips_is_an_error_still(way: Carrier) -> None:
    """The status is known, the rest of its text is not worth the time."""
    with pytest.raises(Refused) as caught:
        ask(way, "slow-error", HURRIED_S)
    assert caught.value.status == 503
    assert caught.value.text.startswith("so busy")


@pytest.mark.parametrize("behaviour", ["hang-up", "cut", "short", "two-lengths", "not-http", "huge-headers"])
def test_what_breaks_off_or_is_no_http_is_no_answer(way: Carrier, behaviour: str) -> None:
    """The call was sent, so it may count; and it may be tried again."""
    error = unreachable(way, behaviour)
    assert error.sent
    assert not error.late
    assert not error.lasting


def test_a_server_says_when_to_come_again(way: Carrier) -> None:
    """Retry-After, in seconds; silence is None."""
    assert refused(way, "busy").retry_after_s == 7
    assert refused(way, "not-found").retry_after_s is None


def test_nobody_there_is_said_before_anything_is_sent() -> None:
    """A port that nobody listens on."""
    with malicious() as gone:
        url = gone.url("honest")
    way = opened(Endpoint(url))
    error = unreachable(way, "honest")
    assert not error.sent
    assert "refused" in error.text
    assert error.address == url.split("/")[2]
    way.close()


def test_cookies_are_not_kept(way: Carrier, server: Server) -> None:
    """A server cannot tell one explanation from the next by what it gave out before."""
    ask(way, "cookie")
    ask(way, "honest")
    assert "cookie" not in server.seen[-1].headers


def test_proxy_variables_are_not_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would carry rows and secrets past the policy."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    way = opened(Endpoint(server.url("")))
    assert ask(way, "honest").status == 200
    way.close()


def test_a_secret_goes_to_the_server_and_nowhere_else(server: Server) -> None:
    """In its header on the wire; never in what the server makes us say, whole or in pieces."""
    endpoint = Endpoint(server.url(""), credential=Credential(env="KEY"), trusted=True)
    way = opened(endpoint)
    ask(way, "honest")
    assert server.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"
    for behaviour in ("echo", "echo-reason"):
        error = refused(way, behaviour)
        assert not any(TOKEN[i : i + 8] in str(error) for i in range(len(TOKEN) - 7))
    assert "***" in refused(way, "echo").text
    way.close()


def test_a_callers_headers_pass_only_where_the_endpoint_asks_for_them(server: Server) -> None:
    """And they are kept out of errors like our own secrets; other callers do not have them."""
    endpoint = Endpoint(server.url(""), forward=("Authorization", "X-Request-Id", "Host"))
    way = opened(endpoint)
    theirs = way.forwarding({"authorization": "Bearer of-the-caller", "x-other": "1", "host": "elsewhere"})
    ask(theirs, "honest")
    request = server.seen[-1]
    assert request.headers["authorization"] == "Bearer of-the-caller"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert "x-other" not in request.headers
    assert "of-the-caller" not in refused(theirs, "echo").text
    ask(way, "honest")
    assert "authorization" not in server.seen[-1].headers
    way.close()


def test_our_own_secret_wins_over_a_callers(server: Server) -> None:
    """An endpoint that has a credential is asked with it, whoever asks us."""
    credential = Credential(env="KEY", header="X-Api-Key", prefix="")
    endpoint = Endpoint(server.url(""), credential=credential, forward=("x-api-key",), trusted=True)
    way = opened(endpoint).forwarding({"x-api-key": "other"})
    ask(way, "honest")
    assert server.seen[-1].headers["x-api-key"] == TOKEN
    way.close()


@pytest.mark.parametrize(
    "path", ["/../admin", "/v1/%2e%2E/admin", "/a b", "/a\r\nx: y", "/a#b", "@evil.example/", "//a\\b"]
)
def test_a_models_name_cannot_lead_elsewhere(way: Carrier, server: Server, path: str) -> None:
    """Refused before anything is sent."""
    before = len(server.seen)
    with pytest.raises(InvalidRequest):
        way.exchange(HttpCall("GET", path), PATIENT_S)
    assert len(server.seen) == before


def test_the_endpoints_own_path_and_query_come_along(server: Server) -> None:
    """Calls go below them."""
    way = opened(Endpoint(server.url("honest/base/") + "?version=2"))
    way.exchange(HttpCall("GET", "/v2/models/m"), PATIENT_S)
    assert server.seen[-1].target == "/honest/base/v2/models/m?version=2"
    way.exchange(HttpCall("POST", "", BODY), PATIENT_S)
    assert server.seen[-1].target == "/honest/base?version=2"
    way.close()


def test_a_name_that_changes_between_calls_is_judged_again(server: Server) -> None:
    """Public at first, loopback later (DNS rebinding): only the first address is ever connected to."""
    tried: list[str] = []
    answers = iter([["192.0.32.10"], ["127.0.0.1"]])

    def resolve(host: str, port: int):
        return [replace_host(HOME.resolve(address, port)[0], address) for address in next(answers)]

    def connect(found, timeout_s):
        tried.append(found.sockaddr[0])
        raise ConnectionRefusedError(111, "Connection refused")

    endpoint = Endpoint(f"https://rebind.example:{server.port}")
    way = opened(endpoint, dialler=Dialler(resolve=resolve, connect=connect))
    with pytest.raises(Unreachable):
        ask(way, "honest")
    with pytest.raises(EgressDenied):
        ask(way, "honest")
    assert tried == ["192.0.32.10"]


def replace_host(found, address: str):
    return found._replace(sockaddr=(address, found.sockaddr[1]))


class Secure:
    """A TLS server on loopback that answers once per connection and remembers who came."""

    def __init__(self, authority: trustme.CA, name: str, client: trustme.CA | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self.context)
        if client is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            client.configure_trust(self.context)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(wire, server_side=True) as secure:
                    secure.recv(4096)
                    secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            except OSError:
                wire.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def over_tls(port: int, tls: Tls, host: str = "localhost") -> Answer:
    dialler = Dialler(egress_of(["127.0.0.0/8"]))
    way = carrier_to(Endpoint(f"https://{host}:{port}", tls=tls, trusted=True), dialler, Wallet())
    try:
        return way.exchange(HttpCall("GET", "/v2"), PATIENT_S)
    finally:
        way.close()


def test_tls_believes_the_declared_authority_and_no_other(authority: trustme.CA, pem: str) -> None:
    """Right authority and name: fine. No authority of ours, or another name: refused for good."""
    server = Secure(authority, "localhost")
    assert over_tls(server.port, Tls(ca=pem)).body == b"{}"
    for tls, host in ((Tls(), "localhost"), (Tls(ca=pem), "127.0.0.1")):
        with pytest.raises(Unreachable, match="certificate is not trusted") as caught:
            over_tls(server.port, tls, host)
        assert caught.value.lasting
        assert not caught.value.sent
    server.close()


def test_we_show_our_certificate_where_one_is_declared(
    authority: trustme.CA, pem: str, tmp_path: Path
) -> None:
    """mTLS: with it an answer, without it none."""
    clients = trustme.CA()
    cert = clients.issue_cert("whybox")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = Secure(authority, "localhost", clients)
    tls = Tls(ca=pem, cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    assert over_tls(server.port, tls).body == b"{}"
    with pytest.raises(Unreachable):
        over_tls(server.port, replace(tls, cert="", key=""))
    server.close()


def test_an_authority_that_changes_on_disk_counts_from_the_next_call(authority: trustme.CA, pem: str) -> None:
    """Certificates are renewed while a server runs."""
    other = trustme.CA()
    first, second = Secure(authority, "localhost"), Secure(other, "localhost")
    endpoint = Endpoint(f"https://localhost:{second.port}", tls=Tls(ca=pem), trusted=True)
    way = carrier_to(endpoint, HOME, Wallet())
    with pytest.raises(Unreachable):
        way.exchange(HttpCall("GET", "/"), PATIENT_S)
    Path(pem).write_bytes(other.cert_pem.bytes() + b"\n")
    assert way.exchange(HttpCall("GET", "/"), PATIENT_S).body == b"{}"
    way.close()
    first.close()
    second.close()


@pytest.mark.parametrize(
    "tls",
    [
        Tls(ca="/nowhere/ca.pem"),
        Tls(cert="/nowhere/cert.pem"),
        Tls(cert="/nowhere/c", key="/nowhere/k"),
        Tls(ca=__file__),
    ],
)
def test_certificates_that_cannot_be_used_are_said_before_the_first_call(tls: Tls) -> None:
    """Missing, half a pair, or no certificate at all."""
    with pytest.raises(InvalidRequest, match="endpoint.tls"):
        opened(Endpoint("https://localhost", tls=tls, trusted=True))


def test_a_caller_names_no_files_of_the_server() -> None:
    """Nor sets the host: that is the operator's."""
    with pytest.raises(InvalidRequest, match="operator"):
        opened(Endpoint("https://example.com", tls=Tls(ca="/etc/passwd")))
    with pytest.raises(InvalidRequest, match="operator"):
        opened(Endpoint("https://example.com", headers={"Host": "internal"}))


@pytest.mark.parametrize(
    "headers", [{"a b": "c"}, {"x": "1\r\ny: 2"}, {"Content-Length": "3"}, {"x-bin": "a"}, {"x": "é"}]
)
def test_headers_that_would_break_a_message_are_refused_at_once(headers: dict[str, str]) -> None:
    """With their names, without their values."""
    with pytest.raises(InvalidRequest, match="endpoint.headers"):
        opened(Endpoint("https://example.com", headers=headers))
