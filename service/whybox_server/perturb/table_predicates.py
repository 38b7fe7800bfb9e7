"""Conditions on the columns of a table: "petal width > 1.8", "marital status = separated".

D is the background: a row under a rule is a random background row on which the rule holds, whole, so
that columns keep their ties with each other (Ribeiro et al. 2018, section 3: "the conditional
distribution when the rule applies"). Rows put together from two rows, as the authors' code has them,
would be of no such D, and could serve one rule each. It asks no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows, Samples
from whybox_server.core.spec import TabularSpec
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.columns import column_names, column_numbers
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.laws import PERCENTILES, Discretizer, Rng, category_name
from whybox_server.perturb.predicates import Drawn, Literals

FEWEST_ROWS = 2  # one background row shows no spread
FEWEST_UNDER = 10  # background rows under a rule: of fewer, their share says nothing
NAMED_COLUMNS = 30  # an example shows so many at most


@dataclass(frozen=True, slots=True)
class Condition:
    """One predicate; `on` are the background rows on which it holds, as a number of bits."""

    column: int
    text: str
    on: int


@dataclass(frozen=True, slots=True, eq=False)
class ColumnConditions:
    """Predicates on columns, and the background rows. The last of the rows is the instance."""

    instance: Instance
    tests: tuple[Condition, ...]
    rows: Mapping[str, Array]  # (background + 1, *shape) by input
    names: tuple[str, ...]  # (columns,)
    on: Array  # (predicates, background + 1) bool
    cut: str

    @property
    def units(self) -> Units:
        main = self.instance.main
        numbers = column_numbers(self.instance.inputs)
        return Units(main, self.instance.inputs[main].shape, self.names, numbers)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(test.text for test in self.tests)

    @property
    def segments(self) -> Array:
        return np.array([test.column for test in self.tests], dtype=np.intp)

    @property
    def different(self) -> int | None:
        return self.background

    @property
    def least(self) -> float:
        return FEWEST_UNDER / self.background

    @property
    def baseline(self) -> str:
        return f"{self.background} background rows; those under the rule, drawn with replacement"

    @property
    def segmentation(self) -> str:
        return self.cut

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    @property
    def background(self) -> int:
        """Number of background rows."""
        return int(self.on.shape[1]) - 1

    def coverage(self, rules: Sequence[Literals]) -> Array:
        """The share of background rows under each rule."""
        return np.asarray(self._under(rules)[:, :-1].mean(axis=1))

    def extended(self, rule: Literals, predicate: int) -> Literals | None:
        new = self.tests[predicate]
        others = [p for p in rule if self.tests[p].column == new.column]
        if any(self.tests[p].on & ~new.on == 0 for p in others):
            return None
        implied = {p for p in others if new.on & ~self.tests[p].on == 0}
        return (*(p for p in rule if p not in implied), predicate)

    def draw(self, rules: Sequence[Literals], counts: Array, rng: Rng) -> Drawn:
        owner = np.repeat(np.arange(len(rules)), counts)  # (n,)
        under = self._under(rules)[:, :-1]
        members = np.flatnonzero(under) % self.background  # of rule 0, of rule 1, ...
        many = under.sum(axis=1)
        first = np.cumsum(many) - many
        ids = members[first[owner] + (rng.random(len(owner)) * many[owner]).astype(np.intp)]
        rows = Samples({name: rows[ids] for name, rows in self.rows.items()})
        return Drawn(rows, self.on.T[ids], ids)

    def instance_row(self) -> Rows:
        return Samples({name: rows[-1:] for name, rows in self.rows.items()})

    def describe(self, rows: Rows, at: int) -> str:
        """Columns and their values."""
        spec, words = self.instance.spec.details, []
        categories = spec.categories if isinstance(spec, TabularSpec) else {}
        one = rows.take(np.array([at]))
        values = [value for array in one.inputs.values() for value in array.ravel().tolist()]  # type: ignore[attr-defined]
        for j, value in enumerate(values[:NAMED_COLUMNS]):
            known = category_name(value, categories[j]) if j in categories else readable(value)
            words.append(f"{self.names[j]} = {known}")
        more = f" and {len(values) - NAMED_COLUMNS} more" if len(values) > NAMED_COLUMNS else ""
        return ", ".join(words) + more

    def _under(self, rules: Sequence[Literals]) -> Array:
        """Which rows are under each rule, (rules, background + 1) bool."""
        under = np.ones((len(rules), self.on.shape[1]), dtype=bool)
        for i, rule in enumerate(rules):
            under[i] = self.on[list(rule)].all(axis=0)
        return under


def column_conditions(instance: Instance, discretizer: Discretizer) -> ColumnConditions:
    """Up to one predicate per border of a column of numbers, one per column of categories.

    Predicates that hold on every background row say nothing and are left out. Raises InvalidRequest
    without background rows, and for a background or names that do not fit the instance.
    """
    refuse_nan(instance)
    background = background_rows(instance)
    if background is None or len(next(iter(background.values()))) < FEWEST_ROWS:
        raise InvalidRequest.of(
            "spec.tabular.background",
            "anchors draws rows from it and needs 2 or more; send some typical rows, "
            "or give a baseline that hides columns instead",
        )
    if discretizer not in PERCENTILES:
        raise InvalidRequest.of("discretizer", "a predicate needs a border; use QUARTILE or DECILE")
    borders = PERCENTILES[discretizer]
    names = column_names(instance)
    rows = {}
    for name, past in background.items():
        own = instance.inputs[name].astype(past.dtype)
        rows[name] = np.concatenate([past, own[None]])
    columns = [column for past in rows.values() for column in past.reshape(len(past), -1).T]
    tests, on = [], []
    for j, column in enumerate(columns):
        for text, held in predicates(instance, j, names[j], column, borders):
            if held.all():
                continue
            tests.append(Condition(j, text, int.from_bytes(np.packbits(held).tobytes(), "big")))
            on.append(held)
    held_by = np.array(on, dtype=bool).reshape(len(on), len(columns[0]))
    cut = f"{len(names)} columns, {len(tests)} predicates with {discretizer.value} borders"
    return ColumnConditions(instance, tuple(tests), rows, names, held_by, cut)


def predicates(
    instance: Instance, j: int, name: str, column: Array, percentiles: Sequence[float]
) -> list[tuple[str, Array]]:
    """Predicates of one column, (rows + 1,) with the instance last: text, and where each holds."""
    details, value = instance.spec.details, column[-1]
    categories = details.categories if isinstance(details, TabularSpec) else {}
    if column.dtype.kind not in "iuf" or j in categories:
        word = category_name(value if isinstance(value, str) else value.item(), categories.get(j, ()))
        return [(f"{name} = {word}", np.asarray(column == value, dtype=bool))]
    found = []
    for border in np.unique(np.percentile(column[:-1].astype(np.float64), percentiles)):
        below = bool(value <= border)
        held = column <= border if below else column > border
        found.append((f"{name} {'<=' if below else '>'} {border:.6g}", np.asarray(held)))
    return found


def readable(value: Any) -> str:
    """A cell of a table."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
