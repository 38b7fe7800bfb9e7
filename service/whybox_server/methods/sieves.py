"""STREAK's one pass: a sieve per threshold, all of them advancing together.

Each sieve keeps a segment when it adds enough to what the sieve holds (Elenberg et al. 2017,
algorithms 1 and 2). Every segment alone is known beforehand here, and so are the thresholds: a sieve
that the paper starts late would have rejected all that came before it (lemma A.9), so that starting
all of them at once changes nothing but the number of rounds.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from math import ceil, floor, log

from whybox_server.core.query import Query, Reply
from whybox_server.methods.subsets import Sets, Subset

ROUNDING = 1e-9  # of an exponent: a threshold on the border counts as inside
LOWEST = 9.0  # thresholds reach down to (1 - epsilon) m / (9 k^2)


@dataclass(slots=True, eq=False)
class Sieve:
    """One threshold on its way through the stream."""

    bar: float  # tau / k: what a segment must add
    kept: list[int] = field(default_factory=list)
    position: int = 0  # in the stream: so many segments are decided
    asked: int = 0  # rows asked on its behalf; never more than `position` once these are decided

    def done(self, order: list[int], k: int) -> bool:
        return len(self.kept) == k or self.position == len(order)

    def advance(self, sets: Sets, order: list[int], k: int) -> None:
        """Decide as many segments as are known."""
        while not self.done(order, k):
            segment = order[self.position]
            if frozenset([*self.kept, segment]) not in sets.values:
                return
            if sets.gain(segment, self.kept) >= self.bar:
                self.kept.append(segment)
            self.position += 1

    def ahead(self, sets: Sets, order: list[int]) -> list[Subset]:
        """The sets to ask next: up to the first segment that is likely to be kept.

        Of a submodular f, what adds too little alone adds too little to anything, so it is asked
        together with the next. If it is kept all the same, what was asked behind it is lost; as many
        rows are put at risk as were saved before, so that a sieve asks once per segment at most.
        """
        found = []
        saved = self.position - self.asked
        for segment in order[self.position : self.position + 1 + saved]:
            found.append(frozenset([*self.kept, segment]))
            if sets.gain(segment) >= self.bar:
                break
        self.asked += len(found)
        return found


def sieve(sets: Sets, order: list[int], k: int, epsilon: float) -> Generator[Query, Reply, list[int]]:
    """The best of all sieves and of the best segment alone; empty if no segment alone raises the score.

    order: the stream; nothing and every segment of it alone must be known.
    """
    best = order[0]
    for segment in order[1:]:
        best = segment if sets.gain(segment) >= sets.gain(best) else best  # the latest of equals
    if sets.gain(best) <= 0:
        return []
    taus = thresholds(sets.gain(best), k, epsilon, anchor(sets, order, k))
    sieves = [Sieve(tau / k) for tau in taus]
    while True:
        for each in sieves:
            each.advance(sets, order, k)
        live = [each for each in sieves if not each.done(order, k)]
        if sets.spent or not live:
            break
        yield from sets.ask([subset for each in live for subset in each.ahead(sets, order)])
    return max([[best], *(each.kept for each in sieves)], key=lambda kept: sets.values[frozenset(kept)])


def anchor(sets: Sets, order: list[int], k: int) -> float:
    """The threshold that keeps k segments when they add what they add alone.

    The paper's thresholds are powers of 1 - epsilon, since it does not know any scale beforehand; what
    it proves needs their spacing only. Through this one, the k largest of a sum of weights are found,
    and the unit of the score does not matter.
    """
    gains = sorted((sets.gain(segment) for segment in order), reverse=True)
    kth = gains[min(k, len(gains)) - 1] - sets.noise  # a little lower, or rounding would bar the k-th
    return k * (kth if kth > 0 else gains[0])


def thresholds(best: float, k: int, epsilon: float, anchor: float = 1.0) -> list[float]:
    """All anchor (1 - epsilon)^i in [(1 - epsilon) m / (9 k^2), m k], falling; m is the best gain alone."""
    base = log(1 - epsilon)
    first = ceil(log(best * k / anchor) / base - ROUNDING)
    last = floor(log((1 - epsilon) * best / (LOWEST * k * k * anchor)) / base + ROUNDING)
    return [anchor * (1 - epsilon) ** i for i in range(first, last + 1)]


def thresholds_at_most(k: int, epsilon: float) -> int:
    """How many thresholds there can be, whatever the best gain."""
    return 2 + floor(ROUNDING - log(LOWEST * k**3) / log(1 - epsilon))
