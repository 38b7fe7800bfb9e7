"""Saliency: how fast a score changes with each value, whichever way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.gradient import PER_UNIT, cost, read_slopes
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.probing import Probing, look_inside
from whybox_server.perturb.layout import axes_of


@dataclass(frozen=True, slots=True)
class SaliencyParams:
    """Fields of `whybox.v1.SaliencyParams`."""

    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")
    channel_maximum: bool = param(
        default=False,
        summary="Give every channel of a place the largest number of its channels, as the paper draws it.",
        unset="false: every channel has its own",
    )


def prepare(subject: Subject, params: SaliencyParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    probing = look_inside(subject, params.input)
    if params.channel_maximum and channel_axis(probing) is None:
        raise InvalidRequest.of("channel_maximum", "the explained input has no channels; leave it out")
    return probing


def channel_axis(probing: Probing) -> int | None:
    """Of the explained input; None where there is none."""
    if not probing.direct:
        return None
    instance = probing.subject.instance
    return axes_of(instance.spec, instance.inputs[probing.site.name].shape).channel


def saliency(probing: Probing, params: SaliencyParams, _rng: Rng) -> Steps:
    """The size of the slope (Simonyan et al. 2013, section 3.1).

    values: (t, *units), at least 0, in units of the target's score per unit of input; those of a token
    are the sum over its vector. The paper's map of a picture is the maximum over channels:
    `channel_maximum`.
    """
    axis = channel_axis(probing) if params.channel_maximum else None

    def reading(slopes: Array, _values: Array) -> Array:
        sizes = np.abs(slopes)
        if axis is None:
            return sizes
        return np.broadcast_to(sizes.max(axis=1 + axis, keepdims=True), sizes.shape)

    return (yield from read_slopes(probing, reading, PER_UNIT))


SALIENCY: Method[SaliencyParams, Probing] = Method(
    name="saliency",
    summary="The size of the score's slope in each value.",
    citation="Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, section 3.1",
    version="1",
    modalities=frozenset(Modality),
    params=SaliencyParams,
    prepare=prepare,
    cost=cost,
    run=saliency,
    probes="gradient",
)
