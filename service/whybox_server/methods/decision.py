"""A model's decision, and how far a row's scores are from another one.

Several outputs under a softmax, or plain values, decide by the largest; one output, or each of several
under a sigmoid, by probability 1/2.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import TINY_PROBABILITY, Chosen, Link, Targets
from whybox_server.methods.subsets import Read

LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)  # down to it, ratios of float32 are logits


def decides(targets: Targets) -> bool:
    """False for a single plain value, of which no part is a decision."""
    return targets.kind is not ScoreKind.VALUE or len(targets.labels) > 1


def by_half(targets: Targets) -> bool:
    """Whether the decision is one output's, for itself."""
    return len(targets.labels) == 1 or (targets.kind is not ScoreKind.VALUE and targets.link is Link.SIGMOID)


def decision(targets: Targets, instance_scores: Array) -> Read:
    """Reads scores, (n, outputs), as margins of the decision on the instance, (n,).

    Positive: the decision stands; negative: it is another one. In logits, or the scores' own unit
    where they are plain values. With several outputs that decide for themselves it is the first target's.
    """
    if not by_half(targets):
        return largest(targets, int(np.argmax(instance_scores)))
    chosen = Chosen(targets.choose(instance_scores).indices[:1], targets)
    sign = 1.0 if log_odds(chosen, instance_scores[None])[0] >= 0 else -1.0
    return lambda scores: np.asarray(sign * log_odds(chosen, scores))


def log_odds(chosen: Chosen, scores: Array) -> Array:
    """(n,) of one output; a plain value is taken as it is."""
    columns = np.asarray(scores, dtype=np.float64)[:, chosen.indices[0]]
    if chosen.targets.kind is not ScoreKind.PROBABILITY:
        return columns
    p = np.clip(columns, TINY_PROBABILITY, 1 - TINY_PROBABILITY)
    return np.asarray(np.log(p / (1 - p)))


def largest(targets: Targets, winner: int) -> Read:
    """How much the winner's score is above the best of the others."""

    def margins(scores: Array) -> Array:
        scores = np.asarray(scores, dtype=np.float64)
        if targets.kind is ScoreKind.PROBABILITY:
            scores = np.log(np.clip(scores, LEAST_PROBABILITY, 1.0))
        others = np.delete(scores, winner, axis=1)
        return np.asarray(scores[:, winner] - others.max(axis=1))

    return margins
