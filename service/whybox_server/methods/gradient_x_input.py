"""Gradient times input: the slope of the score in each value, times the value.

For a model that is linear without a bias this is each value's part in the score. For others nothing
says that the parts sum to anything; integrated_gradients compares with a baseline, and does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality
from whybox_server.methods.gradient import cost, read_slopes
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.probing import Probing, look_inside


@dataclass(frozen=True, slots=True)
class GradientXInputParams:
    """Fields of `whybox.v1.GradientXInputParams`."""

    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: GradientXInputParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    return look_inside(subject, params.input)


def gradient_x_input(probing: Probing, _params: GradientXInputParams, _rng: Rng) -> Steps:
    """Slope times value (Shrikumar et al. 2016, section 3.5).

    values: (t, *units), in units of the target's score; those of a token are the sum over its vector.
    conservation_gap: how far their sum is from the score.
    """
    found = yield from read_slopes(probing, lambda slopes, values: slopes * values, "")
    scores = found.chosen.of(found.instance_scores[None])[0]  # (t,)
    missed = np.abs(found.values.reshape(len(scores), -1).sum(axis=1) - scores)
    return replace(found, quality=tuple({"conservation_gap": float(gap)} for gap in missed))


GRADIENT_X_INPUT: Method[GradientXInputParams, Probing] = Method(
    name="gradient_x_input",
    summary="The score's slope in each value, times the value.",
    citation="Shrikumar, Greenside, Shcherbina & Kundaje 2016, arXiv:1605.01713",
    version="1",
    modalities=frozenset(Modality),
    params=GradientXInputParams,
    prepare=prepare,
    cost=cost,
    run=gradient_x_input,
    probes="gradient",
)
