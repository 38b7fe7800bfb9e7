"""What the CAM family stands on: which layer's maps are read, and how they are laid over the input.

A layer is a tensor of channels at places. Its maps have no input coordinates of their own: they are
stretched over the whole input, border to border, as every paper of the family does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import prod

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Subject
from whybox_server.core.probe import Inside, Probe, Site
from whybox_server.core.rows import Array
from whybox_server.core.rows_soft import bilinear
from whybox_server.core.spec import Modality
from whybox_server.methods.probing import inside_of
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.sliding import times

WITH_PLACES = frozenset({Modality.IMAGE, Modality.TIME_SERIES})
ALTERNATIVES = "gradient_x_input, integrated_gradients, occlusion, rise"


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """An instance, a layer, and the axes of the largest input that the layer's places lie along."""

    subject: Subject
    layer: Site
    axes: tuple[int, ...]

    @property
    def units(self) -> Units:
        instance = self.subject.instance
        return Units(instance.main, instance.inputs[instance.main].shape)

    @property
    def probe(self) -> Probe:
        """Gradients of the targets, in their own units, at the layer."""
        return Probe(at=self.layer.name, space=self.subject.targets.space)

    def enlarged(self, maps: Array) -> Array:
        """Maps, (t, *places of the layer), as (t, *shape of the input): linear between the cells' middles."""
        shape, found = self.units.shape, maps
        for axis, place in enumerate(self.axes, start=1):
            matrix = bilinear(shape[place], found.shape[axis]).astype(np.float64)
            found = np.moveaxis(np.moveaxis(found, axis, -1) @ matrix.T, -1, axis)
        compact = [length if axis in self.axes else 1 for axis, length in enumerate(shape)]
        return np.broadcast_to(found.reshape(-1, *compact), (len(maps), *shape))

    def in_words(self, maps: Array) -> str:
        """The size of the maps, (t, *places of the layer), and what became of them."""
        size = [self.units.shape[axis] for axis in self.axes]
        return f"maps of {times(maps.shape[1:])} places of layer {self.layer.name!r}, enlarged linearly to {times(size)}"


def sheet_of(subject: Subject, name: str, method: str) -> Sheet:
    """The layer of this name; "": the last one with more than one place, before it is pooled.

    Raises InvalidRequest for a layer that does not exist or has no places, with the nearest names, and
    MethodUnsupported for a network without any.
    """
    refuse_nan(subject.instance)
    inside = inside_of(subject)
    layers = inside.layers()
    wide = [layer for layer in layers if axes_under(subject, layer) and places_of(layer) != 1]
    if not wide:
        raise MethodUnsupported(
            f"{method} needs a layer of channels at places, as convolutions make them, and none lies between "
            f"input {subject.instance.main!r} and the scores; {ALTERNATIVES} do without",
            alternatives=ALTERNATIVES,
        )
    if name:
        return sheet(subject, named(inside, name, layers, wide))
    return sheet(subject, next((layer for layer in reversed(wide) if not layer.pooling), wide[-1]))


def sheet(subject: Subject, layer: Site) -> Sheet:
    """Raises MethodUnsupported for a layer whose places are not those of the input."""
    axes = axes_under(subject, layer)
    if not axes:
        raise MethodUnsupported(
            f"layer {layer.name!r} has {len(layer.shape) - 1} axes of places, which are not those of input "
            f"{subject.instance.main!r}; {ALTERNATIVES} do without",
            alternatives=ALTERNATIVES,
        )
    return Sheet(subject, layer, axes)


def axes_under(subject: Subject, layer: Site) -> tuple[int, ...]:
    """Axes of the largest input along which a layer's places lie; none where their numbers differ.

    A series whose channels are laid out as one more side of a plane has a place for every element.
    """
    shape = subject.instance.inputs[subject.instance.main].shape
    places = axes_of(subject.instance.spec, shape).places
    whole = tuple(range(len(shape)))
    return next((axes for axes in (places, whole) if len(axes) == len(layer.shape) - 1), ())


def places_of(layer: Site) -> int | None:
    """How many places a map has; None if that depends on the instance."""
    known = [length for length in layer.shape[1:] if length is not None]
    return prod(known) if len(known) == len(layer.shape) - 1 else None


def named(inside: Inside, name: str, layers: Sequence[Site], wide: Sequence[Site]) -> Site:
    """The layer that a caller means. Raises InvalidRequest, and says what is wrong with it."""
    found = next((layer for layer in layers if layer.name == name), None)
    if found is not None and found in wide:
        return found
    if found is not None and places_of(found) == 1:
        why = f"{name!r} has one place only, so that there is no map to show"
    elif found is not None:
        why = f"{name!r} has {len(found.shape) - 1} axes of places, and the input has another number"
    elif exists(inside, name):
        why = f"{name!r} is no tensor of channels at places on the way from the input to the scores"
    else:
        why = f"the graph has no tensor {name!r}"
    near = get_close_matches(name, [layer.name for layer in wide], n=3, cutoff=0)
    raise InvalidRequest.of("layer", f"{why}; did you mean {' or '.join(map(repr, near))}?")


def exists(inside: Inside, name: str) -> bool:
    """Whether a gradient can be asked for there at all."""
    try:
        inside.site(Probe(at=name))
    except InvalidRequest:
        return False
    except MethodUnsupported:
        return True
    return True


def noted(sheet: Sheet, site: Site) -> Sheet:
    """The same sheet, with what is said of gradients at its layer."""
    return replace(sheet, layer=replace(sheet.layer, notes=site.notes))
