"""Parameters as people write them, in proto3 JSON: what the Python client understands, and texts for everything.

The gRPC of the Open Inference Protocol has texts, whole numbers and truth values only, so that fractions, lists and
objects come as texts there. Nothing is checked here: what is not understood stays as it is, and is refused by the
message it was meant for.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from google.protobuf.descriptor import FieldDescriptor as Kinds

Field = Any  # its class depends on how protobuf was built
TENSOR, TARGET = "whybox.v1.Tensor", "whybox.v1.TargetChoice"
# A number in place of a message: the field that it fills, and what that implies.
NUMBER_MEANS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "whybox.v1.Baseline": ("value", {"kind": "CONSTANT"}),
    "whybox.v1.Segmentation": ("count", {}),
    TARGET: ("index", {}),
}
NUMBERS = (Kinds.CPPTYPE_DOUBLE, Kinds.CPPTYPE_FLOAT)
WHOLE = (Kinds.CPPTYPE_INT32, Kinds.CPPTYPE_INT64, Kinds.CPPTYPE_UINT32, Kinds.CPPTYPE_UINT64)
CHOICE = re.compile(r"(top|label):(.+)", re.DOTALL)  # the client's words for targets that are no plain label
TRUTH = {"true": True, "false": False}
DTYPES = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64", "U": "STRING"}


def spelt(field: Field, value: Any) -> Any:
    """A field's value in proto3 JSON."""
    several = field.is_repeated and not _is_map(field)
    if isinstance(value, str) and (several or field.message_type is not None):
        value = _read(value)
    if several:
        return [_one(field, each) for each in (value if isinstance(value, list) else [value])]
    return value if _is_map(field) else _one(field, value)


def _one(field: Field, value: Any) -> Any:
    if field.message_type is not None:
        return _message(field.message_type, value)
    if not isinstance(value, str):
        return value
    if field.enum_type is not None:
        return value.strip().upper().replace("-", "_")
    if field.cpp_type == Kinds.CPPTYPE_BOOL:
        return TRUTH.get(value.strip().lower(), value)
    return _number(value) if field.cpp_type in (*NUMBERS, *WHOLE) else value


def _message(descriptor: Any, value: Any) -> Any:
    name, fields = descriptor.full_name, descriptor.fields_by_name
    if isinstance(value, dict):
        kind = {"kind": "GIVEN"} if "given" in value and "given" in fields else {}
        said = {key: spelt(fields[key], one) if key in fields else one for key, one in value.items()}
        return {**kind, **said} if name != TENSOR else value
    if name == TENSOR:
        return _tensor(value)
    if isinstance(value, str) and name == TARGET:
        chosen = CHOICE.fullmatch(value)
        return {chosen[1]: chosen[2]} if chosen else {"label": value}
    if isinstance(value, str) and "kind" in fields:
        value = _number(value)
        if isinstance(value, str):
            return {"kind": _one(fields["kind"], value)}
    if isinstance(value, int | float) and not isinstance(value, bool) and name in NUMBER_MEANS:
        filled, implied = NUMBER_MEANS[name]
        return {**implied, filled: value}
    if isinstance(value, list) and "given" in fields:
        return {"kind": "GIVEN", "given": _tensor(value)}
    return value


def _tensor(value: Any) -> Any:
    """A list of numbers, or one number, as a tensor."""
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return value
    try:
        array = np.array(value)
    except (ValueError, OverflowError):  # ragged: where, is found when it is read
        return {"dtype": "FP64", "data": value}
    dtype = DTYPES.get(array.dtype.kind, "FP64")
    if isinstance(value, list):
        return {"dtype": dtype, "data": value}
    little = np.asarray(array, "<i8" if dtype == "INT64" else "<f8")
    return {"dtype": "INT64" if dtype == "INT64" else "FP64", "data": base64.b64encode(little.tobytes()).decode()}


def _read(text: str) -> Any:
    """A list or an object that was written into a text."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return text
    return found


def _number(text: str) -> Any:
    """The finite number that a text is, or the text."""
    for kind in (int, float):
        try:
            number: float = kind(text)
        except ValueError:
            continue
        return number if isinstance(number, int) or math.isfinite(number) else text
    return text


def _is_map(field: Field) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
