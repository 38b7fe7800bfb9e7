"""What cache and batcher cost per row when the model costs nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

import numpy as np
from tests.benchmarks.row import Row, at_most

from whybox_server.core.query import Query
from whybox_server.core.rows import Masked, Part
from whybox_server.serving.batch.batcher import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice
from whybox_server.settings import usable_cores

ROWS, SEGMENTS = 60_000, 50


class NoModel:
    """Answers with zeros and looks at no row."""

    replicas = usable_cores()

    def run(
        self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS
    ) -> Answers:
        return (np.zeros((sum(len(part.at) for part in slices), 10), np.float32),)


def overhead() -> list[Row]:
    """60,000 different masked rows through cache and batcher, hashing of rows included."""
    instance = np.zeros(SEGMENTS, np.float32)
    part = Part("x", instance, instance[None], np.arange(SEGMENTS, dtype=np.int32))

    async def once() -> float:
        async with Batcher(slots=usable_cores()) as batcher:
            cache = Cache(batcher)
            lane = Lane(b"overhead" * 4, NoModel(), max_rows=1024)
            taken = []
            for seed in range(6):
                masks = np.random.default_rng(seed).random((ROWS, SEGMENTS)) < 0.5
                desk = cache.open(lane, Flow(f"overhead-{seed}"))
                started = time.perf_counter()
                await desk.predict(Query(Masked((part,), masks)))
                taken.append((time.perf_counter() - started) / ROWS)
                desk.close()
            return statistics.median(taken[1:]) * 1e6

    return [at_most("cache and batcher with a no-op model, us per row", asyncio.run(once()), 5)]
