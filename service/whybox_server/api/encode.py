"""Answers to the wire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whybox.v1 import explain_pb2, explanation_pb2
from whybox_server.api.spec import MODALITY_NUMBERS
from whybox_server.api.tensors import from_array
from whybox_server.core.explanation import Attribution
from whybox_server.core.target import Space
from whybox_server.engine.task import Answer, Plan, Progress, Provenance, Update
from whybox_server.engine.view import PictureView, SeriesView, TableView, TensorView, TextView, View, view
from whybox_server.serving.lane import Mode, Usage

SPACE_NUMBERS = {
    Space.LOGIT: explanation_pb2.SCORE_SPACE_LOGIT,
    Space.PROBABILITY: explanation_pb2.SCORE_SPACE_PROBABILITY,
    Space.VALUE: explanation_pb2.SCORE_SPACE_VALUE,
}
MODE_NUMBERS = {
    Mode.FAST: explanation_pb2.MODE_FAST,
    Mode.REPRODUCIBLE: explanation_pb2.MODE_REPRODUCIBLE,
}


def from_answer(answer: Answer) -> explanation_pb2.Explanation:
    """The message of one answer."""
    finding, spec = answer.finding, answer.subject.instance.spec
    message = explanation_pb2.Explanation(
        targets=_targets(finding),
        attribution=_attribution(finding),
        complete=finding.complete,
        warnings=finding.warnings,
        usage=_usage(answer.usage),
        provenance=_provenance(answer.provenance, finding),
    )
    if spec.modality is not None:
        message.subject.modality = MODALITY_NUMBERS[spec.modality]
    _show(view(answer.subject, finding), message.subject)
    return message


def from_plan(plan: Plan) -> explain_pb2.Plan:
    return explain_pb2.Plan(rows=plan.rows, exact=plan.exact, seconds=plan.seconds)


def from_update(update: Update) -> explain_pb2.ExplainStreamResponse:
    """The stream's message of one update."""
    match update:
        case Plan():
            return explain_pb2.ExplainStreamResponse(plan=from_plan(update))
        case Progress(done, planned, instances):
            progress = explain_pb2.Progress(rows_done=done, rows_planned=planned, instances_done=instances)
            return explain_pb2.ExplainStreamResponse(progress=progress)
        case Answer():
            indexed = explain_pb2.IndexedExplanation(index=update.index, explanation=from_answer(update))
            return explain_pb2.ExplainStreamResponse(explanation=indexed)


def _targets(finding: Attribution) -> Sequence[explanation_pb2.Target]:
    chosen, scores = finding.chosen, finding.instance_scores[None]
    values, probabilities = chosen.of(scores)[0], chosen.probabilities(scores)
    return [
        explanation_pb2.Target(
            index=index,
            label=label,
            score=values[i],
            probability=None if probabilities is None else probabilities[0, i],
            space=SPACE_NUMBERS[chosen.targets.space],
        )
        for i, (index, label) in enumerate(zip(chosen.indices, chosen.labels, strict=True))
    ]


def _attribution(finding: Attribution) -> explanation_pb2.Attribution:
    units = finding.units
    message = explanation_pb2.Attribution(
        values=from_array(np.asarray(finding.values, dtype=np.float64)),
        names=units.names,
        base_values=from_array(np.asarray(finding.base_values, dtype=np.float64)),
        quality=[explanation_pb2.Quality(measures=measures) for measures in finding.quality],
        additive=finding.additive,
        instance_shape=units.shape,
        input=units.input,
    )
    for name, segments in units.segments.items():
        message.segments.by_name[name].CopyFrom(from_array(np.asarray(segments, dtype=np.int32)))
    if finding.standard_errors is not None:
        message.standard_errors.CopyFrom(from_array(np.asarray(finding.standard_errors, dtype=np.float64)))
    return message


def _usage(usage: Usage) -> explanation_pb2.Usage:
    return explanation_pb2.Usage(
        rows_planned=usage.rows_planned,
        rows_asked=usage.rows_asked,
        rows_unique=usage.rows_unique,
        rows_cached=usage.rows_cached,
        rows_sent=usage.rows_sent,
        batches=usage.batches,
        mean_fill=usage.fill_sum / usage.batches if usage.batches else 0.0,
        queued_ms=usage.queued_s * 1e3,
        model_ms=usage.model_s * 1e3,
        method_ms=usage.method_s * 1e3,
        wall_ms=usage.wall_s * 1e3,
    )


def _provenance(provenance: Provenance, finding: Attribution) -> explanation_pb2.Provenance:
    return explanation_pb2.Provenance(
        model_digest=provenance.model_digest,
        model=provenance.model,
        method=provenance.method,
        method_version=provenance.method_version,
        seed=provenance.seed,
        mode=MODE_NUMBERS[provenance.mode],
        baseline=finding.baseline,
        segmentation=finding.segmentation,
        libraries=provenance.libraries,
        provider=provenance.provider,
        guesses=provenance.guesses,
        request_id=provenance.request_id,
    )


def _show(shown: View, subject: explanation_pb2.Subject) -> None:
    match shown:
        case PictureView(pixels):
            subject.picture.CopyFrom(from_array(pixels))
        case TextView(pieces, segments):
            subject.text.CopyFrom(explanation_pb2.TextView(pieces=pieces, segments=segments))
        case TableView(names, values):
            subject.table.CopyFrom(explanation_pb2.TableView(names=names, values=values))
        case SeriesView(values, channels):
            series = explanation_pb2.SeriesView(values=from_array(values), channels=channels)
            subject.series.CopyFrom(series)
        case TensorView(values):
            subject.tensor.CopyFrom(from_array(values))
