"""What the renderer reads of an explanation: its numbers, its targets, and how its instance can be shown."""

from __future__ import annotations

from whybox.render.results import Finding, explained, finding
from whybox.render.tensors import array
from whybox.v1 import explanation_pb2

__all__ = ["Finding", "array", "explained", "finding", "kind"]


def kind(message: explanation_pb2.Explanation) -> str:
    """How the instance can be shown: picture, text, table, series, tensor; "bare" if it was not sent."""
    return message.subject.WhichOneof("view") or "bare"
