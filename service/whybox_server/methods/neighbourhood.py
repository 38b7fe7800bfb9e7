"""Rows around an instance, what a linear surrogate reads of each, and how near they are.

Two kinds: masks over segments, and draws of a table's columns. It asks nothing and fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Protocol

import numpy as np

from whybox_server.core.explanation import Units
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.method import Rng
from whybox_server.perturb.hiding import Hiding
from whybox_server.perturb.tabular import Table

MASK_WIDTH = 0.25  # the reference implementation's kernel widths
TABLE_WIDTH = 0.75  # times sqrt(columns)
ENUMERABLE = 24  # segments: beyond, 2^d rows exceed what `num_samples` may be


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows around an instance; row 0 is the instance."""

    rows: Rows
    features: Array  # (n, d) bool or float64
    distances: Array  # (n,) from the instance
    multiplicities: Array  # (n,) how often a row stands for a draw; 1 unless every row is there
    exact: bool  # every row there is: nothing was left to chance
    per_draw: int = 1  # rows that were drawn together

    def kernel(self, width: float) -> Array:
        """Weights of the rows, (n,): exp(-D^2 / (2 width^2)) (LIME's own code; its paper has no 2)."""
        return np.asarray(self.multiplicities * np.exp(-(self.distances**2) / (2 * width**2)))


class Neighbourhood(Protocol):
    """Where rows come from."""

    @property
    def units(self) -> Units: ...

    @property
    def origin(self) -> Array:
        """Features of the instance by which coefficients are ranked, (d,)."""
        ...

    @property
    def width(self) -> float:
        """Default width of the kernel."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def baseline(self) -> str: ...

    @property
    def segmentation(self) -> str: ...

    def exact(self, n: int) -> bool:
        """Whether n rows are enough for every row there is."""
        ...

    def size(self, n: int) -> int:
        """How many rows `sample` gives: n, or all there are."""
        ...

    def sample(self, n: int, rng: Rng) -> Sample: ...


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Hides segments at random, each with probability 1/2 or, `by_count`, a uniform number of them.

    paired: masks come as z and not z. by_count is LIME's way with texts: the number removed is
    uniform in 1..d (Ribeiro et al. 2016, section 3.3).
    """

    hiding: Hiding
    by_count: bool
    paired: bool

    @property
    def units(self) -> Units:
        return self.hiding.units

    @property
    def origin(self) -> Array:
        return np.ones(self.hiding.count)

    @property
    def width(self) -> float:
        return MASK_WIDTH

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.hiding.warnings

    @property
    def baseline(self) -> str:
        return self.hiding.baseline

    @property
    def segmentation(self) -> str:
        return self.hiding.segmentation

    def exact(self, n: int) -> bool:
        return self.hiding.count < ENUMERABLE and self._all() <= n

    def size(self, n: int) -> int:
        return self._all() if self.exact(n) else n

    def sample(self, n: int, rng: Rng) -> Sample:
        """N rows, or every mask over every background, with the counts expected among n rows."""
        if self.exact(n):
            masks, choice, expected = self._enumerated(n, rng)
            return Sample(self.hiding.rows(masks, choice), masks, distance(masks), expected, exact=True)
        masks, choice = self._drawn(n, rng), None
        if self.hiding.backgrounds > 1:
            choice = rng.integers(self.hiding.backgrounds, size=n)
        rows = self.hiding.rows(masks, choice)
        return Sample(rows, masks, distance(masks), np.ones(n), exact=False, per_draw=2 if self.paired else 1)

    def _all(self) -> int:
        """The instance, and every other mask over every background."""
        return 1 + self.hiding.backgrounds * ((1 << self.hiding.count) - 1)

    def _enumerated(self, n: int, rng: Rng) -> tuple[Array, Array | None, Array]:
        """Every mask; in random order, so that the first rows are a fair sample if the budget ends."""
        d, backgrounds = self.hiding.count, self.hiding.backgrounds
        every = (np.arange(2**d)[:, None] >> np.arange(d)) & 1 == 0  # (2^d, d), row 0 keeps everything
        order = 1 + rng.permutation(backgrounds * (2**d - 1))
        masks = np.vstack([every[:1], np.tile(every[1:], (backgrounds, 1))])
        masks[1:] = masks[order]
        choice = np.concatenate([[0], (order - 1) // (2**d - 1)])
        by_removed = np.array([self._probability(removed) for removed in range(d + 1)])
        expected = (n - 1) * by_removed[d - masks.sum(axis=1)] / backgrounds
        expected[0] = 1 + (n - 1) * by_removed[0]
        return masks, choice if backgrounds > 1 else None, expected

    def _probability(self, removed: int) -> float:
        """How likely the sampler draws one given mask with so many segments removed."""
        d = self.hiding.count
        if not self.by_count:
            return 0.5**d
        counts = (removed, d - removed) if self.paired else (removed,)
        return sum(1 / (d * comb(d, m)) for m in counts if m) / len(counts)

    def _drawn(self, n: int, rng: Rng) -> Array:
        """(n, d) bool, the instance first."""
        draws, d = (n // 2 if self.paired else n - 1), self.hiding.count
        if self.by_count:
            removed = rng.integers(1, d + 1, size=(draws, 1))
            masks = rng.permuted(np.arange(d) >= removed, axis=1)
        else:
            masks = rng.random((draws, d)) < 0.5
        if self.paired:
            masks = np.stack([masks, ~masks], axis=1).reshape(-1, d)
        return np.vstack([np.ones((1, d), dtype=bool), masks[: n - 1]])


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Draws a table's columns from their laws."""

    table: Table

    @property
    def units(self) -> Units:
        return self.table.units

    @property
    def origin(self) -> Array:
        return self.table.ranking

    @property
    def width(self) -> float:
        return TABLE_WIDTH * float(np.sqrt(len(self.table.laws)))

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.table.warnings

    @property
    def baseline(self) -> str:
        return self.table.absent

    @property
    def segmentation(self) -> str:
        return self.table.cut

    def exact(self, n: int) -> bool:
        return False

    def size(self, n: int) -> int:
        return n

    def sample(self, n: int, rng: Rng) -> Sample:
        """N rows; the distance is Euclidean on the features."""
        rows, features = self.table.draw(n, rng)
        distances = np.linalg.norm(features - features[0], axis=1)
        return Sample(rows, features, distances, np.ones(n), exact=False)


def distance(masks: Array) -> Array:
    """Cosine distance of masks from the mask that keeps everything, (n,); 1 where nothing is kept."""
    return np.asarray(1 - np.sqrt(masks.mean(axis=1)))
