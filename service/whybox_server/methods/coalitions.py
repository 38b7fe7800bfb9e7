"""Coalitions of segments: what they are worth, and which of them to ask when not all can be.

A segment is a player. A coalition keeps its segments and hides the others; it is worth the target's
score, averaged over background rows. It fits nothing and asks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Subject
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.method import Rng
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation

UNCOUNTABLE = 10**18  # more subsets of one size than anybody asks: their number needs no more digits
SCAN = 4  # subsets are listed rather than guessed when there are at most so many times those wanted


@dataclass(frozen=True, slots=True, eq=False)
class Game:
    """An instance's segments as players; `backgrounds`, (k,), are the rows put where they are hidden."""

    subject: Subject
    hiding: Hiding
    backgrounds: Array

    @property
    def players(self) -> int:
        """Number of segments."""
        return self.hiding.count

    def rows(self, masks: Array, places: Array) -> Rows:
        """The instance, nothing over all backgrounds, then coalitions over some: (1 + k + n b) rows.

        masks: (n, players) True keeps. places: (n, b) integers in [0, k).
        """
        ends = np.zeros((1 + len(self.backgrounds), self.players), dtype=bool)
        ends[0] = True
        every = np.vstack([ends, np.repeat(masks, places.shape[1], axis=0)])
        choice = np.concatenate([[0], self.backgrounds, self.backgrounds[places.ravel()]])
        return self.hiding.rows(every, choice if self.hiding.backgrounds > 1 else None)

    def over(self, count: int) -> Game:
        """The same game over the first `count` background rows."""
        return replace(self, backgrounds=self.backgrounds[:count])


def dealt(there: int, hands: int, each: int, rng: Rng) -> Array:
    """Integers in [0, there), (hands, each): every one as often as another, give or take one."""
    decks = np.tile(np.arange(there), (-(-hands * each // there), 1))
    return rng.permuted(decks, axis=1).ravel()[: hands * each].reshape(hands, each)


def game(
    subject: Subject, segmentation: Segmentation | None, baseline: Baseline | None, rng: Rng, *, counted: bool
) -> Game:
    """Cut the instance; a baseline that is unset is BACKGROUND wherever the spec has typical rows.

    All background rows are there, in random order. counted: the caller said how many of them to use.
    Raises InvalidRequest if so and there are none, and whatever `hide` raises.
    """
    absent = baseline or Baseline()
    if absent.kind is None and background_rows(subject.instance) is not None:
        absent = replace(absent, kind=BaselineKind.BACKGROUND)
    if counted and absent.kind is not BaselineKind.BACKGROUND:
        raise InvalidRequest.of(
            "num_background",
            "counts rows of the baseline BACKGROUND, and another one is used; leave it out, or give the "
            "spec's background and leave the baseline out",
        )
    hiding = hide(subject.instance, segmentation or Segmentation(), absent, rng)
    return Game(subject, hiding, rng.permutation(hiding.backgrounds))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How many coalitions of which sizes to ask beside the empty and the full one.

    A draw is a coalition or, `paired`, a coalition and its complement. Draws of one size are a
    stratum: all of it is asked, or a part without repetition.
    """

    players: int
    paired: bool
    sizes: Array  # (h,) of coalitions; of pairs the smaller one's
    populations: Array  # (h,) draws there are
    weights: Array  # (h,) Shapley kernel of all of them together, up to a common factor
    expected: Array  # (h,) draws to be asked, on average: not whole numbers, unless it is all of them

    @property
    def per_draw(self) -> int:
        """Coalitions in a draw."""
        return 2 if self.paired else 1

    @property
    def draws(self) -> int:
        """Draws that will be asked."""
        return round(float(self.expected.sum()))

    @property
    def exact(self) -> bool:
        """Whether nothing is left to chance."""
        return bool(np.all(self.expected == self.populations))


def fewest(players: int) -> int:
    """Coalitions without which one player cannot be told from another: alone and all but it."""
    return min(1 << players, 2 + 2 * players)


def plan(players: int, coalitions: int, *, paired: bool) -> Plan:
    """Spend so many coalitions, at least `fewest`, the empty and the full one included.

    Players alone and all but one are always asked. What is left is shared out in proportion to
    kernel weight x typical size of an error's effect, 1/(h(M-h)) x sqrt(h(M-h)): Neyman's allocation
    when residuals are alike in all sizes (Cochran, Sampling Techniques, section 5.5).
    """
    sizes = np.arange(1, players // 2 + 1) if paired else np.arange(1, players)
    halves = 2 * sizes == players if paired else np.zeros(len(sizes), dtype=bool)
    listed = np.array([min(comb(players, h), UNCOUNTABLE) for h in sizes.tolist()], dtype=np.float64)
    portion = np.where(halves, 0.5, 1.0)  # pairs of halves: each half stands in one pair
    populations = portion * listed
    spread = sizes * (players - sizes.astype(float))
    weights = portion / spread
    draws = min((coalitions - 2) // (2 if paired else 1), int(populations.sum()))
    always = (sizes == 1) | (sizes == players - 1)
    expected = shared_out(draws, populations, portion / np.sqrt(spread), always)
    return Plan(players, paired, sizes, populations, weights, expected)


def shared_out(draws: int, populations: Array, shares: Array, full: Array) -> Array:
    """Draws per stratum, (h,), in proportion to `shares`, but at most all; `full` ones first."""
    full = full.copy()
    while True:
        left = draws - populations[full].sum()
        open_shares = np.where(full, 0.0, shares)
        wanted = np.where(full, populations, left * open_shares / (open_shares.sum() or 1.0))
        over = ~full & (wanted >= populations)
        if not over.any():
            return wanted
        full |= over


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Coalitions, with how much each counts and how likely its draw was."""

    masks: Array  # (n, players) bool; members of a draw stand beside each other
    weights: Array  # (n,)
    chances: Array  # (n / per_draw,) in (0, 1]; 1 where nothing was left to chance
    per_draw: int
    exact: bool  # every coalition is there


def draw(spending: Plan, rng: Rng) -> Drawn:
    """Coalitions as planned. A weight is kernel / chance (Horvitz & Thompson 1952), hence unbiased sums."""
    counts = whole_numbers(spending, rng)
    players, strata = spending.players, zip(spending.sizes.tolist(), counts.tolist(), strict=True)
    blocks = [
        subsets(players, size, count, rng, halves=spending.paired and 2 * size == players)
        for size, count in strata
    ]
    masks = np.vstack([np.zeros((0, players), dtype=bool), *blocks])
    asked = spending.expected > 0
    each = np.divide(spending.weights, spending.expected, out=np.zeros(len(asked)), where=asked)
    weights = np.repeat(each, counts)
    chances = np.repeat(spending.expected / spending.populations, counts)
    if spending.paired:
        masks = np.stack([masks, ~masks], axis=1).reshape(-1, players)
        weights = np.repeat(weights, 2)
    return Drawn(masks, weights, chances, spending.per_draw, spending.exact)


def whole_numbers(spending: Plan, rng: Rng) -> Array:
    """Draws per stratum, (h,): what is expected rounded up or down at random, the sum kept."""
    counts = spending.expected.copy()
    parts = spending.expected < spending.populations
    if parts.any():
        ends = np.cumsum(counts[parts])
        total = round(float(ends[-1]))
        ends = np.floor(ends + rng.random())  # one number for all strata: systematic sampling
        ends[-1] = total
        counts[parts] = np.diff(ends, prepend=0.0)
    return counts.astype(int)


def subsets(players: int, size: int, count: int, rng: Rng, *, halves: bool) -> Array:
    """`count` different subsets of a size, (count, players) bool; `halves`: all with player 0."""
    there_are = comb(players - 1, size - 1) if halves else comb(players, size)
    if there_are <= SCAN * count:
        chosen = np.arange(there_are) if there_are == count else rng.choice(there_are, count, replace=False)
        return listed_subsets(players, size, halves=halves)[np.sort(chosen)]
    found: dict[bytes, Array] = {}
    while len(found) < count:
        masks = rng.permuted(np.tile(np.arange(players) < size, (count, 1)), axis=1)
        if halves:
            masks ^= ~masks[:, :1]
        for bits, mask in zip(np.packbits(masks, axis=1), masks, strict=True):
            if len(found) < count:
                found.setdefault(bits.tobytes(), mask)
    return np.array(list(found.values()), dtype=bool).reshape(count, players)


def listed_subsets(players: int, size: int, *, halves: bool) -> Array:
    """Every subset of a size, or every one with player 0, in lexical order: (n, players) bool."""
    first = [0] if halves else []
    rest = combinations(range(len(first), players), size - len(first))
    members = np.array([first + list(others) for others in rest], dtype=np.intp)  # (n, size)
    masks = np.zeros((len(members), players), dtype=bool)
    masks[np.arange(len(members))[:, None], members] = True
    return masks
