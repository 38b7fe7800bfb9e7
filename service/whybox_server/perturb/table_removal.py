"""One column of a table's row at a time, replaced by values of the background.

MARGINAL takes the column's own values (Robnik-Sikonja & Kononenko 2008), every one of them with its
frequency where they are few; CONDITIONAL draws a number from the normal law of the numbers given the
row's other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows, Stacked
from whybox_server.core.rows_soft import Patched
from whybox_server.core.spec import TabularSpec
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.baselines import Rng
from whybox_server.perturb.columns import column_names, column_numbers
from whybox_server.perturb.fills import rounded
from whybox_server.perturb.patches import Conditional, fit
from whybox_server.perturb.removal import Sampler, needs_background, noise_of, some

NAMED = 5  # a warning names so many columns at most


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """What a column may hold: all of `known` with their shares, or so many draws from `known`."""

    known: Array  # (v,)
    shares: Array | None  # (v,) or None: drawn without repetition
    count: int

    @property
    def population(self) -> int:
        """Of how many values the draws are a part."""
        return self.count if self.shares is not None else len(self.known)

    def draw(self, rng: Rng) -> tuple[Array, Array]:
        """(count,) values and their shares in a mean."""
        if self.shares is not None:
            return self.known, self.shares
        return self.known[some(rng, 1, len(self.known), self.count)[0]], np.full(self.count, 1 / self.count)


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """A number that follows the other numbers of its row; draws stay within the background's range."""

    centre: float
    width: float
    low: float
    high: float
    dtype: np.dtype[np.generic]
    count: int

    @property
    def population(self) -> None:
        return None

    def draw(self, rng: Rng) -> tuple[Array, Array]:
        drawn = np.clip(rng.normal(self.centre, self.width, self.count), self.low, self.high)
        return rounded(drawn, self.dtype), np.full(self.count, 1 / self.count)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A `Removal`: a part is a column."""

    instance: Instance
    laws: tuple[Values | Normal, ...]
    noise: Array
    baseline: str
    warnings: tuple[str, ...]

    @property
    def segmentation(self) -> str:
        return f"{len(self.laws)} columns"

    @property
    def units(self) -> Units:
        main = self.instance.main
        shape = self.instance.inputs[main].shape
        return Units(main, shape, column_names(self.instance), column_numbers(self.instance.inputs))

    @property
    def draws(self) -> Array:
        return np.array([law.count for law in self.laws])

    @property
    def numbers(self) -> int:
        return 1

    def rows(self, parts: Array, rng: Rng) -> tuple[Rows, Array]:
        places = [
            (name, at) for name, array in self.instance.inputs.items() for at in np.ndindex(array.shape)
        ]
        blocks, shares = [], []
        for part in parts:
            name, at = places[part]
            values, weights = self.laws[part].draw(rng)
            array = self.instance.inputs[name]
            rest = {other: value for other, value in self.instance.inputs.items() if other != name}
            starts = np.tile(np.array(at, dtype=np.int64), (len(values), 1))
            box = values.reshape(len(values), *(1,) * array.ndim)
            blocks.append(Patched(name, array, starts, box, rest))
            shares.append(weights)
        return Stacked(tuple(blocks)), np.concatenate(shares)

    def spread(self, values: Array) -> Array:
        return values


def columns_of(instance: Instance, sampler: Sampler, draws: int) -> Columns:
    """The columns of a row and what each may hold.

    Raises InvalidRequest without a background, and for CONDITIONAL with too few rows.
    """
    background = background_rows(instance)
    if background is None:
        raise needs_background("tabular")
    flat = {name: rows.reshape(len(rows), -1) for name, rows in background.items()}
    columns = [flat[name][:, j] for name in instance.inputs for j in range(flat[name].shape[1])]
    laws: list[Values | Normal] = [marginal(column, draws) for column in columns]
    drawn: tuple[int, ...] = ()
    if sampler is Sampler.CONDITIONAL:
        drawn = varying_numbers(instance, columns)
        for j, law in conditionals(instance, columns, drawn, draws).items():
            laws[j] = law
    noise = np.array([noise_of(law.count, law.population) for law in laws])
    source = f"{len(columns[0])} background rows"
    words = f"values of the same column in {source}"
    if drawn:
        words = f"normal draws given the other numbers, learnt from {source}"
    warnings = remarks(column_names(instance), laws, drawn, sampler)
    return Columns(instance, tuple(laws), noise, words, warnings)


def marginal(column: Array, draws: int) -> Values:
    """Every value with its frequency, or draws if there are more values than that."""
    as_text = column.astype(str) if column.dtype == object else column
    _, first, counts = np.unique(as_text, return_index=True, return_counts=True)
    if len(first) <= draws:
        return Values(column[first], counts / len(column), len(first))
    return Values(column, None, draws)


def varying_numbers(instance: Instance, columns: list[Array]) -> tuple[int, ...]:
    """Columns that hold numbers, no categories, and more than one of them."""
    details = instance.spec.details
    categories = details.categories if isinstance(details, TabularSpec) else {}
    return tuple(
        j
        for j, column in enumerate(columns)
        if column.dtype.kind in "iuf" and j not in categories and column.min() < column.max()
    )


def conditionals(
    instance: Instance, columns: list[Array], numbers: tuple[int, ...], draws: int
) -> dict[int, Normal]:
    """The law of each of these columns given the instance's other numbers."""
    rows = len(columns[0])
    if numbers and rows <= len(numbers) + 1:
        raise InvalidRequest.of(
            "sampler",
            f"CONDITIONAL needs more than {len(numbers) + 1} background rows for {len(numbers)} columns of "
            f"numbers and there are {rows}; send more, or use MARGINAL",
        )
    if not numbers:
        return {}
    own = np.concatenate([array.ravel() for array in instance.inputs.values()])[list(numbers)]
    law = fit(np.stack([columns[j] for j in numbers], axis=1))
    found = {}
    for position, j in enumerate(numbers):
        given: Conditional = law.given(np.array([position]))
        centre = float(given.centre(own[None].astype(np.float64))[0, 0])
        column = columns[j]
        found[j] = Normal(
            centre, float(given.root[0, 0]), float(column.min()), float(column.max()), column.dtype, draws
        )
    return found


def remarks(
    names: tuple[str, ...], laws: list[Values | Normal], drawn: tuple[int, ...], sampler: Sampler
) -> tuple[str, ...]:
    """What a reader must know of the columns."""
    found = []
    still = [j for j, law in enumerate(laws) if isinstance(law, Values) and law.population == 1]
    alone = [j for j in range(len(laws)) if j not in drawn and j not in still]
    if still:
        found.append(f"the background has only one value of {listed(names, still)}: nothing else is tried")
    if sampler is Sampler.CONDITIONAL and alone:
        found.append(f"drawn by their own frequencies, whatever the rest: {listed(names, alone)}")
    return tuple(found)


def listed(names: tuple[str, ...], at: list[int]) -> str:
    """Some names of many."""
    more = f" and {len(at) - NAMED} more" if len(at) > NAMED else ""
    return ", ".join(names[j] for j in at[:NAMED]) + more
