"""STREAK as its paper tells it, one element after the other, and its rivals by the book."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

EXPONENTS = range(-30, 60)  # enough for m in [0.01, 100], k <= 5 and epsilon >= 0.2
LOW, HIGH = 1 - 1e-9, 1 + 1e-9  # the anchor is on the border when all elements add alike: rounding
F = Callable[[frozenset[int]], float]  # f(nothing) = 0


def streamed(f: F, stream: Sequence[int], k: int, epsilon: float, anchor: float = 1.0) -> frozenset[int]:
    """Algorithm 2: thresholds come and go with the best single element m seen so far.

    An instance of algorithm 1 exists for every tau = anchor (1 - epsilon)^i with
    (1 - epsilon) m / (9 k^2) <= tau <= m k; the answer is the best of all instances and the best element.
    In the paper the anchor is 1.
    """
    m, best = 0.0, frozenset[int]()
    instances: dict[int, frozenset[int]] = {}
    for u in stream:
        if f(frozenset({u})) >= m:
            m, best = f(frozenset({u})), frozenset({u})
        if m == 0:
            continue
        taus = {i: anchor * (1 - epsilon) ** i for i in EXPONENTS}
        wanted = [i for i in EXPONENTS if LOW * (1 - epsilon) * m / (9 * k * k) <= taus[i] <= m * k * HIGH]
        instances = {i: instances.get(i, frozenset()) for i in wanted}
        for i, held in instances.items():
            if len(held) < k and f(held | {u}) - f(held) >= taus[i] / k:
                instances[i] = held | {u}
    return max([best, *instances.values()], key=f)


def greedy(f: F, n: int, k: int) -> list[int]:
    """The best addition, k times; the lower number of equals."""
    path: list[int] = []
    for _ in range(k):
        path.append(max((u for u in range(n) if u not in path), key=lambda u: f(frozenset([*path, u]))))
    return path


def best_value(f: F, n: int, k: int) -> float:
    """max f over all sets of k."""
    return max(f(frozenset(subset)) for subset in itertools.combinations(range(n), k))
