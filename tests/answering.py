"""Models that are plain numpy functions, for tests: what a runtime is to the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Rows
from whybox_server.core.spec import Modality, ModelSpec, ScoreKind
from whybox_server.core.target import Choice, Space, Targets

Model = Callable[[Mapping[str, Array]], Array]  # (n, *shape) per input -> (n, outputs)
Answer = Callable[[Query], Reply]


def materialise(rows: Rows, instance: Instance, at: Array | None = None) -> dict[str, Array]:
    """Build rows as a runtime would: into buffers of the instance's shapes and dtypes."""
    at = np.arange(len(rows)) if at is None else at
    out = {name: np.empty((len(at), *array.shape), array.dtype) for name, array in instance.inputs.items()}
    rows.write(at, out)
    return out


def answering(model: Model, instance: Instance) -> Answer:
    """Answer whole queries at once."""
    return lambda query: Reply(np.asarray(model(materialise(query.rows, instance)), dtype=np.float64))


def answering_in_pieces(model: Model, instance: Instance, size: int, rng: np.random.Generator) -> Answer:
    """Answer in shuffled batches of `size` rows, and put the answers back in order."""

    def answer(query: Query) -> Reply:
        order = rng.permutation(len(query.rows))
        batches = [order[lo : lo + size] for lo in range(0, len(order), size)]
        scores = np.concatenate([model(materialise(query.rows.take(at), instance)) for at in batches])
        return Reply(scores[np.argsort(order)].astype(np.float64))

    return answer


def instance_of(modality: Modality, *arrays: Array, **spec: object) -> Instance:
    """An instance with inputs "x0", "x1", ...; `spec` are fields of ModelSpec."""
    inputs = {f"x{i}": array for i, array in enumerate(arrays)}
    return Instance(inputs, ModelSpec(modality=modality, **spec))  # type: ignore[arg-type]


def subject_of(instance: Instance, outputs: int = 1, targets: int = 1) -> Subject:
    """Asks about the first `targets` outputs of a model that says plain values."""
    labels = tuple(f"output {i}" for i in range(outputs))
    choices = tuple(Choice(index=i) for i in range(targets))
    return Subject(instance, Targets(choices, labels, ScoreKind.VALUE, Space.VALUE))
