"""What both clients ask again by themselves, and what they never do: against a server that fails as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import code_pb2
from tests.wire.recorder import Recorder, abort, serving

import whybox

X = np.zeros(4, np.float32)
PICTURE = np.zeros((3, 224, 224), np.float32)  # 602 KB: more than the 256 KiB that gRPC keeps for a second time
NEVER = (("grpc-retry-pushback-ms", "-1"),)
TRIES = 5

Do = Callable[..., Any]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(params=["sync", "aio"])
def do(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Do]:
    """Call `explain` of one of the clients."""
    with serving(recorder) as target:
        if request.param == "sync":
            with whybox.Client(target) as client:
                yield lambda x: client.explain("models/churn", x, "lime")
            return
        with asyncio.Runner() as runner:

            async def make() -> whybox.aio.Client:
                return whybox.aio.Client(target)

            twin = runner.run(make())
            yield lambda x: runner.run(twin.explain("models/churn", x, "lime"))
            runner.run(twin.close())


def fails(recorder: Recorder, code: int, times: int, trailing: tuple[tuple[str, str], ...] = ()) -> None:
    """The first so many calls end like this."""

    def answer(_: Any, context: grpc.ServicerContext) -> None:
        if len(recorder.calls) <= times and trailing:
            context.set_trailing_metadata(trailing)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the endpoint was asked, and paid for")
        if len(recorder.calls) <= times:
            abort(context, code, "", "the door was closing")

    recorder.answers["Explain"] = answer


@pytest.mark.parametrize("x", [X, PICTURE], ids=["small", "picture"])
@pytest.mark.parametrize("code", [code_pb2.UNAVAILABLE, code_pb2.CANCELLED])
def test_a_call_that_met_a_closing_door_is_asked_again(do: Do, recorder: Recorder, code: int, x: np.ndarray) -> None:
    """gRPC's core ends calls that reach a server about to stop as CANCELLED; pictures go a second time, too."""
    fails(recorder, code, times=2)
    assert do(x).complete
    assert recorder.names == ["Explain"] * 3
    first, *others = (request.SerializeToString() for _, request, _ in recorder.calls)
    assert others == [first, first]


def test_somebody_who_stays_away_is_given_up(do: Do, recorder: Recorder) -> None:
    fails(recorder, code_pb2.UNAVAILABLE, times=1000)
    with pytest.raises(whybox.ExplainError, match="closing"):
        do(X)
    assert len(recorder.calls) == TRIES


def test_what_was_paid_for_is_not_asked_again(do: Do, recorder: Recorder) -> None:
    """The server says so with pushback below zero."""
    fails(recorder, code_pb2.UNAVAILABLE, times=1000, trailing=NEVER)
    with pytest.raises(whybox.ExplainError, match="paid"):
        do(X)
    assert recorder.names == ["Explain"]


@pytest.mark.parametrize("code", [code_pb2.INTERNAL, code_pb2.DEADLINE_EXCEEDED, code_pb2.RESOURCE_EXHAUSTED])
def test_other_failures_are_the_callers_to_judge(do: Do, recorder: Recorder, code: int) -> None:
    fails(recorder, code, times=1)
    with pytest.raises(whybox.ExplainError):
        do(X)
    assert recorder.names == ["Explain"]
