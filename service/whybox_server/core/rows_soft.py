"""Rows that blend an instance with a background through a soft mask, described rather than built.

A mask of 224 x 224 numbers travels as its coarse grid and a shift, and is enlarged at the model's
door. How a grid is enlarged is data, a matrix per axis; what the masks are for, this file does not
know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from whybox_server.core.rows import Array, Buffers, described, digest, digests, row_digests


@dataclass(frozen=True, slots=True, eq=False)
class Soft:
    """Rows x M + b (1 - M) of one input; the other inputs stay as they are.

    M = E_1[s_1:] g E_2[s_2:]' is the row's grid g, enlarged along every place by its matrix E from
    its shift s on, as far as the instance reaches, and clipped to [0, 1]; 1 keeps. Where M is 1 the
    row is the instance and where it is 0 the background, exactly. Whole numbers are rounded.

    places: axes of the instance that masks run along, ascending; one or two. The other axes, those
    of channels, share a mask.
    """

    name: str
    instance: Array  # (*shape)
    background: Array  # (k, *shape): k alternatives for "absent"
    places: tuple[int, ...]
    enlarge: tuple[Array, ...]  # per place (length + most shift, cells) float32; rows sum to 1
    grids: Array  # (n, *cells) bool, or floats in [0, 1]
    shifts: Array | None = None  # (n, places) integers; None is 0
    choice: Array | None = None  # (n,) which background each row takes; None is the first
    rest: Mapping[str, Array] | None = None  # the instance's other inputs

    def __len__(self) -> int:
        return len(self.grids)

    def take(self, at: Array) -> Soft:
        shifts = None if self.shifts is None else self.shifts[at]
        choice = None if self.choice is None else self.choice[at]
        return Soft(
            self.name,
            self.instance,
            self.background,
            self.places,
            self.enlarge,
            self.grids[at],
            shifts,
            choice,
            self.rest,
        )

    def keys(self) -> list[bytes]:
        arrays = (self.instance, self.background, *self.enlarge)
        rest = self.rest or {}
        recipe = digest(
            b"soft",
            self.name.encode(),
            repr(self.places).encode(),
            *(piece for array in arrays for piece in described(array)),
            self.grids.dtype.str.encode(),
            *(piece for name in sorted(rest) for piece in (name.encode(), *described(rest[name]))),
        )
        n = len(self)
        shifts = np.zeros((n, len(self.places)), "<i4") if self.shifts is None else self.shifts.astype("<i4")
        choice = np.zeros((n, 1), "<i4") if self.choice is None else self.choice[:, None].astype("<i4")
        grids = np.ascontiguousarray(self.grids).reshape(n, -1)
        bits = [array.view(np.uint8) for array in (grids, np.ascontiguousarray(shifts), choice)]
        return digests(recipe, np.hstack(bits))

    def mask(self, row: int) -> Array:
        """M of one row, float32 in [0, 1], in the shape of the places."""
        shifts = [0] * len(self.places) if self.shifts is None else self.shifts[row]
        first, *further = (
            matrix[shift : shift + self.instance.shape[axis]]
            for matrix, shift, axis in zip(self.enlarge, shifts, self.places, strict=True)
        )
        enlarged = first @ self.grids[row].astype(np.float32)
        for matrix in further:
            enlarged = enlarged @ matrix.T
        return np.asarray(np.clip(enlarged, 0, 1, out=enlarged))

    def write(self, at: Array, out: Buffers) -> None:
        shape, end = self.instance.shape, self.places[-1] + 1
        # Channels behind the places are spelt out: numpy is slow to broadcast along a short last axis.
        repeats = prod(shape[end:])
        spread = tuple(shape[axis] if axis in self.places or axis >= end else 1 for axis in range(len(shape)))
        # Half floats and small integers are blended in float32, everything larger in float64.
        dtype = np.result_type(self.instance.dtype, np.float32)
        kept, hidden = np.empty(shape, dtype), np.empty(shape, dtype)
        for position, row in enumerate(at):
            mask = self.mask(int(row))
            mask = (np.repeat(mask, repeats, axis=-1) if repeats > 1 else mask).reshape(spread)
            background = self.background[0 if self.choice is None else self.choice[row]]
            np.multiply(self.instance, mask, out=kept)
            np.subtract(1, mask, out=mask)
            np.multiply(background, mask, out=hidden)
            kept += hidden
            if self.instance.dtype.kind in "iu":
                np.rint(kept, out=kept)
            np.copyto(out[self.name][position, ...], kept, casting="unsafe")
        for name, array in (self.rest or {}).items():
            out[name][: len(at)] = array


@dataclass(frozen=True, slots=True, eq=False)
class Patched:
    """Rows that put given values into one box of an instance each; the rest stays as it is.

    All boxes of one description have the same size, that of their values.
    """

    name: str
    instance: Array  # (*shape)
    starts: Array  # (n, rank) integers
    values: Array  # (n, *box) in the instance's dtype
    rest: Mapping[str, Array]  # the instance's other inputs

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, at: Array) -> Patched:
        return Patched(self.name, self.instance, self.starts[at], self.values[at], self.rest)

    def keys(self) -> list[bytes]:
        recipe = digest(
            b"patched",
            self.name.encode(),
            *described(self.instance),
            repr(self.values.shape[1:]).encode(),
            *(piece for name in sorted(self.rest) for piece in (name.encode(), *described(self.rest[name]))),
        )
        return row_digests(recipe, self.starts.astype("<i4"), self.values)

    def write(self, at: Array, out: Buffers) -> None:
        buffer, size = out[self.name], self.values.shape[1:]
        for position, row in enumerate(at):
            buffer[position] = self.instance
            box = tuple(
                slice(start, start + side) for start, side in zip(self.starts[row], size, strict=True)
            )
            buffer[position][box] = self.values[row]
        for name, array in self.rest.items():
            out[name][: len(at)] = array


def bilinear(length: int, cells: int, extra: int = 0) -> Array:
    """Enlarges `cells` numbers to length + extra by linear interpolation: (length + extra, cells) float32.

    Cells are points at the middles of equal spans, as picture libraries enlarge; beyond the first and
    the last middle their value goes on.
    """
    total = length + extra
    at = np.clip((np.arange(total) + 0.5) * cells / total - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(np.int64), max(cells - 2, 0))
    share = at - low
    matrix = np.zeros((total, cells), np.float32)
    matrix[np.arange(total), low] = 1 - share
    if cells > 1:
        matrix[np.arange(total), low + 1] = share
    return matrix
