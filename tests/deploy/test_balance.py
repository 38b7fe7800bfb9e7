"""What the README says of load balancing: a client's calls spread over all addresses of a name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from tests.deploy.manifests import DEPLOY

import whybox
from whybox.channel import channel_options
from whybox.v1 import explain_pb2, explain_pb2_grpc

ONE = ("grpc.lb_policy_name", "pick_first")
CALLS = 20


class Counting(explain_pb2_grpc.ExplanationServiceServicer):
    def __init__(self) -> None:
        self.calls = 0

    def ListMethods(
        self, request: explain_pb2.ListMethodsRequest, context: object
    ) -> explain_pb2.ListMethodsResponse:
        self.calls += 1
        return explain_pb2.ListMethodsResponse()


@pytest.fixture
def pods():
    """Two servers, as two addresses behind one name: (target, what each has been asked)."""
    with ExitStack() as stack:
        servicers, addresses = [Counting(), Counting()], []
        for servicer in servicers:
            server = grpc.server(stack.enter_context(ThreadPoolExecutor(2)))
            explain_pb2_grpc.add_ExplanationServiceServicer_to_server(servicer, server)
            addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            server.start()
            stack.callback(lambda server=server: server.stop(0).wait())
        yield "ipv4:" + ",".join(addresses), servicers


def test_calls_are_spread_and_retried(pods) -> None:
    """round_robin: once both are connected each gets every other call, whatever else options say."""
    target, servicers = pods
    with whybox.Client(target) as client:
        for _ in range(CALLS):
            client.methods()
    assert min(servicer.calls for servicer in servicers) >= CALLS // 4
    options = dict(channel_options([]))
    assert "retryPolicy" in options["grpc.service_config"]
    assert f"(`{options['grpc.lb_policy_name']}`)" in (DEPLOY / "README.md").read_text()


def test_a_caller_can_stay_with_one(pods) -> None:
    """pick_first, gRPC's own default: a caller's option goes before the client's."""
    target, servicers = pods
    with whybox.Client(target, options=[ONE]) as client:
        for _ in range(CALLS):
            client.methods()
    assert sorted(servicer.calls for servicer in servicers) == [0, CALLS]
