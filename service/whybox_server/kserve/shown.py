"""An explanation as plain JSON values: proto3 JSON, but for tensors, which are lists that anybody can read."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor as Kinds
from google.protobuf.message import Message

from whybox.v1 import explanation_pb2, tensor_pb2
from whybox_server.api.tensors import to_array

SUBJECT = "subject"
REPEATED = ("picture", "tensor", "series")  # views of a subject that are but what the caller sent
LONG = (Kinds.CPPTYPE_INT64, Kinds.CPPTYPE_UINT64)  # which JSON's readers may round
DTYPE_PREFIX = "DATA_TYPE_"


def shown(explanation: explanation_pb2.Explanation, given: Mapping[str, Any]) -> dict[str, Any]:
    """Field by field, with the proto's names, and what it was asked with as `parameters`.

    given: parameters of the request. Of them, `tensors` ("list" or "base64") says how elements are written, and
    `subject` whether a picture, tensor or series is sent back to who sent it.
    """
    lists = given.get("tensors") != "base64"
    found = _object(explanation, lists=lists, without=(SUBJECT,))
    if explanation.HasField(SUBJECT):
        kept = str(given.get(SUBJECT, "false")).lower() == "true"
        found[SUBJECT] = _object(explanation.subject, lists=lists, without=() if kept else REPEATED)
    return {**found, "parameters": dict(given)}


def _object(message: Message, *, lists: bool, without: Collection[str] = ()) -> dict[str, Any]:
    if isinstance(message, tensor_pb2.Tensor):
        return _tensor(message, lists=lists)
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in without:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            found[field.name] = {str(key): _plain(of, value[key], lists=lists) for key in sorted(value)}
        elif field.is_repeated:
            found[field.name] = [_plain(field, one, lists=lists) for one in value]
        else:
            found[field.name] = _plain(field, value, lists=lists)
    return found


def _plain(field: Any, value: Any, *, lists: bool) -> Any:
    if field.message_type is not None:
        return _object(value, lists=lists)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return _number(value)
    return str(value) if field.cpp_type in LONG else value


def _tensor(tensor: tensor_pb2.Tensor, *, lists: bool) -> dict[str, Any]:
    """Texts are lists either way."""
    name = tensor_pb2.DataType.Name(tensor.dtype).removeprefix(DTYPE_PREFIX)
    found: dict[str, Any] = {"dtype": name, "shape": list(tensor.shape)}
    if not lists and tensor.dtype != tensor_pb2.DATA_TYPE_STRING:
        return {**found, "data": base64.b64encode(tensor.data).decode()}
    array = to_array(tensor, "tensor")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        flat = np.empty(array.size, object)
        flat[:] = [_number(value) for value in array.ravel().tolist()]
        array = flat.reshape(array.shape)
    return {**found, "data": array.tolist()}


def _number(value: float) -> float | str:
    """JSON has no word for what is not finite; these are protobuf's."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
