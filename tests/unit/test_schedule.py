"""The schedule under a virtual clock: who goes when, with whom, and at whose cost.

`Simulation` is a device that takes b + a n seconds a call and flows that ask, wait, think, and ask
again; nothing in it sleeps. Laws and tables are those of the discrete-event sketches this replaces.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.batch.schedule import Schedule
from whybox_server.serving.batch.track import Batch, Block, Device, Place
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice

B, A = 4e-4, 56e-6  # seconds a call and a row of a small network on two cores
TARGET = 64


class Replicas:
    """A runner that is never run."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        raise NotImplementedError


def lane(replicas: int = 1, max_rows: int = TARGET, name: bytes = b"lane", fixed: int | None = None) -> Lane:
    return Lane(name, Replicas(replicas), max_rows, fixed)


def trained(max_rows: int = TARGET, b: float = B, a: float = A) -> Cost:
    """A cost that knows its device already."""
    cost = Cost(max_rows)
    while cost.exploring or cost.calls < 20:
        cost.record(cost.target, b + a * cost.target)
        cost.probe = None
    return cost


@dataclass
class Asker:
    """A flow that asks for `step` rows, waits for them, thinks, and asks again until `left` is 0."""

    left: int
    step: int
    think_s: float = 0.0
    start_s: float = 0.0
    weight: float = 1.0
    lane: Lane | None = None
    flow: Flow = field(default_factory=lambda: Flow("asker"))
    done_s: float | None = None

    @property
    def took_s(self) -> float:
        assert self.done_s is not None, "never finished"
        return self.done_s - self.start_s


class Simulation:
    """Askers on one device; `batches` holds rows per call."""

    def __init__(
        self, askers: list[Asker], *, slots: int = 1, depth: int = 1, delay_s: float = 5e-3, **law: Any
    ) -> None:
        self.schedule = Schedule(max_delay_s=delay_s, window_rows=4096, depth=depth)
        self.device = Device(slots)
        self.law = (law.get("b", B), law.get("a", A))
        self.costs: dict[bytes, Cost] = {}
        self.batches: list[Batch] = []
        self.busy_s = 0.0
        self.now = 0.0
        self._count = itertools.count()
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._free_at = [0.0] * slots
        self._owner: dict[Block, tuple[Asker, Place]] = {}
        for asker in askers:
            asker.flow.weight = asker.weight
            self._at(asker.start_s, self._arrive, asker)

    def run(self) -> Simulation:
        while self._events:
            at = self._events[0][0]
            # Everything that happens at one moment happens before the schedule is asked.
            while self._events and self._events[0][0] <= at:
                self.now, _, act, args = heapq.heappop(self._events)
                act(*args)
            plan = self.schedule.plan(self.now)
            for batch in plan.batches:
                self._start(batch)
            if plan.wake_at is not None:
                self._at(max(plan.wake_at, self.now), lambda: None)
        return self

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)

    @property
    def rows_per_batch(self) -> float:
        return self.rows / len(self.batches)

    def _at(self, time: float, act: Any, *args: Any) -> None:
        heapq.heappush(self._events, (time, next(self._count), act, args))

    def _arrive(self, asker: Asker) -> None:
        own = asker.lane or lane(self.device.slots)
        cost = self.costs.setdefault(own.fingerprint, trained(b=self.law[0], a=self.law[1]))
        place = self.schedule.open(self.now, own, asker.flow, self.device, cost)
        self._ask(asker, place)

    def _ask(self, asker: Asker, place: Place) -> None:
        rows = min(asker.step, asker.left)
        asker.left -= rows
        self._owner[self.schedule.submit(self.now, place, rows)] = (asker, place)

    def _start(self, batch: Batch) -> None:
        slot = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        took = self.law[0] + self.law[1] * batch.rows
        self._free_at[slot] = max(self.now, self._free_at[slot]) + took
        self.busy_s += took
        self.batches.append(batch)
        self._at(self._free_at[slot], self._end, batch, took)

    def _end(self, batch: Batch, took: float) -> None:
        answered = []
        for block, lo, hi in batch.pieces:
            if self.schedule.answered(self.now, block, hi - lo):
                answered.append(block)
        shares = [took * (hi - lo) / batch.rows for _, lo, hi in batch.pieces]
        self.schedule.finished(batch, self.now, shares, clean=True)
        for block in answered:
            asker, place = self._owner.pop(block)
            if asker.left:
                self._at(self.now + asker.think_s, self._ask, asker, place)
            else:
                asker.done_s = self.now
                self.schedule.close(self.now, place)


def ready(rows: int, *, slots: int = 2, cost: Cost | None = None, depth: int = 1) -> tuple[Schedule, Place]:
    """A schedule with one flow that has asked for so many rows."""
    schedule = Schedule(max_delay_s=1.0, window_rows=4096, depth=depth)
    place = schedule.open(0.0, lane(slots), Flow("only"), Device(slots), cost or trained())
    schedule.submit(0.0, place, rows)
    return schedule, place


def sizes(schedule: Schedule, now: float = 0.0) -> list[int]:
    return [batch.rows for batch in schedule.plan(now).batches]


# Dispatch.


@pytest.mark.parametrize(
    ("askers", "seconds", "rows"), [(1, 0.30, 16), (2, 0.48, 32), (4, 0.84, 64), (8, 1.59, 64)]
)
def test_quiescence_is_as_good_as_the_better_of_timer_and_at_once(askers: int, seconds: float, rows: int):
    """200 steps of 16 rows, 0.2 ms thought: the table that a discrete-event sketch of the rule gave.

    A 5 ms timer needs 1.30, 1.48, 0.84, 1.59 s; at once needs 0.30, 0.52, 0.88, 1.59 s.
    """
    crowd = [Asker(left=200 * 16, step=16, think_s=2e-4, start_s=1e-4 * i) for i in range(askers)]
    done = Simulation(crowd).run()
    assert max(asker.took_s for asker in crowd) <= seconds * 1.02
    assert done.rows_per_batch >= 0.95 * rows


def test_a_batch_waits_for_who_can_still_produce():
    """One flow asks, its neighbour does not: the batch leaves after max_delay, not before, and not later."""
    schedule, place = ready(4)
    neighbour = schedule.open(0.5, place.track.lane, Flow("neighbour"), place.track.device, place.track.cost)
    plan = schedule.plan(0.5)
    assert plan == ([], 1.0)
    assert sizes(schedule, 0.999) == []
    assert sum(sizes(schedule, 1.0)) == 4
    assert neighbour.idle_since == 0.5


def test_a_batch_does_not_wait_for_who_waits_itself():
    """Both flows have asked: nobody can produce, so the batch leaves at once and carries both."""
    schedule, place = ready(4, slots=1)
    neighbour = schedule.open(0.0, place.track.lane, Flow("neighbour"), place.track.device, place.track.cost)
    schedule.submit(0.0, neighbour, 4)
    assert sizes(schedule) == [8]


def test_who_was_silent_for_long_is_not_waited_for():
    """A flow that the cache answers opens a door and never asks: after max_delay it delays nobody."""
    schedule = Schedule(max_delay_s=1.0, window_rows=64, depth=1)
    device, cost = Device(1), trained()
    schedule.open(0.0, lane(), Flow("silent"), device, cost)
    busy = schedule.open(0.0, lane(), Flow("busy"), device, cost)
    schedule.submit(5.0, busy, 3)
    assert sizes(schedule, 5.0) == [3]


def test_closing_the_last_producer_sends_the_batch():
    """Quiescence counts open doors only."""
    schedule, place = ready(4, slots=1)
    neighbour = schedule.open(0.0, place.track.lane, Flow("n"), place.track.device, place.track.cost)
    assert sizes(schedule) == []
    schedule.close(0.1, neighbour)
    assert sizes(schedule, 0.1) == [4]


def test_a_full_batch_leaves_whoever_else_may_come():
    schedule, place = ready(TARGET, slots=1)
    schedule.open(0.0, place.track.lane, Flow("n"), place.track.device, place.track.cost)
    assert sizes(schedule) == [TARGET]


def test_nothing_leaves_while_every_slot_is_busy():
    """With depth 1 the device runs as many calls as it has slots; the rest stays in the queue."""
    schedule, place = ready(1000, slots=2)
    assert sizes(schedule) == [TARGET, TARGET]
    assert sizes(schedule, 99.0) == []
    assert place.untaken == 1000 - 2 * TARGET


def test_depth_two_prepares_full_batches_and_only_full_ones():
    """1000 rows: two calls run, two are prepared. 200 rows: what is left of them is shared out later."""
    assert sizes(ready(1000, depth=2)[0]) == [TARGET] * 4
    assert sum(sizes(ready(200, depth=2)[0])) == 2 * TARGET


def test_short_work_is_spread_over_free_replicas():
    """64 rows, two free replicas, target 64: two calls of 32 end sooner than one of 64."""
    assert sizes(ready(64)[0]) == [32, 32]
    assert sizes(ready(100)[0]) == [50, 50]


def test_short_work_is_not_split_where_the_call_itself_costs_most():
    """t(n) = 2 ms + 1 us n: two calls of 32 cost twice as much and end no sooner."""
    assert sizes(ready(64, cost=trained(b=2e-3, a=1e-6))[0]) == [64]


def test_a_fixed_size_is_never_exceeded():
    """REPRODUCIBLE: at most fixed_rows rows a call, whatever the lane could take."""
    schedule = Schedule(max_delay_s=1.0, window_rows=4096, depth=1)
    place = schedule.open(0.0, lane(2, fixed=16), Flow("f"), Device(2), Cost(TARGET, fixed_rows=16))
    schedule.submit(0.0, place, 100)
    assert sizes(schedule) == [16, 16]


def test_at_most_a_window_of_a_flow_is_queued():
    """60,000 rows are held by their owner; the queue shows 128 of them, before and after a batch."""
    schedule = Schedule(max_delay_s=1.0, window_rows=128, depth=1)
    place = schedule.open(0.0, lane(), Flow("heavy"), Device(1), trained())
    schedule.submit(0.0, place, 60_000)
    assert place.track.ready == 128
    schedule.plan(0.0)
    assert (place.track.ready, place.untaken) == (128, 60_000 - TARGET)


# Leaving.


def test_a_dropped_block_leaves_the_queue_and_its_neighbours_stay():
    schedule, place = ready(4, slots=1)
    unlucky = schedule.submit(0.0, place, 10)
    schedule.submit(0.0, place, 3)
    schedule.drop(0.0, unlucky)
    assert sizes(schedule) == [7]


def test_a_block_dropped_while_it_runs_is_charged_but_not_answered():
    schedule, place = ready(4, slots=1)
    batch = schedule.plan(0.0).batches[0]
    block = batch.pieces[0].block
    schedule.drop(0.1, block)
    schedule.close(0.1, place)
    assert not schedule.answered(0.2, block, 4)
    schedule.finished(batch, 0.2, [0.2], clean=True)
    assert place.flow.usage.model_s == 0.2
    assert schedule.tracks == {}


# Fairness.


def fifo(askers: list[Asker], window: int = 4096) -> tuple[float, float]:
    """First come, first served, batches of 64, slowly and readably: rows per busy second, seconds."""
    queue: list[list[Any]] = []
    coming = sorted(askers, key=lambda asker: asker.start_s)
    left = {id(asker): asker.left for asker in askers}
    now = busy = rows = 0.0
    while coming or queue:
        while coming and coming[0].start_s <= now:
            asker = coming.pop(0)
            queue += [[asker, min(window, asker.left - lo)] for lo in range(0, asker.left, window)]
        if not queue:
            now = coming[0].start_s
            continue
        size = 0
        while queue and size < TARGET:
            taken = min(queue[0][1], TARGET - size)
            queue[0][1] -= taken
            left[id(queue[0][0])] -= taken
            size += taken
            if not queue[0][1]:
                queue.pop(0)
        took = B + A * size
        now, busy, rows = now + took, busy + took, rows + size
    return rows / busy, now


def test_a_heavy_neighbour_slows_no_more_than_an_equal_one():
    """500 rows beside 60,000 take at most twice what they take beside 500; FIFO needs 120 times as long."""
    equal = [Asker(500, 500), Asker(500, 500)]
    Simulation(equal).run()
    mixed = [Asker(60_000, 60_000), Asker(500, 500, start_s=0.01)]
    done = Simulation(mixed).run()
    assert mixed[1].took_s <= 2 * max(asker.took_s for asker in equal)
    rate, _ = fifo([Asker(60_000, 60_000), Asker(500, 500, start_s=0.01)])
    assert done.rows / done.busy_s >= 0.97 * rate
    assert done.rows_per_batch >= 0.97 * TARGET


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_of_small_flows_beside_a_heavy_one(seed: int):
    """Poisson arrivals of 500 rows beside 60,000: fair, full batches, no rows per second lost to FIFO."""

    def crowd() -> list[Asker]:
        rng = random.Random(seed)
        starts = itertools.accumulate(rng.expovariate(4.0) for _ in range(20))
        return [Asker(60_000, 4096), *(Asker(500, 500, start_s=start) for start in starts)]

    askers = crowd()
    done = Simulation(askers, depth=2).run()
    alone = 500 / TARGET * (B + A * TARGET)
    slow = sorted(asker.took_s / alone for asker in askers[1:])
    assert slow[len(slow) // 2] <= 3  # its half of the device, and the batches before it
    assert done.rows / done.busy_s >= 0.97 * fifo(crowd())[0]
    assert done.rows_per_batch >= 0.97 * TARGET


def test_weights_share_the_device_in_their_proportion():
    """Weight 3 against weight 1: while both ask, one gets three quarters of the device's seconds."""
    light, heavy = Asker(20_000, 20_000), Asker(20_000, 20_000, weight=3.0)
    Simulation([light, heavy]).run()
    # When the heavier one ends with 20,000 rows, the lighter one has had a third of that.
    assert heavy.took_s == pytest.approx(light.took_s * (20_000 + 20_000 / 3) / 40_000, rel=0.02)


def test_lanes_of_one_device_share_its_time_not_its_calls():
    """A lane whose rows cost 10 times as much gets a tenth of the rows, and ends when its time is up."""
    device, seconds = Device(1), {b"cheap": 0.0, b"dear": 0.0}
    schedule = Schedule(max_delay_s=1.0, window_rows=4096, depth=1)
    for name, a in ((b"cheap", 1e-4), (b"dear", 1e-3)):
        place = schedule.open(0.0, lane(name=name), Flow(name.decode()), device, trained(b=1e-3, a=a))
        schedule.submit(0.0, place, 50_000)
    now = 0.0
    for _ in range(300):
        (batch,) = schedule.plan(now).batches
        name = batch.track.lane.fingerprint
        took = 1e-3 + (1e-4 if name == b"cheap" else 1e-3) * batch.rows
        now += took
        seconds[name] += took
        schedule.answered(now, batch.pieces[0].block, batch.rows)
        schedule.finished(batch, now, [took], clean=True)
    assert seconds[b"cheap"] == pytest.approx(seconds[b"dear"], rel=0.05)


def test_a_newcomer_starts_where_the_others_are():
    """Counter lift: 10 s of service are behind the old flow; the new one does not get 10 s to itself."""
    schedule = Schedule(max_delay_s=1.0, window_rows=4096, depth=1)
    device, cost = Device(1), trained()
    old, new = Flow("old", virtual_s=10.0), Flow("new")
    schedule.submit(0.0, schedule.open(0.0, lane(), old, device, cost), 1000)
    schedule.submit(0.0, schedule.open(0.0, lane(), new, device, cost), 1000)
    (batch,) = schedule.plan(0.0).batches
    taken = {piece.block.place.flow.id: piece.hi - piece.lo for piece in batch.pieces}
    assert taken == {"old": TARGET // 2, "new": TARGET // 2}


def test_who_comes_back_after_a_pause_has_hoarded_nothing():
    """With nobody at work the counter rises to where the last served flow was."""
    schedule = Schedule(max_delay_s=1.0, window_rows=4096, depth=1)
    device, cost = Device(1), trained()
    worked = schedule.open(0.0, lane(), Flow("worked", virtual_s=7.0), device, cost)
    schedule.submit(0.0, worked, TARGET)
    (batch,) = schedule.plan(0.0).batches
    schedule.answered(1.0, batch.pieces[0].block, TARGET)
    schedule.finished(batch, 1.0, [1.0], clean=True)
    paused = Flow("paused")
    schedule.submit(2.0, schedule.open(2.0, lane(), paused, device, cost), 1)
    assert paused.virtual_s == 7.0


def test_estimates_are_corrected_by_what_was_measured():
    """The counter is the measured share / weight in the end, whatever was guessed at dispatch."""
    schedule, place = ready(10, slots=1)
    place.flow.weight = 2.0
    (batch,) = schedule.plan(0.0).batches
    assert place.flow.virtual_s > 0
    schedule.answered(0.5, batch.pieces[0].block, 10)
    schedule.finished(batch, 0.5, [0.5], clean=True)
    assert place.flow.virtual_s == pytest.approx(0.25)


# Usage.


def test_usage_adds_up():
    """Shares of every call sum to the device's time, rows to the rows, and fill to at most 1 a batch."""
    askers = [Asker(700, 100, think_s=1e-3), Asker(900, 900), Asker(50, 10, think_s=5e-3)]
    done = Simulation(askers, slots=2, depth=2).run()
    assert sum(asker.flow.usage.rows_sent for asker in askers) == done.rows == 1650
    assert sum(asker.flow.usage.model_s for asker in askers) == pytest.approx(done.busy_s)
    for asker in askers:
        usage = asker.flow.usage
        assert 0 < usage.batches <= len(done.batches)
        assert 0 < usage.fill_sum <= usage.batches
        assert 0 <= usage.queued_s <= asker.took_s


def test_time_in_the_queue_is_counted_only_while_nothing_of_the_flow_runs():
    """Rows wait from 0 to 3 behind a busy slot, then run until 5: three seconds, not five."""
    schedule, place = ready(4, slots=1)
    schedule.plan(0.0)
    late = schedule.open(0.0, place.track.lane, Flow("late"), place.track.device, place.track.cost)
    block = schedule.submit(0.0, late, 4)
    batch = next(iter(place.track.places[0].blocks), None)
    assert batch is None  # the first flow's rows run
    place.track.device.busy = place.track.busy = 0
    (mine,) = schedule.plan(3.0).batches
    schedule.answered(5.0, block, 4)
    schedule.finished(mine, 5.0, [2.0], clean=True)
    assert late.flow.usage.queued_s == 3.0
    assert np.isclose(late.flow.usage.model_s, 2.0)
