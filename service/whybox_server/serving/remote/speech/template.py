"""Request templates: JSON in which a text like "$rows" stands for the rows. No code, no expressions.

    {"instances": "$rows"}                    rows as lists, texts, or objects by input
    {"inputs": "$inputs"}                     rows by input
    {"records": "$records"}                   rows by column name
    {"text": "$row", "options": {"k": 5}}     one row, with one row per call; "$record" likewise

A text of the template that begins with "$" and is none of these begins with "$$".
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

MANY = ("$rows", "$inputs", "$records")
ONE = ("$row", "$record")
PLACEHOLDERS = (*MANY, *ONE)
BY_COLUMN = ("$records", "$record")
INSIDE = re.compile(r"(?<!\$)\$(?:rows?|inputs|records?)\b")
DEEPEST = 32
MOST_CHARACTERS = 1 << 16


class TemplateError(ValueError):
    """A template that cannot be read; the message says what to do."""


@lru_cache(maxsize=64)
def parsed(text: str) -> Any:
    """The template's JSON. Raises TemplateError."""
    if len(text) > MOST_CHARACTERS:
        raise TemplateError(f"has {len(text)} characters; at most {MOST_CHARACTERS} are sent with every call")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except json.JSONDecodeError as error:
        hint = '; placeholders stand in quotes: "$rows"' if INSIDE.search(text) else ""
        raise TemplateError(f"is no JSON: {error.msg} at character {error.pos}{hint}") from error
    except RecursionError as error:
        raise TemplateError(f"is nested more than {DEEPEST} deep") from error


def faults(text: str, *, one_row: bool) -> list[str]:
    """What is wrong with a template; [] if nothing is."""
    try:
        template = parsed(text)
    except TemplateError as error:
        return [str(error)]
    if _deep(template):
        return [f"is nested more than {DEEPEST} deep"]
    found = [said for kind, value in _texts(template) for said in _fault(kind, value)]
    used = placeholders(text)
    if not used and not found:
        found.append('has no placeholder, so that no row would be sent: put "$rows" where the rows go')
    alone = sorted(used & set(ONE))
    if alone and not one_row:
        found.append(f"{alone[0]} stands for one row: set one_row_per_call, or use {alone[0]}s")
    return found


def placeholders(text: str) -> frozenset[str]:
    """Those that a sound template uses."""
    return frozenset(
        value for kind, value in _texts(parsed(text)) if kind == "value" and value in PLACEHOLDERS
    )


def filled(text: str, values: Mapping[str, Any]) -> Any:
    """The template with values in the place of placeholders; other texts lose the first of two "$"."""
    return _filled(parsed(text), values)


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    match template:
        case dict():
            return {key: _filled(value, values) for key, value in template.items()}
        case list():
            return [_filled(value, values) for value in template]
        case str() if template in values:
            return values[template]
        case str() if template.startswith("$$"):
            return template[1:]
    return template


def _fault(kind: str, value: str) -> Iterator[str]:
    if kind == "key":
        if value in PLACEHOLDERS:
            yield f"has {value} as a key, and placeholders stand for values"
    elif INSIDE.search(value) and value not in PLACEHOLDERS:
        yield f"has {INSIDE.findall(value)[0]} inside a longer text, and placeholders stand alone"
    elif value.startswith("$") and not value.startswith("$$") and value not in PLACEHOLDERS:
        near = difflib.get_close_matches(value, PLACEHOLDERS, 1) or ["$rows"]
        yield f'has {value[:40]!r}: did you mean "{near[0]}"? A text that begins with $ is written with $$'


def _texts(template: Any) -> Iterator[tuple[str, str]]:
    """Every text, as ("key" or "value", text)."""
    if isinstance(template, str):
        yield "value", template
    for value in template if isinstance(template, list) else ():
        yield from _texts(value)
    for key, value in template.items() if isinstance(template, dict) else ():
        yield "key", key
        yield from _texts(value)


def _deep(template: Any) -> bool:
    """Level by level, since a nest may be deeper than calls can be."""
    level = [template]
    for _ in range(DEEPEST):
        inner = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        level = [value for values in inner for value in values]
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise TemplateError(f"has the key {twice[:40]!r} twice")
    return found


def _constant(name: str) -> None:
    raise TemplateError(f"has {name}, which is no JSON")
