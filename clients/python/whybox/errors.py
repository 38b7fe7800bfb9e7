"""The one exception of the client, and how it is read from what a server sent.

It knows the standard details of `google.rpc` and the reasons of `whybox.v1.ErrorReason`; it knows
nothing of channels, so the synchronous and the asynchronous client share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_KEY = "grpc-status-details-bin"

# What to do when the answer came from the transport and not from a whybox server, which says it itself.
REMEDIES = {
    "UNAVAILABLE": "no server answers there: start one with `whybox serve`, check host and port, "
    "or use whybox.local() (on the command line: leave out --server)",
    "DEADLINE_EXCEEDED": "raise `timeout`, or ask fewer rows (`max_queries`, or the method's own parameters)",
    "UNIMPLEMENTED": "the server does not know this call: it is older than this client, or no whybox server",
    "RESOURCE_EXHAUSTED": "a message is larger than the server or this client takes: explain fewer "
    "instances at once, or raise the limit",
    "UNAUTHENTICATED": "pass `credentials`, `tls_ca` or `metadata` to the client",
    "PERMISSION_DENIED": "ask the operator of the server for access",
    "CANCELLED": "the call was cancelled before an answer came",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: its path in the request, and what is wrong with it."""

    field: str
    description: str


class ExplainError(Exception):
    """An explanation that could not be had, and why.

    code: name of the gRPC status, for example "INVALID_ARGUMENT".
    reason: name in `whybox.v1.ErrorReason`, for example "UNKNOWN_MODEL"; "" when no whybox server said it.
    details: facts that a program can read, for example {"model": "models/nope", "near": "models/note"}.
    violations: every wrong field, when fields are wrong.
    retry_after_s: seconds after which it may work, when the server said so.
    remedy: what to do about it, when the message does not say it itself.
    remote: False when this client refused the request before sending anything.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "INVALID_ARGUMENT",
        reason: str = "INVALID_FIELD",
        details: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        remedy: str = "",
        remote: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.details = dict(details or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.remedy = remedy
        self.remote = remote

    def __str__(self) -> str:
        parts = [self.message, *(f"  {v.field}: {v.description}" for v in self._unsaid())]
        if self.remedy:
            parts.append(f"  {self.remedy}")
        if self.retry_after_s is not None:
            parts.append(f"  try again in {self.retry_after_s:.3g} s")
        return "\n".join(parts)

    def _unsaid(self) -> list[Violation]:
        return [v for v in self.violations if v.description not in self.message]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.message, {**self.__dict__, "message": None})


def _rebuilt(message: str, state: dict[str, Any]) -> ExplainError:
    return ExplainError(message, **{key: value for key, value in state.items() if key != "message"})


def refused(violations: Sequence[Violation]) -> ExplainError:
    """The error for fields that are wrong before anything was sent."""
    message = "; ".join(f"{v.field}: {v.description}" for v in violations)
    return ExplainError(message, violations=violations)


def invalid(field: str, description: str) -> ExplainError:
    """The error for a single wrong field."""
    return refused([Violation(field, description)])


def near(name: str, known: Iterable[str]) -> str:
    """Ends a sentence about an unknown name: the nearest known ones, or all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "there are " + ", ".join(names) if names else "there are none"


class Failed(Protocol):
    """What `grpc.RpcError` and `grpc.aio.AioRpcError` have in common in practice."""

    def code(self) -> Any: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


def from_rpc(failed: Failed, target: str) -> ExplainError:
    """Read the error of a call to the server at `target`."""
    code = failed.code().name
    status = _status(failed.trailing_metadata() or ())
    info, fields, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for detail in status.details:
        if not detail.Unpack(info) and not detail.Unpack(fields):
            delay = error_details_pb2.RetryInfo()
            if detail.Unpack(delay):
                retry = delay.retry_delay.ToTimedelta().total_seconds()
    message = status.message or failed.details() or "the call failed and no reason was given"
    if not info.reason:
        message = f"{target}: {message}"
    return ExplainError(
        message,
        code=code,
        reason=info.reason,
        details=info.metadata,
        violations=[Violation(v.field, v.description) for v in fields.field_violations],
        retry_after_s=retry,
        remedy="" if info.reason else REMEDIES.get(code, ""),
        remote=True,
    )


def _status(metadata: Iterable[tuple[str, Any]]) -> status_pb2.Status:
    """The rich status of a call; an empty one when there is none or it is damaged."""
    for key, value in metadata:
        if key == STATUS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()
