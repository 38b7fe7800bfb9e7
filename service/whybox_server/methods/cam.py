"""CAM: where a network that averages its maps sees the evidence for a class. Forward only, no gradient.

It exists for networks that end in global average pooling and a linear layer, and says exactly how
their score comes about there; what the maps themselves stand for it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.probe import POOLED, Pooled, Probe
from whybox_server.core.query import Query, Steps, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Chosen
from whybox_server.methods.layers import WITH_PLACES, Sheet, sheet
from whybox_server.methods.method import Cost, Method, Rng
from whybox_server.methods.probing import inside_of
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.removal import as_it_is

TOLERATED = 1e-3  # of the largest score: float32 sums over thousands of places stay far below


@dataclass(frozen=True, slots=True)
class CamParams:
    """Fields of `whybox.v1.CamParams`: none."""


@dataclass(frozen=True, slots=True, eq=False)
class CamTask:
    """A layer over its instance, and what is made of its means."""

    sheet: Sheet
    end: Pooled


def prepare(subject: Subject, _params: CamParams, _rng: Rng) -> CamTask:
    """Find the linear end. Raises MethodUnsupported for a network without one, InvalidRequest for a unit
    in which the score is not linear.
    """
    refuse_nan(subject.instance)
    end = inside_of(subject).pooled()
    targets = subject.targets
    if targets.kind is not ScoreKind.VALUE and targets.space.value != targets.kind.value:
        raise InvalidRequest.of(
            "space",
            f"cam takes apart the sum that the network makes, which is a {targets.kind.value}, and a "
            f"{targets.space.value} is no sum; leave space unset, or use grad_cam",
        )
    return CamTask(sheet(subject, end.layer), end)


def cost(_task: CamTask, _params: CamParams) -> Cost:
    """The instance, once: its scores come with the maps."""
    return Cost(1, exact=True)


def cam(task: CamTask, _params: CamParams, _rng: Rng) -> Steps:
    """Class activation map M_c = sum_k w_k^c f_k (Zhou et al. 2016, equation 2).

    values: (t, *shape), the map of each target enlarged to the input, all channels alike; in units of
    the score: what it would be, less base_values, if the network saw everywhere what it sees here.
    base_values: (t,), the last layer's bias. quality: completeness_gap is the mean of the map plus the
    bias, less the score.
    """
    layer = Probe(at=task.end.layer.name)
    reply = yield Query(as_it_is(task.sheet.subject.instance), Want.VALUES, probe=layer)
    assert reply.values is not None, "values were asked for"
    chosen = task.sheet.subject.targets.choose(reply.scores[0])
    indices = list(chosen.indices)
    weights, bias = task.end.weights[indices], task.end.bias[indices]  # (t, channels), (t,)
    maps = np.tensordot(weights, reply.values[0].astype(np.float64), axes=1)  # (t, *places)
    gaps = maps.reshape(len(maps), -1).mean(axis=1) + bias - chosen.of(reply.scores)[0]
    return Attribution(
        chosen,
        task.sheet.units,
        task.sheet.enlarged(maps),
        reply.scores[0],
        base_values=bias,
        quality=tuple({"completeness_gap": float(gap)} for gap in gaps),
        warnings=(*task.end.layer.notes, *incomplete(chosen, gaps, reply.scores[0])),
        segmentation=task.sheet.in_words(maps),
    )


def incomplete(chosen: Chosen, gaps: Array, scores: Array) -> list[str]:
    """A warning for each target whose map does not add up to its score."""
    most = TOLERATED * float(np.abs(scores).max(initial=0))
    return [
        f"{label}: the map's mean and the bias miss the score by {gap:.3g}"
        for label, gap in zip(chosen.labels, gaps, strict=True)
        if abs(gap) > most
    ]


CAM: Method[CamParams, CamTask] = Method(
    name="cam",
    summary="Where a network with global average pooling sees evidence for a class.",
    citation="Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016",
    version="1",
    modalities=WITH_PLACES,
    params=CamParams,
    prepare=prepare,
    cost=cost,
    run=cam,
    reads=POOLED,
)
