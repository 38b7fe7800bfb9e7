"""Rows whose segments are moved away from an instance, by amounts or to one of a few values.

Amounts travel instead of pixels: a picture of 150,000 numbers whose 50 superpixels are moved is 50
numbers. Where a moved element may end is data of its input; why it is moved, this file does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array, Buffers, described, digest, digests, row_digests

CHUNK_CELLS = 2**20  # elements built at once: 8 MB in float64, of which some copies are held


@dataclass(frozen=True, slots=True, eq=False)
class Movable:
    """One model input and how its segments move; all arrays have the input's shape, numbers are float64.

    An element becomes origin + amount x step, kept in [low, high]. With `nothing` it never comes nearer
    to it than the origin is: it is then put on the nearer of the origin and the origin's mirror image.
    """

    name: str
    dtype: np.dtype[np.generic]
    origin: Array
    step: Array
    low: Array
    high: Array
    segments: Array  # int32; -1 never moves
    nothing: Array | None = None

    def at(self, amounts: Array, nudges: Array | None = None) -> Array:
        """Values for amounts, (n, segments): (n, *shape) in the input's dtype.

        nudges: (n, segments) added afterwards, outside of all limits, to feel the slope.
        """
        values = self.origin + per_element(amounts, self.segments) * self.step
        values = np.clip(values, self.low, self.high)
        if self.dtype.kind in "iu":
            values = np.rint(values)
        if self.nothing is not None:
            values = self._kept_away(values, self.nothing)
        if nudges is not None:
            values += per_element(nudges, self.segments) * self.step
            if self.dtype.kind in "iu":
                values = np.rint(values)
        return np.asarray(values.astype(self.dtype))

    def _kept_away(self, values: Array, nothing: Array) -> Array:
        """The nearest values that are as far from `nothing` as the origin."""
        mirror = 2 * nothing - self.origin
        near = np.abs(values - nothing) < np.abs(self.origin - nothing)
        beyond = (self.low <= mirror) & (mirror <= self.high)
        to_mirror = beyond & (np.abs(values - mirror) < np.abs(values - self.origin))
        return np.where(near, np.where(to_mirror, mirror, self.origin), values)

    def digest(self) -> bytes:
        """Identifies everything a moved row depends on but its amounts."""
        arrays = [self.origin, self.step, self.low, self.high, self.segments]
        arrays += [] if self.nothing is None else [self.nothing]
        return digest(self.name.encode(), self.dtype.str.encode(), *(p for a in arrays for p in described(a)))


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Rows whose segments are moved by amounts, (n, segments) float64."""

    parts: tuple[Movable, ...]
    amounts: Array
    rest: Mapping[str, Array]  # the instance's other inputs
    nudges: Array | None = None  # like amounts

    def __len__(self) -> int:
        return len(self.amounts)

    def take(self, at: Array) -> Moved:
        nudges = None if self.nudges is None else self.nudges[at]
        return Moved(self.parts, self.amounts[at], self.rest, nudges)

    def keys(self) -> list[bytes]:
        recipe = digest(b"moved", *(part.digest() for part in self.parts), *of_rest(self.rest))
        nudges = np.zeros_like(self.amounts) if self.nudges is None else self.nudges
        # Adding 0 turns -0 into 0, which is the same row.
        bits = np.ascontiguousarray(np.hstack([self.amounts, nudges]) + 0.0)
        return digests(recipe, bits.view(np.uint8))

    def write(self, at: Array, out: Buffers) -> None:
        for part in self.parts:
            chunk = max(1, CHUNK_CELLS // max(1, part.origin.size))
            for lo in range(0, len(at), chunk):
                rows = at[lo : lo + chunk]
                nudges = None if self.nudges is None else self.nudges[rows]
                out[part.name][lo : lo + len(rows)] = part.at(self.amounts[rows], nudges)
        for name, array in self.rest.items():
            out[name][: len(at)] = array


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """One model input and the values its elements may take: (k, *shape) in its dtype."""

    name: str
    values: Array
    segments: Array  # int32 in the input's shape; -1 always takes the first

    def at(self, states: Array) -> Array:
        """Values for states, (n, segments) integers in [0, k): (n, *shape)."""
        return np.take_along_axis(self.values, per_element(states, self.segments), axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Rows in which every segment takes one of its options: states, (n, segments) integers."""

    parts: tuple[Options, ...]
    states: Array
    rest: Mapping[str, Array]  # the instance's other inputs

    def __len__(self) -> int:
        return len(self.states)

    def take(self, at: Array) -> Picked:
        return Picked(self.parts, self.states[at], self.rest)

    def keys(self) -> list[bytes]:
        recipe = digest(
            b"picked",
            *(
                piece
                for part in self.parts
                for piece in (part.name.encode(), *described(part.values), *described(part.segments))
            ),
            *of_rest(self.rest),
        )
        return row_digests(recipe, self.states.astype("<i4"))

    def write(self, at: Array, out: Buffers) -> None:
        for part in self.parts:
            for position, row in enumerate(at):
                out[part.name][position, ...] = part.at(self.states[row : row + 1])[0]
        for name, array in self.rest.items():
            out[name][: len(at)] = array


def per_element(numbers: Array, segments: Array) -> Array:
    """Numbers of segments, (n, s), spread over their elements, (n, *shape); 0 where there is none."""
    padded = np.pad(numbers, ((0, 0), (0, 1)))  # one more at the end serves segment -1
    return np.asarray(padded[:, segments])


def of_rest(rest: Mapping[str, Array]) -> list[bytes]:
    """What identifies inputs that stay as they are."""
    return [piece for name in sorted(rest) for piece in (name.encode(), *described(rest[name]))]
