"""The server as its operators know it: health, reflection, metrics, limits, drain, and what it logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.e2e.serving import INPUTS, MODELS, Server, running

import whybox
from whybox.v1 import explain_pb2, model_pb2, model_pb2_grpc

DIGIT = np.load(INPUTS / "digit.npy")
PICTURE = INPUTS / "brick_and_grass.png"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition, seconds: float = 20.0) -> bool:  # type: ignore[no-untyped-def]
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_health_and_reflection_answer(server: Server) -> None:
    """What Kubernetes' probes and grpcurl ask."""
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "readiness", "whybox.v1.ExplanationService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        names = {s.name for s in next(stub.ServerReflectionInfo(asked)).list_services_response.service}
    assert {"whybox.v1.ExplanationService", "whybox.v1.ModelService", "grpc.health.v1.Health"} <= names


def test_a_cancelled_call_stops_asking_the_model(server: Server, client: whybox.Client) -> None:
    """A call of 200,000 rows is cancelled; the server notes it, and its backlog is gone for the next one."""
    before = len(server.calls())
    with pytest.raises(whybox.ExplainError) as late:
        client.explain("models/texture", PICTURE, "lime", num_samples=200_000, seed=77, timeout=1.0)
    assert late.value.code == "DEADLINE_EXCEEDED"
    assert until(lambda: len(server.calls()) > before)
    assert client.explain("models/digits", DIGIT, "occlusion", seed=3).complete


def test_a_deadline_that_cannot_be_met_is_refused_before_it_starts(client: whybox.Client) -> None:
    """The model's speed is known by now: a million rows in a second are refused at once, with numbers."""
    client.explain("models/texture", PICTURE, "lime", num_samples=300, seed=78)
    started = time.monotonic()
    with pytest.raises(whybox.ExplainError) as refused:
        client.explain("models/texture", PICTURE, "lime", num_samples=250_000, seed=79, timeout=10)
    assert refused.value.reason == "DEADLINE"
    assert time.monotonic() - started < 5
    assert refused.value.details["rows_planned"] == "250000"


def test_sigterm_lets_the_running_call_end() -> None:
    """The call is answered, newcomers are not, and the exit status is 0."""
    with running() as own, whybox.Client(own.address) as client:
        client.explain("models/texture", PICTURE, "occlusion")
        answers: list[whybox.Explanation] = []
        slow = threading.Thread(
            target=lambda: answers.append(client.explain("models/texture", PICTURE, "lime", num_samples=1500))
        )
        slow.start()
        time.sleep(0.3)
        own.process.send_signal(signal.SIGTERM)
        slow.join()
        assert own.process.wait(timeout=30) == 0
    assert len(answers) == 1
    assert answers[0].complete


def test_a_second_server_on_the_same_port_fails_loudly(server: Server) -> None:
    """so_reuseport is off: nobody steals half of the calls in silence."""
    second = subprocess.run(
        [sys.executable, "-m", "whybox_server", "--listen", server.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert server.address in second.stderr


def test_other_addresses_need_tls_or_insecure() -> None:
    """Exit status 2, and the remedy on stderr."""
    refused = subprocess.run(
        [sys.executable, "-m", "whybox_server", "--listen", "0.0.0.0:50999"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_too_many_calls_are_refused_with_a_time_to_come_again() -> None:
    """One permit: the second call gets OVERLOADED and RetryInfo while the first one runs on."""
    with running("--max-explanations", "1") as own, whybox.Client(own.address) as client:
        answers, underway = [], threading.Event()

        def slow() -> None:
            answers.append(
                client.explain(
                    "models/texture",
                    PICTURE,
                    "lime",
                    num_samples=5000,
                    on_progress=lambda done, planned: underway.set(),
                )
            )

        first = threading.Thread(target=slow)
        first.start()
        assert underway.wait(30)
        with whybox.Client(own.address) as other, pytest.raises(whybox.ExplainError) as refused:
            other.explain("models/digits", DIGIT, "occlusion")
        first.join()
    assert refused.value.reason == "OVERLOADED"
    assert refused.value.retry_after_s is not None
    assert answers[0].complete


def test_metrics_have_a_port_of_their_own() -> None:
    """Counters move with an explanation; no label holds a model's name."""
    port = free_port()
    with running("--metrics-listen", f"127.0.0.1:{port}") as own, whybox.Client(own.address) as client:
        client.explain("models/digits", DIGIT, "occlusion")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            page = reply.read().decode()
    assert 'whybox_explanations_finished_total{method="occlusion",modality="image",outcome="OK"} 1.0' in page
    assert "whybox_backlog_seconds" in page
    assert "whybox_cache_hits" in page
    assert "digits" not in page


def test_a_broken_upload_leaves_nothing_behind(server: Server) -> None:
    """Too short, too long, another digest, no header: each its own error, and no model more than before."""
    data = (MODELS / "digits" / "1" / "model.onnx").read_bytes()

    def parts(header: model_pb2.ModelHeader | None, *chunks: bytes):  # type: ignore[no-untyped-def]
        if header is not None:
            yield model_pb2.CreateModelRequest(header=header)
        for chunk in chunks:
            yield model_pb2.CreateModelRequest(chunk=chunk)

    cases = [
        (parts(model_pb2.ModelHeader(size_bytes=len(data)), data[:100]), "UPLOAD_BROKEN"),
        (parts(model_pb2.ModelHeader(size_bytes=10), data[:100]), "UPLOAD_BROKEN"),
        (parts(model_pb2.ModelHeader(size_bytes=len(data), sha256="0" * 64), data), "UPLOAD_BROKEN"),
        (parts(None, data[:100]), "INVALID_FIELD"),
        (parts(model_pb2.ModelHeader(size_bytes=1 << 40)), "TOO_LARGE"),
    ]
    with grpc.insecure_channel(server.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        before = len(stub.ListModels(model_pb2.ListModelsRequest()).models)
        for upload, reason in cases:
            with pytest.raises(grpc.RpcError) as broken:
                stub.CreateModel(upload)
            assert reason in str(broken.value.trailing_metadata()), broken.value
        assert len(stub.ListModels(model_pb2.ListModelsRequest()).models) == before


def test_models_are_listed_in_pages(server: Server) -> None:
    """Two at a time, every name once, in order."""
    names: list[str] = []
    with grpc.insecure_channel(server.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        token = ""
        while True:
            page = stub.ListModels(model_pb2.ListModelsRequest(page_size=2, page_token=token))
            names += [model.name for model in page.models]
            token = page.next_page_token
            if not token:
                break
            assert len(page.models) == 2
    assert names == sorted(set(names))
    assert {"models/texture", "models/digits", "models/sentiment"} <= set(names)


def test_every_violation_is_listed_at_once(server: Server) -> None:
    """Four wrong fields, four violations."""
    request = explain_pb2.ExplainRequest(max_queries=-1, mode=77)
    request.lime.num_samples = 1
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(
            "/whybox.v1.ExplanationService/Explain",
            request_serializer=explain_pb2.ExplainRequest.SerializeToString,
            response_deserializer=explain_pb2.ExplainResponse.FromString,
        )(request)
    for field in ("model", "instances", "max_queries", "mode", "lime.num_samples"):
        assert field in str(refused.value.details())


def test_the_request_id_is_the_callers_or_a_new_one(server: Server) -> None:
    """Echoed in the trailing metadata; a nasty one is replaced."""
    with grpc.insecure_channel(server.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        for given, kept in (("abc-1", True), ("x" * 500, False)):
            _, call = stub.ListModels.with_call(
                model_pb2.ListModelsRequest(), metadata=(("x-request-id", given),)
            )
            sent_back = dict(call.trailing_metadata())["x-request-id"]
            assert (sent_back == given) == kept
            assert sent_back


def test_logs_hold_no_input_values(server: Server, client: whybox.Client) -> None:
    """A secret in a text, an answer and an error: none of it is written."""
    client.explain("models/sentiment", "hunter2 was wonderful", "occlusion")
    with pytest.raises(whybox.ExplainError):
        client.explain("models/sentiment", "hunter2 again", "lime", target="hunter2-label")
    assert until(lambda: any("INVALID_FIELD" in line for line in server.raw))
    assert not any("hunter2" in line for line in server.raw)


def test_tls_serves_and_takes_a_new_certificate_without_a_restart(tmp_path: Path) -> None:
    """Plaintext is refused; after the files were replaced, only the new authority is believed."""
    old, new = trustme.CA(), trustme.CA()
    cert, key, ca_old, ca_new = (tmp_path / name for name in ("cert.pem", "key.pem", "old.pem", "new.pem"))
    old.cert_pem.write_to_path(str(ca_old))
    new.cert_pem.write_to_path(str(ca_new))

    def install(authority: trustme.CA) -> None:
        issued = authority.issue_cert("localhost")
        key.write_bytes(issued.private_key_pem.bytes())
        cert.write_bytes(issued.cert_chain_pems[0].bytes())

    install(old)
    flags = ("--listen", "localhost:0", "--tls-cert", str(cert), "--tls-key", str(key))
    with running(*flags) as own:
        with whybox.Client(own.address, tls_ca=ca_old) as client:
            assert client.models()
        time.sleep(0.02)
        install(new)
        assert until(lambda: answers(own.address, ca_new))
        assert not answers(own.address, ca_old)


def answers(address: str, ca: Path) -> bool:
    try:
        with whybox.Client(address, tls_ca=ca, timeout=2) as client:
            return bool(client.models())
    except whybox.ExplainError:
        return False


def test_ctrl_c_leaves_no_process_behind() -> None:
    """The command line with its embedded server, interrupted in the middle of a long call."""
    whybox_command = str(Path(sys.executable).with_name("whybox"))
    process = subprocess.Popen(
        [whybox_command, "explain", "--models", str(MODELS), "--model", "models/texture"]
        + ["--input", str(PICTURE), "--method", "lime", "--param", "num_samples=300000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
        start_new_session=True,
    )
    group = process.pid
    time.sleep(4)
    assert process.poll() is None, process.communicate()
    os.killpg(group, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not [p for p in psutil.process_iter() if p.pid != group and _group(p.pid) == group]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
