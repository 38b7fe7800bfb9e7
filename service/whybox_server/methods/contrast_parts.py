"""What a contrast is told in: its sides, as a reader sees them, and what must be known of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whybox_server.core.explanation import Counterpart
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.rows import Array, Rows, Texts
from whybox_server.methods.contrast_hunt import Quarry
from whybox_server.methods.contrast_sides import built
from whybox_server.methods.verdict import Verdict
from whybox_server.perturb.hiding import Hiding


def counterpart(quarry: Quarry, rows: Rows, scores: Array, hiding: Hiding, instance: Instance) -> Counterpart:
    """What was found, one row and its scores, (outputs,), beside the instance."""
    distances, state = quarry.side.measure(rows), quarry.found.state
    if state is not None and hiding.units.pieces:
        distances = state.astype(np.float64)  # a text is no array of segments; each counts 1
    return Counterpart(
        inputs=built(rows, instance),
        scores=scores,
        segments=tuple(int(i) for i in np.flatnonzero(distances)),
        l1=float(distances.sum()),
        l2=float(np.sqrt(np.sum(distances**2))),
        pieces=pieces_of(rows),
    )


def pieces_of(rows: Rows) -> tuple[str, ...]:
    """A text, cut, as the model reads it; empty where the rows are no texts."""
    if not isinstance(rows, Texts):
        return ()
    keep = np.append(rows.masks[0], True)[rows.segments]
    return tuple(piece if kept else rows.filler for piece, kept in zip(rows.pieces, keep, strict=True))


def others(subject: Subject, instance_scores: Array, verdict: Verdict) -> tuple[str, ...]:
    """A warning about targets that are not the answer."""
    chosen = subject.targets.choose(instance_scores)
    left = [label for i, label in zip(chosen.indices, chosen.labels, strict=True) if i != verdict.winner]
    if not subject.targets.choices or not left:
        return ()
    return (f"contrasts are about the model's answer {verdict.name!r}; left out: {', '.join(left)}",)


def unfinished(quarries: Sequence[Quarry]) -> tuple[str, ...]:
    """A warning when the budget ended the work."""
    if all(quarry.found.complete for quarry in quarries):
        return ()
    return ("the budget ended the search: nearer contrasts may exist; raise max_queries or the deadline",)
