"""Errors on the wire: the right code, details a program can read, nothing of our insides."""

import pytest
from google.rpc import error_details_pb2

from whybox.v1 import error_reason_pb2
from whybox_server.api.status import CODES, MAX_STATUS_BYTES, to_status
from whybox_server.core.errors import InvalidRequest, Overloaded, Reason, Violation, WhyboxError


def detail(status, kind):  # type: ignore[no-untyped-def]
    found = kind()
    for packed in status.details:
        if packed.Unpack(found):
            return found
    return None


def test_every_reason_has_a_code_and_a_name_in_the_proto() -> None:
    """The three lists are one list."""
    proto = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}
    assert proto == {reason.value for reason in Reason} == {reason.value for reason in CODES}


def test_every_violation_is_listed() -> None:
    """Field paths and descriptions come back as they were."""
    status = to_status(InvalidRequest([Violation("a", "too small"), Violation("b.c", "unknown")]), "id-1")
    listed = detail(status, error_details_pb2.BadRequest).field_violations
    assert [(v.field, v.description) for v in listed] == [("a", "too small"), ("b.c", "unknown")]
    assert detail(status, error_details_pb2.ErrorInfo).reason == "INVALID_FIELD"


def test_a_thousand_violations_stay_below_what_grpc_can_carry() -> None:
    """gRPC drops larger metadata at random; the reason survives."""
    many = [Violation(f"instances[{i}].tensors['a long name {i}']", "x" * 500) for i in range(1000)]
    status = to_status(InvalidRequest(many), "id-1")
    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert detail(status, error_details_pb2.ErrorInfo).reason == "INVALID_FIELD"
    assert len(detail(status, error_details_pb2.BadRequest).field_violations) > 0


def test_a_defect_tells_its_id_and_not_its_text() -> None:
    """The text may hold anything: an input, a path, a password."""
    status = to_status(WhyboxError("password is hunter2", secret="hunter2"), "id-1")
    assert b"hunter2" not in status.SerializeToString()
    assert "id-1" in status.message


@pytest.mark.parametrize("seconds", [0.5, 12.25])
def test_overload_says_when_to_come_again(seconds: float) -> None:
    """RetryInfo, to the nanosecond."""
    retry = detail(to_status(Overloaded("full", seconds), "id-1"), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToNanoseconds() == seconds * 1e9
