"""What a result says in rows and columns: a rule's conditions, a contrast's columns. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whybox.v1 import explanation_pb2

MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of words; every row has as many cells as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def grid(message: explanation_pb2.Explanation) -> Grid | None:
    """The table of this result; None where there is nothing to list."""
    kind = message.WhichOneof("result") or ""
    found = GRIDS[kind](message) if kind in GRIDS else None
    return _shortened(found) if found is not None and found.rows else None


def _conditions(message: explanation_pb2.Explanation) -> Grid:
    """How each condition of a rule changes it, in the order in which they joined."""
    rows = tuple(
        (f"{'AND' if number else 'IF'} {p.text}", f"{p.precision:.3g}", f"{p.coverage:.3g}")
        for number, p in enumerate(message.rule.predicates)
    )
    return Grid(("condition", "precision so far", "coverage so far"), rows)


def _columns(message: explanation_pb2.Explanation) -> Grid | None:
    """Columns of a table that must be there, or must not be otherwise, with their values on both sides."""
    if not message.subject.HasField("table"):
        return None
    sides, table = [], message.subject.table
    header = ["column", f"instance: {_answer(message.targets[0])}"]
    for field, verb in (("pertinent_positive", "enough for"), ("pertinent_negative", "makes it")):
        if message.contrast.HasField(field):
            one = getattr(message.contrast, field)
            header.append(f"{verb} {_answer(one.target)}")
            sides.append(_by_name(one, message.contrast.units))
    rows = [
        (name, value, *(side.get(name, "") for side in sides))
        for name, value in zip(table.names, table.values, strict=False)
        if any(name in side for side in sides)
    ]
    return Grid(tuple(header), tuple(rows))


def _by_name(one: explanation_pb2.Counterpart, units: explanation_pb2.Units) -> dict[str, str]:
    """Values of the columns by which a counterpart is what it is."""
    named = {units.names[segment] for segment in one.segments if segment < len(units.names)}
    table = one.subject.table
    return {name: value for name, value in zip(table.names, table.values, strict=False) if name in named}


def _answer(target: explanation_pb2.Target) -> str:
    return target.label or f"output {target.index}"


def _shortened(found: Grid) -> Grid:
    """The first rows, and how many more there are."""
    hidden = len(found.rows) - MOST_ROWS
    if hidden <= 0:
        return found
    more = (f"{hidden} more", *[""] * (len(found.header) - 1))
    return Grid(found.header, (*found.rows[:MOST_ROWS], more))


GRIDS: dict[str, Callable[[explanation_pb2.Explanation], Grid | None]] = {
    "rule": _conditions,
    "contrast": _columns,
}
