"""Answers to the wire."""

from __future__ import annotations

from whybox.v1 import explain_pb2, explanation_pb2
from whybox_server.api.results import add_result, targets
from whybox_server.api.spec import MODALITY_NUMBERS
from whybox_server.api.views import show
from whybox_server.core.explanation import Finding
from whybox_server.engine.task import Answer, Plan, Progress, Provenance
from whybox_server.engine.view import view
from whybox_server.serving.lane import Mode, Usage

MODE_NUMBERS = {
    Mode.FAST: explanation_pb2.MODE_FAST,
    Mode.REPRODUCIBLE: explanation_pb2.MODE_REPRODUCIBLE,
}


def from_answer(answer: Answer) -> explanation_pb2.Explanation:
    """The message of one answer."""
    finding, spec = answer.finding, answer.subject.instance.spec
    message = explanation_pb2.Explanation(
        targets=targets(finding.chosen, finding.instance_scores),
        complete=finding.complete,
        warnings=finding.warnings,
        usage=_usage(answer.usage),
        provenance=_provenance(answer.provenance, finding),
    )
    if spec.modality is not None:
        message.subject.modality = MODALITY_NUMBERS[spec.modality]
    show(view(answer.subject, finding.units), message.subject)
    add_result(finding, answer.subject, message)
    return message


def from_plan(plan: Plan) -> explain_pb2.Plan:
    message = explain_pb2.Plan(rows=plan.rows, exact=plan.exact, seconds=plan.seconds)
    if plan.bill is not None:
        message.calls, message.currency = plan.bill.calls, plan.bill.currency
        if plan.bill.cost is not None:
            message.cost = plan.bill.cost
    return message


def from_progress(progress: Progress) -> explain_pb2.Progress:
    return explain_pb2.Progress(
        rows_done=progress.rows_done,
        rows_planned=progress.rows_planned,
        instances_done=progress.instances_done,
    )


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


def _provenance(provenance: Provenance, finding: Finding) -> explanation_pb2.Provenance:
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
        nodes=provenance.nodes,
        guesses=provenance.guesses,
        request_id=provenance.request_id,
        protocol=provenance.served.protocol,
        model_version=provenance.served.version,
        determinism=provenance.served.determinism,
    )
