"""How patches of typical pictures or series vary, and what one looks like given its surroundings.

Patches of all positions are one population, each channel for itself, and that population is taken for
normal (Zintgraf et al. 2017, section 3.1). It knows no instance and draws nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from whybox_server.core.rows import Array
from whybox_server.perturb.tiling import Offset

MOST_PATCHES = 20_000  # as many as the reference implementation looks at
GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly and follow no row or column
JITTER = 1e-6  # of its variance: the least that a number varies on its own
ROUNDING = 1e-7  # of its mean: what a number that never varies may seem to vary, in float32
BLOCK = 2**20  # numbers of patches held at once


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """Normal law of some numbers given the others.

    Mean mu_1 + S_12 S_22^-1 (x_2 - mu_2), covariance S_11 - S_12 S_22^-1 S_21.
    """

    asked: Array  # (a,) which numbers
    known: Array  # (b,) the others
    mean: Array  # (a + b,)
    slope: Array  # (a, b): S_12 S_22^-1
    root: Array  # (a, a): root root' is the covariance

    def centre(self, values: Array) -> Array:
        """Means of the asked numbers given the others of values, (n, a + b) -> (n, a)."""
        off = values[:, self.known] - self.mean[self.known]
        return np.asarray(self.mean[self.asked] + off @ self.slope.T)

    def draw(self, values: Array, normals: Array) -> Array:
        """Values (n, a + b) and standard normals (n, draws, a) to draws, (n, draws, a)."""
        return np.asarray(self.centre(values)[:, None] + normals @ self.root.T)


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """A multivariate normal law and from how many vectors it was learnt."""

    mean: Array  # (d,)
    covariance: Array  # (d, d)
    count: int

    def given(self, asked: Array) -> Conditional:
        """The law of the numbers at `asked`, (a,), given all others.

        A little variance is added to every number, so that numbers which determine each other, or never
        vary, are no division by zero.
        """
        least = (ROUNDING * self.mean) ** 2 + np.finfo(np.float64).tiny
        covariance = self.covariance + np.diag(JITTER * np.diag(self.covariance) + least)
        known = np.setdiff1d(np.arange(len(self.mean)), asked)
        across = covariance[np.ix_(asked, known)]  # (a, b)
        slope = np.linalg.solve(covariance[np.ix_(known, known)], across.T).T if len(known) else across
        left = covariance[np.ix_(asked, asked)] - slope @ across.T
        values, vectors = np.linalg.eigh((left + left.T) / 2)
        return Conditional(asked, known, self.mean, slope, vectors * np.sqrt(np.maximum(values, 0)))


def fit(rows: Array) -> Gaussian:
    """Mean and covariance of vectors, (n, d)."""
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Gaussian(mean, centred.T @ centred / len(rows), len(rows))


def fit_patches(channel: Array, sides: tuple[int, ...]) -> Gaussian:
    """Mean and covariance of the patches of one channel, (n, *places), flattened in C order.

    All patches there are, or MOST_PATCHES of them, always the same and evenly spread.
    """
    windows = sliding_window_view(channel, sides, axis=tuple(range(1, channel.ndim)))  # (n, *starts, *sides)
    positions = windows.shape[: channel.ndim]
    total, dims = prod(positions), prod(sides)
    count = min(total, MOST_PATCHES)
    spread = (
        np.arange(total) if count == total else (np.arange(1, count + 1) * GOLDEN % 1 * total).astype(int)
    )
    middle = float(channel.mean(dtype=np.float64))  # off the sums, so that they lose no digits
    sums, products = np.zeros(dims), np.zeros((dims, dims))
    step = max(1, BLOCK // dims)
    for lo in range(0, count, step):
        at = np.unravel_index(spread[lo : lo + step], positions)
        block = windows[at].reshape(-1, dims).astype(np.float64) - middle
        sums += block.sum(axis=0)
        products += block.T @ block
    mean = sums / count
    return Gaussian(mean + middle, products / count - np.outer(mean, mean), count)


@dataclass(frozen=True, slots=True, eq=False)
class PatchLaws:
    """How a patch varies given its surroundings, per place of the one in the other and per channel."""

    laws: Mapping[Offset, tuple[Conditional, ...]]
    count: int  # patches they were learnt from


def patch_laws(
    background: Array, outer: tuple[int, ...], inner: tuple[int, ...], offsets: tuple[Offset, ...]
) -> PatchLaws:
    """Learn from typical arrays, (n, channels, *places).

    outer, inner: sides of the surroundings and of the patch removed from their middle.
    """
    gaussians = [fit_patches(background[:, c], outer) for c in range(background.shape[1])]
    laws = {}
    for offset in offsets:
        box = tuple(slice(start, start + side) for start, side in zip(offset, inner, strict=True))
        asked = np.arange(prod(outer)).reshape(outer)[box].ravel()
        laws[offset] = tuple(gaussian.given(asked) for gaussian in gaussians)
    return PatchLaws(laws, gaussians[0].count)


def patches_shown(count: int, places: tuple[int, ...], sides: tuple[int, ...]) -> int:
    """How many patches of these sides `count` arrays have."""
    return count * prod(length - side + 1 for length, side in zip(places, sides, strict=True))
