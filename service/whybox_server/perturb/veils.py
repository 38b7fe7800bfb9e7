"""Random masks that hide parts of an instance more or less, for methods that average over masks.

Pictures and series get soft masks, enlarged from a coarse random grid and shifted at random; texts
lose whole words. What the masked instances score, this file does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Protocol

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows
from whybox_server.core.rows_soft import Soft, bilinear
from whybox_server.core.spec import Modality
from whybox_server.perturb.baselines import Rng, background_of
from whybox_server.perturb.hiding import Hiding, hide, refuse_nan
from whybox_server.perturb.layout import Axes, axes_of
from whybox_server.perturb.mask_sums import mask_sums
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation

CELLS = 7  # the paper's
ENUMERABLE = 20  # words: beyond, 2^words masks exceed what may be asked
MOST_CELLS = 2**28  # of all masks together: 268 MB


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Masks and the rows that they make.

    sums: factors (f, n), also for fewer rows than there are, to sums of factors M and of factors M^2,
    (f, places) each. shares: (n,) weight of each mask in a mean; they sum to 1. exact: these are all
    masks there are.
    """

    rows: Rows
    sums: Callable[[Array], tuple[Array, Array]]
    shares: Array
    exact: bool


class Veil(Protocol):
    """An instance that masks can be drawn over."""

    @property
    def units(self) -> Units: ...

    @property
    def baseline(self) -> str: ...

    @property
    def segmentation(self) -> str: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def cells_in_all(self) -> int:
        """Random cells of one mask, which is what masks cost in memory."""
        ...

    def size(self, n: int) -> int:
        """How many masks `draw` gives: n, or all there are."""
        ...

    def draw(self, n: int, keep: float, rng: Rng) -> Drawn:
        """Masks each of whose cells is kept with probability `keep`, independently."""
        ...

    def spread(self, values: Array) -> Array:
        """(n, places) -> (n, *units)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Blends:
    """A `Veil` over a picture, all channels alike, or over a series, each channel for itself."""

    instance: Instance
    axes: Axes
    cells: int
    background: Array  # (k, *shape)
    baseline: str
    warnings: tuple[str, ...]

    @property
    def units(self) -> Units:
        return Units(self.instance.main, self._array.shape)

    @property
    def segmentation(self) -> str:
        grid = " x ".join([str(self.cells)] * len(self.axes.places))
        return f"soft masks enlarged from {grid} random cells, shifted at random"

    @property
    def cells_in_all(self) -> int:
        channel = self.axes.channel
        return prod(self._array.shape[a] if a == channel else self.cells for a in self._masked)

    def size(self, n: int) -> int:
        return n

    def draw(self, n: int, keep: float, rng: Rng) -> Drawn:
        """Grids of cells, enlarged by one cell more than the instance and cut out at random (section 3.2)."""
        shape, matrices, cells, most = self._array.shape, [], [], []
        for axis in self._masked:
            if axis == self.axes.channel:
                matrices.append(np.eye(shape[axis], dtype=np.float32))
                cells.append(shape[axis])
                most.append(1)
                continue
            width = -(-shape[axis] // self.cells)  # of a cell
            matrices.append(bilinear(shape[axis], self.cells, (self.cells + 1) * width - shape[axis]))
            cells.append(self.cells)
            most.append(width)
        grids = rng.random((n, *cells), dtype=np.float32) < keep
        shifts = rng.integers(most, size=(n, len(most)))
        choice = rng.integers(len(self.background), size=n) if len(self.background) > 1 else None
        name = self.instance.main
        rest = {other: array for other, array in self.instance.inputs.items() if other != name}
        rows = Soft(
            name, self._array, self.background, self._masked, tuple(matrices), grids, shifts, choice, rest
        )
        return Drawn(rows, partial(mask_sums, rows), np.full(n, 1 / n), exact=False)

    def spread(self, values: Array) -> Array:
        shape = self._array.shape
        compact = [shape[axis] if axis in self._masked else 1 for axis in range(len(shape))]
        return np.broadcast_to(values.reshape(-1, *compact), (len(values), *shape))

    @property
    def _array(self) -> Array:
        return self.instance.inputs[self.instance.main]

    @property
    def _masked(self) -> tuple[int, ...]:
        """Axes that masks run along."""
        own = self.axes.channel is not None and self.instance.spec.modality is not Modality.IMAGE
        return tuple(range(self._array.ndim)) if own else self.axes.places


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A `Veil` over a text: whole words are kept or hidden; every combination where they are few."""

    hiding: Hiding

    @property
    def units(self) -> Units:
        return self.hiding.units

    @property
    def baseline(self) -> str:
        return self.hiding.baseline

    @property
    def segmentation(self) -> str:
        return self.hiding.segmentation

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.hiding.warnings

    @property
    def cells_in_all(self) -> int:
        return self.hiding.count

    def size(self, n: int) -> int:
        return 1 << self.hiding.count if self._few(n) else n

    def draw(self, n: int, keep: float, rng: Rng) -> Drawn:
        count = self.hiding.count
        if self._few(n):
            # In random order, so that a spent budget leaves no kind of mask out.
            numbers = rng.permutation(1 << count)
            masks = (numbers[:, None] >> np.arange(count) & 1).astype(bool)
            shares = np.prod(np.where(masks, keep, 1 - keep), axis=1)
        else:
            masks, shares = rng.random((n, count), dtype=np.float32) < keep, np.full(n, 1 / n)

        def sums(factors: Array) -> tuple[Array, Array]:
            found = factors @ masks[: factors.shape[1]]
            return found, found  # True squared is True

        return Drawn(self.hiding.rows(masks), sums, shares, exact=self._few(n))

    def spread(self, values: Array) -> Array:
        return values

    def _few(self, n: int) -> bool:
        return self.hiding.count < ENUMERABLE and 1 << self.hiding.count <= n


def veil_of(instance: Instance, cells: int | None, baseline: Baseline, rng: Rng) -> Veil:
    """The veil of the instance's modality.

    Raises InvalidRequest for cells where there are none or more than the shortest side has places.
    """
    refuse_nan(instance)
    if instance.spec.modality is Modality.TEXT:
        if cells is not None:
            raise InvalidRequest.of("cells", "the words of a text are its cells; leave it unset")
        return Words(hide(instance, Segmentation(), baseline, rng))
    if instance.spec.modality is Modality.IMAGE and baseline.kind is None:
        baseline = replace(baseline, kind=BaselineKind.CONSTANT)  # 0, as in the paper
    name = instance.main
    array = instance.inputs[name]
    axes = axes_of(instance.spec, array.shape)
    shortest = min(array.shape[axis] for axis in axes.places)
    if cells is not None and cells > shortest:
        raise InvalidRequest.of("cells", f"{cells} do not fit a side of {shortest}; use [1, {shortest}]")
    found = background_of(instance, baseline, rng)
    background, warnings = found.values[name], [*found.warnings]
    if len(instance.inputs) > 1:
        warnings.append(f"input {name!r} alone is masked; the other inputs stay as they are")
    if np.array_equal(background, np.broadcast_to(array, background.shape)):
        warnings.append("the instance equals the baseline, so masks change nothing; choose another baseline")
    return Blends(instance, axes, cells or min(CELLS, shortest), background, found.words, tuple(warnings))


def refuse_too_many(masks: int, cells: int) -> None:
    """Raises InvalidRequest for grids that do not fit into memory."""
    if masks * cells > MOST_CELLS:
        raise InvalidRequest.of(
            "num_masks",
            f"{masks} masks of {cells} cells are more than {MOST_CELLS} cells; use fewer of either",
        )
