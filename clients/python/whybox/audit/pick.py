"""A few instances that show most of what a model goes by (Ribeiro et al. 2016, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from whybox.audit.cases import Case
from whybox.audit.measures import strongest, top_of

MOST_PICKED = 5  # B of algorithm 2


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen case, the names that it was chosen for, and the share of all importance covered with it."""

    case: Case
    new: tuple[str, ...]
    covered: float


def submodular_pick(cases: Sequence[Case], most: int = MOST_PICKED) -> list[Pick]:
    """Algorithm 2: greedily the case that adds most importance to what the picked ones cover (equation 3).

    I_j = sqrt(sum_i |W_ij|), where W keeps the strongest names of every explanation, as LIME's K does. The
    greedy choice is within 1 - 1/e of the best. Fewer than `most` when nothing is left to cover.
    """
    top = top_of(max((len(case.values) for case in cases), default=1))
    rows = [{name: case.values[name] for name in strongest(case.values, top)} for case in cases]
    weight = {name: sqrt(total) for name, total in column_sums(rows).items()}
    whole = sum(weight.values())
    found: list[Pick] = []
    seen: set[str] = set()
    while len(found) < most:
        gains = [sum(weight[name] for name in row.keys() - seen) for row in rows]
        best = max(range(len(rows)), key=gains.__getitem__, default=-1)
        if best < 0 or gains[best] <= 0:
            break
        new = tuple(name for name in rows[best] if name not in seen)
        seen |= rows[best].keys()
        found.append(Pick(cases[best], new, sum(weight[name] for name in seen) / whole))
    return found


def column_sums(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            sums[name] = sums.get(name, 0.0) + abs(value)
    return sums
