"""The asyncio shell around the schedule: futures, one timer, and threads that call the models.

It decides nothing; `schedule` does. All state belongs to the event loop's thread; worker threads
write answers into arrays of their own and report by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from whybox_server.core.errors import Draining, WhyboxError
from whybox_server.core.rows import Rows
from whybox_server.serving.batch.call import Call, Part, Sheet, Told
from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.batch.crew import Crew
from whybox_server.serving.batch.schedule import Schedule
from whybox_server.serving.batch.stats import Backlog, LaneStats, backlog, lane_stats, row_seconds
from whybox_server.serving.batch.track import Batch, Block, Device, Place
from whybox_server.serving.lane import Answers, Flow, Lane, Runner

LANES_REMEMBERED = 1024  # lanes whose learnt cost outlives their last flow
STOP_WAIT_S = 5.0  # how long `close` waits for calls that run
RETRY_AFTER_S = 1.0  # told to callers whose rows were waiting when the server stopped

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiter:
    """A block's future, and where its answers go."""

    sheet: Sheet
    future: asyncio.Future[Answers]


class Door:
    """One flow's way into one lane."""

    def __init__(self, batcher: Batcher, lane: Lane, flow: Flow) -> None:
        self._batcher = batcher
        self._lane = lane
        self._flow = flow
        self._place: Place | None = None
        self._closed = False

    async def submit(self, rows: Rows) -> Answers:
        """Answers of at least one row, in order: (n, ...) each. Several submits may be outstanding.

        Raises ModelFailed or ModelOutputInvalid naming rows by their index in `rows`, Draining when
        the batcher stops, and WhyboxError for a defect of ours. A cancelled submit leaves at once.
        """
        if self._closed:
            raise WhyboxError("rows were submitted for an explanation that is over")
        batcher = self._batcher
        block, future = batcher._enqueue(self, rows)
        try:
            return await future
        finally:
            batcher._leave(block)

    def close(self) -> None:
        """The flow is over, or cancelled: its rows leave the queue, and submits that wait are cancelled."""
        if not self._closed:
            self._closed = True
            self._batcher._close_door(self)


class Batcher:
    """Coalesces the rows of all flows into model calls. An asynchronous context manager.

    slots: calls of many-threaded models at once, over all lanes that run here; None: one per core.
    depth: calls handed over per slot: 2 prepares the next one while one runs.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_delay_s: float = 0.002,
        window_rows: int = 4096,
        slots: int | None = None,
        depth: int = 2,
    ) -> None:
        self._clock = clock
        self._max_delay_s = max_delay_s
        self._window_rows = window_rows
        self._slots = slots or os.cpu_count() or 1
        self._depth = depth
        self._costs: OrderedDict[bytes, Cost] = OrderedDict()
        self._waiters: dict[Block, Waiter] = {}
        self._own: weakref.WeakKeyDictionary[Runner, Crew] = weakref.WeakKeyDictionary()
        self._crew = Crew(self._slots, "whybox-model")
        self._timer: asyncio.TimerHandle | None = None
        self._nudged = False
        self._running = False
        self._restart()

    async def start(self) -> None:
        """Start the threads; the running loop is the one that everything happens on."""
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._crew.start()

    async def close(self) -> None:
        """Refuse who waits, let running calls end, stop the threads."""
        if not self._running:
            return
        self._running = False
        self._fail_all(Draining("the server is about to stop; call again", RETRY_AFTER_S))
        self._restart()
        crews = [self._crew, *self._own.values()]
        for crew in crews:
            crew.stop()
        await asyncio.to_thread(join_all, crews)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self, lane: Lane, flow: Flow) -> Door:
        """A flow's way into a lane; lanes with the same fingerprint are one. The door must be closed."""
        door = Door(self, lane, flow)
        self._place_of(door)
        return door

    def backlog(self) -> Backlog:
        """What is waited for now."""
        return backlog(self._schedule.tracks.values())

    def lane_stats(self) -> list[LaneStats]:
        """Lanes with at least one open door."""
        return [lane_stats(track) for track in self._schedule.tracks.values()]

    def seconds_per_row(self, lane: Lane) -> float | None:
        """Predicted wall time of a row when the lane has the device for itself; None: never ran."""
        cost = self._costs.get(lane.fingerprint)
        return (
            None if cost is None else row_seconds(cost, min(lane.runner.replicas, self._device(lane).slots))
        )

    # Waiting and leaving; called by doors, on the loop.

    def _enqueue(self, door: Door, rows: Rows) -> tuple[Block, asyncio.Future[Answers]]:
        if not self._running:
            raise Draining("the server is about to stop; call again", RETRY_AFTER_S)
        if not len(rows):
            raise ValueError("a block has at least one row")
        block = self._schedule.submit(self._clock(), self._place_of(door), len(rows))
        future: asyncio.Future[Answers] = self._loop.create_future()
        self._waiters[block] = Waiter(Sheet(rows, block), future)
        self._nudge()
        return block, future

    def _leave(self, block: Block) -> None:
        if self._waiters.pop(block, None) is not None:
            self._schedule.drop(self._clock(), block)
            self._nudge()

    def _close_door(self, door: Door) -> None:
        place, now = door._place, self._clock()
        if place is None or not self._current(place):
            return
        for block in [block for block in self._waiters if block.place is place]:
            future = self._waiters.pop(block).future
            self._schedule.drop(now, block)
            if not future.done():
                future.cancel()
        self._schedule.close(now, place)
        self._nudge()

    def _place_of(self, door: Door) -> Place:
        """The door's place; a new one after a crash of the schedule."""
        place = door._place
        if place is None or not self._current(place):
            lane, flow = door._lane, door._flow
            place = self._schedule.open(self._clock(), lane, flow, self._device(lane), self._cost(lane))
            door._place = place
        return place

    def _current(self, place: Place) -> bool:
        return self._schedule.tracks.get(place.track.lane.name) is place.track

    def _device(self, lane: Lane) -> Device:
        if not lane.remote:
            return self._single if lane.runner.replicas == 1 else self._shared
        device = self._far.get(lane.runner)
        if device is None:
            device = self._far[lane.runner] = Device(lane.runner.replicas)
        return device

    def _cost(self, lane: Lane) -> Cost:
        """What was learnt of a lane, the longest unused one forgotten."""
        cost = self._costs.pop(lane.fingerprint, None)
        if cost is None:
            warm_up = min(lane.runner.replicas, self._device(lane).slots)
            cost = Cost(lane.max_rows, lane.fixed_rows, warm_up)
        if lane.remote:
            cost.fill_up_to(lane.max_rows)
        self._costs[lane.fingerprint] = cost
        if len(self._costs) > LANES_REMEMBERED:
            self._costs.popitem(last=False)
        return cost

    # Dispatch and delivery.

    def _nudge(self) -> None:
        """Plan once per tick, so that blocks submitted together leave together."""
        if not self._nudged:
            self._nudged = True
            self._loop.call_soon(self._guarded, self._pump)

    def _pump(self) -> None:
        self._nudged = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._running:
            return
        now = self._clock()
        batches, wake_at = self._schedule.plan(now)
        for batch in batches:
            self._dispatch(batch)
        if wake_at is not None:
            self._timer = self._loop.call_later(max(0.0, wake_at - now), self._guarded, self._pump)

    def _dispatch(self, batch: Batch) -> None:
        lane = batch.track.lane
        parts = [
            Part(self._waiters[block].sheet, lo, hi, number)
            for number, (block, lo, hi) in enumerate(batch.pieces)
        ]
        call = Call(lane.runner, parts, lane.fixed_rows, self._clock, self._told_later)
        self._crew_of(lane).do(lambda: self._work(batch, call))

    def _crew_of(self, lane: Lane) -> Crew:
        """The shared threads, those of a remote runner, or the one thread of one that must always see the same."""
        if lane.runner.replicas != 1 and not lane.remote:
            return self._crew
        crew = self._own.get(lane.runner)
        if crew is None:
            crew = self._own[lane.runner] = Crew(lane.runner.replicas, "whybox-model-own")
            crew.start()
            weakref.finalize(lane.runner, crew.stop)
        return crew

    def _work(self, batch: Batch, call: Call) -> None:
        """Runs in a worker thread. The loop hears of the end in every case."""
        crash: BaseException | None = None
        try:
            call.run()
        except BaseException as error:  # noqa: BLE001 - a thread that dies would take its slot with it
            crash = error
        self._soon(self._finished, batch, call, crash)

    def _told_later(self, told: list[Told]) -> None:
        self._soon(self._told, told)

    def _soon(self, act: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(self._guarded, act, *args)
        except RuntimeError:  # the loop is closed: nobody is left to hear it
            log.debug("a model call outlived the event loop")

    def _told(self, told: list[Told]) -> None:
        now = self._clock()
        for sheet, rows, error in told:
            if sheet.block not in self._waiters:
                continue
            if error is not None:
                self._settle(sheet.block, now, error)
            elif self._schedule.answered(now, sheet.block, rows):
                self._settle(sheet.block, now, None)

    def _settle(self, block: Block, now: float, error: WhyboxError | None) -> None:
        """Hand a block's answers over, or what went wrong."""
        waiter = self._waiters.pop(block)
        self._schedule.drop(now, block)
        if waiter.future.done():
            return
        if error is None:
            waiter.future.set_result(waiter.sheet.answers)
        else:
            waiter.future.set_exception(error)

    def _finished(self, batch: Batch, call: Call, crash: BaseException | None) -> None:
        self._told(call.told)
        if crash is not None:
            log.error("a worker failed outside of the model; its batch fails", exc_info=crash)
            failure = WhyboxError("the batcher failed")
            self._told([Told(part.sheet, 0, failure) for part in call.parts])
        self._schedule.finished(batch, self._clock(), call.seconds, clean=call.clean and crash is None)
        self._pump()

    # Supervision.

    def _guarded(self, act: Callable[..., None], *args: object) -> None:
        """A defect of the batcher must not leave anybody waiting for ever."""
        try:
            act(*args)
        except Exception:
            log.exception("the batcher failed; every waiting explanation fails, then it goes on afresh")
            self._fail_all(WhyboxError("the batcher failed"))
            self._restart()

    def _fail_all(self, error: WhyboxError) -> None:
        waiters, self._waiters = self._waiters, {}
        for block, waiter in waiters.items():
            block.live = False
            if not waiter.future.done():
                waiter.future.set_exception(error)

    def _restart(self) -> None:
        """An empty schedule; what was learnt of lanes stays. Calls still running report to the old one."""
        self._schedule = Schedule(
            max_delay_s=self._max_delay_s, window_rows=self._window_rows, depth=self._depth
        )
        self._shared, self._single = Device(self._slots), Device(1)
        self._far: weakref.WeakKeyDictionary[Runner, Device] = weakref.WeakKeyDictionary()


def join_all(crews: Sequence[Crew]) -> None:
    """Wait for all threads together, at most `STOP_WAIT_S`; blocks."""
    end = time.monotonic() + STOP_WAIT_S
    for crew in crews:
        crew.join(max(0.0, end - time.monotonic()))
