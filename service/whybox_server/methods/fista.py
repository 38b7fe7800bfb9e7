"""Projected FISTA with an elastic net, and the search over the weight of its loss.

    minimise  c max(0, kappa - m(d)) + beta ||d||_1 + ||d||_2^2 + r(d)   (Dhurandhar et al. 2018, eq. 1-2)

over amounts d, where m is the margin that shall exceed kappa and r the error of `reconstruction`. Differs from the authors' code in two
ways, both of which let small steps add up: the threshold is step x beta, as in Beck & Teboulle (2009,
eq. 2.6), not beta, so that the minimum is that of the objective; and a component inside the forbidden
zone around "nothing" goes on moving while the model sees its projection, instead of being reset.
It knows no model and no modality: rows come from a `Side`, margins from a function.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.probe import Probe
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.contrast_sides import Side
from whybox_server.methods.estimates import Estimate, nudges, slope
from whybox_server.methods.method import Rng
from whybox_server.methods.reconstruction import Reconstruct, unasked

ESCALATION = 10.0  # of the weight while nothing is found, as in the authors' code
MOST_GRADIENT = 100.0  # each component is clipped to that, likewise
MOMENTUM = 3  # k / (k + 3)
RESOLVED = 0.05  # the search over weights ends when they are known so well
PATIENCE = 40  # iterations without any gain that end a descent


@dataclass(frozen=True, slots=True)
class Objective:
    """What is looked for: amounts whose margin is positive and at least kappa."""

    margin: Callable[[Array], Array]  # (n, outputs) -> (n,)
    kappa: float
    beta: float
    reconstruct: Reconstruct = unasked

    def good(self, margins: Array) -> Array:
        return np.asarray((margins > 0) & (margins >= self.kappa))

    def wanting(self, margin: float) -> bool:
        """Whether the hinge still pulls."""
        return margin <= 0 or margin < self.kappa

    def net(self, distances: Array) -> float:
        """The elastic net of distances per segment."""
        return float(self.beta * np.sum(np.abs(distances)) + np.sum(distances**2))


@dataclass(frozen=True, slots=True)
class Descent:
    """Settings of the search. estimate None: the model's own gradients, asked for with `probe`, are
    followed, and nothing is reconstructed.
    """

    c_init: float
    c_steps: int
    iterations: int
    rate: float
    estimate: Estimate | None
    probe: Probe = Probe()

    def start(self, side: Side) -> Array:
        """Amounts to set out from, (segments,). With exact slopes a positive begins as the whole instance:
        that is enough by itself, and where nothing is there slopes say little about what should be.
        """
        whole = side.positive and self.estimate is None
        return side.high.copy() if whole else np.zeros(side.moves.count)

    @property
    def rows(self) -> int:
        """Asked of the model at most: candidate and extrapolation once per iteration, and the slope's,
        which are those of the answer and of its rival.
        """
        each = 4 if self.estimate is None else 2 + 2 * self.estimate.pairs
        return self.c_steps * self.iterations * each


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best so far. rows: it, as one row; None while there is none.

    net: its elastic net and, where there is an autoencoder, its error of reconstruction. state: of a search over moves, the options taken, (segments,). complete: False when the budget
    ended the work.
    """

    rows: Rows | None = None
    scores: Array | None = None  # (outputs,)
    net: float = np.inf
    complete: bool = True
    state: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one iteration sees: margins of the candidate and of the extrapolation, (2,).

    scores, error: of the candidate. slope, error_slope: of margin and error at the extrapolation's
    projection, (segments,).
    """

    margins: Array
    scores: Array
    slope: Array
    error: float = 0.0
    error_slope: Array | float = 0.0


def search_weights(
    side: Side, aim: Objective, descent: Descent, rivals: Callable[[Array], list[tuple[int, float]]], rng: Rng
) -> Generator[Query, Reply, Found]:
    """The nearest good row over all weights c: ten times more until one works, then bisection.

    rivals: of one row's scores, the outputs that the margin is made of and their signs.
    """
    best = Found()
    low, high, weight = 0.0, np.inf, descent.c_init
    for _ in range(descent.c_steps):
        found = yield from descend(side, aim, descent, weight, rivals, rng)
        if found.net < best.net:
            best = found
        if not found.complete:
            return replace(best, complete=False)
        if found.rows is not None:
            high = min(high, weight)
        else:
            low = max(low, weight)
        if high - low < RESOLVED * high:
            break
        weight = (low + high) / 2 if np.isfinite(high) else ESCALATION * weight
    return best


def descend(
    side: Side,
    aim: Objective,
    descent: Descent,
    weight: float,
    rivals: Callable[[Array], list[tuple[int, float]]],
    rng: Rng,
) -> Generator[Query, Reply, Found]:
    """One descent at a fixed weight; the best good candidate of its way.

    Ends early when neither the candidate nor, while there is none, the margin gets better.
    """
    assert side.moved is not None  # nothing to descend on otherwise; the caller has seen to it
    here = there = descent.start(side)
    best, nearest, idle = Found(), -np.inf, 0
    for k in range(descent.iterations):
        try:
            seen = yield from look(side, aim, descent, here, there, rivals, rng)
        except BudgetSpent:
            return replace(best, complete=False)
        idle += 1
        if aim.good(seen.margins[:1])[0]:
            row = side.moved(here[None], None)
            net = aim.net(side.measure(row)) + seen.error
            if net < best.net:
                best, idle = Found(row, seen.scores, net), 0
        elif best.rows is None and seen.margins[0] > nearest:
            nearest, idle = seen.margins[0], 0
        if idle > PATIENCE:
            break
        pull = weight * seen.slope if aim.wanting(seen.margins[1]) else 0.0
        rate = descent.rate * np.sqrt(1 - k / descent.iterations)
        smooth = np.clip(2 * there + seen.error_slope - pull, -MOST_GRADIENT, MOST_GRADIENT)
        moved = np.clip(shrunk(there - rate * smooth, rate * aim.beta), side.low, side.high)
        there = np.clip(moved + k / (k + MOMENTUM) * (moved - here), side.low, side.high)
        here = moved
    return best


def look(
    side: Side,
    aim: Objective,
    descent: Descent,
    here: Array,
    there: Array,
    rivals: Callable[[Array], list[tuple[int, float]]],
    rng: Rng,
) -> Generator[Query, Reply, Look]:
    """Look at the candidate, and around the extrapolation: margin and error along the same directions.

    A slope that the hinge would not use is not asked of the model.
    """
    assert side.moved is not None
    if descent.estimate is None:
        reply = yield Query(side.moved(np.stack([here, there]), None))
        margins, gradient = aim.margin(reply.scores), np.zeros(len(here))
        if aim.wanting(margins[1]):
            gradient = yield from own_slope(side, descent.probe, there, rivals(reply.scores[1]))
        return Look(margins, reply.scores[0], gradient)
    directions = descent.estimate.draw(rng)
    around = np.concatenate([np.zeros((2, len(here))), nudges(directions)])
    amounts = np.concatenate([here[None], np.tile(there, (len(around) - 1, 1))])
    rows = side.moved(amounts, around)
    reply = yield Query(rows)
    errors = yield from aim.reconstruct(rows)
    margins = aim.margin(reply.scores)
    slopes = slope(directions, margins[2:]), slope(directions, errors[2:])
    return Look(margins[:2], reply.scores[0], slopes[0], float(errors[0]), slopes[1])


def own_slope(
    side: Side, probe: Probe, there: Array, parts: list[tuple[int, float]]
) -> Generator[Query, Reply, Array]:
    """Of the margin at some amounts, (segments,), by the model's gradients of its parts (output, weight)."""
    assert side.moved is not None
    outputs, weights = (np.array(column) for column in zip(*parts, strict=True))
    rows = side.moved(np.tile(there, (len(parts), 1)), None)
    reply = yield Query(rows, Want.GRADIENT, outputs, probe=probe)
    assert reply.gradient is not None, "asked for"
    return np.asarray(weights @ side.slopes(reply.gradient))


def shrunk(values: Array, threshold: float) -> Array:
    """Soft threshold S: towards 0 by `threshold`, and not beyond."""
    return np.asarray(np.sign(values) * np.maximum(np.abs(values) - threshold, 0.0))
