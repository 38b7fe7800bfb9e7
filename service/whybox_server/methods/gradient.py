"""The gradient of a score: how fast it changes with each value of the instance, there and then.

A slope says nothing of how the score came about: it is zero where the model is saturated, and its
sum is no score. `saliency` and `gradient_x_input` are other readings of the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.probing import (
    Asking,
    Probing,
    cut_in_words,
    led_back_as_it_is,
    look_inside,
    targets_at_most,
)
from whybox_server.perturb.removal import as_it_is

PER_UNIT = "per unit of input"

Reading = Callable[[Array, Array], Array]  # slopes (t, *place) and values (*place) -> (t, *place)


@dataclass(frozen=True, slots=True)
class GradientParams:
    """Fields of `whybox.v1.GradientParams`."""

    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: GradientParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    return look_inside(subject, params.input)


def cost(probing: Probing, _params: object) -> Cost:
    """The instance, and once more per target."""
    subject = probing.subject
    return Cost(1 + targets_at_most(subject), exact=len(subject.targets.choices) <= 1)


def gradient(probing: Probing, _params: GradientParams, _rng: Rng) -> Steps:
    """The slope of the target's score at the instance (Simonyan et al. 2013, section 3).

    values: (t, *units), in units of the target's score per unit of input; those of a token are the
    sum over its vector.
    """
    return (yield from read_slopes(probing, lambda slopes, values: slopes, PER_UNIT))


def read_slopes(probing: Probing, reading: Reading, unit: str) -> Asking[Attribution]:
    """A reading of the slopes at the instance, as a finding."""
    reply = yield Query(as_it_is(probing.subject.instance))
    scores = reply.scores[0]
    chosen = probing.subject.targets.choose(scores)
    replies = yield from led_back_as_it_is(probing, chosen)
    slopes = np.stack([np.asarray(one.gradient, np.float64)[0] for one in replies])  # (t, *place)
    found = probing.folded(reading(slopes, values_of(probing, replies[0].values)))
    largest = np.abs(slopes).reshape(len(slopes), -1).max(axis=1, initial=0)
    return Attribution(
        chosen,
        probing.units,
        found,
        scores,
        base_values=np.zeros(len(found)),
        quality=tuple({"largest_slope": float(one)} for one in largest),
        warnings=(*probing.site.notes, *flat_targets(chosen.labels, largest)),
        segmentation=cut_in_words(probing),
        unit=unit,
    )


def values_of(probing: Probing, read: Array | None) -> Array:
    """What the instance holds at the place, (*place) float64. read: (1, *place), where it is no input."""
    values = probing.subject.instance.inputs[probing.site.name] if read is None else read[0]
    return values.astype(np.float64)


def flat_targets(labels: tuple[str, ...], largest: Array) -> list[str]:
    """A warning for each target whose score does not change at all nearby."""
    return [
        f"{label}: every slope is zero here, because the score does not change nearby; "
        "integrated_gradients looks further"
        for label, most in zip(labels, largest, strict=True)
        if most == 0
    ]


GRADIENT: Method[GradientParams, Probing] = Method(
    name="gradient",
    summary="The slope of the score in each value, with its sign.",
    citation="Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, section 3",
    version="1",
    modalities=frozenset(Modality),
    params=GradientParams,
    prepare=prepare,
    cost=cost,
    run=gradient,
    probes="gradient",
)
