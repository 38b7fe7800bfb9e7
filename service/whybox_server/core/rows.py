"""Rows of a query, described rather than built.

A thousand masked photographs are 600 MB of pixels and 50 KB of masks. A `Rows` object holds the
description: it is deduplicated and cached by its recipe, and becomes arrays slice by slice at the
model's door, in a buffer that is reused. It knows nothing of models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whybox_server.core.blend import blend

Array: TypeAlias = NDArray[Any]
Buffers: TypeAlias = Mapping[str, Array]

KEY_BYTES = 16  # 128 bits: a collision among 10^12 rows has probability 1.5e-15


class Rows(Protocol):
    """Model inputs, one per row, in order."""

    def __len__(self) -> int: ...

    def take(self, at: Array) -> Rows:
        """The rows at these indices, (k,) integers, still a description."""
        ...

    def keys(self) -> list[bytes]:
        """A digest of `KEY_BYTES` per row: equal digests, equal rows."""
        ...

    def write(self, at: Array, out: Buffers) -> None:
        """Build the rows `at`, (k,), into out[input][0:k]. Every input of the instance is written."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One model input of an instance, what replaces it where hidden, and which segment is where."""

    name: str
    instance: Array  # (*shape)
    background: Array  # (k, *shape): k alternatives for "absent"
    segments: Array  # int32, broadcastable to shape; -1 is never hidden

    def digest(self) -> bytes:
        """Identifies everything a masked row depends on but its mask."""
        arrays = (self.instance, self.background, self.segments)
        return digest(self.name.encode(), *(piece for array in arrays for piece in described(array)))


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """Rows that hide some segments of an instance: mask True keeps, False takes the background.

    masks: (n, segments) bool. choice: (n,) which background each row takes; None is the first.
    """

    parts: tuple[Part, ...]
    masks: Array
    choice: Array | None = None

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, at: Array) -> Masked:
        return Masked(self.parts, self.masks[at], None if self.choice is None else self.choice[at])

    def keys(self) -> list[bytes]:
        recipe = digest(b"masked", *(part.digest() for part in self.parts))
        bits = np.packbits(self.masks, axis=1)
        if self.choice is not None:
            # A row that keeps everything is the instance, whatever background it would have taken.
            choice = np.where(self.masks.all(axis=1), 0, self.choice).astype("<i4")
            bits = np.hstack([bits, choice[:, None].view(np.uint8)])
        return digests(recipe, bits)

    def write(self, at: Array, out: Buffers) -> None:
        choice = None if self.choice is None else self.choice[at]
        for part in self.parts:
            blend(part.instance, part.background, part.segments, self.masks[at], choice, out[part.name])


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Rows that hide one box of an instance each; an empty box leaves the instance as it is.

    starts, stops: (n, rank) integers, half open.
    """

    name: str
    instance: Array  # (*shape)
    background: Array  # (*shape)
    starts: Array
    stops: Array
    rest: Mapping[str, Array]  # the instance's other inputs, never hidden

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, at: Array) -> Windows:
        return Windows(
            self.name, self.instance, self.background, self.starts[at], self.stops[at], self.rest
        )

    def keys(self) -> list[bytes]:
        recipe = digest(
            b"windows",
            self.name.encode(),
            *described(self.instance),
            *described(self.background),
            *(piece for name in sorted(self.rest) for piece in (name.encode(), *described(self.rest[name]))),
        )
        boxes = np.hstack([self.starts, self.stops]).astype("<i4")
        return digests(recipe, np.ascontiguousarray(boxes).view(np.uint8))

    def write(self, at: Array, out: Buffers) -> None:
        buffer = out[self.name]
        for position, row in enumerate(at):
            buffer[position] = self.instance
            box = tuple(map(slice, self.starts[row], self.stops[row]))
            buffer[position][box] = self.background[box]
        for name, array in self.rest.items():
            out[name][: len(at)] = array


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Rows that exist already, for small ones such as a table's: (n, *shape) per input."""

    inputs: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, at: Array) -> Samples:
        return Samples({name: array[at] for name, array in self.inputs.items()})

    def keys(self) -> list[bytes]:
        head = digest(
            b"samples",
            *(f"{n}|{a.dtype.str}|{a.shape[1:]}".encode() for n, a in sorted(self.inputs.items())),
        )
        return row_digests(head, *(array for _, array in sorted(self.inputs.items())))

    def write(self, at: Array, out: Buffers) -> None:
        for name, array in self.inputs.items():
            out[name][: len(at)] = array[at]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Rows of one string each: a text whose hidden segments are cut out or replaced by a token.

    pieces: the text, cut. segments: (pieces,) segment of each piece, -1 stays for ever.
    masks: (n, segments) bool, True keeps.
    """

    name: str
    pieces: tuple[str, ...]
    segments: Array
    masks: Array
    filler: str

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, at: Array) -> Texts:
        return Texts(self.name, self.pieces, self.segments, self.masks[at], self.filler)

    def keys(self) -> list[bytes]:
        recipe = digest(
            b"texts",
            self.name.encode(),
            self.filler.encode(),
            *(piece.encode() for piece in self.pieces),
            *described(self.segments),
        )
        return digests(recipe, np.packbits(self.masks, axis=1))

    def text(self, row: int) -> str:
        """One row, as the model reads it."""
        keep = np.append(self.masks[row], True)[self.segments]
        return "".join(p if k else self.filler for p, k in zip(self.pieces, keep, strict=True))

    def write(self, at: Array, out: Buffers) -> None:
        buffer = out[self.name]
        for position, row in enumerate(at):
            buffer[position] = self.text(int(row))


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """Several descriptions, one after the other: one query out of several questions."""

    blocks: tuple[Rows, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def take(self, at: Array) -> Rows:
        return Stacked(tuple(block.take(local) for block, local in self._split(at)))

    def keys(self) -> list[bytes]:
        return [key for block in self.blocks for key in block.keys()]

    def write(self, at: Array, out: Buffers) -> None:
        start = 0
        for block, local in self._split(at):
            block.write(local, {name: array[start:] for name, array in out.items()})
            start += len(local)

    def _split(self, at: Array) -> list[tuple[Rows, Array]]:
        """Runs of indices that fall into the same block, in order, with indices inside it."""
        at = np.asarray(at)
        ends = np.cumsum([len(block) for block in self.blocks])
        owner = np.searchsorted(ends, at, side="right")
        runs = np.split(np.arange(len(at)), np.flatnonzero(np.diff(owner)) + 1)
        found = [(int(owner[run[0]]), run) for run in runs if len(run)]
        return [(self.blocks[b], at[run] - (ends[b] - len(self.blocks[b]))) for b, run in found]


def digest(*pieces: bytes) -> bytes:
    """A digest of `KEY_BYTES`; lengths are hashed too, so that ("ab", "c") differs from ("a", "bc")."""
    state = hashlib.blake2b(digest_size=KEY_BYTES)
    for piece in pieces:
        state.update(len(piece).to_bytes(8, "little"))
        state.update(piece)
    return state.digest()


def digests(recipe: bytes, bits: Array) -> list[bytes]:
    """A digest per row of bits, (n, k) uint8; short rows are their own digest's input, unpadded."""
    width = bits.shape[1]
    raw = np.ascontiguousarray(bits).tobytes()
    start = hashlib.blake2b(recipe, digest_size=KEY_BYTES)
    found = []
    for lo in range(0, len(raw), width) if width else [0] * len(bits):
        state = start.copy()
        state.update(raw[lo : lo + width])
        found.append(state.digest())
    return found


def row_digests(recipe: bytes, *arrays: Array) -> list[bytes]:
    """A digest per row of arrays, (n, *shape) each; the recipe tells their dtypes and shapes."""
    if any(array.dtype.kind in "OUS" for array in arrays):
        return [digest(recipe, *map(raw_bytes, row)) for row in zip(*arrays, strict=True)]
    # Rows of numbers are all equally long, and the recipe says where one input's bytes end.
    rows = [np.ascontiguousarray(array).reshape(len(array), prod(array.shape[1:])) for array in arrays]
    return digests(recipe, np.hstack([row.view(np.uint8) for row in rows]))


def described(array: Array) -> Sequence[bytes]:
    """What distinguishes an array: dtype, shape, bytes."""
    return (array.dtype.str.encode(), repr(array.shape).encode(), raw_bytes(array))


def raw_bytes(array: Array) -> bytes:
    """Bytes of an array; strings are length-prefixed UTF-8."""
    array = np.asarray(array)
    if array.dtype.kind not in "OUS":
        return np.ascontiguousarray(array).tobytes()
    texts = [str(value).encode() for value in array.ravel()]
    return b"".join(len(text).to_bytes(8, "little") + text for text in texts)
