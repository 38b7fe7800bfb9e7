"""The neighbourhood of a table's row: every column drawn by its own law, independently.

The columns of all inputs are numbered on in the order of the inputs, so that a model with one wide
input and a model with one input per column are the same. What is done with the draws, this file
does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import TabularSpec
from whybox_server.perturb.columns import column_names, column_numbers, column_values, table_of
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.laws import Discretizer, Fixed, Law, Rng, category, number

NAMED = 10  # a warning names so many columns at most


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A row and the law of each of its columns."""

    instance: Instance
    laws: tuple[Law, ...]
    ranking: Array  # (columns,) features of the instance, 1 where their scale is not known
    absent: str  # what takes the place of the instance's values, in words
    cut: str  # what a feature is, in words
    warnings: tuple[str, ...]

    @property
    def origin(self) -> Array:
        """Features of the instance, (columns,) float64."""
        return np.array([law.origin for law in self.laws])

    @property
    def units(self) -> Units:
        """One segment per column."""
        main = self.instance.main
        names = tuple(law.name for law in self.laws)
        return Units(main, self.instance.inputs[main].shape, names, column_numbers(self.instance.inputs))

    def draw(self, n: int, rng: Rng) -> tuple[Samples, Array]:
        """N rows, the instance first, and their features, (n, columns) float64."""
        features = np.tile(self.origin, (n, 1))
        inputs = {}
        for name, numbers in column_numbers(self.instance.inputs).items():
            instance = self.instance.inputs[name]
            # Fixed-width strings would cut longer categories off.
            dtype = np.dtype(object) if instance.dtype.kind in "US" else instance.dtype
            rows = np.tile(instance.astype(dtype).ravel(), (n, 1))  # (n, columns of this input)
            for position, column in enumerate(numbers.ravel()):
                law = self.laws[column]
                if not isinstance(law, Fixed):
                    rows[1:, position], features[1:, column] = law.draw(n - 1, rng)
            inputs[name] = rows.reshape(n, *instance.shape)
        return Samples(inputs), features


def table(instance: Instance, discretizer: Discretizer, *, around_instance: bool) -> Table:
    """The laws of all columns, from the background rows of the spec.

    Raises InvalidRequest for a background or names that do not fit the instance, for a number that
    is NaN or infinite, and for bins without a background.
    """
    refuse_nan(instance)
    details = instance.spec.details
    spec = details if isinstance(details, TabularSpec) else TabularSpec()
    names = column_names(instance)
    background = table_of(spec, len(names))
    usable = background is not None and len(background) > 1
    if not usable and discretizer is not Discretizer.CONTINUOUS:
        raise InvalidRequest.of(
            "discretizer",
            "bins need two background rows or more; send spec.tabular.background or use CONTINUOUS",
        )
    laws: list[Law] = []
    for array in instance.inputs.values():
        for value in array.ravel().tolist():
            j = len(laws)
            past = column_values(background, j, array.dtype) if background is not None and usable else None
            if array.dtype.kind in "iuf" and j not in spec.categories:
                laws.append(number(names[j], value, past, array.dtype, discretizer, around=around_instance))
            else:
                known = spec.categories.get(j, ())
                text = array.dtype.kind in "OUS"
                values: Sequence[object] = known if text else range(len(known))
                laws.append(category(names[j], str(value) if text else value, past, values, known))
    bins = "" if discretizer is Discretizer.CONTINUOUS else f", {discretizer.value} bins"
    rows = len(background) if background is not None and usable else 0
    return Table(
        instance,
        tuple(laws),
        ranking=np.array([law.origin if rows else 1.0 for law in laws]),
        absent=absent_in_words(rows, discretizer, around=around_instance or not rows),
        cut=f"{len(laws)} columns{bins}",
        warnings=remarks(laws, names, background),
    )


def absent_in_words(background_rows: int, discretizer: Discretizer, *, around: bool) -> str:
    """What takes the place of the instance's values."""
    source = f"{background_rows} background rows" if background_rows else "the instance's own size"
    if discretizer is not Discretizer.CONTINUOUS:
        return f"draws inside the {discretizer.value} bins of {source}"
    centre = "the instance" if around else "the mean"
    return f"normal draws around {centre}, deviations from {source}"


def remarks(laws: Sequence[Law], names: Sequence[str], background: Array | None) -> tuple[str, ...]:
    """What a reader must know before trusting the draws."""
    found = []
    if background is None or len(background) < 2:
        none = background is None
        reason = "there are no background rows" if none else "one background row shows no spread"
        found.append(
            f"{reason}: each number varied by its own size (by 1 where it is 0); "
            "send spec.tabular.background for coefficients per standard deviation"
        )
    still = [name for name, law in zip(names, laws, strict=True) if isinstance(law, Fixed)]
    if still:
        more = f" and {len(still) - NAMED} more" if len(still) > NAMED else ""
        shown = ", ".join(still[:NAMED])
        found.append(f"never varied, because only one value or bin is known: {shown}{more}")
    return tuple(found)
