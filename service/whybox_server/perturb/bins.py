"""Bins of one column of a table: where they lie, how often they occur, how to draw inside one.

A bin is "more than the border below, at most the border above". It knows nothing of tables, rows or
models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """What is known of each bin; an empty bin has count 0 and no spread.

    borders: (b,) ascending, different. The others: (b + 1,), over the values that fell into the bin.
    """

    borders: Array
    counts: Array
    means: Array
    deviations: Array
    lows: Array
    highs: Array

    def of(self, values: Array) -> Array:
        """Bin of each value; a value on a border belongs to the lower bin."""
        return np.searchsorted(self.borders, values, side="left")

    def draw(self, chosen: Array, rng: np.random.Generator) -> Array:
        """One value inside each of the chosen bins, (n,): normal, cut off at the bin's extremes.

        A bin of one single value gives that value. The others are drawn until they fall inside. For
        values in [low, high] the variance is at most (mean - low)(high - mean) (Bhatia & Davis
        2000), so the interval holds at least half of the normal's mass and 64 rounds miss it with a
        probability below 1e-19 per value.
        """
        means, deviations = self.means[chosen], self.deviations[chosen]
        lows, highs = self.lows[chosen], self.highs[chosen]
        values = means.copy()
        open_ = np.flatnonzero(lows < highs)
        for _ in range(64):
            if not len(open_):
                break
            drawn = rng.normal(means[open_], deviations[open_])
            inside = (lows[open_] <= drawn) & (drawn <= highs[open_])
            values[open_[inside]] = drawn[inside]
            open_ = open_[~inside]
        return values

    def describe(self, chosen: int, name: str) -> str:
        """The bin in words: "petal width <= 1.8", "1.6 < petal length <= 4.35"."""
        below = "" if chosen == 0 else f"{self.borders[chosen - 1]:.6g}"
        above = "" if chosen == len(self.borders) else f"{self.borders[chosen]:.6g}"
        if not below:
            return f"{name} <= {above}"
        return f"{below} < {name} <= {above}" if above else f"{name} > {below}"


def bins(column: Array, percentiles: Sequence[float], instance: float) -> Bins:
    """Bins of a column, (rows,) float64, at its percentiles; equal borders are one.

    The instance counts as one more row where its own bin would be empty: it must be possible to
    draw "the same bin as the instance".
    """
    borders = np.unique(np.percentile(column, percentiles))  # (b,)
    own = int(np.searchsorted(borders, instance, side="left"))
    if own not in np.searchsorted(borders, column, side="left"):
        column = np.append(column, instance)
    where = np.searchsorted(borders, column, side="left")
    counts = np.bincount(where, minlength=len(borders) + 1)
    members = [column[where == b] if counts[b] else np.zeros(1) for b in range(len(counts))]
    lows = np.array([values.min() for values in members])
    highs = np.array([values.max() for values in members])
    # The mean of equal numbers may differ from them in its last bit, and a bin's values lie inside it.
    means = np.clip([values.mean() for values in members], lows, highs)
    deviations = np.array([values.std() for values in members])
    return Bins(borders, counts, means, deviations, lows, highs)
