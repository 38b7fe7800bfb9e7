"""When a rule's precision counts as certified: the reference rule, and one that holds at all times.

Both look at a tally of fresh rows: rows asked after it was settled that the rule would be tried.
They know nothing of rules, rows or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import betaincc, betaln

from whybox_server.core.rows import Array
from whybox_server.methods.bandit import BISECTIONS, Tally, Tosses, lower, upper

SLACK = 0.05  # of the reference implementation, which its callers cannot change


class Certificate(Protocol):
    """Decides about arms from their tallies; `numbers` are the places of the arms among all that were
    ever tried, (arms,), from 1.
    """

    @property
    def confidence(self) -> float:
        """Probability with which the bounds hold."""
        ...

    @property
    def words(self) -> str:
        """What is certified."""
        ...

    def bound(self, tally: Tally, numbers: Array) -> Array:
        """Lower bounds of the precision, (arms,)."""
        ...

    def accepts(self, tally: Tally, numbers: Array) -> Array:
        """Whether each arm is certified, (arms,) bool."""
        ...

    def undecided(self, tally: Tally, numbers: Array) -> Array:
        """Whether more rows may tell, (arms,) bool."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean at or above the threshold, KL bound above it less 0.05, looked at after every batch.

    The bound is right once; looked at again and again, and for many rules, it errs more often. A rule
    of true precision .94 is accepted against a threshold of .95 one time in three.
    """

    threshold: float
    delta: float
    tries: int  # rules that share delta: 1 + (beam - 1) x predicates

    @property
    def confidence(self) -> float:
        return 1 - self.delta / self.tries

    @property
    def words(self) -> str:
        return (
            f"precision > {self.threshold - SLACK:g} ({SLACK:g} below the threshold) at confidence "
            f"{self.confidence:.4g}, of this rule alone and as if it had been looked at once; "
            f"set strict for precision >= {self.threshold:g}"
        )

    @property
    def _level(self) -> float:
        return float(np.log(self.tries / self.delta))

    def bound(self, tally: Tally, numbers: Array) -> Array:
        return lower(tally, self._level)

    def accepts(self, tally: Tally, numbers: Array) -> Array:
        above = self.bound(tally, numbers) > self.threshold - SLACK
        return np.asarray((tally.means >= self.threshold) & above)

    def undecided(self, tally: Tally, numbers: Array) -> Array:
        good = tally.means >= self.threshold
        may_fall_short = good & ~self.accepts(tally, numbers)
        may_recover = ~good & (upper(tally, self._level) >= self.threshold + SLACK)
        return np.asarray(may_fall_short | may_recover)


@dataclass(frozen=True, slots=True)
class Strict:
    """Precision >= threshold, with probability 1 - delta, for all rules tried and all looks at once.

    Let L(q) = q^k (1 - q)^(n - k) be the likelihood of k agreeing rows out of n. For q > t the ratio
    L(q) / L(t) grows, per row, by q / t (agrees) or by (1 - q) / (1 - t) < q / t (does not): on
    average by p q / t + (1 - p)(1 - q) / (1 - t), which increases with the true precision p and is 1
    at p = t. So for every p <= t it is a supermartingale that starts at 1, and so is its mean over q
    uniform in (t, 1), the `evidence` M(t). By Ville's inequality M(t) ever reaches 1 / d with
    probability at most d, however long one looks and whenever one stops. The i-th rule tried gets
    d = delta / (i (i + 1)); its rows are drawn after it has got its number, so they are independent
    of what led to it, and the sum over all i is delta: no choice among the rules can raise it.

    The bound is the t up to which all are rejected. M falls with t as long as t < k / n and is at
    most 1 beyond (with q = t + (1 - t) u, d log L(q) / dt = (1 - u) l'(q) <= l'(t), as l = log L is
    concave), so it is crossed once, and the bound exceeds p only if p itself was rejected.
    """

    threshold: float
    delta: float

    @property
    def confidence(self) -> float:
        return 1 - self.delta

    @property
    def words(self) -> str:
        return (
            f"precision >= {self.threshold:g} at confidence {self.confidence:g}, over all rules tried and "
            "all looks at them"
        )

    def bound(self, tally: Tally, numbers: Array) -> Array:
        low, high = np.zeros(len(numbers)), tally.means
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            rejected = evidence(tally, middle) >= self._limit(numbers)
            low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
        return low

    def accepts(self, tally: Tally, numbers: Array) -> Array:
        thresholds = np.full(len(numbers), self.threshold)
        return np.asarray(evidence(tally, thresholds) >= self._limit(numbers))

    def undecided(self, tally: Tally, numbers: Array) -> Array:
        return np.asarray((tally.means >= self.threshold) & ~self.accepts(tally, numbers))

    def _limit(self, numbers: Array) -> Array:
        return np.asarray(np.log(numbers * (numbers + 1.0) / self.delta))


def evidence(tally: Tally, thresholds: Array) -> Array:
    """Log M(t), (arms,): log of the mean of L(q) / L(t) over q uniform in (t, 1)."""
    hits, misses, t = tally.heads, tally.tosses - tally.heads, thresholds
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = betaln(hits + 1, misses + 1) + np.log(betaincc(hits + 1, misses + 1, t)) - np.log1p(-t)
        at = np.where(hits > 0, hits * np.log(t), 0.0) + misses * np.log1p(-t)
    return np.where(tally.tosses > 0, beyond - at, 0.0)


def tried(certificate: Certificate, tally: Tally, numbers: Array, batch: int, most: int) -> Tosses[Tally]:
    """Toss arms in batches until each one is decided or has had `most` tosses; the tally by then."""
    while True:
        open_ = (tally.tosses == 0) | certificate.undecided(tally, numbers)
        counts = np.where(open_, np.minimum(batch, most - tally.tosses), 0)
        if not counts.any():
            return tally
        tally = tally.plus(counts, (yield counts))
