"""Conditions on an instance, and how rows are drawn on which some of them hold.

A rule is a tuple of predicate numbers, all true of the instance. Here are the protocol and the
predicates "segment i is there"; those on a table's columns are in `table_predicates`. What a model
says of the rows, this file does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from whybox_server.core.explanation import Units
from whybox_server.core.rows import Array, Rows, Texts
from whybox_server.perturb.hiding import Hiding

Rng: TypeAlias = np.random.Generator
Literals: TypeAlias = tuple[int, ...]

KEPT = 0.5  # probability with which a segment that no predicate holds is there
NAMED_SEGMENTS = 12  # an example names so many at most


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Rows, and which predicates hold on each, (n, predicates) bool.

    ids: (n,) which of the rows there are each one is, where they are finitely many; else None.
    """

    rows: Rows
    holds: Array
    ids: Array | None = None

    def take(self, at: Array) -> Drawn:
        ids = None if self.ids is None else self.ids[at]
        return Drawn(self.rows.take(at), self.holds[at], ids)


class Conditions(Protocol):
    """The predicates of an instance and the law D of rows, of which D(z | rule) are those under a rule.

    So rows drawn under A on which p holds too are rows drawn under A and p, and serve both.
    """

    @property
    def units(self) -> Units: ...

    @property
    def texts(self) -> tuple[str, ...]:
        """Each predicate as a reader knows it, (predicates,)."""
        ...

    @property
    def segments(self) -> Array:
        """Segment or column of each predicate, (predicates,) int."""
        ...

    @property
    def different(self) -> int | None:
        """How many different rows D has; None: too many to count."""
        ...

    @property
    def least(self) -> float:
        """Coverage below which too little is known of a rule to try it."""
        ...

    @property
    def baseline(self) -> str: ...

    @property
    def segmentation(self) -> str: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def coverage(self, rules: Sequence[Literals]) -> Array:
        """Share of D on which each rule holds, (rules,), exact."""
        ...

    def extended(self, rule: Literals, predicate: int) -> Literals | None:
        """The rule with one more predicate, without those that it implies; None if nothing changes."""
        ...

    def draw(self, rules: Sequence[Literals], counts: Array, rng: Rng) -> Drawn:
        """counts[i] rows under rules[i], one rule after the other."""
        ...

    def instance_row(self) -> Rows:
        """The instance alone."""
        ...

    def describe(self, rows: Rows, at: int) -> str:
        """One drawn row, readable."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Presences:
    """Segment i is there; what no predicate holds is hidden by a coin's flip.

    The flips are independent, so the rows under a rule are those with its segments there.
    """

    hiding: Hiding

    @property
    def units(self) -> Units:
        return self.hiding.units

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{self._name(i)} is there" for i in range(self.hiding.count))

    @property
    def segments(self) -> Array:
        return np.arange(self.hiding.count)

    @property
    def different(self) -> int | None:
        return None

    @property
    def least(self) -> float:
        return 0.0

    @property
    def baseline(self) -> str:
        return f"each segment hidden with probability {1 - KEPT:g}: {self.hiding.baseline}"

    @property
    def segmentation(self) -> str:
        return self.hiding.segmentation

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.hiding.warnings

    def coverage(self, rules: Sequence[Literals]) -> Array:
        """The share of masks: 2^-predicates, whatever the data."""
        return np.array([KEPT ** len(rule) for rule in rules])

    def extended(self, rule: Literals, predicate: int) -> Literals | None:
        return None if predicate in rule else (*rule, predicate)

    def draw(self, rules: Sequence[Literals], counts: Array, rng: Rng) -> Drawn:
        fixed = np.zeros((len(rules), self.hiding.count), dtype=bool)
        for i, rule in enumerate(rules):
            fixed[i, list(rule)] = True
        n = int(counts.sum())
        masks = (rng.random((n, self.hiding.count)) < KEPT) | np.repeat(fixed, counts, axis=0)
        several = self.hiding.backgrounds > 1
        choice = rng.integers(self.hiding.backgrounds, size=n) if several else None
        return Drawn(self.hiding.rows(masks, choice), masks)

    def instance_row(self) -> Rows:
        return self.hiding.rows(np.ones((1, self.hiding.count), dtype=bool))

    def describe(self, rows: Rows, at: int) -> str:
        """The text itself, or the segments that are there."""
        if isinstance(rows, Texts):
            return rows.text(at)
        kept = np.flatnonzero(rows.masks[at]).tolist()  # type: ignore[attr-defined]
        more = f" and {len(kept) - NAMED_SEGMENTS} more" if len(kept) > NAMED_SEGMENTS else ""
        return f"{', '.join(map(self._name, kept[:NAMED_SEGMENTS])) or 'nothing'}{more}"

    def _name(self, segment: int) -> str:
        return repr(self.units.names[segment]) if self.units.pieces else self.units.names[segment]
