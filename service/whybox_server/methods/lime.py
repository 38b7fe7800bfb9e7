"""LIME: a sparse linear model fitted around the instance (Ribeiro, Singh & Guestrin 2016).

One round of rows, whatever the modality: the whole sample is drawn first and asked as one query, or,
with a tolerance, in growing prefixes of the same sample. Where rows come from is `neighbourhood`,
what is fitted is `surrogate`; what a model is, none of them knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest, Violation
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.neighbourhood import Draws, Masks, Neighbourhood, Sample
from whybox_server.methods.selection import FeatureSelection
from whybox_server.methods.surrogate import Sparsity, Surrogate, fit
from whybox_server.perturb.hiding import hide
from whybox_server.perturb.laws import Discretizer
from whybox_server.perturb.options import Baseline, Segmentation
from whybox_server.perturb.tabular import table

NUM_SAMPLES = {Modality.IMAGE: 1000, Modality.TIME_SERIES: 1000}
NUM_SAMPLES_OTHERWISE = 5000
FEW_FEATURES = 6  # up to so many are chosen one by one
FIRST_ROUND = 200  # rows before a tolerance is looked at
GROWTH = 1.5  # of the rows, from round to round
MOST_CELLS = 2**24  # rows x features of a fit: 134 MB in float64, of which it holds four copies


@dataclass(frozen=True, slots=True)
class LimeParams:
    """Fields of `whybox.v1.LimeParams`."""

    num_samples: int | None = param(
        None,
        "Rows asked, the instance included; fewer where every combination fits.",
        unset="1000 for images and series, 5000 otherwise",
        low=2,
        high=1_000_000,
    )
    num_features: int = param(0, "Segments or columns kept in the fit.", unset="all", low=0)
    feature_selection: FeatureSelection | None = param(
        None,
        "How they are chosen when there are more.",
        unset="forward for at most 6 features, else highest_weights",
    )
    kernel_width: float | None = param(
        None,
        "Width of the kernel exp(-D^2 / (2 width^2)).",
        unset="0.25 on masks, 0.75 sqrt(columns) on tables",
        low=1e-3,
    )
    ridge: float = param(1.0, "L2 penalty of the fit.", unset="1", low=0)
    discretizer: Discretizer = param(
        Discretizer.CONTINUOUS, "Tables: how a column of numbers is sampled.", unset="continuous"
    )
    sample_around_instance: bool = param(
        default=True,
        summary="Tables: continuous draws around the instance rather than the background's mean.",
        unset="true",
    )
    paired: bool = param(
        default=False, summary="Draw masks in pairs (z, not z), which lowers the variance.", unset="false"
    )
    tolerance: float = param(
        0.0,
        "Stop once every coefficient's standard error is below this, in the target's units.",
        unset="all of num_samples is asked",
        low=0,
    )
    segmentation: Segmentation | None = param(
        None,
        "How the instance is cut; with it a table's columns are hidden, not drawn.",
        unset="the modality's default",
    )
    baseline: Baseline | None = param(
        None,
        "What absent looks like; with it a table's columns are hidden, not drawn.",
        unset="the modality's default",
    )


@dataclass(frozen=True, slots=True, eq=False)
class LimeTask:
    """A subject and where its rows come from."""

    subject: Subject
    around: Neighbourhood
    num_samples: int
    width: float


def prepare(subject: Subject, params: LimeParams, rng: Rng) -> LimeTask:
    """Cut the instance or learn the laws of its columns.

    Raises InvalidRequest for options of another modality, and for fits that are too large.
    """
    modality = subject.instance.spec.modality or Modality.TENSOR
    drawn = modality is Modality.TABULAR and params.segmentation is None and params.baseline is None
    refuse_strays(params, drawn=drawn)
    around: Neighbourhood
    if drawn:
        laws = table(subject.instance, params.discretizer, around_instance=params.sample_around_instance)
        around = Draws(laws)
    else:
        cut, absent = params.segmentation or Segmentation(), params.baseline or Baseline()
        hiding = hide(subject.instance, cut, absent, rng)
        around = Masks(hiding, by_count=modality is Modality.TEXT, paired=params.paired)
    asked = params.num_samples or NUM_SAMPLES.get(modality, NUM_SAMPLES_OTHERWISE)
    refuse_too_large(around.size(asked), len(around.origin))
    return LimeTask(subject, around, asked, params.kernel_width or around.width)


def refuse_strays(params: LimeParams, *, drawn: bool) -> None:
    """Raises InvalidRequest for options that would have no effect."""
    found = []
    if drawn and params.paired:
        found.append(Violation("paired", "only masks come in pairs; a table's columns are drawn"))
    if not drawn and params.discretizer is not Discretizer.CONTINUOUS:
        found.append(Violation("discretizer", "only drawn table columns have bins; leave it unset"))
    if not drawn and not params.sample_around_instance:
        found.append(Violation("sample_around_instance", "only table columns are drawn; leave it unset"))
    if found:
        raise InvalidRequest(found)


def refuse_too_large(rows: int, features: int) -> None:
    """Raises InvalidRequest for a fit that does not fit into memory."""
    if rows * features > MOST_CELLS:
        raise InvalidRequest.of(
            "num_samples",
            f"{rows} rows x {features} features is more than {MOST_CELLS} numbers; "
            f"ask at most {MOST_CELLS // features} rows or use a coarser segmentation",
        )


def cost(task: LimeTask, params: LimeParams) -> Cost:
    """Rows of the sample, repetitions included; a tolerance may need fewer."""
    return Cost(
        task.around.size(task.num_samples),
        exact=params.tolerance == 0 or task.around.exact(task.num_samples),
    )


def lime(task: LimeTask, params: LimeParams, rng: Rng) -> Steps:
    """Weighted linear fit of the target's score around the instance (section 3.4, algorithm 1).

    values: (targets, segments or columns), in units of the target's score; on masks per segment
    kept, on continuous columns per standard deviation, on categories and bins for being the same.
    """
    sample = task.around.sample(task.num_samples, rng)
    scores = np.empty((0, 0))  # (rows answered, outputs)
    complete = True
    for upto in rounds(sample, params.tolerance):
        try:
            reply = yield Query(sample.rows.take(np.arange(len(scores), upto)))
        except BudgetSpent as spent:
            complete, affordable = False, len(scores) + spent.left
            if affordable < sample.features.shape[1] + 2:
                raise
            if spent.left == 0:
                break
            reply = yield Query(sample.rows.take(np.arange(len(scores), affordable)))
        scores = np.vstack([scores, reply.scores]) if len(scores) else reply.scores
        surrogate = surrogate_of(task, params, sample, scores)
        if not complete or below(params.tolerance, surrogate):
            break
    return attribution(task, params, sample, scores, surrogate, complete=complete)


def rounds(sample: Sample, tolerance: float) -> Iterator[int]:
    """How many rows are answered after each round."""
    upto, total = FIRST_ROUND, len(sample.rows)
    while tolerance > 0 and not sample.exact and upto < total:
        yield upto
        upto = int(upto * GROWTH)
    yield total


def below(tolerance: float, surrogate: Surrogate) -> bool:
    """Whether every coefficient is known well enough."""
    errors = surrogate.standard_errors
    return errors is not None and bool(np.all(errors < tolerance))


def surrogate_of(task: LimeTask, params: LimeParams, sample: Sample, scores: Array) -> Surrogate:
    """The fit to the rows answered so far."""
    n = len(scores)
    chosen = task.subject.targets.choose(scores[0])
    sparsity = None
    if params.num_features:
        few = params.num_features <= FEW_FEATURES
        default = FeatureSelection.FORWARD if few else FeatureSelection.HIGHEST_WEIGHTS
        sparsity = Sparsity(params.num_features, params.feature_selection or default, task.around.origin)
    weights = sample.kernel(task.width)[:n]
    return fit(sample.features[:n], weights, chosen.of(scores), params.ridge, sparsity, sample.per_draw)


def attribution(
    task: LimeTask, params: LimeParams, sample: Sample, scores: Array, surrogate: Surrogate, *, complete: bool
) -> Attribution:
    """The fit in the words of a finding."""
    exact = sample.exact and complete
    errors = np.zeros_like(surrogate.coefficients) if exact else surrogate.standard_errors
    local = surrogate.at(sample.features[0])
    quality = tuple(
        {
            "weighted_r2": float(surrogate.weighted_r2[t]),
            "local_prediction": float(local[t]),
            "intercept": float(surrogate.intercepts[t]),
            "rows": float(len(scores)),
        }
        | ({"exact": 1.0} if exact else {})
        for t in range(len(local))
    )
    return Attribution(
        chosen=task.subject.targets.choose(scores[0]),
        units=task.around.units,
        values=surrogate.coefficients,
        instance_scores=scores[0],
        base_values=surrogate.intercepts,
        standard_errors=errors,
        quality=quality,
        complete=complete,
        warnings=(
            *task.around.warnings,
            *([] if complete else [f"the budget ended after {len(scores)} of {len(sample.rows)} rows"]),
            *doubts(params.tolerance, len(scores), errors),
        ),
        baseline=task.around.baseline,
        segmentation=task.around.segmentation,
    )


def doubts(tolerance: float, rows: int, errors: Array | None) -> list[str]:
    """What a reader must know of the coefficients' precision."""
    if errors is None:
        return ["as many features as rows: standard errors are not known; raise num_samples"]
    worst = errors.max(initial=0.0)
    if tolerance == 0 or worst < tolerance:
        return []
    return [f"tolerance {tolerance:g} was not reached: {rows} rows leave a standard error of {worst:.3g}"]


LIME = Method(
    name="lime",
    summary="A sparse linear model fitted to the scores around the instance.",
    citation="Ribeiro, Singh & Guestrin 2016, arXiv:1602.04938",
    version="1",
    modalities=frozenset(Modality),
    params=LimeParams,
    prepare=prepare,
    cost=cost,
    run=lime,
)
