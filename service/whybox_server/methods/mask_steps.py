"""The questions of a game of masks: what players ask to see where they stand and which way is down.

One query serves all players. Slopes come from the model's gradients where it has them and are
estimated otherwise; the rest of the game does not know which.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.methods.mask_games import Rules, margin_slopes, margins
from whybox_server.methods.mask_players import Player, moved, noticed, seated
from whybox_server.methods.method import Rng
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
    gradients: bool  # the model answers Want.GRADIENT

    @property
    def rows_per_step(self) -> int:
        """Per target: where it stands, and its probes, or the gradients of its output and of a rival."""
        return 3 if self.gradients else 1 + 2 * self.directions


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

    A margin depends on the target and its strongest rival: one query per output that plays either.
    """
    players = yield from looked(task, players)
    parts = [margin_slopes(player.scores, player.output, task.subject.targets) for player in players]
    found = np.zeros((len(players), task.veil.count))
    for output in sorted(set().union(*parts)):
        whose = [i for i, part in enumerate(parts) if output in part]
        masks = np.stack([players[i].mask for i in whose])
        reply = yield Query(task.veil.rows(masks), Want.GRADIENT, output)
        if reply.gradient is None:
            raise MethodUnsupported("the model was said to give gradients and gave none", output=output)
        for i, slope in zip(whose, task.veil.pulled_back(reply.gradient), strict=True):
            found[i] += parts[i][output] * slope
    return players, list(found)
