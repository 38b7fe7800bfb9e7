"""When a server asks to be asked again: Retry-After of HTTP, pushback and RetryInfo of gRPC.

Each reader gives seconds from now, None if nothing (readable) was said, and infinity for "not again".
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


def retry_after(value: str, now: datetime) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3): whole seconds or a date; a date that is past is 0.

    now: aware, UTC.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 10 else math.inf
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    if then.tzinfo is None:  # "-0000" means UTC that nobody vouches for
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def pushback(value: str) -> float | None:
    """A grpc-retry-pushback-ms (gRFC A6): anything that is no number of milliseconds means "not again"."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return int(value) / 1e3
    return math.inf


def retry_info(details: bytes) -> float | None:
    """The RetryInfo in a grpc-status-details-bin."""
    status = status_pb2.Status()
    info = error_details_pb2.RetryInfo()
    try:
        status.ParseFromString(details)
        for detail in status.details:
            if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
                seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                return max(0.0, seconds)
    except DecodeError:
        return None
    return None
