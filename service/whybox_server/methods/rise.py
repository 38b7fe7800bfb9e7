"""RISE: scores of randomly masked instances, averaged over their masks (Petsiuk, Das & Saenko 2018).

One query of independent rows, and averages when their scores are known. `perturb.veils` draws the
masks and adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array, Stacked
from whybox_server.core.spec import Modality
from whybox_server.core.target import Chosen
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.perturb.options import Baseline
from whybox_server.perturb.removal import as_it_is
from whybox_server.perturb.veils import Drawn, Veil, refuse_too_many, veil_of

NUM_MASKS = {Modality.IMAGE: 4000}
NUM_MASKS_OTHERWISE = 2000
FEWEST_ROWS = 3  # the instance and two masks: one says nothing of its error
NOTHING = 1e-9  # of the largest score: less is rounding


@dataclass(frozen=True, slots=True)
class RiseParams:
    """Fields of `whybox.v1.RiseParams`."""

    num_masks: int | None = param(
        None,
        "Masks N; fewer where every combination of a text's words fits.",
        unset="4000 for images, 2000 otherwise",
        low=10,
        high=1_000_000,
    )
    cells: int | None = param(
        None,
        "Cells per side of a mask before it is enlarged; texts have their words instead.",
        unset="7, at most the shortest side",
        low=1,
        high=224,
    )
    keep_probability: float = param(
        0.5, "Probability that a cell is kept.", unset="0.5", low=1e-3, high=1 - 1e-3
    )
    centred: bool = param(
        default=False,
        summary="Subtract the mean score, which removes the mask's own bias.",
        unset="false, as in the paper",
    )
    baseline: Baseline | None = param(
        None,
        "What absent looks like.",
        unset="constant 0 for images, as in the paper, else the modality's default",
    )


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A subject and what masks are drawn over."""

    subject: Subject
    veil: Veil
    num_masks: int


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Means over masks M of g, g^2, M, M^2 and their products; g are scores less their mean."""

    mean_scores: Array  # (t,)
    squares: Array  # (t,): E g^2
    by_mask: Array  # (1 + 2 t, places): E M, E g M, E g^2 M
    by_square: Array  # the same with M^2


def prepare(subject: Subject, params: RiseParams, rng: Rng) -> Task:
    """Settle cells and baseline. Raises InvalidRequest, naming the field and the remedy."""
    modality = subject.instance.spec.modality or Modality.IMAGE
    veil = veil_of(subject.instance, params.cells, params.baseline or Baseline(), rng)
    asked = params.num_masks or NUM_MASKS.get(modality, NUM_MASKS_OTHERWISE)
    refuse_too_many(asked, veil.cells_in_all)
    return Task(subject, veil, asked)


def cost(task: Task, _params: RiseParams) -> Cost:
    """The instance and every mask."""
    return Cost(1 + task.veil.size(task.num_masks), exact=True)


def rise(task: Task, params: RiseParams, rng: Rng) -> Steps:
    """Expected score given that a place is kept (Petsiuk et al. 2018, equations 5 and 6).

    values: E[f(x, M) M] / p, (t, *shape) or (t, segments), in units of the target's score, p being
    the probability that a cell is kept. Every place gets the mean score as its least, roughly;
    `centred` gives Cov[f(x, M), M] / p instead, which is 0 where a place does not matter. base_values
    are what was subtracted. standard_errors are those of means over masks, 0 if all masks were asked.
    """
    drawn = task.veil.draw(task.num_masks, params.keep_probability, rng)
    rows, left = Stacked((as_it_is(task.subject.instance), drawn.rows)), None
    try:
        reply = yield Query(rows)
    except BudgetSpent as spent:
        if spent.left < FEWEST_ROWS:
            raise
        left = spent.left
    if left is not None:
        reply = yield Query(rows.take(np.arange(left)))
    chosen = task.subject.targets.choose(reply.scores[0])
    return attribution(task, params, drawn, chosen, reply.scores)


def moments(drawn: Drawn, scores: Array) -> Moments:
    """Scores (n, t) of the first n masks; their shares are scaled so as to sum to 1 again."""
    n, shares = len(scores), drawn.shares[: len(scores)] / drawn.shares[: len(scores)].sum()
    mean = shares @ scores
    g = scores - mean
    factors = shares * np.vstack([np.ones(n), g.T, g.T**2])  # (1 + 2 t, n)
    by_mask, by_square = drawn.sums(factors)
    return Moments(mean, shares @ g**2, by_mask, by_square)


def estimates(found: Moments, keep: float, *, centred: bool) -> tuple[Array, Array]:
    """Values, (t, places), and the variance of what one mask adds to them."""
    t = len(found.mean_scores)
    m, g_m, gg_m = np.split(found.by_mask, [1, 1 + t])
    mm, g_mm, gg_mm = np.split(found.by_square, [1, 1 + t])
    if centred:
        spread = gg_mm - 2 * m * gg_m + m**2 * found.squares[:, None] - g_m**2
        return g_m / keep, np.maximum(spread, 0) / keep**2
    mean = found.mean_scores[:, None]
    product = g_m + mean * m
    spread = gg_mm + 2 * mean * g_mm + mean**2 * mm - product**2
    return product / keep, np.maximum(spread, 0) / keep**2


def attribution(task: Task, params: RiseParams, drawn: Drawn, chosen: Chosen, scores: Array) -> Attribution:
    """The averages in the words of a finding; row 0 of scores is the instance's."""
    veil, asked, planned = task.veil, len(scores) - 1, len(drawn.rows)
    targets = chosen.of(scores[1:])  # (n, t)
    found = moments(drawn, targets)
    values, spread = estimates(found, params.keep_probability, centred=params.centred)
    errors: Array | None = np.sqrt(spread / (asked - 1))
    if drawn.exact:
        errors = np.zeros_like(values) if asked == planned else None
    mean = found.mean_scores
    return Attribution(
        chosen,
        veil.units,
        veil.spread(values),
        scores[0],
        base_values=mean if params.centred else np.zeros_like(mean),
        standard_errors=None if errors is None else veil.spread(errors),
        quality=tuple({"mean_score": float(one), "masks": float(asked)} for one in mean),
        complete=asked == planned,
        warnings=(*veil.warnings, *remarks(asked, planned, targets)),
        baseline=veil.baseline,
        segmentation=f"{veil.segmentation}, each kept with probability {params.keep_probability:g}",
    )


def remarks(asked: int, planned: int, targets: Array) -> list[str]:
    """What a reader must know before trusting the numbers."""
    found = []
    if asked < planned:
        found.append(f"the budget ended after {asked} of {planned} masks; raise max_queries or the deadline")
    if np.ptp(targets, axis=0).max() <= NOTHING * np.abs(targets).max():
        found.append(
            "every mask scores the same, so no place matters; values that are not centred are that score"
        )
    return found


RISE: Method[RiseParams, Task] = Method(
    name="rise",
    summary="Mean score of randomly masked instances in which a place is kept.",
    citation="Petsiuk, Das & Saenko 2018, arXiv:1806.07421",
    version="1",
    modalities=frozenset({Modality.IMAGE, Modality.TIME_SERIES, Modality.TEXT}),
    params=RiseParams,
    prepare=prepare,
    cost=cost,
    run=rise,
)
