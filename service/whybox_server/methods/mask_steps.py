"""The questions of a game of masks: what players ask to see where they stand and which way is down.

One query serves all players. Slopes come from the model's gradients where it has them and are
estimated otherwise; the rest of the game does not know which.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.methods.mask_games import Rules, margin_slopes, margins
from whybox_server.methods.mask_players import Player, moved, noticed, seated
from whybox_server.methods.method import Rng
from whybox_server.methods.own_gradient import OwnGradient
from whybox_server.methods.zeroth_order import directions, probes, slopes
from whybox_server.perturb.blending import Blending

LEVELS = np.linspace(1, 0, 11)  # of the uniform masks that are asked first
FIRST_REACH, LAST_REACH = 0.5, 0.1  # of a probe, per cell: from the middle to both ends, then nearby

Moving: TypeAlias = Generator[Query, Reply, list[Player]]
Sloping: TypeAlias = Generator[Query, Reply, tuple[list[Player], list[Array]]]  # d margin / d mask, (cells,)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A subject under its mask, and the numbers of the game."""

    subject: Subject
    veil: Blending
    rules: Rules
    iterations: int
    directions: int
    gradient: OwnGradient = OwnGradient()

    @property
    def gradients(self) -> bool:
        """Whether the model's own are followed."""
        return self.gradient.probe is not None

    @property
    def rows_per_step(self) -> int:
        """Per target: where it stands, and its probes, or the gradients of its output and of a rival."""
        return 2 if self.gradients else 1 + 2 * self.directions


def seat(task: Task, output: int, scores: Array) -> Player | None:
    """A player for one output, given what the model says of the uniform masks, (levels, outputs)."""
    return seated(task.rules, output, task.subject.targets, LEVELS, scores, task.veil.cells)


def step(task: Task, players: list[Player], progress: float, rng: Rng) -> Moving:
    """All players one step on, after one query without gradients, or after a few with them."""
    if task.gradients:
        players, found = yield from exact_slopes(task, players)
    else:
        players, found = yield from estimated_slopes(task, players, progress, rng)
    return [
        moved(task.rules, task.veil.cells, player, slope, progress)
        for player, slope in zip(players, found, strict=True)
    ]


def looked(task: Task, players: list[Player]) -> Moving:
    """The players, who have seen what the masks score at which they stand."""
    if not players:
        return players
    reply = yield Query(task.veil.rows(np.stack([player.mask for player in players])))
    return [
        noticed(task.rules, task.veil.cells, player, player.mask, row)
        for player, row in zip(players, reply.scores, strict=True)
    ]


def estimated_slopes(task: Task, players: list[Player], progress: float, rng: Rng) -> Sloping:
    """Players who have looked, and estimates of their slopes from antithetic probes.

    Far probes see over plateaus, near ones tell what holds at the mask itself: the reach shrinks.
    """
    reach = FIRST_REACH * (LAST_REACH / FIRST_REACH) ** progress
    points = [  # (1 + 2 d, cells) per player: where it stands, then its probes
        np.vstack([player.mask, probes(player.mask, along, reach)])
        for player, along in ((p, directions(task.directions, task.veil.count, rng)) for p in players)
    ]
    reply = yield Query(task.veil.rows(np.vstack(points)))
    blocks = np.split(reply.scores, len(players))
    after = [
        noticed(task.rules, task.veil.cells, player, player.mask, block[0])
        for player, block in zip(players, blocks, strict=True)
    ]
    found = [
        slopes(player.slope, own[1:], margins(block[1:], player.output, task.subject.targets))
        for player, own, block in zip(players, points, blocks, strict=True)
    ]
    return after, found


def exact_slopes(task: Task, players: list[Player]) -> Sloping:
    """Players who have looked, and their slopes from the model's own gradients.

    A margin depends on the target and its strongest rival. Which that is comes with the target's
    gradient, so that all players ask twice at most.
    """
    scores, found = yield from led_back(task, players, [player.output for player in players])
    after = [
        noticed(task.rules, task.veil.cells, player, player.mask, row)
        for player, row in zip(players, scores, strict=True)
    ]
    parts = [margin_slopes(player.scores, player.output, task.subject.targets) for player in after]
    slopes_of = [part[player.output] * own for part, player, own in zip(parts, after, found, strict=True)]
    rivals = [(i, output) for i, part in enumerate(parts) for output in part if output != after[i].output]
    if rivals:
        _, found = yield from led_back(task, [after[i] for i, _ in rivals], [output for _, output in rivals])
        for (i, output), slope in zip(rivals, found, strict=True):
            slopes_of[i] = slopes_of[i] + parts[i][output] * slope
    return after, slopes_of


def led_back(
    task: Task, players: list[Player], outputs: list[int]
) -> Generator[Query, Reply, tuple[Array, Array]]:
    """Scores of each player's mask, (n, outputs), and of one of them the slopes by cell, (n, cells)."""
    assert task.gradient.probe is not None, "only where the model has gradients"
    rows = task.veil.rows(np.stack([player.mask for player in players]))
    reply = yield Query(rows, Want.GRADIENT, np.array(outputs), probe=task.gradient.probe)
    assert reply.gradient is not None, "asked for"
    return reply.scores, task.veil.pulled_back(reply.gradient)
