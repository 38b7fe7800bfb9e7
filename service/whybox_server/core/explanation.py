"""What a method finds. One frozen type per kind of result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from whybox_server.core.rows import Array
from whybox_server.core.target import Chosen


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What the numbers of an attribution belong to.

    With `segments` there is one number per name, and segments[input] (int32, broadcastable to that
    input's shape, -1 where nothing was varied) says where each one lies. Without, there is one
    number per element of `input`.
    """

    input: str
    shape: tuple[int, ...]  # of `input`, without the batch axis
    names: tuple[str, ...] = ()  # (s,)
    segments: Mapping[str, Array] = field(default_factory=dict)
    pieces: tuple[str, ...] = ()  # of a text: it, cut
    piece_segments: tuple[int, ...] = ()  # (pieces,), -1 for separators


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """A number per unit and target; positive supports the target."""

    chosen: Chosen
    units: Units
    values: Array  # (t, s) or (t, *units.shape), float64, in units of chosen.targets.space
    instance_scores: Array  # (outputs,): the model's own scores of the instance
    base_values: Array  # (t,)
    standard_errors: Array | None = None  # like values
    quality: tuple[Mapping[str, float], ...] = ()  # (t,) or empty
    additive: bool = False
    complete: bool = True
    warnings: tuple[str, ...] = ()
    baseline: str = ""  # what was put in place of the hidden, in words
    segmentation: str = ""  # how the instance was cut, in words


Finding: TypeAlias = Attribution
