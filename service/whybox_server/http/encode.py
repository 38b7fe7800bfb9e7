"""Messages to JSON, and errors to HTTP: google.rpc.Status in the body, its code in the standard table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Kinds
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from whybox.v1 import tensor_pb2

JSON = "application/json"
OWN_PACKAGE = "whybox."
LONG = (Kinds.CPPTYPE_INT64, Kinds.CPPTYPE_UINT64)
REAL = (Kinds.CPPTYPE_DOUBLE, Kinds.CPPTYPE_FLOAT)
COUNTED = (*LONG, *REAL, Kinds.CPPTYPE_INT32, Kinds.CPPTYPE_UINT32, Kinds.CPPTYPE_BOOL)
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


@dataclass(frozen=True, slots=True)
class Style:
    """How a message is written where proto3 JSON is not all that is wanted.

    whole: of 64-bit integers. arrays: of tensors; None: field by field. without: fields left out, by full name.
    zeros: numbers, truth values and lists are there even if they are 0, false or empty.
    """

    whole: Callable[[int], Any] = str
    arrays: Callable[[tensor_pb2.Tensor], Any] | None = None
    without: frozenset[str] = frozenset()
    zeros: bool = False


PROTO3 = Style()


def to_json(message: Message) -> bytes:
    """proto3 JSON with the names of the proto; bytes are base64, 64-bit integers are texts."""
    return msgspec.json.encode(plain_values(message))


def plain_values(message: Message, style: Style = PROTO3) -> dict[str, Any]:
    """As `MessageToDict` has it, but bytes stay bytes: msgspec writes them as base64, without a copy in between."""
    if not message.DESCRIPTOR.full_name.startswith(OWN_PACKAGE):
        # google.rpc.Status holds Any, whose JSON is another matter.
        known: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
        return known
    there = {
        field.name: _value(field, value, style)
        for field, value in message.ListFields()
        if field.full_name not in style.without
    }
    return {**_zeros(message.DESCRIPTOR), **there} if style.zeros else there


@cache
def _zeros(descriptor: Any) -> Mapping[str, Any]:
    """What numbers, truth values and lists of a message are as long as nobody sets them."""
    lists = [field for field in descriptor.fields if field.is_repeated and not _is_map(field)]
    plain = [field for field in descriptor.fields if not (field.is_repeated or field.has_presence or field.enum_type)]
    counted = {field.name: field.default_value for field in plain if field.cpp_type in COUNTED}
    return {**counted, **{field.name: () for field in lists}}


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _value(field: Any, value: Any, style: Style) -> Any:
    if _is_map(field):
        one = _written(field.message_type.fields_by_name["value"], style)
        return {str(key): one(item) for key, item in value.items()}  # keys are texts or whole numbers
    one = _written(field, style)
    return [one(item) for item in value] if field.is_repeated else one(value)


def _written(field: Any, style: Style) -> Callable[[Any], Any]:
    """What makes JSON of one value of that field."""
    if field.message_type is not None:
        if style.arrays is not None and field.message_type is tensor_pb2.Tensor.DESCRIPTOR:
            return style.arrays
        return lambda message: plain_values(message, style)
    if field.enum_type is not None:
        return lambda chosen: _named(field.enum_type.values_by_number, chosen)
    if field.cpp_type in LONG:
        return style.whole
    return number if field.cpp_type in REAL else _same


def _named(values: Mapping[int, Any], chosen: int) -> str | int:
    """The name of an enum's value; a number that is none of them stays one."""
    return values[chosen].name if chosen in values else chosen


def _same(value: Any) -> Any:
    return value


def number(value: float) -> float | str:
    """JSON has no word for what is not finite; these are protobuf's."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def retry_after(status: status_pb2.Status) -> str | None:
    """Whole seconds after which to come again, if the status says so."""
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            delay = info.retry_delay
            return str(math.ceil(delay.seconds + delay.nanos / 1e9))
    return None
