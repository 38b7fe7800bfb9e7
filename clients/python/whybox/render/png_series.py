"""A time series: a line per channel over a ground in the colour of each moment's attribution."""

from __future__ import annotations

import numpy as np
from PIL import Image

from whybox.render import colors
from whybox.render.colors import Array, Rgb
from whybox.render.maps import ranked_channels
from whybox.render.options import Options
from whybox.render.png_bars import color_bar
from whybox.render.sheet import INK, MUTED, PAPER, RULE, SMALL, Pen, shortened

PLOT = 120
AXIS = 26
NAME_WIDTH = 120
TICK_WIDTH = 62
INSET = 10
TINT = 0.6
MOST_CHANNELS = 12


def series_strips(
    values: Array, channels: list[str], heat: Array, width: int, options: Options, ends: tuple[str, str]
) -> list[Image.Image]:
    """The channels with the largest attributions, at most `MOST_CHANNELS`, and the shared colour bar.

    values, heat: (time, channels). ends: what the colour bar's two ends mean.
    """
    full = colors.limit(heat, options)
    shown = colors.scaled(heat, options, full)
    picked = ranked_channels(heat, MOST_CHANNELS)
    left, right = NAME_WIDTH + TICK_WIDTH, width - 1
    hidden = values.shape[1] - len(picked)
    pen = Pen((width, (PLOT + 8) * len(picked) + AXIS + (AXIS if hidden else 0)), options.font)
    for row, channel in enumerate(picked):
        top = row * (PLOT + 8)
        name = channels[channel] if channel < len(channels) else f"channel {channel}"
        pen.write((0, top + PLOT / 2), shortened(name, SMALL, NAME_WIDTH, options.font), SMALL)
        _ground(pen, shown[:, channel], (left, top, right), options)
        _line(pen, values[:, channel], (left, top, right))
    bottom = (PLOT + 8) * len(picked) + AXIS / 2 - 4
    pen.write((left, bottom), "time 0", SMALL, MUTED)
    pen.write((right, bottom), str(len(values) - 1), SMALL, MUTED, "rm")
    if hidden:
        pen.write((left, bottom + AXIS), f"{hidden} channels with less influence are not shown", SMALL, MUTED)
    return [pen.image, color_bar(full, lambda share: _tint(share, options), options, ends)]


def _tint(share: float, options: Options) -> Rgb:
    return colors.tinted(share, PAPER, TINT, options.color_map)


def _ground(pen: Pen, shown: Array, box: tuple[int, int, int], options: Options) -> None:
    """Every pixel column has the colour of its moment."""
    left, top, right = box
    moments = np.arange(right - left) * len(shown) // (right - left)
    for column, moment in enumerate(moments.tolist()):
        if shown[moment]:
            ink = _tint(float(shown[moment]), options)
            pen.draw.line([(left + column, top), (left + column, top + PLOT)], fill=ink)


def _line(pen: Pen, values: Array, box: tuple[int, int, int]) -> None:
    """The channel's values between its own smallest and largest, both written at the axis."""
    left, top, right = box
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    across = left + (np.arange(len(values)) + 0.5) * (right - left) / len(values)
    down = top + PLOT - INSET - (values - low) / span * (PLOT - 2 * INSET)
    pen.draw.rectangle([left, top, right, top + PLOT], outline=RULE)
    points = list(zip(across.tolist(), down.tolist(), strict=True))
    pen.draw.line(points if len(points) > 1 else points * 2, fill=INK, width=2, joint="curve")
    pen.write((left - 6, top + INSET), f"{high:.3g}", SMALL, MUTED, "rm")
    if high > low:
        pen.write((left - 6, top + PLOT - INSET), f"{low:.3g}", SMALL, MUTED, "rm")
