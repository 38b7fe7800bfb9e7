"""Everything that can go wrong for a reason the caller should know.

Each error carries a `Reason` and the facts a caller can act on; `api.status` maps reasons to gRPC
status codes in one table. Whatever is not a `WhyboxError` is a defect of ours.

    WhyboxError
    ├── InvalidRequest      every violation at once
    ├── InputMismatch       an instance does not fit the model
    ├── UnknownModel
    ├── MethodUnsupported   this method cannot explain this model
    ├── ModelRejected       the file is no model, or one that we do not run
    ├── UploadBroken
    ├── ModelFailed         the model raised, on these rows
    ├── ModelOutputInvalid  NaN, wrong number of rows
    │   └── ReplyUnreadable  of an endpoint that has never answered as declared
    ├── EndpointUnreachable / EndpointRefused / EgressDenied / EndpointBudgetSpent
    ├── BudgetSpent         thrown into a method; it may answer with what it has
    ├── Overloaded / TooLarge / Draining / DeadlineExceeded
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Self

MOST_ROWS_NAMED = 10


class Reason(Enum):
    """Names of `whybox.v1.ErrorReason` without their prefix."""

    INVALID_FIELD = "INVALID_FIELD"
    INPUT_SIGNATURE_MISMATCH = "INPUT_SIGNATURE_MISMATCH"
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    METHOD_UNSUPPORTED_FOR_MODEL = "METHOD_UNSUPPORTED_FOR_MODEL"
    MODEL_REJECTED = "MODEL_REJECTED"
    UPLOAD_BROKEN = "UPLOAD_BROKEN"
    MODEL_EXECUTION_FAILED = "MODEL_EXECUTION_FAILED"
    MODEL_OUTPUT_INVALID = "MODEL_OUTPUT_INVALID"
    QUERY_BUDGET_EXCEEDED = "QUERY_BUDGET_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    TOO_LARGE = "TOO_LARGE"
    SERVER_DRAINING = "SERVER_DRAINING"
    DEADLINE = "DEADLINE"
    INTERNAL = "INTERNAL"
    ENDPOINT_UNREACHABLE = "ENDPOINT_UNREACHABLE"
    ENDPOINT_REFUSED = "ENDPOINT_REFUSED"
    EGRESS_DENIED = "EGRESS_DENIED"
    ENDPOINT_BUDGET_SPENT = "ENDPOINT_BUDGET_SPENT"


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: its path in the request, what is wrong, and what to do instead."""

    field: str
    description: str


class WhyboxError(Exception):
    """An error with a reason. `details` are short strings that a program can read."""

    reason: Reason = Reason.INTERNAL

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details: Mapping[str, str] = {key: str(value) for key, value in details.items()}


class InvalidRequest(WhyboxError):
    """One or more fields are wrong; all of them are listed."""

    reason = Reason.INVALID_FIELD

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = tuple(violations)

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequest:
        """A single violation."""
        return cls([Violation(field, description)])


class InputMismatch(WhyboxError):
    reason = Reason.INPUT_SIGNATURE_MISMATCH


class UnknownModel(WhyboxError):
    reason = Reason.UNKNOWN_MODEL


class MethodUnsupported(WhyboxError):
    reason = Reason.METHOD_UNSUPPORTED_FOR_MODEL


class ModelRejected(WhyboxError):
    """`rule` names the check that failed."""

    reason = Reason.MODEL_REJECTED


class UploadBroken(WhyboxError):
    reason = Reason.UPLOAD_BROKEN


class RowsError(WhyboxError):
    """The model is at fault, on these rows of what was asked; none: on no row in particular."""

    def __init__(self, message: str, rows: Iterable[int] = (), **details: object) -> None:
        self.message = message
        self.rows = tuple(rows)
        named = name_rows(self.rows)
        about = {"rows": named} if named else {}
        super().__init__(f"on row {named}: {message}" if named else message, **{**details, **about})

    def moved(self, places: Sequence[int]) -> Self:
        """The same error for someone to whom row i is row places[i]."""
        moved = type(self)(self.message, (int(places[row]) for row in self.rows))
        moved.details = {**self.details, **moved.details}
        return moved


class ModelFailed(RowsError):
    reason = Reason.MODEL_EXECUTION_FAILED


class ModelOutputInvalid(RowsError):
    reason = Reason.MODEL_OUTPUT_INVALID


def name_rows(rows: Sequence[int]) -> str:
    """Rows as a reader writes them: "17", "0-15", "3,7,..."."""
    if len(rows) > 1 and rows == tuple(range(rows[0], rows[-1] + 1)):
        return f"{rows[0]}-{rows[-1]}"
    return ",".join(map(str, rows[:MOST_ROWS_NAMED])) + (",..." if len(rows) > MOST_ROWS_NAMED else "")


class BudgetSpent(WhyboxError):
    """Thrown into a method whose query does not fit; `left` different rows may still be asked."""

    reason = Reason.QUERY_BUDGET_EXCEEDED

    def __init__(self, needed: int, left: int) -> None:
        super().__init__(
            f"{needed} more rows are needed and {left} are left; raise max_queries or the deadline",
            needed=needed,
            allowed=left,
        )
        self.left = left


class Overloaded(WhyboxError):
    """`retry_after_s` predicts when there will be room."""

    reason = Reason.OVERLOADED

    def __init__(self, message: str, retry_after_s: float, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class Draining(Overloaded):
    reason = Reason.SERVER_DRAINING


class TooLarge(WhyboxError):
    reason = Reason.TOO_LARGE


class DeadlineExceeded(WhyboxError):
    reason = Reason.DEADLINE


class ReplyUnreadable(ModelOutputInvalid):
    """An endpoint that has never answered as declared: no row is at fault, and none is asked again."""


class EndpointUnreachable(WhyboxError):
    reason = Reason.ENDPOINT_UNREACHABLE


class EndpointRefused(WhyboxError):
    reason = Reason.ENDPOINT_REFUSED


class EgressDenied(WhyboxError):
    reason = Reason.EGRESS_DENIED


class EndpointBudgetSpent(WhyboxError):
    """Not one call more is made."""

    reason = Reason.ENDPOINT_BUDGET_SPENT
