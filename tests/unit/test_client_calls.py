"""Both clients against a server that records what it is asked: the same calls, in the same order."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from google.rpc import code_pb2
from tests.wire import examples
from tests.wire.recorder import Recorder, abort, serving

import whybox
from whybox.channel import REQUEST_ID
from whybox.v1 import explain_pb2
from whybox.wire import CHUNK_BYTES

X = np.zeros(4, np.float32)
FILE = b"an ONNX file" * 200_000  # 2.4 MB: three chunks
WAIT_S = 20  # for a cancellation to arrive; far more than it takes


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def target(recorder: Recorder) -> Iterator[str]:
    with serving(recorder) as address:
        yield address


Do = Callable[..., Any]


@pytest.fixture(params=["sync", "aio"])
def do(request: pytest.FixtureRequest, target: str) -> Iterator[Do]:
    """Call a method of the client by name; both clients must pass every test that uses it."""
    if request.param == "sync":
        with whybox.Client(target) as client:
            yield lambda name, *args, **how: getattr(client, name)(*args, **how)
        return
    with asyncio.Runner() as runner:

        async def make() -> whybox.aio.Client:
            return whybox.aio.Client(target)

        twin = runner.run(make())
        yield lambda name, *args, **how: runner.run(getattr(twin, name)(*args, **how))
        runner.run(twin.close())


def test_one_explanation_is_one_unary_call(do: Do, recorder: Recorder) -> None:
    """A model of the server needs no other call; the request carries everything that was said."""
    e = do("explain", "models/churn", X, "lime", target="yes", seed=3, max_queries=9, num_samples=50)
    assert recorder.names == ["Explain"]
    request = recorder.calls[0][1]
    assert (request.model, request.seed, request.max_queries) == ("models/churn", 3, 9)
    assert request.lime.num_samples == 50
    assert request.targets[0].label == "yes"
    assert e.values.tolist() == examples.VALUES[0].tolist()


def test_progress_comes_over_the_stream(do: Do, recorder: Recorder) -> None:
    """First (0, planned) from the plan, then what the server says."""
    heard: list[tuple[int, int]] = []
    e = do(
        "explain", "models/churn", X, "lime", on_progress=lambda done, planned: heard.append((done, planned))
    )
    assert recorder.names == ["ExplainStream"]
    assert heard == [(0, examples.ROWS), (examples.ROWS // 2, examples.ROWS)]
    assert e.complete


def test_many_instances_are_one_call_and_come_back_in_order(do: Do, recorder: Recorder) -> None:
    """The server sends them in reverse; each carries its index as the seed."""
    found = do("explain_many", "models/churn", np.zeros((5, 4)), "lime")
    assert recorder.names == ["ExplainStream"]
    assert [e.provenance.seed for e in found] == [0, 1, 2, 3, 4]


def test_an_answer_without_an_explanation_is_an_error(do: Do, recorder: Recorder) -> None:
    """Not an IndexError."""
    recorder.answers["Explain"] = lambda *_: explain_pb2.ExplainResponse()
    with pytest.raises(whybox.ExplainError, match=r"instances \[0\]"):
        do("explain", "models/churn", X, "lime")


def test_an_explanation_that_never_came_is_an_error(do: Do, recorder: Recorder) -> None:
    """A stream that ends early must not shift the others."""
    recorder.answers["ExplainStream"] = lambda *_: examples.stream(3)[:-1]
    with pytest.raises(whybox.ExplainError, match=r"instances \[0\]"):
        do("explain_many", "models/churn", np.zeros((3, 4)), "lime")


def test_a_file_is_asked_for_sent_once_and_remembered(do: Do, recorder: Recorder) -> None:
    """GetModel, CreateModel, Explain; the second time Explain alone. The server gets the very bytes."""
    do("explain", FILE, X, "lime")
    do("explain", FILE, X, "lime")
    assert recorder.names == ["GetModel", "CreateModel", "Explain", "Explain"]
    header, content = recorder.calls[1][1]
    assert content == FILE
    assert header.size_bytes == len(FILE)
    assert recorder.chunks == [CHUNK_BYTES, CHUNK_BYTES, len(FILE) - 2 * CHUNK_BYTES]


def test_a_file_that_the_server_has_is_not_sent(do: Do, recorder: Recorder) -> None:
    """Another client sent it before."""
    recorder.models.add(whybox_name(FILE))
    do("explain", FILE, X, "lime")
    assert recorder.names == ["GetModel", "Explain"]


def test_a_file_that_the_server_has_forgotten_is_sent_again(do: Do, recorder: Recorder) -> None:
    """Evicted between two calls: UNKNOWN_MODEL, CreateModel, and the same question once more."""
    do("explain", FILE, X, "lime")
    recorder.models.clear()
    recorder.calls.clear()
    do("plan", FILE, X, "lime")
    assert recorder.names == ["PlanExplain", "CreateModel", "PlanExplain"]


def test_a_server_that_never_keeps_a_model_is_not_asked_for_ever(do: Do, recorder: Recorder) -> None:
    """One more upload, then the error is the caller's."""

    def forget(_: Any, context: grpc.ServicerContext) -> None:
        abort(context, code_pb2.NOT_FOUND, "UNKNOWN_MODEL", "gone")

    recorder.answers["Explain"] = forget
    with pytest.raises(whybox.ExplainError, match="gone"):
        do("explain", FILE, X, "lime")
    assert recorder.names == ["GetModel", "CreateModel", "Explain", "CreateModel", "Explain"]


def test_an_unknown_name_is_an_error_and_nothing_is_sent(do: Do, recorder: Recorder) -> None:
    """A name of the server has no bytes to send."""
    with pytest.raises(whybox.ExplainError) as unknown:
        do("explain", "models/sha256-00", X, "lime")
    assert (unknown.value.code, unknown.value.reason) == ("NOT_FOUND", "UNKNOWN_MODEL")
    assert recorder.names == ["Explain"]


def test_what_is_wrong_here_is_never_sent(do: Do, recorder: Recorder) -> None:
    """A misspelt parameter costs no call."""
    with pytest.raises(whybox.ExplainError) as wrong:
        do("explain", "models/churn", X, "lime", num_sample=3)
    assert not wrong.value.remote
    assert recorder.names == []


def test_plan_methods_and_models_are_read_whole(do: Do, recorder: Recorder) -> None:
    """Every page of the models; parameters of the methods; notes of the plan."""
    plan = do("plan", "models/churn", X, "occlusion", window=2)
    assert (plan.rows, plan.exact, plan.seconds) == ((examples.ROWS,), True, 0.25)
    assert plan.notes == ("the Softmax is cut off",)
    [method] = do("methods")
    assert method.modalities == ("tabular", "time_series")
    assert method.parameters[1].choices == ("quartile", "decile")
    assert [model.name for model in do("models")] == ["models/churn", "models/broken"]
    assert [call[1].page_token for call in recorder.calls if call[0] == "ListModels"] == ["", "2"]


def test_methods_for_a_file_send_it_first(do: Do, recorder: Recorder) -> None:
    """Whether a method fits can only be said of a model that is there."""
    do("methods", FILE)
    assert recorder.names == ["GetModel", "CreateModel", "ListMethods"]
    assert recorder.calls[2][1].model == whybox_name(FILE)


def test_all_calls_of_an_operation_share_a_request_id(do: Do, recorder: Recorder) -> None:
    """And the next operation has another."""
    do("explain", FILE, X, "lime")
    do("explain", FILE, X, "lime")
    ids = [metadata[REQUEST_ID] for _, _, metadata in recorder.calls]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


def test_the_timeout_is_the_deadline_of_the_call(do: Do, recorder: Recorder) -> None:
    """The server sees it, and when it passes the error says what to change."""
    left: list[float] = []
    stop = threading.Event()

    def sleep(_: Any, context: grpc.ServicerContext) -> None:
        left.append(context.time_remaining())
        stop.wait(WAIT_S)

    recorder.answers["Explain"] = sleep
    with pytest.raises(whybox.ExplainError, match="raise `timeout`") as late:
        do("explain", "models/churn", X, "lime", timeout=0.2)
    stop.set()
    assert late.value.code == "DEADLINE_EXCEEDED"
    assert left[0] <= 0.21  # gRPC rounds a deadline up between two clocks


def test_a_refusal_arrives_with_everything_the_server_said(do: Do, recorder: Recorder) -> None:
    """Code, reason, metadata, violations, when to come again."""

    def refuse(_: Any, context: grpc.ServicerContext) -> None:
        wrong = [("lime.num_samples", "must be in [2, 1000000], got 1")]
        abort(context, code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", "too much work", {"limit": "64"}, wrong, 3)

    recorder.answers["Explain"] = refuse
    with pytest.raises(whybox.ExplainError) as refused:
        do("explain", "models/churn", X, "lime")
    error = refused.value
    assert (error.code, error.reason, error.details) == ("RESOURCE_EXHAUSTED", "OVERLOADED", {"limit": "64"})
    assert error.violations[0].field == "lime.num_samples"
    assert error.retry_after_s == 3.0
    assert str(error).splitlines() == [
        "too much work",
        "  lime.num_samples: must be in [2, 1000000], got 1",
        "  try again in 3 s",
    ]
    assert recorder.names == ["Explain"], "only UNAVAILABLE is tried again"


def test_a_server_that_is_away_for_a_moment_is_asked_again(do: Do, recorder: Recorder) -> None:
    """UNAVAILABLE twice, then an answer: the caller hears nothing of it."""

    def draining(_: Any, context: grpc.ServicerContext) -> None:
        if len(recorder.calls) < 3:
            abort(context, code_pb2.UNAVAILABLE, "SERVER_DRAINING", "about to stop")

    recorder.answers["Explain"] = draining
    assert do("explain", "models/churn", X, "lime").complete
    assert recorder.names == ["Explain"] * 3


def test_an_answer_larger_than_grpcs_own_limit_arrives(do: Do, recorder: Recorder) -> None:
    """gRPC refuses answers above 4 MiB unless told otherwise."""
    large = examples.attribution()
    large.warnings.append("x" * (8 << 20))
    recorder.answers["Explain"] = lambda *_: explain_pb2.ExplainResponse(explanations=[large])
    assert len(do("explain", "models/churn", X, "lime").warnings[1]) == 8 << 20


def test_leaving_a_stream_cancels_it_at_the_server(do: Do, recorder: Recorder) -> None:
    """Whatever interrupts the caller ends the work: grpc.aio alone would go on (grpc#43462)."""

    def endless(_: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(recorder.ended.set)
        yield examples.stream(1)[0]
        recorder.ended.wait(WAIT_S)

    def interrupt(*_: int) -> None:
        raise Interruption

    recorder.answers["ExplainStream"] = endless
    with pytest.raises(Interruption):
        do("explain", "models/churn", X, "lime", on_progress=interrupt)
    assert recorder.ended.wait(WAIT_S)


class Interruption(BaseException):
    """As KeyboardInterrupt, but not one that the test runner takes for its own."""


async def test_cancelling_the_task_cancels_the_call(recorder: Recorder, target: str) -> None:
    """The server is told, and the task ends as cancelled."""
    begun = threading.Event()

    def wait(_: Any, context: grpc.ServicerContext) -> None:
        context.add_callback(recorder.ended.set)
        begun.set()
        recorder.ended.wait(WAIT_S)

    recorder.answers["Explain"] = wait
    async with whybox.aio.Client(target) as client:
        task = asyncio.create_task(client.explain("models/churn", X, "lime"))
        assert await asyncio.to_thread(begun.wait, WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(recorder.ended.wait, WAIT_S)


def test_nobody_at_the_address_is_said_with_a_remedy(recorder: Recorder) -> None:
    """The address, and how to start a server."""
    with serving(recorder) as gone:
        pass
    with whybox.Client(gone) as client, pytest.raises(whybox.ExplainError, match="whybox serve") as away:
        client.methods(timeout=5)
    assert away.value.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert gone in str(away.value)


def test_metadata_and_request_id_of_the_caller_are_sent(recorder: Recorder, target: str) -> None:
    """A request id that the caller brings is kept."""
    with whybox.Client(target, metadata=[("authorization", "Bearer x"), (REQUEST_ID, "mine")]) as client:
        client.methods()
    metadata = recorder.calls[0][2]
    assert (metadata["authorization"], metadata[REQUEST_ID]) == ("Bearer x", "mine")


def test_a_server_with_tls_is_believed_through_its_authority(recorder: Recorder, tmp_path: Path) -> None:
    """With the authority's file the call works; a client of another authority hears why it does not."""
    ours, other = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("127.0.0.1")
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    ours.cert_pem.write_to_path(tmp_path / "ours.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    with serving(recorder, grpc.ssl_server_credentials([pair])) as address:
        with whybox.Client(address, tls_ca=tmp_path / "ours.pem") as client:
            assert client.methods()[0].name == "lime"
        stranger = whybox.Client(address, tls_ca=tmp_path / "other.pem")
        with stranger, pytest.raises(whybox.ExplainError) as refused:
            stranger.methods(timeout=5)
    assert refused.value.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def test_the_twins_have_the_same_methods_and_arguments() -> None:
    """Only the calls differ."""
    for name, function in inspect.getmembers(whybox.Client, inspect.isfunction):
        if not name.startswith("_"):
            twin = getattr(whybox.aio.Client, name)
            assert inspect.signature(function).parameters == inspect.signature(twin).parameters, name


def whybox_name(content: bytes) -> str:
    from whybox.wire import model_ref

    return model_ref(content).name
