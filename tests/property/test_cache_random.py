"""Any interleaving of queries, cancellations and failures, with rows that overlap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cache_door import LANE, Inline, OwnFailure, StandIn, is_right, query_of
from tests.redis import RedisServer, redis_server

from whybox_server.serving.cache import Cache, RedisOptions, RedisStore, desk
from whybox_server.serving.lane import Flow

PATIENCE_S = 10.0  # a hang fails here; nothing else takes any time
QUERIES = st.lists(st.lists(st.integers(0, 14), min_size=1, max_size=20), min_size=1, max_size=3)


@dataclass(frozen=True)
class Plan:
    """One explanation: its queries, when it starts, when it is cancelled, how often its rows fail."""

    queries: list[list[int]]
    start_ticks: int
    cancel_ticks: int | None
    failures: float
    flow: Flow = field(default_factory=lambda: Flow("planned"))


PLANS = st.lists(
    st.builds(
        Plan,
        QUERIES,
        st.integers(0, 20),
        st.none() | st.integers(0, 60),
        st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture(autouse=True, scope="module")
def tiny_blocks() -> Iterator[None]:
    """Blocks of one to four rows, so that a dozen rows are a long query."""
    with pytest.MonkeyPatch.context() as patch:
        for name, rows in (("FIRST_ROWS", 2), ("LEAST_ROWS", 1), ("BLOCK_ROWS", 4), ("BLOCKS_AT_ONCE", 3)):
            patch.setattr(desk, name, rows)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def _explain(cache: Cache, plan: Plan) -> None:
    """Every reply is the oracle's, and every failure the explanation's own."""
    for _ in range(plan.start_ticks):
        await asyncio.sleep(0)
    usage, asked, unique = plan.flow.usage, 0, 0
    place = cache.open(LANE, plan.flow)
    for numbers in plan.queries:
        query = query_of(numbers)
        try:
            reply = await place.predict(query)
        except OwnFailure as failure:
            assert failure.details["flow"] == plan.flow.id
            assert plan.failures > 0
            break
        assert is_right(query, reply)
        asked, unique = asked + len(numbers), unique + len(set(numbers))
        assert usage.rows_answered == asked
        assert usage.rows_cached + usage.rows_sent == unique
    place.close()


async def _run(cache: Cache, plans: list[Plan]) -> None:
    """All explanations at once, some of them cancelled on the way."""
    tasks = [asyncio.ensure_future(_explain(cache, plan)) for plan in plans]

    async def cancel(task: asyncio.Task[None], ticks: int | None) -> None:
        if ticks is not None:
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(
            *(cancel(task, plan.cancel_ticks) for task, plan in zip(tasks, plans, strict=True)),
        )
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result, plan in zip(results, plans, strict=True):
        cancelled = isinstance(result, asyncio.CancelledError) and plan.cancel_ticks is not None
        if result is not None and not cancelled:
            raise result
    assert cache.rows_in_flight == 0


def _below(seed: int, plans: list[Plan]) -> StandIn:
    rng = Random(seed)
    for number, plan in enumerate(plans):
        plan.flow.id = str(number)
    failures = {plan.flow.id: plan.failures for plan in plans}
    return StandIn(lambda: rng.randrange(6), lambda flow: rng.random() < failures[flow.id])


@given(PLANS, st.integers(0, 2**32), st.sampled_from([0, 9000, 1 << 20]))
def test_every_interleaving_gives_right_answers_and_leaves_nothing_behind(
    plans: list[Plan],
    seed: int,
    lru_bytes: int,
) -> None:
    """Oracle: a known function of every row. The LRU holds nothing, a few rows, or everything."""

    async def scenario() -> None:
        below = _below(seed, plans)
        cache = Cache(below, lru_bytes, pool=Inline())
        await _run(cache, plans)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert cache.stats().lru_bytes <= lru_bytes
        if lru_bytes == 1 << 20 and all(p.cancel_ticks is None and p.failures == 0 for p in plans):
            assert below.rows == len({n for plan in plans for numbers in plan.queries for n in numbers})

    asyncio.run(scenario())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=PLANS, seed=st.integers(0, 2**32), keep=st.booleans())
def test_every_interleaving_over_a_real_redis_gives_right_answers(
    server: RedisServer,
    plans: list[Plan],
    seed: int,
    *,
    keep: bool,
) -> None:
    """As above, with Redis as it is left by the example before and an LRU that may hold nothing."""

    async def scenario() -> None:
        store = RedisStore(RedisOptions(server.url))
        cache = Cache(_below(seed, plans), (1 << 20) * keep, store, b"secret", Inline())
        await cache.start()
        await _run(cache, plans)
        await cache.close()
        assert cache.stats().queued_bytes == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
