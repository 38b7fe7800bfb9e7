"""Expected gradients: integrated gradients whose baselines and steps are drawn, not laid out.

One random point on the way from one random baseline stands for all of them; the mean over many such
points tends to the values that integrated gradients have on average over the baselines, which are
Shapley values where features do not interact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array, Rows
from whybox_server.core.rows_path import Noisy, noise
from whybox_server.core.spec import Modality
from whybox_server.methods.comparison import Compared, compared, missed, settled
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.noise import ranges, seeds
from whybox_server.methods.probing import (
    Here,
    Probing,
    along,
    arrived,
    cut_in_words,
    look_inside,
    targets_at_most,
)
from whybox_server.methods.sampled_slopes import FEWEST_SAMPLES, Reader, Sampled, sampled
from whybox_server.perturb.background import Background, background_rows
from whybox_server.perturb.options import Baseline, BaselineKind

LARGE_GAP = 0.05  # of the difference: more is said in words


@dataclass(frozen=True, slots=True, eq=False)
class GradientShapParams:
    """Fields of `whybox.v1.GradientShapParams`."""

    num_samples: int = param(
        200, "Points, one gradient per target each.", unset="200", low=FEWEST_SAMPLES, high=100_000
    )
    noise: float = param(
        0.0,
        "Standard deviation of noise on the instance, as a share of the input's range.",
        unset="0: none",
        low=0,
        high=10,
    )
    baselines: tuple[Baseline, ...] = param(
        (),
        "Where the ways begin; at most as many rows as there are samples, drawn if there are more.",
        unset="rows of the background, or else the modality's default",
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A place, and where the ways to it may begin."""

    probing: Probing
    background: Background


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Drawn points, n of them: way, how far along it, how large the noise is at its end, and from which seed."""

    choice: Array  # (n,)
    alphas: Array  # (n,)
    scale: Array  # broadcastable to the place
    seeds: Array  # (n,)


def prepare(subject: Subject, params: GradientShapParams, rng: Rng) -> Task:
    """Build the way back and the baselines. Raises InvalidRequest and MethodUnsupported."""
    probing = look_inside(subject, params.input)
    known = background_rows(subject.instance)
    typical = Baseline(None if known is None else BaselineKind.BACKGROUND)
    return Task(probing, settled(probing, params.baselines or (typical,), params.num_samples, rng))


def cost(task: Task, params: GradientShapParams) -> Cost:
    """The instance, the baselines, and all points once per target."""
    subject = task.probing.subject
    rows = 1 + task.background.count + targets_at_most(subject) * params.num_samples
    return Cost(rows, exact=len(subject.targets.choices) <= 1)


def gradient_shap(task: Task, params: GradientShapParams, rng: Rng) -> Steps:
    """Mean of (x - x') times the slope at a random point between x' and x, over baselines x' (Erion et al.
    2021, equation 3); with `noise`, x is another noisy copy each time (Lundberg & Lee's GradientExplainer).

    values: (t, *units), in units of the target's score; with base_values, the baselines' mean score,
    they sum to the score in expectation. standard_errors: as of independent draws; here every baseline
    serves equally often and the points are spread evenly over the way, which lowers the true error.
    """
    probing = task.probing
    here = yield from arrived(probing)
    start = yield from compared(probing, task.background)
    scale, warnings = ranges(probing, here) if params.noise else (np.zeros(1), [])
    points = drawn(params, task.background.count, params.noise * scale, rng)
    rows, reader = described(probing, here, start, points)
    found = yield from sampled(probing, here, rows, reader)
    values = np.stack([one.mean() for one in found.moments])
    gaps, relative = missed(values, start.differences(here))
    measures = zip(gaps.tolist(), relative.tolist(), strict=True)
    return Attribution(
        here.chosen,
        probing.units,
        values,
        here.scores,
        base_values=start.base_values(here),
        standard_errors=np.stack([one.error_of_mean() for one in found.moments]),
        quality=tuple(
            {"completeness_gap": gap, "relative_gap": share, "samples": float(found.asked)}
            for gap, share in measures
        ),
        additive=True,
        complete=found.complete,
        warnings=(
            *probing.site.notes,
            *task.background.warnings,
            *warnings,
            *found.warnings,
            *remarks(here, found, relative),
        ),
        baseline=task.background.words,
        segmentation=cut_in_words(probing),
    )


def drawn(params: GradientShapParams, ways: int, scale: Array, rng: Rng) -> Points:
    """Points such that each way is taken equally often, and the places fill [0, 1] evenly, in random order."""
    n = params.num_samples
    choice = rng.permutation(np.arange(n) % ways)
    alphas = (rng.permutation(n) + rng.random(n)) / n
    return Points(choice, alphas, scale, seeds(rng, n))


def described(probing: Probing, here: Here, start: Compared, points: Points) -> tuple[Rows, Reader]:
    """The rows of the points, and what is read from their slopes."""
    rows: Rows = along(probing, here, start.values, points.alphas, points.choice)
    end, is_noisy = here.values.astype(np.float64), bool(points.scale.any())
    if is_noisy:
        rows = Noisy(rows, probing.site.name, points.scale, points.alphas, points.seeds)

    def reader(row: int, slopes: Array) -> Array:
        step = end - start.values[points.choice[row]]
        if is_noisy:
            step += noise(int(points.seeds[row]), end.shape) * points.scale
        return probing.folded(slopes * step)

    return rows, reader


def remarks(here: Here, found: Sampled, relative: Array) -> list[str]:
    """Whose sums are not near the difference yet."""
    return [
        f"{label}: after {found.asked} samples the values miss the score's difference by {gap:.1%}; raise "
        "num_samples"
        for label, gap in zip(here.chosen.labels, relative, strict=True)
        if gap > LARGE_GAP
    ]


GRADIENT_SHAP: Method[GradientShapParams, Task] = Method(
    name="gradient_shap",
    summary="Slopes at random points between typical instances and this one, times the way.",
    citation=(
        "Erion et al., Improving performance of deep learning models with axiomatic attribution priors and "
        "expected gradients, Nature Machine Intelligence 2021; Lundberg & Lee, NeurIPS 2017"
    ),
    version="1",
    modalities=frozenset(Modality),
    params=GradientShapParams,
    prepare=prepare,
    cost=cost,
    run=gradient_shap,
    probes="gradient",
)
