"""One patch of a picture or series at a time, replaced by values of the background.

MARGINAL takes the same place of other instances; CONDITIONAL draws from the normal law of patches
given what surrounds this one (Zintgraf et al. 2017, section 3.1). A patch of a picture has all
channels, one of a series a single channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows, described, digest
from whybox_server.core.rows_soft import Patched
from whybox_server.core.spec import Modality
from whybox_server.perturb.baselines import Rng
from whybox_server.perturb.fills import rounded
from whybox_server.perturb.layout import Axes, axes_of
from whybox_server.perturb.patches import Offset, PatchLaws, patch_laws
from whybox_server.perturb.removal import noise_of, some
from whybox_server.perturb.sliding import Spans, spread


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """Where the patches of one array lie, in row-major order of their positions, channels included."""

    shape: tuple[int, ...]
    axes: Axes
    spans: tuple[Spans, ...]  # by axis of the array

    @property
    def count(self) -> int:
        return prod(map(len, self.spans))

    @property
    def box(self) -> tuple[int, ...]:
        """Sides of a patch, by axis of the array."""
        return tuple(spans[0][1] - spans[0][0] for spans in self.spans)

    def starts(self, parts: Array) -> Array:
        """Corners of these patches, (k, rank)."""
        at = np.unravel_index(parts, [len(spans) for spans in self.spans])
        corners = [np.array(spans)[:, 0] for spans in self.spans]
        return np.stack([corner[i] for corner, i in zip(corners, at, strict=True)], axis=1)

    def spread(self, values: Array) -> Array:
        """Sum over the patches that cover each element: (n, parts) -> (n, *shape)."""
        sums = values.reshape(-1, *map(len, self.spans))
        for axis, spans in enumerate(self.spans, start=1):
            sums = spread(sums, spans, axis, self.shape[axis - 1])
        return sums


@dataclass(frozen=True, slots=True, eq=False)
class SamePlace:
    """Values of the same place in other instances, (rows, *shape), drawn without repetition."""

    background: Array
    draws: int

    @property
    def count(self) -> int:
        return min(self.draws, len(self.background))

    @property
    def noise(self) -> float:
        return noise_of(self.count, len(self.background))

    def values(self, starts: Array, tiling: Tiling, rng: Rng) -> Array:
        """(k, rank) -> (k, count, *box)."""
        chosen = some(rng, len(starts), len(self.background), self.draws)  # (k, count)
        views = sliding_window_view(self.background, tiling.box, axis=tuple(range(1, self.background.ndim)))
        corners = tuple(starts[:, axis, None] for axis in range(starts.shape[1]))
        return np.asarray(views[(chosen, *corners)])


@dataclass(frozen=True, slots=True, eq=False)
class Surrounded:
    """Draws from the law of a patch given its surroundings, within the range of the background."""

    instance: Array  # (channels, *places) float64
    outer: tuple[int, ...]  # sides of the surroundings
    inner: tuple[int, ...]
    laws: PatchLaws
    low: Array  # (channels,)
    high: Array
    dtype: np.dtype[np.generic]
    draws: int

    @property
    def count(self) -> int:
        return self.draws

    @property
    def noise(self) -> float:
        return noise_of(self.draws, None)

    def values(self, starts: Array, tiling: Tiling, rng: Rng) -> Array:
        """(k, rank) -> (k, draws, *box)."""
        axes = tiling.axes
        places = starts[:, list(axes.places)]  # (k, places)
        first = np.zeros(len(starts), int) if axes.channel is None else starts[:, axes.channel]
        many = axes.channels(tiling.box)
        normals = rng.standard_normal((len(starts), many, self.draws, prod(self.inner)))
        corners, offsets = outer_corners(places, self.instance.shape[1:], self.inner, self.outer)
        views = sliding_window_view(self.instance, self.outer, axis=tuple(range(1, self.instance.ndim)))
        for offset in np.unique(offsets, axis=0):
            group = np.flatnonzero((offsets == offset).all(axis=1))
            laws = self.laws.laws[tuple(offset.tolist())]
            around = views[(slice(None), *corners[group].T)]  # (channels, group, *outer)
            around = around.reshape(*around.shape[:2], -1)
            for slot in range(many):
                channel = first[group] + slot
                for c in np.unique(channel):
                    at = np.flatnonzero(channel == c)
                    drawn = laws[c].draw(around[c, at], normals[group[at], slot])
                    normals[group[at], slot] = np.clip(drawn, self.low[c], self.high[c])
        shaped = normals.reshape(len(starts), many, self.draws, *self.inner)
        if axes.channel is None:
            return rounded(shaped[:, 0], self.dtype)
        return rounded(np.moveaxis(shaped, 1, 2 + axes.channel), self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """A `Removal`: a part is a patch."""

    instance: Instance
    tiling: Tiling
    source: SamePlace | Surrounded
    baseline: str
    segmentation: str
    warnings: tuple[str, ...]

    @property
    def units(self) -> Units:
        return Units(self.instance.main, self.tiling.shape)

    @property
    def draws(self) -> Array:
        return np.full(self.tiling.count, self.source.count)

    @property
    def noise(self) -> Array:
        return np.full(self.tiling.count, self.source.noise)

    @property
    def numbers(self) -> int:
        return prod(self.tiling.box)

    def rows(self, parts: Array, rng: Rng) -> tuple[Rows, Array]:
        name, count, rank = self.instance.main, self.source.count, len(self.tiling.shape)
        starts = self.tiling.starts(parts)
        values = self.source.values(starts, self.tiling, rng).reshape(-1, *self.tiling.box)
        rest = {other: array for other, array in self.instance.inputs.items() if other != name}
        array = self.instance.inputs[name]
        patched = Patched(name, array, np.repeat(starts, count, axis=0).reshape(-1, rank), values, rest)
        return patched, np.full(len(values), 1 / count)

    def spread(self, values: Array) -> Array:
        return self.tiling.spread(values)


def tile(instance: Instance, side: int, stride: int) -> Tiling:
    """Patches of one side over the places, the last one moved back inside."""
    shape = instance.inputs[instance.main].shape
    axes = axes_of(instance.spec, shape)
    spans: dict[int, Spans] = {axis: inside(shape[axis], side, stride) for axis in axes.places}
    if axes.channel is not None:
        whole = instance.spec.modality is Modality.IMAGE
        channels = shape[axes.channel]
        spans[axes.channel] = ((0, channels),) if whole else tuple((c, c + 1) for c in range(channels))
    return Tiling(shape, axes, tuple(spans[axis] for axis in range(len(shape))))


def inside(length: int, side: int, stride: int) -> Spans:
    """Spans of equal length, `stride` apart, the last one ending where the axis ends."""
    starts = [*range(0, length - side, stride), length - side]
    return tuple((start, start + side) for start in starts)


def outer_corners(
    places: Array, lengths: tuple[int, ...], inner: tuple[int, ...], outer: tuple[int, ...]
) -> tuple[Array, Array]:
    """Where the surroundings of patches begin, moved inside at the borders, and the patches in them, (k, places)."""
    margin = (np.array(outer) - inner) // 2
    corners = np.clip(places - margin, 0, np.array(lengths) - outer)
    return corners, places - corners


def channels_first(array: Array, axes: Axes, lead: int = 0) -> Array:
    """(…, *shape) -> (…, channels, *places), `lead` axes before."""
    if axes.channel is None:
        return np.expand_dims(array, lead)
    return np.moveaxis(array, lead + axes.channel, lead)


def surrounded(instance: Instance, background: Array, tiling: Tiling, around: int, draws: int) -> Surrounded:
    """Learn how patches vary given `around` places a side, once per background, and keep it with the model."""
    axes = tiling.axes
    inner = tuple(tiling.box[axis] for axis in axes.places)
    outer = (around,) * len(inner)
    typical = channels_first(background, axes, lead=1)  # (rows, channels, *places)
    offsets = offsets_of(tiling, inner, outer)
    own = channels_first(instance.inputs[instance.main], axes).astype(np.float64)
    others = tuple(axis for axis in range(typical.ndim) if axis != 1)
    return Surrounded(
        own,
        outer,
        inner,
        learnt(instance, typical, outer, inner, offsets),
        typical.min(axis=others).astype(np.float64),
        typical.max(axis=others).astype(np.float64),
        instance.inputs[instance.main].dtype,
        draws,
    )


def offsets_of(tiling: Tiling, inner: tuple[int, ...], outer: tuple[int, ...]) -> tuple[Offset, ...]:
    """The places that patches have in their surroundings: one in the middle, others at the borders."""
    found = []
    for axis, side, around in zip(tiling.axes.places, inner, outer, strict=True):
        starts = np.array(tiling.spans[axis])[:, :1]
        _, offsets = outer_corners(starts, (tiling.shape[axis],), (side,), (around,))
        found.append(np.unique(offsets))
    grid = np.stack(np.meshgrid(*found, indexing="ij"), axis=-1).reshape(-1, len(found))
    return tuple(tuple(int(i) for i in offset) for offset in grid)


def learnt(
    instance: Instance,
    typical: Array,
    outer: tuple[int, ...],
    inner: tuple[int, ...],
    offsets: tuple[Offset, ...],
) -> PatchLaws:
    kept = instance.spec.kept
    if kept is None:
        return patch_laws(typical, outer, inner, offsets)
    key = digest(b"patches", repr((outer, inner, offsets)).encode(), *described(typical))
    return kept.get(key, lambda: patch_laws(typical, outer, inner, offsets))
