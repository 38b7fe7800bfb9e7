"""Slopes at many rows, one sample after the other, until all are asked or the budget is spent.

What is said of a sample is its reader's business; the samples themselves are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.moments import OF_MEAN, Moments
from whybox_server.methods.probing import Asking, Here, Probing, in_chunks, led_back

FEWEST_SAMPLES = 2  # one has no variance

Reader = Callable[[int, Array], Array]  # a row's number and its slopes (*place) float64 -> (*units)


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """What all samples say, per target, and how many there were to be."""

    moments: tuple[Moments, ...]
    planned: int

    @property
    def asked(self) -> int:
        return self.moments[0].count

    @property
    def complete(self) -> bool:
        return self.asked == self.planned

    @property
    def warnings(self) -> tuple[str, ...]:
        """That the budget ended the work, if it did."""
        if self.complete:
            return ()
        spent = f"the budget ended after {self.asked} of {self.planned} samples"
        return (f"{spent}; raise max_queries or the deadline",)


def sampled(
    probing: Probing, here: Here, rows: Rows, reader: Reader, powers: int = OF_MEAN
) -> Asking[Sampled]:
    """Ask every row once per target. Lets BudgetSpent pass where fewer than two samples fit."""
    targets = len(here.chosen.indices)
    found = Sampled(tuple(Moments(powers) for _ in range(targets)), len(rows))

    def ask(chunk: slice) -> Asking[None]:
        replies = yield from led_back(probing, here, rows.take(np.arange(chunk.start, chunk.stop)))
        for moments, reply in zip(found.moments, replies, strict=True):
            assert reply.gradient is not None, "a gradient was asked for"
            for row, slopes in enumerate(reply.gradient, chunk.start):
                moments.add(reader(row, slopes.astype(np.float64)))

    more = 0
    try:
        for chunk in in_chunks(len(rows), here.values.shape, targets):
            yield from ask(chunk)
    except BudgetSpent as spent:
        more = spent.left // targets
        if found.asked + more < FEWEST_SAMPLES:
            raise
    if more and not found.complete:
        yield from ask(slice(found.asked, found.asked + more))
    return found
