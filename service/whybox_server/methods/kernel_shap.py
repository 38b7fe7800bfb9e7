"""KernelSHAP: Shapley values of an instance's segments by weighted least squares (Lundberg & Lee 2017).

One round of rows. Every coalition is asked when all of them fit, and the values are exact; otherwise
small and large ones first and a sample of the rest. What a coalition is worth and which ones are
asked is `coalitions`; what a model is, neither knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array, Rows
from whybox_server.core.spec import Modality
from whybox_server.methods.coalitions import Drawn, Game, Plan, dealt, draw, fewest, game, plan
from whybox_server.methods.kernel_fit import Solution, Told, solve
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.perturb.options import Baseline, Segmentation

COALITIONS = 2048  # and 2 per segment, by default: as shap asks
BACKGROUND_ROWS = 100  # by default, at most
MOST_CELLS = 2**24  # coalitions x segments of a fit: 134 MB in float64, of which it holds four copies
MOST_BITS = 2**26  # rows x segments of the masks asked: 67 MB


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
    """A game and how its rows are to be spent.

    Where all coalitions are asked, every one is averaged over the same background rows. Where they are
    sampled and num_background is less than there are, each draw has its own, dealt evenly: values are
    those of the whole background, and for a given error fewer rows are needed than with the same ones.
    """

    game: Game
    spending: Plan
    per_coalition: int  # background rows

    @property
    def coalitions(self) -> int:
        """All that are asked, the empty and the full one included."""
        return 2 + self.spending.draws * self.spending.per_draw


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
    spending = plan(players, coalitions, paired=params.paired)
    fitting = max(1, (MOST_BITS // players - len(one.backgrounds)) // coalitions)
    used = min(params.num_background or min(BACKGROUND_ROWS, fitting), len(one.backgrounds))
    if used > fitting:
        raise InvalidRequest.of(
            "num_background",
            f"{coalitions} coalitions of {players} segments over {used} background rows is more than "
            f"{MOST_BITS} bits of masks; use at most {fitting} background rows, or fewer coalitions",
        )
    return KernelShapTask(one.over(used) if spending.exact else one, spending, used)


def cost(task: KernelShapTask, _params: KernelShapParams) -> Cost:
    """The instance, nothing over all background rows, and every other coalition over its own."""
    drawn = (task.coalitions - 2) * task.per_coalition
    return Cost(1 + len(task.game.backgrounds) + drawn, exact=True)


def kernel_shap(task: KernelShapTask, _params: KernelShapParams, rng: Rng) -> Steps:
    """Shapley values as the solution of a weighted regression (Lundberg & Lee 2017, theorem 2).

    values: (targets, segments), in units of the target's score; with base_values, the mean score of
    the background rows, they add up to the instance's. standard_errors: over draws of coalitions and
    of their background rows; 0 if all were asked.
    """
    asked = question(task, rng)
    try:
        reply = yield Query(asked.rows(task.game))
        complete, spending = True, few_rows(task)
    except BudgetSpent as spent:
        wanted, task = task, within(task, spent)
        complete, spending = False, [cut_short(wanted, task)]
        asked = question(task, rng)
        reply = yield Query(asked.rows(task.game))
    chosen = task.game.subject.targets.choose(reply.scores[0])
    told = asked.told(chosen.of(reply.scores), len(task.game.backgrounds))
    found = solve(asked.drawn, told)
    hiding = task.game.hiding
    return Attribution(
        chosen=chosen,
        units=hiding.units,
        values=found.values,
        instance_scores=reply.scores[0],
        base_values=told.base,
        standard_errors=found.standard_errors,
        quality=quality(task, found),
        additive=True,
        complete=complete,
        warnings=(*hiding.warnings, *spending, *doubts(found)),
        baseline=hiding.baseline,
        segmentation=hiding.segmentation,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Coalitions and the background rows of each."""

    drawn: Drawn
    places: Array  # (n, b) among the game's background rows

    def rows(self, one: Game) -> Rows:
        """As `Game.rows` lays them out."""
        return one.rows(self.drawn.masks, self.places)

    def told(self, scores: Array, backgrounds: int) -> Told:
        """Mean scores, from those of the rows, (rows, t)."""
        alone = scores[1 : 1 + backgrounds]  # (k, t)
        by_row = scores[1 + backgrounds :].reshape(*self.places.shape, scores.shape[1])
        return Told(
            full=scores[0],
            base=alone.mean(axis=0),
            worth=by_row.mean(axis=1),
            empty=alone[self.places].mean(axis=1),
            shared=self.places.shape[1] == backgrounds,
        )


def question(task: KernelShapTask, rng: Rng) -> Question:
    """Draw coalitions as planned, and deal each draw its background rows."""
    drawn, there = draw(task.spending, rng), len(task.game.backgrounds)
    if task.per_coalition == there:
        places = np.broadcast_to(np.arange(there), (len(drawn.masks), there))
    else:
        hands = dealt(there, task.spending.draws, task.per_coalition, rng)
        places = np.repeat(hands, drawn.per_draw, axis=0)
    return Question(drawn, places)


def within(task: KernelShapTask, spent: BudgetSpent) -> KernelShapTask:
    """The best use of the rows that are left: fewer coalitions, then fewer background rows, all shared.

    Raises what was thrown when not even one background row can be afforded.
    """
    players, rows = task.game.players, spent.left - 1
    needed = fewest(players) - 1  # the full coalition is the instance's own row
    backgrounds = min(task.per_coalition, rows // needed)
    if backgrounds < 1:
        raise spent
    spending = plan(players, 1 + rows // backgrounds, paired=task.spending.paired)
    return KernelShapTask(task.game.over(backgrounds), spending, backgrounds)


def quality(task: KernelShapTask, found: Solution) -> tuple[Mapping[str, float], ...]:
    """How many coalitions and rows each, how additive the game is, and whether nothing was drawn."""
    shared = {
        "coalitions": float(task.coalitions),
        "background_rows": float(task.per_coalition),
        **({"exact": 1.0} if task.spending.exact else {}),
    }
    return tuple(shared | {"weighted_r2": float(r2)} for r2 in found.weighted_r2)


def cut_short(wanted: KernelShapTask, task: KernelShapTask) -> str:
    """What the budget left of the plan."""
    return (
        f"the budget allowed {task.coalitions} of {wanted.coalitions} coalitions over {task.per_coalition} "
        f"of {wanted.per_coalition} background rows; raise max_queries or the deadline"
    )


def few_rows(task: KernelShapTask) -> list[str]:
    """Which part of the background was looked at, if not all."""
    there, used = task.game.hiding.backgrounds, task.per_coalition
    if used == there:
        return []
    if task.spending.exact:
        return [f"averaged over {used} of {there} background rows; raise num_background for more"]
    return [f"each coalition is averaged over its own {used} of {there} background rows"]


def doubts(found: Solution) -> list[str]:
    """What a reader must know of the values' precision."""
    if found.standard_errors is not None:
        return []
    return ["so few coalitions leave a bias and no standard errors; raise num_samples"]


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
