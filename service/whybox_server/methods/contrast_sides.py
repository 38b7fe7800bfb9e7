"""The two sides of a contrast: what may be added to an instance, and what may be put into nothing.

A side is a start, the rows that can be reached from it, and how far each is. Which of them answers
what, and how they are searched, it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows
from whybox_server.core.rows_moved import Movable, Moved, Options, Picked
from whybox_server.core.spec import ImageSpec, Modality, TextSpec
from whybox_server.perturb.hiding import Hiding
from whybox_server.perturb.limits import Limits

SHARES = (0.25, 0.5, 1.0)  # of a picture's range, tried by the direct search
STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # in deviations, likewise


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Single changes of a start: segment `units[i]` takes its option `options[i]`, at cost `costs[i]`.

    amounts: (m,) the same as an amount, NaN for categories. rows: states, (n, segments), of options,
    0 being the start, as rows.
    """

    count: int  # segments
    units: Array  # (m,)
    options: Array  # (m,) at least 1
    costs: Array  # (m,) beta L1 + L2^2 of the change alone
    amounts: Array  # (m,)
    rows: Callable[[Array], Rows]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One contrast's start and its neighbourhood.

    low, high: (segments,) how far each segment's amount may go. moved is None where nothing has
    amounts. measure: (segments,) how far the first of some rows is from the start, root mean square
    per segment, in scales.
    """

    positive: bool
    start: Mapping[str, Array]
    moves: Moves
    low: Array
    high: Array
    measure: Callable[[Rows], Array]
    moved: Callable[[Array, Array | None], Rows] | None
    slopes: Callable[[Array], Array]  # (n, *shape) gradients of one input -> (n, segments)


def built(rows: Rows, instance: Instance) -> dict[str, Array]:
    """The first of some rows as arrays by input."""
    return {name: array[0] for name, array in materialised(rows, instance, np.array([0])).items()}


def materialised(rows: Rows, instance: Instance, at: Array) -> dict[str, Array]:
    """The rows at these indices, (k,), as the model sees them: (k, *shape) by input."""
    out = {}
    for name, array in instance.inputs.items():
        dtype = np.dtype(object) if array.dtype.kind in "OUS" else array.dtype
        out[name] = np.empty((len(at), *array.shape), dtype)
    rows.write(at, out)
    return out


def presence_only(instance: Instance) -> bool:
    """Texts and token ids: parts are there or not, and nothing lies between."""
    return instance.spec.modality is Modality.TEXT or isinstance(instance.spec.details, TextSpec)


def positive_side(
    instance: Instance, hiding: Hiding, nothing: Mapping[str, Array], limits: Limits | None, beta: float
) -> Side:
    """From nothing towards the instance: every segment is kept or not, or kept in part."""
    count = hiding.count
    distances = distances_from(nothing, hiding, limits, count)
    whole = distances(instance.inputs)  # (segments,)
    units = np.flatnonzero(whole > 0)
    moves = Moves(
        count,
        units,
        np.ones(len(units), int),
        cost(whole[units], beta),
        whole[units],
        lambda states: hiding.rows(states.astype(bool)),
    )
    parts: tuple[Movable, ...] = ()
    if limits is not None:
        parts = tuple(towards(instance, name, nothing[name], hiding, whole) for name in limits.low)
    return side(True, instance, nothing, moves, parts, np.zeros(count), whole, distances)


def negative_side(
    instance: Instance, hiding: Hiding, nothing: Mapping[str, Array], limits: Limits, beta: float
) -> Side:
    """From the instance away from nothing: in each segment more of something, in either direction."""
    count = hiding.count
    distances = distances_from(instance.inputs, hiding, limits, count)
    parts = tuple(away(instance, name, nothing[name], hiding, limits) for name in limits.low)
    low, high = np.zeros(count), np.zeros(count)
    for part in parts:
        at = (part.segments >= 0) & (part.step > 0)
        np.minimum.at(low, part.segments[at], (part.low - part.origin)[at] / part.step[at])
        np.maximum.at(high, part.segments[at], (part.high - part.origin)[at] / part.step[at])
    moves = additions(instance, hiding, nothing, limits, parts, distances, beta)
    return side(False, instance, instance.inputs, moves, parts, low, high, distances)


def side(
    positive: bool,
    instance: Instance,
    start: Mapping[str, Array],
    moves: Moves,
    parts: tuple[Movable, ...],
    low: Array,
    high: Array,
    distances: Callable[[Mapping[str, Array]], Array],
) -> Side:
    """A side out of its parts; inputs that have no amounts stay as they are at the start."""
    rest = {name: array for name, array in start.items() if name not in {part.name for part in parts}}

    def moved(amounts: Array, nudges: Array | None) -> Rows:
        return Moved(parts, amounts, rest, nudges)

    def slopes(gradients: Array) -> Array:
        weighted = gradients * parts[0].step
        at = parts[0].segments.ravel() + 1  # the first one is of segment -1
        return np.stack([np.bincount(at, row.ravel(), moves.count + 1)[1:] for row in weighted])

    def measure(rows: Rows) -> Array:
        return distances(built(rows, instance))

    return Side(positive, start, moves, low, high, measure, moved if parts else None, slopes)


def towards(instance: Instance, name: str, nothing: Array, hiding: Hiding, whole: Array) -> Movable:
    """An input that grows from nothing to the instance; its segment is whole at amount `whole`."""
    array = instance.inputs[name]
    origin, segments = nothing.astype(np.float64), segments_of(hiding, name, array)
    full = np.append(np.where(whole > 0, whole, np.inf), np.inf)[segments]
    return Movable(
        name,
        array.dtype,
        origin,
        (array - origin) / full,
        np.minimum(array, origin),
        np.maximum(array, origin),
        segments,
    )


def away(instance: Instance, name: str, nothing: Array, hiding: Hiding, limits: Limits) -> Movable:
    """An input whose numbers go away from nothing; categories have no amounts."""
    array = instance.inputs[name]
    step = limits.scale[name].copy()
    step.ravel()[list(limits.categories[name])] = 0.0
    return Movable(
        name,
        array.dtype,
        array.astype(np.float64),
        step,
        limits.low[name],
        limits.high[name],
        segments_of(hiding, name, array),
        nothing.astype(np.float64),
    )


def additions(
    instance: Instance,
    hiding: Hiding,
    nothing: Mapping[str, Array],
    limits: Limits,
    parts: tuple[Movable, ...],
    distances: Callable[[Mapping[str, Array]], Array],
    beta: float,
) -> Moves:
    """Steps of numbers in both directions, other categories, and what each costs."""
    grid = grid_of(instance, limits)
    several = max((len(values) for of in limits.categories.values() for values in of.values()), default=0)
    tables = {
        part.name: [part.at(np.full((1, hiding.count), amount))[0] for amount in grid] for part in parts
    }
    names = [name for name in instance.inputs if name in hiding.units.segments]
    values = {}
    for name in names:
        array = instance.inputs[name]
        kept = array.astype(object) if array.dtype.kind in "OUS" else array
        rows = [kept, *tables.get(name, [kept] * len(grid))]
        rows += [recategorised(kept, nothing[name], limits.categories[name], k) for k in range(several)]
        values[name] = np.stack(rows)
    total = 1 + len(grid) + several
    far = np.stack([distances({n: v[k] for n, v in values.items()}) for k in range(total)])  # (k, segments)
    fresh = np.ones(far.shape, bool)
    for k in range(1, total):  # options that limits made alike are one
        fresh[k] = ~np.any(np.isclose(far[:k], far[k]) & same_sign(grid, k), axis=0) & (far[k] > 0)
    fresh[0] = False
    options, units = np.nonzero(fresh)
    amounts = np.array([0.0, *grid, *[np.nan] * several])
    options_of = tuple(
        Options(name, values[name], segments_of(hiding, name, instance.inputs[name])) for name in names
    )
    rest = {name: array for name, array in instance.inputs.items() if name not in names}
    return Moves(
        hiding.count,
        units,
        options,
        cost(far[options, units], beta),
        amounts[options],
        lambda states: Picked(options_of, states, rest),
    )


def same_sign(grid: tuple[float, ...], k: int) -> Array:
    """Which of the options before k go the same way as it, (k, 1); categories are all different."""
    signs = np.array([0.0, *np.sign(grid)])
    if k >= len(signs):
        return np.zeros((k, 1), bool)
    return np.asarray((signs[:k] == signs[k])[:, None])


def recategorised(
    array: Array, nothing: Array, categories: Mapping[int, tuple[object, ...]], k: int
) -> Array:
    """An input whose categories are the k-th value each, where that is not nearer to nothing."""
    values = array.copy()
    flat, absent = values.reshape(-1), nothing.reshape(-1)
    for position, known in categories.items():
        if k < len(known) and (known[k] != absent[position] or flat[position] == absent[position]):
            flat[position] = known[k]
    return values


def grid_of(instance: Instance, limits: Limits) -> tuple[float, ...]:
    """Amounts that the direct search tries, in both directions."""
    if not limits.low:
        return ()
    if limits.binary:
        sizes: tuple[float, ...] = (max_width(limits),)
    else:
        sizes = SHARES if isinstance(instance.spec.details, ImageSpec) else STEPS
    return tuple(sign * size for size in sizes for sign in (1, -1))


def max_width(limits: Limits) -> float:
    """An amount that takes every element to the end of its range."""
    return max(
        float(np.max((limits.high[n] - limits.low[n]) / limits.scale[n], initial=1)) for n in limits.low
    )


def distances_from(
    start: Mapping[str, Array], hiding: Hiding, limits: Limits | None, count: int
) -> Callable[[Mapping[str, Array]], Array]:
    """Measures values: (segments,) root mean square over a segment; without limits 1 where it differs."""
    segments = {name: segments_of(hiding, name, start[name]) for name in hiding.units.segments}

    def distances(values: Mapping[str, Array]) -> Array:
        squares, sizes = np.zeros(count + 1), np.zeros(count + 1)
        for name, labels in segments.items():
            if limits is not None and name in limits.scale:
                apart = (values[name].astype(np.float64) - start[name]) / limits.scale[name]
                for position in limits.categories[name]:
                    apart.ravel()[position] = float(values[name].flat[position] != start[name].flat[position])
            else:
                apart = (values[name] != start[name]).astype(np.float64)
            at = labels.ravel() + 1  # the first one is of segment -1
            squares += np.bincount(at, apart.ravel() ** 2, count + 1)
            sizes += np.bincount(at, minlength=count + 1)
        rms = np.sqrt(squares[1:] / np.maximum(sizes[1:], 1.0))
        return (rms > 0).astype(np.float64) if limits is None else rms

    if not segments:  # a text: its segments are the same and one each
        return lambda _values: np.ones(count)
    return distances


def segments_of(hiding: Hiding, name: str, array: Array) -> Array:
    """Segment of every element of an input, in its shape; -1 throughout where it is not cut."""
    return np.array(np.broadcast_to(hiding.units.segments.get(name, np.int32(-1)), array.shape))


def cost(distances: Array, beta: float) -> Array:
    """What each segment adds to the elastic net: beta L1 + L2^2."""
    return np.asarray(beta * distances + distances**2)
