"""Does the same row get the same answer: twice, beside other rows, and in another order?

A pure procedure that asks and is answered; `probe` says what it asks, `Determinism` what that showed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from whybox_server.core.rows import Array

ROUNDING = 1e-5  # relative: what float32 sums in another order may differ by


@dataclass(frozen=True, slots=True)
class Determinism:
    """How far answers to the same row lie apart at most, relative to the largest score; 0.0: not at all.

    again: the same call twice. alone: in a call of its own. order: rows in another order.
    None: it was not tried, because only one row was given, or rows share no call.
    """

    again: float
    alone: float | None
    order: float | None

    @property
    def same(self) -> bool:
        """Every answer was the same, bit for bit."""
        return not any((self.again, self.alone, self.order))

    def __str__(self) -> str:
        if self.same:
            return "deterministic"
        if self.again > ROUNDING:
            return f"not deterministic: the same rows, asked twice, differ by {self.again:.1g} of the largest score"
        largest = max(self.again, self.alone or 0.0, self.order or 0.0)
        if largest > ROUNDING:
            return f"answers depend on the other rows of a call, by {largest:.1g} of the largest score"
        return f"deterministic but for rounding, {largest:.1g} of the largest score"


def probe(rows: Mapping[str, Array], *, batched: bool = True) -> Generator[Mapping[str, Array], Array, Determinism]:
    """Asks for scores, (k, outputs), of some of these rows, (n, *shape) by input; four calls at most.

    batched: rows may share a call; else the first one alone is asked, twice.
    """
    count = len(next(iter(rows.values())))
    if not batched:
        rows, count = {name: array[:1] for name, array in rows.items()}, 1
    first = yield rows
    again = apart((yield rows), first)
    if count == 1:
        return Determinism(again, None, None)
    alone = apart((yield {name: array[:1] for name, array in rows.items()}), first[:1])
    back = np.arange(count)[::-1]
    order = apart((yield {name: array[back] for name, array in rows.items()})[back], first)
    return Determinism(again, alone, order)


def apart(one: Array, other: Array) -> float:
    """Largest difference, relative to the largest score; infinite where the shapes differ."""
    if one.shape != other.shape:
        return inf
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    gap = np.abs(one - other)
    scale = float(np.abs(other).max(initial=0.0))
    return float(gap.max()) / scale if scale and np.isfinite(gap).all() else inf
