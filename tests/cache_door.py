"""What stands below the cache in its tests: doors that compute a known function of every row.

The function is the oracle: scores (x0 + 10 x1, x0 - x1), gradient (x1, 2 x0).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelFailed
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Rows, Samples
from whybox_server.serving.cache import Cache
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience


def query_of(numbers: list[int]) -> Query:
    """One row, (2,), per number."""
    return Query(Samples({"x": np.array([[n, 7 * n % 5] for n in numbers], np.float32)}))


def built(rows: Rows) -> Array:
    """The rows themselves, (n, 2)."""
    out = np.empty((len(rows), 2), np.float32)
    rows.write(np.arange(len(rows)), {"x": out})
    return out


def oracle(rows: Rows) -> Answers:
    """Scores, (n, 2) float32, and gradient, (n, 2) float64."""
    x = built(rows)
    return (
        np.stack([x[:, 0] + 10 * x[:, 1], x[:, 0] - x[:, 1]], axis=1),
        np.stack([x[:, 1], 2 * x[:, 0]], axis=1).astype(np.float64),
    )


def is_right(query: Query, reply: Reply) -> bool:
    """Whether a reply is bit for bit what the oracle says."""
    scores, gradient = oracle(query.rows)
    found = reply.gradient
    same = reply.scores.dtype == scores.dtype and np.array_equal(reply.scores, scores)
    return bool(
        same and found is not None and found.dtype == gradient.dtype and np.array_equal(found, gradient),
    )


class OwnFailure(ModelFailed):
    """A failure of one flow's rows; no other flow may ever see it."""

    def __init__(self, flow: Flow) -> None:
        super().__init__("planned", flow=flow.id)


class StandIn:
    """Opens doors that take a while and may fail.

    ticks: how many turns of the event loop a submission takes. fails: whether it fails after that.
    """

    def __init__(
        self,
        ticks: Callable[[], int] = lambda: 1,
        fails: Callable[[Flow], bool] = lambda _: False,
    ) -> None:
        self.ticks = ticks
        self.fails = fails
        self.rows = 0  # over all doors, rows that were answered
        self.largest = 0  # rows of the largest submission

    def open(self, lane: Lane, flow: Flow) -> StandInDoor:
        return StandInDoor(self, flow)


class StandInDoor:
    """One flow's door."""

    def __init__(self, below: StandIn, flow: Flow) -> None:
        self._below = below
        self._flow = flow
        self.closed = False

    async def submit(self, rows: Rows) -> Answers:
        assert len(rows)  # as at the batcher's door
        below = self._below
        below.largest = max(below.largest, len(rows))
        for _ in range(below.ticks()):
            await asyncio.sleep(0)
        if below.fails(self._flow):
            raise OwnFailure(self._flow)
        below.rows += len(rows)
        self._flow.usage.rows_sent += len(rows)
        return oracle(rows)

    def close(self) -> None:
        self.closed = True


class Inline(Executor):
    """Runs at once, in the calling thread: a schedule that hypothesis can repeat."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class NoRunner:
    """No lane of these tests runs a model."""

    replicas = 1

    def run(self, slices: object, pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        raise AssertionError("the cache runs no model")


ANSWERS = ("scores", "gradient")
LANE = Lane(b"L" * 32, NoRunner(), max_rows=512, answers=ANSWERS)


async def ask(cache: Cache, numbers: list[int], lane: Lane = LANE, *, enabled: bool = True) -> Flow:
    """One explanation with one query; checks the reply and returns what it used."""
    flow = Flow("one")
    desk = cache.open(lane, flow, enabled=enabled)
    query = query_of(numbers)
    reply = await desk.predict(query)
    desk.close()
    assert is_right(query, reply)
    assert flow.usage.rows_answered == len(numbers)
    return flow
