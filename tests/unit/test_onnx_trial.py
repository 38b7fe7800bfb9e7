"""The first load of a stranger's model, in a real child process that may come to harm."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.graph import model, node

from whybox_server.core.errors import ModelRejected
from whybox_server.serving.onnx.trial import Bounds, trial

FLOAT = TensorProto.FLOAT


def growing(side: int) -> bytes:
    """x plus the sum of a square that is made when the model runs: side^2 floats."""
    return model(
        [
            node("Shape", "x", "n"), node("Concat", "side side", "s", axis=0),
            node("Gather", "n zero", "rows"),
            node("Mul", "s rows", "shape"), node("ConstantOfShape", "shape", "big"),
            node("ReduceSum", "big", "sum", keepdims=0), node("Add", "x sum", "y"),
        ],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
        {"side": np.array([side]), "zero": np.array([0])},
    )  # fmt: skip


@pytest.mark.slow
async def test_verdicts_of_the_child():
    """Four children at once: a good model passes, a file of text and two greedy models get their rules."""
    small = Bounds(memory_bytes=3 << 30)

    async def verdict(data: bytes, bounds: Bounds) -> str:
        try:
            await trial(data, bounds)
        except ModelRejected as error:
            return error.details["rule"]
        return ""

    found = await asyncio.gather(
        verdict(growing(2), small),
        verdict(b"#!/bin/sh\n", small),
        verdict(growing(1 << 19), small),
        verdict(growing(2), Bounds(wall_s=0.01)),
    )
    assert found == ["", "NOT_ONNX", "TRIAL_MEMORY", "TRIAL_TIME"]


async def test_a_cancelled_trial_leaves_no_child():
    """The child is gone, and waited for, when the cancellation arrives at the caller."""
    before = children()
    task = asyncio.create_task(trial(growing(2)))
    while children() == before:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == before


def children() -> set[str]:
    """Process ids of this process's children, zombies included."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for file in tasks for pid in file.read_text().split()}


async def test_a_child_that_is_killed_is_a_refusal():
    """Out of CPU seconds it is ended by the kernel; this process lives on and says why."""
    with pytest.raises(ModelRejected) as caught:
        await trial(growing(2), Bounds(cpu_s=0))
    assert caught.value.details["rule"] == "TRIAL_TIME"
