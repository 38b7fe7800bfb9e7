"""Arbitrary messages of any descriptor, for properties of the wire."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Kind
from google.protobuf.message import Message
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = {
    Kind.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    Kind.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    Kind.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    Kind.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    Kind.CPPTYPE_DOUBLE: NUMBERS,
    Kind.CPPTYPE_BOOL: st.booleans(),
    Kind.CPPTYPE_STRING: TEXTS,
}
MOST_FIELDS, DEPTH = 3, 4


@st.composite
def messages(draw: Any, made: type[Message], without: Collection[str] = (), depth: int = DEPTH) -> Message:
    """A message with a few fields set. without: full names of fields that stay unset."""
    message = made()
    fields = [field for field in made.DESCRIPTOR.fields if field.full_name not in without]
    fields = [field for field in fields if depth or field.message_type is None]
    if not fields:
        return message
    for field in draw(st.lists(st.sampled_from(fields), max_size=MOST_FIELDS, unique_by=lambda one: one.number)):
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            _put(draw, getattr(message, field.name), kind, without, depth)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_one(field, without, depth), max_size=2)))
        elif kind is not None:
            getattr(message, field.name).CopyFrom(draw(_one(field, without, depth)))
        else:
            setattr(message, field.name, draw(_one(field, without, depth)))
    return message


def _put(draw: Any, into: Any, entry: Any, without: Collection[str], depth: int) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    # One at most: of several wrong entries either may be the first.
    for name in draw(st.lists(_key(key), max_size=1)):
        one = draw(_one(value, without, depth))
        if value.message_type is not None:
            into[name].CopyFrom(one)
        else:
            into[name] = one


def _key(field: Any) -> Any:
    return TEXTS if field.cpp_type == Kind.CPPTYPE_STRING else st.integers(-5, 10**6)


def _one(field: Any, without: Collection[str], depth: int) -> Any:
    if field.message_type is not None:
        return messages(message_factory.GetMessageClass(field.message_type), without, depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 77])
    return st.binary(max_size=9) if field.type == Kind.TYPE_BYTES else SCALARS[field.cpp_type]
