"""A desk without Redis: what it asks, what it remembers, and what it tells of its progress."""

from __future__ import annotations

import asyncio
import itertools
import struct
from dataclasses import replace

import numpy as np
import pytest
from tests.cache_door import LANE, Inline, OwnFailure, StandIn, ask, is_right, query_of

from whybox_server.core.errors import ModelFailed
from whybox_server.core.query import Query
from whybox_server.core.rows import Array, Rows, Samples
from whybox_server.serving.cache import Cache, desk
from whybox_server.serving.cache.codec import Ragged
from whybox_server.serving.lane import Answers, Flow, Lane

SCORES = replace(LANE, answers=("scores",))


async def test_equal_rows_of_one_query_are_asked_once() -> None:
    """Five rows, three different ones; progress counts all five, and none counts as cached."""
    below = StandIn()
    flow = await ask(Cache(below), [4, 2, 4, 9, 2])
    assert below.rows == 3
    assert flow.usage.rows_cached == 0


async def test_the_same_question_again_asks_the_model_nothing() -> None:
    """The second explanation finds all its rows in the LRU."""
    below = StandIn()
    cache = Cache(below)
    await ask(cache, [1, 2, 3])
    flow = await ask(cache, [3, 1, 3])
    assert (below.rows, flow.usage.rows_sent, flow.usage.rows_cached) == (3, 0, 2)
    stats = cache.stats()
    assert (stats.hits_lru, stats.misses, stats.lru_rows, stats.redis_up) == (2, 3, 3, None)


async def test_lanes_share_nothing() -> None:
    """The same row in another lane is another question."""
    below = StandIn()
    cache = Cache(below)
    await ask(cache, [1])
    await ask(cache, [1], replace(LANE, fingerprint=b"M" * 32))
    assert below.rows == 2


async def test_an_explanation_that_wants_no_cache_neither_reads_nor_writes_it() -> None:
    """Two such explanations and one other ask all three times; repeated rows are still asked once."""
    below = StandIn()
    cache = Cache(below)
    for enabled in (False, True, False):
        flow = await ask(cache, [1, 2, 2], enabled=enabled)
        assert (flow.usage.rows_sent, flow.usage.rows_cached) == (2, 0)
    assert cache.stats().misses == 2


async def test_a_long_query_streams_in_blocks_and_its_progress_grows() -> None:
    """3000 rows; the door watches the progress of its own explanation from below."""
    seen: list[int] = []
    below = StandIn(fails=lambda flow: seen.append(flow.usage.rows_answered) or False)
    await ask(Cache(below), list(range(3000)))
    assert below.rows == 3000
    assert below.largest == desk.BLOCK_ROWS
    assert len(seen) > 3000 // desk.BLOCK_ROWS
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 3000


async def test_a_long_query_that_is_all_known_lets_others_have_their_turns() -> None:
    """One turn of the event loop per block at least, although nothing has to be waited for."""
    cache = Cache(StandIn(), pool=Inline())
    await ask(cache, list(range(3000)))
    turns = 0
    task = asyncio.ensure_future(ask(cache, list(range(3000))))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert (await task).usage.rows_sent == 0
    assert turns > 3000 / desk.BLOCK_ROWS / desk.BLOCKS_AT_ONCE + 6  # six to start, hash and end


async def test_large_answers_are_asked_in_small_blocks() -> None:
    """72 kB a row, 4 x 64 + 11 x 32 rows: a block is bounded in bytes, but never starves the model."""
    sizes: list[int] = []

    class Large:
        async def submit(self, rows: Rows) -> Answers:
            sizes.append(len(rows))
            return (np.zeros((len(rows), 9000)),)

        def close(self) -> None: ...

    class Below:
        def open(self, lane: Lane, flow: Flow) -> Large:
            return Large()

    await Cache(Below()).open(SCORES, Flow("large")).predict(query_of(list(range(608))))
    assert max(sizes) == desk.FIRST_ROWS
    assert min(sizes) == desk.LEAST_ROWS


async def test_two_explanations_at_once_share_what_both_ask() -> None:
    """Rows 0 to 9 and 5 to 14: fifteen rows are computed, five are joined in flight."""
    below = StandIn(ticks=lambda: 20)
    cache = Cache(below, pool=Inline())
    flows = await asyncio.gather(ask(cache, list(range(10))), ask(cache, list(range(5, 15))))
    assert below.rows == 15
    assert sum(flow.usage.rows_cached for flow in flows) == cache.stats().hits_flight == 5
    assert cache.rows_in_flight == 0


async def _leader_and_follower(cache: Cache) -> tuple[asyncio.Task[Flow], asyncio.Task[Flow]]:
    """Two explanations of one row; the second waits for the first."""
    leader = asyncio.ensure_future(ask(cache, [1]))
    while not cache.rows_in_flight:
        await asyncio.sleep(0)
    follower = asyncio.ensure_future(ask(cache, [1]))
    for _ in range(5):
        await asyncio.sleep(0)
    return leader, follower


async def test_who_waits_for_a_cancelled_leader_asks_for_itself() -> None:
    """Only the follower's row is computed."""
    below = StandIn(ticks=lambda: 1_000_000)
    cache = Cache(below, pool=Inline())
    leader, follower = await _leader_and_follower(cache)
    below.ticks = lambda: 1
    leader.cancel()
    flow = await follower
    assert leader.cancelled()
    assert (below.rows, flow.usage.rows_sent, flow.usage.rows_cached) == (1, 1, 0)


async def test_a_leaders_failure_is_its_own() -> None:
    """The first submission fails, the second does not."""
    verdicts = [True, False]
    below = StandIn(ticks=lambda: 20, fails=lambda _: verdicts.pop(0))
    cache = Cache(below, pool=Inline())
    leader, follower = await _leader_and_follower(cache)
    flow = await follower
    with pytest.raises(OwnFailure):
        await leader
    assert flow.usage.rows_sent == 1
    assert cache.rows_in_flight == 0


async def test_the_first_failure_of_a_long_query_reaches_the_caller_as_it_is() -> None:
    """Not wrapped in a group; the other blocks end, nothing stays in flight, nothing failed is kept."""
    below = StandIn(fails=lambda _: True)
    cache = Cache(below)
    with pytest.raises(OwnFailure):
        await cache.open(LANE, Flow("f")).predict(query_of(list(range(1000))))
    assert cache.rows_in_flight == cache.stats().lru_rows == 0


async def test_answers_known_in_another_shape_are_asked_again() -> None:
    """The LRU is given a record of one int8 for row 1; the model's word counts, now and next time."""
    below = StandIn()
    cache = Cache(below)
    await ask(cache, [1, 2])
    (first, _) = cache._layers.lru._records  # noqa: SLF001  # no public way leads to a wrong record
    cache._layers.lru.put_many([first], [struct.pack("<BBHcBBb", 1, 0, 7, b"i", 1, 0, 5)])  # noqa: SLF001
    assert (await ask(cache, [1, 2])).usage.rows_sent == 2
    assert cache.stats().errors["layout"] == 1
    assert (await ask(cache, [1, 2])).usage.rows_sent == 0


async def test_a_model_whose_answers_change_shape_is_refused() -> None:
    """Every answer is wider than the one before."""

    class Fickle:
        async def submit(self, rows: Rows) -> Answers:
            return (np.zeros((len(rows), next(widths))),)

        def close(self) -> None: ...

    class Below:
        def open(self, lane: Lane, flow: Flow) -> Fickle:
            return Fickle()

    widths = itertools.count()
    for enabled in (True, False):
        with pytest.raises(Ragged):
            await Cache(Below()).open(LANE, Flow("f"), enabled=enabled).predict(query_of(list(range(2000))))


async def test_a_reply_is_the_callers_to_change() -> None:
    """Overwriting one reply changes neither the LRU nor the next reply."""
    cache = Cache(StandIn())
    query = query_of([1, 2])
    for _ in range(3):
        reply = await cache.open(LANE, Flow("f")).predict(query)
        assert is_right(query, reply)
        scores: Array = reply.scores
        scores[:] = -1


async def test_closing_a_desk_closes_its_door() -> None:
    """The door below hears of it."""
    doors = []

    class Below(StandIn):
        def open(self, lane: Lane, flow: Flow):  # noqa: ANN202  # whatever the stand-in opens
            doors.append(super().open(lane, flow))
            return doors[-1]

    Cache(Below()).open(LANE, Flow("f")).close()
    assert doors[0].closed


async def test_a_row_that_fails_is_named_by_its_place_in_the_query() -> None:
    """Rows 0 and 1 are known and 2 repeats 0, so the door sees the failing row as its row 0; in the query it is row 3."""

    class Fails:
        async def submit(self, rows: Rows) -> Answers:
            if len(rows) == 1:
                raise ModelFailed("out of range", [0])
            return (np.zeros((len(rows), 1), np.float32),)

        def close(self) -> None:
            return

    class Below:
        def open(self, lane: Lane, flow: Flow) -> Fails:
            return Fails()

    asking = Cache(Below()).open(SCORES, Flow("f"))
    await asking.predict(Query(Samples({"x": np.array([[1.0], [2.0]])})))
    with pytest.raises(ModelFailed) as failed:
        await asking.predict(Query(Samples({"x": np.array([[1.0], [2.0], [1.0], [9.0]])})))
    assert failed.value.details["rows"] == "3"
    assert "row 3" in str(failed.value)
