"""How one column of a table varies: a law that draws values, and what a linear surrogate reads.

A law draws values for the model and, beside them, a feature: a number of standard deviations, or
whether the instance's category or bin was drawn again. It knows nothing of rows, inputs or fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.perturb.bins import Bins, bins

Rng: TypeAlias = np.random.Generator


class Discretizer(Enum):
    """How a column of numbers is sampled."""

    CONTINUOUS = "continuous"
    QUARTILE = "quartile"
    DECILE = "decile"


PERCENTILES: Mapping[Discretizer, tuple[float, ...]] = {
    Discretizer.QUARTILE: (25, 50, 75),
    Discretizer.DECILE: (10, 20, 30, 40, 50, 60, 70, 80, 90),
}


class Law(Protocol):
    """How one column varies."""

    @property
    def name(self) -> str:
        """The feature, as a reader knows it."""
        ...

    @property
    def origin(self) -> float:
        """The feature of the instance itself."""
        ...

    def draw(self, n: int, rng: Rng) -> tuple[Array, Array]:
        """Values for the model, (n,), and the feature of each, (n,) float64."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Keeps the instance's value; its feature never changes."""

    name: str
    value: object
    origin: float = 0.0

    def draw(self, n: int, rng: Rng) -> tuple[Array, Array]:
        values = np.empty(n, dtype=object)
        values[:] = self.value
        return values, np.zeros(n)


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """Normal draws; the feature is (value - mean) / deviation of the value that the model gets."""

    name: str
    dtype: np.dtype[np.generic]
    value: float
    centre: float
    mean: float
    deviation: float

    @property
    def origin(self) -> float:
        return (self.value - self.mean) / self.deviation

    def draw(self, n: int, rng: Rng) -> tuple[Array, Array]:
        values = cast(rng.normal(self.centre, self.deviation, n), self.dtype)
        return values, (values.astype(np.float64) - self.mean) / self.deviation


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """Draws by frequency; the feature is 1 where the instance's category comes again."""

    name: str
    values: Array  # (c,)
    frequencies: Array  # (c,), sum 1
    own: int  # index of the instance's category
    origin: float = 1.0

    def draw(self, n: int, rng: Rng) -> tuple[Array, Array]:
        chosen = rng.choice(len(self.values), n, p=self.frequencies)
        return self.values[chosen], (chosen == self.own).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Draws a bin by frequency, then a value inside; the feature is 1 for the instance's bin."""

    name: str
    dtype: np.dtype[np.generic]
    bins: Bins
    own: int  # the instance's bin
    origin: float = 1.0

    def draw(self, n: int, rng: Rng) -> tuple[Array, Array]:
        chosen = rng.choice(len(self.bins.counts), n, p=self.bins.counts / self.bins.counts.sum())
        # The feature is the bin drawn, not the bin of the value: a cast to float32 may cross a border.
        return cast(self.bins.draw(chosen, rng), self.dtype), (chosen == self.own).astype(np.float64)


def number(
    name: str,
    value: float,
    past: Array | None,
    dtype: np.dtype[np.generic],
    discretizer: Discretizer,
    *,
    around: bool,
) -> Law:
    """The law of a column of numbers, from its values in the background, (rows,) of `dtype`.

    Without background the instance's own size is the deviation. A column that never changes, or of
    which all values share the instance's bin, is Fixed.
    """
    if past is None:
        return Normal(name, dtype, value, value, value, abs(value) or 1.0)
    column = past.astype(np.float64)
    if discretizer is Discretizer.CONTINUOUS:
        if np.ptp(column) == 0:
            return Fixed(name, value)
        mean = float(column.mean())
        return Normal(name, dtype, value, value if around else mean, mean, float(column.std()))
    found = bins(column, PERCENTILES[discretizer], value)
    own = int(found.of(np.array(value)))
    if np.count_nonzero(found.counts) == 1:
        return Fixed(name, value)
    return Binned(found.describe(own, name), dtype, found, own)


def category(name: str, value: Any, past: Array | None, known: Sequence[Any], names: Sequence[str]) -> Law:
    """The law of a column of categories.

    past: its values in the background, (rows,), or None: then every known value is as likely as the
    next. names: of the numeric categories 0, 1, ...; others are their own names. A value that the
    background does not have counts as one more row, else it could never be "the same again".
    """
    seen = list(known if past is None else past.tolist())
    if value not in seen:
        seen.append(value)
    different = sorted(set(seen))
    if len(different) == 1:
        return Fixed(name, value)
    counts = np.array([seen.count(one) for one in different])
    values = np.empty(len(different), dtype=object)
    values[:] = different
    word = f"{name} = {category_name(value, names)}"
    return Category(word, values, counts / counts.sum(), different.index(value))


def category_name(value: Any, names: Sequence[str]) -> str:
    """What a reader calls a category: its name if it is the index of one, else the value itself."""
    if isinstance(value, str):
        return value
    index = int(value)
    return names[index] if index == value and 0 <= index < len(names) else f"{value:g}"


def cast(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Draws as the model takes them: integers are rounded, and nothing leaves the range of the dtype."""
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    within = np.clip(np.rint(values) if dtype.kind in "iu" else values, limits.min, limits.max)
    return within.astype(dtype)
