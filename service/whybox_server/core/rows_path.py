"""Rows on straight lines between two values, and rows with noise, described rather than built.

Fifty points between a photograph and its baseline travel as two pictures and fifty numbers; a noisy
one as the seed of its noise. What the values stand for, this file does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array, Buffers, Rows, described, digest, digests, row_digests


@dataclass(frozen=True, slots=True, eq=False)
class Along:
    """Rows start + alpha (end - start) of one buffer; exactly the start at alpha 0, the end at 1.

    The other inputs of the instance stay as they are.
    """

    name: str
    starts: Array  # (k, *shape) real numbers
    end: Array  # (*shape)
    alphas: Array  # (n,) float64 in [0, 1]
    rest: Mapping[str, Array]  # the instance's other inputs
    choice: Array | None = None  # (n,) which start each row takes; None is the first

    def __len__(self) -> int:
        return len(self.alphas)

    def take(self, at: Array) -> Along:
        choice = None if self.choice is None else self.choice[at]
        return Along(self.name, self.starts, self.end, self.alphas[at], self.rest, choice)

    def keys(self) -> list[bytes]:
        recipe = digest(
            b"along",
            self.name.encode(),
            *described(self.starts),
            *described(self.end),
            *(piece for name in sorted(self.rest) for piece in (name.encode(), *described(self.rest[name]))),
        )
        # At the end it does not matter where a row set out; adding 0 turns -0 into 0.
        choice = np.where(self.alphas == 1, 0, 0 if self.choice is None else self.choice)
        numbers = np.stack([self.alphas + 0.0, choice.astype(np.float64)], axis=1)
        return digests(recipe, numbers.view(np.uint8))

    def write(self, at: Array, out: Buffers) -> None:
        buffer = out[self.name]
        dtype = np.result_type(self.end.dtype, np.float32)
        step, scratch, of = np.empty(self.end.shape, dtype), np.empty(self.end.shape, dtype), -1
        for position, row in enumerate(at):
            alpha = self.alphas[row]
            number = 0 if self.choice is None else int(self.choice[row])
            start = self.starts[number]
            if alpha == 1:
                buffer[position] = self.end
                continue
            if number != of:
                np.subtract(self.end, start, out=step)
                of = number
            np.multiply(step, dtype.type(alpha), out=scratch)
            scratch += start
            buffer[position] = scratch
        for name, array in self.rest.items():
            out[name][: len(at)] = array


@dataclass(frozen=True, slots=True, eq=False)
class Noisy:
    """Rows of another description plus factor x scale x normal noise in one buffer, drawn from seeds."""

    rows: Rows
    name: str
    scale: Array  # standard deviations of a row of factor 1, broadcastable to its shape
    factors: Array  # (n,) float64
    seeds: Array  # (n,) unsigned integers

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, at: Array) -> Noisy:
        return Noisy(self.rows.take(at), self.name, self.scale, self.factors[at], self.seeds[at])

    def keys(self) -> list[bytes]:
        inner = np.array([np.frombuffer(key, np.uint8) for key in self.rows.keys()])  # (n, KEY_BYTES)
        recipe = digest(b"noisy", self.name.encode(), *described(self.scale))
        return row_digests(recipe, inner, self.factors.astype("<f8"), self.seeds.astype("<u8"))

    def write(self, at: Array, out: Buffers) -> None:
        self.rows.write(at, out)
        buffer = out[self.name]
        for position, row in enumerate(at):
            if self.factors[row]:
                drawn = noise(int(self.seeds[row]), buffer.shape[1:])
                buffer[position] += (drawn * (self.scale * self.factors[row])).astype(buffer.dtype)


def noise(seed: int, shape: tuple[int, ...]) -> Array:
    """Standard normal draws, float32, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
