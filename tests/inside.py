"""What methods see of models that are plain numpy functions: places, values there, and slopes.

Slopes are stated with the model or are central differences in float64. A model of numpy has no nodes
to follow rules at, so that what rules make of a slope is stated here for linear models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.instance import Instance
from whybox_server.core.probe import Pooled, Probe, Site
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array

STEP = 1e-5  # of central differences: 1e-10 of a third derivative of 1
PLACES_FROM = 2  # axes of a layer's maps, channels and places

Inputs = Mapping[str, Array]  # (n, *shape) per input
Slope = Callable[[Array, Inputs], Array]  # values there, (n, *shape), and inputs -> (n, outputs, *shape)


@dataclass(frozen=True, eq=False)
class Place:
    """A tensor of a model, and the model from there on. slope: None for central differences."""

    site: Site
    read: Callable[[Inputs], Array]  # (n, *shape)
    score: Callable[[Array, Inputs], Array]  # values there and inputs -> (n, outputs)
    slope: Slope | None = None

    def slopes(self, values: Array, inputs: Inputs) -> Array:
        """(n, outputs, *shape)."""
        if self.slope is not None:
            return np.asarray(self.slope(values, inputs))
        moved = np.repeat(values.astype(np.float64)[None], 2 * prod(values.shape[1:]), axis=0)
        flat = moved.reshape(2, -1, len(values), prod(values.shape[1:]))  # (sides, elements, n, elements)
        for element in range(flat.shape[1]):
            flat[0, element, :, element] += STEP
            flat[1, element, :, element] -= STEP
        scores = [[self.score(one.reshape(values.shape), inputs) for one in side] for side in flat]
        found = (np.array(scores[0]) - scores[1]) / (2 * STEP)  # (elements, n, outputs)
        return np.moveaxis(found, 0, -1).reshape(*found.shape[1:], *values.shape[1:])


def by_squares(slope: Array, values: Array) -> Array:
    """The score, shared out by squared weights: the w^2 rule."""
    axes = tuple(range(1, slope.ndim))
    scores = (slope * values).sum(axis=axes, keepdims=True)
    total = (slope**2).sum(axis=axes, keepdims=True)
    return slope**2 * np.divide(scores, total, out=np.zeros_like(total), where=total > 0)


# What rules lead back through a linear model of one layer without a bias, from its slope.
LINEAR_RULES: dict[str, Callable[[Array, Array, Array | None], Array]] = {
    "gradient": lambda slope, values, reference: slope,
    "guided_backprop": lambda slope, values, reference: slope,
    "deconvnet": lambda slope, values, reference: slope,
    "lrp": lambda slope, values, reference: slope * values,
    "deep_taylor": lambda slope, values, reference: by_squares(slope, values),
    "deeplift": lambda slope, values, reference: slope,
}


@dataclass(frozen=True, eq=False)
class NumpyInside:
    """Implements `core.probe.Inside`; the first place is the explained one. layers: places between."""

    places: tuple[Place, ...]
    end: Pooled | None = None

    def site(self, probe: Probe) -> Site:
        return self.place(probe).site

    def layers(self) -> tuple[Site, ...]:
        return tuple(p.site for p in self.places[1:] if len(p.site.shape) >= PLACES_FROM)

    def pooled(self) -> Pooled:
        if self.end is None:
            raise MethodUnsupported(
                "needs global average pooling; grad_cam does not", alternatives="grad_cam"
            )
        return self.end

    def place(self, probe: Probe) -> Place:
        known = {place.site.name: place for place in self.places}
        if probe.at and probe.at not in known:
            raise InvalidRequest.of("at", f"no tensor {probe.at!r}; there are {', '.join(known)}")
        return known[probe.at] if probe.at else self.places[0]

    def reply(self, query: Query, inputs: Inputs) -> Reply:
        """Answers a query that looks inside; `inputs` are its rows."""
        place = self.place(query.probe)
        entered = query.probe.at in inputs
        values = inputs[place.site.name] if entered else np.asarray(place.read(inputs))
        scores = self._scores(place, values, inputs, entered=entered)
        shown = None if entered else values
        if query.want is Want.VALUES:
            return Reply(scores, values=values)
        columns = np.broadcast_to(np.asarray(query.target), len(values))
        slopes = place.slopes(values, inputs)[np.arange(len(values)), columns]  # (n, *shape)
        led = LINEAR_RULES[query.probe.rules](slopes, values, query.reference)
        axes = tuple(range(1, led.ndim))
        others = None if query.reference is None else self._referred(query, place, values, inputs)
        return Reply(scores, led, shown, np.abs(led).max(axis=axes, initial=0), others)

    def _scores(self, place: Place, values: Array, inputs: Inputs, *, entered: bool) -> Array:
        """The model's own, bit for bit, unless rows enter inside of it."""
        if not entered:
            place, values = self.places[0], np.asarray(self.places[0].read(inputs))
        return np.asarray(place.score(values, inputs), np.float64)

    def _referred(self, query: Query, place: Place, values: Array, inputs: Inputs) -> Array:
        # Contiguous, so that sums do not depend on how many rows there are.
        references = np.broadcast_to(np.asarray(query.reference), values.shape).copy()
        return np.asarray(place.score(references, inputs), np.float64)


def around_input(instance: Instance, model: Callable[[Inputs], Array], slope: Slope | None = None) -> Place:
    """The instance's main input itself. Raises MethodUnsupported for strings and whole numbers, as a graph does."""
    name = instance.main
    if instance.inputs[name].dtype.kind != "f":
        raise MethodUnsupported(f"input {name!r} holds no real numbers", alternatives="lime, occlusion")
    site = Site(name, instance.inputs[name].shape, (name,))
    return Place(site, lambda x: x[name], lambda values, x: model({**x, name: values}), slope)


def joined(instance: Instance, model: Callable[[Inputs], Array], slope: Slope | None = None) -> Place:
    """All inputs of an instance, flattened and joined to one row: a place that is no input."""
    sizes = np.cumsum([array.size for array in instance.inputs.values()])
    site = Site("joined", (int(sizes[-1]),), tuple(instance.inputs))

    def read(inputs: Inputs) -> Array:
        return np.hstack([inputs[name].reshape(len(inputs[name]), -1) for name in instance.inputs])

    def score(values: Array, inputs: Inputs) -> Array:
        parts = np.split(values, sizes[:-1], axis=1)
        shaped = zip(instance.inputs.items(), parts, strict=True)
        return model({name: part.reshape(len(values), *array.shape) for (name, array), part in shaped})

    return Place(site, read, score, slope)


def looked_up(name: str, table: Array, tokens: int, score: Callable[[Array], Array]) -> Place:
    """Vectors, (tokens, width), that the whole numbers of an input are looked up as in `table`, (ids, width)."""
    site = Site("vectors", (tokens, table.shape[1]), (name,))
    return Place(site, lambda x: table[x[name]], lambda values, x: score(values))


def mapped(place: Place, weights: Array, bias: Array, channel: int | None) -> tuple[Place, Pooled]:
    """Maps that a linear model of one input can be said to average, and the linear end behind them.

    weights: (*shape) of the model's first output; the second is -2 times the first. bias: (2,).
    channel: axis of the input that is summed up, so that one map is left.
    """
    axes = () if channel is None else (1 + channel,)
    factors = np.array([1.0, -2.0])

    def read(inputs: Inputs) -> Array:
        return np.asarray((place.read(inputs) * weights).sum(axis=axes)[:, None])  # (n, 1, *places)

    def score(values: Array, inputs: Inputs) -> Array:
        return np.asarray(values.reshape(len(values), -1).sum(axis=1)[:, None] * factors + bias)

    def slope(values: Array, inputs: Inputs) -> Array:
        ones = np.ones((len(values), 1, *values.shape[1:]))
        return ones * factors.reshape(-1, *[1] * (values.ndim - 1))

    places = tuple(length for axis, length in enumerate(place.site.shape) if axis != channel)
    site = Site("maps", (1, *places))
    return Place(site, read, score, slope), Pooled(site, prod(places) * factors[:, None], bias)
