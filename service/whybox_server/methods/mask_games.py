"""What a mask is worth in the games of meaningful perturbation, and how its own terms change.

A mask is a grid of cells in [0, 1], 1 keeps. Scores come in as shares of their range: 1 is the
instance, 0 is everything hidden. Which model says them is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import TINY_PROBABILITY, Link, Targets

TV_POWER = 3  # beta of Fong & Vedaldi 2017, section 4.3
BISECTIONS = 60  # of an interval of at most 3: to the last bits of a float64


class Game(Enum):
    """Names of `whybox.v1.Game` without their prefix."""

    DELETION = "deletion"
    PRESERVATION = "preservation"
    AREA = "area"


@dataclass(frozen=True, slots=True)
class Rules:
    """A game and its weights, all of them in shares of the score's range."""

    game: Game
    size_weight: float  # lambda1
    smoothness_weight: float  # lambda2
    area: float

    @property
    def sign(self) -> int:
        """+1 where the score shall fall, -1 where it shall stay."""
        return 1 if self.game is Game.DELETION else -1

    @property
    def idle(self) -> float:
        """What every cell keeps where the score depends on none."""
        return {Game.DELETION: 1.0, Game.PRESERVATION: 0.0, Game.AREA: self.area}[self.game]


def objective(rules: Rules, mask: Array, score: float) -> float:
    """What is minimised, of a mask (*cells) under which the score is `score`.

    DELETION: score + lambda1 mean(1 - m) + lambda2 TV(m). PRESERVATION: -score + lambda1 mean(m) +
    lambda2 TV(m) (Fong & Vedaldi 2017, equations 3 and 4). AREA: without the size term, which a
    constraint replaces (Fong, Patrick & Vedaldi 2019, equation 2).
    """
    variation, _ = total_variation(mask)
    return rules.sign * score + size(rules, mask) + rules.smoothness_weight * variation


def size(rules: Rules, mask: Array) -> float:
    """The term of what is removed (DELETION) or kept (PRESERVATION)."""
    if rules.game is Game.AREA:
        return 0.0
    share = float(np.mean(mask))
    return rules.size_weight * (1 - share if rules.game is Game.DELETION else share)


def gradient(rules: Rules, mask: Array, score_gradient: Array) -> Array:
    """Of `objective`, (*cells), given the score's own gradient, (*cells)."""
    _, variation = total_variation(mask)
    pressure = 0.0 if rules.game is Game.AREA else rules.sign * rules.size_weight / mask.size
    return rules.sign * score_gradient - pressure + rules.smoothness_weight * variation


def total_variation(mask: Array) -> tuple[float, Array]:
    """Sum over cells of |forward differences|^3 per cell of outline, and its gradient, (*cells).

    0 for a constant mask. A picture's sum is divided by its cells per side, so that a straight edge
    across the whole picture is 1 at every resolution; a series has no such side: each step is 1.
    """
    axes = range(mask.ndim)
    steps = [np.diff(mask, axis=axis, append=np.take(mask, [-1], axis)) for axis in axes]  # last one: 0
    squares = np.sum(np.square(steps), axis=0)
    outline = mask.size ** (1 - 1 / mask.ndim)
    pull = TV_POWER * squares ** (TV_POWER / 2 - 1) / outline  # d value / d step is pull x step
    slope = np.zeros(mask.shape)
    for axis, step in enumerate(steps):
        flow = pull * step
        slope += np.roll(flow, 1, axis) - flow  # what rolls in at the front is the last step's: 0
    return float(np.sum(squares ** (TV_POWER / 2)) / outline), slope


def onto_area(mask: Array, area: float) -> Array:
    """The nearest mask in [0, 1] whose mean is `area`: every cell is lowered alike, then clipped."""
    low, high = float(mask.min()) - 1, float(mask.max())  # lowered so far the mean is 1, and 0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(mask - middle, 0, 1).mean() > area else (low, middle)
    return np.clip(mask - high, 0, 1)


def margins(scores: Array, index: int, targets: Targets) -> Array:
    """What is played for, (n,) float64, from the model's scores, (n, outputs).

    Of exclusive classes the target's logit minus the largest other one, which is the logarithm of
    the ratio of their probabilities: a softmax that says 1 hides the evidence. Of an output by
    itself the logit. Of a value the value.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if targets.kind is ScoreKind.VALUE:
        return scores[:, index]
    alone = scores.shape[1] == 1 or targets.link is Link.SIGMOID
    if targets.kind is ScoreKind.PROBABILITY:
        p = np.clip(scores, TINY_PROBABILITY, 1 - TINY_PROBABILITY)
        scores = np.log(p / (1 - p)) if alone else np.log(p)
    if alone:
        return scores[:, index]
    rivals = np.delete(scores, index, axis=1)  # (n, outputs - 1)
    return np.asarray(scores[:, index] - rivals.max(axis=1))


def margin_slopes(scores: Array, index: int, targets: Targets) -> dict[int, float]:
    """Slopes d margin / d score at one row's scores, (outputs,), for the one or two outputs that count."""
    scores = np.asarray(scores, dtype=np.float64)
    if targets.kind is ScoreKind.VALUE:
        return {index: 1.0}
    alone = len(scores) == 1 or targets.link is Link.SIGMOID
    rival = index if alone else int(np.argmax(np.where(np.arange(len(scores)) == index, -np.inf, scores)))
    signs = {index: 1.0} if alone else {index: 1.0, rival: -1.0}
    if targets.kind is ScoreKind.LOGIT:
        return signs
    p = np.clip(scores, TINY_PROBABILITY, 1 - TINY_PROBABILITY)
    return {
        output: sign / float(p[output] * (1 - p[output] if alone else 1)) for output, sign in signs.items()
    }


def in_words(rules: Rules, targets: Targets, outputs: int) -> str:
    """The game and its stake."""
    aims = {
        Game.DELETION: "deletion: the smallest region without which the score falls",
        Game.PRESERVATION: "preservation: the smallest region that alone keeps the score",
        Game.AREA: f"area: the region of area {rules.area:g} that keeps the score best",
    }
    if targets.kind is ScoreKind.VALUE:
        stake = "the value itself"
    elif outputs == 1 or targets.link is Link.SIGMOID:
        stake = "the target's logit"
    else:
        stake = "the target's logit minus the largest other one"
    return f"{aims[rules.game]}; played for {stake}"
