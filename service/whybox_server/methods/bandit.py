"""Which of many coins lands heads most often, asked with as few tosses as can be (KL-LUCB).

Bounds of Kaufmann & Kalyanakrishnan 2013, COLT: p lies where n KL(mean, p) <= level. A procedure is a
generator that yields how often to toss each arm and is sent how many heads came; it knows nothing of
rules, rows or models.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from whybox_server.core.rows import Array

T = TypeVar("T")
Tosses: TypeAlias = "Generator[Array, Array, T]"  # yields (arms,) counts, is sent (arms,) heads

BISECTIONS = 16  # of an interval that Pinsker's inequality gives: within 2^-16 of the exact bound
UNION = 405.5  # k1 of the exploration rate for alpha = 1.1, Kaufmann & Kalyanakrishnan 2013, theorem 1
GROWTH_OF_ROUNDS = 1.1  # alpha
FIRST_TOSSES = 10  # of an arm that nothing is known of


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Tosses and heads of each arm, (arms,) integers each."""

    tosses: Array
    heads: Array

    @classmethod
    def empty(cls, arms: int) -> Tally:
        return cls(np.zeros(arms, dtype=np.int64), np.zeros(arms, dtype=np.int64))

    @property
    def means(self) -> Array:
        """(arms,) float64; 0 for an arm that was never tossed."""
        return np.asarray(self.heads / np.maximum(self.tosses, 1))

    def plus(self, tosses: Array, heads: Array) -> Tally:
        return Tally(self.tosses + tosses, self.heads + heads)


def divergence(p: Array, q: Array) -> Array:
    """KL(Bernoulli(p), Bernoulli(q)); infinite where q rules out what p allows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(p > 0, p * np.log(p / q), 0.0)
        tails = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
    return np.asarray(heads + tails)


def upper(tally: Tally, level: float | Array) -> Array:
    """The largest p with tosses KL(mean, p) <= level, (arms,), rounded up; 1 without tosses."""
    return 1 - lower(Tally(tally.tosses, tally.tosses - tally.heads), level)


def lower(tally: Tally, level: float | Array) -> Array:
    """The smallest p with tosses KL(mean, p) <= level, (arms,), rounded down; 0 without tosses."""
    means = tally.means
    allowed = level / np.maximum(tally.tosses, 1)
    low = np.maximum(means - np.sqrt(allowed / 2), 0.0)  # Pinsker: KL(p, q) >= 2 (p - q)^2
    high = means.copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        outside = divergence(means, middle) > allowed
        low = np.where(outside, middle, low)
        high = np.where(outside, high, middle)
    return np.where(tally.tosses > 0, low, 0.0)


def exploration(arms: int, rounds: int, delta: float) -> float:
    """The level beta(t): bounds of all arms hold in all rounds with probability 1 - delta."""
    log = np.log(UNION * arms * rounds**GROWTH_OF_ROUNDS / delta)
    return float(log + np.log(log))


@dataclass(frozen=True, slots=True)
class Search:
    """What `best_arms` looks for: `size` arms, one of which is within `tolerance` of the best.

    enough: heads beyond this share are not worth more; arms as good as that are ranked by `prize`.
    """

    size: int
    tolerance: float
    delta: float
    batch: int  # most tosses of one arm in one round
    enough: float
    prize: Array  # (arms,)


def ranking(tally: Tally, search: Search) -> Array:
    """Arms from best to worst: by share of heads up to `enough`, then by prize, then by number."""
    value = np.minimum(tally.means, search.enough)
    return np.lexsort((-search.prize, -value))


def best_arms(tally: Tally, search: Search) -> Tosses[tuple[Array, Tally]]:
    """Numbers of the chosen arms, best first, and the tally by then.

    With probability 1 - delta one of the chosen is within `tolerance` of the best of all arms. For
    size 1 this is KL-LUCB (algorithm 1); for larger sizes it asks less than that algorithm, which
    compares the worst of the chosen with the best of the others: between equally bad arms at the
    border of a beam there is nothing worth finding out. All arms that could still matter are tossed
    in the same round, each as often as it would take if its mean stayed, but at most twice as often
    as before: the bounds hold whatever arms are tossed, and fewer rounds make fuller batches.
    """
    few = tally.tosses < FIRST_TOSSES
    if few.any():
        counts = np.where(few, np.minimum(FIRST_TOSSES - tally.tosses, search.batch), 0)
        tally = tally.plus(counts, (yield counts))
    rounds = 1
    while True:
        chosen = ranking(tally, search)[: search.size]
        counts = contenders(tally, chosen, search, exploration(len(tally.tosses), rounds, search.delta))
        if not counts.any():
            return chosen, tally
        tally = tally.plus(counts, (yield counts))
        rounds += 1


def contenders(tally: Tally, chosen: Array, search: Search, level: float) -> Array:
    """How often to toss each arm next, (arms,); nothing when no outsider can be much better."""
    surely = lower(tally, level)
    champion = chosen[np.argmax(surely[chosen])]
    bar = min(surely[champion], search.enough) + search.tolerance
    rivals = np.minimum(upper(tally, level), search.enough) > bar
    rivals[chosen] = False
    if not rivals.any():
        return np.zeros(len(rivals), dtype=np.int64)
    # Where the mean is beyond the bar only more tosses of the champion can help, and it doubles anyway.
    with np.errstate(divide="ignore"):
        needed = np.ceil(level / divergence(np.minimum(tally.means, bar), np.full(len(rivals), bar)))
    needed = np.where(tally.means < bar, needed - tally.tosses, search.batch)
    most = np.minimum(tally.tosses, search.batch)
    counts = np.where(rivals, np.clip(needed, 1, most), 0)
    counts[champion] = most[champion]
    return counts.astype(np.int64)
