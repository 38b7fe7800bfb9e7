"""Anchors, slowly and readably: bounds by bisection to the last digit, the best rule by enumeration.

Kaufmann & Kalyanakrishnan 2013 (bounds), Ribeiro, Singh & Guestrin 2018, section 3 (precision, coverage).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import log


def kl(p: float, q: float) -> float:
    """Divergence of one coin from another."""
    heads = p * log(p / q) if p > 0 else 0.0
    tails = (1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0
    return heads + tails


def lower_bound(heads: int, tosses: int, level: float) -> float:
    """The smallest q below the mean with tosses KL(mean, q) <= level."""
    mean = heads / tosses
    low, high = 1e-12, mean
    for _ in range(60):
        middle = (low + high) / 2
        if tosses * kl(mean, middle) > level:
            low = middle
        else:
            high = middle
    return high


def mixture_evidence(heads: int, tosses: int, threshold: float, steps: int = 4000) -> float:
    """Mean over q uniform in (threshold, 1) of the likelihood of q over that of the threshold."""
    total = 0.0
    for i in range(steps):
        q = threshold + (1 - threshold) * (i + 0.5) / steps
        misses = tosses - heads
        ratio = heads * log(q / threshold) + misses * log((1 - q) / (1 - threshold))
        total += 2.718281828459045**ratio
    return total / steps


def share(rows: Sequence[Sequence[bool]], rule: Sequence[int]) -> float:
    """Coverage: the share of rows on which all predicates of a rule hold."""
    return sum(all(row[p] for p in rule) for row in rows) / len(rows)


def precision(rows: Sequence[Sequence[bool]], agrees: Sequence[bool], rule: Sequence[int]) -> float:
    """The share of agreeing rows among those under a rule."""
    under = [agree for row, agree in zip(rows, agrees, strict=True) if all(row[p] for p in rule)]
    return sum(under) / len(under)


def best_rule(
    rows: Sequence[Sequence[bool]], agrees: Sequence[bool], threshold: float
) -> tuple[int, ...] | None:
    """Of all rules that reach the threshold the one that covers most, the shortest among equals."""
    best, covered = None, 0.0
    for size in range(len(rows[0]) + 1):
        for rule in combinations(range(len(rows[0])), size):
            coverage = share(rows, rule)
            if coverage > covered and precision(rows, agrees, rule) >= threshold:
                best, covered = rule, coverage
    return best
