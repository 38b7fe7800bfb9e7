"""What whoever shows a gradient should say beside it, written into the gradient's own file."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, NodeProto

from whybox_server.graph.gradient.facts import Facts
from whybox_server.graph.gradient.path import Path, between
from whybox_server.graph.gradient.table import PIECEWISE_CONSTANT, STRAIGHT_THROUGH

NOTES = "whybox_notes"  # a key of `metadata_props`
STRAIGHT = (
    "The model is quantised: gradients pass its rounding straight through, and stop where it saturates."
)


def notes_on(path: Path, nodes: Sequence[NodeProto], facts: Facts) -> tuple[str, ...]:
    """Whole sentences; none for most models."""
    found = [STRAIGHT] if any(node.op_type in STRAIGHT_THROUGH for node in path.nodes) else []
    ways = between(nodes, path.of, path.wrt, carries=facts.floating)
    blind = sorted({node.op_type for node in ways if node.op_type in PIECEWISE_CONSTANT})
    if blind:
        found.append(
            f"What the score owes to {', '.join(blind)} is constant in steps, and not in the gradient."
        )
    return tuple(found)


def write_notes(model: ModelProto, sentences: Sequence[str]) -> None:
    """In place."""
    if sentences:
        model.metadata_props.add(key=NOTES, value=" ".join(sentences))


def notes_of(model: ModelProto) -> str:
    """What `write_notes` wrote; empty if it did not."""
    return next((entry.value for entry in model.metadata_props if entry.key == NOTES), "")
