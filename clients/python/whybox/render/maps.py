"""Where attributions lie in the instance: one number per pixel, time step, column, or piece of text.

One layout per kind of subject. Chooses no colours and clips nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whybox.render.colors import Array
from whybox.render.reading import Finding, array, finding, kind
from whybox.v1 import explanation_pb2

PIXEL_CHANNELS = (1, 3, 4)


def heatmap(message: explanation_pb2.Explanation, target: int = 0) -> Array:
    """Attributions of one target at the instance's resolution, float64.

    Shape: (height, width) of a picture, channels summed; (time, channels) of a series; (columns,) of
    a table; (pieces,) of a text; the instance's own shape of any other tensor. A position of a
    segment has the segment's whole value, 0 where nothing was varied.

    Raises IndexError for a target that the message does not have.
    """
    return LAYOUTS[kind(message)](message, finding(message, target))


def _picture(message: explanation_pb2.Explanation, found: Finding) -> Array:
    size = (message.subject.picture.shape[0], message.subject.picture.shape[1])
    grid = _unbroadcast(found)
    if grid.ndim > 2:
        axis = _channel_axis(found.shape or grid.shape, size)
        grid = _joined(found, grid, axis)
    own = _without_channels(found.shape, size) or size
    return np.broadcast_to(grid, own).copy()


def _joined(found: Finding, grid: Array, axis: int) -> Array:
    """Channels summed, but a segment that runs through all of them counts once."""
    if found.segments:
        segments = _padded(_main(found), grid.ndim)
        if (segments == segments.take([0], axis=axis)).all():
            return np.asarray(grid.take(0, axis=axis))
    return np.asarray(grid.sum(axis=axis))


def _channel_axis(shape: tuple[int, ...], size: tuple[int, int]) -> int:
    """The axis of a rank 3 instance that is no side of the picture."""
    if shape[1:] == size:
        return 0
    if shape[:2] == size:
        return 2
    return 0 if shape[0] in PIXEL_CHANNELS else 2


def _without_channels(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, ...]:
    if len(shape) < 3:
        return shape
    axis = _channel_axis(shape, size)
    return shape[:axis] + shape[axis + 1 :]


def _series(message: explanation_pb2.Explanation, found: Finding) -> Array:
    size = tuple(message.subject.series.values.shape)  # (time, channels)
    grid = _full(found)
    if grid.shape == size:
        return grid
    if grid.shape == size[::-1]:
        return grid.T.copy()
    return grid.reshape(size)


def _table(message: explanation_pb2.Explanation, found: Finding) -> Array:
    """With several inputs, columns follow each other in the order in which segments were numbered."""
    if len(found.segments) < 2:
        return _full(found).ravel()
    ordered = sorted(found.segments.values(), key=lambda segments: int(segments.max(initial=-1)))
    return np.concatenate([_looked_up(found.values, segments).ravel() for segments in ordered])


def _text(message: explanation_pb2.Explanation, found: Finding) -> Array:
    return _looked_up(found.values.ravel(), np.array(message.subject.text.segments, dtype=np.int64))


def _tensor(message: explanation_pb2.Explanation, found: Finding) -> Array:
    return _full(found)


LAYOUTS: dict[str, Callable[[explanation_pb2.Explanation, Finding], Array]] = {
    "picture": _picture,
    "series": _series,
    "table": _table,
    "text": _text,
    "tensor": _tensor,
    "bare": _tensor,
}


def pixels(message: explanation_pb2.Explanation) -> Array:
    """The picture of the instance, (height, width, 3) uint8."""
    return array(message.subject.picture)


def ranked_channels(found: Array, most: int) -> list[int]:
    """The channels with the largest contributions, in their own order; found: (time, channels)."""
    order = np.argsort(-np.abs(found).max(axis=0), kind="stable")[:most]
    return sorted(int(channel) for channel in order)


def places(message: explanation_pb2.Explanation, target: int = 0) -> dict[int, str]:
    """Where each segment of a picture lies, in words ("upper left"), by segment number."""
    found = finding(message, target)
    if kind(message) != "picture" or not found.segments:
        return {}
    size = (message.subject.picture.shape[0], message.subject.picture.shape[1])
    segments = _main(found)
    if segments.ndim > 2:
        segments = segments.take(0, axis=_channel_axis(found.shape or segments.shape, size))
    segments = np.broadcast_to(segments, _without_channels(found.shape, size) or size)
    grid: Array = np.indices(segments.shape)  # (2, height, width)
    inside = segments >= 0
    at = segments[inside]
    count = np.maximum(np.bincount(at), 1)
    height, width = segments.shape
    down = np.bincount(at, grid[0][inside] + 0.5) / count / height
    across = np.bincount(at, grid[1][inside] + 0.5) / count / width
    return {int(number): _place(down[number], across[number]) for number in np.unique(at)}


def _place(down: float, across: float) -> str:
    """Words for a point of the unit square, thirds each way."""
    vertical = ("upper", "", "lower")[min(int(down * 3), 2)]
    horizontal = ("left", "", "right")[min(int(across * 3), 2)]
    return " ".join(filter(None, (vertical, horizontal or ("middle" if vertical else "")))) or "centre"


def _full(found: Finding) -> Array:
    """Values at the explained input's shape."""
    grid = _unbroadcast(found)
    shape = found.shape if len(found.shape) >= grid.ndim else grid.shape
    return np.broadcast_to(grid, shape).copy()


def _unbroadcast(found: Finding) -> Array:
    """Values at the shape of the segments, one axis for each of the instance's."""
    if not found.segments:
        return found.values
    segments = _main(found)
    return _looked_up(found.values, _padded(segments, max(len(found.shape), segments.ndim)))


def _main(found: Finding) -> Array:
    """Segments of the largest input, as the server chose it."""
    return max(found.segments.values(), key=lambda segments: int(segments.size))


def _padded(segments: Array, rank: int) -> Array:
    return segments.reshape((1,) * (rank - segments.ndim) + segments.shape)


def _looked_up(values: Array, segments: Array) -> Array:
    """values[segments], 0 for segment -1. Raises ValueError for segments without a value."""
    if segments.max(initial=-1) >= len(values):
        raise ValueError(f"segment {segments.max()} has no value; there are {len(values)} values")
    return np.asarray(np.append(values, 0.0)[segments])
