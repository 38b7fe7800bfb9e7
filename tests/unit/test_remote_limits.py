"""What an endpoint may be asked, and when again: pace, slots, allowance, retries, on a clock of the test's own."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta
from math import inf
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.errors import EndpointBudgetSpent, ModelOutputInvalid
from whybox_server.serving.remote.allowance import Allowance
from whybox_server.serving.remote.exchange import Refused, Unreachable
from whybox_server.serving.remote.pace import Pace
from whybox_server.serving.remote.retry import (
    FLOOR_BURST,
    LONGEST_S,
    SHARE,
    RetryBudget,
    Standing,
    wait_s,
    worth_repeating,
)
from whybox_server.serving.remote.slots import Slots

NEW, HEARD, PROVEN = Standing(), Standing(heard=True), Standing(heard=True, proven=True)
TODAY = date(2026, 11, 21)


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.5, 200.0),
    st.integers(1, 20),
    st.lists(st.floats(0.0, 0.5), max_size=200),
    st.floats(-1e6, 1e6),
)
def test_no_window_of_time_has_more_calls_than_rate_and_burst_allow(
    rate: float, burst: int, gaps: list[float], zero: float
):
    """The definition of a token bucket: at most burst + rate * t calls in any t seconds, whatever comes when."""
    clock = Clock(zero)
    pace, taken = Pace(rate, clock, burst), list[float]()
    for gap in gaps:
        clock.now += gap
        if pace.take() == 0.0:
            taken.append(clock.now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-3


@given(st.floats(0.5, 200.0), st.integers(1, 20))
def test_who_waits_as_long_as_he_is_told_gets_the_whole_rate(rate: float, burst: int):
    """100 calls, each made as soon as the bucket says: the last one comes at (100 - burst) / rate, not later."""
    clock = Clock()
    pace, made = Pace(rate, clock, burst), 0
    while made < 100:
        wait = pace.take()
        clock.now += wait
        made += not wait
    assert clock.now == pytest.approx((100 - burst) / rate, rel=1e-6)


def test_a_rate_of_0_is_no_limit():
    pace = Pace(0.0, Clock())
    assert [pace.take() for _ in range(1000)] == [0.0] * 1000


def test_slots_halve_when_the_server_complains_and_grow_again_one_by_one():
    """16, 8, 4: and complaints about calls that started before the first one's halving count no more."""
    slots = Slots(16)
    old = [slots.enter(0) for _ in range(16)]
    assert slots.enter(0) is None
    for ticket in old:
        slots.slower(ticket)
        slots.leave()
    assert slots.limit == 8
    ticket = slots.enter(0)
    slots.slower(ticket)
    slots.leave()
    assert slots.limit == 4
    # From 4 to 5 in one round of answers, 1 / limit each.
    for _ in range(5):
        slots.faster(slots.enter(0))
        slots.leave()
    assert slots.limit == 5
    for _ in range(200):
        slots.faster(slots.enter(0))
        slots.leave()
    assert slots.limit == 16


def test_a_slot_is_left_however_often_the_server_complains():
    slots = Slots(8)
    for _ in range(20):
        slots.slower(slots.enter(0))
        slots.leave()
    assert slots.limit == 1
    assert slots.enter(0) is not None


def test_who_waits_for_a_slot_gets_the_one_that_is_left():
    slots = Slots(1)
    slots.enter(0)
    waiting = threading.Thread(target=lambda: found.append(slots.enter(10)))
    found: list[int | None] = []
    waiting.start()
    slots.leave()
    waiting.join(10)
    assert found == [0]


def today() -> date:
    """Looking at the calendar lets others go on, at the worst moment."""
    time.sleep(0)
    return TODAY


def taken(allowances: list[Allowance]) -> int:
    """How many calls one thread for each gets that asks 100 times."""
    got: list[bool] = []

    def ask(allowance: Allowance) -> None:
        for _ in range(100):
            got.append(took(allowance))  # noqa: PERF401 - from many threads

    threads = [threading.Thread(target=ask, args=(allowance,)) for allowance in allowances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(got)


def test_an_allowance_is_exact_under_many_threads():
    """8 threads ask 100 times each for 137 calls: 137 get one."""
    allowance = Allowance("e", 137, today=today)
    assert taken([allowance] * 8) == 137
    assert allowance.left() == 0


def test_servers_that_share_a_file_share_the_allowance(tmp_path: Path):
    """As many, each on its own, as if they were processes: the lock is the file's."""
    assert taken([Allowance("e", 137, tmp_path / "calls", today) for _ in range(8)]) == 137


def test_a_restart_forgets_no_call(tmp_path: Path):
    state = tmp_path / "calls"
    first = Allowance("e", 5, state, lambda: TODAY)
    assert [took(first) for _ in range(3)] == [True] * 3
    again = Allowance("e", 5, state, lambda: TODAY)
    assert again.left() == 2
    assert [took(again) for _ in range(4)] == [True, True, False, False]
    assert not took(first)


def took(allowance: Allowance) -> bool:
    try:
        allowance.take()
    except EndpointBudgetSpent as spent:
        assert spent.details == {"endpoint": "e", "limit": str(allowance.per_day), "unit": "calls a day"}
        return False
    return True


@pytest.mark.parametrize("kept", [True, False])
def test_a_new_day_starts_at_0_and_a_clock_set_back_gives_none_twice(tmp_path: Path, kept: bool):
    day = [TODAY]
    allowance = Allowance("e", 2, tmp_path / "calls" if kept else None, lambda: day[0])
    assert [took(allowance) for _ in range(3)] == [True, True, False]
    day[0] = TODAY - timedelta(days=1)
    assert not took(allowance)
    day[0] = TODAY + timedelta(days=1)
    assert [took(allowance) for _ in range(3)] == [True, True, False]


def test_a_call_that_reached_nobody_is_given_back():
    allowance = Allowance("e", 1)
    allowance.take()
    allowance.give_back()
    assert took(allowance)
    assert not took(allowance)


@pytest.mark.parametrize("content", [b"2026-11-21 many\n", b"\xff\xfe", b"2026-13-45 000000000001\n"])
def test_a_count_that_cannot_be_read_allows_nothing_and_says_so(tmp_path: Path, content: bytes):
    (tmp_path / "calls").write_bytes(content)
    with pytest.raises(EndpointBudgetSpent, match="holds something else; make the file readable.* or remove it"):
        Allowance("e", 5, tmp_path / "calls").take()


def test_without_its_folder_nothing_is_asked(tmp_path: Path):
    with pytest.raises(EndpointBudgetSpent, match="No such file"):
        Allowance("e", 5, tmp_path / "gone" / "calls").take()


@pytest.mark.parametrize(
    ("failure", "standing", "attempts"),
    [
        # A server that never answered is probably not there, or not this one.
        (Unreachable("refused"), NEW, 3),
        (Refused(503, "starting"), NEW, 3),
        # One that did is waited for.
        (Unreachable("refused"), HEARD, inf),
        (Refused(503, ""), HEARD, inf),
        (Refused(429, "", 1.0), HEARD, inf),
        (Refused(408, ""), HEARD, inf),
        # What will not change.
        (Unreachable("certificate", lasting=True), PROVEN, 1),
        (Refused(429, "", inf), PROVEN, 1),
        (Refused(400, ""), PROVEN, 1),
        (Refused(401, ""), PROVEN, 1),
        (Refused(404, ""), PROVEN, 1),
        (Refused(413, ""), PROVEN, 1),
        (Refused(301, ""), PROVEN, 1),
        (Refused(501, ""), PROVEN, 1),
        # What is the declaration's fault, unless this server has answered rows before.
        (Refused(500, ""), HEARD, 1),
        (ModelOutputInvalid("3 rows of 4"), HEARD, 1),
        (Refused(500, ""), PROVEN, 5),
        (ModelOutputInvalid("3 rows of 4"), PROVEN, 5),
    ],
)
def test_what_is_tried_again_and_how_often(failure: Exception, standing: Standing, attempts: float):
    """attempts: how often the call is made in all."""
    tried = [n for n in range(1, 100) if worth_repeating(failure, n, standing)]
    assert tried == list(range(1, int(min(attempts, 100))))


def test_waits_are_jittered_over_all_of_a_doubling_time():
    """Full jitter: uniform on (0, min(longest, first * 2^k)), whose mean is half of it."""
    rng = Random(1)
    for attempts, ceiling in ((1, 0.1), (2, 0.2), (5, 1.6), (12, LONGEST_S), (5000, LONGEST_S)):
        waits = [wait_s(Unreachable("cut"), attempts, rng) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * ceiling
        assert 0.95 * ceiling < max(waits) <= ceiling
        # The mean of 2000 has a standard error of ceiling / sqrt(12 * 2000) = 0.0065 ceiling.
        assert sum(waits) / 2000 == pytest.approx(ceiling / 2, abs=5 * 0.0065 * ceiling)


def test_what_the_server_says_is_waited_for_at_least():
    rng = Random(1)
    assert all(7.0 <= wait_s(Refused(429, "", 7.0), 1, rng) <= 7.1 for _ in range(100))
    assert all(0.0 <= wait_s(Refused(429, "", -3.0), 1, rng) <= 0.1 for _ in range(100))


@pytest.mark.parametrize("seed", range(10))
def test_retries_are_a_fifth_of_the_calls_and_few_besides(seed: int):
    """Finagle's promise: never more than 20 % of the calls, and the floor of 10 and one a second."""
    rng, clock = Random(seed), Clock()
    budget, calls, retries = RetryBudget(clock), 0, 0
    for _ in range(1000):
        clock.now += rng.uniform(0.0, 0.1)
        if rng.random() < 0.5:
            budget.earn()
            calls += 1
        elif budget.spend() == 0.0:
            retries += 1
        assert retries <= SHARE * calls + FLOOR_BURST + clock.now + 1e-6
    assert retries > SHARE * calls


def test_a_spent_budget_says_when_the_floor_lets_the_next_retry_pass():
    clock = Clock()
    budget = RetryBudget(clock)
    assert [budget.spend() for _ in range(FLOOR_BURST)] == [0.0] * FLOOR_BURST
    assert budget.spend() == pytest.approx(1.0)
    clock.now += 1.0
    assert budget.spend() == 0.0
