"""Messages to JSON, and errors to HTTP: google.rpc.Status in the body, its code in the standard table."""

from __future__ import annotations

import math

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

JSON = "application/json"
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto says which HTTP status each maps to.
STATUSES = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}


def to_json(message: Message) -> bytes:
    """proto3 JSON with the names of the proto; bytes are base64, 64-bit integers are texts."""
    return msgspec.json.encode(json_format.MessageToDict(message, preserving_proto_field_name=True))


def retry_after(status: status_pb2.Status) -> str | None:
    """Whole seconds after which to come again, if the status says so."""
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            delay = info.retry_delay
            return str(math.ceil(delay.seconds + delay.nanos / 1e9))
    return None
