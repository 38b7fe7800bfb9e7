"""The whole batcher, threads included, under random neighbours, cancellations and poisoned rows.

Blocks have 16 rows or fewer, so that batches of 64 are shared: with blocks as large as a batch, a
batcher that hands results to cancelled futures passes unseen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from whybox_server.core.errors import ModelFailed, ModelOutputInvalid
from whybox_server.core.rows import Samples
from whybox_server.serving.batch import Batcher
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice

STEP_S = 2e-4  # a call's time, so that some rows wait while others run
FOREVER_S = 10.0  # nobody waits so long for anything here
RANDOM = settings(
    derandomize=True,
    phases=[Phase.generate],  # threads make failures too fickle to shrink
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass(eq=False)
class Model:
    """Answers x with 3 x; raises for rows below 0, and says NaN for rows above a million."""

    replicas: int
    largest: int = 0

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        x = np.concatenate([part.rows.inputs["x"][part.at, 0] for part in slices])  # type: ignore[attr-defined]
        self.largest = max(self.largest, len(x))
        assert pad_to is None or len(x) <= pad_to
        time.sleep(STEP_S)
        if (x < 0).any():
            raise RuntimeError("negative")
        return (np.where(x > 1e6, np.nan, 3 * x)[:, None],)


@dataclass(frozen=True)
class Plan:
    """One flow: sizes of the blocks it asks one after the other, and what happens to it."""

    blocks: tuple[int, ...]
    cancel_after_s: float | None
    close: bool  # cancelled by closing the door rather than the task
    bad: str  # "", "raises", "nan": the last row of the last block


plans = st.builds(
    Plan,
    blocks=st.lists(st.integers(1, 16), min_size=1, max_size=6).map(tuple),
    cancel_after_s=st.none() | st.floats(0, 0.008),
    close=st.booleans(),
    bad=st.sampled_from(["", "", "", "raises", "nan"]),
)


def values(plan: Plan, number: int) -> list[np.ndarray]:
    blocks = [1000.0 * number + 50 * i + np.arange(size) for i, size in enumerate(plan.blocks)]
    if plan.bad:
        blocks[-1][-1] = -1.0 if plan.bad == "raises" else 2e6
    return blocks


async def explain(batcher: Batcher, lane: Lane, plan: Plan, number: int) -> list[np.ndarray]:
    """A closed loop: ask, wait, ask again; odd flows ask everything at once."""
    door = batcher.open(lane, Flow(str(number)))
    if plan.close and plan.cancel_after_s is not None:
        asyncio.get_running_loop().call_later(plan.cancel_after_s, door.close)
    try:
        blocks = [Samples({"x": block[:, None]}) for block in values(plan, number)]
        if number % 2:
            return [answers[0] for answers in await asyncio.gather(*map(door.submit, blocks))]
        return [(await door.submit(block))[0] for block in blocks]
    finally:
        door.close()


async def everything(flows: list[Plan], replicas: int, fixed: int | None) -> None:
    async with Batcher(slots=2, max_delay_s=1e-3, window_rows=24) as batcher:
        model = Model(replicas)
        lane = Lane(b"lane", model, max_rows=64, fixed_rows=fixed)
        tasks = [asyncio.create_task(explain(batcher, lane, plan, i)) for i, plan in enumerate(flows)]
        for task, plan in zip(tasks, flows, strict=True):
            if plan.cancel_after_s is not None and not plan.close:
                asyncio.get_running_loop().call_later(plan.cancel_after_s, task.cancel)
        _, waiting = await asyncio.wait(tasks, timeout=FOREVER_S)
        assert not waiting, "somebody waits for ever"
        for number, (task, plan) in enumerate(zip(tasks, flows, strict=True)):
            check(task, plan, number)
        assert batcher.backlog().rows == 0
        assert not batcher._waiters
        assert model.largest <= (fixed or 64)


def check(task: asyncio.Task[list[np.ndarray]], plan: Plan, number: int) -> None:
    """A flow ends with right answers, with its own error, or cancelled if that was asked for."""
    if task.cancelled():
        assert plan.cancel_after_s is not None, "cancelled by somebody else's cancellation"
        return
    error = task.exception()
    if error is None:
        assert not plan.bad
        for found, asked in zip(task.result(), values(plan, number), strict=True):
            np.testing.assert_array_equal(found[:, 0], 3 * asked)
    elif isinstance(error, ModelFailed | ModelOutputInvalid):
        assert plan.bad, "poisoned by a neighbour"
        assert isinstance(error, ModelFailed) == (plan.bad == "raises")
        assert error.details["rows"] == str(plan.blocks[-1] - 1)
    else:
        # A door that was closed between two steps refuses the next one.
        assert plan.close
        assert plan.cancel_after_s is not None
        assert "is over" in str(error)


@RANDOM
@given(st.lists(plans, min_size=1, max_size=10), st.sampled_from([1, 2]), st.sampled_from([None, 8, 16]))
def test_nobody_is_hurt_by_a_neighbour_and_nobody_waits_for_ever(
    flows: list[Plan], replicas: int, fixed: int | None
):
    """Every flow's outcome depends on that flow alone: its rows, its poison, its cancellation."""
    asyncio.run(everything(flows, replicas, fixed))
