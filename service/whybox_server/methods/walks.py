"""Walks from nothing to the instance, one segment after the other, and what is gained on the way.

It draws orders, lays out their coalitions, and sums up gains; it asks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array, Rows
from whybox_server.methods.coalitions import Game, dealt
from whybox_server.methods.method import Rng


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """Permutations, and the background rows that each of them is walked over."""

    ranks: Array  # (p, players) place of each segment in the order
    backgrounds: Array  # (p, b)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What is known after `count` permutations."""

    count: int
    means: Array  # (t, players)
    squares: Array  # (t, players) sums of squared deviations from the means
    empty: Array  # (t,) mean worth of the empty coalition

    @property
    def standard_errors(self) -> Array | None:
        """Of the means, (t, players); None after a single permutation."""
        if self.count < 2:  # a spread needs two
            return None
        return np.asarray(np.sqrt(self.squares / (self.count * (self.count - 1))))


def drawn(one: Game, count: int, per_coalition: int, rng: Rng) -> Walks:
    """Random orders; over a round, each background row is drawn as often as another, give or take one."""
    ranks = rng.permuted(np.tile(np.arange(one.players), (count, 1)), axis=1)
    places = dealt(len(one.backgrounds), count, per_coalition, rng)
    return Walks(ranks, one.backgrounds[places])


def rows_of(one: Game, walks: Walks, first: int, *, antithetic: bool) -> Rows:
    """`first` times the instance; then by permutation, background row and coalition.

    The coalitions are the beginnings of the order, the empty one included, and when it is walked
    backwards too, their complements.
    """
    (count, players), per_coalition = walks.ranks.shape, walks.backgrounds.shape[1]
    kept = walks.ranks[:, None, :] < np.arange(players)[:, None]  # (p, players, players)
    if antithetic:
        kept = np.concatenate([kept, ~kept[:, 1:]], axis=1)  # (p, coalitions, players)
    every = np.broadcast_to(kept[:, None], (count, per_coalition, *kept.shape[1:])).reshape(-1, players)
    masks = np.vstack([np.ones((first, players), dtype=bool), every])
    choice = np.concatenate([np.zeros(first, dtype=np.intp), np.repeat(walks.backgrounds, kept.shape[1])])
    return one.hiding.rows(masks, choice if one.hiding.backgrounds > 1 else None)


def moments(walks: Walks, scores: Array, full: Array) -> Moments:
    """Gains along the walks. scores: (rows, t) as laid out, without the instance; full: (t,) its own."""
    count, players = walks.ranks.shape
    by_row = scores.reshape(count, walks.backgrounds.shape[1], -1, len(full))
    worth = by_row.mean(axis=1)  # (p, coalitions, t)
    end = np.broadcast_to(full, (count, 1, len(full)))
    gains = np.diff(np.concatenate([worth[:, :players], end], axis=1), axis=1)  # (p, players, t) by place
    if worth.shape[1] > players:
        # Complements of the beginnings: from the instance down to nothing.
        down = np.concatenate([end, worth[:, players:], worth[:, :1]], axis=1)
        gains = (gains - np.diff(down, axis=1)) / 2
    by_segment = np.take_along_axis(gains, walks.ranks[:, :, None], axis=1)  # (p, players, t)
    means = by_segment.mean(axis=0)
    squares = ((by_segment - means) ** 2).sum(axis=0)
    return Moments(count, means.T, squares.T, worth[:, 0].mean(axis=0))


def merged(one: Moments, other: Moments) -> Moments:
    """Moments of both together (Chan, Golub & LeVeque 1983, equation 2.1)."""
    count = one.count + other.count
    share, apart = other.count / count, other.means - one.means
    return Moments(
        count,
        one.means + share * apart,
        one.squares + other.squares + one.count * share * apart**2,
        one.empty + share * (other.empty - one.empty),
    )
