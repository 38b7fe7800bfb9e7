"""Guided Grad-CAM: guided backpropagation where Grad-CAM sees the target, and nothing elsewhere.

A picture that is both sharp and about one class. Its numbers are products of two measures of their
own: they rank values, and mean nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.probe import MAPS
from whybox_server.core.query import Query, Steps
from whybox_server.methods.grad_cam import at_layer, doubts, faithfulness, ready, weighted_maps
from whybox_server.methods.guided_backprop import RULES
from whybox_server.methods.layers import ALTERNATIVES, WITH_PLACES, Sheet
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.probing import Probing, led_back_as_it_is, look_inside, targets_at_most
from whybox_server.perturb.removal import as_it_is

UNIT = "a rank: score per unit of input, times the Grad-CAM there"


@dataclass(frozen=True, slots=True)
class GuidedGradCamParams:
    """Fields of `whybox.v1.GuidedGradCamParams`."""

    layer: str = param(
        "", "Tensor whose maps are read, by name.", unset="the last one with several places, before pooling"
    )


@dataclass(frozen=True, slots=True, eq=False)
class GuidedGradCamTask:
    """The layer, and the way back to the input itself."""

    sheet: Sheet
    guided: Probing


def prepare(subject: Subject, params: GuidedGradCamParams, _rng: Rng) -> GuidedGradCamTask:
    """Find the layer, and both ways back. Raises InvalidRequest and MethodUnsupported."""
    sheet, guided = ready(subject, params.layer, "guided_grad_cam"), look_inside(subject, rules=RULES)
    if guided.site.name != sheet.units.input:
        raise MethodUnsupported(
            f"guided backpropagation ends at {guided.site.name!r} and maps lie over input "
            f"{sheet.units.input!r}, so that they cannot be multiplied; grad_cam and guided_backprop work alone",
            alternatives=f"grad_cam, guided_backprop, {ALTERNATIVES}",
        )
    return GuidedGradCamTask(sheet, guided)


def cost(task: GuidedGradCamTask, _params: GuidedGradCamParams) -> Cost:
    """The instance, and twice more per target."""
    subject = task.sheet.subject
    return Cost(1 + 2 * targets_at_most(subject), exact=len(subject.targets.choices) <= 1)


def guided_grad_cam(task: GuidedGradCamTask, _params: GuidedGradCamParams, _rng: Rng) -> Steps:
    """Guided backpropagation times Grad-CAM, element by element (Selvaraju et al. 2017, section 3.2).

    values: (t, *shape). The map is enlarged linearly, as in the paper; captum repeats its nearest cell
    instead. quality: that of Grad-CAM.
    """
    sheet = task.sheet
    instance = as_it_is(sheet.subject.instance)
    scores = (yield Query(instance)).scores[0]
    chosen = sheet.subject.targets.choose(scores)
    maps, exact = weighted_maps((yield from at_layer(sheet, chosen, instance)))
    replies = yield from led_back_as_it_is(task.guided, chosen)
    guided = np.stack([np.asarray(one.gradient, np.float64)[0] for one in replies])  # (t, *shape)
    quality, shown = tuple(map(faithfulness, maps, exact)), np.maximum(maps, 0)
    notes = dict.fromkeys((*sheet.layer.notes, *task.guided.site.notes))
    return Attribution(
        chosen,
        sheet.units,
        guided * sheet.enlarged(shown),
        scores,
        base_values=np.zeros(len(maps)),
        quality=quality,
        warnings=(*notes, *doubts(chosen, quality, shown)),
        segmentation=f"every value by itself, times {sheet.in_words(maps)}",
        unit=UNIT,
    )


GUIDED_GRAD_CAM: Method[GuidedGradCamParams, GuidedGradCamTask] = Method(
    name="guided_grad_cam",
    summary="Guided backpropagation where Grad-CAM sees the target.",
    citation="Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391, section 3.2",
    version="1",
    modalities=WITH_PLACES,
    params=GuidedGradCamParams,
    prepare=prepare,
    cost=cost,
    run=guided_grad_cam,
    probes=RULES,
    reads=MAPS,
)
