"""Meaningful perturbation: a mask, optimised for one score (Fong & Vedaldi 2017).

The game is played for margins, not probabilities, because a saturated softmax does not change when
part of the evidence goes. Where the model gives no gradients they are estimated, and the answer says
so. The paper's jitter is left out: it guards fine masks against artefacts, and the cells are coarse.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Mask
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.core.target import Chosen
from whybox_server.methods.mask_games import Game, Rules, in_words
from whybox_server.methods.mask_players import Player
from whybox_server.methods.mask_steps import LEVELS, Task, looked, seat, step
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.own_gradient import own_gradient
from whybox_server.perturb.blending import blend
from whybox_server.perturb.options import Baseline, BaselineKind

ITERATIONS, ITERATIONS_BLACK_BOX = 300, 100
CELLS, CELLS_BLACK_BOX = 28, {Modality.IMAGE: 7, Modality.TIME_SERIES: 28}
SIZE_WEIGHT = 2.0  # what goes must carry twice the mean evidence per cell
AREA = 0.1  # Fong, Patrick & Vedaldi 2019
DIRECTIONS = 20
SMOOTHNESS_WEIGHT = 0.1  # a straight edge across the picture costs a tenth of the score
MOST_NUMBERS = 2**24  # cells of all masks of a round: 134 MB in float64


@dataclass(frozen=True, slots=True, eq=False)
class MeaningfulPerturbationParams:
    """Fields of `whybox.v1.MeaningfulPerturbationParams`."""

    game: Game = param(Game.DELETION, "What the mask is to do.", unset="deletion")
    iterations: int | None = param(
        None, "Steps of the optimiser.", unset="300 with gradients, 100 without", low=1, high=10_000
    )
    mask_size: int | None = param(
        None,
        "Cells per side of the mask; a shorter side of the instance has a cell per place.",
        unset="28 with gradients; without, 7 for images and 28 for series",
        low=2,
        high=224,
    )
    size_weight: float | None = param(
        None,
        "Weight of the share that is removed (deletion) or kept (preservation), in score ranges.",
        unset="2: what goes must carry twice the mean evidence per cell",
        low=0,
    )
    smoothness_weight: float | None = param(
        None,
        "Weight of the total variation, in score ranges per straight edge across the picture.",
        unset="0.1",
        low=0,
    )
    area: float | None = param(
        None, "AREA: share of the instance that the mask keeps.", unset="0.1", low=1e-4, high=1 - 1e-4
    )
    directions: int | None = param(
        None,
        "Antithetic directions per step without gradients; more than there are cells are not asked.",
        unset="20",
        low=1,
        high=1000,
    )
    baseline: Baseline | None = param(None, "What absent looks like.", unset="blur")


def prepare(subject: Subject, params: MeaningfulPerturbationParams, rng: Rng) -> Task:
    """Lay the mask over the instance. Raises InvalidRequest and MethodUnsupported."""
    refuse_strays(params)
    modality = subject.instance.spec.modality or Modality.IMAGE
    gradient = own_gradient(subject, subject.instance.main)
    default = CELLS_BLACK_BOX[modality] if gradient.probe is None else CELLS
    baseline = params.baseline or Baseline()
    veil = blend(
        subject.instance,
        params.mask_size or default,
        replace(baseline, kind=baseline.kind or BaselineKind.BLUR),
        rng,
    )
    rules = Rules(
        params.game,
        SIZE_WEIGHT if params.size_weight is None else params.size_weight,
        SMOOTHNESS_WEIGHT if params.smoothness_weight is None else params.smoothness_weight,
        AREA if params.area is None else params.area,
    )
    iterations = params.iterations or (ITERATIONS_BLACK_BOX if gradient.probe is None else ITERATIONS)
    task = Task(subject, veil, rules, iterations, min(params.directions or DIRECTIONS, veil.count), gradient)
    refuse_too_large(task)
    return task


def refuse_strays(params: MeaningfulPerturbationParams) -> None:
    """Raises InvalidRequest for options that would have no effect."""
    if params.area is not None and params.game is not Game.AREA:
        raise InvalidRequest.of("area", f"only the game AREA has one, not {params.game.name}; leave it unset")
    if params.size_weight is not None and params.game is Game.AREA:
        raise InvalidRequest.of("size_weight", "the game AREA has its area instead; leave it unset")


def refuse_too_large(task: Task) -> None:
    """Raises InvalidRequest for rounds that do not fit into memory."""
    numbers = targets_at_most(task) * task.rows_per_step * task.veil.count
    if numbers > MOST_NUMBERS:
        raise InvalidRequest.of(
            "mask_size",
            f"{numbers} numbers per iteration are more than {MOST_NUMBERS}; "
            "use a smaller mask, fewer directions or fewer targets",
        )


def targets_at_most(task: Task) -> int:
    """How many outputs are explained, before the model has been asked which."""
    choices = task.subject.targets.choices
    return sum(choice.top or 1 for choice in choices) or 1


def cost(task: Task, _params: MeaningfulPerturbationParams) -> Cost:
    """Uniform masks, all steps, and the last mask once; less for a score that never changes."""
    per_target = task.iterations * task.rows_per_step + 1
    return Cost(len(LEVELS) + targets_at_most(task) * per_target, exact=False)


def meaningful_perturbation(task: Task, _params: MeaningfulPerturbationParams, rng: Rng) -> Steps:
    """The mask that changes or keeps the target's margin most at the least size (equations 3 and 4).

    values: (t, *places) in [0, 1], 1 keeps; the best mask seen by its objective, no worse than any
    uniform one. Every target has a mask of its own; all of them move in lockstep. A budget that ends
    leaves the best masks so far.
    """
    uniform = np.repeat(LEVELS[:, None], task.veil.count, axis=1)  # (levels, cells)
    scores = (yield Query(task.veil.rows(uniform))).scores  # (levels, outputs)
    chosen = task.subject.targets.choose(scores[0])
    found = {output: seat(task, output, scores) for output in chosen.indices}
    players = [player for player in found.values() if player is not None]
    steps, left = 0, None
    try:
        while players and steps < task.iterations:
            players = yield from step(task, players, (steps + 1) / task.iterations, rng)
            steps += 1
        players = yield from looked(task, players)
    except BudgetSpent as spent:
        left = spent.left
    if left is not None and left >= len(players):
        # Where the last step has led is better, as a rule, than where it came from.
        with suppress(BudgetSpent):
            players = yield from looked(task, players)
    complete = left is None
    found |= {player.output: player for player in players}
    warnings = (
        *task.veil.warnings,
        *task.gradient.warnings,
        *remarks(task, chosen, found),
        *how(task, players, steps, complete=complete),
    )
    return finding(task, chosen, scores, found, complete=complete, warnings=warnings)


def remarks(task: Task, chosen: Chosen, found: Mapping[int, Player | None]) -> list[str]:
    """What a reader must know about each target's mask."""
    said = []
    for output, label in zip(chosen.indices, chosen.labels, strict=True):
        player = found[output]
        if player is None:
            said.append(
                f"{label}: the score is the same however much of the whole is hidden, so that there is no "
                "region to find; another baseline may show more"
            )
            continue
        missed, objective = player.best.rank
        said.append(f"{label}: the objective is {objective:.3f} of the score's range")
        if not player.falls:
            said.append(f"{label}: hiding everything does not lower the score; another baseline may")
        if not np.ptp(player.best.mask):
            remedy = "raise iterations" if task.rules.game is Game.AREA else "lower size_weight"
            said.append(f"{label}: no region was found that is better than a uniform mask; {remedy}")
        if missed:
            said.append(
                f"{label}: the mask's area is {player.best.mask.mean():.3f}, not yet {task.rules.area}"
            )
    return said


def how(task: Task, players: list[Player], steps: int, *, complete: bool) -> list[str]:
    """How the masks were found, where that is not as in the paper."""
    said = []
    if players and not task.gradients:
        said.append(
            "a zeroth-order approximation: without gradients of the model, slopes were estimated from "
            f"{task.directions} pairs of masks per step"
        )
    if not complete:
        said.append(
            f"the budget ended the work after {steps} of {task.iterations} steps; these are the best masks "
            "until then; raise max_queries or the deadline"
        )
    return said


def finding(
    task: Task,
    chosen: Chosen,
    uniform: Array,
    found: Mapping[int, Player | None],
    *,
    complete: bool,
    warnings: tuple[str, ...],
) -> Mask:
    """The masks in the words of a finding. uniform: (levels, outputs), scores of the uniform masks."""
    masks, scores = [], []
    for output in chosen.indices:
        player = found[output]
        masks.append(np.full(task.veil.count, task.rules.idle) if player is None else player.best.mask)
        scores.append(uniform[0] if player is None else player.best.scores)
    return Mask(
        chosen,
        task.veil.units,
        uniform[0],
        np.stack([task.veil.enlarged(mask) for mask in masks]),
        in_words(task.rules, chosen.targets, uniform.shape[1]),
        masked_scores=np.diagonal(chosen.of(np.stack(scores))).copy(),
        hidden_scores=chosen.of(uniform[-1:])[0],
        complete=complete,
        warnings=warnings,
        baseline=task.veil.baseline,
        segmentation=f"{task.veil.segmentation}; {task.gradient.words}",
    )


MEANINGFUL_PERTURBATION: Method[MeaningfulPerturbationParams, Task] = Method(
    name="meaningful_perturbation",
    summary="The smallest mask that makes the score fall or keeps it, or the best mask of a given area.",
    citation=(
        "Fong & Vedaldi, Interpretable Explanations of Black Boxes by Meaningful Perturbation, ICCV 2017; "
        "Fong, Patrick & Vedaldi, Understanding Deep Networks via Extremal Perturbations, ICCV 2019"
    ),
    version="2",
    modalities=frozenset({Modality.IMAGE, Modality.TIME_SERIES}),
    params=MeaningfulPerturbationParams,
    prepare=prepare,
    cost=cost,
    run=meaningful_perturbation,
)
