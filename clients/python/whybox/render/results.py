"""Results that are no attributions, as numbers by place, so that all of them are drawn alike.

A rule marks what it needs, regions have the score that each added, a mask is what it marks, and a
contrast marks what must be there (positive) and what must not be otherwise (negative).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from whybox.render.colors import Array
from whybox.render.tensors import array
from whybox.v1 import explanation_pb2, tensor_pb2


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """Numbers for one target."""

    values: Array  # (s,) with segments, else (*shape)
    errors: Array | None  # like values: one standard error each
    names: tuple[str, ...]  # (s,) or empty
    segments: Mapping[str, Array]  # by input; -1 where nothing was varied
    shape: tuple[int, ...]  # of the explained input
    base: float | None
    measures: Mapping[str, float]


def finding(message: explanation_pb2.Explanation, target: int) -> Finding:
    """The numbers of target number `target`, counted within the message.

    Raises IndexError for a target that the message does not have, ValueError for a broken tensor or
    a result that this version does not know.
    """
    explained(message, target)
    kind = message.WhichOneof("result")
    if kind not in FINDINGS:
        known = ", ".join(FINDINGS)
        raise ValueError(f"a result of kind {kind} cannot be drawn, only {known}; update whybox")
    return FINDINGS[kind](message, target)


def explained(message: explanation_pb2.Explanation, target: int) -> explanation_pb2.Target:
    """Target number `target` of the message; raises IndexError where there is none."""
    if not 0 <= target < len(message.targets):
        raise IndexError(f"target must be in [0, {len(message.targets) - 1}], got {target}")
    return message.targets[target]


def _attribution(message: explanation_pb2.Explanation, target: int) -> Finding:
    found = message.attribution
    bases = array(found.base_values) if found.HasField("base_values") else np.empty(0)
    return Finding(
        values=array(found.values)[target].astype(np.float64),
        errors=array(found.standard_errors)[target] if found.HasField("standard_errors") else None,
        names=tuple(found.names),
        segments=_segments(found.segments),
        shape=tuple(found.instance_shape),
        base=float(bases[target]) if target < bases.size else None,
        measures=dict(found.quality[target].measures) if target < len(found.quality) else {},
    )


def _rule(message: explanation_pb2.Explanation, target: int) -> Finding:
    units = message.rule.units
    return _marked(units, {p.segment: 1.0 for p in message.rule.predicates})


def _regions(message: explanation_pb2.Explanation, target: int) -> Finding:
    found = message.regions
    gains = np.diff([0.0, *found.scores])
    return _marked(found.units, dict(zip(found.segments, gains.tolist(), strict=True)))


def _contrast(message: explanation_pb2.Explanation, target: int) -> Finding:
    found = message.contrast
    marks = dict.fromkeys(found.pertinent_positive.segments, 1.0)
    for segment in found.pertinent_negative.segments:
        marks[segment] = -1.0
    return _marked(found.units, marks)


def _mask(message: explanation_pb2.Explanation, target: int) -> Finding:
    found = message.mask
    values = array(found.values)[target].astype(np.float64)  # (*places)
    if "deletion" in found.game.lower():
        values = 1.0 - values  # what had to go is what counts
    series = message.subject.series.values.shape  # (time, channels)
    if values.ndim == 1 and len(series) == 2:  # one mask for all channels
        values = np.repeat(values[:, None], series[1], axis=1)
    return Finding(values, None, (), {}, values.shape, None, {})


def _marked(units: explanation_pb2.Units, marks: Mapping[int, float]) -> Finding:
    """A number per segment, 0 where there is no mark."""
    values = np.zeros(max(len(units.names), *(segment + 1 for segment in marks), 1))
    for segment, value in marks.items():
        values[segment] = value
    segments = _segments(units.segments)
    return Finding(values, None, tuple(units.names), segments, tuple(units.instance_shape), None, {})


def _segments(tensors: tensor_pb2.Tensors) -> dict[str, Array]:
    return {name: array(tensor) for name, tensor in tensors.by_name.items()}


FINDINGS: dict[str, Callable[[explanation_pb2.Explanation, int], Finding]] = {
    "attribution": _attribution,
    "rule": _rule,
    "contrast": _contrast,
    "regions": _regions,
    "mask": _mask,
}
