"""Frozen, typed views of the results that are no attributions, and of an erasure's flip set.

Each has the fields of its message but for the units, which `Explanation` reads (a test holds it to that);
arrays are numpy, and what was not found is None with its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whybox.tensors import Array, from_tensor
from whybox.v1 import explanation_pb2
from whybox.views import Target, view


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition of a rule; its numbers are those of the rule up to and including it."""

    text: str  # "petal width > 1.8", "segment 12 is there"
    segment: int
    precision: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Example:
    """A row under a rule, and whether the model says of it what it says of the instance."""

    text: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """IF every predicate holds THEN the model says the target; see `whybox.v1.Rule`."""

    predicates: tuple[Predicate, ...]  # empty: the model says it whatever the instance
    precision: float
    lower_bound: float
    confidence: float  # probability with which the lower bound holds
    coverage: float
    samples: int  # rows behind the precision
    threshold: float
    threshold_met: bool
    certificate: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Counterpart:
    """An instance beside the instance; see `whybox.v1.Counterpart`."""

    values: Array  # of the explained input, in its shape and the model's units
    inputs: Mapping[str, Array]  # all of the model's inputs
    target: Target  # what the model says of it
    segments: tuple[int, ...]  # that it keeps (positive), or by which it differs (negative)
    l1: float
    l2: float

    @property
    def score(self) -> float:
        """Score of what the model says of it, in the target's space."""
        return self.target.score


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What must be there for the answer, and what must not; one that is None has its reason."""

    pertinent_positive: Counterpart | None
    pertinent_negative: Counterpart | None
    positive_reason: str
    negative_reason: str


@dataclass(frozen=True, slots=True)
class Regions:
    """Segments in the order of choice; scores[i] is f of the first i + 1, above `empty_score`."""

    segments: tuple[int, ...]
    scores: tuple[float, ...]
    empty_score: float
    guarantee: str


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """How much of each place to keep, for one target; see `whybox.v1.Mask`."""

    values: Array  # (*places), float64 in [0, 1]
    game: str
    masked_score: float  # of the instance under the mask
    hidden_score: float  # with everything hidden


@dataclass(frozen=True, slots=True)
class FlipSet:
    """Segments whose removal, in this order, changes the answer; see `whybox.v1.FlipSet`."""

    segments: tuple[int, ...]
    flipped: bool  # False: not even all of them change it, or the budget ended
    after: Target  # what the model says without them


def rule(found: explanation_pb2.Rule) -> Rule:
    return view(
        Rule,
        found,
        predicates=tuple(view(Predicate, one) for one in found.predicates),
        examples=tuple(view(Example, one) for one in found.examples),
    )


def contrast(found: explanation_pb2.Contrast) -> Contrast:
    sides = {
        name: _counterpart(getattr(found, name), found.units.input) if found.HasField(name) else None
        for name in ("pertinent_positive", "pertinent_negative")
    }
    return view(Contrast, found, **sides)


def regions(found: explanation_pb2.Regions) -> Regions:
    return view(Regions, found)


def mask(found: explanation_pb2.Mask) -> Mask:
    """The mask of the first target."""
    return Mask(from_tensor(found.values)[0], found.game, found.masked_scores[0], found.hidden_scores[0])


def flip_set(found: explanation_pb2.FlipSet) -> FlipSet:
    return view(FlipSet, found, after=view(Target, found.after))


def _counterpart(found: explanation_pb2.Counterpart, name: str) -> Counterpart:
    by_name = found.values.by_name
    inputs = {name: from_tensor(by_name[name]) for name in sorted(by_name)}
    return view(Counterpart, found, values=inputs[name], inputs=inputs, target=view(Target, found.target))
