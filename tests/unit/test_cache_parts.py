"""The small parts of the cache: LRU, breaker, flights, names."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import OrderedDict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.rows import Samples
from whybox_server.serving.breaker import Breaker
from whybox_server.serving.cache.inflight import Flights
from whybox_server.serving.cache.keys import Namer, check_of, distinct, redis_key
from whybox_server.serving.cache.lru import ENTRY_OVERHEAD_BYTES, LARGEST_SHARE, Lru


@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 60), st.booleans()), max_size=80),
    st.sampled_from([0, 8, 9]),
)
def test_the_lru_keeps_what_a_slow_one_keeps(steps: list[tuple[int, int, bool]], room: int) -> None:
    """The oracle evicts from an ordered list by adding up all sizes at every step."""
    limit = room * (ENTRY_OVERHEAD_BYTES + 60)
    lru, slow = Lru(limit), OrderedDict[bytes, bytes]()
    for number, size, get in steps:
        key = b"%d" % number
        if get:
            if key in slow:
                slow.move_to_end(key)
            assert lru.get_many([key]) == [slow.get(key)]
        elif size + ENTRY_OVERHEAD_BYTES <= limit // LARGEST_SHARE:
            lru.put_many([key], [bytes(size)])
            slow[key] = bytes(size)
            slow.move_to_end(key)
        while sum(len(r) + ENTRY_OVERHEAD_BYTES for r in slow.values()) > limit:
            slow.popitem(last=False)
        assert len(lru) == len(slow)
        assert lru.used_bytes == sum(len(r) + ENTRY_OVERHEAD_BYTES for r in slow.values()) <= limit


@pytest.mark.parametrize("rows", [200, 1400, 11000])
def test_the_lru_admits_to_at_least_the_memory_it_takes(rows: int) -> None:
    """The allocator is the oracle; identities and records of real size, made while it looks."""
    lru = Lru(1 << 30)
    tracemalloc.start()
    lru.put_many([b"%048d" % i for i in range(rows)], [b"%0300d" % i for i in range(rows)])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 * lru.used_bytes <= taken <= lru.used_bytes


def test_what_was_read_last_stays_longest() -> None:
    """Room for eight rows: the first, just read, outlives the second when a ninth comes."""
    lru = Lru(8 * (ENTRY_OVERHEAD_BYTES + 10))
    keys = [b"%d" % number for number in range(9)]
    lru.put_many(keys[:8], [bytes(10)] * 8)
    lru.get_many(keys[:1])
    lru.put_many(keys[8:], [bytes(10)])
    assert [record is not None for record in lru.get_many(keys)] == [True, False] + 7 * [True]


def test_a_record_too_large_is_not_kept_at_the_expense_of_all_others() -> None:
    """One that takes more than an eighth of the room stays outside."""
    lru = Lru(100_000)
    lru.put_many([b"small", b"large"], [bytes(10), bytes(20_000)])
    assert lru.get_many([b"small", b"large"]) == [bytes(10), None]
    lru.put_many([b"small"], [bytes(20_000)])
    assert (len(lru), lru.used_bytes) == (0, 0)


class Clock:
    """Time that stands still until it is told otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _breaker(clock: Clock) -> Breaker:
    return Breaker(clock, Random(0), (1.0, 5.0))


def test_the_breaker_opens_on_the_fifth_failure_in_a_row() -> None:
    """Exactly then, and it opens only once."""
    breaker = _breaker(Clock())
    assert [breaker.failed() for _ in range(5)] == [False, False, False, False, True]
    assert breaker.open
    assert not breaker.failed()  # it is open already


def test_an_answer_starts_the_row_of_failures_again() -> None:
    """4 failures of 9 calls open nothing, neither in a row nor by share."""
    breaker = _breaker(Clock())
    for failed in (True, True, False, True, True, False, False, False, False):
        _ = breaker.failed() if failed else breaker.succeeded()
    assert not breaker.open


def test_the_breaker_opens_when_half_of_ten_calls_fail() -> None:
    """Every second call fails: never five in a row, but one half."""
    breaker = _breaker(Clock())
    for _ in range(4):
        breaker.succeeded()
        assert not breaker.failed()
    breaker.succeeded()
    assert breaker.failed()


def test_failures_are_forgotten_after_ten_seconds() -> None:
    """The same calls as above, three seconds apart: never ten of them in the window."""
    clock = Clock()
    breaker = _breaker(clock)
    for _ in range(50):
        clock.now += 3
        breaker.succeeded()
        clock.now += 3
        assert not breaker.failed()


def test_a_timeout_opens_at_once_and_only_a_probe_closes() -> None:
    """Answers that arrive late do not close it."""
    breaker = _breaker(Clock())
    assert breaker.failed(at_once=True)
    breaker.succeeded()
    assert breaker.open
    breaker.close()
    assert not breaker.open
    assert not breaker.failed()


def test_probes_are_jittered_within_their_bounds() -> None:
    """A thousand delays cover [1, 5] s and nothing else."""
    breaker = _breaker(Clock())
    delays = [breaker.probe_delay_s() for _ in range(1000)]
    assert 1.0 <= min(delays) < 1.1
    assert 4.9 < max(delays) <= 5.0


async def test_whoever_joins_a_flight_gets_its_rows_in_their_own_order() -> None:
    """The leader asks a, b, c; the other one c, a and a new d."""
    flights = Flights()
    with flights.lead([b"a", b"b", b"c"]) as flight:
        free, taken = flights.find([b"c", b"d", b"a"])
        assert (free, taken) == ([1], {flight: [0, 2]})
        waiting = asyncio.ensure_future(flight.records_of([b"c", b"a"]))
        await asyncio.sleep(0)
        assert not waiting.done()
        flight.land([b"A", b"B", b"C"])
    assert await waiting == [b"C", b"A"]
    assert len(flights) == 0


async def test_a_flight_that_fails_hands_nothing_on() -> None:
    """Who waits is told to ask again, without the leader's error."""
    flights = Flights()
    with pytest.raises(ZeroDivisionError), flights.lead([b"a"]) as flight:
        raise ZeroDivisionError
    assert await flight.records_of([b"a"]) is None
    assert flights.find([b"a"]) == ([0], {})


async def test_one_who_stops_waiting_disturbs_nobody() -> None:
    """The second of two who wait is cancelled; the first still gets its row."""
    flights = Flights()
    with flights.lead([b"a"]) as flight:
        first, second = (asyncio.ensure_future(flight.records_of([b"a"])) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        flight.land([b"A"])
    assert await first == [b"A"]
    assert second.cancelled()


def test_rows_are_told_apart_in_order_of_first_appearance() -> None:
    """Numbered by hand: 7, 3, 7, 9, 3."""
    rows = Samples({"x": np.array([[7.0], [3.0], [7.0], [9.0], [3.0]])})
    asked = distinct(b"lane", rows)
    assert len(asked.identities) == 3
    assert asked.first is not None and asked.first.tolist() == [0, 1, 3]
    assert asked.inverse is not None and asked.inverse.tolist() == [0, 1, 0, 2, 1]
    assert asked.repeats is not None and asked.repeats.tolist() == [2, 2, 1]
    assert all(identity.startswith(b"lane") for identity in asked.identities)
    assert distinct(b"lane", rows.take(np.array([0, 1]))).inverse is None


def test_names_depend_on_secret_lane_and_row_and_on_nothing_else() -> None:
    """All names and checks of two secrets, lanes and rows differ; the same question has the same name."""
    identities = [lane + row for lane in (b"L" * 32, b"M" * 32) for row in (b"r" * 16, b"s" * 16)]
    tags = [tag for secret in (b"", b"secret") for tag in Namer(secret).tags(identities)]
    assert len(set(map(redis_key, tags))) == len(set(map(check_of, tags))) == 8
    assert Namer(b"secret").tags(identities) == tags[4:]
    assert all(redis_key(tag).startswith(b"wb1:") and len(redis_key(tag)) == 24 for tag in tags)


def test_the_name_of_a_row_never_changes_by_accident() -> None:
    """A golden value: changing it empties every Redis in the world."""
    (tag,) = Namer(b"golden").tags([bytes(range(48))])
    assert tag.hex() == "37cf2b04cd3d7693ca09bf9ed08ad1089898c4383f9684fc80fb2b39"


def test_the_lru_forgets_what_may_not_be_kept_longer() -> None:
    """A clock of ours: one answer may be kept 60 s, one for ever; bytes are given back."""
    now = [0.0]
    lru = Lru(1 << 20, lambda: now[0])
    lru.put_many([b"short"], [b"x" * 10], ttl_s=60.0)
    lru.put_many([b"long"], [b"x" * 10])
    now[0] = 60.0
    assert lru.get_many([b"short", b"long"]) == [b"x" * 10] * 2
    now[0] = 60.1
    assert lru.get_many([b"short", b"long"]) == [None, b"x" * 10]
    assert lru.used_bytes == 10 + ENTRY_OVERHEAD_BYTES
    lru.put_many([b"short"], [b"y" * 10], ttl_s=60.0)
    now[0] = 120.0
    assert lru.get_many([b"short"]) == [b"y" * 10]
