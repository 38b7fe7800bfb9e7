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


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What `best_arms` looks for: `size` arms, one of which is within `tolerance` of the best.

    enough: heads beyond this share are worth no more; arms as good as that are ranked by `prize`.
    """

    size: int
    tolerance: float
    delta: float
    batch: int  # most tosses of one arm in one round
    most: int  # tosses in all; more are not spent on telling arms apart
    enough: float
    prize: Array  # (arms,)


def ranking(tally: Tally, search: Search) -> Array:
    """Arms from best to worst: by share of heads up to `enough`, then by prize, then by number."""
    return np.lexsort((-search.prize, -np.minimum(tally.means, search.enough)))


def best_arms(tally: Tally, search: Search) -> Tosses[tuple[Array, Tally]]:
    """Numbers of the chosen arms, best first, and the tally by then.

    KL-LUCB (algorithm 1) with three changes. It stops when one of the chosen is, with probability
    1 - delta, within `tolerance` of the best arm: the algorithm compares the worst of the chosen, but
    between equally bad arms at the border of a beam there is nothing worth finding out. It stops after
    `most` tosses, and then promises nothing. And a round tosses as many outsiders as there are chosen
    ones, each at most as often as it has been tossed before: the bounds hold whatever arms are tossed,
    and fewer rounds make fuller batches.
    """
    few = np.clip(FIRST_TOSSES - tally.tosses, 0, search.batch)
    spent, rounds = int(few.sum()), 1
    if few.any():
        tally = tally.plus(few, (yield few))
    while True:
        chosen = ranking(tally, search)[: search.size]
        counts = next_tosses(tally, chosen, search, exploration(len(few), rounds, search.delta))
        if not counts.any() or spent >= search.most:
            return chosen, tally
        tally = tally.plus(counts, (yield counts))
        spent, rounds = spent + int(counts.sum()), rounds + 1


def next_tosses(tally: Tally, chosen: Array, search: Search, level: float) -> Array:
    """How often to toss each arm, (arms,): young members of the chosen, and rivals with their champion."""
    counts = np.zeros(len(tally.tosses), dtype=np.int64)
    step = np.clip(tally.tosses, 1, search.batch)
    young = chosen[tally.tosses[chosen] < search.batch]
    counts[young] = np.minimum(step, search.batch - tally.tosses)[young]
    surely, perhaps = lower(tally, level)[chosen], upper(tally, level)
    perhaps[chosen] = 0.0
    rivals = np.argsort(-perhaps, kind="stable")[: search.size]
    bar = min(float(surely.max()), search.enough) + search.tolerance
    rivals = rivals[np.minimum(perhaps[rivals], search.enough) > bar]
    if len(rivals):
        counts[rivals] = step[rivals]
        champion = chosen[np.argmax(surely)]
        counts[champion] = step[champion]
    return counts
