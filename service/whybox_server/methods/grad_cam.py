"""Grad-CAM: the maps of a layer, each weighted by how much the score rises with it on the whole.

The weights are means of gradients over all places. Where the gradient differs from place to place,
such a mean can point at what the score does not depend on; how much is said with every answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.probe import MAPS
from whybox_server.core.query import Query, Reply, Steps, Want
from whybox_server.core.rows import Array, Rows, Stacked
from whybox_server.core.target import Chosen
from whybox_server.methods.layers import WITH_PLACES, Sheet, noted, sheet_of
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.probing import Asking, inside_of, targets_at_most
from whybox_server.perturb.removal import as_it_is

MUCH = 0.5  # of what the layer contributes: half of it is told elsewhere than where it is


@dataclass(frozen=True, slots=True)
class GradCamParams:
    """Fields of `whybox.v1.GradCamParams`."""

    layer: str = param(
        "", "Tensor whose maps are read, by name.", unset="the last one with several places, before pooling"
    )
    relu: bool = param(
        default=True, summary="Show only what supports the target.", unset="true, as in the paper"
    )


def prepare(subject: Subject, params: GradCamParams, _rng: Rng) -> Sheet:
    """Find the layer, and the way back to it. Raises InvalidRequest and MethodUnsupported."""
    return ready(subject, params.layer, "grad_cam")


def ready(subject: Subject, layer: str, method: str) -> Sheet:
    """A layer whose session answers."""
    found = sheet_of(subject, layer, method)
    return noted(found, inside_of(subject).site(found.probe))


def cost(sheet: Sheet, _params: GradCamParams) -> Cost:
    """The instance, and once more per target."""
    return Cost(1 + targets_at_most(sheet.subject), exact=len(sheet.subject.targets.choices) <= 1)


def grad_cam(sheet: Sheet, params: GradCamParams, _rng: Rng) -> Steps:
    """Gradient-weighted class activation map (Selvaraju et al. 2017, equations 1 and 2).

    values: (t, *shape), L = relu(sum_k a_k A_k) with a_k the mean gradient at map A_k, enlarged to the
    input, all channels alike, in units of the target's score. With `relu` false what speaks against
    the target is negative. quality: pooling_gap is how much of sum_k (gradient A_k) lies elsewhere in
    L (Draelos & Carin 2020), 0 where the gradient is the same at all places; opposed is the share of L
    that is negative.
    """
    instance = as_it_is(sheet.subject.instance)
    scores = (yield Query(instance)).scores[0]
    chosen = sheet.subject.targets.choose(scores)
    reply = yield from at_layer(sheet, chosen, instance)
    maps, exact = weighted_maps(reply)
    quality = tuple(map(faithfulness, maps, exact))
    shown = np.maximum(maps, 0) if params.relu else maps
    return Attribution(
        chosen,
        sheet.units,
        sheet.enlarged(shown),
        scores,
        base_values=np.zeros(len(maps)),
        quality=quality,
        warnings=(*sheet.layer.notes, *doubts(chosen, quality, shown)),
        segmentation=sheet.in_words(maps),
    )


def at_layer(sheet: Sheet, chosen: Chosen, instance: Rows) -> Asking[Reply]:
    """The layer's values, and each target's gradient there: one row per target."""
    rows = Stacked((instance,) * len(chosen.indices)) if len(chosen.indices) > 1 else instance
    return (yield Query(rows, Want.GRADIENT, np.array(chosen.indices), probe=sheet.probe))


def weighted_maps(reply: Reply) -> tuple[Array, Array]:
    """Grad-CAM without its relu, and what it stands for: sum_k gradient_k A_k; both (t, *places)."""
    assert reply.gradient is not None, "asked for"
    assert reply.values is not None, "the layer is no input"
    gradient, values = reply.gradient.astype(np.float64), reply.values.astype(np.float64)
    places = tuple(range(2, gradient.ndim))
    weights = gradient.mean(axis=places, keepdims=True)  # equation 1
    return (weights * values).sum(axis=1), (gradient * values).sum(axis=1)


def faithfulness(map_: Array, exact: Array) -> dict[str, float]:
    """One target's quality, from its map without relu and the sum over channels of gradient x value."""
    whole, size = float(np.abs(exact).sum()), float(np.abs(map_).sum())
    return {
        "pooling_gap": float(np.abs(exact - map_).sum()) / whole if whole else 0.0,
        "opposed": float(-np.minimum(map_, 0).sum()) / size if size else 0.0,
    }


def doubts(chosen: Chosen, quality: tuple[dict[str, float], ...], shown: Array) -> list[str]:
    """What a reader must know before trusting a map."""
    said = []
    for label, measured, map_ in zip(chosen.labels, quality, shown, strict=True):
        if not map_.any():
            said.append(
                f"{label}: the map is zero; with relu false it may show what speaks against the target"
            )
        if measured["pooling_gap"] > MUCH:
            said.append(
                f"{label}: the gradient differs from place to place (pooling_gap {measured['pooling_gap']:.2f}), "
                "so that its mean may light up places on which the score does not depend; another layer, or "
                "gradient_x_input, may say more"
            )
    return said


GRAD_CAM: Method[GradCamParams, Sheet] = Method(
    name="grad_cam",
    summary="Maps of a layer, weighted by their mean gradient.",
    citation="Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391",
    version="1",
    modalities=WITH_PLACES,
    params=GradCamParams,
    prepare=prepare,
    cost=cost,
    run=grad_cam,
    probes="gradient",
    reads=MAPS,
)
