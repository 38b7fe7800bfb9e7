"""Builds masked rows on the device the model runs on, with the graph of `graph.prelude`.

The prelude is a session of its own whose results stay on the device and are bound as the model's
inputs: one copy of the weights serves masked rows and all others. Rows that are no masked instance,
or that hold strings, are left to the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from whybox_server.core.rows import Array, Masked, Part, Rows, Stacked
from whybox_server.graph.prelude import MASKS, OWNER, PLAIN_TYPES, PartNames, PartType, prelude
from whybox_server.serving.lane import Slice
from whybox_server.serving.onnx.session import CUDA, Execution, Opened, open_session
from whybox_server.serving.onnx.signature import DTYPES


@dataclass(frozen=True, slots=True, eq=False)
class DeviceRows:
    """A loaded prelude. It keeps nothing between calls, so that threads may share it."""

    session: ort.InferenceSession
    names: tuple[str, ...]  # the model's inputs
    device: str

    def build(self, slices: Sequence[Slice], width: int) -> dict[str, ort.OrtValue] | None:
        """The rows as values on the device, (width, *shape) by input, the last one repeated to fill up.

        None if these rows must be built on the host.
        """
        masked = [piece for one in slices for piece in _masked(one.rows, one.at)]
        if any(piece is None or {part.name for part in piece.parts} != {*self.names} for piece in masked):
            return None
        feeds = feeds_of([piece for piece in masked if piece is not None], width)
        binding = self.session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for name in self.names:
            binding.bind_output(name, self.device)
        self.session.run_with_iobinding(binding)
        return dict(zip(self.names, binding.get_outputs(), strict=True))


def open_device_rows(
    ranks: Mapping[str, int], dtypes: Mapping[str, np.dtype[Any]], execution: Execution
) -> DeviceRows | None:
    """Load the prelude of a model's inputs; None if one of them cannot be built on a device."""
    codes = {dtype: code for code, dtype in DTYPES.items() if code in PLAIN_TYPES}
    if any(dtype not in codes for dtype in dtypes.values()):
        return None
    parts = [PartType(name, codes[dtypes[name]], rank) for name, rank in ranks.items()]
    opened: Opened = open_session(prelude(parts).SerializeToString(), execution)
    return DeviceRows(opened.session, tuple(ranks), "cuda" if opened.provider == CUDA else "cpu")


def feeds_of(pieces: Sequence[Masked], width: int) -> dict[str, Array]:
    """What the prelude reads for these rows; instances and backgrounds stand there once per explanation."""
    owners: dict[int, tuple[Part, ...]] = {}
    for piece in pieces:
        owners.setdefault(id(piece.parts), piece.parts)
    number = {key: at for at, key in enumerate(owners)}
    owner = np.concatenate([np.full(len(piece), number[id(piece.parts)], np.int64) for piece in pieces])
    choice = np.concatenate(
        [np.zeros(len(p), np.int64) if p.choice is None else p.choice.astype(np.int64) for p in pieces]
    )
    feeds = {OWNER: _filled(owner, width), MASKS: _filled(_masks(pieces), width)}
    for at in range(len(pieces[0].parts)):
        name = pieces[0].parts[at].name
        parts = [next(part for part in own if part.name == name) for own in owners.values()]
        feeds |= _part_feeds(PartNames.of(name), parts, owner, choice, width)
    return feeds


def _part_feeds(
    names: PartNames, parts: Sequence[Part], owner: Array, choice: Array, width: int
) -> dict[str, Array]:
    starts = np.cumsum([0] + [len(part.background) for part in parts])[:-1]  # (m,)
    rank = parts[0].instance.ndim
    segments = [
        part.segments.reshape((1,) * (rank - part.segments.ndim) + part.segments.shape) for part in parts
    ]
    common = np.broadcast_shapes(*(one.shape for one in segments))
    return {
        names.instances: np.stack([part.instance for part in parts]),
        names.backgrounds: np.concatenate([part.background for part in parts]),
        names.background: _filled(starts[owner] + choice, width),
        names.segments: np.stack([np.broadcast_to(one, common) for one in segments]).astype(np.int32),
    }


def _masks(pieces: Iterable[Masked]) -> Array:
    """(n, s + 1): masks of all pieces under each other, padded with True, which serves segment -1."""
    pieces = list(pieces)
    segments = max(piece.masks.shape[1] for piece in pieces)
    masks = np.ones((sum(map(len, pieces)), segments + 1), dtype=bool)
    start = 0
    for piece in pieces:
        masks[start : start + len(piece), : piece.masks.shape[1]] = piece.masks
        start += len(piece)
    return masks


def _filled(array: Array, width: int) -> Array:
    """The last row repeated up to this many."""
    return np.ascontiguousarray(array[np.minimum(np.arange(width), len(array) - 1)])


def _masked(rows: Rows, at: Array) -> list[Masked | None]:
    """These rows as masked instances, in order; None in place of what is none."""
    taken = rows.take(at)
    if isinstance(taken, Stacked):
        return [piece for block in taken.blocks for piece in _masked(block, np.arange(len(block)))]
    return [taken if isinstance(taken, Masked) else None]
