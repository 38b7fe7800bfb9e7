"""Integrated gradients: slopes added up on the straight way from a baseline to the instance.

What is added up is the whole difference of the scores, so the answer can check itself: steps are
doubled until the values sum to that difference, or said to miss it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.comparison import Compared, compared, missed, settled
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.probing import (
    Asking,
    Here,
    Probing,
    along,
    arrived,
    cut_in_words,
    in_chunks,
    led_back,
    look_inside,
    targets_at_most,
)
from whybox_server.methods.quadrature import PathRule, fewest, quadrature
from whybox_server.perturb.background import Background
from whybox_server.perturb.options import Baseline

DOUBLINGS = (16, 32, 64, 128, 256, 512)  # steps that are tried one after the other
TOLERANCE = 0.01
MOST_BASELINES = 20


@dataclass(frozen=True, slots=True, eq=False)
class IntegratedGradientsParams:
    """Fields of `whybox.v1.IntegratedGradientsParams`."""

    baselines: tuple[Baseline, ...] = param(
        (),
        "Where the ways begin; the values are means over all. At most 20 rows, drawn if there are more.",
        unset="the modality's default",
    )
    rule: PathRule = param(PathRule.GAUSS_LEGENDRE, "How the integral becomes a sum.", unset="gauss_legendre")
    steps: int | None = param(
        None,
        "Gradients on each way.",
        unset="16, doubled until the tolerance is met, at most 512",
        low=1,
        high=2000,
    )
    tolerance: float = param(
        TOLERANCE,
        "Largest gap between the values' sum and the score's difference, relative to that.",
        unset="0.01",
        low=1e-6,
        high=1,
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A place, and where the ways to it begin."""

    probing: Probing
    background: Background
    plan: tuple[int, ...]  # steps, one try after the other


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best sums so far. values: (t, *place). steps: (t,), 0 where there is none yet."""

    values: Array
    steps: Array
    complete: bool = True


def prepare(subject: Subject, params: IntegratedGradientsParams, rng: Rng) -> Task:
    """Build the way back and the baselines. Raises InvalidRequest and MethodUnsupported."""
    least = fewest(params.rule)
    if params.steps is not None and params.steps < least:
        raise InvalidRequest.of("steps", f"{params.rule.name} needs at least {least}, got {params.steps}")
    probing = look_inside(subject, params.input)
    background = settled(probing, params.baselines or (Baseline(),), MOST_BASELINES, rng)
    return Task(probing, background, DOUBLINGS if params.steps is None else (params.steps,))


def cost(task: Task, params: IntegratedGradientsParams) -> Cost:
    """The instance, the baselines, and every step of every way per target; doubled steps are asked anew."""
    subject = task.probing.subject
    ways = targets_at_most(subject) * task.background.count
    known = params.steps is not None and len(subject.targets.choices) <= 1
    return Cost(1 + task.background.count + ways * sum(task.plan), exact=known)


def integrated_gradients(task: Task, params: IntegratedGradientsParams, _rng: Rng) -> Steps:
    """(x - x') times the mean slope between x' and x (Sundararajan, Taly & Yan 2017, equation 1).

    values: (t, *units), in units of the target's score; with base_values, the baselines' mean score,
    they sum to the score, but for `completeness_gap`. Those of a token are the sum over its vector, on
    the straight way from the vector of the token in its place.
    """
    probing = task.probing
    here = yield from arrived(probing)
    start = yield from compared(probing, task.background)
    found = yield from refined(task, params, here, start)
    gaps, relative = missed(found.values, start.differences(here))
    measures = zip(gaps.tolist(), relative.tolist(), found.steps.tolist(), strict=True)
    return Attribution(
        here.chosen,
        probing.units,
        probing.folded(found.values),
        here.scores,
        base_values=start.base_values(here),
        quality=tuple(
            {"completeness_gap": gap, "relative_gap": share, "steps": float(steps)}
            for gap, share, steps in measures
        ),
        additive=True,
        complete=found.complete,
        warnings=(*probing.site.notes, *task.background.warnings, *remarks(params, here, found, relative)),
        baseline=task.background.words,
        segmentation=cut_in_words(probing),
    )


def refined(task: Task, params: IntegratedGradientsParams, here: Here, start: Compared) -> Asking[Found]:
    """Try after try, for the targets whose sum is not good enough yet. A budget that ends leaves the
    last try, or one of as many steps as it still allows.
    """
    targets = len(here.chosen.indices)
    found = Found(np.zeros((targets, *here.values.shape)), np.zeros(targets, np.int64))
    unmet = np.arange(targets)
    try:
        for steps in task.plan:
            found = yield from improved(task, params.rule, steps, here, start, found, unmet)
            _, relative = missed(found.values, start.differences(here))
            unmet = np.flatnonzero(relative > params.tolerance)
            if not len(unmet):
                break
        return found
    except BudgetSpent as spent:
        affordable = spent.left // (len(unmet) * len(start.values))
        if not found.steps.all() and affordable < fewest(params.rule):
            raise
    if affordable > found.steps[unmet].max():
        try:
            found = yield from improved(task, params.rule, affordable, here, start, found, unmet)
        except BudgetSpent:
            if not found.steps.all():
                raise
    return replace(found, complete=False)


def improved(
    task: Task, rule: PathRule, steps: int, here: Here, start: Compared, found: Found, which: Array
) -> Asking[Found]:
    """The same with sums of this many steps for some targets, (k,)."""
    indices = tuple(here.chosen.indices[at] for at in which)
    some = replace(here, chosen=replace(here.chosen, indices=indices))
    values, taken = found.values.copy(), found.steps.copy()
    values[which] = yield from integral(task.probing, some, start, *quadrature(rule, steps))
    taken[which] = steps
    return Found(values, taken)


def integral(probing: Probing, here: Here, start: Compared, places: Array, shares: Array) -> Asking[Array]:
    """(t, *place): slopes at these places of every way, weighted, times how far it leads; mean over ways."""
    targets, ways = len(here.chosen.indices), len(start.values)
    choice, weights = np.repeat(np.arange(ways), len(places)), np.tile(shares, ways) / ways
    rows = along(probing, here, start.values, np.tile(places, ways), choice)
    total = np.zeros((targets, *here.values.shape))
    for chunk in in_chunks(len(rows), here.values.shape, targets):
        replies = yield from led_back(probing, here, rows.take(np.arange(chunk.start, chunk.stop)))
        for way in np.unique(choice[chunk]):
            step = here.values.astype(np.float64) - start.values[way]
            own = np.flatnonzero(choice[chunk] == way)
            first, last = own[0], own[-1] + 1  # a way's rows are neighbours
            for at, reply in enumerate(replies):
                total[at] += weighted(weights[chunk][first:last], reply.gradient, first, last) * step
    return total


def weighted(weights: Array, gradient: Array | None, first: int, last: int) -> Array:
    """Sum of some rows of a gradient, (n, *place), each times its weight, in float64."""
    assert gradient is not None, "a gradient was asked for"
    return np.asarray(np.einsum("r,r...->...", weights, gradient[first:last], dtype=np.float64))


def remarks(params: IntegratedGradientsParams, here: Here, found: Found, relative: Array) -> list[str]:
    """What a reader must know of the sums."""
    said = []
    if not found.complete:
        said.append("the budget ended before the steps that were planned; raise max_queries or the deadline")
    for label, gap, steps in zip(here.chosen.labels, relative, found.steps, strict=True):
        if gap > params.tolerance:
            said.append(
                f"{label}: after {steps} steps the values still miss the score's difference by {gap:.1%}; "
                "more steps or another baseline may do better"
            )
    return said


INTEGRATED_GRADIENTS: Method[IntegratedGradientsParams, Task] = Method(
    name="integrated_gradients",
    summary="Slopes added up on the way from a baseline to the instance; they sum to the score's difference.",
    citation="Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks, ICML 2017",
    version="1",
    modalities=frozenset(Modality),
    params=IntegratedGradientsParams,
    prepare=prepare,
    cost=cost,
    run=integrated_gradients,
    probes="gradient",
)
