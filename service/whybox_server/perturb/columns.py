"""Columns: the elements of all inputs of a table or tensor, numbered on across inputs.

A table's model may take one wide input or one input per column; here both are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import TabularSpec
from whybox_server.perturb.layout import Axes
from whybox_server.perturb.options import Segmentation, SegmentationKind
from whybox_server.perturb.segments import Cut, element_names, given, refuse_too_many, wrong_kind

KINDS = (SegmentationKind.ELEMENTS, SegmentationKind.GIVEN)
NAMED_COLUMNS = 3  # a group of more columns is named by its number


def column_numbers(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Number of every element, int32 in the shape of its input."""
    found, start = {}, 0
    for name, array in inputs.items():
        found[name] = np.arange(start, start + array.size, dtype=np.int32).reshape(array.shape)
        start += array.size
    return found


def column_names(instance: Instance) -> tuple[str, ...]:
    """Names of all columns: the spec's for tables, indices for tensors."""
    details = instance.spec.details
    if not isinstance(details, TabularSpec):
        many = len(instance.inputs) > 1
        return tuple(
            f"{name if many else ''}{at}"
            for name, array in instance.inputs.items()
            for at in element_names(array)
        )
    columns = sum(array.size for array in instance.inputs.values())
    names = details.feature_names or tuple(f"x{i}" for i in range(columns))
    if len(names) != columns:
        raise InvalidRequest.of(
            "spec.tabular.feature_names", f"{len(names)} names for {columns} columns; give one per column"
        )
    return names


def cut_columns(instance: Instance, segmentation: Segmentation) -> Cut:
    """Every column a segment (by default), or the caller's groups of columns.

    With several inputs `given` has one number per column, (columns,).
    """
    kind = segmentation.kind or SegmentationKind.ELEMENTS
    if kind not in KINDS:
        raise wrong_kind(kind, KINDS, "a table or tensor")
    numbers = column_numbers(instance.inputs)
    columns = sum(array.size for array in numbers.values())
    if kind is SegmentationKind.ELEMENTS:
        refuse_too_many(columns)
        return Cut(numbers, column_names(instance), f"{columns} columns")
    shape = next(iter(numbers.values())).shape if len(numbers) == 1 else (columns,)
    labels, olds = given(segmentation.given, shape, Axes(tuple(range(len(shape)))))
    flat = np.broadcast_to(labels, shape).ravel()
    segments = {name: flat[array] for name, array in numbers.items()}
    return Cut(segments, group_names(instance, flat, olds), f"{len(olds)} segments as given")


def group_names(instance: Instance, segment_of: Array, numbers: Array) -> tuple[str, ...]:
    """The columns of a small group, else the caller's number for it."""
    sizes = Counter(segment_of.tolist())
    if not isinstance(instance.spec.details, TabularSpec):
        return tuple(f"segment {number}" for number in numbers)
    columns = np.asarray(column_names(instance), dtype=object)
    return tuple(
        ", ".join(columns[segment_of == i]) if sizes[i] <= NAMED_COLUMNS else f"segment {number}"
        for i, number in enumerate(numbers)
    )


def table_of(details: TabularSpec, columns: int) -> Array | None:
    """The background rows, (rows, columns), or None where there are none.

    Raises InvalidRequest when the width is wrong or a number is missing.
    """
    table = details.background
    if table is None or not len(table):
        return None
    if table.ndim != 2 or table.shape[1] != columns:
        raise InvalidRequest.of(
            "spec.tabular.background",
            f"has shape {table.shape}; the instance has {columns} columns, so give (rows, {columns})",
        )
    return table


def column_values(table: Array, column: int, dtype: np.dtype[np.generic]) -> Array:
    """One column of the background in the model's own dtype, (rows,).

    Raises InvalidRequest for values that the dtype does not hold.
    """
    values = table[:, column]
    if dtype.kind in "OUS":
        return np.asarray([str(value) for value in values], dtype=object)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidRequest.of(
            "spec.tabular.background", f"column {column} holds text, but the model takes {dtype} there"
        ) from None
    if not np.isfinite(numbers).all():
        raise InvalidRequest.of(
            "spec.tabular.background", f"column {column} holds NaN or infinity; leave such rows out"
        )
    exact = numbers if values.dtype == object else values
    if dtype.kind in "iub" and not np.array_equal(exact.astype(dtype), exact):
        raise InvalidRequest.of(
            "spec.tabular.background", f"column {column} holds values that {dtype} does not; round them"
        )
    return exact.astype(dtype)


def most_frequent(values: Array) -> object:
    """The value that occurs most often; of several the smallest."""
    found, counts = np.unique(values.astype(str) if values.dtype == object else values, return_counts=True)
    return found[np.argmax(counts)]
