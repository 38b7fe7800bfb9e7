"""JSON to the messages of our contract: proto3 JSON, with tensors also as lists of numbers.

Names are accepted as the proto spells them and in camelCase, enum values also without their prefix. Every
violation is listed at once, by its place in the request.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Kinds
from google.protobuf.message import Message

from whybox.v1 import tensor_pb2
from whybox_server.api.decode import Findings
from whybox_server.core.errors import InvalidRequest
from whybox_server.http.tensors import fill_elements

Field = Any  # its class depends on how protobuf was built
BODY = "body"
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
MOST_SHOWN = 60  # characters of a name that a caller made up
WANTED = {
    Kinds.CPPTYPE_INT32: "a whole number of 32 bits",
    Kinds.CPPTYPE_UINT32: "a whole number of 32 bits, not negative",
    Kinds.CPPTYPE_INT64: "a whole number of 64 bits",
    Kinds.CPPTYPE_UINT64: "a whole number of 64 bits, not negative",
    Kinds.CPPTYPE_DOUBLE: "a number",
    Kinds.CPPTYPE_FLOAT: "a number",
    Kinds.CPPTYPE_BOOL: "true or false",
    Kinds.CPPTYPE_STRING: "a text",
}


def parse(body: bytes) -> Any:
    """What the JSON says. Raises InvalidRequest naming the place where it is none, or a number is not finite."""
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise InvalidRequest.of(BODY, "is nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest.of(*_why(body, str(error))) from None


def _why(body: bytes, said: str) -> tuple[str, str]:
    """Where and why; numbers that JSON has no way to write are what people send most."""
    try:
        place = _endless(json.loads(body), "")
    except (ValueError, RecursionError):
        place = None
    if place is None:
        return BODY, f"is no JSON: {said}"
    return place or BODY, "must be a finite number"


def _endless(value: Any, path: str) -> str | None:
    """Path of the first number that is not finite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, list):
        inner = ((f"{path}[{n}]", one) for n, one in enumerate(value))
    elif isinstance(value, dict):
        inner = ((_join(path, key), one) for key, one in value.items())
    return next((found for at, one in inner if (found := _endless(one, at)) is not None), None)


def to_message(made: type[Message], given: Any, held: Mapping[str, str], found: Findings) -> Message:
    """given: of the body. held: fields that the path holds, which the body may repeat but not contradict."""
    message = made()
    fill(message, given, "", found)
    for name, value in held.items():
        if getattr(message, name) not in ("", value):
            found.add(name, f"the path says {value}, the body something else")
        _scalar(message, message.DESCRIPTOR.fields_by_name[name], value, name, found)
    return message


def from_query(
    made: type[Message], query: Iterable[tuple[str, str]], held: Mapping[str, str], found: Findings
) -> Message:
    """Scalar fields by name, each at most once."""
    given: dict[str, Any] = {}
    for name, value in query:
        if name in given or name in held:
            found.add(_short(name), "is given twice")
        given[name] = value
    return to_message(made, {name: value for name, value in given.items() if name not in held}, held, found)


def fill(message: Message, given: Any, path: str, found: Findings) -> None:
    """Set what an object says; path: of the message in the request, "" for all of it."""
    if not isinstance(given, dict):
        found.add(path or BODY, f"must be an object, got {_kind(given)}")
        return
    seen: set[str] = set()
    elements = None
    for key, value in given.items():
        field = _field(message, key)
        if field is None:
            found.add(_join(path, key), f"no such field; there are {', '.join(_names(message)) or 'none'}")
            continue
        place = _join(path, field.name)
        if field.name in seen:
            found.add(place, "is given twice")
        elif value is not None:
            seen.add(field.name)
            if _crowded(message, field):
                there = message.WhichOneof(field.containing_oneof.name)
                found.add(place, f"only one of {there} and {field.name} may be given")
            elif isinstance(message, tensor_pb2.Tensor) and field.name == "data":
                elements = value
            else:
                _set(message, field, value, place, found)
    if isinstance(message, tensor_pb2.Tensor) and elements is not None:
        fill_elements(message, elements, _join(path, "data"), found)


def _set(message: Message, field: Field, value: Any, path: str, found: Findings) -> None:
    if field.message_type is None:
        _scalar(message, field, value, path, found)
    elif field.message_type.GetOptions().map_entry:
        _map(message, field, value, path, found)
    elif field.is_repeated:
        if not isinstance(value, list):
            found.add(path, f"must be a list, got {_kind(value)}")
            return
        for n, one in enumerate(value):
            fill(getattr(message, field.name).add(), one, f"{path}[{n}]", found)
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(inner, value, path, found)


def _map(message: Message, field: Field, value: Any, path: str, found: Findings) -> None:
    if not isinstance(value, dict):
        found.add(path, f"must be an object, got {_kind(value)}")
        return
    key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    if value_field.message_type is None:
        _scalar(message, field, value, path, found)
        return
    into = getattr(message, field.name)
    for key, one in value.items():
        place = f"{path}[{_short(key)!r}]"
        if key_field.cpp_type == Kinds.CPPTYPE_STRING:
            fill(into[key], one, place, found)
        elif re.fullmatch(r"-?\d{1,9}", key):
            fill(into[int(key)], one, place, found)
        else:
            found.add(place, "its key must be a whole number")


def _scalar(message: Message, field: Field, value: Any, path: str, found: Findings) -> None:
    """Numbers, texts, enum values and lists and maps of them, as proto3 JSON has them."""
    if field.enum_type is not None:
        names = field.enum_type.values_by_name
        value = [_spelt(one, field, names) for one in value] if isinstance(value, list) else _spelt(value, field, names)
    if not _taken(message, field, value):
        place, wrong = _culprit(message, field, value)
        found.add(path + place, f"must be {_wanted(field, place)}, got {_shown(wrong)}")
    elif field.cpp_type in (Kinds.CPPTYPE_DOUBLE, Kinds.CPPTYPE_FLOAT):
        kept = getattr(message, field.name)
        for n, number in enumerate(kept if field.is_repeated else [kept]):
            if not math.isfinite(number):
                found.add(f"{path}[{n}]" if field.is_repeated else path, "must be a finite number")


def _taken(message: Message, field: Field, value: Any) -> bool:
    try:
        json_format.ParseDict({field.name: value}, message)
    except (json_format.ParseError, OverflowError, TypeError, ValueError):
        return False
    return True


def _culprit(message: Message, field: Field, value: Any) -> tuple[str, Any]:
    """Place and value of the first element that is wrong; of what is no list, all of it."""
    if field.is_repeated and isinstance(value, list):
        for n, one in enumerate(value):
            if not _taken(type(message)(), field, [one]):
                return f"[{n}]", one
    return "", value


def _wanted(field: Field, place: str) -> str:
    if field.message_type is not None:
        return "an object of texts or numbers"
    kind = WANTED.get(field.cpp_type, "")
    if field.enum_type is not None:
        kind = "one of " + ", ".join(value.name for value in field.enum_type.values if value.number)
    if field.type == Kinds.TYPE_BYTES:
        kind = "base64"
    return f"a list; each element {kind}" if field.is_repeated and not place else kind


def _shown(value: Any) -> str:
    """A text or number as it was written, of anything else its kind."""
    return _short(json.dumps(value)) if isinstance(value, str | int | float) else _kind(value)


def _spelt(value: Any, field: Field, names: Mapping[str, Any]) -> Any:
    """MODE_FAST for FAST; every enum's values begin with its name."""
    if not isinstance(value, str) or value in names:
        return value
    full = f"{WORDS.sub('_', field.enum_type.name).upper()}_{value}"
    return full if full in names else value


def _crowded(message: Message, field: Field) -> bool:
    """Another field of the same oneof is set; an optional field is a oneof of its own."""
    oneof = field.containing_oneof
    return oneof is not None and message.WhichOneof(oneof.name) not in (None, field.name)


def _field(message: Message, key: str) -> Field:
    descriptor = message.DESCRIPTOR
    return descriptor.fields_by_name.get(key) or descriptor.fields_by_camelcase_name.get(key)


def _names(message: Message) -> list[str]:
    return [field.name for field in message.DESCRIPTOR.fields]


def _join(path: str, name: str) -> str:
    return f"{path}.{_short(name)}" if path else _short(name)


def _short(name: str) -> str:
    return name if len(name) <= MOST_SHOWN else name[:MOST_SHOWN] + "..."


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return kinds.get(type(value), "an object" if isinstance(value, dict) else "null")
