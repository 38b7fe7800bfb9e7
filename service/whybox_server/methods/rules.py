"""The search for a rule: from the empty one upwards, a beam of the most precise, each tried in turn.

It asks rows and is told which of them agree with the instance; what agreeing means and what a model
is, it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.methods.bandit import Search, Tally, Tosses, best_arms
from whybox_server.methods.certificate import Certificate, tried
from whybox_server.perturb.predicates import Conditions, Drawn, Literals, Rng

T = TypeVar("T")

MOST_ROWS = 100_000  # of one explanation: rules that differ by too little could be compared for ever
PER_ARM=15
PER_BEAM=2
MOST_TRIED = 5_000  # rows on one rule's certificate: a precision at the very threshold is never decided


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search; see `AnchorsParams`."""

    certificate: Certificate
    threshold: float
    delta: float
    tolerance: float
    beam: int
    batch: int
    longest: int
    stop_on_first: bool


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A rule that was tried: fresh rows, what they say, and the last of them as examples."""

    rule: Literals
    coverage: float
    rows: int
    precision: float
    bound: float
    accepted: bool
    drawn: Drawn
    agrees: Array  # (rows drawn,) bool


@dataclass(slots=True, eq=False)
class Notebook:
    """All that is known so far; it lives as long as one search."""

    conditions: Conditions
    agree: Callable[[Array], Array]  # (n, outputs) scores -> (n,) bool
    rng: Rng
    rows: int = 0
    tallies: dict[frozenset[int], tuple[int, int]] = field(default_factory=dict)
    pools: dict[frozenset[int], tuple[Array, Array]] = field(default_factory=dict)  # holds, agrees
    trials: dict[frozenset[int], Trial] = field(default_factory=dict)
    latest: dict[frozenset[int], tuple[Drawn, Array]] = field(default_factory=dict)

    def best(self) -> Trial | None:
        """The accepted rule with the largest coverage, or the one with the highest bound."""
        trials = list(self.trials.values())
        accepted = [trial for trial in trials if trial.accepted]
        if accepted:
            return max(accepted, key=lambda trial: (trial.coverage, trial.bound))
        return max(trials, key=lambda trial: (trial.bound, trial.coverage), default=None)

    def note(self, rules: Sequence[Literals], counts: Array, drawn: Drawn, scores: Array) -> Array:
        """Write down answers; returns how many rows of each rule agree, (rules,)."""
        agrees = self.agree(scores)
        ends = np.cumsum(counts)
        heads = np.zeros(len(rules), dtype=np.int64)
        self.rows += len(agrees)
        for i in np.flatnonzero(counts):
            part = slice(int(ends[i] - counts[i]), int(ends[i]))
            heads[i] = np.count_nonzero(agrees[part])
            key = frozenset(rules[i])
            n, k = self.tallies.get(key, (0, 0))
            self.tallies[key] = n + int(counts[i]), k + int(heads[i])
            at = np.arange(part.start, part.stop)
            self.latest[key] = Drawn(drawn.rows.take(at), drawn.holds[part]), agrees[part]
            if self.conditions.inherited:
                self._pool(key, drawn.holds[part], agrees[part])
        return heads

    def _pool(self, key: frozenset[int], holds: Array, agrees: Array) -> None:
        before = self.pools.get(key)
        if before is not None:
            holds, agrees = np.vstack([before[0], holds]), np.append(before[1], agrees)
        self.pools[key] = holds, agrees

    def tally(self, rules: Sequence[Literals]) -> Tally:
        """What is known of each rule."""
        known = [self.tallies.get(frozenset(rule), (0, 0)) for rule in rules]
        pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
        return Tally(pairs[:, 0], pairs[:, 1])

    def inherit(self, rule: Literals) -> None:
        """Rows of the rule without its last predicate, where this one holds too, are rows of the rule."""
        key = frozenset(rule)
        parent = self.pools.get(key - {rule[-1]})
        if key in self.tallies or parent is None:
            return
        held = parent[0][:, rule[-1]]
        self.pools[key] = parent[0][held], parent[1][held]
        self.tallies[key] = int(held.sum()), int(parent[1][held].sum())


def answered(
    tosses: Tosses[T], rules: Sequence[Literals], notes: Notebook
) -> Generator[Query, Reply, T]:
    """Turn tosses of arms into rows under rules."""
    try:
        counts = next(tosses)
        while True:
            needed = int(counts.sum())
            if notes.rows + needed > MOST_ROWS:
                raise BudgetSpent(needed, left=0)
            drawn = notes.conditions.draw(rules, counts, notes.rng)
            reply = yield Query(drawn.rows)
            counts = tosses.send(notes.note(rules, counts, drawn, reply.scores))
    except StopIteration as done:
        found: T = done.value
        return found


def search(plan: Plan, notes: Notebook) -> Generator[Query, Reply, None]:
    """Beam search (algorithm 2); what it finds is in the notebook, also when it is ended early.

    A rule only grows while it could still cover more than the best one accepted.
    """
    beam: list[Literals] = [()]
    yield from try_out(plan, notes, beam)
    for _ in range(plan.longest):
        best = notes.best()
        accepted = best is not None and best.accepted
        if accepted and plan.stop_on_first:
            return
        floor = best.coverage if best is not None and best.accepted else 0.0
        candidates, coverage = extensions(notes.conditions, beam, floor)
        candidates_left = [i for i, rule in enumerate(candidates) if frozenset(rule) not in notes.trials]
        candidates = [candidates[i] for i in candidates_left]
        if not candidates:
            return
        if notes.conditions.inherited:
            for rule in candidates:
                notes.inherit(rule)
        look = Search(
            plan.beam, plan.tolerance, plan.delta, plan.batch, PER_ARM*len(candidates)+PER_BEAM*plan.batch*plan.beam, plan.threshold, coverage[candidates_left]
        )
        chosen, tally = yield from answered(best_arms(notes.tally(candidates), look), candidates, notes)
        beam = [candidates[i] for i in chosen]
        from whybox_server.methods.bandit import upper
        hope=upper(Tally(tally.tosses[chosen],tally.heads[chosen]), np.log(1/plan.delta))>=plan.threshold
        if hope.any():
            yield from try_out(plan, notes, [r for r,h in zip(beam,hope) if h])


def extensions(
    conditions: Conditions, beam: Sequence[Literals], floor: float
) -> tuple[list[Literals], Array]:
    """Rules of the beam with one more predicate that cover more than `floor`, and their coverage."""
    found: dict[frozenset[int], Literals] = {}
    for rule in beam:
        for predicate in range(len(conditions.texts)):
            longer = conditions.extended(rule, predicate)
            if longer is not None:
                found.setdefault(frozenset(longer), longer)
    rules = list(found.values())
    coverage = conditions.coverage(rules)
    kept = np.flatnonzero(coverage > floor)
    return [rules[i] for i in kept], coverage[kept]


def try_out(plan: Plan, notes: Notebook, rules: Sequence[Literals]) -> Generator[Query, Reply, None]:
    """Ask fresh rows under each rule until its certificate is decided."""
    numbers = len(notes.trials) + 1 + np.arange(len(rules))
    fresh = Tally.empty(len(rules))
    steps = tried(plan.certificate, fresh, numbers, plan.batch, MOST_TRIED)
    tally = yield from answered(steps, rules, notes)
    bounds, accepted = plan.certificate.bound(tally, numbers), plan.certificate.accepts(tally, numbers)
    coverage = notes.conditions.coverage(rules)
    for i, rule in enumerate(rules):
        drawn, agrees = notes.latest[frozenset(rule)]
        notes.trials[frozenset(rule)] = Trial(
            rule,
            float(coverage[i]),
            int(tally.tosses[i]),
            float(tally.means[i]),
            float(bounds[i]),
            bool(accepted[i]),
            drawn,
            agrees,
        )
