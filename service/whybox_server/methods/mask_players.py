"""One target's way through a game of masks: where it stands, how it moves, the best it has seen.

Players are moved in lockstep by `meaningful_perturbation`, so that all their questions share
queries. They ask nothing themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.target import Targets
from whybox_server.methods.adam import Adam, adam, resting
from whybox_server.methods.mask_games import Game, Rules, gradient, margins, objective, onto_area

RATE = 0.1  # of Adam: Fong & Vedaldi 2017, section 4.3
NEAREST_TO_AN_END = 0.05  # of a starting mask, so that probes have room on both sides
AREA_SLACK = 1e-6
ROUNDING = 2.0**-20  # of a margin: float32 carries 24 bits, and a margin is a difference


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A mask and what the model says under it; of two the one with the smaller rank is better."""

    mask: Array  # (cells,)
    scores: Array  # (outputs,): the model's own
    rank: tuple[float, float]  # by how much it misses the area asked for, its objective


@dataclass(frozen=True, slots=True, eq=False)
class Player:
    """One target. Margins become shares of the score's range: (margin - hidden) / range."""

    output: int
    targets: Targets
    whole: float  # margin of the instance
    hidden: float  # margin of everything hidden
    range: float  # largest minus smallest margin of the uniform masks, positive
    start: float  # the uniform mask it set out from
    mask: Array  # (cells,): where it stands
    scores: Array  # (outputs,): of the last mask it has looked at
    slope: Array  # (cells,): d margin / d mask, as far as known
    best: Seen
    state: Adam

    @property
    def falls(self) -> bool:
        """Whether hiding everything lowers the score."""
        return self.hidden < self.whole

    def share(self, scores: Array) -> float:
        """The margin of one row, (outputs,), as a share of the range."""
        return float((margins(scores[None], self.output, self.targets)[0] - self.hidden) / self.range)


def seated(
    rules: Rules, output: int, targets: Targets, levels: Array, scores: Array, cells: tuple[int, ...]
) -> Player | None:
    """A player who has seen how uniform masks fare, or None if the margin is the same under all.

    levels: (l,) from 1 down to 0. scores: (l, outputs). It sets out from the level at which half of
    the score is gone: there the score does depend on the mask, however saturated it is at both ends.
    (The paper starts with the smallest disc that hides enough, found by trying, too.)
    """
    own = margins(scores, output, targets)
    spread = float(np.ptp(own))
    if spread <= ROUNDING * float(np.abs(own).max()):
        return None
    start = halfway(levels, own)
    count = int(np.prod(cells))
    mask = np.full(count, start)
    unseen = Seen(mask, scores[0], (np.inf, np.inf))
    player = Player(
        output,
        targets,
        whole=float(own[0]),
        hidden=float(own[-1]),
        range=spread,
        start=start,
        mask=mask,
        scores=scores[0],
        slope=np.zeros(count),
        best=unseen,
        state=resting(count),
    )
    for level, row in zip(levels, scores, strict=True):
        player = noticed(rules, cells, player, np.full(count, level), row)
    return player


def halfway(levels: Array, own: Array) -> float:
    """The level at which the margin first crosses the middle of its two ends, on the way down.

    levels, own: (l,). In the middle where both ends say the same.
    """
    middle = (own[0] + own[-1]) / 2
    above = own > middle
    crossings = np.flatnonzero(above[1:] != above[:-1])
    if own[0] == own[-1] or not len(crossings):
        return 0.5
    i = int(crossings[0])
    share = (own[i] - middle) / (own[i] - own[i + 1])
    level = levels[i] + share * (levels[i + 1] - levels[i])
    return float(np.clip(level, NEAREST_TO_AN_END, 1 - NEAREST_TO_AN_END))


def noticed(rules: Rules, cells: tuple[int, ...], player: Player, mask: Array, scores: Array) -> Player:
    """The player, who remembers this mask if it is the best so far. scores: (outputs,)."""
    missed = abs(float(mask.mean()) - rules.area) if rules.game is Game.AREA else 0.0
    worth = objective(rules, mask.reshape(cells), player.share(scores))
    rank = (missed if missed > AREA_SLACK else 0.0, worth)
    best = Seen(mask, scores, rank) if rank < player.best.rank else player.best
    return replace(player, scores=scores, best=best)


def moved(rules: Rules, cells: tuple[int, ...], player: Player, slope: Array, progress: float) -> Player:
    """The player one step on. slope: d margin / d mask, (cells,). progress: share of steps now done.

    AREA: the mask shrinks from where it set out to the area asked for over the first half of the
    steps, and keeps that area afterwards.
    """
    mask = player.mask.reshape(cells)
    downhill = gradient(rules, mask, slope.reshape(cells) / player.range)
    downhill = admissible(rules, mask, downhill)
    state, move = adam(player.state, downhill.ravel(), RATE)
    after = player.mask + move
    if rules.game is Game.AREA:
        after = onto_area(after, player.start * (rules.area / player.start) ** min(1.0, 2 * progress))
    else:
        after = np.clip(after, 0, 1)
    return replace(player, mask=after, slope=slope, state=state)


def admissible(rules: Rules, mask: Array, downhill: Array) -> Array:
    """A gradient without what the constraints would undo, so that the step length is not spent on it.

    Of a given area that is what all cells have in common, otherwise what points out of [0, 1].
    """
    if rules.game is Game.AREA:
        return np.asarray(downhill - downhill.mean())
    outward = ((mask >= 1) & (downhill < 0)) | ((mask <= 0) & (downhill > 0))
    return np.where(outward, 0.0, downhill)
