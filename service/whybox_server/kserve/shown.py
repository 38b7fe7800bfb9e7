"""An explanation as plain JSON values: numbers where proto3 JSON has texts, and tensors that anybody can read."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from whybox.v1 import explanation_pb2, tensor_pb2
from whybox_server.api.tensors import to_array
from whybox_server.http.encode import Style, number, plain_values

SUBJECT = "subject"
OWN_SUBJECT = frozenset({"whybox.v1.Explanation.subject"})  # those of counterparts are findings
# Its views that are but what the caller sent.
REPEATED = frozenset(f"whybox.v1.Subject.{view}" for view in ("picture", "tensor", "series"))
DTYPE_PREFIX = "DATA_TYPE_"
MOST_EXACT = 1 << 53  # of a double, as which most readers take a number


def shown(explanation: explanation_pb2.Explanation, given: Mapping[str, Any]) -> dict[str, Any]:
    """Field by field, with the proto's names, and what it was asked with as `parameters`.

    given: parameters of the request. Of them, `tensors` ("list" or "base64") says how elements are written, and
    `subject` whether a picture, tensor or series is sent back to who sent it.
    """
    style = CODED if given.get("tensors") == "base64" else LISTS
    found = plain_values(explanation, replace(style, without=OWN_SUBJECT))
    if explanation.HasField(SUBJECT):
        whole = str(given.get(SUBJECT, "false")).lower() == "true"
        found[SUBJECT] = plain_values(explanation.subject, style if whole else replace(style, without=REPEATED))
    return {**found, "parameters": dict(given)}


def _whole(value: int) -> int | str:
    return value if abs(value) <= MOST_EXACT else str(value)


def _list(tensor: tensor_pb2.Tensor) -> dict[str, Any]:
    array = to_array(tensor, "tensor")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        flat = np.empty(array.size, object)
        flat[:] = [number(value) for value in array.ravel().tolist()]
        array = flat.reshape(array.shape)
    return {**_header(tensor), "data": array.tolist()}


def _coded(tensor: tensor_pb2.Tensor) -> dict[str, Any]:
    """Base64 of little-endian bytes; texts are a list all the same."""
    if tensor.dtype == tensor_pb2.DATA_TYPE_STRING:
        return _list(tensor)
    return {**_header(tensor), "data": base64.b64encode(tensor.data).decode()}


def _header(tensor: tensor_pb2.Tensor) -> dict[str, Any]:
    name = tensor_pb2.DataType.Name(tensor.dtype).removeprefix(DTYPE_PREFIX)
    return {"dtype": name, "shape": list(tensor.shape)}


LISTS, CODED = Style(_whole, _list, zeros=True), Style(_whole, _coded, zeros=True)
