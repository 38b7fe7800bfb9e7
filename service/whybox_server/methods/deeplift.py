"""DeepLIFT: what differs from a reference, and how much of the score's difference that makes.

The multipliers are the probe's business; here they meet the differences, and the sum is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.comparison import absent, compared, missed
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.probing import (
    Asking,
    Here,
    Probing,
    arrived,
    in_chunks,
    led_back,
    look_inside,
    rows_at,
    targets_at_most,
)
from whybox_server.perturb.background import Background
from whybox_server.perturb.options import Baseline

LARGE_GAP = 0.01  # of the difference that is explained: more must be said in words


class DeepliftRule(Enum):
    """How a nonlinearity shares out its difference."""

    RESCALE = "rescale"
    REVEAL_CANCEL = "reveal_cancel"
    GENOMICS = "genomics"


@dataclass(frozen=True, slots=True, eq=False)
class DeepliftParams:
    """Fields of `whybox.v1.DeepliftParams`."""

    rule: DeepliftRule = param(
        DeepliftRule.RESCALE, "How a nonlinearity shares out its difference.", unset="rescale"
    )
    baseline: Baseline | None = param(
        None, "The reference; of several the mean is taken.", unset="the modality's default"
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A place, and what the instance is compared with."""

    probing: Probing
    background: Background
    rule: DeepliftRule


def prepare(subject: Subject, params: DeepliftParams, rng: Rng) -> Task:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    probing = look_inside(subject, params.input, "deeplift", (("rule", params.rule.value),))
    return Task(probing, absent(probing, params.baseline or Baseline(), rng), params.rule)


def cost(task: Task, _params: DeepliftParams) -> Cost:
    """The instance, and per target once for every reference; and these themselves where they must be looked up."""
    subject, count = task.probing.subject, task.background.count
    looked_up = 0 if task.probing.direct else count
    return Cost(1 + looked_up + targets_at_most(subject) * count, exact=len(subject.targets.choices) <= 1)


def deeplift(task: Task, _params: DeepliftParams, _rng: Rng) -> Steps:
    """Multiplier times difference from the reference (Shrikumar et al. 2017, sections 3.2 to 3.5).

    values: (t, *units), in units of the target's score; with base_values, the references' mean score,
    they sum to the score, see `completeness_gap`.
    """
    probing = task.probing
    here = yield from arrived(probing)
    others = yield from references(probing, task.background)  # (k, *place)
    found, base = yield from shared_out(probing, here, others)
    gaps, relative = missed(found, here.chosen.of(here.scores[None])[0] - base)
    return Attribution(
        here.chosen,
        probing.units,
        probing.folded(found),
        here.scores,
        base_values=base,
        quality=tuple(
            {"completeness_gap": float(gap), "relative_gap": float(share)}
            for gap, share in zip(gaps, relative, strict=True)
        ),
        additive=True,
        warnings=(*probing.site.notes, *task.background.warnings, *remarks(here, gaps, relative)),
        baseline=task.background.words,
        segmentation=f"DeepLIFT {task.rule.value}",
    )


def references(probing: Probing, background: Background) -> Asking[Array]:
    """Where "absent" stands at the place, (k, *place); asked for where it must be looked up."""
    if probing.direct:
        return background.values[probing.site.name]
    return (yield from compared(probing, background)).values


def shared_out(probing: Probing, here: Here, others: Array) -> Asking[tuple[Array, Array]]:
    """Mean contributions, (t, *place), and mean scores of the references, (t,)."""
    targets, count = here.chosen.indices, len(others)
    found = np.zeros((len(targets), *here.values.shape))
    base = np.zeros(len(targets))
    for chunk in in_chunks(count, here.values.shape, len(targets)):
        some = others[chunk]
        points = np.broadcast_to(here.values, some.shape)
        replies = yield from led_back(probing, here, rows_at(probing, points), some)
        for at, reply in enumerate(replies):
            assert reply.gradient is not None
            assert reply.reference_scores is not None
            found[at] += (reply.gradient * (points.astype(np.float64) - some)).sum(axis=0) / count
            base[at] += reply.reference_scores[:, targets[at]].sum(dtype=np.float64) / count
    return found, base


def remarks(here: Here, gaps: Array, relative: Array) -> list[str]:
    """Which sums do not come out."""
    return [
        f"{label}: the values miss the score's difference by {gap:.3g} ({share:.1%}): on this graph the rules are "
        "not exact"
        for label, gap, share in zip(here.chosen.labels, gaps, relative, strict=True)
        if share > LARGE_GAP
    ]


DEEPLIFT: Method[DeepliftParams, Task] = Method(
    name="deeplift",
    summary="Each feature's difference from a reference, times its multiplier.",
    citation=(
        "Shrikumar, Greenside & Kundaje, Learning Important Features Through Propagating Activation "
        "Differences, ICML 2017"
    ),
    version="1",
    modalities=frozenset(Modality),
    params=DeepliftParams,
    prepare=prepare,
    cost=cost,
    run=deeplift,
    probes="deeplift",
)
