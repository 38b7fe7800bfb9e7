"""What a cut is: a segment number for every position of every input, and a name for every segment.

Here are the cuts that need no modality: every element alone, and the caller's own. Labels are
contiguous from 0, and -1 is never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.perturb.layout import Axes
from whybox_server.perturb.options import SegmentationKind

MOST_SEGMENTS = 10_000  # leave-one-out masks of that many are 100 MB


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Segments by input, int32 and broadcastable to it; the names are those of segments 0, 1, ..."""

    segments: Mapping[str, Array]
    names: tuple[str, ...]
    words: str  # what was done, for the reader


def wrong_kind(kind: SegmentationKind, allowed: Sequence[SegmentationKind], what: str) -> InvalidRequest:
    """The error for a kind of segmentation that makes no sense for `what`."""
    known = ", ".join(k.name for k in allowed)
    return InvalidRequest.of("segmentation.kind", f"{kind.name} does not apply to {what}; use {known}")


def refuse_too_many(count: int) -> None:
    """Raises InvalidRequest when names and masks of so many segments would be a burden."""
    if count > MOST_SEGMENTS:
        raise InvalidRequest.of(
            "segmentation.kind",
            f"{count} segments, and {MOST_SEGMENTS} is the most; "
            "make larger ones, or let occlusion slide a window",
        )


def contiguous(labels: Array) -> tuple[Array, Array]:
    """Renumber: the distinct values >= 0 become 0, 1, ... in their order, negative ones -1.

    Returns the new labels, int32 of the same shape, and the old value of each, (segments,).
    """
    values, inverse = np.unique(labels, return_inverse=True)
    negative = int(np.sum(values < 0))
    fresh = np.maximum(inverse.reshape(labels.shape) - negative, -1)
    return fresh.astype(np.int32), values[negative:]


def on_channels(labels: Array, axes: Axes) -> Array:
    """Labels of places, broadcastable to an array that has a channel axis too."""
    return labels if axes.channel is None else np.expand_dims(labels, axes.channel)


def elements(shape: tuple[int, ...], axes: Axes, together: bool) -> Array:
    """Every element is a segment; `together`: every place, with all its channels."""
    if together and axes.channel is not None:
        shape = tuple(shape[axis] for axis in axes.places)
    count = int(np.prod(shape))
    refuse_too_many(count)
    labels = np.arange(count, dtype=np.int32).reshape(shape)
    return on_channels(labels, axes) if together else labels


def element_names(array: Array) -> tuple[str, ...]:
    """Names such as "[0, 3]", in the order of the elements of a small array of labels."""
    return tuple(f"[{', '.join(map(str, at))}]" for at in np.ndindex(array.shape))


def given(labels: Array | None, shape: tuple[int, ...], axes: Axes) -> tuple[Array, Array]:
    """The caller's own segments for an array of this shape, and the caller's number of each.

    Labels for places alone, (height, width) say, are taken for every channel.
    Raises InvalidRequest when they are missing, no integers, or of another shape.
    """
    if labels is None:
        raise InvalidRequest.of("segmentation.given", "kind GIVEN needs an integer per position")
    if labels.dtype.kind not in "iu":
        raise InvalidRequest.of(
            "segmentation.given", f"segments are integers, got {labels.dtype}; convert them to INT32"
        )
    if labels.shape == tuple(shape[axis] for axis in axes.places):
        labels = on_channels(labels, axes)
    try:
        np.broadcast_to(labels, shape)
    except ValueError:
        raise InvalidRequest.of(
            "segmentation.given", f"shape {labels.shape} does not broadcast to the instance's {shape}"
        ) from None
    fresh, numbers = contiguous(labels.astype(np.int64))
    if not len(numbers):
        raise InvalidRequest.of("segmentation.given", "every position is negative, so nothing can be hidden")
    refuse_too_many(len(numbers))
    return fresh, numbers
