"""Deconvnet: a score led back through rectifiers that look at what comes back alone.

What the rectifiers did on the way forward is forgotten, only maxima remember where they were. It shows
patterns that excite a network; it is no slope, and its sum is no score.
"""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality
from whybox_server.methods.gradient import PER_UNIT, cost, read_slopes
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.probing import Probing, look_inside

RULES = "deconvnet"


@dataclass(frozen=True, slots=True)
class DeconvnetParams:
    """Fields of `whybox.v1.DeconvnetParams`."""

    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: DeconvnetParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    return look_inside(subject, params.input, RULES)


def deconvnet(probing: Probing, _params: DeconvnetParams, _rng: Rng) -> Steps:
    """What the transposed network makes of the target's score (Zeiler & Fergus 2014, section 2.1).

    values: (t, *units), in units of the target's score per unit of input; those of a token are the sum
    over its vector. Of a network without rectifiers they are the gradient.
    """
    return (yield from read_slopes(probing, lambda slopes, values: slopes, PER_UNIT))


DECONVNET: Method[DeconvnetParams, Probing] = Method(
    name="deconvnet",
    summary="The score led back through a network whose rectifiers work on what comes back.",
    citation="Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 2.1",
    version="1",
    modalities=frozenset(Modality),
    params=DeconvnetParams,
    prepare=prepare,
    cost=cost,
    run=deconvnet,
    probes=RULES,
)
