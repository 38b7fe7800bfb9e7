"""What every method that looks inside a model stands on: where it looks, and how it asks there.

A place is an input of real numbers, or the vectors that whole numbers are looked up as, or the row
that several inputs are joined to. What is asked for comes back folded to what a reader knows: the
elements of an input, tokens, columns.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import prod
from typing import TypeVar

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported, Violation
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Subject
from whybox_server.core.probe import Inside, Option, Probe, Site
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array, Rows, Samples, Stacked
from whybox_server.core.rows_path import Along
from whybox_server.core.spec import Modality
from whybox_server.core.target import Chosen
from whybox_server.perturb.columns import column_names, column_numbers
from whybox_server.perturb.hiding import refuse_nan
from whybox_server.perturb.removal import as_it_is
from whybox_server.perturb.words import numbered

PLACES = frozenset({"at", "wrt"})  # what the graph calls the place in its errors
QUERY_BYTES = 128 << 20  # of gradients that are held at once

V = TypeVar("V")
Asking = Generator[Query, Reply, V]


@dataclass(frozen=True, slots=True, eq=False)
class Probing:
    """A place in the model's graph, for one instance. probe: names the place. units: of what is said of it."""

    subject: Subject
    site: Site
    probe: Probe
    units: Units

    @property
    def direct(self) -> bool:
        """Whether the place is an input itself, so that rows hold it anyway."""
        return self.site.name in self.subject.instance.inputs

    def folded(self, numbers: Array) -> Array:
        """Numbers at the place, (..., *shape of it), as numbers per unit: vectors are summed per token."""
        if self.direct:
            return self._per_column(numbers) if self.units.segments else numbers
        if self.units.segments and len(self.site.inputs) == 1:
            tokens = self.subject.instance.inputs[self.site.inputs[0]].size
            lead = numbers.ndim - len(self.site.shape)
            return np.asarray(numbers.reshape(*numbers.shape[:lead], tokens, -1).sum(axis=-1))
        return self._per_column(numbers)

    def _per_column(self, numbers: Array) -> Array:
        lead = numbers.ndim - len(self.site.shape)
        return numbers.reshape(*numbers.shape[:lead], -1)


@dataclass(frozen=True, slots=True, eq=False)
class Here:
    """Where the instance stands. values: (*shape at the place). scores: (outputs,), the model's own."""

    chosen: Chosen
    scores: Array
    values: Array


def look_inside(
    subject: Subject,
    at: str = "",
    rules: str = "gradient",
    options: tuple[tuple[str, Option], ...] = (),
    field: str = "input",
) -> Probing:
    """Settle where to look; the session that answers is ready afterwards.

    at: an input; "": the explained one. field: the parameter that said so. Raises MethodUnsupported for a
    model without a graph, or without a way back to its input, and InvalidRequest for an input that
    does not exist or holds what a gradient does not reach.
    """
    refuse_nan(subject.instance)
    inside = inside_of(subject)
    refuse_stranger(subject, at, field)
    is_whole = bool(at) and subject.instance.inputs[at].dtype.kind in "iu"
    probe = Probe(rules, tuple(sorted(options)), "" if is_whole else at, subject.targets.space)
    try:
        site = inside.site(probe)
    except InvalidRequest as error:
        raise InvalidRequest([called(one, field) for one in error.violations]) from error
    if is_whole and at not in site.inputs:
        found = ", ".join(site.inputs)
        raise InvalidRequest.of(field, f"{at!r} holds whole numbers that are not looked up; give {found}")
    return Probing(subject, site, replace(probe, at=site.name), units_of(subject, site))


def refuse_stranger(subject: Subject, at: str, field: str) -> None:
    """Raises InvalidRequest for an input that the model does not have."""
    known = subject.instance.inputs
    if at and at not in known:
        near = get_close_matches(at, known, n=3, cutoff=0)
        raise InvalidRequest.of(field, f"the model has no input {at!r}; did you mean {' or '.join(near)}?")


def called(violation: Violation, field: str) -> Violation:
    """What is wrong with the place, under the name of the parameter that the caller knows."""
    return replace(violation, field=field) if violation.field in PLACES else violation


def inside_of(subject: Subject) -> Inside:
    """The model's graph. Raises MethodUnsupported where there is none to look into."""
    if subject.inside is None:
        raise MethodUnsupported(
            "this model can only be asked for scores, its graph is not here; lime, kernel_shap and occlusion "
            "explain it",
            alternatives="lime, kernel_shap, occlusion",
        )
    return subject.inside


def units_of(subject: Subject, site: Site) -> Units:
    """What numbers at a place belong to: an input's elements, or its tokens or columns by name."""
    instance = subject.instance
    name = site.inputs[0]
    array = instance.inputs[name]
    if array.dtype.kind in "iu":
        tokens = [f"token {i}" for i in array.ravel().tolist()]
        numbers, names = numbered(tokens, [True] * len(tokens), distinct=False)
        return Units(name, array.shape, names, {name: numbers.reshape(array.shape)})
    if len(site.inputs) > 1 or instance.spec.modality is Modality.TABULAR:
        own = {one: instance.inputs[one] for one in site.inputs}
        names = column_names(instance)
        everywhere = column_numbers(instance.inputs)
        first = np.concatenate([everywhere[one].ravel() for one in own])
        return Units(name, array.shape, tuple(names[i] for i in first), column_numbers(own))
    return Units(name, array.shape)


def arrived(probing: Probing) -> Asking[Here]:
    """Ask about the instance itself: one row, or two where the place is not an input."""
    subject, probe = probing.subject, probing.probe
    row = as_it_is(subject.instance)
    if probing.direct:
        reply = yield Query(row)
        values = subject.instance.inputs[probing.site.name]
    else:
        reply = yield Query(row, Want.VALUES, probe=Probe(at=probe.at))
        assert reply.values is not None, "values were asked for"
        values = reply.values[0]
    return Here(subject.targets.choose(reply.scores[0]), reply.scores[0], values)


def along(probing: Probing, here: Here, starts: Array, alphas: Array, choice: Array | None = None) -> Along:
    """Rows start + alpha (values of the instance - start) at the place; see `core.rows_path`."""
    others = {n: a for n, a in probing.subject.instance.inputs.items() if n != probing.site.name}
    return Along(probing.site.name, starts, here.values, alphas, others, choice)


def cut_in_words(probing: Probing) -> str:
    """What has a number of its own."""
    names = len(probing.units.names)
    if not names:
        return "every value by itself"
    is_vector = not probing.direct and len(probing.site.inputs) == 1
    return f"{names} tokens, each the sum over its vector" if is_vector else f"{names} columns"


def targets_at_most(subject: Subject) -> int:
    """How many outputs are explained, before the model has been asked which."""
    return sum(choice.top or 1 for choice in subject.targets.choices) or 1


def rows_at(probing: Probing, points: Array) -> Rows:
    """Rows that hold these values at the place, (k, *shape of it); all other inputs are the instance's."""
    inputs = {
        name: np.broadcast_to(array, (len(points), *array.shape))
        for name, array in probing.subject.instance.inputs.items()
    }
    return Samples({**inputs, probing.site.name: points})


def entering(probing: Probing, here: Here) -> Probe:
    """The probe for rows that hold values at the place."""
    return probing.probe if probing.direct else replace(probing.probe, enters=here.values.shape)


def led_back(probing: Probing, here: Here, rows: Rows, reference: Array | None = None) -> Asking[list[Reply]]:
    """One reply per target, each with a gradient, (k, *shape of the place), for rows that hold values there.

    reference: (1 or k, *shape of the place), for rules that compare. One query for all targets.
    """
    return (yield from _for_each(here.chosen, rows, entering(probing, here), reference))


def led_back_as_it_is(probing: Probing, chosen: Chosen) -> Asking[list[Reply]]:
    """One reply per target, each with a gradient, (1, *shape of the place), and the place's values if it
    is no input, for the instance itself.
    """
    return (yield from _for_each(chosen, as_it_is(probing.subject.instance), probing.probe, None))


def _for_each(chosen: Chosen, rows: Rows, probe: Probe, reference: Array | None) -> Asking[list[Reply]]:
    """The same rows for every target, in one query."""
    count, targets = len(rows), len(chosen.indices)
    every = Stacked((rows,) * targets) if targets > 1 else rows
    compared = reference
    if reference is not None and len(reference) > 1:
        compared = np.tile(reference, (targets,) + (1,) * (reference.ndim - 1))
    columns = np.repeat(np.array(chosen.indices), count)
    reply = yield Query(every, Want.GRADIENT, columns, probe=probe, reference=compared)
    return [part_of(reply, slice(at * count, (at + 1) * count)) for at in range(targets)]


def part_of(reply: Reply, rows: slice) -> Reply:
    """Some rows of a reply."""
    fields = (reply.gradient, reply.values, reply.largest, reply.reference_scores)
    return Reply(reply.scores[rows], *(None if array is None else array[rows] for array in fields))


def in_chunks(count: int, shape: tuple[int, ...], targets: int) -> Iterator[slice]:
    """Slices of `count` rows whose gradients, (targets, rows, *shape), may be held at once."""
    size = max(1, QUERY_BYTES // (4 * targets * max(prod(shape), 1)))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
