"""Shapley values by walking through random orders of the segments (Castro, Gomez & Tejada 2009).

Each walk adds one segment after the other to nothing; what the score gains with a segment is a sample
of its value. Walks are asked together, in one query or, with a tolerance, in growing rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.coalitions import Game, game
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.walks import Moments, Walks, drawn, merged, moments, rows_of
from whybox_server.perturb.options import Baseline, Segmentation

FIRST_ROUND = 20  # permutations before a tolerance is looked at
GROWTH = 1.5  # of the permutations, from round to round
MOST_BITS = 2**25  # rows x segments of the masks of one query: 34 MB
MOST_WALK_BITS = 2**28  # the same, of one permutation: no query can be smaller


@dataclass(frozen=True, slots=True, eq=False)
class ShapleySamplingParams:
    """Fields of `whybox.v1.ShapleySamplingParams`."""

    num_permutations: int = param(100, "Permutations walked.", unset="100", low=1, high=1_000_000)
    antithetic: bool = param(default=True, summary="Walk every permutation backwards, too.", unset="true")
    tolerance: float = param(
        0.0,
        "Stop once every value's standard error is below this, in the target's units.",
        unset="all permutations are walked",
        low=0,
    )
    num_background: int | None = param(
        None,
        "Background rows drawn per permutation, with BACKGROUND; at most all there are.",
        unset="1",
        low=1,
        high=10_000,
    )
    segmentation: Segmentation | None = param(
        None, "How the instance is cut.", unset="the modality's default"
    )
    baseline: Baseline | None = param(
        None,
        "What absent looks like.",
        unset="BACKGROUND where the spec has one, else the modality's default",
    )


@dataclass(frozen=True, slots=True, eq=False)
class ShapleySamplingTask:
    """A game, and the rows of one permutation: so many coalitions over so many background rows."""

    game: Game
    coalitions: int
    per_coalition: int

    @property
    def rows(self) -> int:
        """Rows of one permutation; the instance, at one end of every walk, is not among them."""
        return self.coalitions * self.per_coalition


def prepare(subject: Subject, params: ShapleySamplingParams, rng: Rng) -> ShapleySamplingTask:
    """Cut the instance. Raises InvalidRequest for options that do not fit and for walks too large."""
    counted = params.num_background is not None
    one = game(subject, params.segmentation, params.baseline, rng, counted=counted)
    directions = 2 if params.antithetic else 1
    task = ShapleySamplingTask(
        one,
        coalitions=1 + directions * (one.players - 1),
        per_coalition=min(params.num_background or 1, len(one.backgrounds)),
    )
    if task.rows * one.players > MOST_WALK_BITS:
        raise InvalidRequest.of(
            "segmentation.kind",
            f"one permutation is {task.rows} rows x {one.players} segments, and {MOST_WALK_BITS} is the "
            "most; use a coarser segmentation or a smaller num_background",
        )
    return task


def cost(task: ShapleySamplingTask, params: ShapleySamplingParams) -> Cost:
    """The instance and all walks; a tolerance may need fewer."""
    return Cost(1 + params.num_permutations * task.rows, exact=params.tolerance == 0)


def shapley_sampling(task: ShapleySamplingTask, params: ShapleySamplingParams, rng: Rng) -> Steps:
    """Mean gain of each segment over random orders (Castro et al. 2009, section 3).

    values: (targets, segments), in units of the target's score; they add up to the instance's score
    less base_values, the mean score of the background rows drawn. standard_errors: over permutations,
    drawn background rows included; an upper estimate, as these are drawn evenly. Walking backwards,
    too, is Mitchell et al. 2022, section 4.1.
    """
    known: list[Moments] = []  # after every round
    instance_scores = np.empty(0)  # (outputs,)
    complete = True
    for count in rounds(task, params):
        first = 0 if known else 1  # the instance, at the head of the first query
        walks = drawn(task.game, count, task.per_coalition, rng)
        try:
            reply = yield Query(rows_of(task.game, walks, first, antithetic=params.antithetic))
        except BudgetSpent as spent:
            complete, affordable = False, (spent.left - first) // task.rows
            if affordable < 1 and not known:
                raise
            if affordable < 1:
                break
            walks = Walks(walks.ranks[:affordable], walks.backgrounds[:affordable])
            reply = yield Query(rows_of(task.game, walks, first, antithetic=params.antithetic))
        if first:
            instance_scores = reply.scores[0]
        chosen = task.game.subject.targets.choose(instance_scores)
        full = chosen.of(instance_scores[None])[0]  # (t,)
        found = moments(walks, chosen.of(reply.scores[first:]), full)
        known.append(merged(known[-1], found) if known else found)
        if not complete or below(params.tolerance, known[-1]):
            break
    return attribution(task, params, instance_scores, known[-1], complete=complete)


def rounds(task: ShapleySamplingTask, params: ShapleySamplingParams) -> Iterator[int]:
    """How many permutations are walked in each round."""
    most = max(1, MOST_BITS // (task.rows * task.game.players))
    done, total = 0, params.num_permutations
    while done < total:
        wanted = total - done
        if params.tolerance > 0:
            wanted = FIRST_ROUND if not done else max(1, int(done * (GROWTH - 1)))
        count = min(wanted, most, total - done)
        yield count
        done += count


def below(tolerance: float, known: Moments) -> bool:
    """Whether every value is known well enough."""
    errors = known.standard_errors
    return errors is not None and bool(np.all(errors < tolerance))


def attribution(
    task: ShapleySamplingTask,
    params: ShapleySamplingParams,
    instance_scores: Array,
    known: Moments,
    *,
    complete: bool,
) -> Attribution:
    """The means in the words of a finding."""
    hiding = task.game.hiding
    quality = {"permutations": float(known.count), "background_rows": float(task.per_coalition)}
    return Attribution(
        chosen=task.game.subject.targets.choose(instance_scores),
        units=hiding.units,
        values=known.means,
        instance_scores=instance_scores,
        base_values=known.empty,
        standard_errors=known.standard_errors,
        quality=(quality,) * len(known.means),
        additive=True,
        complete=complete,
        warnings=(*hiding.warnings, *remarks(params, known, complete=complete)),
        baseline=hiding.baseline,
        segmentation=hiding.segmentation,
    )


def remarks(params: ShapleySamplingParams, known: Moments, *, complete: bool) -> list[str]:
    """What a reader must know before trusting the values."""
    warnings = []
    if not complete:
        warnings.append(
            f"the budget ended after {known.count} of {params.num_permutations} permutations; "
            "raise max_queries or the deadline"
        )
    errors = known.standard_errors
    if errors is None:
        warnings.append("standard errors are not known after one permutation; raise num_permutations")
    elif params.tolerance > 0 and not below(params.tolerance, known):
        warnings.append(
            f"tolerance {params.tolerance:g} was not reached: {known.count} permutations leave a standard "
            f"error of {errors.max():.3g}"
        )
    return warnings


SHAPLEY_SAMPLING = Method(
    name="shapley_sampling",
    summary="Shapley values as mean gains along random orders of the segments.",
    citation="Castro, Gomez & Tejada, Computers & Operations Research 36(5), 2009; backwards too: Mitchell, "
    "Cooper, Frank & Holmes, JMLR 23(43), 2022",
    version="1",
    modalities=frozenset(Modality),
    params=ShapleySamplingParams,
    prepare=prepare,
    cost=cost,
    run=shapley_sampling,
)
