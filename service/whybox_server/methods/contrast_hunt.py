"""Looks for one side of a contrast, by descent or by search, and says why when there is none.

Which way is taken, and what a reader must know of it, is settled here; the ways themselves are
`fista` and `contrast_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.methods.contrast_rivals import ways_to
from whybox_server.methods.contrast_search import is_exact, search, states_of
from whybox_server.methods.contrast_sides import Side
from whybox_server.methods.estimates import Estimate, is_flat, probe
from whybox_server.methods.fista import Descent, Found, Objective, search_weights
from whybox_server.methods.method import Rng
from whybox_server.methods.reconstruction import Reconstruct
from whybox_server.methods.together import together
from whybox_server.methods.verdict import Verdict

FLAT = (
    "small steps change none of the scores, as with trees, labels or saturated outputs: "
    "moves were searched directly instead of following gradients"
)


@dataclass(frozen=True, slots=True, eq=False)
class Hunt:
    """What is looked for and what is known beforehand. descent None: moves are searched."""

    side: Side
    verdict: Verdict
    aim: Objective
    descent: Descent | None
    instance_scores: Array  # (outputs,)
    nothing_scores: Array  # (outputs,)

    @property
    def start_scores(self) -> Array:
        return self.nothing_scores if self.side.positive else self.instance_scores

    def good(self, scores: Array) -> bool:
        """Whether a row with these scores, (outputs,), is what is looked for."""
        return bool(self.aim.good(self.aim.margin(scores[None]))[0])


@dataclass(frozen=True, slots=True, eq=False)
class Quarry:
    """What was found, or the reason why nothing was."""

    side: Side
    found: Found
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sides' objectives have in common."""

    kappa: float
    beta: float
    reconstruct: Reconstruct


def hunt_for(side: Side, verdict: Verdict, terms: Terms, descent: Descent | None, scores: Array) -> Hunt:
    """A hunt, knowing the scores of the instance and of nothing, (2, outputs)."""
    aim = Objective(margin_of(side, verdict), terms.kappa, terms.beta, terms.reconstruct)
    return Hunt(side, verdict, aim, descent, scores[0], scores[1])


def margin_of(side: Side, verdict: Verdict) -> Callable[[Array], Array]:
    """What shall become positive: the answer's lead, or another's over it."""
    if side.positive:
        return verdict.lead
    return lambda scores: -verdict.lead(scores)


def pursue(hunt: Hunt, rng: Rng) -> Generator[Query, Reply, Quarry]:
    """The nearest row that does it, or the reason why there is none."""
    if reason := hopeless(hunt):
        return Quarry(hunt.side, Found(), reason)
    if hunt.good(hunt.start_scores):
        return Quarry(hunt.side, start_of(hunt), warnings=(needless(hunt),))
    warnings: tuple[str, ...] = ()
    found = Found()
    if hunt.descent is not None:
        try:
            flat = yield from feels_nothing(hunt, hunt.descent, rng)
            ways = (
                [] if flat else (yield from ways_to(hunt.side, hunt.verdict, hunt.descent, hunt.start_scores))
            )
        except BudgetSpent:
            return Quarry(hunt.side, Found(complete=False), missing(hunt, complete=False))
        warnings = (FLAT,) if flat else how_felt(hunt.descent)
        if not flat:
            searches = [search_weights(hunt.side, hunt.aim, hunt.descent, way, rng) for way in ways]
            found = best_of((yield from together(searches)))
    if found.rows is None and found.complete:
        if hunt.descent is not None and FLAT not in warnings:
            warnings = (*warnings, f"gradients led to no {named(hunt.side)}, so moves were searched directly")
        found = yield from search(hunt.side, hunt.aim)
    return Quarry(hunt.side, found, "" if found.rows else missing(hunt, complete=found.complete), warnings)


def best_of(found: list[Found]) -> Found:
    """The nearest of several; complete if all of them are."""
    nearest = min(found, key=lambda one: one.net)
    return replace(nearest, complete=all(one.complete for one in found))


def feels_nothing(hunt: Hunt, descent: Descent, rng: Rng) -> Generator[Query, Reply, bool]:
    """Whether small steps from where descents set out change no scores. Lets BudgetSpent pass."""
    assert hunt.side.moved is not None  # a descent has amounts
    start, steps = descent.start(hunt.side), probe(hunt.side.moves.count, rng)
    reply = yield Query(hunt.side.moved(np.tile(start, (len(steps), 1)), steps))
    return is_flat(hunt.instance_scores if start.any() else hunt.start_scores, reply.scores)


def hopeless(hunt: Hunt) -> str:
    """Why nothing can be found, before anything is asked; "" if something may."""
    name = hunt.verdict.name
    if not hunt.side.positive:
        if len(hunt.side.moves.units):
            return ""
        return "nothing can be added: every element is as far from nothing there as its range allows"
    if not len(hunt.side.moves.units):
        return "the instance is the value for nothing there; give another baseline"
    if np.array_equal(hunt.instance_scores, hunt.nothing_scores):
        return (
            "the model says the same of the instance and of nothing there, so nothing must be there for "
            f"{name!r}; give another baseline"
        )
    return ""


def start_of(hunt: Hunt) -> Found:
    """The start itself, which does it already."""
    state = np.zeros(hunt.side.moves.count, int)
    return Found(hunt.side.moves.rows(state[None]), hunt.start_scores, 0.0, state=state)


def needless(hunt: Hunt) -> str:
    return (
        f"of nothing there at all the model says {hunt.verdict.name!r} already, so the pertinent positive is "
        "empty; another baseline may show more"
    )


def missing(hunt: Hunt, *, complete: bool) -> str:
    """Why there is none after a search."""
    name = hunt.verdict.name
    if not complete:
        return "the budget ended before one was found; raise max_queries or the deadline"
    kappa = hunt.aim.kappa
    if hunt.side.positive and not hunt.good(hunt.instance_scores):
        lead = float(hunt.verdict.lead(hunt.instance_scores[None])[0])
        return f"the instance itself is ahead by {lead:.4g} only, and kappa is {kappa:g}; lower kappa"
    what = f"is {name!r}" if hunt.side.positive else f"is anything but {name!r}"
    margin = f" by a margin of {kappa:g}" if kappa else ""
    if hunt.descent is None and is_exact(hunt.side.moves):
        return f"none exists: of all {states_of(hunt.side.moves)} combinations none {what}{margin}"
    remedy = "a wider feature_range, another baseline, or more c_steps may show one"
    return f"none found: of the rows that were tried none {what}{margin}; {remedy}"


def named(side: Side) -> str:
    return "pertinent positive" if side.positive else "pertinent negative"


def how_felt(descent: Descent) -> tuple[str, ...]:
    """A word on gradients that are estimated."""
    estimate: Estimate | None = descent.estimate
    if estimate is None or estimate.pairs == estimate.segments:
        return ()
    text = (
        f"gradients were estimated from {estimate.pairs} random directions of {estimate.segments}: "
        "another seed may find another contrast"
    )
    return (text,)


def without_repeats(quarries: list[Quarry]) -> tuple[str, ...]:
    """The warnings of all, each once."""
    return tuple(dict.fromkeys(warning for quarry in quarries for warning in quarry.warnings))
