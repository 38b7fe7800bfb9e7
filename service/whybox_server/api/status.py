"""Errors to gRPC statuses: one table, and google.rpc details that a program can read."""

from __future__ import annotations

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from whybox_server.core.errors import InvalidRequest, Overloaded, Reason, WhyboxError

DOMAIN = "whybox.dev"
MAX_VIOLATIONS = 20
MAX_STATUS_BYTES = 4096  # gRPC drops larger metadata at random, and the call's error with it
MAX_TEXT = 1000

CODES: dict[Reason, int] = {
    Reason.INVALID_FIELD: code_pb2.INVALID_ARGUMENT,
    Reason.INPUT_SIGNATURE_MISMATCH: code_pb2.INVALID_ARGUMENT,
    Reason.UNKNOWN_MODEL: code_pb2.NOT_FOUND,
    Reason.METHOD_UNSUPPORTED_FOR_MODEL: code_pb2.FAILED_PRECONDITION,
    Reason.MODEL_REJECTED: code_pb2.FAILED_PRECONDITION,
    Reason.UPLOAD_BROKEN: code_pb2.INVALID_ARGUMENT,
    Reason.MODEL_EXECUTION_FAILED: code_pb2.INVALID_ARGUMENT,
    Reason.MODEL_OUTPUT_INVALID: code_pb2.INVALID_ARGUMENT,
    Reason.QUERY_BUDGET_EXCEEDED: code_pb2.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: code_pb2.RESOURCE_EXHAUSTED,
    Reason.TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
    Reason.SERVER_DRAINING: code_pb2.UNAVAILABLE,
    Reason.DEADLINE: code_pb2.DEADLINE_EXCEEDED,
    Reason.INTERNAL: code_pb2.INTERNAL,
    Reason.ENDPOINT_UNREACHABLE: code_pb2.UNAVAILABLE,
    Reason.ENDPOINT_REFUSED: code_pb2.FAILED_PRECONDITION,
    Reason.EGRESS_DENIED: code_pb2.PERMISSION_DENIED,
    Reason.ENDPOINT_BUDGET_SPENT: code_pb2.RESOURCE_EXHAUSTED,
}



def to_status(error: WhyboxError, request_id: str) -> status_pb2.Status:
    """What the caller is told. The text of a defect of ours stays in the log."""
    if error.reason is Reason.INTERNAL:
        message = f"internal error; the server's log has it under request id {request_id}"
        metadata = {}
    else:
        message, metadata = str(error)[:MAX_TEXT], dict(error.details)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    for key, value in {**metadata, "request_id": request_id}.items():
        info.metadata[key] = value[:MAX_TEXT]
    status = status_pb2.Status(code=CODES[error.reason], message=message)
    for detail in (info, *_extra(error)):
        packed = any_pb2.Any()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() <= MAX_STATUS_BYTES:
            status.details.append(packed)
    return status


def _extra(
    error: WhyboxError,
) -> list[error_details_pb2.BadRequest | error_details_pb2.RetryInfo | error_details_pb2.QuotaFailure]:
    if isinstance(error, InvalidRequest):
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:MAX_VIOLATIONS]:
            bad.field_violations.add(field=violation.field, description=violation.description[:200])
        while bad.ByteSize() > MAX_STATUS_BYTES // 2:
            del bad.field_violations[-1]
        return [bad]
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    if error.reason is Reason.QUERY_BUDGET_EXCEEDED:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject="max_queries", description=str(error)[:200])
        return [quota]
    return []
