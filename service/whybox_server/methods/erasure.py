"""Representation erasure: what each part's removal costs, and what must go for another answer.

Li, Monroe & Jurafsky 2016. One round leaves out every segment once. The set that flips the decision
is then looked for by greedy or beam search (`flips`) instead of the paper's reinforcement learning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Attribution, FlipSet
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.core.target import TINY_PROBABILITY, Chosen, Space
from whybox_server.methods.decision import by_half, decides, decision
from whybox_server.methods.flips import FlipSearch, flip_set, most_sets
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.subsets import EMPTY, Read, Sets, one_background
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.options import Baseline, Segmentation, SegmentationKind

FEWEST_ROWS = 2  # the instance, and it without one segment


@dataclass(frozen=True, slots=True)
class ErasureParams:
    """Fields of `whybox.v1.ErasureParams`."""

    search: FlipSearch | None = param(
        None,
        "Search for the set that flips the decision.",
        unset="greedy, or none for a model whose one output is a plain value",
    )
    beam_size: int = param(3, "Sets carried along by beam.", unset="3", low=1, high=100)
    max_erased: int = param(0, "Most segments in the set.", unset="all", low=0)
    segmentation: Segmentation | None = param(
        None, "How the instance is cut.", unset="the modality's default, positions for text"
    )
    baseline: Baseline | None = param(None, "What absent looks like.", unset="the modality's default")


@dataclass(frozen=True, slots=True, eq=False)
class ErasureTask:
    """A subject, its segments, and how far the search for a flip may go."""

    subject: Subject
    hiding: Hiding
    beam: int  # sets carried along; 0: no search
    most: int  # segments of a flip set


def prepare(subject: Subject, params: ErasureParams, rng: Rng) -> ErasureTask:
    """Cut the instance. Raises InvalidRequest, among others for a flip of what is no decision."""
    search = params.search
    if not decides(subject.targets):
        if search in (FlipSearch.GREEDY, FlipSearch.BEAM):
            raise InvalidRequest.of(
                "search", "the model's one output is a plain value, so there is no decision to flip; use NONE"
            )
        search = FlipSearch.NONE
    segmentation = params.segmentation or Segmentation()
    if segmentation.kind is None and subject.instance.spec.modality is Modality.TEXT:
        segmentation = replace(segmentation, kind=SegmentationKind.POSITIONS)
    hiding = hide(subject.instance, segmentation, params.baseline or Baseline(), rng)
    beams = {FlipSearch.NONE: 0, FlipSearch.BEAM: params.beam_size}
    beam = beams.get(search or FlipSearch.GREEDY, 1)
    most = min(params.max_erased or hiding.count, hiding.count)
    return ErasureTask(subject, hiding, beam, most)


def cost(task: ErasureTask, _params: ErasureParams) -> Cost:
    """The instance and every segment left out once; a search for a flip asks at most `most_sets` more."""
    alone = 1 + task.hiding.count
    if not task.beam:
        return Cost(alone, exact=True)
    return Cost(alone + most_sets(task.hiding.count, task.beam, task.most), exact=False)


def erasure(task: ErasureTask, _params: ErasureParams, rng: Rng) -> Steps:
    """What the score loses when one segment is erased (Li, Monroe & Jurafsky 2016, section 3).

    values: (t, segments), positive means "supports the target". In logits and plain values the
    difference of the target's scores; with the target in probabilities the paper's difference of
    log-probabilities, but not divided by that of the instance, which would be 0 / 0 for a sure model.
    Segments that the budget left out get 0, a warning, and `complete` False. Raises BudgetSpent when
    not even one segment can be erased.
    """
    hiding, targets = task.hiding, task.subject.targets
    background, drawn = one_background(hiding, rng)

    def margin(instance_scores: Array) -> Read:
        return decision(targets, instance_scores)

    sets = Sets(hiding, shown=False, background=background, reader=margin)
    alone = [frozenset({segment}) for segment in range(hiding.count)]
    yield from sets.ask([EMPTY, *alone], at_least=FEWEST_ROWS)
    asked = sum(single in sets.values for single in alone)
    flip, doubts = (yield from flip_set(sets, task.beam, task.most)) if task.beam else (None, ())
    return attribution(task, sets, asked, flip, (*drawn, *doubts))


def attribution(
    task: ErasureTask, sets: Sets, asked: int, flip: FlipSet | None, doubts: tuple[str, ...]
) -> Attribution:
    """Leave-one-out and the flip set in the words of a finding."""
    hiding, instance_scores = task.hiding, sets.scores[sets.instance]
    chosen = task.subject.targets.choose(instance_scores)
    singles = [sets.scores[frozenset({segment})] for segment in range(asked)]
    read = likelihoods(chosen, np.stack([instance_scores, *singles]))  # (1 + asked, t)
    drops = (read[0] - read[1:]).T  # (t, asked)
    missing = hiding.count - asked
    unvisited = (
        f"the budget ended the work: {missing} of {hiding.count} segments were not erased and count as 0; "
        "raise max_queries or the deadline"
    )
    return Attribution(
        chosen,
        hiding.units,
        np.pad(drops, ((0, 0), (0, missing))),
        instance_scores,
        base_values=np.zeros(len(drops)),
        complete=sets.spent is None,
        warnings=(
            *hiding.warnings,
            *([unvisited] if missing else []),
            *whose(chosen, instance_scores, flip),
            *doubts,
        ),
        baseline=hiding.baseline,
        segmentation=hiding.segmentation,
        flip_set=flip,
        unit="log-probability (natural logarithm)" if in_probabilities(chosen) else "",
    )


def whose(chosen: Chosen, instance_scores: Array, flip: FlipSet | None) -> tuple[str, ...]:
    """Says which decision the flip is of, where that is not the target's own."""
    if flip is None:
        return ()
    if by_half(chosen.targets):
        others = ", ".join(map(repr, chosen.labels[1:]))
        return (f"the flip is of the first target's decision, not of {others}",) if others else ()
    winner = int(np.argmax(instance_scores))
    if chosen.indices == (winner,):
        return ()
    return (f"the flip is of the model's answer, {chosen.targets.labels[winner]!r}, whatever the targets",)


def in_probabilities(chosen: Chosen) -> bool:
    """Whether values are differences of log-probabilities."""
    return chosen.targets.space is Space.PROBABILITY


def likelihoods(chosen: Chosen, scores: Array) -> Array:
    """What is compared, (n, t): the targets' scores, or the logarithms of their probabilities."""
    read = chosen.of(scores)
    if not in_probabilities(chosen):
        return read
    return np.asarray(np.log(np.clip(read, TINY_PROBABILITY, 1.0)))


ERASURE: Method[ErasureParams, ErasureTask] = Method(
    name="erasure",
    summary="What erasing one segment costs, and the smallest set found that flips the decision.",
    citation="Li, Monroe & Jurafsky, Representation Erasure, 2016, arXiv:1612.08220",
    version="1",
    modalities=frozenset(Modality),
    params=ErasureParams,
    prepare=prepare,
    cost=cost,
    run=erasure,
)
