"""A box that slides over an array: which positions it takes, and what each element gets from them.

The first box starts at 0, the last one is cut off at the border, so that every element is hidden at
least once. Text has no boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Windows
from whybox_server.core.spec import Modality
from whybox_server.perturb.baselines import Rng, background_of
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.options import Baseline

Spans = tuple[tuple[int, int], ...]  # (start, stop) of each position along one axis


@dataclass(frozen=True, slots=True, eq=False)
class Sliding:
    """An instance and the boxes that hide it, in row-major order of their positions."""

    units: Units
    spans: tuple[Spans, ...]  # by axis of the input
    instance: Instance
    background: Array  # (*shape)
    baseline: str  # in words
    segmentation: str  # in words
    warnings: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of boxes."""
        return int(np.prod([len(spans) for spans in self.spans]))

    def rows(self) -> Windows:
        """The instance itself, then one row per box."""
        corners = [np.asarray(spans) for spans in self.spans]  # (positions, 2) each
        low, high = (
            np.stack(np.meshgrid(*(corner[:, end] for corner in corners), indexing="ij"), axis=-1)
            for end in (0, 1)
        )
        rank = len(corners)
        nothing = np.zeros((1, rank), dtype=np.int64)
        name = self.units.input
        return Windows(
            name,
            self.instance.inputs[name],
            self.background,
            np.vstack([nothing, low.reshape(-1, rank)]),
            np.vstack([nothing, high.reshape(-1, rank)]),
            {other: array for other, array in self.instance.inputs.items() if other != name},
        )

    def average(self, values: Array) -> Array:
        """Mean over the boxes that cover each element: (t, asked boxes) -> (t, *shape).

        Boxes after the last one asked do not count; elements that none covers get 0.
        """
        targets, asked = values.shape
        grid = np.zeros((targets + 1, self.count))  # the last row counts
        grid[:-1, :asked] = values
        grid[-1, :asked] = 1
        sums = grid.reshape(-1, *(len(spans) for spans in self.spans))
        for axis, spans in enumerate(self.spans, start=1):
            sums = spread(sums, spans, axis, self.units.shape[axis - 1])
        return np.asarray(sums[:-1] / np.maximum(sums[-1], 1))


def spread(values: Array, spans: Spans, axis: int, length: int) -> Array:
    """Give each position's value to the elements that it covers, and add up, along one axis."""
    by_position = np.moveaxis(values, axis, 0)
    sums = np.zeros((length, *by_position.shape[1:]))
    for (start, stop), value in zip(spans, by_position, strict=True):
        sums[start:stop] += value
    return np.moveaxis(sums, 0, axis)


def slide(
    instance: Instance,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    all_channels: bool,
    baseline: Baseline,
    rng: Rng,
) -> Sliding:
    """Lay out the boxes over the largest input.

    window, stride: per axis of space or time, or one number for all; no stride is the window. A box
    covers all channels of a picture, and one channel of a series unless `all_channels`.
    Raises InvalidRequest, naming the field and the remedy.
    """
    refuse_nan(instance)
    if instance.spec.modality is Modality.TEXT:
        raise InvalidRequest.of("window", "texts have no windows; leave it out and choose a segmentation")
    name = instance.main
    shape = instance.inputs[name].shape
    axes = axes_of(instance.spec, shape)
    places = tuple(shape[axis] for axis in axes.places)
    if not places:
        raise InvalidRequest.of("window", f"input {name!r} is a single number; leave the window out")
    sides = per_axis(window, len(places), "window")
    steps = per_axis(stride, len(places), "stride") if stride else sides
    refuse_misfits(places, sides, steps)
    spans = dict(zip(axes.places, map(positions, places, sides, steps), strict=True))
    if axes.channel is not None:
        whole = instance.spec.modality is Modality.IMAGE or all_channels
        side = shape[axes.channel] if whole else 1
        spans[axes.channel] = positions(shape[axes.channel], side, side)
    background = background_of(instance, baseline, rng)
    drawn = int(rng.integers(background.count)) if background.count > 1 else 0
    warnings = list(background.warnings)
    if background.count > 1:
        warnings.append(f"one background row, number {drawn}, was drawn for all windows")
    if len(instance.inputs) > 1:
        warnings.append(f"windows slide over input {name!r} alone; the other inputs are never hidden")
    words = f"windows of {times(sides)}, stride {times(steps)}"
    return Sliding(
        Units(name, shape),
        tuple(spans[axis] for axis in range(len(shape))),
        instance,
        background.values[name][drawn],
        background.words,
        words,
        tuple(warnings),
    )


def positions(length: int, side: int, step: int) -> Spans:
    """ceil((length - side) / step) + 1 spans; the last one is cut off at the border."""
    count = -(-(length - side) // step) + 1
    return tuple((i * step, min(i * step + side, length)) for i in range(count))


def per_axis(numbers: tuple[int, ...], rank: int, field: str) -> tuple[int, ...]:
    """One number for every axis. Raises InvalidRequest when they are too few or too many."""
    if len(numbers) == 1:
        return numbers * rank
    if len(numbers) != rank:
        raise InvalidRequest.of(field, f"{len(numbers)} numbers for {rank} axes; give 1 or {rank}")
    return numbers


def refuse_misfits(places: Sequence[int], sides: Sequence[int], steps: Sequence[int]) -> None:
    """Raises InvalidRequest for windows that do not fit, and for strides that leave gaps."""
    for length, side, step in zip(places, sides, steps, strict=True):
        if not 1 <= side <= length:
            raise InvalidRequest.of("window", f"{side} does not fit an axis of {length}; use [1, {length}]")
        if not 1 <= step <= side:
            raise InvalidRequest.of(
                "stride", f"{step} is outside [1, {side}]: larger than the window it would leave gaps"
            )


def times(numbers: Sequence[int]) -> str:
    """Numbers as in "15 x 15"."""
    return " x ".join(map(str, numbers))
