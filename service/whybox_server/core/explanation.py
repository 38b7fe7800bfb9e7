"""What a method finds. One frozen type per kind of result; all of them say what they are about alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from whybox_server.core.rows import Array
from whybox_server.core.target import Chosen


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What the numbers of a result belong to.

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
class FlipSet:
    """Segments whose removal, in this order, changes the answer; `flipped` if it does."""

    segments: tuple[int, ...]
    flipped: bool
    scores: Array  # (outputs,): the model's own, without them


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
    flip_set: FlipSet | None = None
    unit: str = ""  # of the values, where it is not that of the scores


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition of a rule; precision and coverage are those of the rule up to and including it."""

    text: str
    segment: int
    precision: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Example:
    """A row under a rule, readable, and whether the model says of it what it says of the instance."""

    text: str
    agrees: bool


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """IF all predicates THEN the model says the target, with this precision (see `whybox.v1.Rule`)."""

    chosen: Chosen
    units: Units
    instance_scores: Array
    predicates: tuple[Predicate, ...]
    precision: float
    lower_bound: float
    confidence: float
    coverage: float
    samples: int
    threshold: float
    threshold_met: bool
    certificate: str
    examples: tuple[Example, ...] = ()
    complete: bool = True
    warnings: tuple[str, ...] = ()
    baseline: str = ""
    segmentation: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Counterpart:
    """An instance beside the instance: enough for the answer, or just enough for another one.

    l1, l2: from the instance (negative) or from "nothing there" (positive).
    """

    inputs: Mapping[str, Array]
    scores: Array  # (outputs,): the model's own
    segments: tuple[int, ...]
    l1: float
    l2: float
    pieces: tuple[str, ...] = ()  # of a text: it, as the model reads it


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What must be there and what must not; a missing one has its reason."""

    chosen: Chosen
    units: Units
    instance_scores: Array
    positive: Counterpart | None
    negative: Counterpart | None
    positive_reason: str = ""
    negative_reason: str = ""
    complete: bool = True
    warnings: tuple[str, ...] = ()
    baseline: str = ""
    segmentation: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Segments in the order of choice; scores[i] is f of the first i + 1 of them, above nothing."""

    chosen: Chosen
    units: Units
    instance_scores: Array
    segments: tuple[int, ...]
    scores: tuple[float, ...]
    empty_score: float
    guarantee: str
    complete: bool = True
    warnings: tuple[str, ...] = ()
    baseline: str = ""
    segmentation: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """How much of each place to keep, in [0, 1] (see `whybox.v1.Mask`)."""

    chosen: Chosen
    units: Units
    instance_scores: Array
    values: Array  # (t, *places) float64
    game: str
    masked_scores: Array  # (t,)
    hidden_scores: Array  # (t,)
    complete: bool = True
    warnings: tuple[str, ...] = ()
    baseline: str = ""
    segmentation: str = ""


Finding: TypeAlias = Attribution | Rule | Contrast | Regions | Mask
