"""SmoothGrad: the slope of a score, over noisy copies of the instance.

Gradients of deep networks jump from place to place; their mean over a neighbourhood does not, nor do
their mean square and their variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.rows_path import Noisy
from whybox_server.core.spec import Modality
from whybox_server.methods.gradient import PER_UNIT
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.moments import OF_MEAN, OF_VARIANCE, Moments
from whybox_server.methods.noise import ranges, seeds
from whybox_server.methods.probing import (
    Probing,
    along,
    arrived,
    cut_in_words,
    look_inside,
    targets_at_most,
)
from whybox_server.methods.sampled_slopes import FEWEST_SAMPLES, sampled


class Smoothing(Enum):
    """What is said of the slopes of all copies."""

    MEAN = "mean"
    SQUARED = "squared"
    VARIANCE = "variance"


UNITS = {
    Smoothing.MEAN: PER_UNIT,
    Smoothing.SQUARED: "squared, per unit of input squared",
    Smoothing.VARIANCE: "squared, per unit of input squared",
}


@dataclass(frozen=True, slots=True)
class SmoothGradParams:
    """Fields of `whybox.v1.SmoothGradParams`."""

    statistic: Smoothing = param(Smoothing.MEAN, "What is said of the slopes of all copies.", unset="mean")
    num_samples: int = param(50, "Noisy copies.", unset="50", low=FEWEST_SAMPLES, high=100_000)
    noise: float = param(
        0.15,
        "Standard deviation of the noise, as a share of the input's range.",
        unset="0.15",
        low=1e-4,
        high=10,
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: SmoothGradParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    return look_inside(subject, params.input)


def cost(probing: Probing, params: SmoothGradParams) -> Cost:
    """The instance, and all copies once per target."""
    subject = probing.subject
    return Cost(1 + targets_at_most(subject) * params.num_samples, exact=len(subject.targets.choices) <= 1)


def smooth_grad(probing: Probing, params: SmoothGradParams, rng: Rng) -> Steps:
    """Mean (Smilkov et al. 2017), mean square (Hooker et al. 2019) or variance (Adebayo et al. 2018) of
    the slope when noise is added to the instance.

    values: (t, *units), per unit of input, or its square; those of a token are of the slope summed over
    its vector. standard_errors: of what n copies say of all that there are.
    """
    here = yield from arrived(probing)
    scale, warnings = ranges(probing, here)
    n, statistic = params.num_samples, params.statistic
    centres = along(probing, here, here.values[None], np.ones(n))
    rows = Noisy(centres, probing.site.name, params.noise * scale, np.ones(n), seeds(rng, n))

    def reader(_row: int, slopes: Array) -> Array:
        folded = probing.folded(slopes)
        return folded**2 if statistic is Smoothing.SQUARED else folded

    powers = OF_VARIANCE if statistic is Smoothing.VARIANCE else OF_MEAN
    found = yield from sampled(probing, here, rows, reader, powers)
    values, errors = zip(*(told(one, statistic) for one in found.moments), strict=True)
    return Attribution(
        here.chosen,
        probing.units,
        np.stack(values),
        here.scores,
        base_values=np.zeros(len(values)),
        standard_errors=np.stack(errors),
        quality=tuple({"samples": float(found.asked), "largest_error": float(one.max())} for one in errors),
        complete=found.complete,
        warnings=(*probing.site.notes, *warnings, *found.warnings),
        segmentation=cut_in_words(probing),
        unit=UNITS[statistic],
    )


def told(moments: Moments, statistic: Smoothing) -> tuple[Array, Array]:
    """Values and their standard errors, (*units)."""
    if statistic is Smoothing.VARIANCE:
        return moments.variance(), moments.error_of_variance()
    return moments.mean(), moments.error_of_mean()


SMOOTH_GRAD: Method[SmoothGradParams, Probing] = Method(
    name="smooth_grad",
    summary="The mean, mean square or variance of the score's slope over noisy copies.",
    citation=(
        "Smilkov et al. 2017, arXiv:1706.03825; squared: Hooker et al., NeurIPS 2019; VarGrad: Adebayo et al. 2018"
    ),
    version="1",
    modalities=frozenset(Modality),
    params=SmoothGradParams,
    prepare=prepare,
    cost=cost,
    run=smooth_grad,
    probes="gradient",
)
