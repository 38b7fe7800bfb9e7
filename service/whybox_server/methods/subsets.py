"""Scores of sets of segments, each asked once: what searches over subsets share.

A search names the sets that it wants to know; those that are new become one query. It knows neither
what a good set is nor how one is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.method import Rng
from whybox_server.perturb.hiding import Hiding

Subset: TypeAlias = frozenset[int]
Read: TypeAlias = Callable[[Array], Array]  # the model's scores, (n, outputs) -> one number a row, (n,)
EMPTY: Subset = frozenset()
NOISE = 1e-6  # of the largest value: what float32 may differ by when nothing differs


@dataclass(slots=True, eq=False)
class Sets:
    """What is known of sets of segments; it lives as long as one search.

    shown: a set is what is kept, the rest hidden; else it is what is hidden, the rest kept.
    reader: makes, of the instance's own scores, what reads those of every set. The instance must be
    the first set asked. background: the alternative for "absent" that all rows take.
    """

    hiding: Hiding
    shown: bool
    background: int
    reader: Callable[[Array], Read]
    read: Read | None = None
    values: dict[Subset, float] = field(default_factory=dict)
    scores: dict[Subset, Array] = field(default_factory=dict)  # (outputs,) each: the model's own
    spent: BudgetSpent | None = None  # how the budget ended, if it did

    @property
    def everything(self) -> Subset:
        """The set of all segments."""
        return frozenset(range(self.hiding.count))

    @property
    def instance(self) -> Subset:
        """The set that leaves the instance as it is."""
        return self.everything if self.shown else EMPTY

    @property
    def noise(self) -> float:
        """Differences of values up to this mean nothing."""
        return NOISE * max(map(abs, self.values.values()), default=0.0)

    @property
    def constant(self) -> bool:
        """Whether nothing asked so far makes a difference."""
        return max(self.values.values()) - min(self.values.values()) <= self.noise

    def ask(self, sets: Iterable[Subset], at_least: int = 0) -> Generator[Query, Reply, None]:
        """Learn the scores of those sets that are not known yet, in one query.

        When the budget ends, the first of them that still fit are asked, and `spent` says so. Raises
        BudgetSpent when fewer than `at_least` fit.
        """
        missing = [subset for subset in dict.fromkeys(sets) if subset not in self.values]
        while missing:
            try:
                reply = yield Query(self._rows(missing))
            except BudgetSpent as spent:
                if spent.left < at_least:
                    raise
                self.spent = spent
                missing = missing[: min(spent.left, len(missing) - 1)]
                continue
            self._learn(missing, reply.scores)
            return

    def gain(self, segment: int, to: Iterable[int] = ()) -> float:
        """f(to and segment) - f(to); both must be known."""
        before = frozenset(to)
        return self.values[before | {segment}] - self.values[before]

    def _rows(self, sets: list[Subset]) -> Rows:
        members = np.zeros((len(sets), self.hiding.count), dtype=bool)
        for mask, subset in zip(members, sets, strict=True):
            mask[list(subset)] = True
        choice = np.full(len(sets), self.background) if self.background else None
        return self.hiding.rows(members if self.shown else ~members, choice)

    def _learn(self, sets: list[Subset], scores: Array) -> None:
        if self.read is None:
            self.read = self.reader(scores[0])
        self.values.update(zip(sets, self.read(scores).tolist(), strict=True))
        self.scores.update(zip(sets, scores, strict=True))


def one_background(hiding: Hiding, rng: Rng) -> tuple[int, tuple[str, ...]]:
    """Draws the background row that all sets share, and what to tell the reader of it.

    A set must always score alike, or differences of sets would be differences of backgrounds.
    """
    if hiding.backgrounds == 1:
        return 0, ()
    warning = (
        f"one of {hiding.backgrounds} background rows was drawn for all sets, so that sets can be compared; "
        "another seed draws another"
    )
    return int(rng.integers(hiding.backgrounds)), (warning,)
