"""Where the patches of a picture or series lie, and what surrounds each.

All patches of a tiling have one size, so that one description serves them all: the last patch of an
axis is moved back inside rather than cut off. What is put into a patch, this file does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.perturb.layout import Axes, axes_of
from whybox_server.perturb.sliding import Spans, spread

Offset = tuple[int, ...]  # of a patch inside its surroundings, per place


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
    """Where surroundings begin, moved inside at the borders, and patches in them: (k, places) each."""
    margin = (np.array(outer) - inner) // 2
    corners = np.clip(places - margin, 0, np.array(lengths) - outer)
    return corners, places - corners


def channels_first(array: Array, axes: Axes, lead: int = 0) -> Array:
    """(…, *shape) -> (…, channels, *places), `lead` axes before."""
    if axes.channel is None:
        return np.expand_dims(array, lead)
    return np.moveaxis(array, lead + axes.channel, lead)


def offsets_of(tiling: Tiling, inner: tuple[int, ...], outer: tuple[int, ...]) -> tuple[Offset, ...]:
    """The places that patches have in their surroundings: one in the middle, others at the borders."""
    found = []
    for axis, side, around in zip(tiling.axes.places, inner, outer, strict=True):
        starts = np.array(tiling.spans[axis])[:, :1]
        _, offsets = outer_corners(starts, (tiling.shape[axis],), (side,), (around,))
        found.append(np.unique(offsets))
    grid = np.stack(np.meshgrid(*found, indexing="ij"), axis=-1).reshape(-1, len(found))
    return tuple(tuple(int(i) for i in offset) for offset in grid)
