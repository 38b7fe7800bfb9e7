"""What LRP and deep Taylor share: a score that is handed back, layer by layer, without being lost.

Which rule each layer follows is the probe's business. What arrives at the input is checked against what
set out: the difference stayed in biases and stabilisers, and the answer says how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.probe import Option
from whybox_server.core.query import Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Cost
from whybox_server.methods.probing import (
    Here,
    Probing,
    arrived,
    led_back,
    look_inside,
    rows_at,
    targets_at_most,
)
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.limits import span_of

LARGE_GAP = 0.05  # of the score: more must be said in words
BLOWN_UP = 100.0  # times the score
NOTHING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A place, and the rules by name, in words."""

    probing: Probing
    words: str


def prepared(subject: Subject, at: str, rules: str, options: dict[str, Option], words: str) -> Task:
    """Raises InvalidRequest for options that the rules do not have, MethodUnsupported without a way back."""
    return Task(look_inside(subject, at, rules, tuple(options.items())), words)


def cost(task: Task, _params: object) -> Cost:
    """The instance, and once more per target."""
    subject = task.probing.subject
    return Cost(1 + targets_at_most(subject), exact=len(subject.targets.choices) <= 1)


def relevance(task: Task) -> Steps:
    """The score, handed back to the input (values: (t, *units), in units of the score)."""
    probing = task.probing
    here = yield from arrived(probing)
    replies = yield from led_back(probing, here, rows_at(probing, here.values[None]))
    found = np.stack([np.asarray(reply.gradient, np.float64)[0] for reply in replies])  # (t, *place)
    largest = [None if reply.largest is None else float(reply.largest.max()) for reply in replies]
    scores = here.chosen.of(here.scores[None])[0]  # (t,)
    sums = found.reshape(len(found), -1).sum(axis=1)
    return Attribution(
        here.chosen,
        probing.units,
        probing.folded(found),
        here.scores,
        base_values=np.zeros(len(found)),
        quality=tuple(quality(*one) for one in zip(scores, sums, largest, strict=True)),
        warnings=(*probing.site.notes, *remarks(here, scores, sums, largest)),
        segmentation=task.words,
    )


def quality(score: float, total: float, largest: float | None) -> dict[str, float]:
    """conservation_gap: what was lost or gained on the way; relative_gap: as a share of the score."""
    gap = abs(float(total - score))
    found = {"conservation_gap": gap, "relative_gap": gap / max(abs(float(score)), NOTHING)}
    return found if largest is None else {**found, "largest_relevance": largest}


def remarks(here: Here, scores: Array, sums: Array, largest: list[float | None]) -> list[str]:
    """What a reader must know of the way back."""
    said = []
    for label, score, total, most in zip(here.chosen.labels, scores, sums, largest, strict=True):
        share = abs(total - score) / max(abs(score), NOTHING)
        if share > LARGE_GAP:
            said.append(
                f"{label}: the values sum to {total:.4g} and the score is {score:.4g}; the rest stayed in biases "
                "and stabilisers"
            )
        if most is not None and most > BLOWN_UP * max(abs(score), NOTHING):
            said.append(
                f"{label}: relevance of {most:.3g} arose on the way where a denominator was small; a larger "
                "epsilon, or z_plus, is calmer"
            )
    return said


def bounds(instance: Instance, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Smallest and largest value of an input: one number per column of a table, per colour, or one for all.

    Raises InvalidRequest where no range is known.
    """
    array = instance.inputs[name]
    low, high = span_of(instance, name, array, background_rows(instance), ())
    if array.dtype.kind not in "fiu" or not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InvalidRequest.of("low", f"no range of {name!r} is known; give low and high")
    low, high = np.minimum(low, array), np.maximum(high, array)
    if instance.spec.modality is Modality.TABULAR and array.ndim == 1:
        return tuple(low.tolist()), tuple(apart(low, high).tolist())
    channel = axes_of(instance.spec, array.shape).channel
    colours = instance.spec.modality is Modality.IMAGE and channel is not None and array.shape[channel] > 1
    others = tuple(axis for axis in range(array.ndim) if not (colours and axis == channel))
    low, high = np.atleast_1d(low.min(axis=others)), np.atleast_1d(high.max(axis=others))
    return tuple(low.tolist()), tuple(apart(low, high).tolist())


def boxed(
    instance: Instance, name: str, low: tuple[float, ...], high: tuple[float, ...]
) -> dict[str, Option]:
    """The options of a first layer that knows the input's range: as given, or as the spec knows it."""
    if not (low and high):
        known = bounds(instance, name)
        low, high = low or known[0], high or known[1]
    ends = {"low": low, "high": high}
    return {end: numbers[0] if len(numbers) == 1 else numbers for end, numbers in ends.items()}


def apart(low: Array, high: Array) -> Array:
    """Upper ends that lie above the lower ones, also where a column never varies."""
    return np.where(high > low, high, low + 1)
