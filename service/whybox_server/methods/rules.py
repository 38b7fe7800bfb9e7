"""The search for a rule: from the empty one upwards, a beam of the most precise, each tried in turn.

It asks rows and is told which of them agree with the instance; what agreeing means and what a model
is, it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.methods.bandit import Search, Tally, Tosses, best_arms, lower, upper
from whybox_server.methods.certificate import Certificate, tried
from whybox_server.perturb.predicates import Conditions, Drawn, Literals, Rng

T = TypeVar("T")
Asking: TypeAlias = "Generator[Query, Reply, T]"
Key: TypeAlias = "frozenset[int]"

MOST_ROWS = 20_000  # of one search: rules that differ by too little could be compared for ever
MOST_TRIED = 2_000  # rows on one rule's certificate: a precision at the very threshold is never decided
MOST_PER_RULE = 25  # rows that a level spends on comparing rules, per rule
MOST_PER_BEAM = 4  # and batches, per rule that goes on


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

    def contest(self, coverage: Array) -> Search:
        """How the rules of one level are compared, given what each covers."""
        most = MOST_PER_RULE * len(coverage) + MOST_PER_BEAM * self.batch * self.beam
        return Search(self.beam, self.tolerance, self.delta, self.batch, most, self.threshold, coverage)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Rows drawn under a rule: which predicates hold, (n, predicates), and whether they agree, (n,)."""

    holds: Array
    agrees: Array

    def plus(self, other: Pool) -> Pool:
        return Pool(np.vstack([self.holds, other.holds]), np.append(self.agrees, other.agrees))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Some rows under a rule, and which of them agree, (n,)."""

    drawn: Drawn
    agrees: Array


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A rule that was tried on fresh rows, and what these say; `seen` are the last of them."""

    rule: Literals
    coverage: float
    rows: int
    precision: float
    bound: float
    accepted: bool
    seen: Seen | None = None


@dataclass(slots=True, eq=False)
class Notebook:
    """All that is known so far; it lives as long as one search."""

    conditions: Conditions
    agree: Callable[[Array], Array]  # (n, outputs) scores -> (n,) bool
    rng: Rng
    rows: int = 0  # asked
    pools: dict[Key, Pool] = field(default_factory=dict)
    trials: dict[Key, Trial] = field(default_factory=dict)
    known: Array = field(init=False)  # (different rows,) int8: -1 not asked yet, 1 agrees

    def __post_init__(self) -> None:
        self.known = np.full(self.conditions.different or 0, -1, dtype=np.int8)

    def best(self) -> Trial | None:
        """The accepted rule with the largest coverage, or else the one with the highest bound."""
        trials = list(self.trials.values())
        accepted = [trial for trial in trials if trial.accepted]
        if accepted:
            return max(accepted, key=lambda trial: (trial.coverage, trial.bound))
        return max(trials, key=lambda trial: (trial.bound, trial.coverage), default=None)

    def tally(self, rules: Sequence[Literals]) -> Tally:
        """What is known of each rule."""
        pools = [self.pools.get(frozenset(rule)) for rule in rules]
        tosses = [0 if pool is None else len(pool.agrees) for pool in pools]
        heads = [0 if pool is None else np.count_nonzero(pool.agrees) for pool in pools]
        return Tally(np.array(tosses, dtype=np.int64), np.array(heads, dtype=np.int64))

    def inherit(self, rule: Literals) -> None:
        """Rows under the rule but for its last predicate, where this one holds too, are under the rule."""
        key = frozenset(rule)
        shorter = self.pools.get(key - {rule[-1]})
        if key not in self.pools and shorter is not None:
            held = shorter.holds[:, rule[-1]]
            self.pools[key] = Pool(shorter.holds[held], shorter.agrees[held])

    def precision(self, rule: Literals) -> float | None:
        """Share of the rows known to be under a rule that agree; None where none are."""
        pool = self.pools.get(frozenset(rule))
        if pool is None:
            everything = self.pools[frozenset()]
            held = everything.holds[:, list(rule)].all(axis=1)
            pool = Pool(everything.holds[held], everything.agrees[held])
        return float(pool.agrees.mean()) if len(pool.agrees) else None

    def keep(self, rule: Literals, pool: Pool) -> None:
        """Add rows drawn under a rule."""
        key = frozenset(rule)
        self.pools[key] = self.pools[key].plus(pool) if key in self.pools else pool

    def ask(self, drawn: Drawn) -> Generator[Query, Reply, Array]:
        """Which rows agree, (n,) bool; rows that were asked before are not asked again."""
        if drawn.ids is None:
            self._charge(len(drawn.rows))
            reply = yield Query(drawn.rows)
            return self.agree(reply.scores)
        ids, first = np.unique(drawn.ids, return_index=True)
        new = self.known[ids] < 0
        if new.any():
            self._charge(int(new.sum()))
            reply = yield Query(drawn.rows.take(first[new]))
            self.known[ids[new]] = self.agree(reply.scores)
        return np.asarray(self.known[drawn.ids] == 1)

    def _charge(self, rows: int) -> None:
        if self.rows + rows > MOST_ROWS:
            raise BudgetSpent(rows, left=0)
        self.rows += rows


def answered(
    tosses: Tosses[T], rules: Sequence[Literals], notes: Notebook, seen: dict[int, Seen] | None = None
) -> Asking[T]:
    """Turn tosses of arms into rows under rules; `seen` keeps the last rows of each, by its number."""
    try:
        counts = next(tosses)
        while True:
            drawn = notes.conditions.draw(rules, counts, notes.rng)
            agrees = yield from notes.ask(drawn)
            heads = np.zeros(len(rules), dtype=np.int64)
            ends = np.cumsum(counts)
            for i in map(int, np.flatnonzero(counts)):
                part = slice(int(ends[i] - counts[i]), int(ends[i]))
                heads[i] = np.count_nonzero(agrees[part])
                notes.keep(rules[i], Pool(drawn.holds[part], agrees[part]))
                if seen is not None:
                    seen[i] = Seen(drawn.take(np.arange(part.start, part.stop)), agrees[part])
            counts = tosses.send(heads)
    except StopIteration as done:
        found: T = done.value
        return found


def search(plan: Plan, notes: Notebook) -> Asking[None]:
    """Beam search (algorithm 2); what it finds is in the notebook, also when it is ended early.

    A rule only grows while it could still cover more than the best one accepted. When none is
    accepted, the most precise one of all beams is tried, to have fresh rows for what is said of it.
    """
    yield from try_out(plan, notes, [()])
    beam: list[Literals] = [()]
    carried: list[Literals] = []
    for _ in range(plan.longest):
        best = notes.best()
        accepted = best is not None and best.accepted
        if accepted and plan.stop_on_first:
            return
        floor = best.coverage if best is not None and accepted else 0.0
        candidates, coverage = extensions(notes, beam, floor)
        if not candidates:
            break
        for rule in candidates:
            notes.inherit(rule)
        tosses = best_arms(notes.tally(candidates), plan.contest(coverage))
        chosen, tally = yield from answered(tosses, candidates, notes)
        beam = [candidates[i] for i in chosen]
        carried += beam
        hopeful = upper(tally, np.log(1 / plan.delta))[chosen] >= plan.threshold
        promising = [rule for rule, may in zip(beam, hopeful, strict=True) if may]
        yield from try_out(plan, notes, promising)
    untried = [rule for rule in carried if frozenset(rule) not in notes.trials]
    if untried and not any(trial.accepted for trial in notes.trials.values()):
        bounds = lower(notes.tally(untried), np.log(1 / plan.delta))
        yield from try_out(plan, notes, [untried[int(np.argmax(bounds))]])


def extensions(notes: Notebook, beam: Sequence[Literals], floor: float) -> tuple[list[Literals], Array]:
    """Untried rules of the beam with one more predicate that cover more than `floor`, and how much."""
    conditions = notes.conditions
    found: dict[Key, Literals] = {}
    for rule in beam:
        for predicate in range(len(conditions.texts)):
            longer = conditions.extended(rule, predicate)
            if longer is not None and frozenset(longer) not in notes.trials:
                found.setdefault(frozenset(longer), longer)
    rules = list(found.values())
    coverage = conditions.coverage(rules)
    kept = np.flatnonzero((coverage > floor) & (coverage >= conditions.least))
    return [rules[i] for i in kept], coverage[kept]


def try_out(plan: Plan, notes: Notebook, rules: Sequence[Literals]) -> Asking[None]:
    """Draw fresh rows under each rule until its certificate is decided."""
    if not rules:
        return
    numbers = len(notes.trials) + 1 + np.arange(len(rules))
    steps = tried(plan.certificate, Tally.empty(len(rules)), numbers, plan.batch, MOST_TRIED)
    seen: dict[int, Seen] = {}
    tally = yield from answered(steps, rules, notes, seen)
    bounds, accepted = plan.certificate.bound(tally, numbers), plan.certificate.accepts(tally, numbers)
    coverage = notes.conditions.coverage(rules)
    for i, rule in enumerate(rules):
        notes.trials[frozenset(rule)] = Trial(
            rule,
            float(coverage[i]),
            int(tally.tosses[i]),
            float(tally.means[i]),
            float(bounds[i]),
            bool(accepted[i]),
            seen.get(i),
        )


def glimpse(plan: Plan, notes: Notebook, rows: int) -> Asking[None]:
    """Look at the empty rule with as many rows as the budget leaves; it is not certified by them."""
    drawn = notes.conditions.draw([()], np.array([rows]), notes.rng)
    agrees = yield from notes.ask(drawn)
    tally = Tally(np.array([rows]), np.array([np.count_nonzero(agrees)]))
    bound = plan.certificate.bound(tally, np.ones(1))
    notes.keep((), Pool(drawn.holds, agrees))
    seen = Seen(drawn, agrees)
    notes.trials[frozenset()] = Trial((), 1.0, rows, float(tally.means[0]), float(bound[0]), False, seen)
