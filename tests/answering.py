"""Models that are plain numpy functions, for tests: what a runtime is to the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from tests.inside import NumpyInside

from whybox_server.core.instance import Instance, Subject
from whybox_server.core.probe import Probe
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array, Rows
from whybox_server.core.spec import Modality, ModelSpec, ScoreKind
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.method import Method

Model = Callable[[Mapping[str, Array]], Array]  # (n, *shape) per input -> (n, outputs)
Answer = Callable[[Query], Reply]


def materialise(
    rows: Rows, instance: Instance, at: Array | None = None, probe: Probe = Probe()
) -> dict[str, Array]:
    """Build rows as a runtime would: into buffers of the instance's shapes and dtypes.

    probe: of the query; a tensor that the rows enter at is one more buffer.
    """
    at = np.arange(len(rows)) if at is None else at
    out = {name: np.empty((len(at), *array.shape), array.dtype) for name, array in instance.inputs.items()}
    if probe.enters is not None:
        out[probe.at] = np.empty((len(at), *probe.enters))
    rows.write(at, out)
    return out


def answering(model: Model, instance: Instance, inside: NumpyInside | None = None) -> Answer:
    """Answer whole queries at once; what looks inside is answered by `inside`."""

    def answer(query: Query) -> Reply:
        inputs = materialise(query.rows, instance, probe=query.probe)
        if query.want is Want.SCORES:
            return Reply(np.asarray(model(inputs), dtype=np.float64))
        assert inside is not None, "the model's inside was asked for"
        return inside.reply(query, inputs)

    return answer


def answering_in_pieces(
    model: Model,
    instance: Instance,
    sizes: Sequence[int],
    rng: np.random.Generator,
    inside: NumpyInside | None = None,
) -> Answer:
    """Answer in shuffled batches whose sizes are drawn from `sizes`, and put the answers back in order."""
    whole = answering(model, instance, inside)

    def answer(query: Query) -> Reply:
        order = rng.permutation(len(query.rows))
        ends = np.cumsum(rng.choice(sizes, len(order)))
        batches = np.split(order, ends[ends < len(order)])
        replies = [whole(some(query, at)) for at in batches]
        return Reply(*(in_order(field, replies, np.argsort(order)) for field in REPLY_FIELDS))

    return answer


REPLY_FIELDS = tuple(field.name for field in fields(Reply))


def in_order(field: str, replies: Sequence[Reply], back: Array) -> Array | None:
    """One field of the replies to shuffled rows, in the order of the question."""
    parts = [getattr(reply, field) for reply in replies]
    return None if parts[0] is None else np.concatenate(parts)[back]


def some(query: Query, at: Array) -> Query:
    """The question about some of its rows."""
    target, reference = query.target, query.reference
    return replace(
        query,
        rows=query.rows.take(at),
        target=target[at] if isinstance(target, np.ndarray) else target,
        reference=reference if reference is None or len(reference) == 1 else reference[at],
    )


def instance_of(modality: Modality, *arrays: Array, **spec: object) -> Instance:
    """An instance with inputs "x0", "x1", ...; `spec` are fields of ModelSpec."""
    inputs = {f"x{i}": array for i, array in enumerate(arrays)}
    return Instance(inputs, ModelSpec(modality=modality, **spec))  # type: ignore[arg-type]


def subject_of(
    instance: Instance, outputs: int = 1, targets: int = 1, inside: NumpyInside | None = None
) -> Subject:
    """Asks about the first `targets` outputs of a model that says plain values."""
    labels = tuple(f"output {i}" for i in range(outputs))
    choices = tuple(Choice(index=i) for i in range(targets))
    return Subject(instance, Targets(choices, labels, ScoreKind.VALUE, Space.VALUE), inside)


def look(
    method: Method[Any, Any],
    instance: Instance,
    inside: NumpyInside,
    *,
    outputs: int = 1,
    targets: int | None = None,
    seed: int = 0,
    budget: int | None = None,
    told: Callable[[Query], None] = lambda query: None,
    **params: Any,
) -> Any:
    """The finding of a method that looks inside a model, whose scores are those of its first place.

    targets: how many of the first outputs are asked about, all by default; told: hears every query.
    """
    place = inside.places[0]
    answer = answering(lambda x: place.score(place.read(x), x), instance, inside)

    def noting(query: Query) -> Reply:
        told(query)
        return answer(query)

    given, rng = method.params(**params), np.random.default_rng(seed)
    subject = subject_of(instance, outputs, targets or outputs, inside)
    return run(method.run(method.prepare(subject, given, rng), given, rng), noting, budget)
