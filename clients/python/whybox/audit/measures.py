"""What many explanations say together. Every number here is defined in its docstring; none is tuned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np

from whybox.audit.cases import Case
from whybox.tensors import Array

TOP = 5  # names that an explanation is compared on, or half of them if there are fewer than ten
Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Importance:
    """How much a name counts. share: mean over explanations of |value| / sum of |values|, in [0, 1].

    supports: share of the explanations in which it counts at all where it is positive, in [0, 1].
    """

    name: str
    share: float
    supports: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two methods, means over the instances that both explained for the same target (Krishna et al. 2022).

    rank: Spearman's correlation of |values|, in [-1, 1]; None where it is never defined. sign: share of
    the names that are among the top of both and have the same sign. overlap: share of the top in common.
    """

    first: str
    second: str
    instances: int
    top: int
    rank: float | None
    sign: float | None
    overlap: float


def shares(values: Values) -> dict[str, float]:
    """|value| / sum of |values|; nothing for values that are all 0."""
    total = sum(map(abs, values.values()))
    return {name: abs(value) / total for name, value in values.items()} if total else {}


def importance(cases: Sequence[Case]) -> list[Importance]:
    """By share, largest first; over the cases that have values by name."""
    named = [case.values for case in cases if shares(case.values)]
    totals: dict[str, float] = {}
    counted: dict[str, list[bool]] = {}
    for values in named:
        for name, share in shares(values).items():
            totals[name] = totals.get(name, 0.0) + share
            if values[name]:
                counted.setdefault(name, []).append(values[name] > 0)
    found = [
        Importance(name, total / len(named), fmean(counted.get(name, [False])))
        for name, total in totals.items()
    ]
    return sorted(found, key=lambda one: (-one.share, one.name))


def agreements(by_method: Mapping[str, Sequence[Case]]) -> list[Agreement]:
    """Of every two methods that say numbers with signs about the same names."""
    return [
        found
        for first, second in combinations(by_method, 2)
        if (found := agreement(first, by_method[first], second, by_method[second])) is not None
    ]


def agreement(first: str, some: Sequence[Case], second: str, others: Sequence[Case]) -> Agreement | None:
    """None if they have no instance in common."""
    there = {(case.row, case.index): case.values for case in others if case.kind == "attribution"}
    pairs = [
        (case.values, there[case.row, case.index])
        for case in some
        if case.kind == "attribution" and (case.row, case.index) in there
    ]
    pairs = [(a, b) for a, b in pairs if len(a.keys() & b.keys()) > 1]
    if not pairs:
        return None
    top = top_of(max(len(a.keys() & b.keys()) for a, b in pairs))
    return Agreement(
        first,
        second,
        len(pairs),
        top,
        mean([rank_correlation(a, b) for a, b in pairs]),
        mean([sign_agreement(a, b, top) for a, b in pairs]),
        fmean(overlap(a, b, top) for a, b in pairs),
    )


def top_of(names: int) -> int:
    """How many names are compared of so many."""
    return max(1, min(TOP, names // 2))


def strongest(values: Values, top: int) -> list[str]:
    """The names with the largest |values| that are not 0; ties by name."""
    order = sorted(values, key=lambda name: (-abs(values[name]), name))
    return [name for name in order[:top] if values[name]]


def overlap(a: Values, b: Values, top: int) -> float:
    """Share of the `top` strongest names that both have, in [0, 1]."""
    return len({*strongest(a, top)} & {*strongest(b, top)}) / top


def sign_agreement(a: Values, b: Values, top: int) -> float | None:
    """Share of equal signs among the names that are strongest in both; None if there are none."""
    both = {*strongest(a, top)} & {*strongest(b, top)}
    return fmean((a[name] > 0) == (b[name] > 0) for name in both) if both else None


def rank_correlation(a: Values, b: Values) -> float | None:
    """Spearman's rho of |values| over the names of both, in [-1, 1]; None if either is constant."""
    names = sorted(a.keys() & b.keys())
    x, y = (ranks(np.abs([values[name] for name in names])) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else None


def ranks(values: Array) -> Array:
    """(n,) from 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Array = (last - counts + last - 1) / 2
    return middle[inverse]


def mean(values: Iterable[float | None]) -> float | None:
    """Over those that are defined; None if none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
