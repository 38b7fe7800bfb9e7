"""The asyncio shell: answers in order, errors for the guilty only, nobody left waiting.

Models here are functions of the row's number, so that every answer has a known value; a gate holds a
call in its thread while a test arranges what must happen meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import numpy as np
import pytest

from whybox_server.core.errors import (
    Draining,
    ModelFailed,
    ModelOutputInvalid,
    Overloaded,
    Reason,
    WhyboxError,
)
from whybox_server.core.rows import Array, Samples
from whybox_server.serving.batch import Backlog, Batcher
from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice

Spoil = Callable[[Array, Array], Array]


class Model:
    """Answers row x with (2 x, x + 1). Remembers every call; `gate`, if closed, holds calls."""

    def __init__(self, replicas: int = 1, poison: Iterable[float] = (), spoil: Spoil | None = None) -> None:
        self.replicas = replicas
        self.poison = np.array(list(poison))
        self.spoil = spoil
        self.calls: list[Array] = []
        self.padded: list[int | None] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        x = np.concatenate([part.rows.inputs["x"][part.at, 0] for part in slices])  # type: ignore[attr-defined]
        self.calls.append(x)
        self.padded.append(pad_to)
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.gate.wait(10)
        if len(self.poison) and np.isin(x, self.poison).any():
            raise RuntimeError("bad row\nwith a stack trace that is nobody's business")
        answer = np.stack([2 * x, x + 1], axis=1)
        return (answer if self.spoil is None else self.spoil(x, answer),)


def numbers(*values: float) -> Samples:
    return Samples({"x": np.array(values, dtype=np.float64)[:, None]})


def count_from(start: int, rows: int) -> Samples:
    return numbers(*range(start, start + rows))


def expected(rows: Samples) -> Array:
    x = rows.inputs["x"][:, 0]
    return np.stack([2 * x, x + 1], axis=1)


def lane(model: Model, max_rows: int = 64, name: bytes = b"lane", fixed: int | None = None) -> Lane:
    return Lane(name, model, max_rows, fixed)


def settled(batcher: Batcher, own: Lane, target: int = 64) -> None:
    """Let the batcher know the lane's best size already, so that batches are shared from the first one."""
    cost = Cost(own.max_rows, own.fixed_rows, target=target, exploring=False)
    cost.samples[target] = deque([1e-3], maxlen=8)
    cost.line.add(target, 1e-3)
    cost.line.add(1, 9e-4)
    batcher._costs[own.fingerprint] = cost


@pytest.fixture
async def batcher() -> AsyncIterator[Batcher]:
    async with Batcher(slots=2, max_delay_s=0.002) as running:
        yield running


async def entered(model: Model) -> None:
    """Wait until a call is inside the model."""
    assert await asyncio.to_thread(model.entered.wait, 10)
    model.entered.clear()


def let_finish(model: Model) -> None:
    """Open the gate and hold the loop until the call's report lies in its queue."""
    model.gate.set()
    time.sleep(0.05)


async def test_answers_come_in_the_order_of_the_rows(batcher: Batcher):
    """1000 rows through many calls of changing size: row i's answer is (2 i, i + 1)."""
    door = batcher.open(lane(Model(replicas=2)), Flow("f"))
    rows = count_from(0, 1000)
    (answers,) = await door.submit(rows)
    np.testing.assert_array_equal(answers, expected(rows))
    door.close()


async def test_several_submits_of_one_door_may_be_outstanding(batcher: Batcher):
    door = batcher.open(lane(Model(replicas=2)), Flow("f"))
    blocks = [count_from(100 * i, 1 + 7 * i) for i in range(20)]
    for rows, (answers,) in zip(blocks, await asyncio.gather(*map(door.submit, blocks)), strict=True):
        np.testing.assert_array_equal(answers, expected(rows))
    door.close()


async def test_flows_of_one_lane_share_a_call_and_get_their_own_rows(batcher: Batcher):
    """Four blocks of 16 that come in one tick are one call of 64 rows; lanes are known by fingerprint."""
    model = Model()
    settled(batcher, lane(model))
    doors = [batcher.open(lane(model), Flow(str(i))) for i in range(4)]
    blocks = [count_from(1000 * i, 16) for i in range(4)]
    asked = [door.submit(rows) for door, rows in zip(doors, blocks, strict=True)]
    for rows, (answers,) in zip(blocks, await asyncio.gather(*asked), strict=True):
        np.testing.assert_array_equal(answers, expected(rows))
    assert [len(call) for call in model.calls] == [64]


async def test_blocks_that_one_flow_asks_in_one_tick_leave_together(batcher: Batcher):
    """The first block alone would find the lane quiescent, and leave alone."""
    model = Model()
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    await asyncio.gather(*(door.submit(count_from(100 * i, 16)) for i in range(3)))
    assert [len(call) for call in model.calls] == [48]


async def test_lanes_never_share_a_call(batcher: Batcher):
    model = Model()
    for name in (b"a", b"b"):
        settled(batcher, lane(model, name=name))
    doors = [batcher.open(lane(model, name=name), Flow(name.decode())) for name in (b"a", b"b")]
    await asyncio.gather(doors[0].submit(count_from(0, 5)), doors[1].submit(count_from(100, 5)))
    assert sorted(len(call) for call in model.calls) == [5, 5]


async def test_reproducible_calls_are_padded_and_never_larger(batcher: Batcher):
    """fixed_rows = 8: twenty rows are calls of at most 8, each told to pad to 8."""
    model = Model(replicas=2)
    door = batcher.open(lane(model, fixed=8), Flow("f"))
    (answers,) = await door.submit(count_from(0, 20))
    np.testing.assert_array_equal(answers, expected(count_from(0, 20)))
    assert max(map(len, model.calls)) <= 8
    assert set(model.padded) == {8}


async def test_a_runner_with_one_replica_sees_one_thread_for_its_life(batcher: Batcher):
    """Two lanes and two generations of doors: onnxruntime's CUDA provider must not see a second thread."""
    model = Model(replicas=1)
    for name in (b"a", b"b", b"a"):
        door = batcher.open(lane(model, name=name), Flow("f"))
        await door.submit(count_from(0, 30))
        door.close()
    assert len(model.threads) == 1


async def test_a_model_is_let_go_when_nobody_uses_it(batcher: Batcher):
    """The batcher remembers a lane's cost, never its model."""

    model = Model(replicas=1)
    door = batcher.open(lane(model), Flow("f"))
    await door.submit(count_from(0, 3))
    door.close()
    gone = weakref.ref(model)
    del model, door
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        await asyncio.sleep(0.01)
    assert gone() is None


# Who spoils a batch.


async def test_a_row_that_raises_fails_its_own_flow_only(batcher: Batcher):
    """Four flows share a call; row 5 of the third raises. It is named, and the others have answers."""
    model = Model(poison=[2005])
    settled(batcher, lane(model))
    doors = [batcher.open(lane(model), Flow(str(i))) for i in range(4)]
    blocks = [count_from(1000 * i, 16) for i in range(4)]
    asked = (door.submit(rows) for door, rows in zip(doors, blocks, strict=True))
    found = await asyncio.gather(*asked, return_exceptions=True)
    error = found.pop(2)
    assert isinstance(error, ModelFailed)
    assert str(error) == "on row 5: the model failed: bad row"
    assert error.details["rows"] == "5"
    for rows, answers in zip([blocks[0], blocks[1], blocks[3]], found, strict=True):
        assert not isinstance(answers, BaseException)
        np.testing.assert_array_equal(answers[0], expected(rows))
    assert [len(call) for call in model.calls[:5]] == [64, 16, 16, 16, 16]  # together, then each flow alone
    assert len(model.calls) <= 5 + 2 * 5 + 2  # and the search


@pytest.mark.parametrize("bad", [0, 17, 63])
async def test_the_row_is_found_wherever_it_is(batcher: Batcher, bad: int):
    model = Model(poison=[bad])
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    with pytest.raises(ModelFailed, match=f"row {bad}: .*bad row") as caught:
        await door.submit(count_from(0, 64))
    assert caught.value.details == {"rows": str(bad)}


async def test_the_culprit_s_other_blocks_are_answered(batcher: Batcher):
    """Two blocks of one flow in one call: only the one with the bad row fails."""
    model = Model(poison=[3])
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    asked = (door.submit(count_from(0, 8)), door.submit(count_from(100, 8)))
    failed, fine = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, ModelFailed)
    assert not isinstance(fine, BaseException)
    np.testing.assert_array_equal(fine[0], expected(count_from(100, 8)))


async def test_a_call_that_is_only_too_large_succeeds_in_halves(batcher: Batcher):
    """A model that runs out of memory above 16 rows answers all 64, in smaller calls."""

    def small_only(x: Array, answer: Array) -> Array:
        if len(x) > 16:
            raise MemoryError
        return answer

    model = Model(spoil=small_only)
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    (answers,) = await door.submit(count_from(0, 64))
    np.testing.assert_array_equal(answers, expected(count_from(0, 64)))


async def test_a_model_that_always_fails_costs_a_bounded_number_of_calls(batcher: Batcher):
    model = Model(poison=range(64))
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    with pytest.raises(ModelFailed, match="row 0:"):
        await door.submit(count_from(0, 64))
    assert len(model.calls) <= 1 + 2 * 7 + 2


async def test_the_search_is_bounded_for_all_blocks_together(batcher: Batcher):
    """64 blocks of one bad row each: each of them fails, in 1 + 16 calls rather than 127."""
    model = Model(poison=range(64))
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    found = await asyncio.gather(*(door.submit(numbers(x)) for x in range(64)), return_exceptions=True)
    assert all(isinstance(error, ModelFailed) and error.details["rows"] == "0" for error in found)
    assert len(model.calls) <= 1 + 2 * 7 + 2


async def test_rows_answered_with_nan_are_named_and_fail_their_flow_only(batcher: Batcher):
    def spoil(x: Array, answer: Array) -> Array:
        answer[np.isin(x, [1003, 1007]), 1] = [np.nan, np.inf]
        return answer

    model = Model(spoil=spoil)
    settled(batcher, lane(model))
    doors = [batcher.open(lane(model), Flow(str(i))) for i in range(2)]
    asked = (doors[0].submit(count_from(0, 16)), doors[1].submit(count_from(1000, 16)))
    fine, failed = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, ModelOutputInvalid)
    assert failed.details == {"rows": "3,7"}
    assert not isinstance(fine, BaseException)
    np.testing.assert_array_equal(fine[0], expected(count_from(0, 16)))
    assert len(model.calls) == 1  # what is known needs no second call


@pytest.mark.parametrize(
    "spoil", [lambda x, a: a[:-1], lambda x, a: np.vstack([a, a]), lambda x, a: np.float64(1.0)], ids=["one too few", "twice as many", "a scalar"]
)
async def test_a_wrong_number_of_answers_is_the_model_s_fault(batcher: Batcher, spoil: Spoil):
    """Rows cannot be told apart then, so all of the flow's rows in the call are named."""
    model = Model(spoil=spoil)
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    with pytest.raises(ModelOutputInvalid, match="asked for 16 rows") as caught:
        await door.submit(count_from(0, 16))
    assert caught.value.details == {"rows": "0-15"}
    assert caught.value.reason is Reason.MODEL_OUTPUT_INVALID


async def test_answers_that_change_their_shape_are_refused(batcher: Batcher):
    """(n, 1) would broadcast silently into (n, 2); it must not."""
    model = Model(spoil=lambda x, a: a if x[0] == 0 else a[:, :1])
    settled(batcher, lane(model, max_rows=8), target=8)
    door = batcher.open(lane(model, max_rows=8), Flow("f"))
    with pytest.raises(ModelOutputInvalid, match="change their shape"):
        await door.submit(count_from(0, 16))


async def test_what_a_layer_below_has_diagnosed_is_passed_on(batcher: Batcher):
    """An overloaded remote model is no matter of rows: no second call, the same error."""

    def refuse(_: Array, __: Array) -> Array:
        raise Overloaded("come back", 3.0)

    model = Model(spoil=refuse)
    settled(batcher, lane(model))
    door = batcher.open(lane(model), Flow("f"))
    with pytest.raises(Overloaded, match="come back"):
        await door.submit(count_from(0, 16))
    assert len(model.calls) == 1


async def test_only_the_first_line_of_a_runtime_s_words_gets_out(batcher: Batcher):
    def shout(_: Array, __: Array) -> Array:
        raise ValueError("x" * 1000 + "\nsecret")

    door = batcher.open(lane(Model(spoil=shout)), Flow("f"))
    with pytest.raises(ModelFailed) as caught:
        await door.submit(count_from(0, 1))
    assert str(caught.value) == "on row 0: the model failed: " + "x" * 300


# Leaving.


async def test_a_cancelled_submit_leaves_the_queue_and_its_neighbours_are_served(batcher: Batcher):
    """While a call is held, one of two queued blocks is cancelled: its rows never reach the model."""
    model = Model()
    settled(batcher, lane(model))
    model.gate.clear()
    door, other = (batcher.open(lane(model), Flow(name)) for name in "ab")
    first = asyncio.create_task(door.submit(count_from(0, 64)))
    await entered(model)
    unlucky = asyncio.create_task(door.submit(count_from(500, 8)))
    lucky = asyncio.create_task(other.submit(count_from(900, 8)))
    await asyncio.sleep(0)
    unlucky.cancel()
    await asyncio.wait([unlucky])
    assert batcher.backlog().rows == 64 + 8
    model.gate.set()
    await first
    np.testing.assert_array_equal((await lucky)[0], expected(count_from(900, 8)))
    assert unlucky.cancelled()
    assert not any(np.isin(call, np.arange(500, 508)).any() for call in model.calls)


async def test_closing_a_door_ends_its_submits_and_no_other(batcher: Batcher):
    """Rows in the running call are discarded, the neighbour in the same call is answered."""
    model = Model()
    settled(batcher, lane(model))
    model.gate.clear()
    door, other = (batcher.open(lane(model), Flow(name)) for name in "ab")
    tasks = [asyncio.create_task(d.submit(count_from(100 * i, 16))) for i, d in enumerate((door, other))]
    await entered(model)
    door.close()
    door.close()  # closing twice is closing once
    model.gate.set()
    await asyncio.wait(tasks, timeout=5)
    assert tasks[0].cancelled()
    np.testing.assert_array_equal(tasks[1].result()[0], expected(count_from(100, 16)))
    with pytest.raises(WhyboxError, match="is over"):
        await door.submit(count_from(0, 1))
    assert batcher.backlog().rows == 0


async def test_cancelled_between_the_answer_and_its_delivery(batcher: Batcher):
    """The report lies in the loop's queue when the submit is cancelled: its batch mate is served."""
    model = Model()
    settled(batcher, lane(model))
    model.gate.clear()
    doors = [batcher.open(lane(model), Flow(name)) for name in "ab"]
    tasks = [asyncio.create_task(d.submit(count_from(100 * i, 16))) for i, d in enumerate(doors)]
    await entered(model)
    let_finish(model)
    tasks[0].cancel()
    await asyncio.wait(tasks, timeout=5)
    assert tasks[0].cancelled()
    np.testing.assert_array_equal(tasks[1].result()[0], expected(count_from(100, 16)))


async def test_a_prepared_call_that_nobody_waits_for_is_not_made():
    """Depth 2 hands over two calls; the second one's flow leaves before it starts."""
    async with Batcher(slots=1, depth=2) as batcher:
        model = Model()
        settled(batcher, lane(model))
        model.gate.clear()
        door = batcher.open(lane(model), Flow("f"))
        task = asyncio.create_task(door.submit(count_from(0, 256)))
        await entered(model)
        task.cancel()
        await asyncio.wait([task])
        model.gate.set()
    assert len(model.calls) == 1


async def test_stopping_refuses_who_waits_and_who_comes():
    model = Model()
    model.gate.clear()
    async with Batcher(slots=1) as batcher:
        door = batcher.open(lane(model), Flow("f"))
        waiting = asyncio.create_task(door.submit(count_from(0, 100)))
        await entered(model)
        asyncio.get_running_loop().call_later(0.01, model.gate.set)
    with pytest.raises(Draining):
        await waiting
    with pytest.raises(Draining):
        await door.submit(count_from(0, 1))
    door.close()


# Accidents, and what is reported.


async def test_a_defect_of_the_schedule_leaves_nobody_waiting(
    batcher: Batcher, caplog: pytest.LogCaptureFixture
):
    """Planning raises once: who waits gets INTERNAL, and the same door works afterwards."""
    model = Model()
    door = batcher.open(lane(model), Flow("f"))
    batcher._schedule.plan = lambda now: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(WhyboxError) as caught:
        await asyncio.wait_for(door.submit(count_from(0, 4)), 5)
    assert caught.value.reason is Reason.INTERNAL
    assert "division" not in str(caught.value)
    assert "ZeroDivisionError" in caplog.text
    (answers,) = await door.submit(count_from(0, 4))
    np.testing.assert_array_equal(answers, expected(count_from(0, 4)))


async def test_a_runner_that_kills_its_thread_fails_its_batch_only(batcher: Batcher):
    """SystemExit in a worker: the batch gets INTERNAL, the slot and the loop survive."""

    def die(x: Array, answer: Array) -> Array:
        if x[0] == 0:
            raise SystemExit
        return answer

    door = batcher.open(lane(Model(spoil=die)), Flow("f"))
    with pytest.raises(WhyboxError) as caught:
        await door.submit(count_from(0, 1))
    assert caught.value.reason is Reason.INTERNAL
    (answers,) = await door.submit(count_from(1, 5))
    np.testing.assert_array_equal(answers, expected(count_from(1, 5)))


async def test_usage_and_statistics_say_what_happened(batcher: Batcher):
    """300 rows: all were sent, by at least 300 / 64 calls, and the backlog is what was not answered."""
    model = Model(replicas=2)
    own, flow = lane(model), Flow("f")
    assert batcher.seconds_per_row(own) is None
    door = batcher.open(own, flow)
    await door.submit(count_from(0, 300))
    assert flow.usage.rows_sent == 300
    assert flow.usage.batches == len(model.calls) >= 5
    assert 0 < flow.usage.fill_sum <= flow.usage.batches
    assert flow.usage.model_s > 0
    each = batcher.seconds_per_row(own)
    assert each is not None
    assert each > 0
    (stats,) = batcher.lane_stats()
    assert (stats.flows, stats.rows_queued, stats.rows_held, stats.calls_running) == (1, 0, 0, 0)
    assert stats.calls == len(model.calls)
    assert batcher.backlog() == Backlog(0, 0.0)
    door.close()
    assert batcher.lane_stats() == []
    assert batcher.seconds_per_row(own) == each


async def test_a_block_without_rows_is_refused(batcher: Batcher):
    door = batcher.open(lane(Model()), Flow("f"))
    with pytest.raises(ValueError, match="at least one row"):
        await door.submit(numbers())
