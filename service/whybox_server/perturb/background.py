"""Typical rows of a table, picture or series, and the values for "absent" that are taken from them.

Where a spec has no typical rows, it says so, and knows one last resort. It draws nothing: which row
is taken is the method's choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TimeSeriesSpec
from whybox_server.perturb import fills
from whybox_server.perturb.columns import column_numbers, column_values, most_frequent, table_of
from whybox_server.perturb.options import BaselineKind


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What replaces each hidden input, (k, *shape): k alternatives for "absent"."""

    values: Mapping[str, Array]
    words: str
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """k, the same for every input."""
        return len(next(iter(self.values.values())))


def from_background(instance: Instance, kind: BaselineKind, implied: bool) -> Background:
    """Rows of the background, or their mean; `implied`: the caller did not ask for it by name."""
    found = background_rows(instance)
    if found is None:
        what = (instance.spec.modality or Modality.TABULAR).value
        if implied:
            return zeros(instance)
        raise InvalidRequest.of(
            "baseline.kind",
            f"{kind.name} needs typical rows; give spec.{what}.background, or use CONSTANT or GIVEN",
        )
    count = len(next(iter(found.values())))
    if kind is BaselineKind.BACKGROUND:
        alone = ("the background has one row only, so hidden segments always take its values",)
        words = f"rows of the background, one of {count} drawn for every row asked"
        return Background(found, words, alone if count == 1 else ())
    words = f"mean of {count} background rows (of categories the most frequent)"
    return Background(centres(instance, found), words)


def centres(instance: Instance, found: Mapping[str, Array]) -> dict[str, Array]:
    """One typical row, (1, *shape) by input, out of many."""
    details = instance.spec.details
    categories = details.categories if isinstance(details, TabularSpec) else {}
    numbers = column_numbers(instance.inputs)
    values = {}
    for name, rows in found.items():
        values[name] = np.empty((1, *rows.shape[1:]), dtype=rows.dtype)
        for at in np.ndindex(rows.shape[1:]):
            category = rows.dtype.kind in "OUSb" or int(numbers[name][at]) in categories
            values[name][(0, *at)] = typical(rows[(slice(None), *at)], category)
    return values


def typical(column: Array, category: bool) -> object:
    """The mean of numbers, the most frequent of categories."""
    if category:
        return most_frequent(column)
    return fills.rounded(np.asarray(np.mean(column, dtype=np.float64)), column.dtype)


def background_rows(instance: Instance) -> dict[str, Array] | None:
    """The spec's typical rows by input, (k, *shape) in the model's dtypes, or None."""
    details = instance.spec.details
    if isinstance(details, ImageSpec | TimeSeriesSpec):
        return whole_rows(instance, details)
    if not isinstance(details, TabularSpec):
        return None
    numbers = column_numbers(instance.inputs)
    table = table_of(details, sum(array.size for array in numbers.values()))
    if table is None:
        return None
    found = {}
    for name, array in instance.inputs.items():
        dtype = np.dtype(object) if array.dtype.kind in "OUS" else array.dtype
        rows = np.empty((len(table), *array.shape), dtype=dtype)
        for at in np.ndindex(array.shape):
            rows[(slice(None), *at)] = column_values(table, int(numbers[name][at]), dtype)
        found[name] = rows
    return found


def whole_rows(instance: Instance, details: ImageSpec | TimeSeriesSpec) -> dict[str, Array] | None:
    """Typical pictures or series, (k, *shape). Raises InvalidRequest when their shape is another one."""
    name, rows = instance.main, details.background
    field = f"spec.{'image' if isinstance(details, ImageSpec) else 'time_series'}.background"
    if rows is None or not len(rows):
        return None
    array = instance.inputs[name]
    if rows.shape[1:] != array.shape:
        raise InvalidRequest.of(
            field, f"has shape {rows.shape}; give (rows, {', '.join(map(str, array.shape))})"
        )
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise InvalidRequest.of(field, "holds NaN or infinity; leave such rows out")
    return {name: fills.exactly(rows, array.dtype, field)}


def zeros(instance: Instance) -> Background:
    """The last resort for a table without statistics: 0, and "" for strings."""
    values = {}
    for name, array in instance.inputs.items():
        text = array.dtype.kind in "OUS"
        values[name] = np.full((1, *array.shape), "" if text else 0, dtype=object if text else array.dtype)
    strings = any(rows.dtype == object for rows in values.values())
    words = 'constant 0, and "" for strings' if strings else "constant 0"
    warning = (
        f"no background rows are known, so hidden columns become {words}, which may be no natural value; "
        "give spec.tabular.background"
    )
    return Background(values, words, (warning,))
