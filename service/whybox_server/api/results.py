"""Findings to the wire: one function per kind of result, found by its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from whybox.v1 import explanation_pb2 as pb
from whybox.v1 import tensor_pb2
from whybox_server.api.tensors import from_array
from whybox_server.api.views import show
from whybox_server.core.explanation import (
    Attribution,
    Contrast,
    Counterpart,
    Finding,
    FlipSet,
    Mask,
    Regions,
    Rule,
    Units,
)
from whybox_server.core.instance import Subject
from whybox_server.core.rows import Array
from whybox_server.core.target import Chosen, Space
from whybox_server.engine.view import view_of

SPACE_NUMBERS = {
    Space.LOGIT: pb.SCORE_SPACE_LOGIT,
    Space.PROBABILITY: pb.SCORE_SPACE_PROBABILITY,
    Space.VALUE: pb.SCORE_SPACE_VALUE,
}


def add_result(finding: Finding, subject: Subject, message: pb.Explanation) -> None:
    """Fill the message's `result`."""
    match finding:
        case Attribution():
            message.attribution.CopyFrom(attribution(finding))
        case Rule():
            message.rule.CopyFrom(rule(finding))
        case Contrast():
            message.contrast.CopyFrom(contrast(finding, subject))
        case Regions():
            message.regions.CopyFrom(regions(finding))
        case Mask():
            message.mask.CopyFrom(mask(finding))
        case _:
            assert_never(finding)


def targets(chosen: Chosen, scores: Array) -> list[pb.Target]:
    """What the model says about each target; scores: (outputs,)."""
    values, probabilities = chosen.of(scores[None])[0], chosen.probabilities(scores[None])
    return [
        pb.Target(
            index=index,
            label=label,
            score=values[i],
            probability=None if probabilities is None else probabilities[0, i],
            space=SPACE_NUMBERS[chosen.targets.space],
        )
        for i, (index, label) in enumerate(zip(chosen.indices, chosen.labels, strict=True))
    ]


def attribution(finding: Attribution) -> pb.Attribution:
    found = finding.units
    message = pb.Attribution(
        values=numbers(finding.values),
        segments=segments(found),
        names=found.names,
        base_values=numbers(finding.base_values),
        quality=[pb.Quality(measures=measures) for measures in finding.quality],
        additive=finding.additive,
        instance_shape=found.shape,
        input=found.input,
        unit=finding.unit,
    )
    if finding.standard_errors is not None:
        message.standard_errors.CopyFrom(numbers(finding.standard_errors))
    if finding.flip_set is not None:
        message.flip_set.CopyFrom(flip_set(finding.flip_set, finding.chosen))
    return message


def flip_set(found: FlipSet, chosen: Chosen) -> pb.FlipSet:
    return pb.FlipSet(segments=found.segments, flipped=found.flipped, after=said(chosen, found.scores))


def rule(finding: Rule) -> pb.Rule:
    return pb.Rule(
        predicates=[
            pb.Predicate(text=p.text, segment=p.segment, precision=p.precision, coverage=p.coverage)
            for p in finding.predicates
        ],
        precision=finding.precision,
        lower_bound=finding.lower_bound,
        confidence=finding.confidence,
        coverage=finding.coverage,
        samples=finding.samples,
        threshold=finding.threshold,
        threshold_met=finding.threshold_met,
        certificate=finding.certificate,
        examples=[pb.Example(text=example.text, agrees=example.agrees) for example in finding.examples],
        units=units(finding.units),
    )


def contrast(finding: Contrast, subject: Subject) -> pb.Contrast:
    message = pb.Contrast(
        positive_reason=finding.positive_reason,
        negative_reason=finding.negative_reason,
        units=units(finding.units),
    )
    if finding.positive is not None:
        message.pertinent_positive.CopyFrom(counterpart(finding.positive, finding, subject))
    if finding.negative is not None:
        message.pertinent_negative.CopyFrom(counterpart(finding.negative, finding, subject))
    return message


def counterpart(found: Counterpart, finding: Contrast, subject: Subject) -> pb.Counterpart:
    message = pb.Counterpart(
        values=tensors(found.inputs),
        target=said(finding.chosen, found.scores),
        segments=found.segments,
        l1=found.l1,
        l2=found.l2,
    )
    show(view_of(subject.instance.spec, found.inputs, finding.units, found.pieces), message.subject)
    return message


def regions(finding: Regions) -> pb.Regions:
    return pb.Regions(
        segments=finding.segments,
        scores=finding.scores,
        empty_score=finding.empty_score,
        guarantee=finding.guarantee,
        units=units(finding.units),
    )


def mask(finding: Mask) -> pb.Mask:
    return pb.Mask(
        values=numbers(finding.values),
        game=finding.game,
        masked_scores=np.ravel(finding.masked_scores),
        hidden_scores=np.ravel(finding.hidden_scores),
        units=units(finding.units),
    )


def said(chosen: Chosen, scores: Array) -> pb.Target:
    """What the model says of something else than the instance: its highest score, or the target's value."""
    best = Chosen((int(np.argmax(scores)),), chosen.targets) if len(scores) > 1 else chosen
    return targets(best, scores)[0]


def units(found: Units) -> pb.Units:
    return pb.Units(
        names=found.names, segments=segments(found), instance_shape=found.shape, input=found.input
    )


def segments(found: Units) -> tensor_pb2.Tensors | None:
    if not found.segments:
        return None
    return tensors({name: np.asarray(array, dtype=np.int32) for name, array in found.segments.items()})


def tensors(arrays: Mapping[str, Array]) -> tensor_pb2.Tensors:
    return tensor_pb2.Tensors(by_name={name: from_array(array) for name, array in arrays.items()})


def numbers(values: Array | Sequence[float]) -> tensor_pb2.Tensor:
    return from_array(np.asarray(values, dtype=np.float64))
