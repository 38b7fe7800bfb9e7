"""Runs batches of rows on a session: rows are written slice by slice into buffers that are reused.

It pads and splits as the model's batch axis demands, and knows nothing of what the scores mean but
how many there are per row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort

from whybox_server.core.errors import ModelFailed, ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.core.spec import BatchAxis, ScoreKind
from whybox_server.serving.lane import ENDLESS, Answers, Patience, Slice
from whybox_server.serving.onnx.device_rows import DeviceRows

BUFFER_BYTES = 64 << 20  # per thread: 106 rows of a 224x224x3 float image


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How one graph is called with rows of one shape; settled when it is loaded.

    outputs: the scores, then whatever else a row's answer holds. shapes, dtypes: of one row, by buffer.
    rows: rows of every call if that is fixed. mirror: what a single column of scores holds if it is
    the second of two classes; None if it is not. feeds: the input that a buffer is for, where it is
    not called alike; buffers that the graph does not read are filled and left. nodes: by provider.
    """

    session: ort.InferenceSession
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    batch: BatchAxis
    rows: int | None = None
    mirror: ScoreKind | None = None
    device_rows: DeviceRows | None = None
    feeds: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> Mapping[str, str]:
        """The graph's inputs by buffer."""
        read = {entry.name for entry in self.session.get_inputs()}
        named = {buffer: self.feeds.get(buffer, buffer) for buffer in self.shapes}
        return {buffer: name for buffer, name in named.items() if name in read}

    @property
    def most_rows(self) -> int:
        return most_rows(self.shapes, self.dtypes)


class OnnxRunner:
    """Implements `serving.lane.Runner`. Threads share the session; each has its own buffers."""

    def __init__(self, plan: Plan, replicas: int) -> None:
        self._plan: Plan | None = plan
        self._replicas = replicas
        self._local = threading.local()

    @property
    def replicas(self) -> int:
        return self._replicas

    @property
    def most_rows(self) -> int:
        """Rows that fit into the buffers of a thread."""
        return 1 if self._plan is None else self._plan.most_rows

    @property
    def nodes(self) -> Mapping[str, int]:
        """Of the graph, by the provider that runs them."""
        return {} if self._plan is None else self._plan.nodes

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        plan = self._plan
        if plan is None:
            raise ModelFailed("the model was closed while rows were waiting for it; ask again")
        most = min(plan.most_rows, pad_to or plan.most_rows)
        most = plan.rows or most
        width = plan.rows or (pad_to and most)  # rows of every call; None: as many as there are
        answers = [self._answers(plan, part, width) for part in split(slices, most)]
        return answers[0] if len(answers) == 1 else tuple(map(np.concatenate, zip(*answers, strict=True)))

    def close(self) -> None:
        """Let go of buffers and session; a call that is running still ends."""
        self._plan = None
        self._local = threading.local()

    def _answers(self, plan: Plan, slices: Sequence[Slice], width: int | None) -> Answers:
        """(n, ...) each for rows that fit into one set of buffers."""
        count = sum(len(one.at) for one in slices)
        width = width or count
        raw = self._device_answers(plan, slices, width)
        if raw is None:
            raw = self._host_answers(plan, slices, count, width)
        scores, *more = (as_rows(array, count, width) for array in raw)
        return (mirrored(scores.reshape(count, -1), plan.mirror), *more)

    def _device_answers(self, plan: Plan, slices: Sequence[Slice], width: int) -> list[Array] | None:
        """None if these rows must be built on the host."""
        values = plan.device_rows.build(slices, width) if plan.device_rows is not None else None
        if values is None:
            return None
        binding = plan.session.io_binding()
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for name in plan.outputs:
            binding.bind_output(name)
        plan.session.run_with_iobinding(binding)
        return [np.asarray(array) for array in binding.copy_outputs_to_cpu()]

    def _host_answers(self, plan: Plan, slices: Sequence[Slice], count: int, width: int) -> list[Array]:
        buffers = self._buffers(plan, width)
        start = 0
        for one in slices:
            one.rows.write(one.at, {name: buffer[start:] for name, buffer in buffers.items()})
            start += len(one.at)
        fed = {name: buffers[buffer] for buffer, name in plan.inputs.items()}
        outputs = list(plan.outputs)
        if plan.batch is BatchAxis.NONE:
            feeds = [{name: buffer[at, ...] for name, buffer in fed.items()} for at in range(count)]
            calls = [plan.session.run(outputs, feed) for feed in feeds]
            return [_filled(np.stack(answers), width) for answers in zip(*calls, strict=True)]
        for buffer in fed.values():
            buffer[count:width] = buffer[count - 1]
        feed = {name: buffer[:width] for name, buffer in fed.items()}
        return [np.asarray(answer) for answer in plan.session.run(outputs, feed)]

    def _buffers(self, plan: Plan, rows: int) -> Mapping[str, Array]:
        """Room for at least this many rows, of this thread."""
        held: dict[str, Array] = getattr(self._local, "buffers", {})
        if not held or len(next(iter(held.values()))) < rows:
            room = plan.rows or max(rows, min(1 << (rows - 1).bit_length(), plan.most_rows))
            held = {name: np.empty((room, *shape), plan.dtypes[name]) for name, shape in plan.shapes.items()}
            self._local.buffers = held
        return held


def most_rows(shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, np.dtype[Any]]) -> int:
    """Rows that fit into the buffers of a thread, at least 1."""
    row = sum(dtypes[name].itemsize * int(np.prod(shape)) for name, shape in shapes.items())
    return max(1, BUFFER_BYTES // max(row, 1))


def split(slices: Sequence[Slice], most: int) -> Iterator[list[Slice]]:
    """The same rows in groups of `most`, the last one smaller; slices are cut where a group is full."""
    group: list[Slice] = []
    room = most
    for rows, at in slices:
        rest = np.asarray(at)
        while len(rest):
            group.append(Slice(rows, rest[:room]))
            room -= len(group[-1].at)
            rest = rest[len(group[-1].at) :]
            if room == 0:
                yield group
                group, room = [], most
    if group:
        yield group


def as_rows(raw: Array, count: int, width: int) -> Array:
    """What the model said of `count` of `width` rows; float64 stays, all else becomes float32."""
    if raw.ndim == 0 or len(raw) != width:
        answered = len(raw) if raw.ndim else "no"
        raise ModelOutputInvalid(f"the model answered {answered} rows to {width}; see spec.batch")
    rows = raw[:count]
    return rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)


def mirrored(scores: Array, kind: ScoreKind | None) -> Array:
    """Both classes of a binary classifier that says one number, (n, 2); anything else as it is."""
    if kind is None or scores.shape[1] != 1:
        return scores
    other = 1 - scores if kind is ScoreKind.PROBABILITY else -scores
    return np.hstack([other, scores])


def _filled(answers: Array, width: int) -> Array:
    return answers[np.minimum(np.arange(width), len(answers) - 1)]
