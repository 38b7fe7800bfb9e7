"""Cuts time series into spans of time."""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.perturb.layout import Axes
from whybox_server.perturb.segments import on_channels, refuse_too_many

DEFAULT_COUNT = 20


def windows(
    shape: tuple[int, ...], axes: Axes, count: int, together: bool, channel_names: tuple[str, ...]
) -> tuple[Array, tuple[str, ...], str]:
    """`count` spans of nearly equal length, in each channel by itself or (`together`) in all at once.

    Returns labels broadcastable to `shape`, numbered channel by channel, the segments' names
    ("channel 0, steps 0-4"), and what was done, in words.
    """
    steps, channels = shape[axes.places[0]], axes.channels(shape)
    spans = min(count or DEFAULT_COUNT, steps)
    together = together or channels == 1
    refuse_too_many(spans if together else spans * channels)
    span = np.arange(steps) * spans // steps  # (steps,)
    names = span_names(span)
    words = f"{spans} windows of time"
    if together:
        return on_channels(span.astype(np.int32), axes), names, words
    grid = span[:, None] + spans * np.arange(channels)[None, :]  # (steps, channels)
    labels = grid if axes.channel == 1 else grid.T
    channel_by_channel = tuple(
        f"{channel}, {name}" for channel in channels_named(channels, channel_names) for name in names
    )
    return labels.astype(np.int32), channel_by_channel, f"{words} in each of {channels} channels"


def channels_named(channels: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the channels, made up where there are none."""
    return names if len(names) == channels else tuple(f"channel {c}" for c in range(channels))


def span_names(span: Array) -> tuple[str, ...]:
    """Names such as "steps 0-4", one for every span; `span` is the span of each step, ascending."""
    starts = np.searchsorted(span, np.arange(span[-1] + 1), side="left")
    stops = np.append(starts[1:], len(span))
    return tuple(
        f"step {lo}" if hi == lo + 1 else f"steps {lo}-{hi - 1}" for lo, hi in zip(starts, stops, strict=True)
    )


def step_names(
    shape: tuple[int, ...], axes: Axes, together: bool, channel_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of single elements, in the order of the array."""
    steps, channels = shape[axes.places[0]], axes.channels(shape)
    if together or axes.channel is None:
        return tuple(f"step {t}" for t in range(steps))
    named = channels_named(channels, channel_names)
    pairs = [(t, c) for t in range(steps) for c in range(channels)]
    if axes.channel == 0:
        pairs = [(t, c) for c in range(channels) for t in range(steps)]
    return tuple(f"{named[c]}, step {t}" for t, c in pairs)
