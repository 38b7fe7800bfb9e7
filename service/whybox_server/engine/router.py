"""Sends each query to the model it is about.

A method may ask further models that its parameters name, an autoencoder say, about the rows that the
explained model is asked about. Each model has a lane of its own; how they answer is not known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from whybox_server.core.errors import InputMismatch, InvalidRequest
from whybox_server.core.query import Predictor, Query, Reply, Want
from whybox_server.core.rows import Array, Buffers, Rows
from whybox_server.core.rows_probed import seeded
from whybox_server.core.spec import ModelSpec, ScoreKind
from whybox_server.serving.lane import Lane, Mode
from whybox_server.serving.model import Model

AS_VALUES = ModelSpec(score=ScoreKind.VALUE)  # how further models are read: nothing is cut off


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """A further model and the parameter that names it, by its path in the request."""

    field: str
    name: str
    model: Model


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Where a model's rows go. names: its inputs by the explained model's; empty if they are the same."""

    lane: Lane
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Renamed:
    """The same rows for a model whose input has another name."""

    rows: Rows
    names: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def keys(self) -> list[bytes]:
        return self.rows.keys()

    def take(self, at: Array) -> Rows:
        return Renamed(self.rows.take(at), self.names)

    def write(self, at: Array, out: Buffers) -> None:
        self.rows.write(at, {ours: out[theirs] for ours, theirs in self.names.items()})


Open = Callable[[Query], Awaitable[tuple[Predictor, Mapping[str, str]]]]


@dataclass(slots=True, eq=False)
class Router:
    """A Predictor over one predictor per model and place in it; `open` makes one when it is first asked."""

    open: Open
    _known: dict[object, tuple[Predictor, Mapping[str, str]]] = field(default_factory=dict)

    async def predict(self, query: Query) -> Reply:
        """What the query's own model says."""
        key = (query.model, query.want, None if query.want is Want.SCORES else query.probe)
        if key not in self._known:
            self._known[key] = await self.open(query)
        below, names = self._known[key]
        rows = Renamed(query.rows, names) if names else query.rows
        return await below.predict(replace(query, rows=rows))


@dataclass(frozen=True, slots=True, eq=False)
class Seeding:
    """A Predictor that writes into each row which score is led back, and what it is compared with."""

    below: Predictor

    async def predict(self, query: Query) -> Reply:
        return await self.below.predict(seeded(query))


def route_to(other: Other, mode: Mode, inputs: Mapping[str, Array]) -> Route:
    """The way to another model for rows of an instance, which has no batch axis.

    Raises InvalidRequest for a model that does not take such rows: the shapes must be equal, and the
    names too, unless there is one input only.
    """
    taken = [row.name for row in other.model.rows]
    same = set(taken) == set(inputs)
    names = {name: name for name in inputs} if same else dict(zip(inputs, taken, strict=False))
    try:
        if not same and (len(taken), len(inputs)) != (1, 1):
            raise InputMismatch(f"its inputs are {', '.join(taken)}")
        fitted = other.model.fit({names[name]: array for name, array in inputs.items()}, "instance")
        for name, array in inputs.items():
            refuse_unlike(array, fitted[names[name]])
    except (InputMismatch, InvalidRequest) as error:
        raise InvalidRequest.of(
            other.field,
            f"{other.name!r} does not take the explained model's rows ({error}); "
            "give a model with the same inputs",
        ) from error
    return Route(other.model.lane(Want.SCORES, mode, fitted), {} if same else names)


def refuse_unlike(ours: Array, theirs: Array) -> None:
    """Raises InputMismatch where rows cannot be written as they are: another shape, or fewer kinds of numbers."""
    if ours.shape != theirs.shape or not np.can_cast(ours.dtype, theirs.dtype, "same_kind"):
        raise InputMismatch(
            f"it takes {theirs.dtype} {theirs.shape} where the explained model takes {ours.dtype} {ours.shape}"
        )
