"""Small questions to protobuf descriptors: names of enums, values of maps."""

from __future__ import annotations

from typing import Any, TypeAlias

# types-protobuf has two unrelated classes for each of these (pure Python and upb), and mixes them.
Field: TypeAlias = Any
Enum: TypeAlias = Any


def enum_names(enum: Enum) -> dict[str, Any]:
    """Numbers by lower-case name without the prefix, as callers write them; UNSPECIFIED is left out."""
    prefix = _prefix(enum)
    return {v.name.removeprefix(prefix).lower(): v.number for v in enum.values[1:]}


def enum_name(enum: Enum, number: int) -> str | None:
    """The reverse: None for UNSPECIFIED, the number itself in digits for one that is newer than we are."""
    if number == 0:
        return None
    known = enum.values_by_number.get(number)
    return str(number) if known is None else str(known.name).removeprefix(_prefix(enum)).lower()


def map_value(field: Field) -> Field | None:
    """What a map field holds; None for every other field."""
    if field.message_type is None or not field.message_type.GetOptions().map_entry:
        return None
    return field.message_type.fields_by_name["value"]


def _prefix(enum: Enum) -> str:
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")
