"""How far ahead the model's answer for an instance is, in the units that the caller asked for.

Margins here are in the target's space, so that kappa keeps the scale it was given in. It knows
nothing of how a row came about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import TINY_PROBABILITY, Chosen, Space, Targets
from whybox_server.methods.decision import by_half, decides


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The answer on the instance: the output `winner`, or, decided by half, whether it holds."""

    chosen: Chosen  # the one output that is explained
    halved: bool
    holds: bool  # of one output decided by half: whether it is above

    @property
    def winner(self) -> int:
        return self.chosen.indices[0]

    @property
    def name(self) -> str:
        """The answer in words."""
        label = self.chosen.labels[0]
        return label if self.holds else f"not {label}"

    def lead(self, scores: Array) -> Array:
        """How far the answer is ahead of the best other one, (n,) from scores, (n, outputs)."""
        targets = self.chosen.targets
        if self.halved:
            own = self.chosen.of(scores)[:, 0]
            ahead = 2 * own - 1 if targets.space is Space.PROBABILITY else own
            return np.asarray(ahead if self.holds else -ahead)
        all_ = Chosen(tuple(range(scores.shape[1])), targets).of(scores)
        return np.asarray(all_[:, self.winner] - np.delete(all_, self.winner, axis=1).max(axis=1))

    def rival(self, scores: Array) -> int | None:
        """The best other output of one row, (outputs,), or None where the answer is decided by half."""
        if self.halved:
            return None
        others = np.asarray(scores, dtype=np.float64).copy()
        others[self.winner] = -np.inf
        return int(np.argmax(others))


def verdict_on(targets: Targets, instance_scores: Array) -> Verdict:
    """The answer on the instance, which is what contrasts are about.

    Raises InvalidRequest when the caller's targets do not include it.
    """
    if by_half(targets):
        chosen = Chosen(targets.choose(instance_scores).indices[:1], targets)
        own = chosen.of(instance_scores[None])[0, 0]
        border = 0.5 if targets.space is Space.PROBABILITY else 0.0
        return Verdict(chosen, halved=True, holds=bool(own >= border))
    winner = int(np.argmax(instance_scores))
    if targets.choices and winner not in targets.choose(instance_scores).indices:
        raise InvalidRequest.of(
            "targets",
            f"the model's answer is {targets.labels[winner]!r}, and contrasts are about the answer; "
            "leave targets out",
        )
    return Verdict(Chosen((winner,), targets), halved=False, holds=True)


def refuse_undecided(targets: Targets) -> None:
    """Raises MethodUnsupported for a single plain value, which is no decision."""
    if not decides(targets):
        raise MethodUnsupported(
            "the model says one plain value, and contrasts need a decision between classes; "
            "use occlusion, lime or kernel_shap, or declare spec.score PROBABILITY or LOGIT if it is one",
            alternatives="occlusion, lime, kernel_shap",
        )


def refuse_unreachable(targets: Targets, kappa: float) -> None:
    """Raises InvalidRequest for a margin that no scores of this kind have."""
    if targets.kind is ScoreKind.VALUE:
        return
    most = np.inf
    if targets.space is Space.PROBABILITY:
        most = 1.0
    elif targets.kind is ScoreKind.PROBABILITY:
        most = 2 * float(np.log((1 - TINY_PROBABILITY) / TINY_PROBABILITY))
        most /= 2 if by_half(targets) else 1
    if kappa >= most:
        raise InvalidRequest.of(
            "kappa",
            f"a margin is below {most:.4g} in {targets.space.value} space, got {kappa:g}; "
            "give a smaller one, in units of the target's space",
        )
