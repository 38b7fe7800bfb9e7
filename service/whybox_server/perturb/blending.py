"""An instance that fades into its background through a coarse mask, which is what soft masks need.

Settles by modality what "absent" looks like and how a grid of cells is enlarged; the result turns
grids into rows. It asks no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.rows_soft import Soft, bilinear
from whybox_server.perturb.baselines import Rng, background_of
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.options import Baseline
from whybox_server.perturb.sliding import times


@dataclass(frozen=True, slots=True, eq=False)
class Blending:
    """A picture or series, what is behind it, and the grid of cells that a mask is made of."""

    units: Units
    instance: Instance
    background: Array  # (*shape)
    places: tuple[int, ...]  # axes of the input that a mask runs along
    enlarge: tuple[Array, ...]  # per place (length, cells)
    baseline: str  # in words
    segmentation: str  # in words
    warnings: tuple[str, ...]

    @property
    def cells(self) -> tuple[int, ...]:
        """Shape of a grid."""
        return tuple(matrix.shape[1] for matrix in self.enlarge)

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(np.prod(self.cells))

    def rows(self, masks: Array) -> Soft:
        """One row per mask, (n, count) in [0, 1], 1 keeps."""
        name = self.units.input
        return Soft(
            name,
            self.instance.inputs[name],
            self.background[None],
            self.places,
            self.enlarge,
            masks.reshape(-1, *self.cells).astype(np.float32),
            rest={other: array for other, array in self.instance.inputs.items() if other != name},
        )

    def enlarged(self, mask: Array) -> Array:
        """A mask, (count,), in the shape of the places, float64: the one that `rows` blends with."""
        return self.rows(mask[None]).mask(0).astype(np.float64)

    def pulled_back(self, gradient: Array) -> Array:
        """Gradients by row, (n, *shape), as gradients by cell, (n, count): the chain rule."""
        instance = self.instance.inputs[self.units.input].astype(np.float64)
        axes, places = range(1, gradient.ndim), [1 + axis for axis in self.places]
        change = instance - self.background
        found = np.einsum(gradient, [0, *axes], change, list(axes), [0, *places])  # (n, *places): no copy
        for axis, matrix in enumerate(self.enlarge, start=1):
            found = np.moveaxis(np.moveaxis(found, axis, -1) @ matrix, -1, axis)
        return np.asarray(found.reshape(len(found), -1))


def blend(instance: Instance, cells_per_side: int, baseline: Baseline, rng: Rng) -> Blending:
    """Lay a grid over the largest input; a side never has more cells than places.

    Raises InvalidRequest, naming the field and the remedy, and MethodUnsupported for an input that
    holds no numbers.
    """
    refuse_nan(instance)
    name = instance.main
    array = instance.inputs[name]
    if array.dtype.kind not in "fiu":
        raise MethodUnsupported(
            f"input {name!r} is of type {array.dtype}, which has nothing between present and absent; "
            "use occlusion or lime, which hide parts entirely",
            input=name,
        )
    places = axes_of(instance.spec, array.shape).places
    lengths = [array.shape[axis] for axis in places]
    enlarge = tuple(bilinear(length, min(cells_per_side, length)) for length in lengths)
    background = background_of(instance, baseline, rng)
    drawn = int(rng.integers(background.count)) if background.count > 1 else 0
    warnings = list(background.warnings)
    if background.count > 1:
        warnings.append(f"one background row, number {drawn}, was drawn for all masks")
    if len(instance.inputs) > 1:
        warnings.append(f"masks lie over input {name!r} alone; the other inputs stay as they are")
    return Blending(
        Units(name, array.shape),
        instance,
        background.values[name][drawn],
        places,
        enlarge,
        background.words,
        f"a soft mask of {times([matrix.shape[1] for matrix in enlarge])} cells, enlarged linearly",
        tuple(warnings),
    )
