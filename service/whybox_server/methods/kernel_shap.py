"""KernelSHAP: Shapley values of an instance's segments by weighted least squares (Lundberg & Lee 2017).

One round of rows. Every coalition is asked when all of them fit, and the values are exact; otherwise
small and large ones first and a sample of the rest. What a coalition is worth and which ones are
asked is `coalitions`; what a model is, neither knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.coalitions import Drawn, Game, Plan, draw, fewest, game, plan
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.perturb.options import Baseline, Segmentation

COALITIONS = 2048  # and 2 per segment, by default: as shap asks
BACKGROUND_ROWS = 100  # by default, at most
MOST_CELLS = 2**24  # coalitions x segments of a fit: 134 MB in float64, of which it holds four copies
MOST_BITS = 2**26  # rows x segments of the masks asked: 67 MB
FULL_LEVERAGE = 1e-9  # a draw that the fit must pass through says nothing about the noise


@dataclass(frozen=True, slots=True, eq=False)
class KernelShapParams:
    """Fields of `whybox.v1.KernelShapParams`."""

    num_samples: int | None = param(
        None,
        "Coalitions asked, the empty and the full one included; every one if 2^segments fits.",
        unset="2 x segments + 2048",
        low=4,
        high=10_000_000,
    )
    num_background: int | None = param(
        None,
        "Background rows that each coalition is averaged over, with BACKGROUND.",
        unset="at most 100",
        low=1,
        high=10_000,
    )
    paired: bool = param(default=True, summary="Draw coalitions in pairs (S, not S).", unset="true")
    segmentation: Segmentation | None = param(
        None, "How the instance is cut.", unset="the modality's default"
    )
    baseline: Baseline | None = param(
        None,
        "What absent looks like.",
        unset="BACKGROUND where the spec has one, else the modality's default",
    )


@dataclass(frozen=True, slots=True, eq=False)
class KernelShapTask:
    """A game and how its rows are to be spent."""

    game: Game
    spending: Plan


def prepare(subject: Subject, params: KernelShapParams, rng: Rng) -> KernelShapTask:
    """Cut the instance, choose background rows, share out the coalitions.

    Raises InvalidRequest for too few coalitions, for too many numbers, and for options that do not fit.
    """
    counted = params.num_background is not None
    one = game(subject, params.segmentation, params.baseline, rng, counted=counted)
    players = one.players
    coalitions = params.num_samples or 2 * players + COALITIONS
    if coalitions < fewest(players):
        raise InvalidRequest.of(
            "num_samples",
            f"{coalitions} coalitions cannot tell {players} segments apart; ask at least {fewest(players)}, "
            "or use a coarser segmentation",
        )
    coalitions = min(coalitions, 1 << players)
    if coalitions * players > MOST_CELLS:
        raise InvalidRequest.of(
            "num_samples",
            f"{coalitions} coalitions x {players} segments is more than {MOST_CELLS} numbers; "
            f"ask at most {MOST_CELLS // players}, or use a coarser segmentation",
        )
    fitting = max(1, MOST_BITS // (coalitions * players))
    used = min(params.num_background or min(BACKGROUND_ROWS, fitting), len(one.backgrounds))
    if used > fitting:
        raise InvalidRequest.of(
            "num_background",
            f"{coalitions} coalitions of {players} segments over {used} background rows is more than "
            f"{MOST_BITS} bits of masks; use at most {fitting} background rows, or fewer coalitions",
        )
    return KernelShapTask(one.over(used), plan(players, coalitions, paired=params.paired))


def cost(task: KernelShapTask, _params: KernelShapParams) -> Cost:
    """The instance, and every other coalition over every background row."""
    return Cost(task.game.size(1 + task.spending.draws * task.spending.per_draw), exact=True)


def kernel_shap(task: KernelShapTask, _params: KernelShapParams, rng: Rng) -> Steps:
    """Shapley values as the solution of a weighted regression (Lundberg & Lee 2017, theorem 2).

    values: (targets, segments), in units of the target's score; with base_values, the score when
    everything is hidden, they add up to the instance's. standard_errors are those of the sampling of
    coalitions: 0 if all were asked; the choice of background rows is not in them.
    """
    one, spending = task.game, task.spending
    drawn = draw(spending, rng)
    try:
        reply = yield Query(one.rows(with_empty(drawn.masks)))
        complete = True
    except BudgetSpent as spent:
        one, spending = within(task, spent)
        drawn, complete = draw(spending, rng), False
        reply = yield Query(one.rows(with_empty(drawn.masks)))
    chosen = one.subject.targets.choose(reply.scores[0])
    scores = chosen.of(reply.scores)  # (rows, t)
    worth = one.worth(scores[1:])  # (1 + n, t), the empty coalition first
    found = solve(drawn, worth[1:], empty=worth[0], full=scores[0])
    quality = {"coalitions": 2.0 + len(drawn.masks), "background_rows": float(len(one.backgrounds))}
    return Attribution(
        chosen=chosen,
        units=one.hiding.units,
        values=found.values,
        instance_scores=reply.scores[0],
        base_values=worth[0],
        standard_errors=found.standard_errors,
        quality=tuple(
            quality | {"weighted_r2": float(r2)} | ({"exact": 1.0} if spending.exact else {})
            for r2 in found.weighted_r2
        ),
        additive=True,
        complete=complete,
        warnings=(*one.hiding.warnings, *remarks(task, one, spending, found, complete=complete)),
        baseline=one.hiding.baseline,
        segmentation=one.hiding.segmentation,
    )


def with_empty(masks: Array) -> Array:
    """The empty coalition first."""
    return np.vstack([np.zeros((1, masks.shape[1]), dtype=bool), masks])


def within(task: KernelShapTask, spent: BudgetSpent) -> tuple[Game, Plan]:
    """The best use of the rows that are left: fewer coalitions, then fewer background rows.

    Raises what was thrown when not even one background row can be afforded.
    """
    players, rows = task.game.players, spent.left - 1
    needed = fewest(players) - 1  # the full coalition is the instance's own row
    backgrounds = min(len(task.game.backgrounds), rows // needed)
    if backgrounds < 1:
        raise spent
    coalitions = 1 + rows // backgrounds
    return task.game.over(backgrounds), plan(players, coalitions, paired=task.spending.paired)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Values of all targets; standard_errors is None when too few draws tell nothing about it."""

    values: Array  # (t, players)
    standard_errors: Array | None  # (t, players)
    weighted_r2: Array  # (t,), 1 when the game is additive


def solve(drawn: Drawn, worth: Array, *, empty: Array, full: Array) -> Solution:
    """Weighted least squares under the constraint that the values sum to full - empty, (t,) each.

    phi = (full - empty) / M + beta with beta summing to 0, so that the share of a coalition's size can be
    taken from both sides: worth - empty - (full - empty) |S| / M = (z - |S| / M) . beta.
    """
    players = drawn.masks.shape[1]
    share = drawn.masks.mean(axis=1, keepdims=True)  # (n, 1)
    gain = full - empty  # (t,)
    response = worth - empty - gain * share  # (n, t)
    design = drawn.masks - share  # (n, players), every row sums to 0
    weighted = design * drawn.weights[:, None]
    gram = weighted.T @ design
    # Rows of the design say nothing about the mean of beta: this term, and nothing else, makes it 0.
    inverse = np.linalg.inv(gram + (gram.trace() or 1.0) / players**2)
    pull = weighted @ inverse  # (n, players): beta = pull' response
    beta = pull.T @ response  # (players, t)
    residual = response - design @ beta
    return Solution(
        values=(gain / players + beta).T,
        standard_errors=standard_errors(drawn, pull, residual, np.einsum("ij,ij->i", pull, design)),
        weighted_r2=explained(drawn.weights, worth, residual),
    )


def explained(weights: Array, worth: Array, residual: Array) -> Array:
    """Weighted R^2, (t,); 1 where the worth of all coalitions is the same."""
    if not len(weights):
        return np.ones(worth.shape[1])
    total = weights @ (worth - np.average(worth, axis=0, weights=weights)) ** 2
    return np.asarray(1 - weights @ residual**2 / np.where(total > 0, total, 1))


def standard_errors(drawn: Drawn, pull: Array, residual: Array, leverage: Array) -> Array | None:
    """Spread of the values over other draws, (t, players); None without two draws left to chance.

    Each draw moves the values by pull x residual: a linearised ratio estimator under sampling without
    replacement, (1 - chance) being the finite population correction (Särndal, Swensson & Wretman 1992,
    section 5.5). Residuals are divided by 1 - leverage, the share that the fit has not absorbed.
    """
    starts = np.arange(0, len(pull), drawn.per_draw)
    random = drawn.chances < 1
    count = int(random.sum())
    shape = (residual.shape[1], pull.shape[1])
    if drawn.exact:
        return np.zeros(shape)
    if count < 2:  # noqa: PLR2004 a spread needs two
        return None
    spare = np.maximum(1 - np.add.reduceat(leverage, starts), FULL_LEVERAGE)[random, None]
    uncertain = (1 - drawn.chances[random]) * count / (count - 1)
    found = np.empty(shape)
    for t, column in enumerate(residual.T):
        moved = np.add.reduceat(pull * column[:, None], starts)[random] / spare  # (count, players)
        found[t] = np.sqrt(uncertain @ (moved - moved.mean(axis=0)) ** 2)
    return found


def remarks(
    task: KernelShapTask, one: Game, spending: Plan, found: Solution, *, complete: bool
) -> list[str]:
    """What a reader must know before trusting the values."""
    warnings = []
    there, used = one.hiding.backgrounds, len(one.backgrounds)
    if not complete:
        before, after = (2 + one_plan.draws * one_plan.per_draw for one_plan in (task.spending, spending))
        warnings.append(
            f"the budget allowed {after} of {before} coalitions over {used} of {len(task.game.backgrounds)} "
            "background rows; raise max_queries or the deadline"
        )
    elif used < there:
        warnings.append(f"averaged over {used} of {there} background rows; raise num_background for more")
    if found.standard_errors is None:
        warnings.append("so few coalitions leave a bias and no standard errors; raise num_samples")
    return warnings


KERNEL_SHAP = Method(
    name="kernel_shap",
    summary="Shapley values by weighted least squares over coalitions of segments, exact where all fit.",
    citation="Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, NIPS 2017, theorem 2",
    version="1",
    modalities=frozenset(Modality),
    params=KernelShapParams,
    prepare=prepare,
    cost=cost,
    run=kernel_shap,
)
