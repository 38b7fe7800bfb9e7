"""Contributions as a ranked list with names a reader knows; what bars, lists and alternative texts show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox.render.colors import Array
from whybox.render.header import label, number
from whybox.render.maps import places
from whybox.render.reading import Finding, finding, kind
from whybox.render.story import closing
from whybox.v1 import explanation_pb2


@dataclass(frozen=True, slots=True)
class Part:
    """One contribution."""

    name: str
    value: float
    error: float | None = None  # one standard error

    @property
    def amount(self) -> str:
        """The number, with its standard error if there is one."""
        error = "" if self.error is None else f" ± {self.error:.2g}"
        return number(self.value) + error


def strongest(message: explanation_pb2.Explanation, target: int, most: int) -> list[Part]:
    """The `most` largest contributions by size, then one for the sum of all the others if there are any."""
    found = finding(message, target)
    values = found.values.ravel()
    order = np.argsort(-np.abs(values), kind="stable")
    if not message.HasField("attribution"):
        order = order[values[order] != 0]  # what is not marked is no contribution
    where = places(message, target)
    errors = None if found.errors is None else found.errors.ravel()
    parts = [
        Part(
            _name(message, found, int(at), where),
            float(values[at]),
            None if errors is None or not np.isfinite(errors[at]) else float(errors[at]),
        )
        for at in order[:most]
    ]
    rest = order[most:]
    if len(rest):
        parts.append(Part(f"{len(rest):,} other{'s' if len(rest) > 1 else ''}, summed", float(values[rest].sum())))
    return parts


def ranked(message: explanation_pb2.Explanation, target: int, most: int) -> list[Part]:
    """`strongest` where it says more than yes and no; rules and contrasts have tables instead."""
    unranked = message.WhichOneof("result") in ("rule", "contrast")
    return [] if unranked else strongest(message, target, most)


def in_words(message: explanation_pb2.Explanation, target: int) -> str:
    """One sentence for those who cannot see the picture."""
    found = strongest(message, target, 3)[:3]
    listed = "; ".join(f"{part.name} {number(part.value)}" for part in found)
    if read_as := closing(message):
        return f"{read_as} Strongest first: {listed or 'nothing'}."
    return f'Contributions to "{label(message, target)}", strongest first: {listed}.'


def full_bar(parts: list[Part]) -> float:
    """The contribution that a whole bar stands for, whiskers included; 1 if all are 0."""
    return max((abs(part.value) + (part.error or 0.0) for part in parts), default=0.0) or 1.0


def _name(
    message: explanation_pb2.Explanation, found: Finding, at: int, where: dict[int, str]
) -> str:
    name = found.names[at] if at < len(found.names) else ""
    if kind(message) == "table":
        return _column(message, name, at, found.values)
    if not name:
        name = f"segment {at}" if found.segments else _index(found.values, at)
    return f"{name} ({where[at]})" if at in where else name


def _column(message: explanation_pb2.Explanation, name: str, at: int, values: Array) -> str:
    """"feature = value"; a name that says more than the column's stands for itself."""
    table = message.subject.table
    names = list(table.names)
    if not name and len(names) == values.size:
        name = names[at]
    if name in names and names.index(name) < len(table.values):
        return f"{name} = {table.values[names.index(name)]}"
    return name or f"column {at}"


def _index(values: Array, at: int) -> str:
    return str([int(i) for i in np.unravel_index(at, values.shape)]) if values.ndim else "value"
