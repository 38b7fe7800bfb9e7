"""JSON over HTTP against a real server: streams, uploads, limits, deadlines, callers that leave, stops, TLS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from tests.e2e.serving import INPUTS, Server
from tests.http_calls import JSON, OCTETS, Answer, Http, both, http_address
from tests.models.nets import mlp

import whybox

FILE = mlp(np.float32).SerializeToString()
DIGIT = np.load(INPUTS / "digit.npy")
TEXT = {"model": "models/sentiment", "instances": [{"text": "a good film"}], "lime": {"num_samples": 40}}
# Minutes of work, were it not ended.
LONG = {
    "model": "models/texture",
    "instances": [{"tensors": {"by_name": {"image": {"dtype": "FP32", "shape": [3, 224, 224]}}}}],
    "rise": {"num_masks": 20_000},
}
LONG_V1 = {"instances": [[[[0.5] * 224] * 224] * 3], "parameters": {"rise": {"num_masks": 20_000}}}
LONG["instances"][0]["tensors"]["by_name"]["image"]["data"] = base64.b64encode(bytes(4 * 3 * 224 * 224)).decode()
SOON_S = 20


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    with both("--trust-uploads", "--message-mib", "2") as http:
        yield http


def until(server: Server, call: str, outcome: str) -> None:
    """Wait for a line of the log."""
    patience = time.monotonic() + SOON_S
    while not any((line["call"], line["outcome"]) == (call, outcome) for line in server.calls()):
        assert time.monotonic() < patience, server.calls()
        time.sleep(0.02)


def test_an_explanation_is_what_the_client_gets(served: Http):
    """The Python client over gRPC is the oracle."""
    body = {
        "model": "models/digits",
        "instances": [{"tensors": {"byName": {"image": {"dtype": "FP32", "data": DIGIT.astype(float).tolist()}}}}],
        "occlusion": {},
    }
    answer = served.post("/api/v1/explanations:explain", body)
    assert answer.status == 200, answer.body
    values = answer.json["explanations"][0]["attribution"]["values"]
    with whybox.Client(served.server.address) as client:
        expected = client.explain("models/digits", DIGIT, "occlusion")
    found = np.frombuffer(base64.b64decode(values["data"]), "<f8").reshape(tuple(map(int, values["shape"])))
    np.testing.assert_array_equal(found[0], expected.values)


def test_a_stream_is_lines_or_events(served: Http):
    """Plan first, explanations last; events carry the very lines."""
    two = {"request": {**TEXT, "instances": [{"text": "good"}, {"text": "bad film"}]}}
    lines = served.post("/api/v1/explanations:stream", two)
    assert lines.headers["content-type"] == "application/x-ndjson"
    kinds = [next(iter(line)) for line in lines.lines]
    assert kinds[0] == "plan"
    assert sorted(one["explanation"].get("index", 0) for one in lines.lines if "explanation" in one) == [0, 1]
    events = served.post("/api/v1/explanations:stream", two, accept="text/event-stream")
    assert events.headers["content-type"] == "text/event-stream"
    for block in events.body.decode().strip().split("\n\n"):
        event, data = block.split("\n")
        assert [event.removeprefix("event: ")] == list(json.loads(data.removeprefix("data: ")))


def test_a_stream_that_fails_at_once_is_a_plain_error(served: Http):
    answer = served.post("/api/v1/explanations:stream", {"request": {**TEXT, "model": "models/nope"}})
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json["code"] == 5


def test_a_stream_that_fails_later_ends_with_its_error(served: Http):
    body = {"request": {**TEXT, "targets": [{"index": 7}]}}
    lines, events = (
        served.post("/api/v1/explanations:stream", body, accept=accept) for accept in ("*/*", "text/event-stream")
    )
    if lines.status == 200:  # refused before its plan is as good
        assert "message" in lines.lines[-1]["error"]
        assert b"event: error\ndata: " in events.body
    else:
        assert lines.json["code"] == 3


def test_a_model_is_uploaded_used_and_forgotten(served: Http):
    digest = hashlib.sha256(FILE).hexdigest()
    spec = json.dumps({"labels": ["a", "b", "c"], "tabular": {"feature_names": list("vwxyz")}})
    made = served.call("POST", "/api/v1/models", FILE, {**OCTETS, "x-sha256": digest, "x-spec": spec})
    assert made.status == 200, made.body
    model = made.json["model"]
    assert (model["name"], model["spec"]["labels"]) == (f"models/sha256-{digest}", ["a", "b", "c"])
    path = f"/api/v1/{model['name']}"
    rows = {"inputs": {"by_name": {"x": {"dtype": "FP32", "data": [[0, 1, 2, 3, 4], [0, 0, 0, 0, 0]]}}}}
    outputs = served.post(f"{path}:predict", rows).json["outputs"]["by_name"]
    assert outputs["y"]["shape"] == ["2", "3"]
    assert served.call("GET", path).json["model"]["digest"] == f"sha256-{digest}"
    assert served.call("DELETE", path).json == {}
    assert served.call("GET", path).status == 404


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({**OCTETS, "x-size-bytes": "-1"}, "header.size_bytes"),
        ({**OCTETS, "x-size-bytes": "many"}, "header.size_bytes"),
        ({**OCTETS, "x-spec": "{"}, "body"),
        ({**OCTETS, "x-spec": '{"nope": 1}'}, "header.spec.nope"),
        (JSON, "content-type"),
    ],
)
def test_an_upload_with_a_wrong_header_is_refused(served: Http, headers: dict[str, str], field: str):
    answer = served.call("POST", "/api/v1/models", FILE, headers)
    assert answer.status == 400
    assert field in answer.violations


def test_an_upload_of_another_size_or_digest_is_broken(served: Http):
    for headers in ({"x-size-bytes": str(len(FILE) + 1)}, {"x-size-bytes": "7"}, {"x-sha256": "0" * 64}):
        answer = served.call("POST", "/api/v1/models", FILE, {**OCTETS, **headers})
        assert answer.status == 400
        assert answer.json["details"][0]["reason"] == "UPLOAD_BROKEN"


def test_an_upload_that_is_too_large_is_refused_by_its_header_alone(served: Http):
    """No byte of the body is sent."""
    line = http.client.HTTPConnection(served.address, timeout=SOON_S)
    line.putrequest("POST", "/api/v1/models")
    line.putheader("content-type", "application/octet-stream")
    line.putheader("content-length", str(2**40))
    line.endheaders()
    assert line.getresponse().status == 429
    line.close()


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", "/api", 404, 5),
        ("GET", "/api/v2/models", 404, 5),
        ("GET", "/api/v1/models/", 404, 5),
        ("POST", "/api/v1/models/digits", 405, 12),
        ("PATCH", "/api/v1/explanations:explain", 405, 12),
        ("POST", "/healthz", 405, 12),
    ],
)
def test_what_is_not_there_is_said_in_json(served: Http, verb: str, path: str, status: int, code: int):
    answer = served.call(verb, path, b"{}")
    assert (answer.status, answer.json["code"]) == (status, code)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "headers", "field"),
    [
        (b"", JSON, "body"),
        (b"{}", {}, "content-type"),
        (b"{}", {"content-type": "text/plain"}, "content-type"),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, "content-type"),
        (b"{}", {**JSON, "content-encoding": "gzip"}, "content-encoding"),
        (b"{}", {**JSON, "x-timeout-s": "soon"}, "x-timeout-s"),
        (b"{}", {**JSON, "grpc-timeout": "5 minutes"}, "grpc-timeout"),
        (b"[" * 50_000, JSON, "body"),
        (b"[1, 2, NaN]", JSON, "[2]"),
        (b'{"instances": [{"record": {"fields": {"a": {"number": 1e999}}}}]}', JSON, "instances[0].record.fields.a.number"),
        (b'{"instances": [{"text": "\xff"}]}', JSON, "body"),
        (b'{"modle": "models/digits"}', JSON, "modle"),
    ],
)
def test_a_bad_body_is_refused_at_its_place(served: Http, body: bytes, headers: dict[str, str], field: str):
    answer = served.call("POST", "/api/v1/explanations:explain", body, headers)
    assert answer.status == 400, answer.body
    assert field in answer.violations
    assert b"Traceback" not in answer.body


def test_parameters_are_for_calls_without_a_body(served: Http):
    assert served.call("GET", "/api/v1/models?page_size=0x").violations.keys() == {"page_size"}
    assert served.call("GET", "/api/v1/models?pages=1").violations.keys() == {"pages"}
    assert served.post("/api/v1/explanations:explain?model=models/digits", {}).violations.keys() == {"model"}


def test_a_body_over_the_limit_is_refused_announced_or_not(served: Http):
    """2 MiB in one message: 8 MiB of JSON are never read, and what says more than 2 MiB is not taken."""
    huge = b'{"model": "' + b"a" * (9 << 20) + b'"}'
    line = http.client.HTTPConnection(served.address, timeout=SOON_S)
    line.putrequest("POST", "/api/v1/explanations:explain")
    line.putheader("content-type", "application/json")
    line.putheader("content-length", str(len(huge)))
    line.endheaders()
    assert line.getresponse().status == 429
    line.close()
    answer = served.call("POST", "/api/v1/explanations:explain", b'{"model": "' + b"a" * (3 << 20) + b'"}')
    assert (answer.status, answer.json["details"][0]["reason"]) == (429, "TOO_LARGE")


def most_memory(served: Http) -> int:
    """Bytes that the server has held at once so far."""
    status = Path(f"/proc/{served.server.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_a_chunked_body_is_kept_up_to_the_limit_and_no_further(served: Http):
    """8 MiB of 128."""
    before = most_memory(served)
    line = http.client.HTTPConnection(served.address, timeout=SOON_S)
    chunks = (b" " * (1 << 20) for _ in range(128))
    line.request("POST", "/api/v1/explanations:explain", chunks, JSON, encode_chunked=True)
    assert line.getresponse().status == 429
    line.close()
    assert most_memory(served) - before < 64 << 20


def test_headers_are_kept_up_to_a_limit(served: Http):
    """64 KiB, whether they end or not; the next caller is served."""
    host, _, port = served.address.partition(":")
    before = most_memory(served)
    for ended in (b"\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), timeout=SOON_S) as line:
            with contextlib.suppress(ConnectionError):  # it hangs up while we still speak
                line.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: " + b"a" * (16 << 20) + ended)
            with contextlib.suppress(ConnectionError):
                assert line.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"")
    assert most_memory(served) - before < 8 << 20
    assert served.call("GET", "/healthz", headers={"x-long": "a" * 30_000}).status == 200


def test_a_wrong_verb_hears_the_right_ones(served: Http):
    """A custom method's path is its own, not that of a model whose name ends like it."""
    assert served.call("PUT", "/api/v1/models/digits:predict").headers["allow"] == "POST"
    allowed = served.call("PUT", "/api/v1/models/digits").headers["allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "DELETE"}


def test_a_request_id_comes_back_and_is_in_the_log(served: Http):
    answer = served.post("/api/v1/explanations:explain", TEXT, **{"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == answer.json["explanations"][0]["provenance"]["request_id"] == "mine-1"
    assert any(line["request_id"] == "mine-1" for line in served.server.calls())
    answer = served.post("/api/v1/explanations:explain", {}, **{"x-request-id": "not one!"})
    assert answer.headers["x-request-id"] not in ("", "not one!")


@pytest.mark.parametrize("header", [("x-timeout-s", "0.5"), ("grpc-timeout", "500m")])
def test_a_deadline_ends_the_work(served: Http, header: tuple[str, str]):
    """Partial answers are fine, minutes of work are not."""
    answer = served.post("/api/v1/explanations:explain", LONG, **dict([header]))
    if answer.status == 200:
        assert "complete" not in answer.json["explanations"][0]  # false is not written
    else:
        assert (answer.status, answer.json["code"]) == (504, 4)


def test_a_deadline_ends_calls_that_know_none(served: Http):
    """A model's call has no clock of its own."""
    rows = {"inputs": {"by_name": {"image": {"dtype": "FP32", "shape": [1, 1, 8, 8], "data": [0] * 64}}}}
    answer = served.post("/api/v1/models/digits:predict", rows, **{"x-timeout-s": "1e-9"})
    assert (answer.status, answer.json["details"][0]["reason"]) == (504, "DEADLINE")
    assert served.post("/api/v1/models/digits:predict", rows).status == 200


@pytest.mark.parametrize(("path", "call"), [("explain", "Explain"), ("stream", "ExplainStream")])
def test_a_caller_that_leaves_ends_the_work(path: str, call: str):
    with both() as served:
        body = json.dumps(LONG if path == "explain" else {"request": LONG}).encode()
        host, _, port = served.address.partition(":")
        with socket.create_connection((host, int(port))) as line:
            head = f"POST /api/v1/explanations:{path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.5)
        until(served.server, f"ExplanationService/{call}", "CANCELLED")


@pytest.mark.parametrize("path", ["/nothing", "/healthz", "/v1/nothing", "/api/v1/methods"])
def test_a_body_that_breaks_off_into_nonsense_is_no_defect_of_ours(served: Http, path: str):
    """Wherever it was sent; its caller hears that it was no HTTP."""
    host, _, port = served.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=SOON_S) as line, line.makefile("rb") as said:
        line.sendall(f"POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n".encode())
        assert said.read().startswith(b"HTTP/1.1 400")
    assert served.call("GET", "/healthz").status == 200
    assert not [entry for entry in served.server.lines if entry["event"] == "defect"]


def test_health_documents_and_their_headers(served: Http):
    assert served.call("GET", "/healthz").json == {"status": "SERVING"}
    assert served.call("GET", "/readyz").status == 200
    assert served.call("HEAD", "/api/v1/models").body == b""
    assert served.call("GET", "/openapi.json").json["openapi"] == "3.1.0"
    page = served.call("GET", "/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"


def test_what_runs_is_finished_before_the_server_stops():
    """And while it runs, newcomers are served on the connections they have, or find nobody."""
    body = {**LONG, "rise": {"num_masks": 400}}
    with both("--drain-s", "60") as served:
        answers: list[Any] = []
        running = threading.Thread(target=lambda: answers.append(served.post("/api/v1/explanations:explain", body)))
        kept = http.client.HTTPConnection(served.address, timeout=SOON_S)
        running.start()
        time.sleep(0.4)
        stopping = threading.Thread(target=served.server.stop)
        stopping.start()
        running.join()
        stopping.join()
        kept.close()
        assert answers[0].status == 200, answers[0].body
        assert served.server.process.returncode == 0
        assert not [line for line in served.server.raw if "Traceback" in line]


def test_what_runs_too_long_hears_so_before_the_server_goes():
    """As gRPC's callers hear it: an answer for those who have none yet, and a last line for streams."""
    streamed = {"request": LONG}
    with socket.create_server(("127.0.0.1", 0)) as free:
        meters = f"127.0.0.1:{free.getsockname()[1]}"
    with both("--drain-s", "0.5", "--metrics-listen", meters) as served:
        heard: dict[str, Answer] = {}

        def ask(name: str, path: str, body: Any, **headers: str) -> None:
            heard[name] = served.post(path, body, **headers)

        explain, stream = "/api/v1/explanations:explain", "/api/v1/explanations:stream"
        callers = [
            threading.Thread(target=ask, args=("answer", explain, LONG)),
            threading.Thread(target=ask, args=("lines", stream, streamed)),
            threading.Thread(target=ask, args=("events", stream, streamed), kwargs={"accept": "text/event-stream"}),
            threading.Thread(target=ask, args=("kserve", "/v1/models/texture:explain", LONG_V1)),
        ]
        for caller in callers:
            caller.start()
        host, _, port = served.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=SOON_S) as slow:  # half a body, and no more
            head = "POST /api/v1/explanations:explain HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            slow.sendall(f"{head}content-length: 9\r\n\r\n{{".encode())
            until_running(meters, 4)
            assert served.server.stop() == 0
            said = http.client.HTTPResponse(slow)
            said.begin()
            heard["half"] = Answer(said.status, {name.lower(): value for name, value in said.getheaders()}, said.read())
        for caller in callers:
            caller.join()
        for name in ("answer", "half"):
            assert (heard[name].status, heard[name].json["code"]) == (503, 14)
            assert heard[name].json["details"][0]["reason"] == "SERVER_DRAINING"
            assert (heard[name].headers["connection"], heard[name].headers["retry-after"]) == ("close", "1")
        assert (heard["kserve"].status, list(heard["kserve"].json)) == (503, ["error"])
        last = heard["lines"].lines[-1]["error"]
        assert (heard["lines"].status, last["details"][0]["reason"]) == (200, "SERVER_DRAINING")
        event, data = heard["events"].body.decode().strip().split("\n\n")[-1].split("\n")
        assert (event, json.loads(data.removeprefix("data: "))["error"]["code"]) == ("event: error", 14)
        assert not [line for line in served.server.raw if "Traceback" in line]


def until_running(meters: str, number: int) -> None:
    """Wait until so many explanations run, as the metrics have it."""
    patience = time.monotonic() + SOON_S
    while True:
        with urllib.request.urlopen(f"http://{meters}/metrics", timeout=SOON_S) as reply:
            if f"whybox_running_calls {number}.0" in reply.read().decode():
                return
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_tls_is_that_of_grpc_and_a_renewed_certificate_is_used(tmp_path: Path):
    """Client certificates are required where a CA is given; the port does not change hands for a new file."""
    ca = trustme.CA()
    own, new, theirs = ca.issue_cert("127.0.0.1"), ca.issue_cert("127.0.0.1"), ca.issue_cert("client")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    own.cert_chain_pems[0].write_to_path(str(cert))
    own.private_key_pem.write_to_path(str(key))
    ca.cert_pem.write_to_path(str(root))
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(root))

    def trusting(certificate: Any | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(root))
        if certificate is not None:
            certificate.configure_cert(context)
        return context

    def healthy(address: str, context: ssl.SSLContext) -> bytes | None:
        """The server's certificate."""
        line = http.client.HTTPSConnection(address, timeout=SOON_S, context=context)
        line.request("GET", "/healthz")
        assert line.getresponse().status == 200
        found: bytes | None = line.sock.getpeercert(binary_form=True)
        line.close()
        return found

    with both(*flags) as served:
        first = healthy(served.address, trusting(theirs))
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            healthy(served.address, trusting(None))
        key.write_text("half a key")
        assert healthy(served.address, trusting(theirs)) == first
        new.private_key_pem.write_to_path(str(key))
        new.cert_chain_pems[0].write_to_path(str(cert))
        assert healthy(served.address, trusting(theirs)) not in (first, None)


def test_a_port_that_is_taken_is_said_and_the_server_ends():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AssertionError, match=f"cannot listen on {address}"):
            with both("--http-listen", address):
                pass


def test_without_the_setting_nobody_listens(server: Server):
    with pytest.raises(StopIteration):
        http_address(server)
