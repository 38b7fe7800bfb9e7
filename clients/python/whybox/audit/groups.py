"""Groups of instances, told apart by a column, and what counts in each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean, variance
from typing import Any

import numpy as np

from whybox.audit.cases import Case
from whybox.audit.measures import shares

MOST_VALUES = 8  # a column with more different ones is cut into quarters, or its rare ones are put together
OTHERS = "all others"
TELLING = 2.0  # standard errors: a difference of the groups that is hardly chance


@dataclass(frozen=True, slots=True)
class Group:
    """labels: how often the model says what. score: mean. shares: mean of each name, standard error."""

    name: str
    instances: int
    labels: Mapping[str, int]
    score: float
    shares: Mapping[str, tuple[float, float]]


def groups(cases: Sequence[Case], column: Sequence[Any]) -> list[Group]:
    """One per value of the column, (rows of the table,); of a number with many values, one per quarter."""
    names, order = named([column[case.row] for case in cases])
    members: dict[str, list[Case]] = {}
    for case, name in zip(cases, names, strict=True):
        members.setdefault(name, []).append(case)
    return [group(name, members[name]) for name in order if name in members]


def group(name: str, cases: Sequence[Case]) -> Group:
    each = [shares(case.values) for case in cases]
    names = {name for one in each for name in one}
    return Group(
        name,
        len(cases),
        Counter(case.label for case in cases),
        fmean(case.score for case in cases),
        {name: _mean([one.get(name, 0.0) for one in each]) for name in sorted(names)},
    )


def telling(a: Group, b: Group, name: str) -> bool:
    """Whether the share of a name differs by more than chance makes likely."""
    (x, ex), (y, ey) = a.shares.get(name, (0.0, 0.0)), b.shares.get(name, (0.0, 0.0))
    error = sqrt(ex * ex + ey * ey)
    return min(a.instances, b.instances) > 1 and abs(x - y) > TELLING * error and x != y


def named(values: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The group of each value, and all groups in the order in which they are shown."""
    counts = Counter(map(str, values))
    numbers = all(isinstance(value, int | float | np.number) for value in values)
    if len(counts) <= MOST_VALUES:
        known = sorted(set(values), key=(lambda v: v) if numbers else str)
        return [_text(value) for value in values], [_text(value) for value in known]
    if numbers:
        return quarters([float(value) for value in values])
    kept = [name for name, _ in counts.most_common(MOST_VALUES - 1)]
    return [str(value) if str(value) in kept else OTHERS for value in values], [*sorted(kept), OTHERS]


def quarters(values: Sequence[float]) -> tuple[list[str], list[str]]:
    """Cut at the quartiles, each value in the lowest quarter that reaches up to it."""
    cuts = np.unique(np.quantile(values, (0.25, 0.5, 0.75)))
    names = [f"up to {cuts[0]:.4g}"]
    names += [f"{low:.4g} to {high:.4g}" for low, high in pairwise(cuts)]
    names.append(f"above {cuts[-1]:.4g}")
    return [names[int(np.searchsorted(cuts, value))] for value in values], names


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, which is 0 for a single value."""
    error = sqrt(variance(values) / len(values)) if len(values) > 1 else 0.0
    return fmean(values), error
