"""Where the numbers of an instance may go, and how far a step is, by input and element.

Ranges and deviations come from the caller, the background or the picture's black and white, in this
order; where nothing is known it says so. Categories are no numbers: they have values instead. It
knows nothing of what is moved, or why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.columns import column_numbers
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.picture import per_channel


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Of every input that holds numbers: its smallest and largest values and one step, in its shape.

    categories: the values of elements that are no numbers, by input and flat position.
    binary: every element is at one end of its range, in the instance and wherever else it is known.
    """

    low: Mapping[str, Array]  # float64; -inf where no limit is known
    high: Mapping[str, Array]
    scale: Mapping[str, Array]  # > 0
    categories: Mapping[str, Mapping[int, tuple[object, ...]]]
    binary: bool
    words: str  # what distances are measured in
    warnings: tuple[str, ...]


def limits_of(instance: Instance, nothing: Mapping[str, Array], given: Sequence[float]) -> Limits:
    """The limits of an instance whose value for "absent" is `nothing`, by input.

    given: smallest and largest value, or empty. Raises InvalidRequest for one that is no range, or
    that does not hold the instance.
    """
    rows = background_rows(instance)
    categories = categories_of(instance, rows)
    numeric = {name: array for name, array in instance.inputs.items() if array.dtype.kind in "iuf"}
    spans = {name: span_of(instance, name, nothing[name], rows, given) for name in numeric}
    known = {name: np.isfinite(low).all() for name, (low, _) in spans.items()}
    warnings = []
    if zero_or_one := [n for n in numeric if not known[n] and all_in_01(numeric[n], nothing[n])]:
        spans |= {n: (np.zeros(numeric[n].shape), np.ones(numeric[n].shape)) for n in zero_or_one}
        warnings.append("every value is 0 or 1, so the range was taken as [0, 1]; give feature_range if not")
    if any(not known[n] for n in numeric if n not in zero_or_one):
        warnings.append(
            "no range of values is known, so none limits the search; give feature_range or a background"
        )
    low = {n: np.minimum(span[0], numeric[n]) for n, span in spans.items()}
    high = {n: np.maximum(span[1], numeric[n]) for n, span in spans.items()}
    scale, words = scales(instance, numeric, nothing, rows, spans)
    binary = all(
        at_the_ends(np.stack([numeric[n], nothing[n]]), low[n], high[n])
        and (rows is None or at_the_ends(rows.get(n, numeric[n][None]), low[n], high[n]))
        for n in numeric
    )
    return Limits(low, high, scale, categories, binary, words, tuple(warnings))


def span_of(
    instance: Instance,
    name: str,
    nothing: Array,
    rows: Mapping[str, Array] | None,
    given: Sequence[float],
) -> tuple[Array, Array]:
    """Smallest and largest value of each element of one input, float64 in its shape."""
    array = instance.inputs[name]
    if given:
        refuse_outside(array, nothing, given)
        return np.full(array.shape, float(given[0])), np.full(array.shape, float(given[1]))
    if isinstance(instance.spec.details, ImageSpec):
        return picture_span(instance, instance.spec.details, array)
    if rows is not None and name in rows:
        axis = 0 if instance.spec.modality is Modality.TABULAR else None
        found = rows[name].min(axis=axis), rows[name].max(axis=axis)
        low, high = (np.broadcast_to(np.asarray(end, np.float64), array.shape) for end in found)
        return low, high
    return np.full(array.shape, -np.inf), np.full(array.shape, np.inf)


def refuse_outside(array: Array, nothing: Array, given: Sequence[float]) -> None:
    """Raises InvalidRequest for a range that is none, or that leaves the instance or "absent" out."""
    if len(given) != 2 or not given[0] < given[1]:
        raise InvalidRequest.of(
            "feature_range", f"give two numbers, the smallest and the largest value, got {list(given)}"
        )
    for values, what in ((array, "the instance"), (nothing, "the value for nothing there")):
        outside = values[(values < given[0]) | (values > given[1])]
        if outside.size:
            raise InvalidRequest.of(
                "feature_range",
                f"{what} holds {outside.flat[0]}, outside of {list(given)}; widen it",
            )


def picture_span(instance: Instance, spec: ImageSpec, array: Array) -> tuple[Array, Array]:
    """Black and white in the model's own units, per channel."""
    axes = axes_of(instance.spec, array.shape)
    channels = axes.channels(array.shape)
    mean = per_channel(spec.mean, channels, "mean", unset=0.0)
    std = per_channel(spec.std, channels, "std", unset=1.0)
    ends = [(end - mean) / std for end in (spec.black, spec.white)]
    shape = [1] * array.ndim
    if axes.channel is not None:
        shape[axes.channel] = -1
    black, white = (np.broadcast_to(np.resize(end, channels).reshape(shape), array.shape) for end in ends)
    return np.minimum(black, white), np.maximum(black, white)


def scales(
    instance: Instance,
    numeric: Mapping[str, Array],
    nothing: Mapping[str, Array],
    rows: Mapping[str, Array] | None,
    spans: Mapping[str, tuple[Array, Array]],
) -> tuple[dict[str, Array], str]:
    """One step of each element: what a distance of 1 means, and that in words."""
    if rows is not None and not isinstance(instance.spec.details, ImageSpec):
        axis = 0 if instance.spec.modality is Modality.TABULAR else None
        found = {
            n: np.broadcast_to(rows[n].std(axis=axis, dtype=np.float64), a.shape) for n, a in numeric.items()
        }
        return {n: positive(s) for n, s in found.items()}, "deviations of the background"
    if all(np.isfinite(low).all() for low, _ in spans.values()):
        return {n: positive(spans[n][1] - spans[n][0]) for n in numeric}, "widths of the range"
    own = {n: positive(np.abs(a.astype(np.float64) - nothing[n])) for n, a in numeric.items()}
    return own, "the instance's own distances from nothing there, or 1"


def positive(scale: Array) -> Array:
    """1 in place of 0, where nothing varies."""
    return np.where(scale > 0, scale, 1.0)


def categories_of(
    instance: Instance, rows: Mapping[str, Array] | None
) -> dict[str, dict[int, tuple[object, ...]]]:
    """The values of strings, of truth values and of columns that the spec lists categories for."""
    details = instance.spec.details
    listed = details.categories if isinstance(details, TabularSpec) else {}
    found: dict[str, dict[int, tuple[object, ...]]] = {}
    for name, numbers in column_numbers(instance.inputs).items():
        kind = instance.inputs[name].dtype.kind
        found[name] = {}
        for position, column in enumerate(numbers.ravel().tolist()):
            if kind == "b":
                found[name][position] = (False, True)
            elif kind in "OUS":
                seen = (
                    ()
                    if rows is None
                    else sorted({str(v) for v in rows[name].reshape(len(rows[name]), -1)[:, position]})
                )
                found[name][position] = tuple(listed.get(column, ())) or tuple(seen)
            elif column in listed:
                found[name][position] = tuple(range(len(listed[column])))
    return found


def all_in_01(*arrays: Array) -> bool:
    return all(bool(np.isin(array, (0, 1)).all()) for array in arrays)


def at_the_ends(values: Array, low: Array, high: Array) -> bool:
    """Whether every value, (n, *shape), is one of the two ends of its element's range."""
    return bool(np.isfinite(low).all() and np.all((values == low) | (values == high)))
