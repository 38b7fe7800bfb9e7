"""Prediction difference analysis: what a part's value adds to the evidence for a class.

A part is replaced by values that it might as well have had; the probability without it is the mean
over those. No question depends on an answer, so that they are asked in as few queries as memory
allows. Where the values come from is `perturb.removal`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest, Violation
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Reply, Steps
from whybox_server.core.rows import Array, Rows, Stacked
from whybox_server.core.spec import Modality, ScoreKind
from whybox_server.core.target import Chosen, Link
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.needs import typical_instances
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.patch_removal import Settings, patches_of
from whybox_server.perturb.removal import Removal, Sampler, as_it_is
from whybox_server.perturb.table_removal import columns_of

DRAWS, DRAWS_OF_A_COLUMN = 10, 100
TRAINING_COUNT = 100_000  # the reference implementation's
QUERY_NUMBERS = 2**22  # drawn values in one query: 16 MB in float32
QUERY_ROWS = 2**14
NOTHING = 1e-9  # log2 odds: less than rounding leaves


@dataclass(frozen=True, slots=True)
class PredictionDifferenceParams:
    """Fields of `whybox.v1.PredictionDifferenceParams`."""

    sampler: Sampler | None = param(
        None,
        "Whether removed values are drawn from the same place of other instances, or given the surroundings.",
        unset="conditional for images and series where the background shows enough, else marginal",
    )
    patch: int | None = param(
        None,
        "Side of the patch that is removed; tables remove a column.",
        unset="10 (images) or 5 (series), at most a quarter of the shortest side",
        low=1,
    )
    surroundings: int | None = param(
        None,
        "Side of the surroundings that the conditional sampler looks at; more than patch.",
        unset="patch + 4, at most the shortest side",
        low=2,
    )
    num_samples: int | None = param(
        None,
        "Draws per patch, or per column; fewer where the background has no more.",
        unset="10, for tables 100",
        low=1,
        high=100_000,
    )
    stride: int | None = param(
        None, "Steps between patches, in [1, patch].", unset="1 up to 32 a side, else patch / 2", low=1
    )
    training_count: int = param(
        TRAINING_COUNT,
        "Training instances behind the model, for the Laplace correction (p N + 1) / (N + K).",
        unset="100000",
        low=1,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A subject and its parts."""

    subject: Subject
    removal: Removal


@dataclass(frozen=True, slots=True, eq=False)
class Visited:
    """How the targets' scores without some parts differ from the instance's."""

    parts: Array  # (k,)
    means: Array  # (t, k): mean differences, exactly 0 where no row differs
    variances: Array  # (t, k) of the means


@dataclass(frozen=True, slots=True)
class Scale:
    """What scores become: log2 odds of probabilities after Laplace's correction, or themselves."""

    odds: bool
    training_count: int
    classes: int

    def of(self, scores: Array) -> Array:
        if not self.odds:
            return scores
        p = self.corrected(scores)
        return np.asarray(np.log2(p / (1 - p)))

    def slope(self, scores: Array) -> Array:
        """Derivative of `of`."""
        if not self.odds:
            return np.ones_like(scores)
        p, n = self.corrected(scores), self.training_count
        return np.asarray(n / (n + self.classes) / (np.log(2) * p * (1 - p)))

    def corrected(self, p: Array) -> Array:
        return (p * self.training_count + 1) / (self.training_count + self.classes)


def prepare(subject: Subject, params: PredictionDifferenceParams, _rng: Rng) -> Task:
    """Lay out the parts and learn what they may be replaced by.

    Raises InvalidRequest, naming the field and the remedy, above all without a background.
    """
    refuse_nan(subject.instance)
    if subject.instance.spec.modality is not Modality.TABULAR:
        draws = params.num_samples or DRAWS
        settings = Settings(params.sampler, params.patch, params.surroundings, params.stride, draws)
        return Task(subject, patches_of(subject.instance, settings))
    strays = [name for name in ("patch", "surroundings", "stride") if getattr(params, name) is not None]
    if strays:
        raise InvalidRequest([Violation(name, "tables remove a column; leave it unset") for name in strays])
    sampler = params.sampler or Sampler.MARGINAL
    return Task(subject, columns_of(subject.instance, sampler, params.num_samples or DRAWS_OF_A_COLUMN))


def cost(task: Task, _params: PredictionDifferenceParams) -> Cost:
    """The instance, and every draw of every part."""
    return Cost(1 + int(task.removal.draws.sum()), exact=True)


def prediction_difference(task: Task, params: PredictionDifferenceParams, rng: Rng) -> Steps:
    """Weight of evidence of each part (Zintgraf et al. 2017, equations 1 to 3 and algorithm 1).

    values: log2 odds(p(c|x)) - log2 odds(E p(c|x without the part)), after Laplace's correction, or for
    scores that are no probabilities their difference; (t, columns), or (t, *shape): the mean over
    the patches that cover an element. Positive is evidence for the target. standard_errors come from
    the draws (delta method); 0 where a part's values are all that the background has.
    Parts are visited in random order, so that a spent budget leaves no region out.
    """
    removal, found = task.removal, list[Visited]()
    for parts in queries(removal, rng.permutation(len(removal.draws))):
        rows, shares = removal.rows(parts, rng)
        lead = 0 if found else 1  # row 0 of the first query is the instance
        asked = rows if found else Stacked((as_it_is(task.subject.instance), rows))
        try:
            reply, count = yield from affordable(asked, lead + np.cumsum(removal.draws[parts]))
        except BudgetSpent:
            if not found:
                raise
            break
        if not found:
            instance_scores = reply.scores[0]
            chosen = task.subject.targets.choose(instance_scores)
            own = read(chosen, instance_scores[None])
        scores = read(chosen, reply.scores[lead:])
        found.append(visited(removal, parts[:count], scores - own, shares[: len(scores)]))
        if count < len(parts):
            break
    return attribution(task, params, chosen, instance_scores, found)


def queries(removal: Removal, order: Array) -> Iterator[Array]:
    """Parts, as many at once as rows and numbers of one query allow."""
    rows = np.cumsum(removal.draws[order])
    most = max(1, min(QUERY_ROWS, QUERY_NUMBERS // removal.numbers))
    yield from np.split(order, np.flatnonzero(np.diff((rows - 1) // most)) + 1)


def affordable(asked: Rows, ends: Array) -> Generator[Query, Reply, tuple[Reply, int]]:
    """The answers of as many whole parts as the budget allows, and their number; ends: rows up to each."""
    try:
        return (yield Query(asked)), len(ends)
    except BudgetSpent as spent:
        count = int(np.sum(ends <= spent.left))
        if not count:
            raise
    return (yield Query(asked.take(np.arange(ends[count - 1])))), count


def read(chosen: Chosen, scores: Array) -> Array:
    """Probabilities of the targets, or their values where there are no probabilities, (n, t)."""
    probabilities = chosen.probabilities(scores)
    return chosen.of(scores) if probabilities is None else probabilities


def visited(removal: Removal, parts: Array, differences: Array, shares: Array) -> Visited:
    """Rows, part after part, (n, t), to each part's mean."""
    draws = removal.draws[parts]
    starts = np.cumsum(draws) - draws
    means = np.add.reduceat(differences * shares[:, None], starts, axis=0)  # (k, t)
    off = (differences - np.repeat(means, draws, axis=0)) ** 2
    between = np.add.reduceat(off, starts, axis=0) / np.maximum(draws - 1, 1)[:, None]
    return Visited(parts, means.T, (between * removal.noise[parts][:, None]).T)


def scale_of(chosen: Chosen, training_count: int) -> Scale:
    """Odds where there are probabilities; each output of a sigmoid is a question of two classes."""
    targets = chosen.targets
    alone = targets.link is Link.SIGMOID or len(targets.labels) == 1
    return Scale(targets.kind is not ScoreKind.VALUE, training_count, 2 if alone else len(targets.labels))


def attribution(
    task: Task,
    params: PredictionDifferenceParams,
    chosen: Chosen,
    instance_scores: Array,
    found: list[Visited],
) -> Attribution:
    """Evidence of the parts that were visited, spread over the units."""
    removal, scale = task.removal, scale_of(chosen, params.training_count)
    parts = np.concatenate([one.parts for one in found])
    own = read(chosen, instance_scores[None])[0]  # (t,)
    means = own[:, None] + np.hstack([one.means for one in found])  # (t, visited)
    errors = np.hstack([one.variances for one in found]) * scale.slope(means) ** 2
    table = np.zeros((2 * len(own) + 1, len(removal.draws)))  # evidence, squared errors, and 1
    table[:, parts] = np.vstack([scale.of(own)[:, None] - scale.of(means), errors, np.ones(len(parts))])
    sums = removal.spread(table)
    covered = np.maximum(sums[-1], 1)
    values, squares = sums[: len(own)] / covered, sums[len(own) : -1] / covered**2
    key = "probability" if scale.odds else "score"
    return Attribution(
        chosen,
        removal.units,
        values,
        instance_scores,
        base_values=np.zeros(len(own)),
        standard_errors=np.sqrt(squares) if np.isfinite(squares).all() else None,
        quality=tuple({key: float(p), "rows": float(removal.draws[parts].sum())} for p in own),
        complete=len(parts) == len(removal.draws),
        warnings=(*removal.warnings, *remarks(removal, len(parts), values)),
        baseline=removal.baseline,
        segmentation=removal.segmentation,
        unit="log2 odds" if scale.odds else "",
    )


def remarks(removal: Removal, asked: int, values: Array) -> list[str]:
    """What a reader must know before trusting the numbers."""
    missing, found = len(removal.draws) - asked, []
    if missing:
        found.append(
            f"the budget ended the work: {missing} of {len(removal.draws)} parts were not visited, and what "
            "only they cover counts as 0; raise max_queries or the deadline"
        )
    if np.abs(values).max() < NOTHING:
        found.append("no part changes the score: there is no evidence to tell")
    if bool(np.any(np.isnan(removal.noise))):
        found.append("one draw per part tells nothing of its error; raise num_samples")
    return found


PREDICTION_DIFFERENCE: Method[PredictionDifferenceParams, Task] = Method(
    name="prediction_difference",
    summary="Evidence for a class, in log2 odds, that a part's value adds to what it might have been.",
    citation="Zintgraf, Cohen, Adel & Welling 2017, arXiv:1702.04595; Robnik-Sikonja & Kononenko 2008",
    version="1",
    modalities=frozenset({Modality.IMAGE, Modality.TIME_SERIES, Modality.TABULAR}),
    params=PredictionDifferenceParams,
    prepare=prepare,
    cost=cost,
    run=prediction_difference,
    lacks=typical_instances,
)
