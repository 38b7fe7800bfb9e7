"""Replacing one part of an instance by values that it might as well have had.

A removal lists the parts and draws rows for them; where the values come from is its own affair
(`table_removal`, `patch_removal`). It asks no model.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows, Windows
from whybox_server.perturb.baselines import Rng


class Sampler(Enum):
    """Whether replaced values may look at what stays."""

    MARGINAL = "marginal"
    CONDITIONAL = "conditional"


class Removal(Protocol):
    """An instance and its parts, of which one at a time is replaced by draws."""

    @property
    def units(self) -> Units: ...

    @property
    def baseline(self) -> str: ...

    @property
    def segmentation(self) -> str: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def draws(self) -> Array:
        """How many rows each part takes, (parts,) integers, at least 1."""
        ...

    @property
    def noise(self) -> Array:
        """Variance of a part's mean score per unit of variance between its rows, (parts,).

        0 where the rows are all there are, NaN where one row tells nothing of its variance.
        """
        ...

    @property
    def numbers(self) -> int:
        """Numbers that a row is described by, which is what rows cost in memory."""
        ...

    def rows(self, parts: Array, rng: Rng) -> tuple[Rows, Array]:
        """Rows of these parts, (k,), one part after the other, and each row's share in its part's mean."""
        ...

    def spread(self, values: Array) -> Array:
        """Add each part's values up over the units that it covers: (n, parts) -> (n, *units)."""
        ...


def as_it_is(instance: Instance) -> Windows:
    """One row: the instance."""
    name = instance.main
    array = instance.inputs[name]
    nothing = np.zeros((1, array.ndim), dtype=np.int64)
    rest = {other: value for other, value in instance.inputs.items() if other != name}
    return Windows(name, array, array, nothing, nothing, rest)


def noise_of(draws: int, population: int | None) -> float:
    """Variance of the mean of draws without replacement, per unit of variance between them.

    population: None for a law without end.
    """
    if population is not None and draws >= population:
        return 0.0
    if draws == 1:
        return float("nan")
    share = 0.0 if population is None else draws / population
    return (1 - share) / draws


def some(rng: Rng, times: int, population: int, draws: int) -> Array:
    """Indices without repetition, all of them if there are no more, (times, draws)."""
    if draws >= population:
        return np.tile(np.arange(population), (times, 1))
    return np.argsort(rng.random((times, population)), axis=1)[:, :draws]


def needs_background(what: str) -> InvalidRequest:
    """The error when there is nothing to draw from."""
    return InvalidRequest.of(
        f"spec.{what}.background",
        "removed values are drawn from typical instances and there are none; send some, or describe them "
        "in whybox.yaml beside the model",
    )
