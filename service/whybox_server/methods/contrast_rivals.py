"""Which other answer a contrast is led towards.

Felt slopes find their way between several other answers by their own noise. Exact ones run into the
answer that is strongest where they start, which need not be the nearest: so the nearest ones, as far as
slopes tell, are each aimed at.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

import numpy as np

from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array
from whybox_server.core.target import Chosen, Space
from whybox_server.methods.contrast_sides import Side
from whybox_server.methods.fista import Descent
from whybox_server.methods.verdict import Verdict

CONSIDERED = 10  # other answers with the highest scores, whose slopes are asked, as in DeepFool
PURSUED = 2  # of them, the nearest ones

Parts: TypeAlias = Callable[
    [Array], list[tuple[int, float]]
]  # of a margin, at a row's scores: (output, weight)
Ways: TypeAlias = Generator[Query, Reply, list[Parts]]


def rivals_of(side: Side, verdict: Verdict) -> Parts:
    """The outputs whose weighted sum the margin is: the answer's and the strongest other one's."""
    sign = 1.0 if side.positive else -1.0

    def rivals(scores: Array) -> list[tuple[int, float]]:
        rival = verdict.rival(scores)
        if rival is not None:
            return [(verdict.winner, sign), (rival, -sign)]
        steep = 2.0 if verdict.chosen.targets.space is Space.PROBABILITY else 1.0
        return [(verdict.winner, steep * (sign if verdict.holds else -sign))]

    return rivals


def ways_to(side: Side, verdict: Verdict, descent: Descent, start_scores: Array) -> Ways:
    """What descents are led by: one, or one per answer that is near. start_scores: (outputs,)."""
    if not several(side, descent) or verdict.halved:
        return [rivals_of(side, verdict)]
    found = yield from nearest(side, verdict, descent, start_scores)
    return [towards(verdict, rival) for rival in found]


def several(side: Side, descent: Descent) -> bool:
    """Whether several answers are aimed at."""
    return descent.estimate is None and not side.positive


def most_rows(side: Side, descent: Descent) -> int:
    """Asked of the model at most by all descents and the choice of their ways."""
    return PURSUED * descent.rows + 1 + CONSIDERED if several(side, descent) else descent.rows


def nearest(
    side: Side, verdict: Verdict, descent: Descent, start_scores: Array
) -> Generator[Query, Reply, list[int]]:
    """Other answers by their distance in a linear model of the scores at the start (Moosavi-Dezfooli et
    al. 2016, equation 8): how far each is behind, per steepness of its catching up.
    """
    assert side.moved is not None
    ranked = [int(i) for i in np.argsort(-start_scores, kind="stable") if i != verdict.winner][:CONSIDERED]
    outputs = np.array([verdict.winner, *ranked])
    rows = side.moved(np.zeros((len(outputs), side.moves.count)), None)
    reply = yield Query(rows, Want.GRADIENT, outputs, probe=descent.probe)
    assert reply.gradient is not None, "asked for"
    slopes = side.slopes(reply.gradient)  # (1 + k, segments)
    scores = Chosen(tuple(outputs.tolist()), verdict.chosen.targets).of(start_scores[None])[0]
    steep = np.linalg.norm(slopes[1:] - slopes[0], axis=1)
    far = np.divide(scores[0] - scores[1:], steep, out=np.full(len(ranked), np.inf), where=steep > 0)
    return [ranked[i] for i in np.argsort(far, kind="stable")[:PURSUED]]


def towards(verdict: Verdict, rival: int) -> Parts:
    """The margin of one other answer over the instance's."""
    return lambda scores: [(rival, 1.0), (verdict.winner, -1.0)]
