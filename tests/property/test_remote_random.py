"""Endpoints that fail at random: no call over the budget, no wrong answer, and no failure without a reason.

The server counts what reached it, so that the promise is checked where it is kept or broken. Waits are
on a clock of the test's own; calls are real ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from random import Random

import numpy as np
import pytest
from tests.remote.scripted import (
    ANSWERS,
    DESCRIBED,
    DTYPES,
    SHAPES,
    Does,
    Plain,
    Script,
    Scripted,
    endpoint_of,
    model,
    scripted,
    way_to,
)

from whybox_server.core.errors import (
    EndpointBudgetSpent,
    EndpointRefused,
    EndpointUnreachable,
    ModelOutputInvalid,
    WhyboxError,
)
from whybox_server.core.query import Query
from whybox_server.core.rows import Array, Samples
from whybox_server.serving.batch import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.lane import Flow, Lane, Patience, Slice
from whybox_server.serving.remote.endpoint import Limits
from whybox_server.serving.remote.manners import Manners, manners
from whybox_server.serving.remote.retry import FLOOR_BURST, SHARE
from whybox_server.serving.remote.runner import Asked, RemoteRunner, Room
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.trial import Trial

FAULTS = (
    Does(reset=True),
    Does(cut=True),
    Does(garbage=True),
    Does(short=1),
    Does(429),
    Does(429, {"retry-after": "2"}),
    Does(500),
    Does(503),
    Does(502),
    Does(413),
    Does(400),
)
PASSING = tuple(fault for fault in FAULTS if fault.status not in (400, 413))
EXPECTED = (EndpointBudgetSpent, EndpointRefused, EndpointUnreachable, ModelOutputInvalid)
RUNS = 1000
THREADS = 4


class Time:
    """A clock that sleepers move on; several threads may sleep."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def clock(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


def faulty(rng: Random, rate: float, faults: tuple[Does, ...]) -> Script:
    return lambda number, rows: rng.choice(faults) if rng.random() < rate else ANSWERS


@contextmanager
def runner_at(
    server: Scripted, limits: Limits, rng: Random, *, proven: bool = True
) -> Iterator[tuple[RemoteRunner, Manners, Time]]:
    """proven: it has answered rows before."""
    endpoint, time = endpoint_of(server.url, limits), Time()
    ours = manners(endpoint, clock=time.clock, sleep=time.sleep, rng=rng)
    ours.known = True
    asked = Asked(endpoint, Plain(), DESCRIBED, SHAPES, DTYPES, 2)
    with closing(way_to(endpoint)) as way:
        yield RemoteRunner(asked, Sender(way, ours, limits.timeout_s, Trial(passed=proven)), Room.of(limits)), ours, time


def numbered(rows: int, start: int = 0) -> Array:
    return np.arange(start, start + 2 * rows, dtype=np.float64).reshape(rows, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_run_of_a_thousand_makes_a_call_over_its_budget(server: Scripted):
    """Four threads share an allowance while up to 60 % of the calls fail, each in a way of its own.

    Answers that come are right, and what fails says why.
    """
    spent = answered = 0
    for seed in range(RUNS):
        for outcome in run_of_threads(server, seed):
            assert outcome is True or isinstance(outcome, EXPECTED), f"seed {seed}: {outcome!r}"
            answered += outcome is True
            spent += isinstance(outcome, EndpointBudgetSpent)
    # The runs are worth something only if budgets ran out, and if answers came.
    assert spent > RUNS / 10
    assert answered > RUNS / 10


def run_of_threads(server: Scripted, seed: int) -> list[bool | Exception]:
    """For each thread, whether its answers were right, or why there are none."""
    rng = Random(seed)
    limits = Limits(calls_per_day=rng.randint(1, 15), rows_per_call=rng.choice((1, 4, 64)), concurrency=THREADS)
    server.calls.clear()
    server.script = faulty(rng, rng.uniform(0.0, 0.6), FAULTS)
    patience = Patience(until=rng.choice((1.0, 60.0)))
    proven = rng.random() < 0.8
    with runner_at(server, limits, Random(-seed), proven=proven) as (runner, ours, time):

        def ask(thread: int) -> bool | Exception:
            x = numbered(5, 100 * thread)
            try:
                (scores,) = runner.run([Slice(Samples({"x": x}), np.arange(5))], None, patience)
            except WhyboxError as error:
                return error
            return bool((scores == model(x)).all())

        with ThreadPoolExecutor(THREADS) as pool:
            outcomes = list(pool.map(ask, range(THREADS)))
    assert len(server.calls) <= limits.calls_per_day, f"seed {seed}"
    assert ours.tally.retries <= SHARE * ours.tally.calls + FLOOR_BURST + time.clock(), f"seed {seed}"
    return outcomes


@pytest.mark.parametrize("seed", range(4))
async def test_one_call_in_twenty_that_fails_costs_no_explanation_and_no_answer(server: Scripted, seed: int):
    """Three explanations of 600 rows each through cache and batcher: every score is the model's."""
    rng = Random(seed)
    server.calls.clear()
    server.script = faulty(rng, 0.05, PASSING)
    with runner_at(server, Limits(rows_per_call=16, concurrency=8), Random(seed)) as (runner, ours, _):
        lane = Lane(b"r" * 32, runner, 16, remote=True)
        async with Batcher() as batcher:
            cache = Cache(batcher)

            async def explain(start: int) -> Array:
                with closing(cache.open(lane, Flow(str(start)))) as desk:
                    return (await desk.predict(Query(Samples({"x": numbered(600, start)})))).scores

            scores = await asyncio.gather(*map(explain, (0, 10_000, 20_000)))
    for start, each in zip((0, 10_000, 20_000), scores, strict=True):
        np.testing.assert_array_equal(each, model(numbered(600, start)))
    assert ours.tally.retries > 0
