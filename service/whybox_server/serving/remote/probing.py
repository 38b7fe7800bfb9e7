"""Asks an endpoint a few rows on purpose: does it answer, with what, and the same again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array, Samples
from whybox_server.serving.lane import Slice
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.determinism import Determinism, probe
from whybox_server.serving.remote.lanes import Reading, plain_runner
from whybox_server.serving.remote.model import RemoteModel

NUDGE = 1.01  # of every number: another row, though one that a model takes just as well
OPEN_LENGTH = 1  # of an axis of any length, where nobody gave a row


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """model: as it is known now. calls: how often rows were asked."""

    model: RemoteModel
    determinism: Determinism
    calls: int


def probed(model: RemoteModel, row: Mapping[str, Array]) -> Probed:
    """row: an instance, or {} for zeros and empty texts. Blocks.

    What is found stays with the endpoint, and is part of every later answer's provenance.
    Raises InputMismatch for a row that does not fit, and what the endpoint's runner raises.
    """
    session = model.session
    given = row or {info.name: blank(info) for info in model.rows}
    instance = model.fit(given, "row")
    rows = {name: np.stack([array, nudged(array)]) for name, array in instance.items()}
    shapes = {name: array.shape for name, array in instance.items()}
    runner = plain_runner(session, Reading(model.headers, labels=model.spec.labels), shapes)
    steps, calls = probe(rows, batched=session.described.batched), 0
    asked = next(steps)
    while True:
        count = len(next(iter(asked.values())))
        (scores,) = runner.run([Slice(Samples(dict(asked)), np.arange(count))], None)
        if not calls:
            model = model.settle(instance, scores[:1])
        calls += 1
        try:
            asked = steps.send(scores)
        except StopIteration as done:
            found: Determinism = done.value
            session.findings.determinism = str(found)
            return Probed(model, found, calls)


def blank(info: RowInfo) -> Array:
    """A row of zeros, or of empty texts."""
    shape = tuple(OPEN_LENGTH if length is None else length for length in info.shape)
    return np.full(shape, "" if info.dtype.kind == "O" else 0, info.dtype)


def nudged(array: Array) -> Array:
    """Nearly the same: whole numbers and texts are left alone."""
    return (array * NUDGE).astype(array.dtype) if array.dtype.kind == "f" else array
