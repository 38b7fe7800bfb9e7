"""Sender and runner over gRPC, against a server that refuses as servers do: by code, pushback and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from tests.remote.scripted import DESCRIBED, DTYPES, SHAPES, endpoint_of, model, way_to

from whybox_server.core.errors import EndpointRefused
from whybox_server.core.rows import Array, Samples
from whybox_server.serving.lane import Slice
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.exchange import Described, Exchange, GrpcCall
from whybox_server.serving.remote.manners import Manners, manners
from whybox_server.serving.remote.runner import Asked, RemoteRunner, Room
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.trial import Trial

METHOD = "/test.Model/Ask"
ROW_BYTES = 16
CROWDED, FULL = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
Refusal = tuple[grpc.StatusCode, tuple[tuple[str, str | bytes], ...]]


@dataclass
class Raw(grpc.GenericRpcHandler):
    """Answers raw float64 rows with raw scores. refusals: of the first calls. waits_s: naps of the sender."""

    refusals: list[Refusal] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    naps_s: list[float] = field(default_factory=list)
    now: float = 0.0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        x = np.frombuffer(body, np.float64).reshape(-1, 2)
        self.calls.append(len(x))
        if len(self.calls) <= len(self.refusals):
            code, trailing = self.refusals[len(self.calls) - 1]
            context.set_trailing_metadata(trailing)
            context.abort(code, "as the script says")
        return model(x).tobytes()

    def sleep(self, seconds: float) -> None:
        self.naps_s.append(seconds)
        self.now += seconds


class Bytes:
    """The protocol of such a server."""

    def describe(self, endpoint: Endpoint) -> Exchange[Described]:
        yield from ()
        return DESCRIBED

    def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
        answer = yield GrpcCall(METHOD, rows["x"].tobytes(), asks=True)
        return np.frombuffer(answer.body).reshape(-1, 2)

    def bytes_per_row(self, described: Described, rows: Mapping[str, Array]) -> int:
        return ROW_BYTES


@contextmanager
def asking(raw: Raw, most_bytes: int = 4 << 20) -> Iterator[tuple[Callable[[int], Array], Manners]]:
    """Asks for so many rows."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", most_bytes)])
    server.add_generic_rpc_handlers((raw,))
    endpoint = endpoint_of(f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", Limits(concurrency=8))
    server.start()
    ours = manners(endpoint, clock=lambda: raw.now, sleep=raw.sleep)
    ours.known = True
    asked = Asked(endpoint, Bytes(), DESCRIBED, SHAPES, DTYPES, 2)
    with closing(way_to(endpoint)) as way:
        runner = RemoteRunner(asked, Sender(way, ours, 5.0, Trial(passed=True)), Room.of(endpoint.limits))

        def ask(rows: int) -> Array:
            x = np.arange(2.0 * rows).reshape(rows, 2)
            (scores,) = runner.run([Slice(Samples({"x": x}), np.arange(rows))], None)
            np.testing.assert_array_equal(scores, model(x))
            return scores

        yield ask, ours
    server.stop(None).wait()


def info(seconds: int) -> bytes:
    """A grpc-status-details-bin with RetryInfo."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds)))
    return status_pb2.Status(code=8, message="as the script says", details=[packed]).SerializeToString()


@pytest.mark.parametrize(
    ("trailing", "least_s"),
    [((), 0.0), ((("grpc-retry-pushback-ms", "3000"),), 3.0), ((("grpc-status-details-bin", info(4)),), 4.0)],
    ids=["backoff", "pushback", "RetryInfo"],
)
def test_what_is_exhausted_is_asked_again_when_the_server_says(trailing: tuple[tuple[str, str | bytes], ...], least_s: float):
    raw = Raw([(FULL, trailing)])
    with asking(raw) as (ask, ours):
        ask(5)
    assert raw.calls == [5, 5]
    assert least_s <= sum(raw.naps_s) <= least_s + 0.1 + 1e-9
    assert ours.slots.limit == 4


def test_a_server_that_pushes_back_for_good_is_left_alone():
    raw = Raw([(CROWDED, (("grpc-retry-pushback-ms", "-1"),))])
    with asking(raw) as (ask, _), pytest.raises(EndpointRefused, match="503: as the script says"):
        ask(5)
    assert raw.calls == [5]


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
def test_what_is_wrong_stays_wrong(code: grpc.StatusCode):
    raw = Raw([(code, ())])
    with asking(raw) as (ask, _), pytest.raises(EndpointRefused):
        ask(5)
    assert raw.calls == [5]


def test_messages_that_are_too_large_are_halved_and_it_is_remembered():
    """The server takes 300 bytes, 18 rows: of 64, 32 and 16 the last fits."""
    raw = Raw()
    with asking(raw, most_bytes=300) as (ask, ours):
        ask(64)
        assert raw.calls == [16] * 4
        ask(32)
        assert raw.calls == [16] * 6
        assert ours.tally.refused == 2
