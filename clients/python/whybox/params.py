"""Python values into proto messages, by name, guided by nothing but the messages' descriptors.

A method that is added to the proto is thereby added to the client and the command line. What stands
here about single messages is shorthand for two that all methods share: what is hidden together
(`Segmentation`) and what "absent" looks like (`Baseline`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from whybox.descriptors import Enum, Field, enum_names
from whybox.errors import ExplainError, Violation, invalid, near, refused
from whybox.tensors import as_array, to_tensor
from whybox.v1 import explain_pb2, tensor_pb2

INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})

# A number in place of a message: the fields it stands for, and the one it fills.
NUMBER_MEANS: dict[str, tuple[dict[str, str], str]] = {
    "whybox.v1.Baseline": ({"kind": "constant"}, "value"),
    "whybox.v1.Segmentation": ({}, "count"),
}
WORDS_FOR_BOOL = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def method_field(name: str) -> Field:
    """The field of `ExplainRequest.method` of this name. Raises ExplainError with the nearest names."""
    methods = {f.name: f for f in explain_pb2.ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields}
    if name not in methods:
        raise invalid("method", f"no method {name!r}; {near(str(name), methods)}")
    return methods[name]


def set_method(request: explain_pb2.ExplainRequest, name: str, params: Mapping[str, Any]) -> None:
    """Choose the method and set its parameters; None leaves one unset. Raises with all violations."""
    message = getattr(request, method_field(name).name)
    message.SetInParent()
    fill(message, params, name)


def fill(message: Message, values: Mapping[str, Any], path: str) -> None:
    """Set fields by name. path: where the message stands in the request. Raises with all violations."""
    known = message.DESCRIPTOR.fields_by_name
    found: list[Violation] = []
    for name, value in values.items():
        where = f"{path}.{name}"
        try:
            if name not in known:
                raise invalid(where, f"no such parameter; {near(str(name), known)}")
            if value is not None:
                _set(message, known[name], value, where)
        except ExplainError as error:
            found.extend(error.violations)
    if found:
        raise refused(found)


def _set(message: Message, field: Field, value: Any, where: str) -> None:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    try:
        if field.is_repeated and field.message_type is not None:
            for number, one in enumerate(_messages(value)):
                _set_message(getattr(message, field.name).add(), one, f"{where}[{number}]")
        elif field.is_repeated:
            getattr(message, field.name).extend(_scalar(field, v, where) for v in _many(value))
        elif field.message_type is None:
            setattr(message, field.name, _scalar(field, value, where))
        else:
            _set_message(getattr(message, field.name), value, where)
    except (
        ValueError,
        TypeError,
        OverflowError,
    ) as error:  # what protobuf raises for numbers that do not fit
        raise invalid(where, f"{value!r} does not fit: {error}") from error


def _set_message(message: Message, value: Any, where: str) -> None:
    message.SetInParent()
    full_name = message.DESCRIPTOR.full_name
    if isinstance(message, tensor_pb2.Tensor):
        message.CopyFrom(to_tensor(value, where))
    elif isinstance(value, Mapping):
        implied = {"kind": "given"} if "given" in value and _has_kind(message) else {}
        fill(message, {**implied, **value}, where)
    elif isinstance(value, str) and _has_kind(message):
        fill(message, {"kind": value}, where)
    elif _is_number(value) and full_name in NUMBER_MEANS:
        implied, number = NUMBER_MEANS[full_name]
        fill(message, {**implied, number: value}, where)
    elif "given" in message.DESCRIPTOR.fields_by_name and as_array(value, where).ndim:
        fill(message, {"kind": "given", "given": value}, where)
    else:
        raise invalid(
            where, f"got {value!r}; pass a dict with {', '.join(message.DESCRIPTOR.fields_by_name)}"
        )


def _scalar(field: Field, value: Any, where: str) -> Any:
    if field.enum_type is not None:
        return enum_number(field.enum_type, value, where)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if isinstance(value, str):
            return value
        raise invalid(where, f"must be a string, got {value!r}")
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if isinstance(value, bool | np.bool_):
            return bool(value)
        raise invalid(where, f"must be True or False, got {value!r}")
    if not _is_number(value):
        raise invalid(where, f"must be a number, got {value!r}")
    if field.cpp_type in INTEGERS and value != int(value):
        raise invalid(where, f"must be a whole number, got {value!r}")
    return int(value) if field.cpp_type in INTEGERS else float(value)


def enum_number(enum: Enum, value: object, where: str) -> int:
    """The number of a choice by its lower-case name. Raises ExplainError with the nearest names."""
    names: dict[str, int] = enum_names(enum)
    name = str(value).lower().replace("-", "_")
    if name not in names:
        raise invalid(where, f"no choice {value!r}; {near(name, names)}")
    return names[name]


def from_text(method: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Parameters of a method from "name=value" as typed in a shell.

    Values are numbers, true or false, choices, lists ("15,15"), JSON for whole messages, or "@FILE.npy".
    Raises ExplainError with all violations.
    """
    known = method_field(method).message_type.fields_by_name
    found: list[Violation] = []
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        where = f"{method}.{name}"
        try:
            if not equals:
                raise invalid(where, "must be written name=value")
            if name not in known:
                raise invalid(where, f"no such parameter; {near(name, known)}")
            values[name] = _typed(known[name], text.strip(), where)
        except ExplainError as error:
            found.extend(error.violations)
    if found:
        raise refused(found)
    return values


def _typed(field: Field, text: str, where: str) -> Any:
    if field.message_type is not None:
        return _typed_message(text, where)
    if field.is_repeated:
        return [_typed_scalar(field, part.strip(), where) for part in text.strip("()[]").split(",")]
    return _typed_scalar(field, text, where)


def _typed_message(text: str, where: str) -> Any:
    if text.startswith("@"):
        try:
            return np.load(Path(text[1:]), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise invalid(where, f"cannot read {text[1:]} as .npy: {error}") from error
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise invalid(where, f"is no JSON: {error}") from error
    return _number(text, text)


def _typed_scalar(field: Field, text: str, where: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text.lower() not in WORDS_FOR_BOOL:
            raise invalid(where, f"must be true or false, got {text!r}")
        return WORDS_FOR_BOOL[text.lower()]
    if field.cpp_type in INTEGERS | FLOATS:
        number = _number(text, None)
        if number is None:
            raise invalid(where, f"must be a number, got {text!r}")
        return number
    return text


def _number(text: str, otherwise: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return otherwise


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _has_kind(message: Message) -> bool:
    return "kind" in message.DESCRIPTOR.fields_by_name


def _messages(value: Any) -> Sequence[Any]:
    """Several messages are a list; anything else is one, an array too."""
    return value if isinstance(value, list | tuple) else [value]


def _many(value: Any) -> Sequence[Any]:
    """One value serves for a list of one."""
    if isinstance(value, np.ndarray):
        return list(value.ravel())
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
