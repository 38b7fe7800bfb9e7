"""Occlusion: how much the score drops when a part of the instance is hidden.

Asks one query: the instance, then one row per part. It is blind to evidence that is there twice: of
"A or B" neither is missed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array, Rows
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.options import Baseline, Segmentation
from whybox_server.perturb.sliding import Sliding, slide

FEWEST_ROWS = 2  # the instance and one hidden part


@dataclass(frozen=True, slots=True, eq=False)
class OcclusionParams:
    """Fields of `whybox.v1.OcclusionParams`."""

    window: tuple[int, ...] = param(
        (),
        "side lengths of the sliding window, per axis of space or time, or one for all",
        unset="no window: each segment is hidden once",
        low=1,
    )
    stride: tuple[int, ...] = param(
        (), "steps of the window, in [1, window]", unset="the window's size", low=1
    )
    segmentation: Segmentation | None = param(
        None, "how the instance is cut when there is no window", unset="the modality's default"
    )
    baseline: Baseline | None = param(
        None, "the values put where the instance is hidden", unset="the modality's default"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A subject and the parts of it that are hidden one after the other."""

    subject: Subject
    parts: Hiding | Sliding


def prepare(subject: Subject, params: OcclusionParams, rng: Rng) -> Task:
    """Cut the instance or lay out the windows. Raises InvalidRequest and MethodUnsupported."""
    segmentation = params.segmentation or Segmentation()
    baseline = params.baseline or Baseline()
    if not params.window:
        if params.stride:
            raise InvalidRequest.of("stride", "needs a window; give one, or leave the stride out")
        return Task(subject, hide(subject.instance, segmentation, baseline, rng))
    if segmentation.kind is not None:
        raise InvalidRequest.of("segmentation.kind", "a window is asked for already; leave one of them out")
    whole = segmentation.all_channels
    return Task(subject, slide(subject.instance, params.window, params.stride, whole, baseline, rng))


def cost(task: Task, _params: OcclusionParams) -> Cost:
    """The instance and every part once."""
    return Cost(1 + task.parts.count, exact=True)


def occlusion(task: Task, _params: OcclusionParams, rng: Rng) -> Steps:
    """Score drop when one part at a time is hidden (Zeiler & Fergus 2014, section 4.2).

    values: (t, segments), or with windows (t, *shape): the mean over the windows that cover an
    element. In units of the target's score; positive means "supports the target". Parts that the
    budget left out get 0, a warning, and `complete` False.
    """
    parts = task.parts
    rows = hidden_one_by_one(parts, rng)
    left = None
    try:
        reply = yield Query(rows)
    except BudgetSpent as spent:
        if spent.left < FEWEST_ROWS:
            raise
        left = spent.left
    if left is not None:
        rows = rows.take(np.arange(min(left, len(rows))))
        reply = yield Query(rows)
    chosen = task.subject.targets.choose(reply.scores[0])
    scores = chosen.of(reply.scores)  # (asked, t)
    drops = (scores[0] - scores[1:]).T  # (t, asked parts)
    return Attribution(
        chosen,
        parts.units,
        values_of(parts, drops),
        reply.scores[0],
        base_values=np.zeros(len(drops)),
        complete=left is None,
        warnings=parts.warnings + unvisited(parts, drops.shape[1]),
        baseline=parts.baseline,
        segmentation=parts.segmentation,
    )


def hidden_one_by_one(parts: Hiding | Sliding, rng: Rng) -> Rows:
    """Row 0 is the instance, row 1 + i hides part i."""
    if isinstance(parts, Sliding):
        return parts.rows()
    masks = np.vstack([np.ones(parts.count, dtype=bool), ~np.eye(parts.count, dtype=bool)])  # (1 + s, s)
    choice = rng.integers(parts.backgrounds, size=len(masks)) if parts.backgrounds > 1 else None
    return parts.rows(masks, choice)


def values_of(parts: Hiding | Sliding, drops: Array) -> Array:
    """(t, asked parts) -> (t, segments) or (t, *shape)."""
    if isinstance(parts, Sliding):
        return parts.average(drops)
    return np.pad(drops, ((0, 0), (0, parts.count - drops.shape[1])))


def unvisited(parts: Hiding | Sliding, asked: int) -> tuple[str, ...]:
    """A warning about the parts that the budget left out."""
    missing = parts.count - asked
    if not missing:
        return ()
    what = "windows" if isinstance(parts, Sliding) else "segments"
    return (
        (
            f"the budget ended the work: {missing} of {parts.count} {what} were not visited and count as 0; "
            "raise max_queries or the deadline"
        ),
    )


OCCLUSION: Method[OcclusionParams, Task] = Method(
    name="occlusion",
    summary="Score drop when a sliding window, or one segment at a time, is hidden.",
    citation="Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2",
    version="1",
    modalities=frozenset(Modality),
    params=OcclusionParams,
    prepare=prepare,
    cost=cost,
    run=occlusion,
)
