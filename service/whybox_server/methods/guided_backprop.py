"""Guided backpropagation: a score led back through what is positive on both ways, at every rectifier.

It draws sharp pictures of what excites the network. They depend little on the target (Adebayo et al.
2018) and are no slopes: they say neither how the score changes nor what adds up to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality
from whybox_server.methods.gradient import PER_UNIT, cost, read_slopes
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.probing import Probing, look_inside

RULES = "guided_backprop"


@dataclass(frozen=True, slots=True)
class GuidedBackpropParams:
    """Fields of `whybox.v1.GuidedBackpropParams`."""

    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: GuidedBackpropParams, _rng: Rng) -> Probing:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    return look_inside(subject, params.input, RULES)


def guided_backprop(probing: Probing, _params: GuidedBackpropParams, _rng: Rng) -> Steps:
    """What is left of the gradient behind rectifiers that let only positive numbers back (Springenberg
    et al. 2015, section 3.4).

    values: (t, *units), in units of the target's score per unit of input; those of a token are the sum
    over its vector. Of a network without rectifiers they are the gradient.
    """
    return (yield from read_slopes(probing, lambda slopes, values: slopes, PER_UNIT))


GUIDED_BACKPROP: Method[GuidedBackpropParams, Probing] = Method(
    name="guided_backprop",
    summary="The gradient through rectifiers that let back only what is positive on both ways.",
    citation="Springenberg et al., Striving for Simplicity, 2015, arXiv:1412.6806",
    version="1",
    modalities=frozenset(Modality),
    params=GuidedBackpropParams,
    prepare=prepare,
    cost=cost,
    run=guided_backprop,
    probes=RULES,
)
