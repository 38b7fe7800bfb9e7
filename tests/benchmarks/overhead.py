"""What the batcher costs per row when the model costs nothing: `python -m tests.benchmarks.overhead`.

Prints microseconds per row by batch size and number of flows, and the longest time that one step of
the batcher kept the event loop. The promise is at most 5 us per row, amortised over 60,000 rows.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from whybox_server.core.rows import Samples
from whybox_server.serving.batch import Batcher
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice

ROWS = 60_000
REPEATS = 5
BATCHES = (16, 32, 64, 256)
FLOWS = (1, 8, 32)
BLOCK_ROWS = 512  # the cache's


class NoModel:
    """Answers with zeros."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas

    def run(
        self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS
    ) -> Answers:
        return (np.zeros((sum(len(part.at) for part in slices), 10), np.float32),)


async def ask(batcher: Batcher, lane: Lane, rows: int) -> None:
    door = batcher.open(lane, Flow("bench"))
    blocks = [Samples({"x": np.zeros((min(BLOCK_ROWS, rows - lo), 4))}) for lo in range(0, rows, BLOCK_ROWS)]
    await asyncio.gather(*map(door.submit, blocks))
    door.close()


async def measure(max_rows: int, flows: int, replicas: int, depth: int) -> tuple[float, float]:
    """Median seconds per row, and the longest step on the loop in seconds."""
    longest = 0.0
    async with Batcher(slots=replicas, depth=depth) as batcher:
        guarded = batcher._guarded

        def timed(*args: object) -> None:
            nonlocal longest
            started = time.thread_time()
            guarded(*args)  # type: ignore[arg-type]
            longest = max(longest, time.thread_time() - started)

        batcher._guarded = timed  # type: ignore[method-assign]
        lane = Lane(b"bench", NoModel(replicas), max_rows)
        await ask(batcher, lane, 4096)
        taken = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            await asyncio.gather(*(ask(batcher, lane, ROWS // flows) for _ in range(flows)))
            taken.append((time.perf_counter() - started) / ROWS)
    return statistics.median(taken), longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--depth", type=int, default=2)
    options = parser.parse_args()
    sys.stdout.write("batch  flows  us/row  longest step ms\n")
    for max_rows in BATCHES:
        for flows in FLOWS:
            each, longest = asyncio.run(measure(max_rows, flows, options.replicas, options.depth))
            sys.stdout.write(f"{max_rows:5d}  {flows:5d}  {each * 1e6:6.2f}  {longest * 1e3:8.2f}\n")


if __name__ == "__main__":
    main()
